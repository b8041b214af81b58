"""Scenes to train the face detector with, composed anew every epoch of photographs, faces and empty pictures.

A scene is one photograph near or far, a mosaic of four, faces pasted where none were, or a place that was once taken
for a face. All randomness comes from the scene's number, so it can be drawn again, in any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.training.detector.geometry import Faces, Floats, Image, affine, warp
from mien.training.detector.occlusion import occlude
from mien.training.detector.pasting import Cutting, cut_out, cutting_of_fer, paste, size_to_paste
from mien.training.detector.photographs import Photograph
from mien.training.detector.scene_corruptions import corrupt

SMALLEST = 9.0
"""Faces with a shorter side, in pixels, are ignored."""

SIZES = (11.0, 260.0)
"""The range of a face's longer side in pixels, log-uniform; a photograph is not enlarged by more than `ENLARGED`."""

ENLARGED = 2.2
PASTED_SIZES = (12.0, 200.0)
TILTED = 30.0
"""Half of the pictures hang straight, nearly. The others are turned to either side: up to the synthesizer's `rotation`
or, where that is more, half of them up to these degrees, as most heads are."""

KINDS = {"photograph": 0.35, "mosaic": 0.23, "pasted": 0.17, "alone": 0.07, "trap": 0.18}
"""How often a scene is of a kind."""

_PORTRAITS = ("twfy_mpsL", "caltech101_faces", "ms_face_samples")
_FEWER = {"masks853": 0.6, "twfy_mpsL": 0.6, "caltech101_faces": 0.8}


@dataclass(frozen=True)
class Scene:
    """A picture (side, side, 3) uint8 RGB and its faces."""

    image: Image
    faces: Faces


class SceneSynthesizer:
    """Composes scenes.

    Args:
        photographs: to train on; some of them empty, some with faces.
        fer_faces: (n, 48, 48) uint8 grey faces to paste; may be none.
        side: of the scenes in pixels, a multiple of 32.
        rotation: most degrees that a photograph or a pasted face is turned by, to either side.
        occlusion: the share of faces that something is put before.
    """

    def __init__(
        self,
        photographs: list[Photograph],
        fer_faces: NDArray[np.uint8],
        side: int,
        *,
        rotation: float = TILTED,
        occlusion: float = 0.0,
    ) -> None:
        self.side, self._rotation, self._occlusion = side, rotation, occlusion
        self._fer = fer_faces
        self._with_faces = [one for one in photographs if len(one.faces)]
        self._shares = _shares(self._with_faces)
        self._empty = [one for one in photographs if one.empty]
        self._traps = [(one, box) for one in photographs for box in one.rejected]
        self._portraits = [
            (one, face)
            for one in self._with_faces
            for face, box in enumerate(one.faces.boxes)
            if (one.source in _PORTRAITS or len(one.faces) == 1) and min(box[2:] - box[:2]) >= 40
        ]

    def draw(self, *numbers: int) -> Scene:
        """The scene of these numbers: seed, epoch, place in the epoch."""
        rng = np.random.default_rng(numbers)
        kind = rng.choice(list(KINDS), p=list(KINDS.values()))
        grey = False
        if kind == "mosaic":
            scene = self._mosaic(rng)
        elif kind == "pasted" and self._empty:
            scene, grey = self._pasted(rng)
        elif kind == "alone" and (len(self._fer) or self._portraits):
            scene, grey = self._alone(rng)
        elif kind == "trap" and self._empty:
            scene = self._trap(rng)
        else:
            scene = self._photograph(rng, self.side, self.side)
        window = (0.0, 0.0, float(self.side), float(self.side))
        image = occlude(scene.image, scene.faces, self._occlusion, rng)
        return Scene(corrupt(image, rng, grey=grey), scene.faces.seen(window, SMALLEST))

    def _photograph(self, rng: np.random.Generator, width: int, height: int) -> Scene:
        """One with faces: one of them at a size drawn, anywhere."""
        one = self._with_faces[rng.choice(len(self._with_faces), p=self._shares)]
        box = one.faces.boxes[rng.integers(len(one.faces))]
        return self._around(rng, one, box, width, height)

    def _around(
        self, rng: np.random.Generator, one: Photograph, box: Floats, width: int, height: int
    ) -> Scene:
        """A photograph, scaled so that a box in it has the drawn size; an empty one, or a colour, fills the rest."""
        largest = min(SIZES[1], 0.95 * min(width, height))
        size = np.exp(rng.uniform(np.log(SIZES[0]), np.log(largest)))
        scale = min(size / (box[2:] - box[:2]).max(), ENLARGED)
        half = scale * (box[2:] - box[:2]) / 2
        x, y = (
            rng.uniform(min(h, side / 2), max(side - h, side / 2))
            for h, side in zip(half, (width, height), strict=True)
        )
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        matrix = affine(middle, (x, y), scale, self._angle(rng), mirror=rng.random() < 0.5)
        image = warp(one.image, matrix, width, height)
        covered = one.image.shape[0] * one.image.shape[1] * scale**2 / (width * height)
        behind = self._background(rng, width, height) if self._empty and covered < 1.5 else None
        _fill(image, one.image.shape, matrix, behind, rng)
        return Scene(image, one.faces.moved(matrix))

    def _mosaic(self, rng: np.random.Generator) -> Scene:
        """Four photographs, one of them now and then an empty one, that meet in a point."""
        image = np.empty((self.side, self.side, 3), np.uint8)
        x, y = (int(self.side * rng.uniform(0.3, 0.7)) for _ in range(2))
        parts = []
        for x1, x2 in ((0, x), (x, self.side)):
            for y1, y2 in ((0, y), (y, self.side)):
                if self._empty and rng.random() < 0.1:
                    image[y1:y2, x1:x2] = self._background(rng, x2 - x1, y2 - y1)
                    continue
                tile = self._photograph(rng, x2 - x1, y2 - y1)
                image[y1:y2, x1:x2] = tile.image
                seen = tile.faces.seen((0, 0, x2 - x1, y2 - y1), SMALLEST)
                parts.append(seen.moved(np.array([[1.0, 0, x1], [0, 1, y1]])))
        return Scene(image, Faces.joined(parts))

    def _pasted(self, rng: np.random.Generator) -> tuple[Scene, bool]:
        """Faces on an empty picture, none over another; with FER2013's among them the scene is to be grey."""
        image = np.ascontiguousarray(self._background(rng, self.side, self.side))
        taken: list[tuple[float, float, float]] = []
        parts, grey = [], False
        for _ in range(1 + rng.geometric(0.35)):
            fer = len(self._fer) > 0 and (not self._portraits or rng.random() < 0.5)
            if not fer and not self._portraits:
                continue
            size = size_to_paste(rng, *PASTED_SIZES, fer=fer)
            x, y = (
                rng.uniform(min(0.4 * size, self.side / 2), max(self.side - 0.4 * size, self.side / 2))
                for _ in "xy"
            )
            if any(max(abs(x - u), abs(y - v)) < 0.9 * (size + other) for u, v, other in taken):
                continue
            taken.append((x, y, size))
            grey |= fer and rng.random() < 0.8
            parts.append(
                paste(image, self._cutting(rng, fer=fer), (x, y), size, self._angle(rng), mirror=rng.random() < 0.5,
                      softness=rng.uniform(0.02, 0.3))
            )  # fmt: skip
        return Scene(image, Faces.joined(parts)), grey

    def _alone(self, rng: np.random.Generator) -> tuple[Scene, bool]:
        """One large face, and around it what its picture's border repeats, or one colour."""
        fer = len(self._fer) > 0 and (not self._portraits or rng.random() < 0.6)
        cutting = self._cutting(rng, fer=fer)
        size = size_to_paste(rng, 0.12 * self.side, 0.95 * self.side, fer=fer)
        box = cutting.faces.boxes[0]
        x, y = (
            rng.uniform(min(0.45 * size, self.side / 2), max(self.side - 0.45 * size, self.side / 2))
            for _ in "xy"
        )
        matrix = affine(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), (x, y), size / (box[2:] - box[:2]).max(),
                        self._angle(rng), mirror=rng.random() < 0.5)  # fmt: skip
        image = warp(cutting.image, matrix, self.side, self.side, border=cv2.BORDER_REPLICATE)
        if rng.random() < 0.4:
            _fill(image, cutting.image.shape, matrix, None, rng)
        return Scene(image, cutting.faces.moved(matrix)), fer and rng.random() < 0.8

    def _cutting(self, rng: np.random.Generator, *, fer: bool) -> Cutting:
        if fer:
            return cutting_of_fer(self._fer[rng.integers(len(self._fer))])
        return cut_out(*self._portraits[rng.integers(len(self._portraits))])

    def _trap(self, rng: np.random.Generator) -> Scene:
        """A place that a detector once took for a face, or any empty picture."""
        if not self._traps or rng.random() < 0.4:
            return Scene(self._background(rng, self.side, self.side), Faces.none())
        one, box = self._traps[rng.integers(len(self._traps))]
        return self._around(rng, one, box, self.side, self.side)

    def _angle(self, rng: np.random.Generator) -> float:
        """Degrees."""
        if rng.random() < 0.5:
            return float(rng.normal(0, 2))
        most = self._rotation
        if most > TILTED and rng.random() < 0.5:
            most = TILTED
        return float(rng.uniform(-most, most))

    def _background(self, rng: np.random.Generator, width: int, height: int) -> Image:
        """A part of a picture without faces, large enough to fill the window."""
        image = self._empty[rng.integers(len(self._empty))].image
        rows, columns = image.shape[:2]
        least = max(width / columns, height / rows)
        scale = least * np.exp(rng.uniform(0, np.log(2.5)))
        x, y = (
            rng.uniform(part / 2 / scale, max(whole - part / 2 / scale, part / 2 / scale))
            for part, whole in ((width, columns), (height, rows))
        )
        matrix = affine((x, y), (width / 2, height / 2), scale, 0.0, mirror=rng.random() < 0.5)
        return np.asarray(warp(image, matrix, width, height, border=cv2.BORDER_REPLICATE), np.uint8)


def _fill(
    image: Image, shape: tuple[int, ...], matrix: Floats, behind: Image | None, rng: np.random.Generator
) -> None:
    """Put `behind`, or one colour, where a moved picture of that shape does not reach."""
    height, width = image.shape[:2]
    outside = warp(np.ones(shape[:2], np.float32), matrix, width, height) < 0.999
    image[outside] = rng.integers(0, 256, 3) if behind is None else behind[outside]


def _shares(photographs: list[Photograph]) -> Floats:
    """How often each is shown: a collection by the root of its number, pictures with many faces more often."""
    counts: dict[str, int] = {}
    for one in photographs:
        counts[one.source] = counts.get(one.source, 0) + 1
    shares = np.array(
        [
            _FEWER.get(one.source, 1.0) * (1 + np.log2(len(one.faces))) / np.sqrt(counts[one.source])
            for one in photographs
        ]
    )
    return np.asarray(shares / shares.sum())
