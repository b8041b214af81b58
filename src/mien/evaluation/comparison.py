"""Two models on the same images, side by side, with a paired test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien._core.text import Table, count, percent
from mien.errors import DatasetError
from mien.evaluation.predictions import Predictions
from mien.evaluation.result import VOTE_SHARE, EvaluationReport, figures
from mien.evaluation.scores import score
from mien.metrics import significance


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


def score_table(comparison: Comparison) -> Table:
    """The scores side by side: what, A, B."""
    first, second = figures(comparison.first), figures(comparison.second)
    rows = [
        (name, figure.text, second[name].text)
        for name, figure in first.items()
        if name in second and name != VOTE_SHARE
    ]
    return Table(("score", "A", "B"), rows)


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
    rows = [
        *score_table(comparison).rows,
        *(
            (f"F1 {label}", percent(scores["f1"]), percent(second.per_class[label]["f1"]))
            for label, scores in first.per_class.items()
        ),
    ]
    table = Table(("", "A", "B"), rows).text(align="<<")
    models = [
        f"{letter}: {r.model}, head {r.head}, SHA-256 {r.sha256[:12]}…"
        for letter, r in (("A", first), ("B", second))
    ]
    what = f"{first.data}, split {first.split}: {count(first.n, 'image')}"
    return "\n".join([what, *models, "", table, "", difference_line(comparison)])
