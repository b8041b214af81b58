"""The search of mien's face detector: pictures scaled for its network, its answers read in the pictures' own pixels.

Every picture is looked at twice, whole and at a quarter of that size, which costs a sixteenth more: the network knows
faces of 9 to 260 pixels, and faces that fill a picture appear only in the small view.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import Floats, suppress
from mien._core.opencv import cv2
from mien.faces.grid import STRIDES, cell_grid, decode, vote

ENLARGED = 2.0
"""Small pictures are enlarged by no more than this."""

QUARTER = 4

OVERLAP = 0.4
"""Two boxes with a higher intersection over union are one face: the one with the higher score stays, and all of
them determine its position."""

MIN_VOTING_SCORE = 0.05
"""Boxes with a lower score than this, and than the threshold of a face, do not affect its position."""

INSIDE = 0.7
"""The same if at least this much of the smaller box is in the other: a part of a face may look like a smaller one."""

LARGE_FACE = 0.7
"""A face whose longer side is this share of the picture's: the picture was taken of it ..."""

LARGE_FACE_FACTOR = 0.75
"""... so that this share of the minimum score is enough. It hardly matters in photographs; of blurred or tiny pictures
of one face far fewer are missed."""

LARGEST = 280.0
"""Boxes with a longer side, in pixels of the view, are left to the small view."""

SMALLEST_IN_QUARTER = 40.0
"""Boxes with a shorter longer side, in pixels of the small view, are left to the whole one."""

MOST_BOXES = 1000
"""This many of the best boxes are compared; no picture has more recognisable faces."""

DARK, LIT, MOST_LIGHT = 160, 230, 16
"""A picture in which hardly a pixel (1 in 100) reaches the first grey level is brightened until one in 100 reaches the
second, but at most this many times: the network was trained on few pictures as dark as that."""

_EVERY = 8  # one row and column out of this many are enough to measure the brightness

_BATCH = 8

Network: TypeAlias = Callable[[NDArray[np.uint8]], Floats]
"""(n, height, width, 3) uint8 RGB, multiples of 32 -> (n, cells, 15)."""

Found: TypeAlias = tuple[Floats, Floats, Floats]
"""Scores (n,), highest first, boxes (n, 4) and landmarks (n, 5, 2) in pixels of the picture."""


@dataclass(frozen=True)
class View:
    """A picture, scaled and filled up.

    Attributes:
        image: (height, width, 3) uint8 RGB, height and width multiples of 32, the picture at its top left.
        size: the original's width and height in pixels.
        scale: what its x and y were multiplied by.
        smallest: least longer side of a box that is looked for here, in pixels of the view.
        largest: greatest one.
    """

    image: NDArray[np.uint8]
    size: tuple[int, int]
    scale: tuple[float, float]
    smallest: float = 0.0
    largest: float = math.inf


def search(
    network: Network, images: Sequence[NDArray[np.uint8]], long_side: int, min_score: float
) -> list[Found]:
    """The faces of several pictures; views of one size go through the network together.

    Args:
        network: gives the output of the cells.
        images: (H, W, 3) uint8 RGB each.
        long_side: that pictures are scaled to, in pixels; small ones are enlarged by `ENLARGED` at most.
        min_score: boxes with a lower score are dropped, as are those whose centre is outside of the picture.
    """
    views = [(place, view) for place, image in enumerate(images) for view in views_of(image, long_side)]
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, (_, view) in enumerate(views):
        groups[view.image.shape].append(i)
    seen: list[list[Found]] = [[] for _ in images]
    for members in groups.values():
        for start in range(0, len(members), _BATCH):
            some = [views[i] for i in members[start : start + _BATCH]]
            for (place, view), answers in zip(
                some, network(np.stack([v.image for _, v in some])), strict=True
            ):
                seen[place].append(_read(answers, view, min(min_score, MIN_VOTING_SCORE)))
    return [_merged(parts, min_score, image) for parts, image in zip(seen, images, strict=True)]


def views_of(image: NDArray[np.uint8], long_side: int) -> list[View]:
    """A picture (H, W, 3) uint8 scaled to a long side and, where that can show faces too large there, to a quarter."""
    height, width = image.shape[:2]
    factor = min(long_side / max(height, width), ENLARGED)
    whole = brightened(_resize(image, factor, (height, width)))
    if max(whole.shape[:2]) <= LARGEST:
        return [_view(whole, (width, height))]
    quarter = _resize(whole, factor / QUARTER, (height, width))
    return [
        _view(whole, (width, height), largest=LARGEST),
        _view(quarter, (width, height), smallest=SMALLEST_IN_QUARTER),
    ]


def brightened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dark picture (H, W, 3) uint8 with more light, its colours and contrasts kept; any other one as it is."""
    brightest = np.percentile(image[::_EVERY, ::_EVERY].max(axis=2), 99)
    if brightest >= DARK or brightest == 0:
        return image
    return np.asarray(cv2.convertScaleAbs(image, alpha=min(LIT / brightest, MOST_LIGHT)), np.uint8)


def _resize(image: NDArray[np.uint8], factor: float, original: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture brought to `factor` times the original's height and width."""
    height, width = (max(1, round(side * factor)) for side in original)
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0]
    resized = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(resized, np.uint8)


def _view(small: NDArray[np.uint8], size: tuple[int, int], **sizes: float) -> View:
    """Filled up with black to multiples of 32."""
    height, width = small.shape[:2]
    below, beside = -height % STRIDES[-1], -width % STRIDES[-1]
    filled: Any = small
    if below or beside:
        filled = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    return View(filled, size, (width / size[0], height / size[1]), **sizes)


def _read(answers: Floats, view: View, min_score: float) -> Found:
    """The boxes of a view's cells; several cells respond to each face."""
    least = math.log(min_score / (1 - min_score))
    sure = np.flatnonzero(answers[:, 0] >= least)
    centers, sides = cell_grid(*view.image.shape[:2])
    scores, boxes, landmarks = decode(answers[sure], centers[sure], sides[sure])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    scale = np.array(view.scale, np.float32)
    boxes /= np.tile(scale, 2)
    landmarks /= scale
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    fits = (longer >= view.smallest) & (longer <= view.largest)
    fits &= ((middle >= 0) & (middle <= view.size)).all(axis=1)
    return scores[fits], boxes[fits], landmarks[fits]


def _merged(parts: Sequence[Found], min_score: float, image: NDArray[np.uint8]) -> Found:
    """One box a face, of those that have a high enough score."""
    scores, boxes, landmarks = (np.concatenate(values) for values in zip(*parts, strict=True))
    best = np.argsort(-scores, kind="stable")[:MOST_BOXES]
    scores, boxes, landmarks = scores[best], boxes[best], landmarks[best]
    kept = suppress(scores, boxes, OVERLAP, INSIDE)
    longer = (boxes[kept, 2:] - boxes[kept, :2]).max(axis=1, initial=0)
    large = longer >= LARGE_FACE * max(image.shape[:2])
    kept = kept[scores[kept] >= np.where(large, LARGE_FACE_FACTOR * min_score, min_score)]
    return scores[kept], *vote(scores, boxes, landmarks, kept, OVERLAP)
