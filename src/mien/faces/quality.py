"""How good a face's crop is: a score from 0 to 1, and in words the issues that speak against it.

Each issue holds where the model has lost 4 to 13 points of accuracy when good pictures are made worse in that one way
(benchmarks/quality.py; docs/explanation/quality.md has the figures). Of FER2013's own pictures fewer than 1 % fall
below.

The score is 1 where nothing speaks against the crop, and falls with each fault: exp(-sum of weight times fault). It is
the share that is left of what the model knows beyond guessing, if the crop's looks are all that is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.faces.likeness import likeness
from mien.images.crop import to_crop
from mien.results import Box, FaceEmotion, Quality

MIN_SIDE = 24.0
"""A face whose box has a shorter side below this, in pixels, is "small"."""

MIN_GREY = 25.0
"""A crop with a lower mean grey, 0 to 255, is "dark"."""

MAX_GREY = 225.0
"""A crop with a higher mean grey is "bright"."""

MIN_SHARPNESS = 0.04
"""A crop with a lower `sharpness` is "blurred"."""

MIN_LIKENESS = -4.0
"""A crop with a lower `likeness` is "unclear": turned away, covered, cut off, or no face."""

WEIGHTS = {"small": 0.057, "blurred": 0.046, "dark": 0.132, "bright": 0.078, "pale": 0.135, "unclear": 0.106}
"""What one step of each of `faults` costs; fitted by benchmarks/quality_fit.py."""


def assess_quality(image: NDArray[np.uint8], box: Box) -> Quality:
    """The score of a crop, and every issue that speaks against it: "small", "dark", "bright", "blurred", "unclear".

    Args:
        image: the face's crop as `FaceDetector.crop` makes it; any uint8 array that `to_crop` takes.
        box: the face in pixels of the picture, for its size there.

    Raises:
        TypeError, ValueError: an array of another type or shape.
    """
    crop = to_crop(image)
    like = likeness(crop)
    cost = sum(WEIGHTS[name] * value for name, value in faults(crop, box, like).items())
    brightness = float(crop.mean())
    holds = {
        "small": min(box.width, box.height) < MIN_SIDE,
        "dark": brightness < MIN_GREY,
        "bright": brightness > MAX_GREY,
        "blurred": sharpness(crop) < MIN_SHARPNESS,
        "unclear": like < MIN_LIKENESS,
    }
    return Quality(float(np.exp(-cost)), tuple(issue for issue, true in holds.items() if true))


def faults(crop: NDArray[np.uint8], box: Box, like: float) -> dict[str, float]:
    """The faults of a crop, each 0 or more: missing doublings, for "unclear" steps of four in log odds.

    Args:
        crop: (48, 48) uint8 grey.
        box: the face in pixels of the picture.
        like: the crop's `likeness`.
    """
    grey = float(crop.mean())
    return {
        "small": _doublings(40, min(box.width, box.height)),
        "blurred": min(_doublings(0.35, sharpness(crop)), 8.0),
        "dark": _doublings(48, grey),
        "bright": _doublings(64, 255 - grey),
        "pale": _doublings(24, float(crop.std())),
        "unclear": min(max(8 - like, 0.0), 15.0) / 4,
    }


def _doublings(enough: float, value: float) -> float:
    """How often a value must be doubled to be enough; that of 0 counts as 0.01."""
    return max(0.0, float(np.log2(enough / max(value, 0.01))))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Sharpness: the variance of the Laplacian over that of the crop, so contrast does not matter.

    About 0.7 for FER2013's pictures, 0.07 for the same blurred by a Gaussian of one pixel; 0 without any contrast.

    Args:
        crop: (48, 48) uint8 grey.
    """
    contrast = float(crop.var())
    return float(cv2.Laplacian(crop, cv2.CV_32F).var()) / contrast if contrast > 0 else 0.0


def split_by_quality(faces: Sequence[FaceEmotion], least: float) -> tuple[list[FaceEmotion], int]:
    """The faces that are good enough, in their order, and how many are not."""
    good = [face for face in faces if face.is_good(least)]
    return good, len(faces) - len(good)


def check_min_quality(least: float) -> float:
    """The value itself.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 <= least <= 1:
        raise ValueError(f"min_quality {least}: expected 0, for every face, to 1")
    return least
