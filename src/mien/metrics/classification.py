"""Classification metrics: confusion matrix, precision, recall, F1, balanced accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.metrics.arrays import Ints


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
