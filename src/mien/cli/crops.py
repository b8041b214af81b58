"""The command `mien crops`: faces without labels, cut out of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mien._core.text import count
from mien.cli.option_groups import with_groups
from mien.cli.options import DETECTION, INPUT, DetectionOptions, output_option
from mien.cli.output_file import check_no_input
from mien.cli.support import check_file, progress_bar, say_written

commands = typer.Typer()


class Part(StrEnum):
    """Which photographs: those that detectors are trained on, those that they are scored with, or all."""

    TRAIN = "train"
    HELD_OUT = "held-out"
    ALL = "all"


@dataclass(frozen=True)
class CropOptions(DetectionOptions):
    """How faces are found, of which crops are kept."""

    min_size: Annotated[
        int,
        typer.Option(
            min=1,
            help="Faces with a shorter side, in pixels, are left out.",
            rich_help_panel=DETECTION,
        ),
    ] = 40


@commands.command(epilog="Example: mien crops photos/ --output crops.parquet")
@with_groups
def crops(
    photographs: Annotated[
        list[str],
        typer.Argument(help="Folders, pictures, globs, or Parquet with a column image.", show_default=False),
    ],
    *,
    output: Annotated[Path, output_option("The Parquet file to write.")],
    split: Annotated[
        Part | None,
        typer.Option(
            help="Which photographs, where a fifth is held out to score detectors.  [default: train of the data of "
            "train-detector, else all]",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = None,
    detection: CropOptions,
) -> None:
    """Cut out the faces of photographs, to train on without labels or to be labelled."""
    from mien.batch.crops import write_crops
    from mien.images.find import find_files

    if output.suffix.lower() != ".parquet":
        raise typer.BadParameter(f"{output}: expected a name that ends in .parquet", param_hint="--output")
    check_no_input("--output", output, find_files(photographs, {".parquet"}) if output.exists() else [])
    for path in photographs:
        check_file("--output", output, Path(path))
    with progress_bar() as progress:
        counts = write_crops(
            photographs,
            output,
            detection.face_detector(),
            part=None if split is None else split.value,
            min_quality=detection.min_quality,
            report=lambda message: typer.echo(f"mien: {message}", err=True),
            progress=lambda done, total: progress("cutting out faces", done, total),
        )
    say_written(f"{count(counts.crops, 'crop')} of {count(counts.photographs, 'photograph')}", output)
    if counts.errors:
        raise typer.Exit(1)
