"""What a network is to answer: the heads that a dataset can teach, and the targets of each."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.data.dataset import Dataset, Split
from mien.data.ferplus import majority_among, vote_shares
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.registry import DEFAULT_OUTPUT

Heads = dict[str, tuple[str, ...]]
"""Head -> its labels; the head of the dataset's own labels comes first."""

Rows: TypeAlias = slice | NDArray[np.int64]


class HeldOut(NamedTuple):
    """Images that were not trained on, and what a model should say of them.

    Attributes:
        images: (n, size, size) uint8.
        targets: head -> (n, labels) shares.
        right: (n,) the label that a right default answer has, -1 where none is.
    """

    images: NDArray[np.uint8]
    targets: dict[str, NDArray[np.float32]]
    right: NDArray[np.int64]


EXPRESSION = DEFAULT_OUTPUT
"""The head that answers by default, taught by label and votes together."""

_SEVEN = [FERPLUS_LABELS.index(label) for label in LABELS]
_CHUNK = 65_536


def heads_for(dataset: Dataset, *, votes: bool = True) -> Heads:
    """The heads a dataset can teach, the one of its own labels first: head -> labels.

    `votes`: whether the FER+ votes, if any, are learnt as well: by a head of their own, and by `EXPRESSION`, which
    learns from both.
    """
    train = dataset.split("train")
    first = "fer2013" if dataset.is_fer2013 else "labels"
    heads: Heads = {first: dataset.labels}
    if votes and dataset.labels == LABELS and train.votes is not None:
        heads |= {"ferplus": FERPLUS_LABELS, EXPRESSION: LABELS}
    return heads


def targets_for(
    split: Split, heads: Heads, label_share: float, rows: Rows = slice(None)
) -> dict[str, NDArray[np.float32]]:
    """Targets of every head, (n, labels) each; a row of zeros where an image teaches a head nothing.

    Args:
        split: the images.
        heads: what `heads_for` gave.
        label_share: of the label in the target of `EXPRESSION`; the rest is the votes'.
        rows: all rows, or some: a slice or indices (n,).
    """
    labels = split.targets[rows]
    own = np.eye(len(next(iter(heads.values()))), dtype=np.float32)[labels] * (labels >= 0)[:, None]
    targets = {next(iter(heads)): own}
    if "ferplus" in heads:
        votes = np.zeros((len(labels), 10), np.uint8) if split.votes is None else split.votes[rows]
        targets["ferplus"] = vote_shares(votes)
    if EXPRESSION in heads:
        # Where people looked and most saw no face, or no expression, a label teaches nothing.
        refused = (votes.sum(axis=1) > 0) & (targets["ferplus"].sum(axis=1) == 0)
        targets[EXPRESSION] = mixed(own, targets["ferplus"], label_share) * ~refused[:, None]
    return targets


def frequencies(split: Split, heads: Heads, label_share: float) -> NDArray[np.float32]:
    """How frequent each label is among the targets of `EXPRESSION`: (labels,), sums to 1, none is 0."""
    starts = range(0, len(split), _CHUNK)
    chunks = (targets_for(split, heads, label_share, slice(i, i + _CHUNK))[EXPRESSION] for i in starts)
    counts = 1 + np.sum([chunk.sum(axis=0) for chunk in chunks], axis=0)
    return np.asarray(counts / counts.sum(), np.float32)


def held_out(split: Split, heads: Heads, label_share: float) -> HeldOut:
    """A split as what an export is calibrated with; arguments as in `targets_for`."""
    return HeldOut(split.images, targets_for(split, heads, label_share), right_labels(split, heads))


def right_labels(split: Split, heads: Heads) -> NDArray[np.int64]:
    """The label that a right answer has, (n,): what most of ten people voted for, -1 where that is none of the labels.

    Without votes it is the label.
    """
    if EXPRESSION not in heads or split.votes is None:
        return split.targets
    return np.where(split.votes.sum(axis=1) > 0, majority_among(split.votes, LABELS), split.targets)


def mixed(label: NDArray[np.float32], votes: NDArray[np.float32], label_share: float) -> NDArray[np.float32]:
    """One target of label and votes: (n, 7) and (n, 8) shares -> (n, 7); the label's where no vote is for one of these.

    `label_share`: of the label in the result.
    """
    seven = votes[:, _SEVEN]
    total = seven.sum(axis=1, keepdims=True)
    both = label_share * label + (1 - label_share) * seven / np.maximum(total, 1e-6)
    return np.where(total > 0, both, label).astype(np.float32)
