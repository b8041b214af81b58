"""Arguments and options that commands share, and the words that some of them take."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ImageFormat(StrEnum):
    """How faces are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class ReportFormat(StrEnum):
    """How scores are written."""

    TABLE = "table"
    JSON = "json"


class Partition(StrEnum):
    """How the output is divided."""

    NONE = "none"
    FOLDER = "folder"


class SplitName(StrEnum):
    """Part of a dataset."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Head(StrEnum):
    """Output of the model that is scored."""

    AUTO = "auto"
    FER2013 = "fer2013"
    FERPLUS = "ferplus"
    LABELS = "labels"
    BLEND = "blend"


def _quality(value: float) -> float:
    if math.isnan(value):  # lies neither below 0 nor above 1
        raise typer.BadParameter("expected 0, for every face, to 1")
    return value


PicturesArgument = Annotated[
    list[str], typer.Argument(help="Pictures, folders, globs, or - for stdin.", show_default=False)
]
FaceFormatOption = Annotated[ImageFormat, typer.Option(help="How to write the faces.")]
ReportFormatOption = Annotated[ReportFormat, typer.Option(help="How to write the figures.")]
ModelOption = Annotated[
    str, typer.Option(help="Name of a shipped model, a model folder, or a run of `mien train`.")
]
DetectorOption = Annotated[
    str,
    typer.Option(
        help="Face detector: mien, haar, yunet (downloaded once), a run of train-detector, or a YuNet .onnx file."
    ),
]
DetectorSizeOption = Annotated[
    int,
    typer.Option(
        min=32,
        help="Long side in pixels for mien's detector: less is faster, more finds smaller faces.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option(help="Write to this file instead of stdout.", show_default=False)
]
MinQualityOption = Annotated[
    float,
    typer.Option(callback=_quality, min=0, max=1, help="Skip faces with a lower quality score, 0 to 1."),
]
DataArgument = Annotated[
    Path,
    typer.Argument(
        help="fer2013.csv, a folder of class folders, Parquet, or a .zip of it.", show_default=False
    ),
]
PatienceOption = Annotated[
    float, typer.Option(help="Seconds a face may be out of sight and keep its track number.")
]
SmoothingOption = Annotated[
    float, typer.Option(help="Time constant of the smoothed probabilities in seconds; 0 for none.")
]
BlurOption = Annotated[
    bool,
    typer.Option(
        "--blur-faces", help="Anonymise faces in all pictures and clips written; clips become silent."
    ),
]
AggregateOption = Annotated[
    bool,
    typer.Option("--aggregate", help="Write only counts and shares of groups, nothing about a single face."),
]
MinGroupOption = Annotated[
    int, typer.Option(min=2, help="With --aggregate: groups with fewer faces are not shown.")
]
ThumbnailsOption = Annotated[
    bool, typer.Option("--no-thumbnails", help="Show no pictures of faces in HTML reports.")
]
VotesOption = Annotated[Path | None, typer.Option(help="FER+ votes: fer2013new.csv.", show_default=False)]
SplitOption = Annotated[
    SplitName | None,
    typer.Option(help="Part of the data.  [default: validation, else test]", show_default=False),
]
HeadOption = Annotated[Head, typer.Option(help="Head to score; auto: the one trained on such labels.")]
RunOption = Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue a stopped run with its own settings.")]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: optimizer=adamw, augmentation.mixup=0.4.", show_default=False),
]
DetectorSettingOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: epochs=20, mixed_precision=true.", show_default=False),
]
