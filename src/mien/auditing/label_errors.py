"""Which labels are likely wrong: by FER+ votes, or by what a model says that never saw those labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien._core.text import count
from mien.labels import FERPLUS_LABELS
from mien.metrics.calibration import softmax

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Votes = NDArray[np.uint8]

_STEPS = 100
_PENALTY = 1.0


def is_no_face(votes: Votes) -> Bools:
    """Where more than half of the votes, (n, 10) counts, say "not a face": (n,)."""
    return np.asarray(2 * votes[:, -1].astype(np.int64) > votes.sum(axis=1, dtype=np.int64), np.bool_)


def label_errors_by_votes(votes: Votes, targets: Ints, labels: Sequence[str]) -> Ints:
    """The label that the votes name instead, where they speak clearly against the given one.

    That is: more than half of all votes name one other label of the dataset, and a tenth at most the given.

    Args:
        votes: (n, 10) counts, see `mien.ferplus`.
        targets: (n,) index of the given label.
        labels: words of `FERPLUS_LABELS`.

    Returns:
        (n,) index of the label with the most votes, -1 where the given one stands.

    Raises:
        ValueError: a label is no word of FER+'s.
    """
    if unknown := set(labels) - set(FERPLUS_LABELS):
        raise ValueError(f"no votes for {', '.join(sorted(unknown))}: expected {', '.join(FERPLUS_LABELS)}")
    named = votes[:, [FERPLUS_LABELS.index(label) for label in labels]].astype(np.int64)
    total = votes.sum(axis=1, dtype=np.int64)
    rows, other = np.arange(len(votes)), named.argmax(axis=1)
    clear = (2 * named[rows, other] > total) & (10 * named[rows, targets] <= total) & (other != targets)
    return np.where(clear, other, -1)


def out_of_fold_probabilities(
    features: Floats, targets: Ints, groups: Ints, classes: int, *, folds: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """What a logistic regression says about each image when it is fitted without it.

    Args:
        features: (n, d), such as the logarithms of a model's probabilities.
        targets: (n,) index of the label.
        groups: (n,) images of one number, such as copies, are never divided between fitting and answering.
        classes: how many labels there are.
        folds: in how many parts the groups are divided.
        seed: of the division.

    Returns:
        (n, classes) probabilities.

    Raises:
        ValueError: fewer groups than folds.
    """
    names, number = np.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise ValueError(f"{count(len(names), 'different image')}, expected {folds} or more")
    fold = (np.random.default_rng(seed).permutation(len(names)) % folds)[number.reshape(-1)]
    spread = features.std(axis=0)
    x = (features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    x = np.hstack([x, np.ones((len(x), 1))])
    answers = np.empty((len(x), classes))
    for k in range(folds):
        weights = _fit(x[fold != k], targets[fold != k], classes)
        answers[fold == k] = softmax(x[fold == k] @ weights)
    return answers


def _fit(x: Floats, targets: Ints, classes: int) -> NDArray[np.float64]:
    """Weights (d, classes) of a multinomial logistic regression with a quadratic penalty.

    Gradient steps scaled by Boehning's bound of the curvature (Ann. Inst. Stat. Math. 44, 1992), which never
    overshoot and need no step size, with Nesterov's momentum.
    """
    identity = np.eye(x.shape[1])
    scale = np.linalg.inv(0.5 * x.T @ x + _PENALTY * identity)
    wanted = np.eye(classes)[targets]
    weights = ahead = np.zeros((x.shape[1], classes))
    pace = 1.0
    for _ in range(_STEPS):
        gradient = x.T @ (softmax(x @ ahead) - wanted) + _PENALTY * ahead
        before, weights = weights, ahead - scale @ gradient
        if np.abs(gradient).max() < 1e-5 * len(x):
            break
        faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        ahead = weights + (pace - 1) / faster * (weights - before)
        pace = faster
    return np.asarray(weights)


def label_errors_by_model(probabilities: Floats, targets: Ints) -> Ints:
    """The label that a model is sure of instead, by confident learning (Northcutt et al., arXiv 1911.00068).

    A model is sure of a label when it gives it at least the probability that it gives that label on average
    where it is the given one. A given label is doubted when the most probable of the labels that the model is
    sure of is another one, and more probable than the given.

    Args:
        probabilities: (n, classes), of a model that was fitted without these labels.
        targets: (n,) index of the given label.

    Returns:
        (n,) index of the label that is likely right, -1 where the given one stands.
    """
    classes = probabilities.shape[1]
    given = probabilities[np.arange(len(targets)), targets]
    counts = np.bincount(targets, minlength=classes)
    # A label without images: no mean, and no prediction can be confident of it.
    sure = np.where(counts > 0, np.bincount(targets, given, classes) / np.maximum(counts, 1), np.inf)
    candidates = np.where(probabilities >= sure, probabilities, -1.0)
    best = candidates.argmax(axis=1)
    return np.where((best != targets) & (candidates.max(axis=1) > given), best, -1)
