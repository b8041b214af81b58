"""The output grid of mien's face detector: the positions of its cells, and the meaning of their numbers.

A cell's fifteen numbers are the logit of its score; the box as its centre's offset from the cell's (x, y) and the
logarithms of its width and height; and the offsets of five landmarks (x, y). All lengths are in strides.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import Floats, overlaps

STRIDES = (8, 16, 32)
"""Sides of the cells of the three grids, in pixels; a picture's sides are multiples of the largest."""

OUTPUTS = 15
"""Numbers a cell."""


@lru_cache(maxsize=64)
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


def vote(
    scores: Floats, boxes: Floats, landmarks: Floats, kept: NDArray[np.intp], overlap: float
) -> tuple[Floats, Floats]:
    """Each kept box, and its landmarks, as the mean of all boxes of the same face, weighted by their scores.

    One cell's box is noisier than what all cells near a face say together (Gidaris and Komodakis, ICCV 2015).

    Args:
        scores, boxes, landmarks: (n,), (n, 4), (n, 5, 2).
        kept: places of k boxes, as `suppress` gives them.
        overlap: intersection over union with a kept box from which a box belongs to the same face.

    Returns:
        Boxes (k, 4) and landmarks (k, 5, 2).
    """
    weights = (overlaps(boxes[kept], boxes) >= overlap) * scores
    weights /= weights.sum(axis=1, keepdims=True)
    means = weights @ np.concatenate([boxes, landmarks.reshape(-1, 10)], axis=1)
    return means[:, :4].astype(np.float32), means[:, 4:].reshape(-1, 5, 2).astype(np.float32)
