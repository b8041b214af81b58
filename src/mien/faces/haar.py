"""The Haar cascades that come with OpenCV 4, combined by voting.

One cascade searches the whole picture and keeps every hit, true or false. Each group of hits is then looked at
again, enlarged and in its own light, by other cascades: a second frontal one at three tilts of the head, and the
profile one in both directions. A face's score grows with the hits of the search and the votes of the others.
The numbers below were chosen and fitted with benchmarks/detectors.py; docs/how-to/detection.md has the measurements.
"""

from __future__ import annotations

from math import exp, hypot, log1p
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.errors import DetectorError
from mien.results import Box, Face

LONG_SIDE = 560
"""Larger pictures are shrunk to this long side before the search, in pixels."""

TILTED_LONG_SIDE = 240
"""The same for the search for tilted heads."""

SEARCH_STEP = 1.25
"""Ratio of one window's side to the next in the search."""

SEARCH_WINDOW = 24
"""Side of the smallest window in the search, in pixels: the cascade's own."""

HIT_WEIGHT, VOTE_WEIGHT, BIAS = 0.85, 2.25, -5.2
"""The score is the logistic function of HIT_WEIGHT log(1 + hits) + VOTE_WEIGHT log(1 + votes) + BIAS."""

MIN_SCORE = 0.6
"""Faces with a lower score are dropped."""

# The close-up: a square around a candidate, resized so that the candidate has a side of 36 pixels.
_FACE = 36
_CONTEXT = 1.6
_CLOSE_UP = round(_FACE * _CONTEXT)
_CENTER = (_CLOSE_UP - 1) / 2
_TILT = 20
_TILTS = tuple(cv2.getRotationMatrix2D((_CENTER, _CENTER), angle, 1) for angle in (-_TILT, 0, _TILT))
_CLOSE_RANGE = (0.72, 1.4)
_CLOSE_STEP = 1.07

# The thumbnail, for faces that fill the picture: its short side, and a border as wide as this share of it.
_THUMBNAIL = 72
_BORDER = 21

# The second cascade draws its boxes larger than the first.
_SECOND_TO_FIRST = 1.07


class Candidate(NamedTuple):
    """A place that may be a face: `hits` of the search there, `votes` of the other cascades."""

    box: Box
    hits: int
    votes: int

    @property
    def score(self) -> float:
        """0 to 1: about the share of such candidates that are faces."""
        return 1 / (1 + exp(-HIT_WEIGHT * log1p(self.hits) - VOTE_WEIGHT * log1p(self.votes) - BIAS))


class _Square(NamedTuple):
    x: float
    y: float
    side: float
    hits: int

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.x + self.side, self.y + self.side)


class HaarDetector:
    """Frontal faces, upright or tilted a little, from 24 pixels in a picture of 560.

    Raises:
        DetectorError: this OpenCV comes without the Haar cascades.
    """

    def __init__(self) -> None:
        self._search = _load("frontalface_default")
        self._second = _load("frontalface_alt")
        self._profile = _load("profileface")

    def __reduce__(self) -> tuple[type[HaarDetector], tuple[()]]:
        return HaarDetector, ()  # OpenCV's cascades cannot be pickled

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces of an image (H, W, 3) uint8 RGB, boxes in its pixels, best first."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        faces = [Face(c.box, c.score) for c in self.candidates(grey) if c.score >= MIN_SCORE]
        chosen: list[Face] = []
        for face in sorted(faces, key=lambda face: -face.score):
            if not any(_same_face(face.box, other.box) for other in chosen):
                chosen.append(face)
        return chosen

    def candidates(self, grey: NDArray[np.uint8]) -> list[Candidate]:
        """Every place of a picture (H, W) uint8 that the search hits, with its votes; places may overlap."""
        squares: list[_Square] = []
        for found in (self._search_whole(grey), self._search_tilted(grey), self._search_thumbnail(grey)):
            squares += [one for one in found if all(one.box.iou(other.box) < 0.5 for other in squares)]
        return [self._examine(grey, square) for square in squares]

    def _search_whole(self, grey: NDArray[np.uint8]) -> list[_Square]:
        scale = min(1.0, LONG_SIDE / max(grey.shape))
        picture = _stretch_light(_resize(grey, scale))
        hits = self._search.detectMultiScale(picture, SEARCH_STEP, 0, minSize=(SEARCH_WINDOW, SEARCH_WINDOW))
        return _group(hits, scale, 0)

    def _search_tilted(self, grey: NDArray[np.uint8]) -> list[_Square]:
        """Larger faces on tilted heads."""
        scale = min(1.0, TILTED_LONG_SIDE / max(grey.shape))
        picture = _stretch_light(_resize(grey, scale))
        height, width = picture.shape
        squares = []
        for angle in (-_TILT, _TILT):
            tilt = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
            tilted = cv2.warpAffine(picture, tilt, (width, height), borderMode=cv2.BORDER_REPLICATE)
            hits = self._search.detectMultiScale(
                tilted, SEARCH_STEP, 0, minSize=(SEARCH_WINDOW, SEARCH_WINDOW)
            )
            back = cv2.invertAffineTransform(tilt)
            for square in _group(hits, 1, 0):
                half = square.side / 2
                x, y = np.dot(back, (square.x + half, square.y + half, 1)).tolist()
                squares.append(
                    _Square((x - half) / scale, (y - half) / scale, square.side / scale, square.hits)
                )
        return squares

    def _search_thumbnail(self, grey: NDArray[np.uint8]) -> list[_Square]:
        """Faces that fill the picture or are cut by its border, as in a tight crop."""
        scale = _THUMBNAIL / min(grey.shape)
        if max(grey.shape) * scale > 4 * _THUMBNAIL:
            return []
        edge = _BORDER
        picture = _stretch_light(_resize(grey, scale))
        picture = np.asarray(
            cv2.copyMakeBorder(picture, edge, edge, edge, edge, cv2.BORDER_REPLICATE), np.uint8
        )
        side = _THUMBNAIL * 5 // 9
        hits = self._search.detectMultiScale(picture, 1.1, 0, minSize=(side, side))
        return _group(hits, scale, edge)

    def _examine(self, grey: NDArray[np.uint8], square: _Square) -> Candidate:
        close_up = _close_up(grey, square)
        places: list[tuple[float, float, float]] = []
        for tilt in _TILTS:
            size = (_CLOSE_UP, _CLOSE_UP)
            tilted = cv2.warpAffine(close_up, tilt, size, borderMode=cv2.BORDER_REPLICATE)
            back = cv2.invertAffineTransform(tilt)
            for x, y, side in _votes(self._second, np.asarray(tilted, np.uint8)):
                places.append((*np.dot(back, (x, y, 1)).tolist(), side))
        mirrored = np.ascontiguousarray(close_up[:, ::-1])
        profiles = len(_votes(self._profile, close_up)) + len(_votes(self._profile, mirrored))
        return Candidate(_refine(square, places), square.hits, len(places) + profiles)


def _votes(cascade: cv2.CascadeClassifier, close_up: NDArray[np.uint8]) -> list[tuple[float, float, float]]:
    """The hits near the middle of a close-up, as (centre x, centre y, side) in its pixels."""
    smallest, largest = (round(factor * _FACE) for factor in _CLOSE_RANGE)
    hits = cascade.detectMultiScale(
        close_up, _CLOSE_STEP, 0, minSize=(smallest, smallest), maxSize=(largest, largest)
    )
    places = ((x + (side - 1) / 2, y + (side - 1) / 2, float(side)) for x, y, side, _ in hits)
    return [(x, y, side) for x, y, side in places if hypot(x - _CENTER, y - _CENTER) < 0.3 * _FACE]


def _refine(square: _Square, places: list[tuple[float, float, float]]) -> Box:
    """The mean of the second cascade's boxes, which scatter less than the search's."""
    x, y, side = square.x + square.side / 2, square.y + square.side / 2, _SECOND_TO_FIRST * square.side
    if places:
        mean_x, mean_y, mean_side = np.mean(places, axis=0).tolist()
        unit = square.side / _FACE
        x, y, side = x + (mean_x - _CENTER) * unit, y + (mean_y - _CENTER) * unit, mean_side * unit
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def _group(hits: object, scale: float, border: int) -> list[_Square]:
    """Similar hits as one square each, in pixels of the whole picture."""
    rectangles = np.reshape(np.asarray(hits, np.int32), (-1, 4)).tolist()
    # OpenCV drops groups of one; with each hit given twice there are none.
    groups, counts = cv2.groupRectangles(rectangles * 2, 1, 0.2)
    squares = np.reshape(np.asarray(groups, np.float64), (-1, 4)).tolist()
    return [
        _Square((x - border) / scale, (y - border) / scale, side / scale, int(count) // 2)
        for (x, y, side, _), count in zip(squares, np.ravel(counts), strict=True)
    ]


def _same_face(a: Box, b: Box) -> bool:
    return a.iou(b) > 0.25 or _holds(a, b.center) or _holds(b, a.center)


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box.x1 < point[0] < box.x2 and box.y1 < point[1] < box.y2


def _close_up(grey: NDArray[np.uint8], square: _Square) -> NDArray[np.uint8]:
    height, width = grey.shape
    side = max(2, round(square.side * _CONTEXT))
    left = round(square.x + (square.side - side) / 2)
    top = round(square.y + (square.side - side) / 2)
    inside = grey[max(top, 0) : top + side, max(left, 0) : left + side]
    missing = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    whole = cv2.copyMakeBorder(inside, *missing, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.equalizeHist(_resize(np.asarray(whole, np.uint8), _CLOSE_UP / side)), np.uint8)


def _stretch_light(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Dark, pale and bright pictures over the whole range of grey, all but the outer 1 % linearly."""
    shares = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    low, high = np.searchsorted(shares, (0.01, 0.99)).tolist()
    if high <= low:
        return grey
    table = np.clip((np.arange(256) - low) * 255.0 / (high - low), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(grey, table), np.uint8)


def _resize(grey: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = grey.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=interpolation), np.uint8)


def _load(name: str) -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
        raise DetectorError(
            f"OpenCV {cv2.__version__} has no Haar cascades: pip install 'opencv-python-headless<5'"
        )
    path = Path(folder, f"haarcascade_{name}.xml")
    if not path.is_file():
        raise DetectorError(f"{path}: no such file; expected the Haar cascades that OpenCV 4 installs")
    return cv2.CascadeClassifier(str(path))
