"""Scores of a classifier, in numpy alone. Targets and predictions are integers, the index of a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (n, k) of logits (n, k), each row summing to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def confusion_matrix(targets: Ints, predictions: Ints, labels: int) -> Ints:
    """(labels, labels) counts: rows are the true label, columns the predicted one."""
    flat = np.bincount(targets * labels + predictions, minlength=labels * labels)
    return flat.reshape(labels, labels).astype(np.int64)


def precision_recall_f1(matrix: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 of every label, (labels,) each, in [0, 1]; 0 where undefined."""
    hits = np.diag(matrix).astype(np.float64)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    recall = hits / np.maximum(matrix.sum(axis=1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return precision, recall, f1


def balanced_accuracy(matrix: Ints) -> float:
    """The mean recall over the labels that occur."""
    _, recall, _ = precision_recall_f1(matrix)
    return float(recall[matrix.sum(axis=1) > 0].mean())


def macro_f1(matrix: Ints) -> float:
    """The mean F1 over the labels that occur or were predicted."""
    *_, f1 = precision_recall_f1(matrix)
    return float(f1[(matrix.sum(axis=1) + matrix.sum(axis=0)) > 0].mean())


def calibration_error(confidences: Floats, correct: Bools, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over bins of equal width.

    Guo et al., arXiv 1706.04599.

    Args:
        confidences: (n,) highest probability of every answer, 0 to 1.
        correct: (n,) whether the answer was right.
        bins: how many.

    Returns:
        0 (confidence is accuracy) to 1.
    """
    place = np.clip((confidences * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(place, weights=correct.astype(np.float64) - confidences, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidences))


def bootstrap_interval(
    correct: Bools, *, level: float = 0.95, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the accuracy by the percentile bootstrap over images: `(low, high)`, 0 to 1.

    Resampling n answers of which a share is right is a binomial draw, and is drawn as one.
    """
    n = len(correct)
    shares = np.random.default_rng(seed).binomial(n, float(correct.mean()), rounds) / n
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def fit_temperature(logits: Floats, targets: Floats) -> float:
    """The temperature under which softmax(logits / temperature) is nearest to the targets (cross-entropy).

    Guo et al., arXiv 1706.04599; found by golden-section search over 0.1 to 10.

    Args:
        logits: (n, k).
        targets: (n, k) shares; a row of zeros does not count. Without any other row it is 1.
    """
    if not targets.any():
        return 1.0

    def loss(log_temperature: float) -> float:
        probabilities = softmax(logits, float(np.exp(log_temperature)))
        return float(-(targets * np.log(np.maximum(probabilities, 1e-12))).sum())

    ratio = (np.sqrt(5) - 1) / 2
    low, high = float(np.log(0.1)), float(np.log(10))
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def threshold_for_precision(confidences: Floats, correct: Bools, precision: float) -> float:
    """The lowest confidence from which on the answers are right at that rate; 1.0 if they never are."""
    order = np.argsort(-confidences, kind="stable")
    rates = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    # A threshold lets in all answers of equal confidence, or none of them: only the last of equals counts.
    last = np.append(np.diff(confidences[order]) != 0, True)
    good = np.flatnonzero((rates >= precision) & last)
    return float(confidences[order[good[-1]]]) if len(good) else 1.0
