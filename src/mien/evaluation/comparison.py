"""Two models on the same images, side by side, with a paired test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien._core.text import percent
from mien.errors import DatasetError
from mien.evaluation.predictions import Predictions
from mien.evaluation.scores import EvaluationReport, score
from mien.metrics import significance
from mien.models.tta import FLIP, TEN_CROP


@dataclass(frozen=True)
class Comparison:
    """Two models, A and B, on the same n images, one view per image.

    Attributes:
        first, second: the scores of A and of B.
        difference: accuracy of A minus that of B.
        interval: 95 % of the difference, by bootstrap over the images.
        both_right, only_first, only_second, both_wrong: number of images, n together.
        test: which test gave the p-value.
        p_value: two-sided, that A and B are right equally often.
    """

    first: EvaluationReport
    second: EvaluationReport
    difference: float
    interval: tuple[float, float]
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    test: str
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """Lines for people, percent rounded."""
        return format_comparison(self)


def compare(first: Predictions, second: Predictions) -> Comparison:
    """Compare the predictions of two models.

    The test is McNemar's: it looks only at the images on which one of the models alone is right (see
    `mien.significance.mcnemar_p_value`). It takes the images for independent, which copies among them are not.

    Raises:
        DatasetError: the predictions are not on the same images with the same true labels.
    """
    same = first.labels == second.labels and first.part.names == second.part.names
    if not same or not np.array_equal(first.targets, second.targets):
        raise DatasetError(
            f"{first.dataset.name}: {first.split}, {first.head} and {second.dataset.name}: {second.split}, "
            f"{second.head} are not the same images with the same labels: they cannot be compared"
        )
    a, b = first.correct, second.correct
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    exact = only_first + only_second < significance.EXACT_BELOW
    return Comparison(
        first=score(first),
        second=score(second),
        difference=float(a.mean() - b.mean()),
        interval=significance.paired_difference_interval(a, b),
        both_right=int((a & b).sum()),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int((~a & ~b).sum()),
        test="exact binomial" if exact else "chi-square with continuity correction",
        p_value=significance.mcnemar_p_value(only_first, only_second),
    )


def score_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """The scores side by side: what, A, B."""
    pair = (comparison.first, comparison.second)
    rows: list[tuple[str, ...]] = [
        ("accuracy", *(percent(r.accuracy, r.interval) for r in pair)),
        ("balanced accuracy", *(percent(r.balanced_accuracy) for r in pair)),
        ("macro F1", *(percent(r.macro_f1) for r in pair)),
        ("calibration error", *(f"{r.calibration_error:.3f}" for r in pair)),
        ("AURC", *(f"{r.risk_coverage.aurc:.3f}" for r in pair)),
    ]
    for name in (FLIP, TEN_CROP):
        views = [r.views[name] for r in pair if r.views]
        if len(views) == 2:
            rows.append((name, *(percent(view.accuracy, view.interval) for view in views)))
    rests = [r.without_copies for r in pair if r.without_copies and r.without_copies.accuracy is not None]
    if len(rests) == 2:
        rows.append(("without copies", *(percent(r.accuracy or 0.0, r.interval) for r in rests)))
    votes = [r.ferplus for r in pair if r.ferplus]
    if len(votes) == 2:
        rows.append(("FER+ majority", *(percent(v.majority, v.interval) for v in votes)))
    return [(row[0], row[1], row[2]) for row in rows]


def difference_line(comparison: Comparison) -> str:
    """The difference of the accuracies in points, and the result of the test."""
    low, high = (100 * end for end in comparison.interval)
    return (
        f"A minus B: {100 * comparison.difference:+.2f} points (95 %: {low:+.2f} to {high:+.2f}); "
        f"only A right on {comparison.only_first}, only B on {comparison.only_second}; "
        f"McNemar, {comparison.test}: p = {comparison.p_value:.2g}"
    )


def format_comparison(comparison: Comparison) -> str:
    """The comparison as lines for people."""
    first, second = comparison.first, comparison.second
    rows = [("", "A", "B"), *score_rows(comparison)]
    rows += [
        (f"F1 {label}", percent(scores["f1"]), percent(second.per_class[label]["f1"]))
        for label, scores in first.per_class.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = [f"{what:{widths[0]}}  {a:{widths[1]}}  {b}".rstrip() for what, a, b in rows]
    models = [
        f"{letter}: {r.model}, head {r.head}, SHA-256 {r.sha256[:12]}…"
        for letter, r in (("A", first), ("B", second))
    ]
    what = f"{first.data}, split {first.split}: {first.n} images"
    return "\n".join([what, *models, "", *table, "", difference_line(comparison)])
