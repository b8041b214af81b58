"""Pictures as the face detector's network sees them: scaled, brightened where they are dark, filled up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.faces.grid import STRIDES
from mien.models.registry import MIN_SIZE

ENLARGED = 2.0
"""Pictures are enlarged by no more than this."""

NEEDED = 40.0
"""The shorter side, in pixels of the view, that the smallest faces asked for are brought to, if that is possible."""

SMALL_PICTURE = 320
"""Pictures with a shorter long side are enlarged to that, whatever is asked for: it takes hardly any time, and of
blurred or tiny pictures of one face, as FER2013's, more are found."""

QUARTER = 4

LARGEST = 280.0
"""Boxes with a longer side, in pixels of the view, are left to the smaller view."""

SMALLEST_IN_QUARTER = 40.0
"""Boxes with a shorter longer side, in pixels of the smaller view, are left to the larger one."""

DARK, LIT, MOST_LIGHT = 160, 230, 16
"""A picture in which hardly a pixel (1 in 100) reaches the first grey level is brightened until one in 100 reaches the
second, but at most this many times: the network was trained on few pictures as dark as that."""

# One row and column out of so many, and about so many of each, measure the brightness.
_EVERY, _SAMPLED = 8, 80

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""

Window: TypeAlias = tuple[int, int, int, int]
"""x1 y1 x2 y2, whole pixels of a picture, the last two exclusive."""


@dataclass(frozen=True)
class View:
    """A picture or a window of it, scaled and filled up.

    Attributes:
        image: (height, width, 3) uint8 RGB, height and width multiples of 32, the picture at its top left.
        window: what it shows of the original.
        scale: what the window's x and y were multiplied by.
        smallest: least longer side of a box that is looked for here, in pixels of the view.
        largest: greatest one.
    """

    image: Image
    window: Window
    scale: tuple[float, float]
    smallest: float = 0.0
    largest: float = math.inf


def factor_of(longest: int, long_side: int, min_size: float = MIN_SIZE) -> float:
    """What a picture's sides are multiplied by for the search.

    Args:
        longest: the picture's long side in pixels.
        long_side: the greatest that it may become.
        min_size: the shorter side of the smallest faces asked for, in pixels of the picture.
    """
    needed = max(NEEDED / min_size, SMALL_PICTURE / longest)
    return min(needed, long_side / longest, ENLARGED)


def views_of(image: Image, factor: float) -> list[View]:
    """A picture scaled by a factor and, where that can show faces too large there, by a quarter of it."""
    height, width = image.shape[:2]
    window = (0, 0, width, height)
    whole = brightened(resized(image, factor, (height, width)))
    if max(whole.shape[:2]) <= LARGEST:
        return [_view(whole, window)]
    return [_view(whole, window, largest=LARGEST), quarter_of(whole, factor, image.shape)]


def quarter_of(image: Image, factor: float, original: tuple[int, ...], light: float = 1.0) -> View:
    """A picture scaled by a quarter of a factor, for the faces that are too large in the larger view.

    Args:
        image: whole, scaled already or not.
        factor: of the larger view.
        original: height and width of the original.
        light: what its light is multiplied by.
    """
    height, width = original[:2]
    quarter = with_light(resized(image, factor / QUARTER, (height, width)), light)
    return _view(quarter, (0, 0, width, height), smallest=SMALLEST_IN_QUARTER)


def part_of(image: Image, window: Window, factor: float, light: float) -> View:
    """A window of a picture, scaled by a factor, with its light multiplied."""
    x1, y1, x2, y2 = window
    part = resized(image[y1:y2, x1:x2], factor, (y2 - y1, x2 - x1))
    return _view(with_light(part, light), window, largest=LARGEST)


def brightened(image: Image) -> Image:
    """A dark picture with more light, its colours and contrasts kept; any other one as it is."""
    return with_light(image, light_of(image))


def light_of(image: Image) -> float:
    """What a picture's light is multiplied by for the search: 1, or more where it is dark."""
    every = max(_EVERY, max(image.shape[:2]) // _SAMPLED)
    red, green, blue = np.moveaxis(image[::every, ::every], 2, 0)
    most = np.maximum(np.maximum(red, green), blue)
    # So many pixels are counted faster than sorted; the percentile is only needed of the few dark pictures.
    if np.count_nonzero(most >= DARK) > 1 + most.size // 100:
        return 1.0
    brightest = np.percentile(most, 99)
    if brightest >= DARK or brightest == 0:
        return 1.0
    return float(min(LIT / brightest, MOST_LIGHT))


def with_light(image: Image, light: float) -> Image:
    """A picture with its light multiplied; itself for 1."""
    return image if light == 1 else np.asarray(cv2.convertScaleAbs(image, alpha=light), np.uint8)


def resized(image: Image, factor: float, original: tuple[int, int]) -> Image:
    """A picture brought to `factor` times the original's height and width.

    Halves are means of four pixels, and what is left, a factor between a half and one, is linear between two: many
    times faster than the means of uneven areas, and as good for the search.
    """
    height, width = (max(1, round(side * factor)) for side in original)
    while min(image.shape[0] // height, image.shape[1] // width) >= 2:
        image = _scaled(image, image.shape[0] // 2, image.shape[1] // 2, cv2.INTER_AREA)
    return image if image.shape[:2] == (height, width) else _scaled(image, height, width, cv2.INTER_LINEAR)


def _scaled(image: Image, height: int, width: int, how: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def _view(small: Image, window: Window, **sizes: float) -> View:
    """Filled up with black to multiples of 32."""
    height, width = small.shape[:2]
    below, beside = -height % STRIDES[-1], -width % STRIDES[-1]
    filled: Any = small
    if below or beside:
        filled = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    x1, y1, x2, y2 = window
    return View(filled, window, (width / (x2 - x1), height / (y2 - y1)), **sizes)
