"""Arrays as pictures: dtype and shape, grey, and the background of transparency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2


def check_array(array: NDArray[np.uint8]) -> None:
    """Refuse what is no picture.

    Raises:
        TypeError: not a uint8 array.
        ValueError: a shape other than (H, W), (H, W, 1), (H, W, 3), (H, W, 4), or no pixel.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        came = f"a {array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"image is {came}: expected a uint8 array with values 0 to 255")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise ValueError(f"image of shape {array.shape}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture that `check_array` lets pass as (H, W) uint8."""
    if image.ndim == 2 or image.shape[2] == 1:
        return image.reshape(image.shape[:2])
    rgb = image if image.shape[2] == 3 else over_white(image)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Transparent pictures over white, as browsers and printed pages show them."""
    alpha = rgba[..., 3].astype(np.uint16)
    white = 255 * (255 - alpha) + 127  # and a half, to round
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    for channel in range(3):  # one by one is four times as fast as all at once
        rgb[..., channel] = (rgba[..., channel] * alpha + white) // 255
    return rgb
