"""Faces cut out: the one crop that trains and serves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.images.pixels import check_array, to_grey
from mien.results import Box


def to_crop(image: NDArray[np.uint8], size: int = 48) -> NDArray[np.uint8]:
    """A crop of any size as the model's input: (size, size) uint8 grey.

    Args:
        image: uint8, (H, W) or (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) RGBA. A grey crop that already has
            the size comes back as it is, without a copy.
        size: side of the result in pixels.

    Raises:
        TypeError, ValueError: the array has another type or shape.
    """
    check_array(image)
    grey = to_grey(image)
    if grey.shape == (size, size):
        return grey
    shrinks = min(grey.shape) >= size
    resized = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def crop_face(
    image: NDArray[np.uint8], box: Box, *, margin: float = 1.0, size: int = 48
) -> NDArray[np.uint8]:
    """The square around a face as the model's input: (size, size) uint8 grey, never stretched.

    The square has the box's centre and `margin` times the box's longer side. Where it reaches beyond the
    picture the border pixels are repeated.

    Args:
        image: uint8 as for `to_crop`; usually (H, W, 3) RGB.
        box: the face in pixels of `image`; at least a part of the square must be inside.
        margin: side of the square over the box's longer side; `FaceDetector.margin` fits a detector's boxes.
        size: side of the result in pixels.

    Raises:
        TypeError, ValueError: another type or shape of array, a margin that is not positive, a box outside.
    """
    check_array(image)
    if not margin > 0:
        raise ValueError(f"margin {margin}: expected a positive factor")
    height, width = image.shape[:2]
    center_x, center_y = box.center
    # The longer side: a turned or tilted head narrows the box, not the head.
    side = margin * max(box.width, box.height)
    pixels = max(1, round(side))
    left, top = round(center_x - side / 2), round(center_y - side / 2)
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + pixels, width), min(top + pixels, height)
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"{box} is outside the picture of {width} x {height} pixels")
    grey = to_grey(image[y1:y2, x1:x2])
    missing = (y1 - top, top + pixels - y2, x1 - left, left + pixels - x2)
    if any(missing):
        grey = np.asarray(cv2.copyMakeBorder(grey, *missing, cv2.BORDER_REPLICATE), np.uint8)
    return to_crop(grey, size)
