"""Arguments and options that commands share, and the words that some of them take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_HEAD, DEFAULT_MODEL, DETECTOR_SIZE, MIN_SIZE

if TYPE_CHECKING:
    from mien.faces.detector import FaceDetector
    from mien.recognition import EmotionRecognizer
    from mien.video.sampling import Sampling


class FaceFormat(StrEnum):
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


def _quality(value: float) -> float:
    if math.isnan(value):  # lies neither below 0 nor above 1
        raise typer.BadParameter("expected 0, for every face, to 1")
    return value


def _confidence(value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise typer.BadParameter("expected 0, for no answer flagged as uncertain, to 1")
    return value


INPUT, OUTPUT, DETECTION, MODEL = "Input", "Output", "Detection", "Model"
FRAMES, TRACKING, PRIVACY, SERVER, LIMITS = "Frames", "Tracking", "Privacy", "Server", "Limits"
"""The panels of the help pages."""


def output_option(help: str) -> Any:
    """`--output`, `-o`: the file or the folder that a command writes."""
    return typer.Option("--output", "-o", help=help, show_default=False, rich_help_panel=OUTPUT)


PicturesArgument = Annotated[
    list[str], typer.Argument(help="Pictures, folders, globs, or - for stdin.", show_default=False)
]
DataArgument = Annotated[
    Path,
    typer.Argument(
        help="fer2013.csv, a folder of class folders, Parquet, or a .zip of it.", show_default=False
    ),
]
VotesOption = Annotated[
    Path | None,
    typer.Option(help="FER+ votes: fer2013new.csv.", show_default=False, rich_help_panel=INPUT),
]
SplitOption = Annotated[
    SplitName | None,
    typer.Option(
        help="Part of the data.  [default: validation, else test]", show_default=False, rich_help_panel=INPUT
    ),
]

_BY_ENDING = "  [default: as the ending of --output says, else table]"
FaceFormatOption = Annotated[
    FaceFormat | None,
    typer.Option(help="How to write the faces." + _BY_ENDING, show_default=False, rich_help_panel=OUTPUT),
]
FileReportFormatOption = Annotated[
    ReportFormat | None,
    typer.Option(help="How to write the figures." + _BY_ENDING, show_default=False, rich_help_panel=OUTPUT),
]
ReportFormatOption = Annotated[
    ReportFormat, typer.Option(help="How to write the figures.", rich_help_panel=OUTPUT)
]
OutputOption = Annotated[
    Path | None,
    output_option("Write to this file instead of stdout; its ending names the format, .txt the table."),
]
RunOption = Annotated[Path, output_option("Folder of the run.")]

ModelOption = Annotated[
    str,
    typer.Option(
        help="Name of a shipped model, a model folder, or a run of `mien train`.", rich_help_panel=MODEL
    ),
]
HeadOption = Annotated[
    str,
    typer.Option(
        help="The model's output: auto, its default; labels, the head trained on its dataset's own labels; or one by "
        "its name, as ferplus.",
        rich_help_panel=MODEL,
    ),
]
ScoredHeadOption = Annotated[
    str,
    typer.Option(
        help="The model's output: auto, the one trained on such labels; labels, the head trained on its dataset's own "
        "labels; or one by its name, as ferplus.",
        rich_help_panel=MODEL,
    ),
]

PatienceOption = Annotated[
    float,
    typer.Option(
        help="Seconds that a face may be out of sight and still be the same person.", rich_help_panel=TRACKING
    ),
]
SmoothingOption = Annotated[
    float,
    typer.Option(
        help="Time constant of the smoothed probabilities in seconds; 0 for none.", rich_help_panel=TRACKING
    ),
]

BlurOption = Annotated[
    bool,
    typer.Option(
        "--blur-faces",
        help="Make faces unrecognisable in all images and videos that are written; clips become silent.",
        rich_help_panel=PRIVACY,
    ),
]
AggregateOption = Annotated[
    bool,
    typer.Option(
        "--aggregate",
        help="Write counts and shares of groups only, nothing about a single face.",
        rich_help_panel=PRIVACY,
    ),
]
MinGroupOption = Annotated[
    int,
    typer.Option(
        min=2, help="With --aggregate: groups with fewer faces are not shown.", rich_help_panel=PRIVACY
    ),
]
ThumbnailsOption = Annotated[
    bool,
    typer.Option("--no-thumbnails", help="Show no pictures of faces on pages.", rich_help_panel=PRIVACY),
]

ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume a stopped run, with its own settings.")]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: optimizer=adamw, augmentation.mixup=0.4.", show_default=False),
]
DetectorSettingOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: epochs=20, mixed_precision=true.", show_default=False),
]


@dataclass(frozen=True)
class DetectionOptions:
    """How faces are found, and which of them are good enough."""

    detector: Annotated[
        str,
        typer.Option(
            help="Face detector: mien, haar, yunet (fetched once), a run of train-detector, or a YuNet .onnx file.",
            rich_help_panel=DETECTION,
        ),
    ] = DEFAULT_DETECTOR
    detector_size: Annotated[
        int,
        typer.Option(
            min=32,
            help="Long side in pixels at which mien's detector searches: less is faster, more finds smaller faces.",
            rich_help_panel=DETECTION,
        ),
    ] = DETECTOR_SIZE
    min_size: Annotated[
        int,
        typer.Option(
            min=1,
            help="Faces with a shorter side, in pixels, are filtered out; above 40 the search is faster.",
            rich_help_panel=DETECTION,
        ),
    ] = MIN_SIZE
    turns: Annotated[
        bool,
        typer.Option(
            "--turns",
            help="Also find faces that lie on their side or upside down: four searches instead of one.",
            rich_help_panel=DETECTION,
        ),
    ] = False
    min_quality: Annotated[
        float,
        typer.Option(
            callback=_quality,
            min=0,
            max=1,
            help="Faces whose crop has a lower quality score, 0 to 1, are filtered out.",
            rich_help_panel=DETECTION,
        ),
    ] = 0.0

    def face_detector(self) -> FaceDetector:
        """The detector that the options name."""
        from mien.faces.detector import FaceDetector

        return FaceDetector(self.detector, min_size=self.min_size, size=self.detector_size, turns=self.turns)


@dataclass(frozen=True)
class FaceOptions(DetectionOptions):
    """The arguments of `EmotionRecognizer` but for its model and its head."""

    min_confidence: Annotated[
        float | None,
        typer.Option(
            callback=_confidence,
            min=0,
            max=1,
            help="Answers with a lower confidence, 0 to 1, are flagged as uncertain.  [default: the model's threshold]",
            show_default=False,
            rich_help_panel=MODEL,
        ),
    ] = None


@dataclass(frozen=True)
class RecognizerOptions(FaceOptions):
    """What every command takes that finds faces and reads them: the arguments of `EmotionRecognizer`."""

    model: ModelOption = DEFAULT_MODEL
    head: HeadOption = DEFAULT_HEAD

    def named(self) -> dict[str, Any]:
        """The options by their names, which are those of Python's arguments too."""
        return vars(self)

    def recognizer(self) -> EmotionRecognizer:
        """The recognizer that the options name."""
        from mien.recognition import EmotionRecognizer

        return EmotionRecognizer(**self.named())


@dataclass(frozen=True)
class SamplingOptions:
    """Which frames of a clip or of a camera are read: the arguments of `Sampling`."""

    every: Annotated[
        int | None,
        typer.Option(
            help="Read every N-th frame.  [default: all]", show_default=False, rich_help_panel=FRAMES
        ),
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(help="Read this many frames per second.", show_default=False, rich_help_panel=FRAMES),
    ] = None
    start: Annotated[float, typer.Option(help="Begin at this second.", rich_help_panel=FRAMES)] = 0.0
    end: Annotated[
        float | None,
        typer.Option(help="End before this second.", show_default=False, rich_help_panel=FRAMES),
    ] = None

    def sampling(self) -> Sampling:
        """The frames that the options name; `typer.BadParameter` where they contradict each other."""
        from mien.video.sampling import Sampling

        try:
            return Sampling(**vars(self))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
