"""The command that serves."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import DetectorOption, DetectorSizeOption, ModelOption
from mien.cli.support import server_settings
from mien.errors import MissingExtraError
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_MODEL, DETECTOR_SIZE
from mien.server.settings import CORES, Settings

commands = typer.Typer()


@commands.command(epilog="Example: mien serve --port 8080")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every machine that can reach this one.")
    ] = Settings.host,
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = Settings.port,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name of the server, for example behind a proxy.", show_default=False),
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request or frame.", min=1)] = Settings.max_bytes,
    max_pixels: Annotated[int, typer.Option(help="Pixels of a picture.", min=1)] = Settings.max_pixels,
    max_pictures: Annotated[int, typer.Option(help="Pictures in a request.", min=1)] = Settings.max_pictures,
    max_faces: Annotated[
        int, typer.Option(help="Faces of a picture; the largest are kept.", min=1)
    ] = Settings.max_faces,
    max_streams: Annotated[
        int, typer.Option(help="Cameras (WebSocket streams) at the same time.", min=1)
    ] = Settings.max_streams,
    workers: Annotated[
        int | None, typer.Option(help="Threads.  [default: one per core]", min=1, show_default=False)
    ] = None,
    queue: Annotated[int, typer.Option(help="Requests that may wait.", min=0)] = Settings.queue,
    seconds: Annotated[
        float, typer.Option(help="Maximum seconds to read a request, and then to process it.", min=0.1)
    ] = Settings.seconds,
    detector: DetectorOption = DEFAULT_DETECTOR,
    detector_size: DetectorSizeOption = DETECTOR_SIZE,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Serve a page for people and an HTTP API for programs; clients of the API need the token in MIEN_TOKEN, if set."""
    try:
        from mien.server.serving import serve as run
    except ImportError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtraError("serving", "serve") from None
    run(
        server_settings(
            model=model,
            detector=detector,
            detector_size=detector_size,
            host=host,
            port=port,
            names=tuple(name or ()),
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            max_pictures=max_pictures,
            max_faces=max_faces,
            max_streams=max_streams,
            workers=workers or CORES,
            queue=queue,
            seconds=seconds,
        )
    )
