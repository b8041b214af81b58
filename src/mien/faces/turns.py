"""Faces that lie on their side or upside down: the picture is searched as it is, and turned by 90, 180, 270 degrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import as_array, suppress
from mien.faces.multiscale import INSIDE, OVERLAP
from mien.results import Box, Face

OTHERS = 1.2
"""Most faces of a photograph have one way up. Those with another one need so many times the minimum score: of 1,204
photographs that the first detector was trained on, that finds 941 faces with 31 false positives; without, 943 with
47."""

Picture = NDArray[np.uint8]
Search = Callable[[Sequence[Picture], Sequence[float]], list[list[Face]]]
"""Pictures (H, W, 3) uint8 RGB and the smallest face asked for in each, in pixels -> the faces of every picture."""


def search_turned(
    search: Search, images: Sequence[Picture], min_sizes: Sequence[float], min_score: float
) -> list[list[Face]]:
    """The faces of every picture in all four directions, in pixels of the picture as it came, best first.

    Args:
        search: finds faces that are nearly upright, with landmarks.
        images: (H, W, 3) uint8 RGB each.
        min_sizes: of every picture, the shorter side of the smallest face asked for, in its pixels.
        min_score: of a face, by `search`.
    """
    seen: list[list[list[Face]]] = [[] for _ in images]
    for quarters in range(4):
        turned = [np.ascontiguousarray(np.rot90(image, quarters)) for image in images]
        for ways, image, found in zip(seen, images, search(turned, min_sizes), strict=True):
            ways.append([turned_back(face, quarters, image.shape[1], image.shape[0]) for face in found])
    return [_best(ways, OTHERS * min_score) for ways in seen]


def turned_back(face: Face, quarters: int, width: int, height: int) -> Face:
    """A face of a picture that `numpy.rot90` has turned, in pixels of the picture of this size before that."""

    def back(x: float, y: float) -> tuple[float, float]:
        return ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters]

    (x1, y1), (x2, y2) = back(face.box.x1, face.box.y1), back(face.box.x2, face.box.y2)
    return replace(
        face,
        box=Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)),
        landmarks=face.landmarks and tuple(back(x, y) for x, y in face.landmarks),
    )


def _best(ways: Sequence[Sequence[Face]], sure: float) -> list[Face]:
    """Each face once: all with the way up of most, and of others those with at least that score.

    A head tilted by 45 degrees is found in two directions.
    """
    most = max(ways, key=lambda faces: sum(face.score for face in faces))
    faces = [face for way in ways for face in way if way is most or face.score >= sure]
    kept = suppress(
        np.array([face.score for face in faces]), as_array(face.box for face in faces), OVERLAP, INSIDE
    )
    return [faces[place] for place in kept]
