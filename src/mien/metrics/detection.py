"""Detection metrics: average precision, and recall at a rate of false positives, against known boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import areas, overlaps, shared

Floats = NDArray[np.float32]

OVERLAP = 0.5
"""Intersection over union from which a box has found a face."""

_COVERED = 0.5  # share of a box inside an ignored one from which it counts neither as right nor as wrong


@dataclass(frozen=True)
class PictureScores:
    """What a detector did on one picture.

    Attributes:
        scores: (n,) of its boxes that count, in falling order.
        hits: (n,) bool, which of them found a face that none before it had found.
        faces: the number of faces to find.
    """

    scores: Floats
    hits: NDArray[np.bool_]
    faces: int


def match(
    scores: Floats, boxes: Floats, faces: Floats, ignored: Floats, *, overlap: float = OVERLAP
) -> PictureScores:
    """Compare the boxes found in a picture with its faces.

    The best box comes first; each takes the remaining face that it overlaps most. A box without a face is ignored if
    it matches an ignored face or is inside of one, and is a false positive otherwise.

    Args:
        scores: (n,).
        boxes: (n, 4) found, as x1 y1 x2 y2.
        faces: (m, 4) to be found.
        ignored: (k, 4) that may be found or not.
        overlap: intersection over union that a find needs.
    """
    order = np.argsort(-scores, kind="stable")
    scores, boxes = scores[order], boxes[order]
    fit = overlaps(boxes, faces)
    forgiven = (overlaps(boxes, ignored) >= overlap).any(axis=1) | (_inside(boxes, ignored) >= _COVERED).any(
        axis=1
    )
    hits = np.zeros(len(boxes), bool)
    for i in range(len(boxes)):
        if len(faces) and fit[i].max() >= overlap:
            hits[i] = True
            fit[:, fit[i].argmax()] = -1
    counts = hits | ~forgiven
    return PictureScores(scores[counts], hits[counts], len(faces))


def average_precision(pictures: Sequence[PictureScores]) -> float:
    """The area under the precision-recall curve, with interpolated precision (PASCAL VOC, 2010).

    Raises:
        ValueError: there is no face in any of the pictures.
    """
    _, hits, faces = _pooled(pictures)
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / faces)


def recall_at(pictures: Sequence[PictureScores], false_boxes: float) -> float:
    """Recall at the threshold with this mean number of false positives per picture.

    Raises:
        ValueError: there is no face in any of the pictures.
    """
    _, hits, faces = _pooled(pictures)
    allowed = np.cumsum(~hits) <= false_boxes * len(pictures)
    return float(hits[allowed].sum() / faces)


def counts_at(pictures: Sequence[PictureScores], min_score: float) -> tuple[int, int]:
    """Faces found and false boxes, of those with at least that score."""
    found = sum(int(p.hits[p.scores >= min_score].sum()) for p in pictures)
    return found, sum(int((~p.hits[p.scores >= min_score]).sum()) for p in pictures)


def choose_min_score(pictures: Sequence[PictureScores]) -> float:
    """The minimum score of a face with which most pictures have exactly the right faces; of equals the highest.

    Raises:
        ValueError: there is no face in any of the pictures.
    """
    scores, hits, _ = _pooled(pictures)
    if not hits.any():
        return 0.5
    # A picture is right with a minimum score above its best false box and not above its worst hit.
    ranges = [
        (max(p.scores[~p.hits], default=0.0), min(p.scores[p.hits], default=1.0))
        for p in pictures
        if p.hits.sum() == p.faces
    ]
    low, high = np.array(ranges, np.float64).reshape(-1, 2).T
    right = ((low < scores[:, None]) & (scores[:, None] <= high)).sum(axis=1)
    best = int(right.argmax())
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    return float((scores[best] + below) / 2)


def _pooled(pictures: Sequence[PictureScores]) -> tuple[Floats, NDArray[np.bool_], int]:
    """All boxes by falling score, and the number of faces."""
    faces = sum(p.faces for p in pictures)
    if not faces:
        raise ValueError("no face in any picture: expected some to be found")
    scores = np.concatenate([p.scores for p in pictures])
    order = np.argsort(-scores, kind="stable")
    return scores[order], np.concatenate([p.hits for p in pictures])[order], faces


def _inside(boxes: Floats, others: Floats) -> Floats:
    """The share of every box of (n, 4) inside every one of the others (m, 4): (n, m)."""
    return np.asarray(shared(boxes, others) / np.maximum(areas(boxes)[:, None], 1e-9))
