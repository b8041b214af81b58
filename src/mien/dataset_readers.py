"""Datasets as Parquet and as folders of pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.dataset_rows import (
    SPLITS,
    USAGES,
    VOTE_COLUMNS,
    Progress,
    Source,
    decode_crop,
    split_of_folder,
    split_of_usage,
)
from mien.emotions import LABELS
from mien.errors import DatasetError, MissingExtraError
from mien.images import MAX_BYTES, SUFFIXES

# Few enough that a batch of photographs, not only of FER2013's small PNGs, fits into memory.
_BATCH_ROWS = 64
_OFFICIAL_NAME = re.compile(rf"({'|'.join(USAGES)})_\d+")


def read_parquet(paths: list[Path], progress: Progress) -> Source:
    """Read Parquet files with the columns image and label and, where they are there, usage, split, votes, row.

    Raises:
        DatasetError: a file or a row is not as expected.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("reading Parquet", "train") from None
    source = Source()
    totals = []
    done = 0
    try:
        for path in paths:
            with pq.ParquetFile(path) as file:
                totals.append(file.metadata.num_rows)
        for path in paths:
            with pq.ParquetFile(path) as file:
                rows = _ParquetRows(path, file.schema_arrow)
                source.is_fer2013 &= rows.is_fer2013
                for batch in file.iter_batches(_BATCH_ROWS, columns=rows.columns):
                    rows.add(batch.to_pylist(), source)
                    done += batch.num_rows
                    progress(done, sum(totals))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: expected a whole Parquet file: {reason}") from None
    return source


class _ParquetRows:
    """Adds the rows of one Parquet file to a source."""

    def __init__(self, path: Path, schema: Any) -> None:
        missing = [name for name in ("image", "label") if name not in schema.names]
        if missing:
            raise DatasetError(
                f"{path}: no column {' and '.join(missing)}, expected image and label "
                f"(there are {', '.join(schema.names)})"
            )
        self.file = path.name
        self.columns = [name for name in ("image", "label", "usage", "votes", "row") if name in schema.names]
        if "split" in schema.names and "usage" not in schema.names:
            self.columns.append("split")
        self.label_names = _label_names(schema)
        self.is_fer2013 = "usage" in schema.names
        # Dataset hubs name the parts of a split train-00000-of-00003.parquet.
        self.file_split = split_of_folder(path.stem.partition("-")[0]) or "train"
        self.count = 0

    def add(self, batch: list[dict[str, Any]], source: Source) -> None:
        """Append a batch of rows, each a dict by column."""
        for row in batch:
            where = f"{self.file}, row {self.count}"
            split = self._split(row, where)
            index = row.get("row")
            source.split(split).add(
                decode_crop(_picture_bytes(row["image"], where), where),
                self._label(row["label"], where),
                f"{self.file}:{self.count}",
                index if isinstance(index, int) else -1,
                _votes(row["votes"], where) if "votes" in row else None,
            )
            self.count += 1

    def _split(self, row: dict[str, Any], where: str) -> str:
        if "usage" in row:
            return split_of_usage(str(row["usage"]), where)
        if "split" not in row:
            return self.file_split
        split = split_of_folder(str(row["split"]))
        if split is None:
            raise DatasetError(f"{where}: split {str(row['split'])[:20]!r}, expected {', '.join(SPLITS)}")
        return split

    def _label(self, label: object, where: str) -> str:
        if isinstance(label, str) and label.strip():
            return label.strip()
        if isinstance(label, int) and 0 <= label < len(self.label_names):
            return self.label_names[label]
        raise DatasetError(f"{where}: label {label!r}, expected 0 to {len(self.label_names) - 1} or a word")


def _label_names(schema: Any) -> tuple[str, ...]:
    """What the integers of the label column mean: FER2013's order, unless a dataset hub's metadata says."""
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError):
        return LABELS
    return tuple(map(str, names)) if isinstance(names, list) and names else LABELS


def _picture_bytes(image: object, where: str) -> bytes:
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes):
        raise DatasetError(f"{where}: no bytes in the column image, expected an encoded picture")
    return data


def _votes(votes: object, where: str) -> bytes:
    if votes is None:
        return bytes(VOTE_COLUMNS)
    try:
        counts = bytes(votes) if isinstance(votes, list) else b""
    except (TypeError, ValueError):
        counts = b""
    if len(counts) != VOTE_COLUMNS:
        raise DatasetError(f"{where}: votes {str(votes)[:60]}, expected {VOTE_COLUMNS} counts from 0 to 255")
    return counts


def read_folder(root: Path, progress: Progress) -> Source:
    """Read a tree of class folders: `train/<class>/*` and `test/<class>/*`, or `<class>/*` alone.

    FER2013's file names (`PublicTest_123.png`) give the official splits back, whatever folder they are in.

    Raises:
        DatasetError: there are no pictures, or one of them is broken.
        OSError: a file or folder cannot be read.
    """
    pictures = list(_pictures(root))
    if not pictures:
        raise DatasetError(
            f"{root}: no dataset found, expected fer2013.csv, *.parquet "
            "or pictures in class folders such as train/angry/*.png"
        )
    source = Source()
    for done, (split, path) in enumerate(pictures, 1):
        official = _OFFICIAL_NAME.match(path.name)
        source.is_fer2013 &= official is not None
        name = path.relative_to(root).as_posix()
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{name}: larger than {MAX_BYTES / 1e6:.0f} MB, expected a picture")
        image = decode_crop(path.read_bytes(), name)
        source.split(USAGES[official[1]] if official else split).add(image, path.parent.name, name)
        progress(done, len(pictures))
    return source


def _pictures(root: Path) -> Iterator[tuple[str, Path]]:
    """Every picture with the split of its folder, in order of name."""
    folders = [(split, folder) for folder in _folders(root) if (split := split_of_folder(folder.name))]
    for split, folder in folders or [(split_of_folder(root.name) or "train", root)]:
        for class_folder in _folders(folder):
            for path in sorted(class_folder.iterdir()):
                if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
                    yield split, path


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    )
