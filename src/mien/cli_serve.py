"""The command that serves."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mien.cli_options import DetectorOption, ModelOption
from mien.errors import MissingExtraError, ServerError
from mien.weights import DEFAULT_DETECTOR, DEFAULT_MODEL

commands = typer.Typer()


@commands.command(epilog="Example: mien serve --port 8080")
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every machine that can reach this one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = 8000,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name by which people reach it, as behind a proxy.", show_default=False),
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request or frame.", min=1)] = 32_000_000,
    max_pixels: Annotated[int, typer.Option(help="Pixels of a picture.", min=1)] = 50_000_000,
    max_pictures: Annotated[int, typer.Option(help="Pictures in a request.", min=1)] = 16,
    max_faces: Annotated[int, typer.Option(help="Faces of a picture; the largest are kept.", min=1)] = 100,
    max_streams: Annotated[int, typer.Option(help="Cameras at a time.", min=1)] = 8,
    workers: Annotated[
        int | None, typer.Option(help="Threads.  [default: one a core]", min=1, show_default=False)
    ] = None,
    queue: Annotated[int, typer.Option(help="Requests that may wait.", min=0)] = 32,
    seconds: Annotated[float, typer.Option(help="Longest time of a request.", min=0.1)] = 30.0,
    detector: DetectorOption = DEFAULT_DETECTOR,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Serve a page for people and an HTTP API for programs; clients of the API need the token in MIEN_TOKEN, if set."""
    try:
        from mien.server.serving import serve as run
        from mien.server.settings import CORES, Settings
    except ImportError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtraError("serving", "serve") from None
    try:
        settings = Settings(
            model=model,
            detector=detector,
            host=host,
            port=port,
            names=tuple(name or ()),
            token=os.environ.get("MIEN_TOKEN") or None,
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            max_pictures=max_pictures,
            max_faces=max_faces,
            max_streams=max_streams,
            workers=workers or CORES,
            queue=queue,
            seconds=seconds,
        )
    except ValueError as error:
        raise ServerError(str(error)) from None
    run(settings)
