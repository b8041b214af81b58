"""Arithmetic of boxes as arrays: areas, overlaps, non-maximum suppression; `Box` has its own of a single pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.results import Box, Face

Floats = NDArray[np.floating[Any]]


def as_array(boxes: Iterable[Box]) -> NDArray[np.float64]:
    """Boxes as (n, 4): x1 y1 x2 y2."""
    return np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes], np.float64).reshape(-1, 4)


def scaled(face: Face, factor: float) -> Face:
    """A face in pixels of a picture that is larger by this factor."""
    if factor == 1:
        return face
    box, points = face.box, face.landmarks
    return replace(
        face,
        box=Box(*(factor * side for side in (box.x1, box.y1, box.x2, box.y2))),
        landmarks=points and tuple((factor * x, factor * y) for x, y in points),
    )


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


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m)."""
    common = shared(a, b)
    return np.asarray(common / np.maximum(areas(a)[:, None] + areas(b)[None] - common, 1e-9))


def distance_overlaps(a: Floats, b: Floats) -> Floats:
    """Distance-IoU (Zheng et al., AAAI 2020) of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m).

    IoU less the squared distance of the centres over that of the corners of the box around both: -1 to 1.
    """
    first, second = a[:, None], b[None]
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    around = np.maximum(first[..., 2:], second[..., 2:]) - np.minimum(first[..., :2], second[..., :2])
    distance = np.hypot(apart[..., 0], apart[..., 1]) / np.hypot(around[..., 0], around[..., 1])
    return np.asarray(overlaps(a, b) - distance**2)


def shared(a: Floats, b: Floats) -> Floats:
    """The area that every box of `a` (n, 4) has in common with every box of `b` (m, 4): (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray((high - low).clip(0).prod(axis=2))


def areas(boxes: Floats) -> Floats:
    """(n, 4) -> (n,)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
