"""Photographs at their full size, one after the other, with labels or without: for what finds the faces in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mien.data.archive import unpacked
from mien.data.dataset import default_split
from mien.data.folders import ClassFolder, find_class_folders
from mien.data.parquet import ParquetFile, picture_bytes
from mien.data.rows import SPLITS, Progress
from mien.errors import DatasetError
from mien.images.find import SUFFIXES, find_files

HELD_OUT_SHARE = 0.2
"""Share of the photographs with boxes of their faces that no detector is trained on."""

_TOGETHER = 4  # encoded photographs of a Parquet file that are in memory at once


class Photograph(NamedTuple):
    """One photograph, not decoded yet.

    Attributes:
        name: its source: "test/happy/x.jpg", or "photos.parquet:17" (row, the first is 0).
        label: as the data has it.
        content: its file, or the file's bytes; empty where a row has none.
    """

    name: str
    label: str
    content: Path | bytes


@dataclass(frozen=True)
class Photographs:
    """The photographs of one split: iterate over them, as often as you like.

    Attributes:
        name: of their file or folder.
        split: whose photographs these are.
        labels: of each of them, in order, as the data has them.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    _sources: list[ClassFolder] | list[ParquetFile] = field(repr=False)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.labels)

    def __iter__(self) -> Iterator[Photograph]:
        """The photographs, in order.

        Raises:
            DatasetError: a Parquet file is broken.
        """
        for source in self._sources:
            yield from (
                _in_folder(source, self.split)
                if isinstance(source, ClassFolder)
                else _in_file(source, self.split)
            )


@contextmanager
def open_photographs(
    path: str | Path, *, split: str | None = None, progress: Progress | None = None
) -> Iterator[Photographs]:
    """Labelled photographs for the length of a `with` block; their labels are read at once, the pictures one by one.

    Args:
        path: a tree of class folders; a Parquet file with the columns `image` and `label`, or a folder of them; or an
            archive of one of these, as in `mien.load_dataset`.
        split: "train", "validation" or "test"; None for the validation split, else the test split, else the only one.
        progress: called with (done, total) bytes while an archive is unpacked.

    Raises:
        DatasetError: no photographs of that form, no such split, or a row without a label.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    try:
        with unpacked(path, progress or (lambda done, total: None)) as place:
            yield _find(place, path, split)
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None


def _find(place: Path, path: Path, split: str | None) -> Photographs:
    sources: list[ClassFolder] | list[ParquetFile]
    if files := parquet_files(place):
        sources = [ParquetFile(file) for file in files]
        rows = [row for source in sources for row in source.splits_and_labels()]
    elif place.is_dir():
        sources = find_class_folders(place)
        rows = [(one.split_of(name), one.label) for one in sources for name in one.pictures]
    else:
        raise DatasetError(
            f"{path}: no photographs; expected a folder for each class, such as happy/*.jpg, or Parquet with the "
            "columns image and label"
        )
    found = {split for split, _ in rows}
    there = [name for name in SPLITS if name in found]
    name = path.resolve().name if path.is_dir() else path.stem
    if not there:
        raise DatasetError(f"{path}: no photographs, expected at least one row")
    split = split or default_split(there)
    if split not in there:
        raise DatasetError(f"{name}: no split {split!r}, expected one of {', '.join(there)}")
    return Photographs(name, split, tuple(label for part, label in rows if part == split), sources)


def is_held_out(digest: str) -> bool:
    """Whether a photograph is one that detectors are scored with: by the SHA-256 of its file, hexadecimal.

    So copies of a photograph, and later versions of the data, agree.
    """
    return int(digest[:8], 16) < HELD_OUT_SHARE * 2**32


def find_photographs(paths: Iterable[str | os.PathLike[str]]) -> list[Path | ParquetFile]:
    """Files of photographs, by files, folders and glob patterns as `mien.images.find`, and Parquet files of them.

    Raises:
        DatasetError: a Parquet file without a column `image`.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    found = find_files(paths, SUFFIXES | {".parquet"})
    return [
        ParquetFile(path, labelled=False) if path.suffix == ".parquet" and path.is_file() else path
        for path in found
    ]


def read_photographs(
    sources: Sequence[Path | ParquetFile], part: str | None = None
) -> Iterator[tuple[str, Path | bytes | None]]:
    """The name and the content of every photograph; None for the content of one that belongs to another part.

    Args:
        sources: what `find_photographs` found.
        part: "train" or "held-out", as `is_held_out` divides them, or "all"; None for "train" of files with boxes of
            faces, as detectors are trained on, and all of others.
    """
    for source in sources:
        if isinstance(source, Path):
            yield str(source), source if _is_in(source, part or "all") else None
            continue
        wanted = part or ("train" if source.has_face_boxes else "all")
        for chunk in source.chunks(_TOGETHER):
            for _, number, values in chunk:
                content = picture_bytes(values["image"]) or b""
                yield f"{source.path.name}:{number}", content if _is_in(content, wanted) else None


def _is_in(content: Path | bytes, part: str) -> bool:
    """Whether a photograph belongs to a part; one that cannot be read does, so that it is reported."""
    if part == "all":
        return True
    try:
        data = content if isinstance(content, bytes) else content.read_bytes()
    except OSError:
        return True
    return is_held_out(hashlib.sha256(data).hexdigest()) == (part == "held-out")


def parquet_files(place: Path) -> list[Path]:
    """The Parquet files that a path names: itself, or those of a folder; none where it is of another form."""
    if place.is_dir():
        return sorted(place.glob("*.parquet"))
    with place.open("rb") as file:
        return [place] if file.read(4) == b"PAR1" or place.suffix == ".parquet" else []


def _in_folder(folder: ClassFolder, split: str) -> Iterator[Photograph]:
    for name in folder.pictures:
        if folder.split_of(name) == split:
            yield Photograph(folder.name_of(name), folder.label, folder.path / name)


def _in_file(file: ParquetFile, split: str) -> Iterator[Photograph]:
    for chunk in file.chunks(_TOGETHER):
        for _, number, values in chunk:
            part, label = file.split_and_label(values, number)
            if part == split:
                yield Photograph(f"{file.path.name}:{number}", label, picture_bytes(values["image"]) or b"")
