"""How sure a figure is: intervals by Wilson and of differences by bootstrap, McNemar's test, rank correlation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.metrics.arrays import Bools, Floats

EXACT_BELOW = 25  # fewer discordant pairs than this: the exact test of mcnemar_p_value


def wilson_interval(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share by Wilson's score: `(low, high)`, 0 to 1; sound for few images, and at 0 and 1, too.

    Wilson, Journal of the American Statistical Association 22 (1927).

    Raises:
        ValueError: no images, or hits that are not 0 to n.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n}: expected 1 image or more, and hits among them")
    z, rate = normal_quantile((1 + level) / 2), hits / n
    spread = z * math.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2)
    low, high = ((rate + z**2 / (2 * n) + side * spread) / (1 + z**2 / n) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def accuracy_interval(correct: Bools, *, level: float = 0.95) -> tuple[float, float]:
    """`wilson_interval` of the share of True in (n,) bools."""
    return wilson_interval(int(correct.sum()), len(correct), level=level)


def mean_recall_interval(
    hits: Sequence[int], counts: Sequence[int], *, level: float = 0.95, rounds: int = 20_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of several shares, as of a mean recall: `(low, high)`, 0 to 1.

    Each share is drawn from its Beta distribution with Jeffreys' prior, which is sound for few images, and at 0 and
    1, too; the quantiles of the draws' mean, widened to the mean itself where they leave it out.

    Args:
        hits: of each class, how many are right.
        counts: of each class, how many there are.
        level, rounds, seed: of the draws.

    Raises:
        ValueError: no class, or hits that are not 0 to their count, 1 or more.
    """
    right, n = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    if not len(n) or right.shape != n.shape or (n < 1).any() or (right < 0).any() or (right > n).any():
        raise ValueError(f"{list(hits)} of {list(counts)}: expected 1 image or more, and hits among them")
    rates = np.random.default_rng(seed).beta(right + 0.5, n - right + 0.5, (rounds, len(n)))
    low, high = np.quantile(rates.mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    mean = float((right / n).mean())
    return min(float(low), mean), max(float(high), mean)


def binomial_tail(hits: int, n: int, rate: float) -> float:
    """The probability of so many hits or fewer in n draws, each a hit at that rate, above 0 to below 1; exact."""
    if hits >= n:
        return 1.0
    draws = np.arange(1, hits + 1)
    steps = np.log((n - draws + 1) / draws) + math.log(rate / (1 - rate))
    logs = n * math.log1p(-rate) + np.concatenate([[0.0], np.cumsum(steps)])
    return float(min(1.0, np.exp(logs).sum()))


def normal_quantile(certainty: float) -> float:
    """Of the normal distribution: 0 for 0.5, 1.64 for 0.95."""
    return statistics.NormalDist().inv_cdf(certainty)


def paired_difference_interval(
    first: Bools, second: Bools, *, level: float = 0.95, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the difference of two accuracies on the same images, by the paired percentile bootstrap.

    Resampling images by which model is right is a multinomial draw, and is drawn as one.

    Args:
        first, second: (n,) whether each prediction was right.
        level, rounds, seed: of the bootstrap.

    Returns:
        (low, high) of first minus second, -1 to 1.
    """
    n = len(first)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    shares = np.array([only_first, only_second, n - only_first - only_second]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, rounds)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Two-sided p-value that two classifiers are right equally often, from the images on which one alone is right.

    With fewer than 25 such images the exact binomial test, else McNemar's chi-square with Edwards' continuity
    correction, one degree of freedom: McNemar, Psychometrika 12 (1947); Edwards, Psychometrika 13 (1948);
    Dietterich, Neural Computation 10 (1998), on comparing classifiers.

    Raises:
        ValueError: a negative count.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts {only_first} and {only_second}: expected 0 or more")
    n = only_first + only_second
    if n < EXACT_BELOW:
        tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
        return min(1.0, float(2 * tail / 2**n))
    # The correction must not turn a difference of 0 into one of -1.
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / n
    return math.erfc(math.sqrt(statistic / 2))


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's: Pearson's correlation of the ranks, ties get their mean rank; 0 if either is constant.

    Args:
        first, second: (n,).
    """
    left, right = _mean_ranks(first), _mean_ranks(second)
    if left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def _mean_ranks(values: Floats) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])
