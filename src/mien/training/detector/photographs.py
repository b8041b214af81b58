"""Photographs with the boxes of their faces, to train a face detector with: read from Parquet, split by picture."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien._core.parallel import map_chunks
from mien._core.text import count
from mien.data.photographs import is_held_out
from mien.errors import DatasetError, ImageError
from mien.images.read import read_image
from mien.training.detector.geometry import Faces, Floats, Image

_COLUMNS = (
    "image", "source", "is_negative", "teacher_boxes", "teacher_landmarks", "ignore_boxes", "rejected_boxes",
)  # fmt: skip


@dataclass(frozen=True)
class Photograph:
    """A picture and what is known of it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        faces: its faces, and what may be one or not.
        rejected: (k, 4) boxes of what looks like a face to a detector and is none.
        source: the collection that it comes from.
        empty: certainly without any face.
        digest: SHA-256 of the picture's file, hexadecimal.
    """

    image: Image
    faces: Faces
    rejected: Floats
    source: str
    empty: bool
    digest: str

    @property
    def in_validation(self) -> bool:
        """Whether it is held out for validation: by its own bytes, so copies and later versions of the data agree."""
        return is_held_out(self.digest)


def load_photographs(file: Path, *, limit: int = 0) -> list[Photograph]:
    """All pictures of a Parquet file, decoded.

    Its columns: `image` (bytes, path), `source`, `is_negative`; boxes x1 y1 x2 y2 in pixels `teacher_boxes`,
    `ignore_boxes`, `rejected_boxes`; and `teacher_landmarks`, ten numbers a face.

    Args:
        file: the Parquet file.
        limit: read this many pictures, spread over the file; 0 for all.

    Raises:
        DatasetError: it is missing, lacks a column, or holds a picture that cannot be read.
    """
    try:
        table = pq.read_table(file, columns=list(_COLUMNS))
        if missing := [name for name in _COLUMNS if name not in table.column_names]:
            raise DatasetError(f"{file}: no column {missing[0]}; expected {', '.join(_COLUMNS)}")
        if limit:
            table = table.take(np.unique(np.linspace(0, len(table) - 1, limit).astype(int)))
        chunks = (batch.to_pylist() for batch in table.to_batches(max_chunksize=64))
        return [photograph for part in map_chunks(_photograph, chunks) for photograph in part]
    except DatasetError:
        raise
    except (OSError, ValueError, TypeError, KeyError, ImageError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{file}: not photographs with boxes of faces ({reason})") from None


def fingerprint(photographs: list[Photograph]) -> str:
    """SHA-256 of all pictures and boxes, in order: data is the same, or not."""
    digest = hashlib.sha256()
    for one in photographs:
        digest.update(one.digest.encode())
        for values in (one.faces.boxes, one.faces.landmarks, one.faces.ignored, one.rejected):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def split_photographs(photographs: list[Photograph]) -> tuple[list[Photograph], list[Photograph]]:
    """Those to train on, and those to validate with.

    Raises:
        DatasetError: there is no picture with a face in one of them.
    """
    parts: tuple[list[Photograph], list[Photograph]] = ([], [])
    for one in photographs:
        parts[one.in_validation].append(one)
    if not all(any(len(one.faces) for one in part) for part in parts):
        raise DatasetError(
            f"{count(len(photographs), 'photograph')}: too few; expected some with faces to train on and to "
            "validate with"
        )
    return parts


def _photograph(row: dict[str, Any]) -> Photograph:
    data = row["image"]["bytes"]
    return Photograph(
        read_image(data),
        Faces(_boxes(row["teacher_boxes"]), _points(row["teacher_landmarks"]), _boxes(row["ignore_boxes"])),
        _boxes(row["rejected_boxes"]),
        row["source"],
        bool(row["is_negative"]),
        hashlib.sha256(data).hexdigest(),
    )


def _boxes(rows: list[list[float]]) -> Floats:
    return np.array(rows, np.float64).reshape(-1, 4)


def _points(rows: list[list[float]]) -> NDArray[np.float64]:
    return np.array(rows, np.float64).reshape(-1, 5, 2)
