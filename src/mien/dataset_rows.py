"""What the readers of datasets share: names of splits, decoding, and rows that grow as they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from mien.emotions import FERPLUS_LABELS, LABELS, Emotion
from mien.errors import DatasetError, ImageError, UnknownLabelError
from mien.images import read_image, to_crop

SPLITS = ("train", "validation", "test")
"""The splits in order. Kaggle's FER2013 calls them Training, PublicTest, PrivateTest."""

USAGES = dict(zip(("Training", "PublicTest", "PrivateTest"), SPLITS, strict=True))
"""The split that each word of FER2013's Usage column means."""

SIDE = 48
"""Height and width of every image in pixels."""

VOTE_COLUMNS = len(FERPLUS_LABELS) + 2
"""FER+ votes of an image: the eight expressions, "unknown" and "not a face"."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) while a dataset is read: bytes of a CSV, rows of Parquet, files of a folder."""

_FOLDER_SPLITS = {
    "train": "train", "training": "train",
    "publictest": "validation", "validation": "validation", "valid": "validation", "val": "validation",
    "privatetest": "test", "test": "test", "testing": "test",
}  # fmt: skip

# FER2013's own form: 48 by 48 pixels, 8 bits, grey. Anything else goes the way of all other pictures.
_PLAIN_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + SIDE.to_bytes(4, "big") * 2 + bytes((8, 0))
_CHUNKS_THAT_CHANGE_PIXELS = (b"eXIf", b"tRNS")


@dataclass
class Rows:
    """One split while it is read.

    `indices` are the rows' places in Kaggle's fer2013.csv, by which FER+ votes are joined; -1: not known.
    `votes` holds `VOTE_COLUMNS` bytes a row once any row came with votes.
    """

    pixels: bytearray = field(default_factory=bytearray)
    labels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    votes: bytearray | None = None

    def add(
        self, image: npt.NDArray[np.uint8], label: str, name: str, index: int = -1, votes: bytes | None = None
    ) -> None:
        """Append one image, (48, 48) uint8 grey."""
        if votes is not None and self.votes is None:
            self.votes = bytearray(VOTE_COLUMNS * len(self.names))
        if self.votes is not None:
            self.votes += votes or bytes(VOTE_COLUMNS)
        self.pixels += image.tobytes()
        self.labels.append(label)
        self.names.append(name)
        self.indices.append(index)


@dataclass
class Source:
    """All that a reader found: rows by split, and whether their form is one that only FER2013 comes in."""

    is_fer2013: bool = True
    rows: dict[str, Rows] = field(default_factory=dict)

    def split(self, name: str) -> Rows:
        """The rows of a split, begun when it is new."""
        return self.rows.setdefault(name, Rows())


def split_of_folder(name: str) -> str | None:
    """The split that the name of a folder or file means ("test", "PublicTest", "val"); None: none."""
    return _FOLDER_SPLITS.get(name.lower().replace("_", ""))


def split_of_usage(usage: str, where: str) -> str:
    """The split that a value of FER2013's Usage column means.

    Raises:
        DatasetError: it is none of the three; `where` begins the message.
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
        DatasetError: the bytes are no readable picture; `where` begins the message.
    """
    if data.startswith(_PLAIN_PNG) and not any(chunk in data for chunk in _CHUNKS_THAT_CHANGE_PIXELS):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is not None and image.shape == (SIDE, SIDE) and image.dtype == np.uint8:
            return np.asarray(image, np.uint8)
    try:
        return to_crop(read_image(data), SIDE)
    except ImageError as error:
        raise DatasetError(f"{where}: {error}") from None
