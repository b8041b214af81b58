"""What a folder of `mien batch` says: shares of each expression, by folder or partition, and what to doubt."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.batch.file_systems import file_system
from mien.batch.folder_output import parts_in
from mien.batch.output import COLUMNS, check_columns, check_installed, open_part, partition_value
from mien.batch.storage.faults import retried
from mien.batch.storage.stores import ObjectStore, folder_of, is_url
from mien.errors import SourceError
from mien.output.aggregate import ALL, Counts, Summary, below_common
from mien.results import FACE_FIELDS


def summarize(folder: str | Path, *, by: str = "none") -> list[Summary]:
    """Summaries of all pictures, then of each group by name.

    The parts are read one by one, and of them only the columns that are counted.

    Args:
        folder: what `mien batch` wrote, or the URL where it did.
        by: "none", or "folder": the folder of a picture, as `below_common` names it; for a partitioned output, its
            partition.

    Raises:
        SourceError: it is no such folder, has no finished part yet, or a part is not whole.
        SettingsError: an earlier version of mien wrote it, with other columns.
        StoreError: an object store refuses, or does not answer.
    """
    check_installed()
    counts = _Collection()
    labels = _read(folder, by, counts)
    if labels is None:
        raise SourceError(f"{folder}: no parts there; expected a folder that mien batch wrote")
    names = below_common(counts.folders)
    groups = counts.partitions | {names[path]: one for path, one in sorted(counts.folders.items())}
    summaries = [one.summary(name, labels) for name, one in sorted(groups.items())]
    return [counts.everything.summary(ALL, labels), *summaries]


class _Collection:
    """The counts of all pictures, and of each partition and folder by name."""

    def __init__(self) -> None:
        self.everything = Counts()
        self.partitions: dict[str, Counts] = {}
        self.folders: dict[str, Counts] = {}


def _read(folder: str | Path, by: str, counts: _Collection) -> list[str] | None:
    """Count every row; the labels, as the parts' columns have them."""
    labels = None
    for part in _parts(folder):
        names, rows = _rows(part)
        labels = names[names.index(FACE_FIELDS[-1]) + 1 : names.index("error")]
        partition = partition_value(posixpath.basename(posixpath.dirname(part)))
        for row in rows:
            counts.everything.add(row)
            if by == "folder" and partition is not None:
                counts.partitions.setdefault(partition, Counts()).add(row)
            elif by == "folder":
                counts.folders.setdefault(_parent(row["source"]), Counts()).add(row)
    return labels


def _parts(folder: str | Path) -> list[str]:
    """The paths or URLs of the parts, in order."""
    if not is_url(folder):
        return sorted(path.as_posix() for path in parts_in(folder_of(folder)))
    url = str(folder).rstrip("/")
    names = (name for name in ObjectStore(url).names("") if not name.startswith("."))
    return sorted(f"{url}/{name}" for name in names if posixpath.basename(name).startswith("part-"))


def _rows(part: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of a part's columns, and its rows of those that are counted."""

    def read() -> tuple[list[str], list[dict[str, Any]]]:
        with _opened(part) as file:
            table = open_part(file, part)
            return check_columns(table, part), table.read(columns=list(COLUMNS)).to_pylist()

    return retried(read, part) if is_url(part) else read()


@contextmanager
def _opened(part: str) -> Iterator[Any]:
    if is_url(part):
        system, path = file_system(part)
        with system.open(path, "rb") as file:
            yield file
    else:
        yield part


def _parent(source: str) -> str:
    return source.rpartition("#")[0] or source.rpartition("/")[0]
