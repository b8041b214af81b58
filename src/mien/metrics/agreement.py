"""How far coders agree beyond chance: Cohen's and Fleiss' kappa, and the interval of a kappa by bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.metrics.arrays import Floats, Ints

_AT_ONCE = 4_000_000  # counts that are drawn at once: 32 MB


def cohen_kappa(matrix: Floats) -> NDArray[np.float64]:
    """Cohen's kappa of confusion matrices: (observed agreement - that by chance) / (1 - that by chance).

    Cohen, Educational and Psychological Measurement 20 (1960).

    Args:
        matrix: (..., n, n) counts or weights, rows one coder, columns the other.

    Returns:
        (...) -1 to 1; NaN where it is not defined: nothing was counted, or both coders gave one label only, the same.
    """
    counts = np.asarray(matrix, np.float64)
    total = counts.sum((-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.trace(counts, axis1=-2, axis2=-1) / total
        chance = (counts.sum(-1) * counts.sum(-2)).sum(-1) / total**2
        kappa = (observed - chance) / (1 - chance)
    return np.asarray(np.where(chance >= 1 - 1e-12, np.nan, kappa))


def fleiss_kappa(counts: Ints) -> float:
    """Fleiss' kappa of several coders, the same number for each subject.

    Fleiss, Psychological Bulletin 76 (1971).

    Args:
        counts: (subjects, labels), how many coders gave the label.

    Returns:
        -1 to 1; NaN where it is not defined, as for `cohen_kappa`.

    Raises:
        ValueError: fewer than two coders, or not the same number for each subject.
    """
    table = np.asarray(counts, np.float64)
    coders = table.sum(1)
    if not len(table) or coders.min() < 2 or coders.min() != coders.max():
        raise ValueError("counts: expected the same number of coders for each subject, 2 or more")
    n = coders[0]
    observed = ((table * (table - 1)).sum(1) / (n * (n - 1))).mean()
    chance = float(((table.sum(0) / table.sum()) ** 2).sum())
    return float("nan") if chance >= 1 - 1e-12 else float((observed - chance) / (1 - chance))


def kappa_interval(
    parts: Floats, *, level: float = 0.95, rounds: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Interval of Cohen's kappa by the percentile bootstrap over independent parts, such as clips.

    The parts are drawn as a whole, with replacement, since what is inside one of them depends on each other: Davison
    and Hinkley, Bootstrap Methods and their Application (1997), section 3.8.

    Args:
        parts: (parts, ..., n, n) the confusion matrix of each part; kappa is that of their sum.
        level, rounds, seed: of the bootstrap.

    Returns:
        (2, ...) low and high end; NaN with fewer than two parts, or where kappa is not defined.
    """
    tables = np.asarray(parts, np.float64)
    shape = tables.shape[1:]
    if len(tables) < 2:
        return np.full((2, *shape[:-2]), np.nan)
    rng, flat = np.random.default_rng(seed), tables.reshape(len(tables), -1)
    step = max(1, _AT_ONCE // max(len(tables), flat.shape[1]))
    drawn = [
        cohen_kappa((draws @ flat).reshape(-1, *shape))
        for begin in range(0, rounds, step)
        for draws in [_draws(rng, len(tables), min(step, rounds - begin))]
    ]
    kappas = np.concatenate(drawn)
    undefined = np.isnan(kappas).all(0)
    kappas = np.where(undefined, 0.0, kappas)
    ends = np.nanquantile(kappas, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.asarray(np.where(undefined, np.nan, ends))


def _draws(rng: np.random.Generator, parts: int, rounds: int) -> NDArray[np.float64]:
    """(rounds, parts) how often each part is drawn."""
    return rng.multinomial(parts, np.full(parts, 1 / parts), rounds).astype(np.float64)
