"""The grid of answers of mien's face detector: where its cells lie, and what their numbers mean.

A cell's fifteen numbers are the logit of its score; the box as its centre's offset from the cell's (x, y) and the
logarithms of its width and height; and the offsets of five landmarks (x, y). All lengths are in strides.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
"""Sides of the cells of the three grids, in pixels; a picture's sides are multiples of the largest."""

OUTPUTS = 15
"""Numbers a cell."""

Floats = NDArray[np.float32]


@lru_cache(maxsize=8)
def cell_grid(height: int, width: int) -> tuple[Floats, Floats]:
    """The cells of a picture, grid by grid, row by row.

    Returns:
        Their centres (cells, 2) as x, y in pixels, and their sides (cells,) in pixels; not to be written to.
    """
    centers, sides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[0 : height // stride, 0 : width // stride]
        centers.append((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride)
        sides.append(np.full(x.size, stride))
    grid = np.concatenate(centers).astype(np.float32), np.concatenate(sides).astype(np.float32)
    for part in grid:
        part.setflags(write=False)
    return grid


def decode(answers: Floats, centers: Floats, sides: Floats) -> tuple[Floats, Floats, Floats]:
    """What cells say, in pixels.

    Args:
        answers: (n, 15) of n cells.
        centers, sides: of the same cells, (n, 2) and (n,).

    Returns:
        Scores (n,) in [0, 1], boxes (n, 4) as x1 y1 x2 y2, landmarks (n, 5, 2).
    """
    scores = 1 / (1 + np.exp(-answers[:, 0].clip(-30, 30)))
    middle = centers + answers[:, 1:3] * sides[:, None]
    half = np.exp(answers[:, 3:5].clip(-8, 8)) * sides[:, None] / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    landmarks = centers[:, None] + answers[:, 5:].reshape(-1, 5, 2) * sides[:, None, None]
    return scores, boxes, landmarks


def suppress(scores: Floats, boxes: Floats, overlap: float, inside: float = 1.0) -> NDArray[np.intp]:
    """Non-maximum suppression: of boxes that overlap, the one with the highest score stays.

    Args:
        scores: (n,).
        boxes: (n, 4) as x1 y1 x2 y2.
        overlap: intersection over union above which two boxes are of the same face.
        inside: share of the smaller box that lies in the larger one above which they are, too.

    Returns:
        The places of those that stay, highest score first.
    """
    order = np.argsort(-scores, kind="stable")
    size = areas(boxes)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        common = shared(boxes[best][None], boxes[order])[0]
        union = size[best] + size[order] - common
        least = np.minimum(size[best], size[order])
        order = order[(common <= overlap * union) & (common <= inside * least)]
    return np.array(kept, np.intp)


def vote(
    scores: Floats, boxes: Floats, landmarks: Floats, kept: NDArray[np.intp], overlap: float
) -> tuple[Floats, Floats]:
    """Each kept box as the mean of all that tell of the same face, weighted by their scores, and so its landmarks.

    One cell's box is noisier than what all cells near a face say together (Gidaris and Komodakis, ICCV 2015).

    Args:
        scores, boxes, landmarks: (n,), (n, 4), (n, 5, 2).
        kept: places of k boxes, as `suppress` gives them.
        overlap: intersection over union with a kept box from which a box tells of the same face.

    Returns:
        Boxes (k, 4) and landmarks (k, 5, 2).
    """
    weights = (overlaps(boxes[kept], boxes) >= overlap) * scores
    weights /= weights.sum(axis=1, keepdims=True)
    means = weights @ np.concatenate([boxes, landmarks.reshape(-1, 10)], axis=1)
    return means[:, :4].astype(np.float32), means[:, 4:].reshape(-1, 5, 2).astype(np.float32)


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m)."""
    common = shared(a, b)
    return np.asarray(common / np.maximum(areas(a)[:, None] + areas(b)[None] - common, 1e-9))


def shared(a: Floats, b: Floats) -> Floats:
    """The area that every box of `a` (n, 4) has in common with every box of `b` (m, 4): (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray((high - low).clip(0).prod(axis=2))


def areas(boxes: Floats) -> Floats:
    """(n, 4) -> (n,)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
