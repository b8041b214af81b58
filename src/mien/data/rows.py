"""What the readers of datasets share: names of splits, decoding, and rows that grow as they are read."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from mien._core.opencv import cv2
from mien._core.parallel import map_chunks
from mien.data.pixel_store import SIDE, PixelMemory, Pixels
from mien.errors import DatasetError, ImageError, UnknownLabelError
from mien.images.crop import to_crop
from mien.images.read import read_image
from mien.labels import FERPLUS_LABELS, LABELS, Emotion

GROUPS_FILE = "groups.csv"
"""The table beside class folders that is read for a group of people unless another one is named."""

SPLITS = ("train", "validation", "test")
"""The splits in order. Kaggle's FER2013 calls them Training, PublicTest, PrivateTest."""

USAGES = dict(zip(("Training", "PublicTest", "PrivateTest"), SPLITS, strict=True))
"""The split that each word of FER2013's Usage column means."""

VOTE_COLUMNS = len(FERPLUS_LABELS) + 2
"""FER+ votes of an image: the eight expressions, "unknown" and "not a face"."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) while a dataset is read: bytes of a CSV, rows of Parquet, files of a folder."""

Item = TypeVar("Item")

_MOST_FAULTS, _TOLD_FAULTS = 100, 10

_FOLDER_SPLITS = {
    "train": "train", "training": "train",
    "publictest": "validation", "validation": "validation", "valid": "validation", "val": "validation",
    "privatetest": "test", "test": "test", "testing": "test",
}  # fmt: skip

# FER2013's own form: 48 by 48 pixels, 8 bits, grey. Anything else goes the way of all other pictures.
_PLAIN_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + SIDE.to_bytes(4, "big") * 2 + bytes((8, 0))
_PNG_BEGIN, _CHUNK = 8, 12  # bytes: the signature, and a chunk's length, kind and sum
PUBLISHED_COUNTS = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}
"""FER2013's images of each class, by split."""

# Few enough that some chunks of photographs, not only of FER2013's small PNGs, fit into memory.
CHUNK = 32
_CHUNKS_THAT_CHANGE_PIXELS = (b"eXIf", b"tRNS")


class Row(NamedTuple):
    """One image as a reader found it.

    Attributes:
        split: one of `SPLITS`.
        image: (48, 48) uint8 grey.
        label: a word.
        name: its source.
        place: which row it is in Kaggle's fer2013.csv, by which FER+ votes are joined; -1: not known.
        votes: `VOTE_COLUMNS` bytes; None: its form has no votes.
    """

    split: str
    image: npt.NDArray[np.uint8]
    label: str
    name: str
    place: int = -1
    votes: bytes | None = None


@dataclass
class Rows:
    """One split while it is read; its lists are as in `Row`. `votes` is there once any row came with votes."""

    pixels: Pixels
    labels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    places: array[int] = field(default_factory=lambda: array("q"))
    votes: bytearray | None = None

    def add(self, row: Row) -> None:
        """Append one image."""
        if row.votes is not None and self.votes is None:
            self.votes = bytearray(VOTE_COLUMNS * len(self.names))
        if self.votes is not None:
            self.votes += row.votes or bytes(VOTE_COLUMNS)
        self.pixels.add(row.image)
        # One string a class, not one an image.
        self.labels.append(sys.intern(row.label))
        self.names.append(row.name)
        self.places.append(row.place)


class Source:
    """All that a reader found.

    Attributes:
        is_fer2013: whether the form is one that only FER2013 comes in.
        rows: by split.
        memory: what the pixels of all splits may take; more go into files.
    """

    def __init__(self, memory: int) -> None:
        self.is_fer2013 = True
        self.rows: dict[str, Rows] = {}
        self.memory = PixelMemory(memory)
        self._faults: list[DatasetError] = []

    def add(self, row: Row) -> None:
        """Append one image to its split. Raises DatasetError when there is no room for it."""
        if row.split not in self.rows:
            self.rows[row.split] = Rows(Pixels(self.memory))
        self.rows[row.split].add(row)

    def read_all(
        self,
        read: Callable[[Item], Row],
        chunks: Iterable[Sequence[Item]],
        total: int,
        progress: Progress,
    ) -> None:
        """Add the rows of all chunks, read by threads.

        Raises:
            DatasetError: as in `check_faults`, or there is no room.
        """
        done = 0
        with closing(map_chunks(partial(_attempt, read), chunks)) as results:
            for rows in results:
                for row in rows:
                    if isinstance(row, DatasetError):
                        self.note_fault(row)
                    else:
                        self.add(row)
                    done += 1
                    progress(done, total)
        self.check_faults()

    def note_fault(self, error: DatasetError) -> None:
        """Go on after a bad row, so that all of them are reported at once; not after too many. Raises DatasetError."""
        self._faults.append(error)
        if len(self._faults) == _MOST_FAULTS:
            self.check_faults()

    def check_faults(self) -> None:
        """Raise a DatasetError that names the bad rows, if there were any."""
        if len(self._faults) == 1:
            raise self._faults[0]
        if self._faults:
            n = len(self._faults)
            first = "; ".join(map(str, self._faults[:_TOLD_FAULTS]))
            more = f"; and {n - _TOLD_FAULTS} more" if n > _TOLD_FAULTS else ""
            stopped = " (reading stopped there)" if n == _MOST_FAULTS else ""
            raise DatasetError(f"{n} images are not as expected{stopped}: {first}{more}")

    def close(self) -> None:
        """Let go of the files."""
        for rows in self.rows.values():
            rows.pixels.close()


def _attempt(read: Callable[[Item], Row], item: Item) -> Row | DatasetError:
    try:
        return read(item)
    except DatasetError as error:
        return error


def split_of_folder(name: str) -> str | None:
    """The split that the name of a folder or file means ("test", "PublicTest", "val"); None: none."""
    return _FOLDER_SPLITS.get(name.lower().replace("_", ""))


def split_of_usage(usage: str, where: str) -> str:
    """The split that a value of FER2013's Usage column means.

    Raises:
        DatasetError: it is none of the three; the message starts with `where`.
    """
    split = USAGES.get(usage.strip())
    if split is None:
        raise DatasetError(f"{where}: usage {usage[:20]!r}, expected {', '.join(USAGES)}")
    return split


def order_labels(words: set[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The labels of a dataset from the words found in it, and the index of each word.

    The seven expressions in their order when every word means one (a class may be missing), else the words
    sorted.
    """
    try:
        return LABELS, {word: LABELS.index(Emotion.parse(word)) for word in words}
    except UnknownLabelError:
        labels = tuple(sorted(words))
        return labels, {word: index for index, word in enumerate(labels)}


def decode_crop(data: bytes, where: str) -> npt.NDArray[np.uint8]:
    """An encoded picture of any size and colour as (48, 48) uint8 grey.

    Raises:
        DatasetError: the bytes are not a readable picture; the message starts with `where`.
    """
    # OpenCV is faster, but says on stderr what is wrong with a broken one.
    if data.startswith(_PLAIN_PNG) and _is_simple(data):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is not None and image.shape == (SIDE, SIDE) and image.dtype == np.uint8:
            return np.asarray(image, np.uint8)
    try:
        return to_crop(read_image(data), SIDE)
    except ImageError as error:
        raise DatasetError(f"{where}: {error}") from None


def _is_simple(png: bytes) -> bool:
    """Whether chunks follow each other to the end, none of which turns or hides pixels.

    OpenCV 4.14 reserves as much memory as a chunk says that it has, gigabytes for a broken one.
    """
    at = _PNG_BEGIN
    while at + _CHUNK <= len(png):
        kind = png[at + 4 : at + 8]
        at += _CHUNK + int.from_bytes(png[at : at + 4], "big")
        if kind in _CHUNKS_THAT_CHANGE_PIXELS:
            return False
        if kind == b"IEND":
            return at == len(png)
    return False
