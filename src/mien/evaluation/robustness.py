"""Robustness to corruptions: shift, scale, rotation, blur, noise, low resolution, low light, JPEG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.text import Table, count, percent
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions, predict_split
from mien.images import corruptions
from mien.images.corruptions import Image
from mien.metrics import calibration, significance
from mien.models.classifier import EmotionClassifier

Progress = Callable[[str, int, int], None]

_SEED = 0
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # its multiples cover all directions evenly, however many there are
_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True)
class Condition:
    """One kind of corruption, from none to strong.

    Attributes:
        unit: of the levels.
        levels: what is measured, in the order in which it is shown.
        uncorrupted: the level without corruption; None if there is none.
        corrupt: (picture, level, its index) -> corrupted picture, both (h, w) uint8. The index determines what
            varies between pictures, so every run corrupts every picture in the same way.
    """

    unit: str
    levels: tuple[float, ...]
    uncorrupted: float | None
    corrupt: Callable[[Image, float, int], Image]


def _shift(image: Image, share: float, index: int) -> Image:
    angle = index * _GOLDEN_ANGLE
    return corruptions.move(image, shift=(share * np.cos(angle), share * np.sin(angle)))


def _rotate(image: Image, degrees: float, index: int) -> Image:
    return corruptions.move(image, rotation=-degrees if index % 2 else degrees)


def _add_noise(image: Image, sigma: float, index: int) -> Image:
    return corruptions.noise(image, sigma, np.random.default_rng((_SEED, index)))


CONDITIONS: dict[str, Condition] = {
    "shift": Condition("share of the side", (0, 0.025, 0.05, 0.075, 0.1), 0, _shift),
    "scale": Condition(
        "times as large",
        (0.8, 0.9, 1, 1.12, 1.25),
        1,
        lambda image, level, index: corruptions.move(image, scale=level),
    ),
    "rotation": Condition("degrees, to either side", (0, 5, 10, 15, 30), 0, _rotate),
    "blur": Condition(
        "sigma in pixels of 48",
        (0, 0.5, 1, 1.5, 2),
        0,
        lambda image, level, index: corruptions.blur(image, level),
    ),
    "noise": Condition("sigma in grey levels", (0, 5, 10, 15, 20), 0, _add_noise),
    "face size": Condition(
        "pixels",
        (48, 40, 32, 24, 16),
        48,
        lambda image, level, index: corruptions.low_resolution(image, int(level)),
    ),
    "brightness": Condition(
        "share of the light",
        (1, 0.75, 0.5, 0.25),
        1,
        lambda image, level, index: corruptions.brightness(image, level),
    ),
    "JPEG": Condition(
        "quality",
        (100, 75, 50, 25, 10),
        None,
        lambda image, level, index: corruptions.jpeg(image, int(level)),
    ),
}
"""Name -> condition. The first three model how detectors' crops differ from a dataset's, the others cameras."""


@dataclass(frozen=True)
class RobustnessScore:
    """Accuracy and confidence of the predictions.

    Attributes:
        accuracy: share of correct predictions.
        interval: 95 % of it, by Wilson's score.
        mean_confidence: mean probability of the predictions.
        calibration_error: the expected one.
    """

    accuracy: float
    interval: tuple[float, float]
    mean_confidence: float
    calibration_error: float


@dataclass(frozen=True)
class RobustnessPoint(RobustnessScore):
    """The scores at one level of a condition.

    Attributes:
        level: in the condition's unit.
    """

    level: float


@dataclass(frozen=True)
class RobustnessCurve:
    """Scores over the levels of a condition.

    Attributes:
        unit: of the levels.
        points: in the order of the condition's levels, including the uncorrupted one if there is one.
    """

    unit: str
    points: tuple[RobustnessPoint, ...]

    def level_text(self, level: float) -> str:
        """A level as people read it; where the unit begins with "share", in percent."""
        return f"{100 * level:g} %" if self.unit.startswith("share") else f"{level:g}"


@dataclass(frozen=True)
class RobustnessReport:
    """Robustness of one head on one split under every condition, one view per image.

    Attributes:
        model, data, split, head: what was scored on what.
        n: number of images.
        sha256: of the model.
        uncorrupted: scores of the unchanged images.
        curves: name of a condition, in the order of `CONDITIONS` -> its scores.
    """

    model: str
    data: str
    split: str
    head: str
    n: int
    sha256: str
    uncorrupted: RobustnessScore
    curves: dict[str, RobustnessCurve]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A table for people, percent rounded."""
        what = f"{self.model} on {self.data}, split {self.split}, head {self.head}: {count(self.n, 'image')}, corrupted"
        return "\n".join([what, "", self.table().text()])

    def table(self) -> Table:
        """The uncorrupted images, then every level of corruption.

        "points" is the difference to the accuracy of the uncorrupted images, "confidence" the mean one, "calibration"
        the expected calibration error.
        """
        rows = [_cells("uncorrupted", "", self.uncorrupted, self.uncorrupted)]
        for name, curve in self.curves.items():
            title = f"{name}, {curve.unit}"
            for point in curve.points:
                if point.level != CONDITIONS[name].uncorrupted:
                    rows.append(_cells(title, curve.level_text(point.level), point, self.uncorrupted))
                    title = ""  # once a condition
        return Table(("condition", "level", "accuracy", "points", "confidence", "calibration"), rows)


def measure_robustness(
    classifier: EmotionClassifier,
    dataset: Dataset,
    *,
    split: str | None = None,
    head: str = "auto",
    progress: Progress | None = None,
) -> RobustnessReport:
    """Score a model on a split unchanged, and under every level of `CONDITIONS`.

    Two runs give the same figures. Pixels are read in batches.

    Args:
        classifier: the model.
        dataset: as `mien.evaluate` takes it.
        split: as `mien.evaluate` takes it.
        head: as `mien.evaluate` takes it.
        progress: called with (what is being done, images done, images in all).

    Raises:
        DatasetError, ModelError: as `mien.evaluate` raises them.
    """
    return score_corrupted(
        classifier, predict_split(classifier, dataset, split=split, head=head), progress=progress
    )


def score_corrupted(
    classifier: EmotionClassifier, predictions: Predictions, *, progress: Progress | None = None
) -> RobustnessReport:
    """The same from existing predictions: they are the uncorrupted point, from one view.

    Args:
        classifier: the model that made the predictions.
        predictions: on the unchanged images.
        progress: as in `measure_robustness`.
    """
    report = progress or (lambda what, done, total: None)
    uncorrupted, n = _score(predictions), len(predictions.part)
    levels = [(name, level) for name, condition in CONDITIONS.items() for level in condition.levels]
    points: dict[str, list[RobustnessPoint]] = {name: [] for name in CONDITIONS}
    for done, (name, level) in enumerate(levels):
        report(f"{name} {level:g}", done * n, len(levels) * n)
        condition, score = CONDITIONS[name], uncorrupted
        if level != condition.uncorrupted:
            score = _score(_predict_corrupted(classifier, predictions, condition, level))
        points[name].append(RobustnessPoint(**vars(score), level=level))
    report("done", len(levels) * n, len(levels) * n)
    return RobustnessReport(
        model=predictions.config.name,
        data=predictions.dataset.name,
        split=predictions.split,
        head=predictions.head,
        n=n,
        sha256=predictions.config.sha256,
        uncorrupted=uncorrupted,
        curves={name: RobustnessCurve(CONDITIONS[name].unit, tuple(found)) for name, found in points.items()},
    )


def _predict_corrupted(
    classifier: EmotionClassifier, predictions: Predictions, condition: Condition, level: float
) -> Predictions:
    """The predictions on the same images, corrupted."""
    parts = [
        classifier.predict_proba(
            _corrupted(predictions.part.images, start, condition, level), head=predictions.head
        )
        for start in range(0, len(predictions.part), _IMAGES_AT_ONCE)
    ]
    return replace(predictions, probabilities=np.concatenate(parts), views={})


def _corrupted(
    images: NDArray[np.uint8], start: int, condition: Condition, level: float
) -> NDArray[np.uint8]:
    """The images from `start` on, few enough for memory, corrupted."""
    chunk = np.asarray(images[start : start + _IMAGES_AT_ONCE])
    return np.stack([condition.corrupt(image, level, index) for index, image in enumerate(chunk, start)])


def _score(predictions: Predictions) -> RobustnessScore:
    return RobustnessScore(
        accuracy=float(predictions.correct.mean()),
        interval=significance.accuracy_interval(predictions.correct),
        mean_confidence=float(predictions.confidences.mean()),
        calibration_error=calibration.calibration_error(predictions.confidences, predictions.correct),
    )


def _cells(name: str, level: str, score: RobustnessScore, uncorrupted: RobustnessScore) -> tuple[str, ...]:
    change = round(100 * (score.accuracy - uncorrupted.accuracy), 1) + 0.0  # no "-0.0"
    return (
        name,
        level,
        percent(score.accuracy, score.interval),
        "" if score is uncorrupted else f"{change:+.1f}",
        percent(score.mean_confidence),
        f"{score.calibration_error:.3f}",
    )
