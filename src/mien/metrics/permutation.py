"""Do groups differ by more than chance? Permutation tests, in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.metrics.arrays import Bools, Floats, Ints
from mien.metrics.calibration import calibration_error

ROUNDS = 10_000


@dataclass(frozen=True)
class GapTest:
    """The largest gap between the accuracies of groups.

    Attributes:
        low, high: the groups, as their numbers.
        gap: between their accuracies, 0 to 1.
        p_value: that the largest gap of any two of these groups is as large where groups make no difference.
        p_value_by_label: the same where accuracy may differ from label to label, and groups have other shares of them.
    """

    low: int
    high: int
    gap: float
    p_value: float
    p_value_by_label: float


def gap_test(correct: Bools, groups: Ints, labels: Ints, *, rounds: int = ROUNDS, seed: int = 0) -> GapTest:
    """Test the largest gap by exchanging images between groups at random.

    The statistic is the largest gap of all pairs, in the data and in every exchange, so many groups do not make a
    small p-value likelier. Exchanging images is a draw from the multivariate hypergeometric distribution, and is drawn
    as one. The p-value is (1 + exchanges with such a gap) / (1 + exchanges): Phipson & Smyth, Statistical Applications
    in Genetics and Molecular Biology 9 (2010).

    Args:
        correct: (n,) whether each prediction was right.
        groups: (n,) number of the group, from 0, each with at least one image; two groups or more.
        labels: (n,) the true label; within a label images are exchanged for `p_value_by_label`.
        rounds, seed: of the exchanges.

    Raises:
        ValueError: fewer than two groups, or a number without an image.
    """
    counts = np.bincount(groups)
    if len(counts) < 2 or (counts == 0).any():
        raise ValueError(f"groups of {counts.tolist()} images: expected two or more, none of them empty")
    rates = np.bincount(groups, weights=correct) / counts
    rng = np.random.default_rng(seed)
    return GapTest(
        low=int(rates.argmin()),
        high=int(rates.argmax()),
        gap=float(np.ptp(rates)),
        p_value=_p_value(correct, groups, np.zeros_like(labels), rates, rounds, rng),
        p_value_by_label=_p_value(correct, groups, labels, rates, rounds, rng),
    )


def _p_value(
    correct: Bools,
    groups: Ints,
    strata: Ints,
    rates: NDArray[np.float64],
    rounds: int,
    rng: np.random.Generator,
) -> float:
    hits = np.zeros((rounds, len(rates)))
    for stratum in np.unique(strata):
        here = strata == stratum
        sizes = np.bincount(groups[here], minlength=len(rates))
        hits += rng.multivariate_hypergeometric(sizes, int(correct[here].sum()), rounds, method="marginals")
    gaps = np.ptp(hits / np.bincount(groups), axis=1)
    return float((1 + (gaps >= np.ptp(rates) - 1e-12).sum()) / (1 + rounds))


def chance_calibration_error(confidences: Floats, *, rounds: int = 200, seed: int = 0) -> float:
    """The calibration error that predictions with these confidences have on average where every confidence is true.

    The error of few predictions is never 0: the gaps of its bins are chance, and are added without their signs.

    Args:
        confidences: (n,) of the predictions, 0 to 1.
        rounds, seed: of the draws of right and wrong.
    """
    rng = np.random.default_rng(seed)
    return float(
        np.mean(
            [
                calibration_error(confidences, rng.random(len(confidences)) < confidences)
                for _ in range(rounds)
            ]
        )
    )
