"""Datasets of labelled faces: FER2013 in the forms people have it in, and any tree of class folders."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mien.data.pixel_store import ROWS_AT_ONCE, SIDE, take_images
from mien.data.rows import VOTE_COLUMNS
from mien.errors import DatasetError
from mien.labels import LABELS

FER2013 = "fer2013"


@dataclass(frozen=True, eq=False)
class Split:
    """The faces of one split.

    Attributes:
        images: (n, 48, 48) uint8 grey; an `np.memmap`, read only, if they are in a temporary file.
        targets: (n,) int64, index into `Dataset.labels`; -1 for an image without a label, which only training has.
        names: where each of the n images came from: "fer2013.csv:17" (line, the header is 1),
            "train.parquet:17" (row, the first is 0) or "test/angry/x.png".
        votes: (n, 10) uint8 FER+ votes: those of `FERPLUS_LABELS`, then unknown and not a face. A row of
            zeros: no votes for that image. None: no votes at all.

    Raises:
        ValueError: the arrays do not fit together.
    """

    images: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.int64]
    names: tuple[str, ...]
    votes: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Check shapes and types."""
        n = len(self.names)
        _check("images", self.images, (n, SIDE, SIDE), np.uint8)
        _check("targets", self.targets, (n,), np.int64)
        if self.votes is not None:
            _check("votes", self.votes, (n, VOTE_COLUMNS), np.uint8)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.names)

    @property
    def labelled(self) -> int:
        """How many images have a label."""
        return int(np.count_nonzero(self.targets >= 0))

    def take(self, chosen: npt.NDArray[np.bool_]) -> Split:
        """The images where `chosen`, (n,) bool, is true; those in a file come into another file.

        Raises:
            DatasetError: there is no room for that file.
        """
        names = tuple(name for name, keep in zip(self.names, chosen, strict=True) if keep)
        votes = None if self.votes is None else self.votes[chosen]
        return Split(take_images(self.images, np.flatnonzero(chosen)), self.targets[chosen], names, votes)

    def class_counts(self, classes: int) -> npt.NDArray[np.int64]:
        """How many images each class has: (classes,) int64."""
        return np.bincount(self.targets[self.targets >= 0], minlength=classes).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled faces.

    Attributes:
        name: "fer2013" when it is FER2013, else the name of its file or folder.
        labels: what the targets mean.
        splits: those that are there, in the order of `SPLITS`.
    """

    name: str
    labels: tuple[str, ...]
    splits: dict[str, Split]

    @property
    def is_fer2013(self) -> bool:
        """Whether this is FER2013, with whose published counts and figures it can be compared."""
        return self.name == FER2013 and self.labels == LABELS

    def split(self, name: str | None = None) -> Split:
        """The split of that name; without one the validation split, else the test split, else the only one.

        Raises:
            DatasetError: it is not there; the message names those that are.
        """
        name = name or self.default_split()
        if name not in self.splits:
            raise DatasetError(f"{self.name}: no split {name!r}, expected one of {', '.join(self.splits)}")
        return self.splits[name]

    def default_split(self) -> str:
        """The split that is scored unless one is named: "validation", else "test", else the only one."""
        return default_split(self.splits)

    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal over the labels and the images, targets and votes of all splits in order.

        It is taken once: a report asks for it more than once.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256("\n".join(self.labels).encode())
        for name, split in self.splits.items():
            digest.update(f"\n{name} {len(split)}\n".encode())
            for start in range(0, len(split), ROWS_AT_ONCE):
                digest.update(np.ascontiguousarray(split.images[start : start + ROWS_AT_ONCE]).data)
            digest.update(split.targets.astype("<i8").tobytes())
            digest.update(b"" if split.votes is None else split.votes.tobytes())
        return digest.hexdigest()


def default_split(there: Collection[str]) -> str:
    """Of these splits, the one that is scored unless one is named: "validation", else "test", else the only one."""
    return next((name for name in ("validation", "test", *there) if name in there), "validation")


def _check(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: {array.shape} {array.dtype}, expected {shape} {np.dtype(dtype)}")
