"""Large JPEGs, decoded at a half, a quarter or an eighth: most of a large photograph's time is its decoding.

JPEG keeps a picture as frequencies of blocks of 8 x 8 pixels, of which the low ones alone give the smaller picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ImageError
from mien.images.read import (
    MAX_BYTES,
    MAX_PIXELS,
    ImageSource,
    decode,
    open_picture,
    read_encoded,
    read_image,
)

SCALES = (8, 4, 2)

MOST = 4 * MAX_PIXELS
"""Pixels of the whole of a JPEG that is decoded smaller: progressive ones are held at 3 bytes each."""

_JPEG = ("JPEG",)  # of which MPO is a kind


@dataclass(frozen=True, eq=False)
class Draft:
    """A picture, decoded as small as the search for faces allows.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        width, height: of the whole picture, upright, in pixels.
        scale: pixels of the whole picture to one of `pixels`: 1, 2, 4 or 8.
        finest: the least scale at which it can be decoded: 1, or more where the whole has too many pixels.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    scale: int = 1
    finest: int = 1
    _decode: Callable[[int], Draft] | None = field(default=None, repr=False)

    def at(self, scale: int) -> NDArray[np.uint8]:
        """The pixels at a scale from `finest` to `scale`; those of another one than `scale` are decoded now."""
        return self.pixels if scale == self.scale or self._decode is None else self._decode(scale).pixels


def read_draft(source: ImageSource, side: int, *, max_pixels: int = MAX_PIXELS, most: int = MOST) -> Draft:
    """A picture as `read_image` reads it, but a large JPEG smaller.

    Args:
        source: as `read_image` takes it; arrays and Pillow images are whole.
        side: JPEGs are decoded at the smallest of 1/8, 1/4, 1/2 that leaves the long side this many pixels; 0 decodes
            all as they are.
        max_pixels: as `read_image` takes it, of what is decoded.
        most: pixels of the whole of a JPEG that is decoded smaller.

    Raises:
        ImageError, TypeError, ValueError: as `read_image` raises them.
    """
    if isinstance(source, np.ndarray | Image.Image):
        return _whole(read_image(source, max_pixels=max_pixels))
    data, name = read_encoded(source)
    smaller = _read_smaller(data, side, max_pixels, most) if side and len(data) <= MAX_BYTES else None
    return smaller or _whole(decode(data, name, max_pixels))


def _whole(pixels: NDArray[np.uint8]) -> Draft:
    return Draft(pixels, pixels.shape[1], pixels.shape[0])


def _read_smaller(data: bytes, side: int, max_pixels: int, most: int) -> Draft | None:
    """A large JPEG, decoded smaller; None of whatever else it may be: `decode` reads it or says what is wrong."""
    try:
        with open_picture(data, _JPEG) as picture:
            width, height = picture.size
    except Exception:  # what a broken header makes Pillow raise
        return None
    scale = next((scale for scale in SCALES if max(width, height) // scale >= side), 1)
    if scale == 1 or width * height > most:
        return None
    finest = next((one for one in (1, 2, 4) if width * height <= max_pixels * one**2), 8)
    try:
        return _at(data, max(scale, finest), finest)
    except ImageError:  # of lossless JPEGs there is no smaller picture
        return None


def _at(data: bytes, scale: int, finest: int) -> Draft:
    """A JPEG at a scale."""
    with open_picture(data, _JPEG) as picture:
        width, height = picture.size
        if scale > 1:
            picture.draft(None, (width // scale, height // scale))
        pixels = read_image(picture)
        turned = pixels.shape[:2] != picture.size[::-1]
    if turned:
        width, height = height, width
    return Draft(pixels, width, height, scale, finest, lambda finer: _at(data, finer, finest))
