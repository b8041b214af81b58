"""What a folder of `mien batch` says: shares of each expression, by folder or partition, and what to doubt."""

from __future__ import annotations

from pathlib import Path

from mien.batch.output import COLUMNS, PARTS, check_columns, check_installed, open_part, partition_value
from mien.errors import SourceError
from mien.output.aggregate import ALL, Counts, Summary
from mien.results import FACE_FIELDS


def summarize(folder: Path, *, by: str = "none") -> list[Summary]:
    """Summaries of all pictures, then of each group by name.

    The parts are read one by one, and of them only the columns that are counted.

    Args:
        folder: what `mien batch` wrote.
        by: "none", or "folder": the folder of a picture; for a partitioned output, its partition.

    Raises:
        SourceError: it is no such folder, has no finished part yet, or a part is not whole.
        SettingsError: an earlier version of mien wrote it, with other columns.
    """
    check_installed()
    counts: dict[str, Counts] = {ALL: Counts()}
    labels = _read(folder, by, counts)
    if labels is None:
        raise SourceError(f"{folder}: no parts there; expected a folder that mien batch wrote")
    groups = [ALL, *sorted(name for name in counts if name != ALL)]
    return [counts[group].summary(group, labels) for group in groups]


def _read(folder: Path, by: str, counts: dict[str, Counts]) -> list[str] | None:
    """Count every row; the labels, as the parts' columns have them."""
    labels = None
    for path in sorted(folder.rglob(PARTS)):
        names = check_columns(path)
        labels = names[names.index(FACE_FIELDS[-1]) + 1 : names.index("error")]
        for row in open_part(path).read(columns=list(COLUMNS)).to_pylist():
            counts[ALL].add(row)
            if by == "folder":
                partition = partition_value(path.parent.name) if path.parent != folder else None
                group = _parent(row["source"]) if partition is None else partition
                counts.setdefault(group, Counts()).add(row)
    return labels


def _parent(source: str) -> str:
    return source.rpartition("#")[0] or source.rpartition("/")[0]
