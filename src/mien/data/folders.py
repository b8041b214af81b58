"""Datasets as Parquet and as folders of pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mien.data.rows import (
    CHUNK,
    GROUPS_FILE,
    USAGES,
    Progress,
    Row,
    Source,
    decode_crop,
    split_of_folder,
)
from mien.errors import DatasetError, UnknownLabelError
from mien.images.find import SUFFIXES
from mien.images.read import MAX_BYTES
from mien.labels import Emotion

_ENDINGS = tuple(SUFFIXES)
_OFFICIAL_NAME = re.compile(rf"({'|'.join(USAGES)})_\d+")


def read_folder(root: Path, source: Source, progress: Progress) -> None:
    """Read a tree of class folders into a source: `train/<class>/*` and `test/<class>/*`, or `<class>/*` alone.

    FER2013's file names (`PublicTest_123.png`) give the official splits back, whatever folder they are in.

    Raises:
        DatasetError: there are no pictures, one of them is broken, or there is no room for the pixels.
        OSError: a file or folder cannot be read.
    """
    folders = find_class_folders(root)
    source.memory.expected = total = sum(len(folder.pictures) for folder in folders)
    source.is_fer2013 = all(_OFFICIAL_NAME.match(name) for folder in folders for name in folder.pictures)
    chunks = (chunk for folder in folders for chunk in folder.chunks())
    source.read_all(_read_picture, chunks, total, progress)


def find_class_folders(root: Path) -> list[ClassFolder]:
    """Every folder of pictures of one class, in order of name, and so are its pictures.

    Raises:
        DatasetError: there are no pictures, or their labels are in a table.
        OSError: a folder cannot be read.
    """
    folders = list(_class_folders(root))
    _check_not_by_table(root, folders)
    if not any(folder.pictures for folder in folders):
        raise DatasetError(
            f"{root}: no dataset found, expected fer2013.csv, *.parquet "
            "or pictures in class folders such as train/angry/*.png"
        )
    return folders


def _check_not_by_table(root: Path, folders: list[ClassFolder]) -> None:
    """A single folder beside a table is no class: the table has the labels, by the names of the pictures."""
    filled = [folder for folder in folders if folder.pictures]
    tables = [path.name for path in sorted(root.glob("*.csv")) if path.name != GROUPS_FILE]
    if len(filled) == 1 and tables and not _is_expression(filled[0].path.name):
        raise DatasetError(
            f"{root}: all pictures are in {filled[0].relative}, with the table {tables[0]} beside them; expected "
            "a folder for each class, such as happy/*.png, or Parquet with the columns image and label"
        )


def _is_expression(word: str) -> bool:
    try:
        Emotion.parse(word)
    except UnknownLabelError:
        return False
    return True


class ClassFolder(NamedTuple):
    """A folder of pictures of one class: its path, also from the dataset's folder, and the files' names."""

    path: Path
    relative: str
    split: str
    pictures: list[str]

    def chunks(self) -> Iterator[list[tuple[ClassFolder, str]]]:
        """The pictures, some at a time."""
        for start in range(0, len(self.pictures), CHUNK):
            yield [(self, name) for name in self.pictures[start : start + CHUNK]]

    @property
    def label(self) -> str:
        """The folder's own name."""
        return _printable(self.path.name)

    def split_of(self, picture: str) -> str:
        """The split that a picture belongs to: by FER2013's file names, else by its folder."""
        official = _OFFICIAL_NAME.match(picture)
        return USAGES[official[1]] if official else self.split

    def name_of(self, picture: str) -> str:
        """A picture's path from the dataset's folder."""
        return _printable(f"{self.relative}/{picture}")


def _read_picture(picture: tuple[ClassFolder, str]) -> Row:
    folder, file = picture
    name = f"{folder.relative}/{file}"
    with (folder.path / file).open("rb", buffering=0) as opened:
        if os.fstat(opened.fileno()).st_size > MAX_BYTES:
            raise DatasetError(f"{name}: larger than {MAX_BYTES / 1e6:.0f} MB, expected a picture")
        data = opened.readall()
    return Row(folder.split_of(file), decode_crop(data, name), folder.label, folder.name_of(file))


def _printable(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _class_folders(root: Path) -> Iterator[ClassFolder]:
    splits = [(split, folder) for folder in _folders(root) if (split := split_of_folder(folder.name))]
    for split, parent in splits or [(split_of_folder(root.name) or "train", root)]:
        for folder in _folders(parent):
            with os.scandir(folder) as entries:
                # Names alone: a million `Path` would take more memory than a hundred thousand images.
                pictures = sorted(
                    entry.name
                    for entry in entries
                    if entry.name.lower().endswith(_ENDINGS)
                    and not entry.name.startswith(".")
                    and entry.is_file()
                )
            yield ClassFolder(folder, folder.relative_to(root).as_posix(), split, pictures)


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    )
