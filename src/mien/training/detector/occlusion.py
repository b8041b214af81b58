"""Things before faces: sunglasses, masks, and hands or whatever else is held before one."""

from __future__ import annotations

import numpy as np

from mien._core.opencv import cv2
from mien.training.detector.geometry import Faces, Floats, Image

SMALLEST = 20.0
"""Faces with a shorter side, in pixels, stay as they are: nothing could be seen of what hides them."""


def occlude(image: Image, faces: Faces, share: float, rng: np.random.Generator) -> Image:
    """The picture with something before some of its faces, which are still faces.

    Args:
        image: (H, W, 3) uint8 RGB; it may be changed.
        faces: the faces in it.
        share: how many of the faces that are large enough, 0 to 1.
        rng: the source of the random numbers.
    """
    if not share:  # and no random number is drawn: runs of earlier versions go on as they began
        return image
    chosen = [
        (box, points)
        for box, points in zip(faces.boxes, faces.landmarks, strict=True)
        if rng.random() < share and min(box[2:] - box[:2]) >= SMALLEST
    ]
    if not chosen:
        return image
    image = np.ascontiguousarray(image)
    for box, points in chosen:
        kind = rng.random()
        if kind < 0.3 and np.isfinite(points).all():
            _sunglasses(image, points, rng)
        elif kind < 0.6 and np.isfinite(points).all():
            _mask(image, box, points, rng)
        else:
            _something(image, box, rng)
    return image


def _sunglasses(image: Image, points: Floats, rng: np.random.Generator) -> None:
    right, left = points[:2]
    apart = float(np.hypot(*(left - right)))
    angle = float(np.degrees(np.arctan2(*(left - right)[::-1])))
    colour = rng.integers(0, 70, 3).tolist()
    size = (max(1, round(apart * rng.uniform(0.3, 0.42))), max(1, round(apart * rng.uniform(0.22, 0.36))))
    for eye in (right, left):
        cv2.ellipse(image, _pixel(eye), size, angle, 0, 360, colour, -1, cv2.LINE_AA)
    cv2.line(image, _pixel(right), _pixel(left), colour, max(1, round(0.08 * apart)), cv2.LINE_AA)


def _mask(image: Image, box: Floats, points: Floats, rng: np.random.Generator) -> None:
    """From the bridge of the nose or below to the chin, in one colour with a soft shade."""
    middle = points[:2].mean(axis=0)
    down = points[3:].mean(axis=0) - middle
    across = np.array([-down[1], down[0]]) / max(float(np.hypot(*down)), 1e-6)
    width = 0.48 * float(min(box[2:] - box[:2]))
    top, bottom = middle + rng.uniform(0.25, 0.6) * down, middle + rng.uniform(1.5, 1.8) * down
    outline = [top - width * across, top + width * across, bottom + 0.55 * width * across]
    outline.append(bottom - 0.55 * width * across)
    colour = rng.integers(20, 256, 3) if rng.random() < 0.6 else np.full(3, rng.integers(0, 256))
    cv2.fillConvexPoly(image, np.round(outline).astype(np.int32), colour.tolist(), cv2.LINE_AA)


def _something(image: Image, box: Floats, rng: np.random.Generator) -> None:
    """A blunt shape, of the picture's own pixels from elsewhere or of one colour, over a third of the face at most."""
    size = box[2:] - box[:2]
    axes = np.maximum(1, size * rng.uniform(0.15, 0.33, 2)).round().astype(int)
    centre = _pixel(box[:2] + size * rng.uniform(0.05, 0.95, 2))
    shape = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(shape, centre, axes.tolist(), float(rng.uniform(0, 180)), 0, 360, 255, -1)
    if rng.random() < 0.5:
        moved = np.roll(image, tuple(int(n) for n in rng.integers(40, 200, 2)), axis=(0, 1))
        image[shape > 0] = moved[shape > 0]
    else:
        image[shape > 0] = rng.integers(0, 256, 3)


def _pixel(point: Floats) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
