"""The command `mien`: one short function a command. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mien._core.version import __version__
from mien.cli.audit import commands as audit_commands
from mien.cli.batch import commands as batch_commands
from mien.cli.crops import commands as crop_commands
from mien.cli.evaluate import commands as evaluation_commands
from mien.cli.explain import commands as explain_commands
from mien.cli.images import commands as image_commands
from mien.cli.serve import commands as serve_commands
from mien.cli.train import commands as training_commands
from mien.cli.video import commands as video_commands
from mien.errors import (
    BrokenInstallError,
    DetectorError,
    MienError,
    MissingColumnError,
    MissingExtraError,
    ModelError,
    ServerError,
    SettingsError,
)

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Facial expression recognition: seven probabilities per face, offline.",
    epilog="Start with: mien demo",
)


def main() -> None:
    """The entry point: every error of mien's own is one line and an exit code."""
    # What OpenCV has to say of a broken file names no file; the error that follows does.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        app()
    except MienError as error:
        _say(error)
        raise SystemExit(
            next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
        ) from None
    except OSError as error:  # a full disk, a folder that may not be written
        _say(error)
        raise SystemExit(1) from None


def _say(error: Exception) -> None:
    for line in (error, *getattr(error, "__notes__", ())):
        sys.stderr.write(f"mien: {line}\n")


_EXIT_CODES: dict[type[MienError], int] = {
    ModelError: 2,
    DetectorError: 2,
    BrokenInstallError: 2,
    MissingExtraError: 2,
    SettingsError: 2,
    MissingColumnError: 2,
    ServerError: 2,
    MienError: 1,
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """What comes before a command."""


_PANELS = {
    "Read faces": (image_commands, explain_commands, video_commands, serve_commands, batch_commands),
    "Train and score models": (crop_commands, training_commands, evaluation_commands),
    "Find faults": (audit_commands,),
}
for panel, groups in _PANELS.items():
    for group in groups:
        for command in group.registered_commands:
            command.rich_help_panel = panel
        app.registered_commands += group.registered_commands
