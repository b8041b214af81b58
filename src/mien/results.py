"""What comes out: frozen dataclasses from a box to the result of a whole picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from mien.labels import Emotion


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the original picture, origin top left; `x2` and `y2` are exclusive.

    May reach beyond the picture's border, as a face at the border does.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x1, self.y1, self.x2, self.y2)):
            raise ValueError(f"box {self}: expected finite pixel coordinates")
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ValueError(f"box {self}: expected x1 < x2 and y1 < y2")

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1

    @property
    def center(self) -> tuple[float, float]:
        """The middle, `(x, y)` in pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def area(self) -> float:
        """In square pixels."""
        return self.width * self.height

    def intersection(self, other: Box) -> float:
        """The area that lies in both, in square pixels."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: Box) -> float:
        """Intersection over union with `other`, 0 to 1."""
        shared = self.intersection(other)
        return shared / (self.area + other.area - shared) if shared else 0.0


@dataclass(frozen=True, slots=True)
class Face:
    """A face that a detector found.

    `score` is the detector's own confidence, 0 to 1. `landmarks` are five points `(x, y)` in pixels (right
    eye, left eye, nose tip, right and left mouth corner; right as the person's own), or None.
    """

    box: Box
    score: float
    landmarks: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The probabilities of one face: label -> probability in [0, 1], summing to 1, in the model's order.

    `uncertain` is true if the highest probability is below the model's own threshold, or below the `min_confidence`
    that was asked for instead.
    """

    probabilities: Mapping[str, float]
    uncertain: bool = False

    def __post_init__(self) -> None:
        if not self.probabilities:
            raise ValueError("a prediction needs at least one label")
        object.__setattr__(self, "probabilities", dict(self.probabilities))

    @property
    def emotion(self) -> Emotion | str:
        """The most probable label, the first of equals: an `Emotion`, or a string if a model has its own labels."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of `emotion`."""
        return self.probabilities[self.emotion]


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a face's crop is: a `score` from 0 to 1, and its `issues` in words, the most severe first.

    The issues are "small", "dark", "bright", "blurred" and "unclear"; without any, nothing speaks against the crop.
    """

    score: float
    issues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FaceEmotion:
    """A face and its expression, with the quality of its crop; one that was not assessed has the best.

    In a clip, or before a camera, it is a `TrackedFace`; only there `track` and `smoothed` are not None.
    """

    face: Face
    prediction: Prediction
    quality: Quality = Quality(1.0)
    track: int | None = None
    smoothed: Prediction | None = None

    @property
    def box(self) -> Box:
        """Where the face is, in pixels of the original picture."""
        return self.face.box

    @property
    def emotion(self) -> Emotion | str:
        """The most probable label: an `Emotion`, or a string if a model has its own labels."""
        return self.prediction.emotion

    @property
    def confidence(self) -> float:
        """The probability of `emotion`, 0 to 1."""
        return self.prediction.confidence

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Label -> probability."""
        return self.prediction.probabilities

    def is_good(self, least: float) -> bool:
        """Whether its quality's score is `least` or more."""
        return self.quality.score >= least

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: from `track` to the last label's probability, then the smoothed ones.

        `quality_issues` is a list of words.
        """
        values = {name: value(self) for name, value in _FACE_VALUES.items()}
        values |= {str(label): float(p) for label, p in self.probabilities.items()}
        if self.smoothed is None:
            return values
        steady = {str(label): float(p) for label, p in self.smoothed.probabilities.items()}
        answers = (str(self.smoothed.emotion), float(self.smoothed.confidence), self.smoothed.uncertain)
        return values | dict(zip(smoothed_columns(steady), (*answers, *steady.values()), strict=True))


@dataclass(frozen=True, slots=True)
class TrackedFace(FaceEmotion):
    """A face in a clip, or before a camera.

    `track` identifies the person: the same number while the face is tracked. `smoothed` is the expression over time,
    next to that of this one frame.
    """

    track: int = field(kw_only=True)
    smoothed: Prediction = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class FrameResult(Sequence[FaceEmotion]):
    """All faces of one picture: a sequence of them, `for face in result`, with what is known of the picture.

    `source` is the picture's name. `width` and `height` are the picture's, in pixels, and None where it could not be
    read; `error` then says why. `frame` and `time` (seconds) are None for a still picture; the faces of a clip's frame
    are a `TrackedFrame`. `smoothed` says whether faces have a smoothed expression, and rows its columns. `filtered`
    counts the faces whose quality was below the least that was asked for: they are not here.
    """

    source: str
    width: int | None = None
    height: int | None = None
    faces: tuple[FaceEmotion, ...] = ()
    error: str | None = None
    frame: int | None = None
    time: float | None = None
    labels: tuple[str, ...] = field(default=())
    smoothed: bool = False
    filtered: int = 0

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self.faces)

    def __iter__(self) -> Iterator[FaceEmotion]:
        """The faces, in the detector's order."""
        return iter(self.faces)

    @overload
    def __getitem__(self, place: int) -> FaceEmotion: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[FaceEmotion]: ...
    def __getitem__(self, place: int | slice) -> FaceEmotion | Sequence[FaceEmotion]:
        """The face at a place, from 0; or those of a slice."""
        return self.faces[place]

    def to_dict(self) -> dict[str, Any]:
        """`{source, width, height, faces, error}`; each face also carries source, frame and time.

        That of a clip's frame has `frame` and `time` after `source`, as there may be no face to carry them.
        """
        place = {"source": self.source, "frame": self.frame, "time": self.time}
        return {
            **({"source": self.source} if self.frame is None else place),
            "width": self.width,
            "height": self.height,
            "faces": [place | face.to_dict() for face in self.faces],
            "error": self.error,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per face; a picture without a face, or with an error, is one row without face fields.

        Columns: source, frame, time, track, x1, y1, x2, y2, detection_score, emotion, confidence, uncertain,
        quality_score, quality_issues, one column a label, in a clip `smoothed_columns`, error. The issues are joined
        by `ISSUE_SEPARATOR`, and "" where there is none.
        """
        place = {"source": self.source, "frame": self.frame, "time": self.time}
        end = {"error": self.error}
        if not self.faces:
            columns = (*self.labels, *(smoothed_columns(self.labels) if self.smoothed else ()))
            return [place | dict.fromkeys((*FACE_FIELDS, *columns)) | end]
        return [
            place | face.to_dict() | {"quality_issues": ISSUE_SEPARATOR.join(face.quality.issues)} | end
            for face in self.faces
        ]


@dataclass(frozen=True, slots=True)
class TrackedFrame(FrameResult):
    """All faces of one frame of a clip, or of a camera, at `time` in seconds."""

    faces: tuple[TrackedFace, ...] = ()
    time: float = 0.0
    smoothed: bool = True

    def __iter__(self) -> Iterator[TrackedFace]:
        """The faces, the largest first."""
        return iter(self.faces)

    @overload
    def __getitem__(self, place: int) -> TrackedFace: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[TrackedFace]: ...
    def __getitem__(self, place: int | slice) -> TrackedFace | Sequence[TrackedFace]:
        """The face at a place, from 0; or those of a slice."""
        return self.faces[place]


_FACE_VALUES: dict[str, Callable[[FaceEmotion], Any]] = {
    "track": lambda face: face.track,
    "x1": lambda face: float(face.box.x1),
    "y1": lambda face: float(face.box.y1),
    "x2": lambda face: float(face.box.x2),
    "y2": lambda face: float(face.box.y2),
    "detection_score": lambda face: float(face.face.score),
    "emotion": lambda face: str(face.emotion),
    "confidence": lambda face: float(face.confidence),
    "uncertain": lambda face: face.prediction.uncertain,
    "quality_score": lambda face: float(face.quality.score),
    "quality_issues": lambda face: list(face.quality.issues),
}

FACE_FIELDS: tuple[str, ...] = tuple(_FACE_VALUES)
"""The fields of a face that come before its probabilities, in order."""

COLUMNS: tuple[str, ...] = ("source", "frame", "time", *FACE_FIELDS, "error")
"""The columns of rows that are of no label."""

ISSUE_SEPARATOR = ";"
"""Between the quality's issues where a row has them in one column."""


def smoothed_columns(labels: Iterable[str]) -> tuple[str, ...]:
    """The names of a smoothed expression's values: its emotion, confidence, uncertain, one a label."""
    return tuple(f"smoothed_{name}" for name in ("emotion", "confidence", "uncertain", *labels))
