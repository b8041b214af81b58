"""Load a dataset from any path; its form is detected."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.data.archive import unpacked
from mien.data.dataset import FER2013, Dataset, Split
from mien.data.fer2013_csv import is_pixel_csv, join_votes, read_csv
from mien.data.folders import read_folder
from mien.data.parquet import read_parquet
from mien.data.rows import PUBLISHED_COUNTS, SPLITS, VOTE_COLUMNS, Progress, Rows, Source, order_labels
from mien.errors import DatasetError
from mien.labels import LABELS

_VOTES_FILE = "fer2013new.csv"


_KAGGLE_FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")


def load_dataset(
    path: str | Path,
    *,
    votes: str | Path | None = None,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Dataset:
    """Read a dataset, 2.3 KB per image. Its form is detected.

    - Kaggle's FER2013: `fer2013.csv`, `icml_face_data.csv`, `train.csv`, or a folder with one of them.
    - Parquet: a file, or a folder of `*.parquet`, with the columns `image` (bytes, or a struct with `bytes`)
      and `label` (FER2013's integer, or a word), and perhaps `usage` or `split`, `votes` and `row`.
    - A folder of class folders: `train/<class>/*` and `test/<class>/*`, or `<class>/*`.
    - A .zip or .tar (also .gz, .bz2, .xz) of one of these, such as Kaggle's `archive.zip` and `fer2013.tar.gz`, or a
      table as `.csv.gz`; it is unpacked into a temporary folder meanwhile.
    - A folder that holds nothing but a folder with one of these.

    Pictures of any size and colour become 48x48 grey. When all classes are names of the seven expressions the
    labels are `mien.labels.LABELS`, else the names of the classes, sorted. Pictures are decoded by threads; the
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
        if votes is not None:
            Path(votes).stat()  # a missing file is an error before the data are read
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
        begin = file.read(6)
    if begin == b"\x93NUMPY":
        raise DatasetError(
            f"{path}: a NumPy array, without labels; expected fer2013.csv, a folder for each class, or Parquet with "
            "the columns image and label"
        )
    is_parquet = begin[:4] == b"PAR1" or path.suffix == ".parquet"
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
    name = FER2013 if known and labels == LABELS else path.name if path.is_dir() else path.stem
    return Dataset(name, labels, splits)


def _to_split(rows: Rows, index: dict[str, int]) -> Split:
    n = len(rows.names)
    return Split(
        images=rows.pixels.array(),
        targets=np.array([index[label] for label in rows.labels], np.int64),
        names=tuple(rows.names),
        votes=None if rows.votes is None else np.frombuffer(rows.votes, np.uint8).reshape(n, VOTE_COLUMNS),
    )
