"""A picture as mien's face detector takes it, and what was found there in the picture's own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.face_grid import STRIDES, Floats, cell_grid, decode, suppress
from mien.weights import DETECTOR_SIZE

ENLARGED = 2.0
"""Small pictures are enlarged by no more than this."""

OVERLAP = 0.4
"""Of two boxes with a higher intersection over union the one with the higher score stays."""

MOST_BOXES = 1000
"""So many of the best boxes are compared with one another; no picture has more faces that can be told."""


@dataclass(frozen=True)
class Fitted:
    """A picture, scaled and filled up.

    Attributes:
        image: (height, width, 3) uint8 RGB, height and width multiples of 32, the picture at its top left.
        size: the original's width and height in pixels.
        scale: what its x and y were multiplied by.
    """

    image: NDArray[np.uint8]
    size: tuple[int, int]
    scale: tuple[float, float]


def fit(image: NDArray[np.uint8], long_side: int = DETECTOR_SIZE) -> Fitted:
    """Scale a picture (H, W, 3) uint8 to a long side, and fill it up with black to multiples of 32."""
    height, width = image.shape[:2]
    factor = min(long_side / max(height, width), ENLARGED)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small: Any = image
    if size != (width, height):
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    below, beside = (-side % STRIDES[-1] for side in small.shape[:2])
    if below or beside:
        small = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    return Fitted(np.asarray(small, np.uint8), (width, height), (size[0] / width, size[1] / height))


def read_answers(answers: Floats, fitted: Fitted, min_score: float) -> tuple[Floats, Floats, Floats]:
    """The faces that a picture's cells tell of.

    Args:
        answers: (cells, 15) of the network on `fitted.image`.
        fitted: the picture.
        min_score: boxes with a lower score are left out, as are those whose middle lies outside of the picture.

    Returns:
        Scores (n,), highest first, boxes (n, 4) and landmarks (n, 5, 2) in pixels of the original.
    """
    centers, sides = cell_grid(*fitted.image.shape[:2])
    least = math.log(min_score / (1 - min_score))
    sure = np.flatnonzero(answers[:, 0] >= least)
    scores, boxes, landmarks = decode(answers[sure], centers[sure], sides[sure])
    scale = np.array(fitted.scale, np.float32)
    boxes /= np.tile(scale, 2)
    landmarks /= scale
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((middle >= 0) & (middle <= fitted.size)).all(axis=1)
    best = np.flatnonzero(inside)
    best = best[np.argsort(-scores[best], kind="stable")[:MOST_BOXES]]
    kept = best[suppress(scores[best], boxes[best], OVERLAP)]
    return scores[kept], boxes[kept], landmarks[kept]
