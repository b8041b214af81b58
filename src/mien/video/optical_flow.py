"""From one frame to the next without a detector: where a face has moved to, and whether there was a cut."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.results import Box

LONG_SIDE = 640
"""Frames are reduced to a long side of at most this many pixels before optical flow."""

MIN_CHANGE, MIN_RATIO = 22.0, 3.0
"""A cut: grey levels (0 to 255) change by this much on average, and this many times as much as lately."""

_GRID = 8  # points a side on a face
_WINDOW = (15, 15)
_MAX_ERROR = 0.08  # of the face's side: points whose reverse flow misses their origin by more are dropped
_MIN_POINTS = 0.4  # of all points
_LATELY = 12  # frames


def small_grey(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """A picture (H, W, 3) uint8 RGB in grey with a long side of at most `LONG_SIDE`, and by how much it shrank."""
    height, width = picture.shape[:2]
    # By a whole number, which OpenCV does seven times as fast as by another.
    factor = max(1, -(-max(height, width) // LONG_SIDE))
    size = max(1, width // factor), max(1, height // factor)
    whole = picture[: size[1] * factor, : size[0] * factor]
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA) if factor > 1 else picture
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8), 1 / factor


def follow(before: NDArray[np.uint8], now: NDArray[np.uint8], box: Box) -> Box | None:
    """The new position of a face, or None if it is uncertain.

    The median motion of a grid of points, followed there and back (Kalal et al., "Forward-backward error", ICPR
    2010), by the pyramid of Lucas and Kanade that OpenCV has.

    Args:
        before, now: the two frames, (h, w) uint8 grey, of one size.
        box: the face in pixels of `before`.
    """
    height, width = before.shape
    inner = 0.15 * box.width, 0.15 * box.height  # the border of the box is background
    x = np.linspace(box.x1 + inner[0], box.x2 - inner[0], _GRID)
    y = np.linspace(box.y1 + inner[1], box.y2 - inner[1], _GRID)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    points = points[(points >= 0).all(axis=1) & (points < (width, height)).all(axis=1)]
    least = _MIN_POINTS * _GRID**2
    if len(points) < least:
        return None
    there, found = _move(before, now, points)
    back, _ = _move(now, before, there)
    error = np.linalg.norm(back - points, axis=1)
    good = found & (error < _MAX_ERROR * max(box.width, box.height))
    if good.sum() < least:
        return None
    old, new = points[good], there[good]
    shift = np.median(new - old, axis=0)
    spread = [float(np.median(np.abs(p - np.median(p, axis=0)).sum(axis=1))) for p in (old, new)]
    scale = min(max(spread[1] / spread[0], 0.9), 1.1) if spread[0] > 0 else 1.0
    center = np.array(box.center) + shift
    half = np.array([box.width, box.height]) * scale / 2
    (x1, y1), (x2, y2) = (center - half).tolist(), (center + half).tolist()
    return Box(x1, y1, x2, y2)


def _move(
    before: NDArray[np.uint8], now: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points (n, 2) of one frame are in another, and which of them were found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, points, points.copy(), winSize=_WINDOW, maxLevel=3
    )
    return np.asarray(there, np.float32), np.ravel(np.asarray(found)) == 1


class ShotBoundaryDetector:
    """Detects the first frame of a new scene: one that changes much more than the frames before it did."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=_LATELY)

    def is_cut(self, grey: NDArray[np.uint8]) -> bool:
        """Whether a frame (h, w) uint8 starts a scene; call it for every frame, in order."""
        tiny = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
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
