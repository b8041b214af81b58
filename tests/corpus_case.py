"""What the parts of the corpus share: a case, pixels without order, and their answers as 8-bit RGB over white."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
SIZES = ((1, 1), (1, 9), (9, 1), (13, 7))
"""Width and height, odd on purpose: the last one fills no byte and no block."""


@dataclass(frozen=True)
class Case:
    """A picture's file and what it shows.

    Attributes:
        name: unique; the kind of file comes first.
        data: the encoded file.
        answer: (H, W, 3) uint8 RGB, upright and over white.
        most: the largest difference of a pixel, in grey levels.
        mean: the largest mean difference.
    """

    name: str
    data: bytes
    answer: Pixels
    most: int = 0
    mean: float = 0.0


@cache
def noise(width: int, height: int, channels: int, levels: int, seed: int = 0) -> NDArray[np.int64]:
    """(height, width, channels) whole numbers below `levels`, without any order; do not write into it."""
    random = np.random.default_rng((width, height, channels, levels, seed))
    return random.integers(0, levels, (height, width, channels))


def to_eight(values: NDArray[np.int64], white: int) -> NDArray[np.int64]:
    """Values from 0 to `white` as 0 to 255, rounded."""
    return (values * 255 + white // 2) // white


def over_white(colors: NDArray[np.int64], alpha: NDArray[np.int64]) -> Pixels:
    """(H, W, 1 or 3) of 0 to 255 over white, by alpha (H, W, 1) of 0 to 255."""
    mixed = np.round(colors * (alpha / 255) + 255 * (1 - alpha / 255))
    return np.broadcast_to(mixed, (*mixed.shape[:2], 3)).astype(np.uint8)


def as_rgb(values: NDArray[np.int64]) -> Pixels:
    """(H, W, 1 or 3) of 0 to 255 as (H, W, 3) uint8."""
    return np.broadcast_to(values, (*values.shape[:2], 3)).astype(np.uint8)


def by_opencv(data: bytes) -> Pixels:
    """(H, W, 3) uint8 RGB, upright, as OpenCV reads a file."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(bgr[..., ::-1])


def pack(values: NDArray[np.int64], bits: int, order: str = ">") -> bytes:
    """Rows (H, n) of whole numbers as bytes, each row filled up to a whole one; 16 bits in this byte order."""
    if bits >= 8:
        return values.astype({8: "u1", 16: f"{order}u2"}[bits]).tobytes()
    digits = values[..., None] >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(digits.reshape(len(values), -1), axis=1).tobytes()
