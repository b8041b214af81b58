"""What every cell of the detector's grids is to answer, and what a wrong answer costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from mien.faces.grid import STRIDES, cell_grid
from mien.training.detector.geometry import Faces

Tensor = Any

# Sizes of faces, the square root of their area in pixels, that a grid answers for: stride -> from, to.
SIZES = {8: (0.0, 52.0), 16: (40.0, 120.0), 32: (88.0, np.inf)}

TARGETS = 17
"""Numbers a cell: weight, whether its score counts, four of the box, ten of the landmarks, whether these are known."""

LANDMARK_WEIGHT = 3.0
BOX_WEIGHT = 2.0
BACKGROUND_WEIGHT = 0.75


def encode(faces: Faces, height: int, width: int) -> NDArray[np.float32]:
    """The targets of a picture's cells.

    A face is answered for by the cells near its middle, in the grid or the two grids of its size; where two faces
    claim a cell, the smaller one has it. Each of n cells weighs 1 / sqrt(n): large faces do not drown small ones.

    Returns:
        (cells, 17), box and landmarks as the network gives them.
    """
    centers, sides = cell_grid(height, width)
    targets = np.zeros((len(centers), TARGETS), np.float32)
    targets[:, 1] = 1 - _inside(centers, faces.ignored)
    size = (faces.boxes[:, 2:] - faces.boxes[:, :2]).astype(np.float32)
    scale = np.sqrt(size.prod(axis=1))
    middle = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2).astype(np.float32)
    owner = _owners(centers, sides, middle, scale)
    cells = np.flatnonzero(owner >= 0)
    who, side = owner[cells], sides[cells, None]
    counts = np.bincount(who, minlength=len(faces))
    targets[cells, 0] = 1 / np.sqrt(counts[who])
    targets[cells, 1] = 1
    targets[cells, 2:4] = (middle[who] - centers[cells]) / side
    targets[cells, 4:6] = np.log(size[who] / side)
    points = (faces.landmarks[who] - centers[cells, None]) / side[:, None]
    known: Any = np.isfinite(points).all(axis=(1, 2))
    targets[cells, 6:16] = np.where(known[:, None, None], points, 0).reshape(-1, 10)
    targets[cells, 16] = known
    return targets


def _owners(
    centers: NDArray[np.float32],
    sides: NDArray[np.float32],
    middle: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> NDArray[np.intp]:
    """The face that every cell answers for, -1 for none."""
    owner = np.full(len(centers), -1, np.intp)
    order = np.argsort(-scale, kind="stable")  # smaller ones later, over the larger ones
    for stride in STRIDES:
        level = np.flatnonzero(sides == stride)
        low, high = SIZES[stride]
        for face in order[(scale[order] >= low) & (scale[order] < high)]:
            # At least the cell of the centre, at most those of three by three.
            radius = np.clip(scale[face] / 3, 0.51 * stride, 1.5 * stride)
            near = np.abs(centers[level] - middle[face]).max(axis=1) <= radius
            owner[level[near]] = face
    return owner


def _inside(points: NDArray[np.float32], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of the points is in any of the boxes."""
    inside: Any = (points[:, None] >= boxes[None, :, :2]) & (points[:, None] <= boxes[None, :, 2:])
    return np.asarray(inside.all(axis=2).any(axis=1))


def detection_loss(targets: Tensor, answers: Tensor) -> Tensor:
    """The loss of a batch, per face: score, box and landmarks.

    The score should predict how well the box fits (Zhang et al., arXiv 2008.13367): binary cross-entropy against the
    intersection over union, for the background weighted down where the score is already low. The box's loss is the
    generalised one (Rezatofighi et al., arXiv 1902.09630). Landmarks have a smooth absolute error in sizes of the face.

    Args:
        targets: (n, cells, 17) as `encode` gives them.
        answers: (n, cells, 15).
    """
    weight, counts, known = targets[..., 0], targets[..., 1], targets[..., 16]
    # Every face's weights squared add up to one; pictures without a face count as one.
    faces = ops.maximum(ops.sum(weight**2), ops.cast(ops.shape(targets)[0], "float32"))
    overlap, general = box_overlap(targets[..., 2:6], answers[..., 1:5])
    quality = ops.stop_gradient(ops.clip(overlap, 0.0, 1.0))
    face = ops.cast(weight > 0, "float32")
    logit = answers[..., 0]
    surprise = ops.softplus(logit) - logit * quality * face
    doubt = BACKGROUND_WEIGHT * ops.stop_gradient(ops.sigmoid(logit)) ** 2 * counts * (1 - face)
    size = ops.exp((targets[..., 4:5] + targets[..., 5:6]) / 2)
    away = ops.abs(answers[..., 5:] - targets[..., 6:16]) / size
    smooth = ops.where(away < 0.1, away**2 / 0.2, away - 0.05)
    losses = (
        surprise * (weight + doubt)
        + BOX_WEIGHT * weight * (1 - general)
        + LANDMARK_WEIGHT * weight * known * ops.sum(smooth, axis=-1)
    )
    return ops.sum(losses) / faces


def box_overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of boxes, one with one, and the generalised one, which also measures their distance.

    Args:
        a, b: (..., 4): middle x, y, and logarithms of width and height.
    """
    half_a, half_b = (ops.exp(ops.clip(box[..., 2:], -8.0, 8.0)) / 2 for box in (a, b))
    low_a, low_b, high_a, high_b = (
        a[..., :2] - half_a,
        b[..., :2] - half_b,
        a[..., :2] + half_a,
        b[..., :2] + half_b,
    )
    shared = _area(ops.maximum(ops.minimum(high_a, high_b) - ops.maximum(low_a, low_b), 0.0))
    union = _area(2 * half_a) + _area(2 * half_b) - shared
    hull = _area(ops.maximum(high_a, high_b) - ops.minimum(low_a, low_b))
    overlap = shared / (union + 1e-7)
    return overlap, overlap - (hull - union) / (hull + 1e-7)


def _area(size: Tensor) -> Tensor:
    return size[..., 0] * size[..., 1]


def mean_overlap(targets: Tensor, answers: Tensor) -> Tensor:
    """How well the boxes fit, over all cells that answer for a face: a metric."""
    weight = targets[..., 0] ** 2
    overlap, _ = box_overlap(targets[..., 2:6], answers[..., 1:5])
    return ops.sum(weight * overlap) / ops.maximum(ops.sum(weight), 1e-7)
