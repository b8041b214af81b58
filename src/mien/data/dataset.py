"""Datasets of labelled faces: FER2013 in the forms people have it in, and any tree of class folders."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.data.fer2013_csv import is_pixel_csv, join_votes, read_csv
from mien.data.folders import read_folder
from mien.data.parquet import read_parquet
from mien.data.pixel_store import ROWS_AT_ONCE, SIDE, take_images
from mien.data.rows import PUBLISHED_COUNTS, SPLITS, VOTE_COLUMNS, Progress, Rows, Source, order_labels
from mien.data.zip_archive import unpacked
from mien.errors import DatasetError
from mien.labels import LABELS

__all__ = ["SPLITS", "Dataset", "Split", "load_dataset"]

_FER2013 = "fer2013"
_VOTES_FILE = "fer2013new.csv"
_KAGGLE_FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")


@dataclass(frozen=True, eq=False)
class Split:
    """The faces of one split.

    Attributes:
        images: (n, 48, 48) uint8 grey; an `np.memmap`, read only, where they lie in a temporary file.
        targets: (n,) int64, index into `Dataset.labels`.
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
        return np.bincount(self.targets, minlength=classes).astype(np.int64)


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
        return self.name == _FER2013 and self.labels == LABELS

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
        return next((s for s in ("validation", "test", *self.splits) if s in self.splits), "validation")

    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal over the labels and the images, targets and votes of all splits in order."""
        digest = hashlib.sha256("\n".join(self.labels).encode())
        for name, split in self.splits.items():
            digest.update(f"\n{name} {len(split)}\n".encode())
            for start in range(0, len(split), ROWS_AT_ONCE):
                digest.update(np.ascontiguousarray(split.images[start : start + ROWS_AT_ONCE]).data)
            digest.update(split.targets.astype("<i8").tobytes())
            digest.update(b"" if split.votes is None else split.votes.tobytes())
        return digest.hexdigest()


def load_dataset(
    path: str | Path,
    *,
    votes: str | Path | None = None,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Dataset:
    """Read a dataset, 2.3 KB an image. Its form is told by looking at it.

    - Kaggle's FER2013: `fer2013.csv`, `icml_face_data.csv`, `train.csv`, or a folder with one of them.
    - Parquet: a file, or a folder of `*.parquet`, with the columns `image` (bytes, or a struct with `bytes`)
      and `label` (FER2013's integer, or a word), and perhaps `usage` or `split`, `votes` and `row`.
    - A folder of class folders: `train/<class>/*` and `test/<class>/*`, or `<class>/*`.
    - A .zip of one of these, such as Kaggle's `archive.zip`; it is unpacked into a temporary folder meanwhile.

    Pictures of any size and colour become 48x48 grey. When all classes are names of the seven expressions the
    labels are `mien.emotions.LABELS`, else the names of the classes, sorted. Pictures are decoded by threads; the
    result does not depend on how many.

    Args:
        path: a file or folder.
        votes: FER+'s `fer2013new.csv`; without it the column `votes` counts, else that file beside the data, or
            with it in its archive.
        memory: bytes that the pixels may take in memory, FER2013's are 83 MB. A split for which they do not
            suffice goes into a temporary file (in `TMPDIR`, else the system's folder for such files), and its
            `images` read from there.
        progress: called with (done, total) while reading.

    Raises:
        DatasetError: the data is missing, or a file or row of it is not as expected; the message names it. Or
            there is no room for the temporary file.
        ValueError: `memory` is negative.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    if memory < 0:
        raise ValueError(f"memory={memory}: expected a number of bytes, 0 or more")
    source = Source(memory)
    try:
        report = progress or (lambda done, total: None)
        with unpacked(path, report) as place:
            _read(place, source, report)
            beside = (place if place.is_dir() else place.parent) / _VOTES_FILE
            if votes is not None:
                join_votes(source, Path(votes))
            elif source.is_fer2013 and not _has_votes(source) and beside.is_file():
                join_votes(source, beside)
        return _to_dataset(source, path)
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None
    finally:
        source.close()


def _check(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: {array.shape} {array.dtype}, expected {shape} {np.dtype(dtype)}")


def _read(path: Path, source: Source, progress: Progress) -> None:
    if path.is_dir():
        if parquet := sorted(path.glob("*.parquet")):
            read_parquet(parquet, source, progress)
        elif table := pixel_csv(path):
            read_csv(table, source, progress)
        else:
            read_folder(path, source, progress)
        return
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1" or path.suffix == ".parquet"
    if is_parquet:
        read_parquet([path], source, progress)
    else:
        read_csv(path, source, progress)


def pixel_csv(folder: Path) -> Path | None:
    """The CSV with FER2013's pixels in a folder, if there is one."""
    for name in _KAGGLE_FILES:
        if (folder / name).is_file() and is_pixel_csv(folder / name):
            return folder / name
    others = [path for path in sorted(folder.glob("*.csv")) if path.is_file() and is_pixel_csv(path)]
    if len(others) > 1:
        raise DatasetError(f"{folder}: {len(others)} CSV files with pixels, expected the path of one of them")
    return others[0] if others else None


def _has_votes(source: Source) -> bool:
    return any(rows.votes is not None for rows in source.rows.values())


def _to_dataset(source: Source, path: Path) -> Dataset:
    labels, index = order_labels({label for rows in source.rows.values() for label in rows.labels})
    splits = {name: _to_split(source.rows[name], index) for name in SPLITS if name in source.rows}
    if not splits:
        raise DatasetError(f"{path}: no images, expected at least one row")
    known = source.is_fer2013 or any(
        np.array_equal(split.class_counts(len(labels)), PUBLISHED_COUNTS[name])
        for name, split in splits.items()
    )
    path = path.resolve()
    name = _FER2013 if known and labels == LABELS else path.name if path.is_dir() else path.stem
    return Dataset(name, labels, splits)


def _to_split(rows: Rows, index: dict[str, int]) -> Split:
    n = len(rows.names)
    return Split(
        images=rows.pixels.array(),
        targets=np.array([index[label] for label in rows.labels], np.int64),
        names=tuple(rows.names),
        votes=None if rows.votes is None else np.frombuffer(rows.votes, np.uint8).reshape(n, VOTE_COLUMNS),
    )
