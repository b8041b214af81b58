"""FER+ votes: what ten people saw in an image of FER2013 (Barsoum et al., arXiv 1608.01041).

A row of votes counts the eight expressions of `FERPLUS_LABELS`, then "unknown", then "not a face".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.labels import FERPLUS_LABELS
from mien.metrics.calibration import calibration_error
from mien.metrics.significance import accuracy_interval, rank_correlation

_EXPRESSIONS = len(FERPLUS_LABELS)


def vote_shares(votes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Share of each expression among the votes for an expression: (n, 10) counts -> (n, 8).

    Rows sum to 1; a row is zeros if most voters saw no face, or none named an expression.
    """
    named = votes[:, :_EXPRESSIONS].astype(np.float32)
    named[votes[:, -1] > named.max(axis=1)] = 0
    return np.asarray(named / np.maximum(named.sum(axis=1, keepdims=True), 1))


def majority(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The expression with the most votes, (n,): index into `FERPLUS_LABELS`, the first of equals.

    -1 if "unknown" or "not a face" has the most, or if there are no votes.
    """
    winner = votes.argmax(axis=1)
    return np.where((winner < _EXPRESSIONS) & (votes.sum(axis=1) > 0), winner, -1)


def majority_among(votes: NDArray[np.uint8], labels: Sequence[str]) -> NDArray[np.int64]:
    """The label with the most votes, (n,): index into `labels`, some of the eight; -1 where it is none of them."""
    places = np.full(_EXPRESSIONS + 1, -1)
    places[[FERPLUS_LABELS.index(label) for label in labels]] = range(len(labels))
    return places[majority(votes)]  # -1 is the last place


@dataclass(frozen=True)
class VoteAgreement:
    """How a model's probabilities agree with the votes.

    Attributes:
        n: images whose majority is one of the model's labels; only these count.
        majority: share of answers that are the majority.
        interval: 95 % of it, by Wilson's score.
        vote_share: mean share of the votes that the answer has: how often one voter, drawn at random, agrees.
        highest_vote_share: the same for answers that are always the majority: no answer can do better.
        correlation: Pearson's, between all n x labels probabilities and vote shares; 0 where undefined.
        ambiguity: Spearman's rank correlation between the entropy of the probabilities and that of the votes, over
            the images: whether the model doubts where people disagree; 0 where undefined.
        labels: share of the dataset's own labels that are the majority.
        calibration_error: expected calibration error, where the majority is what is right.
    """

    n: int
    majority: float
    interval: tuple[float, float]
    vote_share: float
    highest_vote_share: float
    correlation: float
    ambiguity: float
    labels: float
    calibration_error: float


def vote_agreement(
    probabilities: NDArray[np.floating],
    votes: NDArray[np.uint8],
    labels: Sequence[str],
    true_labels: Sequence[str],
) -> VoteAgreement | None:
    """Compare a model's probabilities with the votes for the same images.

    Shares are of all votes for an expression: where the model has fewer labels than the eight of FER+, the votes
    for the missing ones (contempt) agree with no prediction, and images with such a majority are skipped.

    Args:
        probabilities: (n, k).
        votes: (n, 10) counts.
        labels: the k labels of the probabilities.
        true_labels: the dataset's own label of each of the n images.

    Returns:
        None where a label is none of the eight, or no image has a majority among the labels.
    """
    if not set(labels) <= set(FERPLUS_LABELS):
        return None
    columns = [FERPLUS_LABELS.index(label) for label in labels]
    winners = majority(votes)
    counted = np.isin(winners, columns)
    if not counted.any():
        return None
    shares = vote_shares(votes)[counted]
    winners, predicted = winners[counted], probabilities[counted]
    answers = np.array(columns)[predicted.argmax(axis=1)]
    named = np.array([FERPLUS_LABELS.index(x) if x in FERPLUS_LABELS else -1 for x in true_labels])[counted]
    own = shares[:, columns]
    varies = predicted.std() > 0 and own.std() > 0
    return VoteAgreement(
        n=len(winners),
        majority=float((answers == winners).mean()),
        interval=accuracy_interval(answers == winners),
        vote_share=float(shares[np.arange(len(answers)), answers].mean()),
        highest_vote_share=float(shares.max(axis=1).mean()),
        correlation=float(np.corrcoef(predicted.ravel(), own.ravel())[0, 1]) if varies else 0.0,
        ambiguity=rank_correlation(_entropy(predicted), _entropy(shares)),
        labels=float((named == winners).mean()),
        calibration_error=calibration_error(predicted.max(axis=1), answers == winners),
    )


def _entropy(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of each row, in nats: (n, k) -> (n,)."""
    whole = shares.astype(np.float64)
    # Rounded: equal distributions must not differ by the order in which they were summed.
    return np.asarray(np.round(-(whole * np.log(np.maximum(whole, 1e-12))).sum(axis=1), 9))
