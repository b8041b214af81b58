"""The command `mien`: one short function a command. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import Annotated

import typer

from mien._core.version import __version__
from mien.errors import (
    BrokenInstallError,
    DetectorError,
    MienError,
    MissingColumnError,
    MissingExtraError,
    ModelError,
    ServerError,
    SettingsError,
    StudyError,
)

_COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Read faces": {
        "images": ("image", "demo", "bench", "models"),
        "explain": ("explain",),
        "video": ("video", "camera"),
        "serve": ("serve",),
        "batch": ("batch", "summarize"),
    },
    "Train and score models": {
        "crops": ("crops",),
        "train": ("data", "train", "train-detector", "distill", "ensemble", "quantize"),
        "evaluate": ("evaluate", "card"),
    },
    "Study people": {"study": ("study",), "agree": ("agree",)},
    "Find faults": {"audit": ("audit", "audit-model")},
}
"""Panel of the help -> file -> its commands. Building all of them takes longer than reading a face."""


@cache
def command_line(wanted: str | None = None) -> typer.Typer:
    """The command `mien` with all its commands; if `wanted` is the name of one, with those of its file only."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Facial expression recognition: seven probabilities per face, offline.",
        epilog="Start with: mien demo",
    )
    app.callback()(_options)
    files = [(panel, file, names) for panel, files in _COMMANDS.items() for file, names in files.items()]
    for panel, file, _ in [found for found in files if wanted in found[2]] or files:
        commands: typer.Typer = import_module(f"mien.cli.{file}").commands
        for command in commands.registered_commands:
            command.rich_help_panel = panel
        app.registered_commands += commands.registered_commands
    return app


def main() -> None:
    """The entry point: every error of mien's own is one line and an exit code."""
    # What OpenCV has to say of a broken file names no file; the error that follows does.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        command_line(sys.argv[1] if len(sys.argv) > 1 else None)()
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
    StudyError: 2,
    MissingColumnError: 2,
    ServerError: 2,
    MienError: 1,
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """What comes before a command."""
