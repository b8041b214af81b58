"""Large JPEGs, decoded at a half, a quarter or an eighth: most of a large photograph's time is its decoding.

JPEG keeps a picture as frequencies of blocks of 8 x 8 pixels, of which the low ones alone give the smaller picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError
from mien.images.read import MAX_BYTES, MAX_PIXELS, open_picture, read_image
from mien.results import Box, FaceEmotion

SCALES = (8, 4, 2)

_MOST = 4 * MAX_PIXELS  # pixels of a whole one, of which progressive ones are held at 3 bytes each
_JPEG = ("JPEG",)  # of which MPO is a kind


@dataclass(frozen=True, slots=True)
class DraftScale:
    """How a picture was decoded.

    Attributes:
        width, height: of the whole picture, upright, in pixels.
        scale: pixels of the whole picture to one of the decoded one: 1, 2, 4 or 8.
    """

    width: int
    height: int
    scale: int = 1

    def enlarge(self, found: FaceEmotion) -> FaceEmotion:
        """A face of the decoded picture, in pixels of the whole one."""
        if self.scale == 1:
            return found
        box, points = found.box, found.face.landmarks
        face = replace(
            found.face,
            box=Box(*(self.scale * side for side in (box.x1, box.y1, box.x2, box.y2))),
            landmarks=points and tuple((self.scale * x, self.scale * y) for x, y in points),
        )
        return replace(found, face=face)

    def large(self, found: Sequence[FaceEmotion], min_size: int) -> tuple[FaceEmotion, ...]:
        """Faces of the decoded picture in pixels of the whole one, without those whose box has a shorter side."""
        faces = map(self.enlarge, found)
        return tuple(face for face in faces if min(face.box.width, face.box.height) >= min_size)


def read_draft(data: bytes, side: int) -> tuple[NDArray[np.uint8], DraftScale]:
    """A picture as `read_image` reads it, (H, W, 3) uint8 RGB, but a large JPEG smaller, and how it was decoded.

    Args:
        data: an encoded file.
        side: JPEGs are decoded at the smallest of 1/8, 1/4, 1/2 that leaves the long side this many pixels; 0 decodes
            all as they are.

    Raises:
        ImageError: as `read_image` raises it.
    """
    smaller = _read_smaller(data, side) if side and len(data) <= MAX_BYTES else None
    if smaller is not None:
        return smaller
    pixels = read_image(data)
    return pixels, DraftScale(pixels.shape[1], pixels.shape[0])


def _read_smaller(data: bytes, side: int) -> tuple[NDArray[np.uint8], DraftScale] | None:
    """A large JPEG, decoded smaller; None of whatever else it may be: `read_image` reads it or says what is wrong."""
    try:
        picture = open_picture(data, _JPEG)
    except Exception:  # what a broken header makes Pillow raise
        return None
    with picture:
        width, height = picture.size
        scale = next((scale for scale in SCALES if max(width, height) // scale >= side), 1)
        if scale == 1 or width * height > _MOST:
            return None
        picture.draft(None, (width // scale, height // scale))
        try:
            pixels = read_image(picture)
        except ImageError:  # of lossless JPEGs there is no smaller picture
            return None
        turned = pixels.shape[:2] != picture.size[::-1]
        return pixels, DraftScale(*((height, width) if turned else (width, height)), scale)
