"""FER2013 and other datasets as Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.files import atomic_file
from mien._core.opencv import cv2
from mien.data.dataset import Dataset, Split
from mien.data.rows import (
    CHUNK,
    SPLITS,
    USAGES,
    VOTE_COLUMNS,
    Progress,
    Row,
    Source,
    decode_crop,
    split_of_folder,
    split_of_usage,
)
from mien.errors import DatasetError, MissingColumnError, MissingExtraError
from mien.labels import LABELS

_BATCH = 1024  # images that are written together
_SMALL_FILE = 2**25  # bytes
_ParquetRow: TypeAlias = "tuple[ParquetFile, int, dict[str, Any]]"


def read_parquet(paths: list[Path], source: Source, progress: Progress, *, labelled: bool = True) -> None:
    """Read Parquet files into a source: the columns image and label and, where there, usage, split, votes and row.

    Not `labelled`: the images and their splits alone, whatever else there is; their label is "".

    Raises:
        DatasetError: a file or a row is not as expected, or there is no room for the pixels.
        MissingExtraError: pyarrow is not installed.
    """
    files = [ParquetFile(path, labelled=labelled) for path in paths]
    source.is_fer2013 = all(file.is_fer2013 for file in files)
    source.memory.expected = total = sum(file.length for file in files)
    chunks = (chunk for file in files for chunk in file.chunks())
    source.read_all(ParquetFile.read_row, chunks, total, progress)


def read_parquet_columns(paths: list[Path], columns: list[str]) -> dict[str, tuple[str, ...]]:
    """More columns of Parquet files: name of a row, as in `Row`, -> their values as text, "" for none.

    Raises:
        MissingColumnError: a file has no such column.
        DatasetError: a file is broken.
        MissingExtraError: pyarrow is not installed.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path in paths:
        with _parquet_errors(path):
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                for column in columns:
                    if column not in names:
                        others = ", ".join(name for name in names if name not in ("image", "votes"))
                        raise MissingColumnError(
                            f"{path.name}: no column {column!r}, expected one of {others or 'none'}"
                        )
                table = [file.read(columns=[column]).column(0).to_pylist() for column in columns]
        for number, row in enumerate(zip(*table, strict=True)):
            found[f"{path.name}:{number}"] = tuple("" if value is None else str(value) for value in row)
    return found


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """What pyarrow raises for a broken file, as a DatasetError."""
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: expected a whole Parquet file: {reason}") from None


class ParquetFile:
    """One Parquet file: what its columns mean, and its rows.

    Args:
        path: of the file.
        labelled: whether labels and votes are read; else there may be none.
    """

    def __init__(self, path: Path, *, labelled: bool = True) -> None:
        with _parquet_errors(path):
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                schema, self.length = file.schema_arrow, file.metadata.num_rows
        needed = ("image", "label") if labelled else ("image",)
        missing = [name for name in needed if name not in schema.names]
        if missing:
            raise DatasetError(
                f"{path}: no column {' and '.join(missing)}, expected {' and '.join(needed)} "
                f"(there are {', '.join(schema.names)})"
            )
        self.path = path
        self.labelled = labelled
        known = (*needed, "usage", *(("votes", "row") if labelled else ()))
        self.columns = [name for name in known if name in schema.names]
        self.has_face_boxes = "teacher_boxes" in schema.names
        if "split" in schema.names and "usage" not in schema.names:
            self.columns.append("split")
        self.label_names = _label_names(schema)
        self.is_fer2013 = "usage" in schema.names
        # Dataset hubs name the parts of a split train-00000-of-00003.parquet.
        self.split = split_of_folder(path.stem.partition("-")[0]) or "train"

    def chunks(self, rows: int = CHUNK) -> Iterator[list[_ParquetRow]]:
        """The rows, so many at a time; pictures still encoded."""
        import pyarrow.parquet as pq

        number = 0
        with _parquet_errors(self.path), pq.ParquetFile(self.path, **_in_parts(self.path)) as file:
            for batch in file.iter_batches(rows, columns=self.columns):
                values = batch.to_pylist()
                yield [(self, number + i, row) for i, row in enumerate(values)]
                number += len(values)

    def splits_and_labels(self) -> list[tuple[str, str]]:
        """Split and label of every row, without its picture.

        Raises:
            DatasetError: the file is broken, or a row has no such split or label.
        """
        import pyarrow.parquet as pq

        columns = [name for name in self.columns if name in ("label", "usage", "split")]
        with _parquet_errors(self.path), pq.ParquetFile(self.path, **_in_parts(self.path)) as file:
            rows = file.read(columns=columns).to_pylist()
        return [self.split_and_label(row, number) for number, row in enumerate(rows)]

    def split_and_label(self, row: dict[str, Any], number: int) -> tuple[str, str]:
        """What a row says of its picture.

        Raises:
            DatasetError: it has no such split or label.
        """
        where = f"{self.path.name}, row {number}"
        return self._split(row, where), self._label(row["label"], where)

    @staticmethod
    def read_row(row: _ParquetRow) -> Row:
        """One row, decoded."""
        file, number, values = row
        where = f"{file.path.name}, row {number}"
        place = values.get("row")
        return Row(
            file._split(values, where),
            decode_crop(_picture_bytes(values["image"], where), where),
            file._label(values["label"], where) if file.labelled else "",
            f"{file.path.name}:{number}",
            place if isinstance(place, int) else -1,
            _votes(values["votes"], where) if "votes" in values else None,
        )

    def _split(self, row: dict[str, Any], where: str) -> str:
        if "usage" in row:
            return split_of_usage(str(row["usage"]), where)
        if "split" not in row:
            return self.split
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


def _in_parts(path: Path) -> dict[str, Any]:
    """How pyarrow reads a Parquet file: left to itself, it holds all of it in memory while its rows are read.

    Its buffer grows to what a page says that it has, gigabytes in a broken file; so a small file is held after all.
    """
    return {"pre_buffer": False, "buffer_size": 2**20 if path.stat().st_size > _SMALL_FILE else 0}


def _label_names(schema: Any) -> tuple[str, ...]:
    """What the integers of the label column mean: FER2013's order, unless a dataset hub's metadata says."""
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError):
        return LABELS
    return tuple(map(str, names)) if isinstance(names, list) and names else LABELS


def picture_bytes(image: object) -> bytes | None:
    """The encoded picture in a value of the column image; None where there is none."""
    data = image.get("bytes") if isinstance(image, dict) else image
    return data if isinstance(data, bytes) else None


def _picture_bytes(image: object, where: str) -> bytes:
    if (data := picture_bytes(image)) is None:
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


def write_parquet(target: Path, dataset: Dataset) -> None:
    """Write a dataset as one Parquet file: image, label, votes if there are some, and its split.

    The column `label` holds integers whose names stand in the metadata, as dataset hubs have it. FER2013's
    splits are the column `usage` in Kaggle's words, those of another dataset the column `split`.

    Raises:
        MissingExtraError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("writing Parquet", "parquet") from None
    column = "usage" if dataset.is_fer2013 else "split"
    voted = any(split.votes is not None for split in dataset.splits.values())
    fields = [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
        (column, pa.string()),
        *([("votes", pa.list_(pa.uint8()))] if voted else []),
    ]
    schema = pa.schema(fields, metadata={b"huggingface": _metadata(dataset, column, voted)})
    words = {split: word for word, split in USAGES.items()} if dataset.is_fer2013 else {}
    with atomic_file(target) as file, pq.ParquetWriter(file, schema) as writer:
        for name, split in dataset.splits.items():
            for start in range(0, len(split), _BATCH):
                rows = [
                    _row(split, i) | {column: words.get(name, name)}
                    for i in range(start, min(start + _BATCH, len(split)))
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _row(split: Split, i: int) -> dict[str, Any]:
    return {
        "image": {"bytes": encode_png(split.images[i]), "path": split.names[i]},
        "label": int(split.targets[i]),
        "votes": None if split.votes is None else split.votes[i].tolist(),
    }


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A picture (H, W) uint8 grey as the bytes of a PNG file."""
    return bytes(cv2.imencode(".png", image)[1])


def _metadata(dataset: Dataset, column: str, voted: bool) -> bytes:
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(dataset.labels), "_type": "ClassLabel"},
        column: {"dtype": "string", "_type": "Value"},
    }
    if voted:
        features["votes"] = {"feature": {"dtype": "uint8", "_type": "Value"}, "_type": "Sequence"}
    return json.dumps({"info": {"features": features}}).encode()
