"""The pictures that the detectors are measured on. The data folder is described in detectors.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.images.read import read_image
from mien.results import Box

MIN_FACE = 24
"""Lower faces, in pixels, count neither as found nor as false."""

# A YuNet box and a Haar box of one face: the square's side over the longer side.
SQUARE = 0.91


@dataclass(frozen=True)
class Picture:
    """A picture with the faces to find, and places that count neither way, as squares."""

    image: NDArray[np.uint8]
    faces: list[Box]
    ignored: list[Box]
    landmarks: list[NDArray[np.float64]]


def square(box: list[float] | Box, factor: float = SQUARE) -> Box:
    """The square around a box's centre with `factor` times its longer side."""
    box = box if isinstance(box, Box) else Box(*box)
    (x, y), half = box.center, factor * max(box.width, box.height) / 2
    return Box(x - half, y - half, x + half, y + half)


def pictures_in_context(file: Path) -> tuple[list[Picture], list[Picture]]:
    """Two halves, to choose settings on and to check them on: every picture with an unmasked face of `MIN_FACE`
    pixels or more (of Caltech's portraits of few people 120), and 300 pictures each without any face."""
    table = pq.read_table(file)
    rows = table.drop_columns(["image"]).to_pylist()
    rng = np.random.default_rng(1)
    seen, portraits, empty = [], [], []
    for i, row in enumerate(rows):
        if row["is_negative"]:
            empty.append(i)
        elif row["source"] not in ("masks853", "twfy_mpsL") and any(
            is_large(b) for b in row["teacher_boxes"]
        ):
            (portraits if row["source"] == "caltech101_faces" else seen).append(i)
    seen = rng.permutation(seen + rng.permutation(portraits)[:120].tolist()).tolist()
    empty = rng.permutation(empty).tolist()
    half = len(seen) // 2
    split = seen[:half] + empty[:300], seen[half:] + empty[300:600]
    read = [[picture(table["image"][i].as_py()["bytes"], rows[i]) for i in part] for part in split]
    return read[0], read[1]


def is_large(box: list[float]) -> bool:
    """Whether a box is at least `MIN_FACE` high."""
    return box[3] - box[1] >= MIN_FACE


def picture(data: bytes, row: dict[str, Any]) -> Picture:
    """A row of the pictures in context."""
    faces = [(square(b), p) for b, p in zip(row["teacher_boxes"], row["teacher_landmarks"], strict=True)]
    large = [is_large(b) for b in row["teacher_boxes"]]
    return Picture(
        read_image(data),
        [box for (box, _), is_face in zip(faces, large, strict=True) if is_face],
        [box for (box, _), is_face in zip(faces, large, strict=True) if not is_face]
        + [square(b) for b in row["ignore_boxes"]],
        [np.reshape(p, (5, 2)) for (_, p), is_face in zip(faces, large, strict=True) if is_face],
    )


def in_border(data: bytes) -> NDArray[np.uint8]:
    """A picture of FER2013 (48 x 48) in a border half as wide, its edge repeated, four times up: RGB."""
    wide = cv2.copyMakeBorder(read_image(data), 24, 24, 24, 24, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(wide, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)


def training_pictures(file: Path, count: int) -> list[NDArray[np.uint8]]:
    """FER2013's own pictures, each `in_border`."""
    column = pq.read_table(file, columns=["image"]).column("image")
    chosen = np.random.default_rng(0).choice(len(column), count, replace=False)
    return [in_border(row["bytes"]) for row in column.take(np.sort(chosen)).to_pylist()]
