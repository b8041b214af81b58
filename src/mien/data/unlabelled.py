"""Images without labels: of Parquet without a column of labels, or of a labelled dataset whose labels are ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.data.archive import unpacked
from mien.data.dataset import Split
from mien.data.load import load_dataset
from mien.data.parquet import read_parquet
from mien.data.photographs import parquet_files
from mien.data.rows import Progress, Source
from mien.errors import DatasetError


def load_unlabelled(path: str | Path, *, memory: int = 2**30, progress: Progress | None = None) -> Split:
    """Images without labels, their targets -1: those of the training split, where there are several.

    Args:
        path: Parquet with the column `image`, as `mien crops` writes, or what `load_dataset` takes.
        memory: as in `load_dataset`.
        progress: called with (done, total) while reading.

    Raises:
        DatasetError: the data is missing, has no training images, or a row is not a picture.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    report = progress or (lambda done, total: None)
    try:
        with unpacked(path, report) as place:
            if files := parquet_files(place):
                return _of_parquet(path, files, memory, report)
            train = load_dataset(place, memory=memory, progress=report).split("train")
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None
    return _without_labels(train.images, train.names)


def _of_parquet(path: Path, files: list[Path], memory: int, report: Progress) -> Split:
    source = Source(memory)
    try:
        read_parquet(files, source, report, labelled=False)
        if "train" not in source.rows:
            found = ", ".join(source.rows) or "none at all"
            raise DatasetError(f"{path}: no training images; expected some (there are: {found})")
        rows = source.rows["train"]
        return _without_labels(rows.pixels.array(), tuple(rows.names))
    finally:
        source.close()


def _without_labels(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], names: tuple[str, ...]) -> Split:
    return Split(images, np.full(len(names), -1, np.int64), names)
