"""The faces of photographs as crops without labels, in one Parquet file: to train on, or to be labelled."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.files import atomic_file
from mien._core.parallel import run_ahead
from mien._core.text import count
from mien.data.parquet import ParquetFile, encode_png
from mien.data.photographs import find_photographs, read_photographs
from mien.errors import DatasetError, ImageError, MissingExtraError
from mien.faces.detector import FaceDetector
from mien.faces.quality import assess_quality
from mien.images.read import read_image

_ROWS = 1024  # crops that are written together
_AHEAD = 2  # photographs that are decoded while another one is searched

_Decoded: TypeAlias = tuple[str, "NDArray[np.uint8] | ImageError | None"]


@dataclass
class CropCounts:
    """What came of photographs: how many were searched, their crops, and how many could not be read."""

    photographs: int = 0
    crops: int = 0
    errors: int = 0


def write_crops(
    paths: Iterable[str | os.PathLike[str]],
    target: Path,
    detector: FaceDetector,
    *,
    part: str | None = None,
    min_quality: float = 0.0,
    report: Callable[[str], None] = lambda message: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CropCounts:
    """Cut out the faces of photographs as a model sees them: 48 x 48 pixels, grey, PNG.

    Columns: `image` (bytes, path), `source` (the photograph), `box` (x1 y1 x2 y2 in its pixels), `detection_score`
    and `quality_score`. `load_dataset` reads the file once it has a column `label`.

    Args:
        paths: files, folders (with all their folders) and glob patterns of pictures and of Parquet files with a column
            `image`.
        target: the file, whole or as it was before.
        detector: finds the faces; its `min_size` says which are large enough.
        part: as in `read_photographs`: "train", "held-out", "all", or None.
        min_quality: crops with a lower quality score, 0 to 1, are left out.
        report: called with why a photograph cannot be read; the others go on.
        progress: called with (done, total) photographs.

    Raises:
        DatasetError: no photograph could be read, or a Parquet file is broken or lacks its column.
        MissingExtraError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    counts = CropCounts()
    _write_rows(
        target, _crops(find_photographs(paths), detector, part, min_quality, counts, report, progress)
    )
    return counts


def _write_rows(target: Path, rows: Iterable[dict[str, Any]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("writing Parquet", "parquet") from None
    fields = {"source": pa.string(), "box": pa.list_(pa.float32())}
    fields |= dict.fromkeys(("detection_score", "quality_score"), pa.float32())
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), *fields.items()])
    rows = iter(rows)
    with atomic_file(target) as file, pq.ParquetWriter(file, schema) as writer:
        while some := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _crops(
    sources: list[Path | ParquetFile],
    detector: FaceDetector,
    part: str | None,
    min_quality: float,
    counts: CropCounts,
    report: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Iterator[dict[str, Any]]:
    """The rows, one by one; `counts` follows them."""
    total = sum(1 if isinstance(source, Path) else source.length for source in sources)
    with closing(run_ahead(_decoded(sources, part), _AHEAD)) as decoded:
        for done, (name, picture) in enumerate(decoded, 1):
            if isinstance(picture, ImageError):
                counts.errors += 1
                report(str(picture) if str(picture).startswith(name) else f"{name}: {picture}")
            elif picture is not None:
                counts.photographs += 1
                for row in _faces(name, picture, detector):
                    if row["quality_score"] >= min_quality:
                        row["image"]["path"] = f"{counts.crops:06d}.png"
                        counts.crops += 1
                        yield row
            progress(done, total)
    if not counts.photographs:
        first = sources[0] if isinstance(sources[0], Path) else sources[0].path
        raise DatasetError(
            f"{first}: no photograph to search; expected pictures, or Parquet with a column image "
            f"({count(counts.errors, 'picture')} could not be read)"
        )


def _faces(name: str, picture: NDArray[np.uint8], detector: FaceDetector) -> Iterator[dict[str, Any]]:
    for face in detector.detect(picture):
        crop = detector.crop(picture, face)
        yield {
            "image": {"bytes": encode_png(crop)},
            "source": name,
            "box": [face.box.x1, face.box.y1, face.box.x2, face.box.y2],
            "detection_score": face.score,
            "quality_score": assess_quality(crop, face.box).score,
        }


def _decoded(sources: list[Path | ParquetFile], part: str | None) -> Generator[_Decoded, None, None]:
    """Every photograph by its name, or why it cannot be read; None for one of another part."""
    for name, content in read_photographs(sources, part):
        try:
            yield name, None if content is None else read_image(content)
        except ImageError as error:
            yield name, error
