"""Is a model as right for one group as for another? Scores by group, and whether their differences are chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.text import Table, count, percent, percent_range
from mien.errors import DatasetError
from mien.evaluation.predictions import Predictions
from mien.metrics import calibration, classification, significance
from mien.metrics.permutation import chance_calibration_error, gap_test

FEW = 50
"""A group with fewer images is marked, and takes no part in the test of the largest gap."""


@dataclass(frozen=True)
class GroupScore:
    """Scores of the images of one group.

    Attributes:
        n: images.
        accuracy: share of correct predictions.
        interval: 95 % of it, Wilson's.
        balanced_accuracy: mean recall over the expressions that occur in the group.
        mean_confidence: of the predictions.
        calibration_error: the expected one.
        chance_calibration_error: what it would be on average if every confidence were true; never 0.
        few: whether the group has fewer than `FEW` images.
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    mean_confidence: float
    calibration_error: float
    chance_calibration_error: float
    few: bool


@dataclass(frozen=True)
class LargestGap:
    """The two groups that differ most, of those that are not small, with the p-values of `GapTest`."""

    low: str
    high: str
    gap: float
    p_value: float
    p_value_by_label: float


@dataclass(frozen=True)
class ModelAudit:
    """Scores of one head on one split, as a whole and by group.

    Attributes:
        model, data, split, head, sha256: what was scored on what.
        column: that names the groups; None: there are none.
        whole: all images, also those without a group.
        groups: name -> scores, the largest group first.
        without_group: images that have none.
        largest_gap: None with fewer than two groups that are not small.
    """

    model: str
    data: str
    split: str
    head: str
    sha256: str
    column: str | None
    whole: GroupScore
    groups: dict[str, GroupScore]
    without_group: int
    largest_gap: LargestGap | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A table for people, percent rounded."""
        what = f"{self.model} on {self.data}, split {self.split}, head {self.head}: {count(self.whole.n, 'image')}"
        return "\n".join([what, "", self.table().text(), *(["", *gap_lines(self)] if self.column else [])])

    def table(self) -> Table:
        """All images, then every group; small groups have a star."""
        columns = (
            "group", "n", "accuracy", "95 % interval", "mean recall", "confidence", "calibration", "by chance",
        )  # fmt: skip
        return Table(columns, [_cells(name, one) for name, one in {"all": self.whole, **self.groups}.items()])


def gap_lines(audit: ModelAudit) -> list[str]:
    """What the differences between the groups are worth, in sentences."""
    lines = []
    if any(one.few for one in audit.groups.values()):
        lines.append(f"* fewer than {FEW} images: too few to compare; these groups are not in the test.")
    if audit.without_group:
        lines.append(f'{count(audit.without_group, "image")} without a group: only in "all".')
    gap, tested = audit.largest_gap, sum(not one.few for one in audit.groups.values())
    if gap is None:
        return [*lines, f"No test: it needs two groups of {FEW} images or more."]
    return [
        *lines,
        f"Largest gap of {tested} groups: {gap.high} {100 * gap.gap:.1f} points above {gap.low}. Where groups make no "
        f"difference, a gap as large comes about in {_often(gap.p_value)} of all cases ({_p(gap.p_value)}).",
        f"If accuracy may differ from expression to expression, and groups show other expressions: "
        f"{_p(gap.p_value_by_label)}.",
        _verdict(gap),
    ]


def audit_groups(
    predictions: Predictions, groups: Sequence[str] | None = None, column: str | None = None
) -> ModelAudit:
    """Score predictions as a whole and by group.

    Args:
        predictions: of the model.
        groups: one per image of `predictions.part`, "" for none; None: no groups.
        column: what the groups are called.

    Raises:
        DatasetError: no image of these has a group.
        ValueError: not as many groups as images.
    """
    places = {} if groups is None else group_places(groups)
    if groups is not None and len(groups) != len(predictions.part):
        raise ValueError(
            f"{len(groups)} groups for {count(len(predictions.part), 'image')}: expected one per image"
        )
    if groups is not None and not places:
        raise DatasetError(
            f"{predictions.dataset.name}: no image of the split {predictions.split!r} has a group"
        )
    scores = {name: _score(predictions, here) for name, here in places.items()}
    return ModelAudit(
        model=predictions.config.name,
        data=predictions.dataset.name,
        split=predictions.split,
        head=predictions.head,
        sha256=predictions.config.sha256,
        column=None if groups is None else column or "group",
        whole=_score(predictions, np.arange(len(predictions.part))),
        groups=scores,
        without_group=0 if groups is None else sum(not name for name in groups),
        largest_gap=_largest_gap(predictions, {n: p for n, p in places.items() if not scores[n].few}),
    )


def group_places(groups: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Group -> the indices of its images, the largest group first, then by name, without ungrouped images."""
    names = np.array(groups, object)
    found = {name: np.flatnonzero(names == name) for name in sorted(set(groups) - {""})}
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def predictions_of(predictions: Predictions, places: NDArray[np.int64]) -> Predictions:
    """The predictions on some of the images, by their indices in rising order."""
    chosen = np.zeros(len(predictions.part), np.bool_)
    chosen[places] = True
    return replace(
        predictions,
        part=predictions.part.take(chosen),
        targets=predictions.targets[chosen],
        probabilities=predictions.probabilities[chosen],
        views={},
    )


def _score(predictions: Predictions, places: NDArray[np.int64]) -> GroupScore:
    correct, confidences = predictions.correct[places], predictions.confidences[places]
    matrix = classification.confusion_matrix(
        predictions.targets[places], predictions.predicted[places], len(predictions.labels)
    )
    return GroupScore(
        n=len(places),
        accuracy=float(correct.mean()),
        interval=significance.wilson_interval(int(correct.sum()), len(places)),
        balanced_accuracy=classification.balanced_accuracy(matrix),
        mean_confidence=float(confidences.mean()),
        calibration_error=calibration.calibration_error(confidences, correct),
        chance_calibration_error=chance_calibration_error(confidences),
        few=len(places) < FEW,
    )


def _largest_gap(predictions: Predictions, places: dict[str, NDArray[np.int64]]) -> LargestGap | None:
    if len(places) < 2:
        return None
    names, order = list(places), np.concatenate(list(places.values()))
    numbers = np.repeat(np.arange(len(places)), [len(here) for here in places.values()])
    test = gap_test(predictions.correct[order], numbers, predictions.targets[order])
    return LargestGap(names[test.low], names[test.high], test.gap, test.p_value, test.p_value_by_label)


def _cells(name: str, one: GroupScore) -> tuple[str, ...]:
    return (
        f"{name} *" if one.few else name,
        f"{one.n:,}",
        percent(one.accuracy),
        percent_range(one.interval),
        percent(one.balanced_accuracy),
        percent(one.mean_confidence),
        f"{one.calibration_error:.3f}",
        f"{one.chance_calibration_error:.3f}",
    )


def _p(value: float) -> str:
    return "p below 0.001" if value < 0.001 else f"p = {value:.3f}"


def _often(value: float) -> str:
    return "less than 0.1 %" if value < 0.001 else percent(value)


def _verdict(gap: LargestGap) -> str:
    if gap.p_value_by_label < 0.05:
        return (
            "Chance alone rarely causes such a gap (in one of twenty columns without a real difference, at p = 0.05): "
            "investigate it. The test does not show the cause: groups can differ in "
            "pictures, labels and annotators as well as in faces."
        )
    if gap.p_value < 0.05:
        return "The groups differ, but the test attributes this to their different expressions."
    return (
        "Chance is enough to explain the gap. This does not show that the groups are treated alike: small differences "
        "need many images to be found."
    )
