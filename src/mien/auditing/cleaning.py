"""A dataset without what an audit found: the list of it, or the cleaned dataset as Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np

from mien._core.files import write_atomically
from mien.auditing.audit import AuditReport
from mien.auditing.issues import LABEL_ERRORS, Item
from mien.data.dataset import Dataset
from mien.data.load import pixel_csv
from mien.data.parquet import write_parquet

_CHANGES = "would change the dataset itself; name a place outside"


def wrong_target(target: Path, data: Path) -> str | None:
    """Why the result of cleaning cannot be written there; None: it can."""
    if target.suffix not in (".csv", ".parquet"):
        return f"{target}: expected a name that ends in .csv (the list) or .parquet (the cleaned dataset)"
    if target.resolve().is_relative_to(data.resolve()):
        return f"{target}: {_CHANGES} {data}"
    return None


def wrong_folder(folder: Path, data: Path) -> str | None:
    """Why nothing may be written into a folder: files among class folders would be read as a class. None: it may."""
    if not data.is_dir() or not folder.resolve().is_relative_to(data.resolve()):
        return None
    # A table beside class folders, such as groups.csv, does not make them a file's folder.
    is_of_files = any(data.glob("*.parquet")) or pixel_csv(data) is not None
    return None if is_of_files and folder.resolve() != data.resolve() else f"{folder}: {_CHANGES} {data}"


def write_clean(target: Path, dataset: Dataset, report: AuditReport, *, wrong_labels: bool = False) -> int:
    """Write the list of issues (.csv), or the dataset without the images of train that cleaning drops.

    The Parquet file has the 48x48 grey images as PNG; `load_dataset` reads it back with splits, labels and
    votes. Validation and test stay as they are.

    Args:
        target: a file; an existing one is replaced.
        dataset: the one that was looked at.
        report: what `mien.auditing.audit` found.
        wrong_labels: drop images of train whose label is likely wrong, too.

    Returns:
        How many images are dropped.

    Raises:
        MissingExtraError: Parquet, and pyarrow is not installed.
        OSError: the file cannot be written.
    """
    dropped = report.dropped(reasons=LABEL_ERRORS if wrong_labels else frozenset())
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".csv":
        write_atomically(target, _list(report, dropped))
    else:
        write_parquet(target, _without(dataset, dropped))
    return len(dropped)


def _list(report: AuditReport, dropped: AbstractSet[Item]) -> str:
    """Every issue as a row of CSV, with what cleaning does."""
    text = io.StringIO(newline="")
    columns = ("split", "name", "label", "reason", "detail", "suggested", "action")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    for issue in report.issues:
        action = "drop" if issue.item in dropped else "keep"
        writer.writerow(issue.to_dict() | {"action": action})
    return text.getvalue()


def _without(dataset: Dataset, dropped: AbstractSet[Item]) -> Dataset:
    places = {split: [item.index for item in dropped if item.split == split] for split in dataset.splits}
    splits = {}
    for name, split in dataset.splits.items():
        kept = np.ones(len(split), np.bool_)
        kept[places[name]] = False
        splits[name] = split.take(kept)
    return Dataset(dataset.name, dataset.labels, splits)
