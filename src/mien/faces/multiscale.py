"""The search of mien's face detector: pictures scaled for its network, its answers read in the pictures' own pixels.

A first look is at half the size, a quarter of the work. What is sure there, a face or none, stays. Only where the
network is in doubt does it look again, at the full size, and there the second look decides.

Every look is at two scales, whole and at a quarter of that size, which costs a sixteenth more: the network knows faces
of 9 to 260 pixels, and faces that fill a picture appear only in the small view.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import Floats, overlaps, suppress
from mien.faces.grid import STRIDES, cell_grid, decode, vote
from mien.faces.views import (
    LARGEST,
    QUARTER,
    SMALLEST_IN_QUARTER,
    Image,
    View,
    Window,
    factor_of,
    light_of,
    part_of,
    quarter_of,
    views_of,
)
from mien.models.registry import MIN_SIZE

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

FIRST = 0.5
"""The size of the first look over the full one."""

FIRST_SIDE = 384
"""Pictures whose long side is no longer than this at the full size are looked at once, in pixels."""

DOUBT, SURE = 0.65, 1.12
"""Shares of the minimum score between which the first look is in doubt; docs/explanation/detector.md has figures."""

DOUBT_OF_SMALL, SMALL = 0.45, 14.0
"""The first of the two for boxes whose shorter side has fewer pixels in the first look: less of such faces is seen."""

LEAST_IN_DOUBT = 0.7
"""Boxes with a shorter side below this share of the smallest face asked for are no doubt: they would not count."""

MARGIN = 128.0
"""Around what is in doubt so many pixels of the full size are looked at again, and at least its own longer side: with
less around it the network takes more for a face, as a medal on a uniform."""

MOST_AGAIN = 0.6
"""If that is more than this share of the picture, the whole is looked at again."""

MOST_BOXES = 1000
"""This many of the best boxes are compared; no picture has more recognisable faces."""

_BATCH = 8

Network: TypeAlias = Callable[[NDArray[np.uint8]], Floats]
"""(n, height, width, 3) uint8 RGB, multiples of 32 -> (n, cells, 15)."""

Found: TypeAlias = tuple[Floats, Floats, Floats]
"""Scores (n,), highest first, boxes (n, 4) and landmarks (n, 5, 2) in pixels of the picture."""


@dataclass(frozen=True)
class _Search:
    """What is looked for in one picture.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        min_score: of a face.
        sure: score from which the first look is not in doubt.
        min_size: shorter side of the smallest face, in pixels of the picture.
        full, first: what its sides are multiplied by for the second look, and the first one.
    """

    image: Image
    min_score: float
    sure: float
    min_size: float
    full: float
    first: float

    def shares(self, boxes: Floats) -> Floats:
        """The share of the minimum score that is enough for each of the boxes (n, 4): (n,)."""
        longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
        return np.where(longer >= LARGE_FACE * max(self.image.shape[:2]), LARGE_FACE_FACTOR, 1.0)


def search(
    network: Network,
    images: Sequence[Image],
    long_side: int,
    min_score: float,
    min_sizes: Sequence[float] | None = None,
    sure: float = math.inf,
) -> list[Found]:
    """The faces of several pictures; views of one size go through the network together.

    Args:
        network: gives the output of the cells.
        images: (H, W, 3) uint8 RGB each.
        long_side: that pictures are scaled to at most, in pixels.
        min_score: boxes with a lower score are dropped, as are those whose centre is outside of the picture.
        min_sizes: of every picture, the shorter side in its pixels of the smallest faces that are asked for; smaller
            ones may be among the answers. None for `MIN_SIZE` of all.
        sure: score from which a face of the first look needs no second one; without, all that is found does.
    """
    sizes = [MIN_SIZE] * len(images) if min_sizes is None else min_sizes
    tasks = [
        _task(image, long_side, min_score, size, sure) for image, size in zip(images, sizes, strict=True)
    ]
    voting = min(min_score, MIN_VOTING_SCORE)
    seen = [
        _best(parts) for parts in _look(network, [views_of(one.image, one.first) for one in tasks], voting)
    ]
    doubts = [_doubts(one, found) for one, found in zip(tasks, seen, strict=True)]
    again = _look(network, [views for views, _ in doubts], voting)
    for place, (views, stays) in enumerate(doubts):
        if views:
            seen[place] = _best([stays, *again[place]])
    return [_faces(one, found) for one, found in zip(tasks, seen, strict=True)]


def _task(image: Image, long_side: int, min_score: float, min_size: float, sure: float) -> _Search:
    longest = max(image.shape[:2])
    full = factor_of(longest, long_side, min_size)
    first = full if full * longest <= FIRST_SIDE else FIRST * full
    return _Search(image, min_score, sure, min_size, full, first)


def _look(network: Network, views: Iterable[list[View]], min_score: float) -> list[list[Found]]:
    """What the network says of the views of every picture."""
    pictures = list(views)
    groups: dict[tuple[int, ...], list[tuple[int, View]]] = defaultdict(list)
    for place, own in enumerate(pictures):
        for view in own:
            groups[view.image.shape].append((place, view))
    seen: list[list[Found]] = [[] for _ in pictures]
    for members in groups.values():
        for start in range(0, len(members), _BATCH):
            some = members[start : start + _BATCH]
            images = some[0][1].image[None] if len(some) == 1 else np.stack([view.image for _, view in some])
            for (place, view), answers in zip(some, network(images), strict=True):
                seen[place].append(_read(answers, view, min_score))
    return seen


def _read(answers: Floats, view: View, min_score: float) -> Found:
    """The boxes of a view's cells; several cells respond to each face."""
    sure = np.flatnonzero(answers[:, 0] >= math.log(min_score / (1 - min_score)))
    centers, sides = cell_grid(*view.image.shape[:2])
    scores, boxes, landmarks = decode(answers[sure], centers[sure], sides[sure])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    scale, origin = np.array(view.scale, np.float32), np.array(view.window[:2], np.float32)
    boxes /= np.tile(scale, 2)
    boxes += np.tile(origin, 2)
    landmarks /= scale
    landmarks += origin
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    fits = (longer >= view.smallest) & (longer <= view.largest)
    fits &= ((middle >= view.window[:2]) & (middle <= view.window[2:])).all(axis=1)
    return scores[fits], boxes[fits], landmarks[fits]


def _best(parts: Sequence[Found]) -> Found:
    """The boxes of several views, by falling score."""
    scores, boxes, landmarks = (np.concatenate(values) for values in zip(*parts, strict=True))
    best = np.argsort(-scores, kind="stable")[:MOST_BOXES]
    return scores[best], boxes[best], landmarks[best]


def _doubts(task: _Search, found: Found) -> tuple[list[View], Found]:
    """The views of a second look, none where the first one is sure; and of the first one what stays beside them."""
    scores, boxes, _ = found
    if task.first == task.full:
        return [], found
    some = np.count_nonzero(scores >= DOUBT_OF_SMALL * LARGE_FACE_FACTOR * task.min_score)
    kept = suppress(scores[:some], boxes[:some], OVERLAP, INSIDE)
    share, sides = task.shares(boxes[kept]), boxes[kept, 2:] - boxes[kept, :2]
    shorter, longer = sides.min(axis=1, initial=np.inf), sides.max(axis=1, initial=0) * task.full
    low = np.where(shorter * task.first < SMALL, DOUBT_OF_SMALL, DOUBT)
    unsure = (scores[kept] >= low * share * task.min_score) & (scores[kept] < share * task.sure)
    unsure &= shorter >= LEAST_IN_DOUBT * task.min_size
    if not unsure.any():
        return [], found
    sure = boxes[kept[scores[kept] >= share * task.sure]]
    stays = (overlaps(boxes, sure) >= OVERLAP).any(axis=1)
    views, light = [], light_of(task.image)
    windows = _windows(boxes[kept[unsure & (longer <= LARGEST)]], task)
    views += [part_of(task.image, window, task.full, light) for window in windows]
    if (unsure & (longer >= QUARTER * SMALLEST_IN_QUARTER)).any():
        views.append(quarter_of(task.image, task.full, task.image.shape[:2], light))
    return views, (scores[stays], boxes[stays], found[2][stays])


def _windows(boxes: Floats, task: _Search) -> list[Window]:
    """The parts of a picture that have these boxes in them, with their surroundings; the whole if they are most of it.

    A part begins and ends at the coarsest cells of the whole at the full size, so that its cells see what those would
    see. Parts that share pixels are one.
    """
    height, width = task.image.shape[:2]
    around = np.maximum(MARGIN / task.full, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0))[:, None]
    cell = STRIDES[-1] / task.full
    low = np.floor((boxes[:, :2] - around) / cell).clip(0) * cell
    high = np.minimum(np.ceil((boxes[:, 2:] + around) / cell) * cell, (width, height))
    parts: list[Floats] = []
    for part in np.concatenate([low, high], axis=1):
        while near := [one for one in parts if (part[:2] < one[2:]).all() and (one[:2] < part[2:]).all()]:
            parts = [one for one in parts if not any(one is other for other in near)]
            both = np.stack([part, *near])
            part = np.concatenate([both[:, :2].min(axis=0), both[:, 2:].max(axis=0)])
        parts.append(part)
    if sum((part[2:] - part[:2]).prod() for part in parts) > MOST_AGAIN * width * height:
        return [(0, 0, width, height)]
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in (np.round(part).astype(int).tolist() for part in parts)]


def _faces(task: _Search, found: Found) -> Found:
    """One box a face, of those that have a high enough score."""
    scores, boxes, landmarks = found
    # The others vote on a face's position, but none can be one, nor hide one that has a higher score.
    some = np.count_nonzero(scores >= LARGE_FACE_FACTOR * task.min_score)
    kept = suppress(scores[:some], boxes[:some], OVERLAP, INSIDE)
    kept = kept[scores[kept] >= task.min_score * task.shares(boxes[kept])]
    return scores[kept], *vote(scores, boxes, landmarks, kept, OVERLAP)
