"""Scores of a classifier, in numpy alone. Targets and predictions are integers, the index of a label."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.metrics.arrays import Bools, Floats
from mien.metrics.significance import binomial_tail, normal_quantile


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (n, k) of logits (n, k), each row summing to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


BINS = 15
"""Intervals of the confidence, all of one width, in which it is compared with the accuracy."""


def in_bins(
    confidences: Floats, correct: Bools, bins: int = BINS
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Answers by intervals of the confidence, of equal width.

    Args:
        confidences: (n,) highest probability of every prediction, 0 to 1.
        correct: (n,) whether the prediction was right.
        bins: how many.

    Returns:
        Three arrays (bins,): how many answers (int64), how many of them are right, and the sum of their confidences
        (float64).
    """
    place = np.clip((confidences * bins).astype(int), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    return counts, np.bincount(place, correct.astype(np.float64), bins), np.bincount(place, confidences, bins)


def calibration_error(confidences: Floats, correct: Bools, bins: int = BINS) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over bins of equal width.

    Guo et al., arXiv 1706.04599.

    Args:
        confidences, correct, bins: as in `in_bins`.

    Returns:
        0 (confidence is accuracy) to 1.
    """
    counts, right, confidence = in_bins(confidences, correct, bins)
    return float(np.abs(right - confidence).sum() / counts.sum())


def fit_temperature(logits: Floats, targets: Floats, *, certainty: float = 0.5) -> float:
    """The temperature under which softmax(logits / temperature) is nearest to the targets (cross-entropy).

    Guo et al., arXiv 1706.04599; looked for between 0.1 and 10.

    Args:
        logits: (n, k).
        targets: (n, k) shares; rows of zeros are ignored. Without any other row it is 1.
        certainty: that the temperature is not too low, 0.5 to below 1: more gives the upper end of a one-sided
            interval (by the sandwich estimate of its error), so few images lower the confidence.
    """
    if not targets.any():
        return 1.0
    best = math.exp(
        _minimum(
            lambda log_temperature: _cross_entropy(softmax(logits, math.exp(log_temperature)), targets),
            math.log(0.1),
            math.log(10),
        )
    )
    if certainty <= 0.5:
        return best
    # By the logarithm of the temperature, an image each: the slope of the cross-entropy, and its curvature.
    scaled, p = logits / best, softmax(logits, best)
    weight, mean = targets.sum(axis=1), (p * scaled).sum(axis=1)
    slope = (targets * scaled).sum(axis=1) - weight * mean
    curvature = float((weight * ((p * scaled**2).sum(axis=1) - mean**2)).sum())
    error = math.sqrt(float((slope**2).sum())) / max(curvature, 1e-12)
    return min(10.0, best * math.exp(min(10.0, normal_quantile(certainty) * error)))


def _cross_entropy(probabilities: Floats, targets: Floats) -> float:
    return float(-(targets * np.log(np.maximum(probabilities, 1e-12))).sum())


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one minimum has it, to 1e-4 (golden-section search)."""
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return (low + high) / 2


THRESHOLDS = np.arange(99, 0, -1) / 100
"""The thresholds of the confidence that are tried: known before any prediction is seen, or nothing would be certain."""

_STARTS = (0.9, 0.75, 0.6, 0.45)


def threshold_for_precision(
    confidences: Floats, correct: Bools, precision: float, *, certainty: float = 0.95
) -> float:
    """The lowest of `THRESHOLDS` from which on predictions are right at that rate; 1.0 if none is certain to be.

    With a probability of `certainty`, over the draw of the images given here, the rate holds for other images of the
    same kind. Selective risk is tested at one threshold after the other, by the exact binomial tail, from each of four
    starts downwards until a test fails ("fixed sequence testing"); the starts share what is left of the certainty.
    Angelopoulos et al., *Learn then test*, arXiv 2110.01052; of selective risk: Geifman & El-Yaniv, arXiv 1705.08500.

    Args:
        confidences: (n,) of the predictions.
        correct: (n,) whether they are right.
        precision: the rate, above 0 to below 1.
        certainty: above 0 to below 1.

    Raises:
        ValueError: a precision or a certainty out of range.
    """
    for name, value in (("precision", precision), ("certainty", certainty)):
        if not 0 < value < 1:
            raise ValueError(f"{name}={value}: expected a number between 0 and 1")
    kept = np.array([int((confidences >= threshold).sum()) for threshold in THRESHOLDS])
    wrong = np.array([int((confidences[~correct] >= threshold).sum()) for threshold in THRESHOLDS])
    least, allowed = 1.0, (1 - certainty) / len(_STARTS)
    for start in _STARTS:
        for place in np.flatnonzero(start + 1e-9 >= THRESHOLDS):
            if binomial_tail(wrong[place], kept[place], 1 - precision) > allowed:
                break
            least = min(least, float(THRESHOLDS[place]))
    return least


def selective_accuracy(
    confidences: Floats, correct: Bools
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy of the predictions kept, against coverage, the share kept: the risk-coverage curve, with 1 - risk.

    Predictions are kept from a threshold of the confidence on (Geifman & El-Yaniv, arXiv 1705.08500). Those of equal
    confidence are kept together, so the curve does not depend on the order of the predictions.

    Args:
        confidences: (n,) highest probability of every prediction, 0 to 1.
        correct: (n,) whether the prediction was right.

    Returns:
        coverage: (n,), the share that is kept by a threshold at the confidence of each prediction, rising to 1.
        accuracy: (n,), the share of right ones among them.
    """
    order = np.argsort(-confidences, kind="stable")
    ranked, hits = confidences[order], np.cumsum(correct[order])
    # A threshold at some confidence keeps all predictions down to the last of equal confidence.
    kept = np.searchsorted(-ranked, -ranked, side="right")
    return kept / len(order), hits[kept - 1] / kept


def area_under_risk_coverage(confidences: Floats, correct: Bools) -> float:
    """AURC: the mean error of the predictions kept, over the thresholds at the confidence of every prediction.

    0 is best. Uninformative confidences give the error of all predictions on average.
    Geifman, Uziel & El-Yaniv, arXiv 1805.08206. Arguments as in `selective_accuracy`.
    """
    return float(1 - selective_accuracy(confidences, correct)[1].mean())
