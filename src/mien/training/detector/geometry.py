"""The positions of faces after a picture was moved: one affine map for pixels, boxes and landmarks.

Coordinates are continuous, origin at the picture's top left corner: the first pixel spans 0 to 1, its middle is 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

# The five landmarks of a mirrored face: right and left change places.
MIRRORED = [1, 0, 2, 4, 3]

_BLURRED = 0.75  # below this scale a picture is reduced by areas first: sampling alone would skip pixels


@dataclass(frozen=True)
class Faces:
    """The faces of a picture and what must not count as background.

    Attributes:
        boxes: (n, 4) as x1 y1 x2 y2, may reach beyond the picture.
        landmarks: (n, 5, 2) in the order of `mien.results.Face`; NaN where unknown.
        ignored: (m, 4) boxes of what may be a face or not.
    """

    boxes: Floats
    landmarks: Floats
    ignored: Floats

    @classmethod
    def none(cls) -> Faces:
        """Of a picture without a face."""
        return cls(np.empty((0, 4)), np.empty((0, 5, 2)), np.empty((0, 4)))

    @classmethod
    def joined(cls, parts: list[Faces]) -> Faces:
        """The faces of several pictures combined in one."""
        parts = [cls.none(), *parts]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__annotations__))

    def __len__(self) -> int:
        return len(self.boxes)

    def moved(self, matrix: Floats) -> Faces:
        """After the affine map (2, 3). A box is taken for the ellipse in it, and is again the box around that."""
        landmarks = self.landmarks @ matrix[:, :2].T + matrix[:, 2]
        if np.linalg.det(matrix[:, :2]) < 0:
            landmarks = landmarks[:, MIRRORED]
        return Faces(_move_boxes(self.boxes, matrix), landmarks, _move_boxes(self.ignored, matrix))

    def seen(self, window: tuple[float, float, float, float], smallest: float) -> Faces:
        """What can be seen in a window x1 y1 x2 y2.

        Faces outside are gone; those that are cut (by more than a third, or through the middle) or smaller than
        `smallest` pixels on their shorter side are ignored from now on.
        """
        shares = _shares_inside(self.boxes, window)
        middle = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        inside = ((middle > window[:2]) & (middle < window[2:])).all(axis=1)
        large = (self.boxes[:, 2:] - self.boxes[:, :2]).min(axis=1, initial=np.inf) >= smallest
        face = (shares >= 2 / 3) & inside & large
        others = self.boxes[~face & (shares > 0.05)]
        ignored = np.concatenate([self.ignored[_shares_inside(self.ignored, window) > 0], others])
        return Faces(self.boxes[face], self.landmarks[face], _cut(ignored, window))


def affine(
    source: tuple[float, float], target: tuple[float, float], scale: float, angle: float, *, mirror: bool
) -> Floats:
    """The map (2, 3) that brings the point `source` to `target`, mirrored or not, turned by `angle` degrees, scaled."""
    turn = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if mirror:
        linear[:, 0] *= -1
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(source)])


def warp(image: Any, matrix: Floats, width: int, height: int, *, border: int = cv2.BORDER_CONSTANT) -> Any:
    """A picture after the affine map (2, 3): (height, width, channels) of the same type.

    Args:
        image: (H, W) or (H, W, channels).
        matrix: in continuous coordinates, as for `Faces.moved`.
        width, height: of the result.
        border: the pixels outside of the picture, as an OpenCV border type.
    """
    image, matrix = _only_what_is_seen(image, matrix, width, height)
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < _BLURRED and min(image.shape[:2]) * scale >= 1:
        rows, columns = image.shape[:2]
        size = max(1, round(columns * scale)), max(1, round(rows * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([columns / size[0], rows / size[1], 1.0])
    middle = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    # OpenCV counts from the middle of the first pixel.
    centred = matrix @ middle
    centred[:, 2] -= 0.5
    return cv2.warpAffine(image, centred, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def _only_what_is_seen(image: Any, matrix: Floats, width: int, height: int) -> tuple[Any, Floats]:
    """The part of a picture that the result shows, and the map from there: the rest need not be shrunk."""
    linear = np.linalg.inv(matrix[:, :2])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    back = (corners - matrix[:, 2]) @ linear.T
    room = 2 + 2 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))  # for what is interpolated
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(back.min(axis=0) - room), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(back.max(axis=0) + room), low + 1, limit).astype(int)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ low
    return image[low[1] : high[1], low[0] : high[0]], moved


def _move_boxes(boxes: Floats, matrix: Floats) -> Floats:
    linear = matrix[:, :2]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + matrix[:, 2]
    half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (linear**2).T)
    return np.concatenate([middle - half, middle + half], axis=1)


def _cut(boxes: Floats, window: tuple[float, float, float, float]) -> Floats:
    return np.concatenate(
        [np.clip(boxes[:, :2], window[:2], window[2:]), np.clip(boxes[:, 2:], window[:2], window[2:])], axis=1
    )


def _shares_inside(boxes: Floats, window: tuple[float, float, float, float]) -> Floats:
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    inside = _cut(boxes, window)
    return np.asarray((inside[:, 2:] - inside[:, :2]).prod(axis=1) / np.maximum(whole, 1e-9))
