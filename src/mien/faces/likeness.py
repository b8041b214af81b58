"""How much a crop looks like a face at all: a linear function of its histograms of oriented gradients.

Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, with a logistic function instead of
their support vector machine. The weights in face_likeness.json are fitted by
benchmarks/quality_fit.py; docs/explanation/quality.md has the data, and what it can and cannot detect.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.images.crop import to_crop

SIDE = 48
FILE = Path(__file__).parent / "face_likeness.json"


def likeness(image: NDArray[np.uint8]) -> float:
    """Log odds that a crop is a face: above 0 more likely a face, below 0 more likely not.

    Args:
        image: a crop of any size, as `to_crop` takes it.

    Raises:
        TypeError, ValueError: an array of another type or shape.
    """
    weights, bias = _weights()
    return float(gradients(to_crop(image, SIDE)) @ weights) + bias


def gradients(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Histograms of oriented gradients of a (48, 48) uint8 grey crop: (900,) float32.

    Nine directions in cells of 8 pixels, normalised in blocks of two by two cells: light and contrast do not count.
    """
    return np.asarray(_histograms().compute(np.ascontiguousarray(crop)), np.float32).ravel()


@cache
def _weights() -> tuple[NDArray[np.float32], float]:
    fitted = json.loads(FILE.read_text(encoding="utf-8"))
    return np.array(fitted["weights"], np.float32), float(fitted["bias"])


def _histograms() -> Any:
    # A new one each time: OpenCV does not say that one may be shared between threads.
    return cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9)
