"""Conditions over people: means with bootstrap intervals, and a paired test where the same people are in both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = dict[str, Any]
Values = Mapping[tuple[str, str, str, str], float]
"""(condition, person, expression, measure) -> value."""

ROUNDS = 2000
_EXACT = 16  # people up to which all sign flips are counted
_FLIPS = 10_000


def condition_rows(
    values: Values, conditions: Sequence[str], labels: Sequence[str], measures: Sequence[str]
) -> list[Row]:
    """Rows of conditions.csv: every measure of every expression by condition, over people."""
    rows = []
    for condition in conditions:
        for label in labels:
            for measure in measures:
                found = np.array(
                    [v for (c, _, e, m), v in values.items() if (c, e, m) == (condition, label, measure)]
                )
                if len(found):
                    row = {
                        "condition": condition,
                        "expression": label,
                        "measure": measure,
                        "people": len(found),
                    }
                    rows.append(row | _described(found))
    return rows


def _described(found: NDArray[np.float64]) -> Row:
    low, high = bootstrap_interval(found)
    return {
        "mean": float(found.mean()),
        "sd": float(found.std(ddof=1)) if len(found) > 1 else None,
        "median": float(np.median(found)),
        "low": low,
        "high": high,
    }


def comparison_rows(
    values: Values,
    conditions: tuple[str, str],
    labels: Sequence[str],
    measures: Sequence[str],
    people: Iterable[str],
) -> list[Row]:
    """Rows of comparisons.csv: two conditions, over the people who have a value in both.

    Args:
        values: of people.
        conditions: the first, and the second; differences are second minus first.
        labels, measures: what is compared.
        people: those that are named: only they are known to be the same person in several clips.
    """
    named = sorted(people)
    rows: list[Row] = []
    for measure in measures:
        family: list[Row] = []
        for label in labels:
            pairs = [
                tuple(values.get((condition, person, label, measure)) for condition in conditions)
                for person in named
            ]
            both = np.array([pair for pair in pairs if None not in pair], np.float64)
            if len(both):
                place = {
                    "expression": label,
                    "measure": measure,
                    "first": conditions[0],
                    "second": conditions[1],
                }
                family.append(place | _compared(both))
        tested = [row for row in family if row["p_value"] is not None]
        for one, adjusted in zip(tested, holm([one["p_value"] for one in tested]), strict=True):
            one["p_holm"] = adjusted
        rows += family
    return rows


def _compared(both: NDArray[np.float64]) -> Row:
    differences = both[:, 1] - both[:, 0]
    low, high = bootstrap_interval(differences)
    spread = float(differences.std(ddof=1)) if len(both) > 1 else 0.0
    return {
        "people": len(both),
        "mean_first": float(both[:, 0].mean()),
        "mean_second": float(both[:, 1].mean()),
        "difference": float(differences.mean()),
        "low": low,
        "high": high,
        "effect_size": float(differences.mean()) / spread if spread > 1e-12 else None,
        "p_value": sign_flip_p_value(differences) if len(both) > 1 else None,
        "p_holm": None,
    }


def bootstrap_interval(
    values: NDArray[np.float64], *, rounds: int = ROUNDS, seed: int = 0
) -> tuple[float | None, float | None]:
    """95 % interval of the mean by the percentile bootstrap: `(low, high)`; (None, None) for fewer than two values.

    Efron, Annals of Statistics 7 (1979). With few people it is too narrow; the number of people stands beside it.

    Args:
        values: (n,), one for each person.
        rounds, seed: of the draws.
    """
    if len(values) < 2:
        return None, None
    drawn = np.random.default_rng(seed).integers(0, len(values), (rounds, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def sign_flip_p_value(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """Two-sided p-value that the mean of paired differences is 0, by flipping their signs.

    Fisher, The Design of Experiments (1935). All flips are counted up to 16 people; else 10,000 random ones and the
    data, (1 + as large) / (1 + flips): Phipson & Smyth (2010).

    Args:
        differences: (n,), one for each person.
        seed: of the random flips.
    """
    n, sum_ = len(differences), abs(differences.sum())
    # Two ways to add the same numbers differ in their last digits.
    least = sum_ - 1e-9 * np.abs(differences).sum()
    if n <= _EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) >= least).mean())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (_FLIPS, n))
    return float((1 + (np.abs(signs @ differences) >= least).sum()) / (1 + _FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family of tests: Holm, Scandinavian Journal of Statistics 6 (1979).

    Args:
        p_values: of the family.
    """
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, k in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[k]))
        adjusted[k] = highest
    return adjusted
