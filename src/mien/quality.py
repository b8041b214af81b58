"""Why a face should not be trusted: the first reason that holds, or none.

Each threshold lies where the model loses roughly 7 to 12 points of accuracy when good pictures are made worse in that
one way (benchmarks/quality.py; docs/detection.md has the figures). Of FER2013's own pictures fewer than 1 % fall below.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.images import to_crop
from mien.results import Box

MIN_SIDE = 24.0
"""A face whose box has a shorter side below this, in pixels, is "small"."""

MIN_GREY = 25.0
"""A crop with a lower mean grey, 0 to 255, is "dark"."""

MAX_GREY = 225.0
"""A crop with a higher mean grey is "bright"."""

MIN_SHARPNESS = 0.04
"""A crop with a lower `sharpness` is "blurred"."""


def assess(image: NDArray[np.uint8], box: Box) -> str | None:
    """ "small", "dark", "bright" or "blurred", or None where nothing speaks against the face.

    Args:
        image: the face's crop as `crop_face` makes it; any uint8 array that `to_crop` takes.
        box: the face in pixels of the picture, for its size there.

    Raises:
        TypeError, ValueError: an array of another type or shape.
    """
    crop = to_crop(image)
    if min(box.width, box.height) < MIN_SIDE:
        return "small"
    brightness = float(crop.mean())
    if brightness < MIN_GREY:
        return "dark"
    if brightness > MAX_GREY:
        return "bright"
    return "blurred" if sharpness(crop) < MIN_SHARPNESS else None


def sharpness(crop: NDArray[np.uint8]) -> float:
    """How fine the detail is: the Laplacian's variance over the crop's own, so that contrast does not count.

    About 0.7 for FER2013's pictures, 0.07 for the same blurred by a Gaussian of one pixel; 0 without any contrast.

    Args:
        crop: (48, 48) uint8 grey.
    """
    contrast = float(crop.var())
    return float(cv2.Laplacian(crop, cv2.CV_32F).var()) / contrast if contrast > 0 else 0.0
