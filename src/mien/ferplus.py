"""FER+ votes: what ten people saw in an image of FER2013 (Barsoum et al., arXiv 1608.01041).

A row of votes counts the eight expressions of `FERPLUS_LABELS`, then "unknown", then "not a face".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.emotions import FERPLUS_LABELS

_EXPRESSIONS = len(FERPLUS_LABELS)


def vote_shares(votes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Share of each expression among the votes for an expression: (n, 10) counts -> (n, 8).

    Rows sum to 1; a row is zeros where most voters saw no face, or nobody named an expression.
    """
    named = votes[:, :_EXPRESSIONS].astype(np.float32)
    named[votes[:, -1] > named.max(axis=1)] = 0
    return np.asarray(named / np.maximum(named.sum(axis=1, keepdims=True), 1))


def majority(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The expression with the most votes, (n,): index into `FERPLUS_LABELS`, the first of equals.

    -1 where "unknown" or "not a face" has the most, or where there are no votes.
    """
    winner = votes.argmax(axis=1)
    return np.where((winner < _EXPRESSIONS) & (votes.sum(axis=1) > 0), winner, -1)
