"""FER2013 as Kaggle's CSV, and the FER+ votes that are joined to it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mien._core.text import count
from mien.data.pixel_store import SIDE
from mien.data.rows import VOTE_COLUMNS, Progress, Row, Source, split_of_folder, split_of_usage
from mien.errors import DatasetError, MissingColumnError
from mien.labels import LABELS

# A line of FER2013 has 9,300 bytes at most. The limit keeps memory bounded when the file is something else.
_LONGEST_LINE = 65_536
_LINES_PER_REPORT = 256
_PIXELS = SIDE * SIDE
_LABEL_OF_DIGIT = {str(index).encode(): label for index, label in enumerate(LABELS)}
_VOTES_HEADER = [
    "usage", "image name", "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
    "contempt", "unknown", "nf",
]  # fmt: skip


def is_pixel_csv(path: Path) -> bool:
    """Whether a file starts with the header of FER2013's CSV. Raises OSError."""
    with path.open("rb") as file:
        return {"emotion", "pixels"} <= set(_columns(file.readline(_LONGEST_LINE)))


def read_csv(path: Path, source: Source, progress: Progress) -> None:
    """Read Kaggle's fer2013.csv, icml_face_data.csv or train.csv into a source: emotion, pixels and perhaps Usage.

    Raises:
        DatasetError: the header or a line is not as expected.
        OSError: the file cannot be read.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        columns = _columns(file.readline(_LONGEST_LINE))
        missing = [name for name in ("emotion", "pixels") if name not in columns]
        if missing:
            came = "an empty file" if total == 0 else f"no column {' and '.join(missing)}"
            raise DatasetError(f"{path}, line 1: {came}, expected the header emotion,pixels,Usage")
        emotion, pixels = columns.index("emotion"), columns.index("pixels")
        usage = columns.index("usage") if "usage" in columns else None
        whole = split_of_folder(path.stem) or "train"
        for index, (number, line) in enumerate(_lines(file, path.name)):
            where = f"{path.name}, line {number}"
            try:
                fields = _split(line, where, columns)
                split = whole if usage is None else split_of_usage(_text(fields[usage]), where)
                image, label = _image(fields[pixels], where), _label(fields[emotion], where)
            except DatasetError as error:
                source.note_fault(error)
                continue
            source.add(Row(split, image, label, f"{path.name}:{number}", index))
            if index % _LINES_PER_REPORT == 0:
                progress(file.tell(), total)
    source.check_faults()
    progress(total, total)


def read_csv_column(path: Path, column: str) -> dict[str, str]:
    """One more column of a CSV that `read_csv` reads: name of an image, as in `Row`, -> value.

    Raises:
        MissingColumnError: no such column.
        DatasetError: a line that is not as expected.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        columns = _columns(file.readline(_LONGEST_LINE))
        if column.lower() not in columns:
            others = [name for name in columns if name not in ("emotion", "pixels")]
            raise MissingColumnError(
                f"{path.name}: no column {column!r}, expected one of {', '.join(others) or 'none'}"
            )
        place = columns.index(column.lower())
        return {
            f"{path.name}:{number}": _text(_split(line, f"{path.name}, line {number}", columns)[place])
            for number, line in _lines(file, path.name)
        }


def join_votes(source: Source, path: Path) -> None:
    """Give every row its FER+ votes from fer2013new.csv, whose rows are in the order of fer2013.csv.

    Its image names do not count: from the 60th on they lag behind the rows.

    Raises:
        DatasetError: the file is not as expected, or its rows are not those of the source.
        OSError: the file cannot be read.
    """
    table = _read_votes(path)
    for split, rows in source.rows.items():
        joined = bytearray()
        for name, index in zip(rows.names, rows.places, strict=True):
            if index < 0:
                raise DatasetError(
                    f"{path}: cannot be joined to {name}, whose row in fer2013.csv is not known: "
                    "expected fer2013.csv, or Parquet with a column row"
                )
            if index >= len(table):
                raise DatasetError(
                    f"{path}: {count(len(table), 'row')}, expected votes for row {index} ({name})"
                )
            its_split, votes = table[index]
            if its_split != split:
                raise DatasetError(
                    f"{path}, row {index}: votes for a {its_split} image, expected {split} as {name} has it; "
                    "the rows of the two files do not belong together"
                )
            joined += votes
        rows.votes = joined


def _read_votes(path: Path) -> list[tuple[str, bytes]]:
    """The split and the votes of each row."""
    table = []
    with path.open("rb") as file:
        columns = _columns(file.readline(_LONGEST_LINE))
        if columns != _VOTES_HEADER:
            raise DatasetError(f"{path}, line 1: expected FER+'s header {','.join(_VOTES_HEADER)}")
        for number, line in _lines(file, path.name):
            where = f"{path.name}, line {number}"
            fields = _split(line, where, columns)
            table.append((split_of_usage(_text(fields[0]), where), _votes(fields[2:], where)))
    return table


def _columns(header: bytes) -> list[str]:
    return [_text(name).lower() for name in _parts(header.removeprefix(b"\xef\xbb\xbf"))]


def _parts(line: bytes) -> list[bytes]:
    """The fields of a line; of one with quotes, in which a comma may be text, by Python's own reader."""
    if b'"' not in line:
        return line.split(b",")
    try:
        (fields,) = csv.reader([line.decode("utf-8", "surrogateescape").rstrip("\r\n")])
    except (csv.Error, ValueError):  # no CSV after all; the number of its fields will tell
        return line.split(b",")
    return [field.encode("utf-8", "surrogateescape") for field in fields]


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """The lines after the header that are not blank: number, counted from 1, and bytes."""
    number = 1
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DatasetError(f"{name}, line {number}: longer than expected of an image of 48x48 pixels")
        if line.strip():
            yield number, line


def _split(line: bytes, where: str, columns: list[str]) -> list[bytes]:
    fields = _parts(line)
    if len(fields) != len(columns):
        raise DatasetError(
            f"{where}: {count(len(fields), 'field')}, expected {len(columns)}: {', '.join(columns)}"
        )
    return fields


def _text(field: bytes) -> str:
    return field.decode("utf-8", "replace").strip(' \t\r\n"')


def _short(field: bytes) -> str:
    text = _text(field)
    return repr(text if len(text) <= 20 else text[:20] + "...")


def _label(field: bytes, where: str) -> str:
    label = _LABEL_OF_DIGIT.get(field.strip(b' \t\r\n"'))
    if label is None:
        raise DatasetError(f"{where}: emotion {_short(field)}, expected 0 to {len(LABELS) - 1}")
    return label


def _image(field: bytes, where: str) -> npt.NDArray[np.uint8]:
    text = field.strip(b' \t\r\n"')
    expected = f"expected {_PIXELS} numbers from 0 to 255"
    if text.translate(None, b"0123456789 "):
        wrong = next(word for word in text.split(b" ") if word.strip(b"0123456789"))
        raise DatasetError(f"{where}: pixel {_short(wrong)}, {expected}")
    values = np.fromstring(text, np.int64, sep=" ") if text else np.empty(0, np.int64)
    if len(values) != _PIXELS:
        raise DatasetError(f"{where}: {len(values)} pixels, {expected}")
    if values.max() > 255:
        raise DatasetError(f"{where}: pixel {values.max()}, {expected}")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _votes(fields: list[bytes], where: str) -> bytes:
    try:
        return bytes(map(int, fields))
    except ValueError:
        raise DatasetError(f"{where}: expected {VOTE_COLUMNS} counts of votes from 0 to 255") from None
