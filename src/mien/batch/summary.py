"""What a folder of `mien batch` says: shares of each expression, by folder or partition, and what to doubt."""

from __future__ import annotations

from pathlib import Path

from mien.batch.output import COLUMNS, PARTS, check_columns, check_installed, open_part, partition_value
from mien.errors import SourceError
from mien.output.aggregate import ALL, Counts, Summary, below_common
from mien.results import FACE_FIELDS


def summarize(folder: Path, *, by: str = "none") -> list[Summary]:
    """Summaries of all pictures, then of each group by name.

    The parts are read one by one, and of them only the columns that are counted.

    Args:
        folder: what `mien batch` wrote.
        by: "none", or "folder": the folder of a picture, as `below_common` names it; for a partitioned output, its
            partition.

    Raises:
        SourceError: it is no such folder, has no finished part yet, or a part is not whole.
        SettingsError: an earlier version of mien wrote it, with other columns.
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


def _read(folder: Path, by: str, counts: _Collection) -> list[str] | None:
    """Count every row; the labels, as the parts' columns have them."""
    labels = None
    for path in sorted(folder.rglob(PARTS)):
        names = check_columns(path)
        labels = names[names.index(FACE_FIELDS[-1]) + 1 : names.index("error")]
        partition = partition_value(path.parent.name) if path.parent != folder else None
        for row in open_part(path).read(columns=list(COLUMNS)).to_pylist():
            counts.everything.add(row)
            if by == "folder" and partition is not None:
                counts.partitions.setdefault(partition, Counts()).add(row)
            elif by == "folder":
                counts.folders.setdefault(_parent(row["source"]), Counts()).add(row)
    return labels


def _parent(source: str) -> str:
    return source.rpartition("#")[0] or source.rpartition("/")[0]
