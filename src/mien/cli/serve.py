"""The command that serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from mien.cli.option_groups import with_groups
from mien.cli.options import LIMITS, SERVER, RecognizerOptions
from mien.cli.support import server_settings
from mien.errors import MissingExtraError
from mien.server.settings import CORES, Settings

commands = typer.Typer()


@dataclass(frozen=True)
class LimitOptions:
    """What one request, and all together, may take."""

    max_bytes: Annotated[
        int, typer.Option(help="Bytes of a request or frame.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_bytes
    max_pixels: Annotated[int, typer.Option(help="Pixels of a picture.", min=1, rich_help_panel=LIMITS)] = (
        Settings.max_pixels
    )
    max_pictures: Annotated[
        int, typer.Option(help="Pictures in a request.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_pictures
    max_faces: Annotated[
        int, typer.Option(help="Faces of a picture; the largest are kept.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_faces
    max_streams: Annotated[
        int, typer.Option(help="Cameras (WebSocket streams) at a time.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_streams
    max_clip_bytes: Annotated[
        int, typer.Option(help="Bytes of a clip; 0 to take none.", min=0, rich_help_panel=LIMITS)
    ] = Settings.max_clip_bytes
    max_clip_seconds: Annotated[
        float, typer.Option(help="Seconds of a clip that are analysed.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_clip_seconds
    max_clips: Annotated[
        int, typer.Option(help="Clips that are analysed at a time.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_clips
    max_bodies: Annotated[
        int, typer.Option(help="Requests that are received at a time.", min=1, rich_help_panel=LIMITS)
    ] = Settings.max_bodies
    max_memory: Annotated[
        int,
        typer.Option(
            help="Bytes of the bodies and decoded pictures of all requests together.",
            min=1,
            rich_help_panel=LIMITS,
        ),
    ] = Settings.max_memory
    workers: Annotated[
        int | None,
        typer.Option(
            help="Threads.  [default: one per core]", min=1, show_default=False, rich_help_panel=LIMITS
        ),
    ] = None
    queue: Annotated[int, typer.Option(help="Requests that may wait.", min=0, rich_help_panel=LIMITS)] = (
        Settings.queue
    )
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds to read a request in, and then to answer it.", min=0.1, rich_help_panel=LIMITS
        ),
    ] = Settings.timeout
    idle: Annotated[
        float,
        typer.Option(
            help="Seconds without a frame after which a stream is closed.", min=0.1, rich_help_panel=LIMITS
        ),
    ] = Settings.idle

    def named(self) -> dict[str, Any]:
        """The options by their names, which are those of `Settings` too."""
        return vars(self) | {"workers": self.workers or CORES}


@commands.command(epilog="Example: mien serve --port 8080")
@with_groups
def serve(
    *,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 for every machine that can reach this one.",
            rich_help_panel=SERVER,
        ),
    ] = Settings.host,
    port: Annotated[
        int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535, rich_help_panel=SERVER)
    ] = Settings.port,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name by which people reach it, as behind a proxy.",
            show_default=False,
            rich_help_panel=SERVER,
        ),
    ] = None,
    limits: LimitOptions,
    recognition: RecognizerOptions,
) -> None:
    """Serve a page for people and an HTTP API for programs; clients of the API need the token in MIEN_TOKEN, if set."""
    try:
        from mien.server.serving import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtraError("serving", "serve") from None
    run(
        server_settings(
            **recognition.named(),
            host=host,
            port=port,
            names=tuple(name or ()),
            **limits.named(),
        )
    )
