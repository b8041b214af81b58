"""From one frame to the next without a detector: where a face has moved to, and whether there was a cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.results import Box
from mien.video.frame_pixels import Pixels, reduced

LONG_SIDE = 640
"""Frames are reduced to a long side of at most this many pixels before optical flow."""

MIN_CHANGE, MIN_RATIO = 22.0, 3.0
"""A cut: grey levels (0 to 255) change by this much on average, and this many times as much as lately."""

_GRID = 6  # points a side on a face
_INNER = np.linspace(0.15, 0.85, _GRID)  # the border of the box is background
_PLACES = np.stack(np.meshgrid(_INNER, _INNER), axis=-1).reshape(-1, 2)
_WINDOW = (15, 15)
_LEVELS = 3  # of the pyramid, above the picture itself
_ALIGNED = 2**_LEVELS  # a part that begins at such a pixel has the same pyramid as the whole
_REACH = 12 * _ALIGNED
"""Pixels around the points that are looked at: half a window of the smallest level, its blur, and 4 pixels there (32 of
the picture) on top, which is about as far as the motion from frame to frame can be followed."""
_MAX_ERROR = 0.08  # of the face's side: points whose reverse flow misses their origin by more are dropped
_LEAST_POINTS = round(0.4 * _GRID**2)
_LATELY = 12  # frames
_TINY = 32  # pixels a side, in which frames are compared


def small_grey(pixels: Pixels) -> tuple[NDArray[np.uint8], float]:
    """A frame in grey with a long side of at most `LONG_SIDE`, (h, w) uint8, and by how much it shrank."""
    # By a whole number, which OpenCV does seven times as fast as by another.
    factor = max(1, -(-max(pixels.size) // LONG_SIDE))
    return pixels.grey(factor), 1 / factor


def follow(before: NDArray[np.uint8], now: NDArray[np.uint8], boxes: Sequence[Box]) -> list[Box | None]:
    """The new positions of faces, None where one is uncertain.

    The median motion of a grid of points, and the median ratio of the distances between each two of them, followed
    there and back (Kalal et al., "Forward-backward error", ICPR 2010), by the pyramid of Lucas and Kanade that OpenCV
    has. The points of all faces are followed together.

    Args:
        before, now: the two frames, (h, w) uint8 grey, of one size.
        boxes: the faces in pixels of `before`.
    """
    height, width = before.shape
    grids = [_grid(box, width, height) for box in boxes]
    points = np.concatenate([np.empty((0, 2), np.float32), *(g for g in grids if len(g) >= _LEAST_POINTS)])
    if not len(points):
        return [None] * len(boxes)
    (x1, y1), (x2, y2) = _surroundings(points, width, height)
    part, origin = np.s_[y1:y2, x1:x2], np.array([x1, y1], np.float32)
    there, found = _move(before[part], now[part], points - origin)
    back, _ = _move(now[part], before[part], there)
    moved: list[Box | None] = []
    start = 0
    for box, grid in zip(boxes, grids, strict=True):
        if len(grid) < _LEAST_POINTS:
            moved.append(None)
            continue
        mine = slice(start, start := start + len(grid))
        error = np.linalg.norm(back[mine] + origin - grid, axis=1)
        good = found[mine] & (error < _MAX_ERROR * max(box.width, box.height))
        moved.append(_moved(box, grid[good], there[mine][good] + origin))
    return moved


def _grid(box: Box, width: int, height: int) -> NDArray[np.float32]:
    """Points of a face (n, 2) that are in the picture."""
    points = (np.array([box.x1, box.y1]) + _PLACES * (box.width, box.height)).astype(np.float32)
    return points[(points >= 0).all(axis=1) & (points < (width, height)).all(axis=1)]


def _surroundings(points: NDArray[np.float32], width: int, height: int) -> NDArray[np.intp]:
    """What of a picture has to be looked at to follow points (n, 2): [[x1, y1], [x2, y2]]."""
    low = (points.min(axis=0).astype(np.intp) - _REACH) // _ALIGNED * _ALIGNED
    high = points.max(axis=0).astype(np.intp) + _REACH
    return np.asarray(np.clip([low, high], 0, (width, height)), np.intp)


def _moved(box: Box, old: NDArray[np.float32], new: NDArray[np.float32]) -> Box | None:
    """A box whose points (n, 2) went from `old` to `new`; None where these are too few."""
    if len(old) < _LEAST_POINTS:
        return None
    shift = _median(new - old)
    one, other = _pairs(len(old))
    before, after = (np.hypot(*(points[one] - points[other]).T) for points in (old, new))
    scale = min(max(float(_median(after / before)), 0.9), 1.1)
    center = np.array(box.center) + shift
    half = np.array([box.width, box.height]) * scale / 2
    (x1, y1), (x2, y2) = (center - half).tolist(), (center + half).tolist()
    return Box(x1, y1, x2, y2)


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of all pairs of so many points: of the one, and of the other."""
    one, other = np.triu_indices(count, 1)
    return one, other


def _median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the first axis; numpy's own takes ten times as long for the 36 points of a face."""
    ordered = np.sort(values, axis=0)
    return np.asarray((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2, np.float32)


def _move(
    before: NDArray[np.uint8], now: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 2) of one frame are in another, and which of them were found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, points, points.copy(), winSize=_WINDOW, maxLevel=_LEVELS
    )
    return np.asarray(there, np.float32), np.ravel(np.asarray(found)) == 1


class ShotBoundaryDetector:
    """Detects the first frame of a new scene: one that changes much more than the frames before it did."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=_LATELY)

    def is_cut(self, grey: NDArray[np.uint8]) -> bool:
        """Whether a frame (h, w) uint8 starts a scene; call it for every frame, in order."""
        # By a whole number first, which is far cheaper than by 11.25 at once.
        small = reduced(grey, max(1, min(grey.shape) // (2 * _TINY)))
        tiny = cv2.resize(small, (_TINY, _TINY), interpolation=cv2.INTER_AREA).astype(np.float32)
        tiny -= tiny.mean()  # a light switched on or off is no cut
        before, self._before = self._before, tiny
        if before is None:
            return False
        change = float(np.abs(tiny - before).mean())
        usual = float(np.mean(self._changes)) if self._changes else 0.0
        if change > MIN_CHANGE and change > MIN_RATIO * usual:
            self._changes.clear()
            return True
        self._changes.append(change)
        return False
