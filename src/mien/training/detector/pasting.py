"""Faces cut out of portraits and of FER2013, pasted with soft borders into pictures without any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.training.detector.geometry import Faces, Floats, Image, affine, warp
from mien.training.detector.photographs import Photograph

# YuNet's box in a picture of FER2013, in shares of its side: the medians over the training pictures.
_FER_BOX = np.array([0.116, -0.034, 0.885, 0.970])

_LARGEST_FER = 220  # pixels: a blur, as enlarged thumbnails are


@dataclass(frozen=True)
class Cutting:
    """A face to paste: its picture (h, w, 3) uint8 RGB and the position of the face in it."""

    image: Image
    faces: Faces


def cut_out(one: Photograph, face: int) -> Cutting:
    """A face of a photograph with its surroundings, as far as the picture goes."""
    box = one.faces.boxes[face]
    room = 0.6 * (box[2:] - box[:2]).max()
    size = np.array(one.image.shape[1::-1])
    low = np.clip(np.floor(box[:2] - room), 0, size - 1).astype(int)
    high = np.clip(np.ceil(box[2:] + room), low + 1, size).astype(int)
    back = np.tile(low, 2)
    faces = Faces(
        box[None] - back, one.faces.landmarks[face][None] - low, np.empty((0, 4))
    )  # neighbours are the picture's, not the face's
    return Cutting(np.ascontiguousarray(one.image[low[1] : high[1], low[0] : high[0]]), faces)


def cutting_of_fer(picture: NDArray[np.uint8]) -> Cutting:
    """A picture of FER2013 (48, 48) uint8 grey: a face without known landmarks."""
    box = _FER_BOX[None] * len(picture)
    return Cutting(
        np.repeat(picture[..., None], 3, axis=2), Faces(box, np.full((1, 5, 2), np.nan), np.empty((0, 4)))
    )


def size_to_paste(rng: np.random.Generator, smallest: float, largest: float, *, fer: bool) -> float:
    """The longer side of a box, in pixels, log-uniform."""
    top = min(largest, _LARGEST_FER) if fer else largest
    return float(np.exp(rng.uniform(np.log(smallest), np.log(top))))


def paste(
    scene: Image, cutting: Cutting, middle: tuple[float, float], size: float, angle: float, *, mirror: bool,
    softness: float,
) -> Faces:  # fmt: skip
    """Lay a face over a scene, in place.

    Args:
        scene: (H, W, 3) uint8, changed.
        cutting: the face.
        middle: of its box in the scene.
        size: longer side of its box in the scene, in pixels.
        angle: that it is turned by, in degrees.
        mirror: whether it is mirrored.
        softness: width of the border that fades, as a share of the shorter side, up to 0.5.

    Returns:
        The face in the scene.
    """
    box = cutting.faces.boxes[0]
    own = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    matrix = affine(own, middle, size / (box[2:] - box[:2]).max(), angle, mirror=mirror)
    height, width = cutting.image.shape[:2]
    window = _window(matrix, (width, height), (scene.shape[1], scene.shape[0]))
    faces = cutting.faces.moved(matrix)
    if window is None:
        return faces
    x1, y1, x2, y2 = window
    matrix = matrix.copy()
    matrix[:, 2] -= x1, y1
    place = scene[y1:y2, x1:x2]
    mask = warp(_soft_mask(height, width, softness), matrix, x2 - x1, y2 - y1)[..., None]
    face = warp(cutting.image, matrix, x2 - x1, y2 - y1, border=cv2.BORDER_REPLICATE)
    place[:] = (place + mask * (face - place.astype(np.float32)) + 0.5).astype(np.uint8)
    return faces


def _window(
    matrix: Floats, size: tuple[int, int], limit: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The part of a scene that the cutting covers, None if it is outside."""
    width, height = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)), limit).astype(int)
    return None if (low >= high).any() else (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _soft_mask(height: int, width: int, softness: float) -> NDArray[np.float32]:
    """1 inside, falling to 0 at the border, (height, width) float32."""
    fade = max(1.0, softness * min(height, width))
    y = np.minimum(np.arange(height), np.arange(height)[::-1]) + 0.5
    x = np.minimum(np.arange(width), np.arange(width)[::-1]) + 0.5
    ramp = np.minimum(np.minimum(y / fade, 1)[:, None], np.minimum(x / fade, 1)[None])
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)
