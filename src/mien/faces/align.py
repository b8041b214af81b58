"""A face upright: how far a head is tilted, and the square that is cut out of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.results import Box, Face

ASPECT = 0.78
"""Width over height of an upright face's box, the median of YuNet's."""


TILTED = 10.0
"""Heads tilted by this many degrees or more are cropped upright: measured by benchmarks/tilt.py."""


@dataclass(frozen=True, slots=True)
class Square:
    """The part of a picture that a crop shows: its middle `(x, y)` and side in pixels, turned by `angle` degrees.

    A positive angle turns it clockwise, as the line of the eyes falls to the right.
    """

    center: tuple[float, float]
    side: float
    angle: float

    def to_picture(self, size: int) -> NDArray[np.float64]:
        """(2, 3): multiplied with `(x, y, 1)`, pixels in a crop of that side, it gives pixels in the picture.

        Both count from the corner of the first pixel.
        """
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = self.side / size * np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([turn, np.array(self.center) - turn @ [size / 2, size / 2]])


def tilt(face: Face) -> float:
    """Degrees by which the line of the eyes falls to the right of the picture, -180 to 180; 0 without landmarks."""
    if face.landmarks is None:
        return 0.0
    (x1, y1), (x2, y2) = face.landmarks[:2]
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def upright(image: NDArray[np.uint8], face: Face, angle: float) -> tuple[NDArray[np.uint8], Box]:
    """The surroundings of a face, rotated about its centre to remove a tilt of `angle` degrees, and its box there.

    A tilted head's box is wider than that of the same head upright: it is taken for the box around an ellipse that was
    turned, as far as that can be, and shrunk to the same height over width as an upright face's.
    """
    (x, y), half = face.box.center, upright_height(face.box, angle) / 2
    reach = math.ceil(1.5 * half) + 2
    # OpenCV counts from the middle of the first pixel.
    turn: Any = cv2.getRotationMatrix2D((x - 0.5, y - 0.5), angle, 1)
    turn[:, 2] += reach - x, reach - y
    side = 2 * reach
    turned = cv2.warpAffine(
        image, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    width = half * ASPECT
    return np.asarray(turned, np.uint8), Box(reach - width, reach - half, reach + width, reach + half)


def upright_height(box: Box, angle: float) -> float:
    """The height that a tilted face's box would have upright: the ellipse of `ASPECT` with the same area of box."""
    cos, sin = math.cos(math.radians(angle)) ** 2, math.sin(math.radians(angle)) ** 2
    # The box around a turned ellipse of height 1 and width ASPECT.
    width, height = math.sqrt(ASPECT**2 * cos + sin), math.sqrt(ASPECT**2 * sin + cos)
    return math.sqrt(box.width * box.height / (width * height))
