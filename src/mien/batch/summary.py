"""What a folder of `mien batch` says: shares of each expression, by folder or partition, and what to doubt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.batch.parts import SETTINGS_FILE, check_installed, partition_value
from mien.errors import SettingsError

COLUMNS = ("source", "emotion", "confidence", "uncertain", "quality", "error")
ALL = "all"


@dataclass(frozen=True)
class Summary:
    """Counts of a group of pictures.

    Attributes:
        group: its folder, or "all".
        pictures, faces: how many; a picture with more faces than one counts once.
        without_face, errors: pictures.
        uncertain, low_quality: faces.
        emotions: label -> faces.
    """

    group: str
    pictures: int
    faces: int
    without_face: int
    errors: int
    uncertain: int
    low_quality: int
    emotions: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values with shares of the faces in [0, 1], for JSON."""
        faces = max(self.faces, 1)
        return {
            "group": self.group,
            "pictures": self.pictures,
            "faces": self.faces,
            "without_face": self.without_face,
            "errors": self.errors,
            "uncertain": self.uncertain / faces,
            "low_quality": self.low_quality / faces,
            "shares": self.shares(),
        }

    def shares(self) -> dict[str, float]:
        """Label -> share of the faces, in [0, 1]; zeros where there is no face."""
        return {label: count / max(self.faces, 1) for label, count in self.emotions.items()}


def to_table(summaries: Sequence[Summary]) -> str:
    """Summaries for people, a line a group: counts, then percent of the faces."""
    labels = list(summaries[0].emotions)
    head = ["", "pictures", "no face", "errors", "faces", "uncertain", "low quality", *labels]
    rows = [
        [
            one.group,
            *(f"{count:,}" for count in (one.pictures, one.without_face, one.errors, one.faces)),
            *(
                f"{100 * share:.1f} %"
                for share in (
                    one.uncertain / max(one.faces, 1),
                    one.low_quality / max(one.faces, 1),
                    *one.shares().values(),
                )
            ),
        ]
        for one in summaries
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in (head, *rows)
    )


def summarize(folder: Path, *, by: str = "none") -> list[Summary]:
    """Summaries of all pictures, then of each group by name.

    The parts are read one by one, and of them only the columns that are counted.

    Args:
        folder: what `mien batch` wrote.
        by: "none", or "folder": the folder that a picture lies in; of a partitioned output, its partition.

    Raises:
        SettingsError: it is no such folder, or has no part yet.
    """
    check_installed()
    if not (folder / SETTINGS_FILE).is_file():
        raise SettingsError(f"{folder}: no {SETTINGS_FILE} there; expected a folder that mien batch wrote")
    counts: dict[str, _Counts] = {ALL: _Counts()}
    labels = _read(folder, by, counts)
    if labels is None:
        raise SettingsError(f"{folder}: no part is finished yet; run mien batch")
    groups = [ALL, *sorted(name for name in counts if name != ALL)]
    return [counts[group].summary(group, labels) for group in groups]


def _read(folder: Path, by: str, counts: dict[str, _Counts]) -> list[str] | None:
    """Count every row; the labels, as the parts' columns have them."""
    from pyarrow import parquet

    partitioned = json.loads((folder / SETTINGS_FILE).read_bytes()).get("partition") == "folder"
    labels = None
    for path in sorted(folder.rglob("part-*.parquet")):
        part = parquet.ParquetFile(path)
        names = part.schema_arrow.names
        labels = names[names.index("quality") + 1 : names.index("error")]
        for row in part.read(columns=list(COLUMNS)).to_pylist():
            counts[ALL].add(row)
            if by == "folder":
                group = partition_value(path.parent.name) if partitioned else _parent(row["source"])
                counts.setdefault(group, _Counts()).add(row)
    return labels


def _parent(source: str) -> str:
    return source.rpartition("#")[0] or source.rpartition("/")[0]


class _Counts:
    def __init__(self) -> None:
        self.pictures = self.faces = self.without_face = self.errors = self.uncertain = self.low_quality = 0
        self.emotions: dict[str, int] = {}
        self._last: str | None = None

    def add(self, row: dict[str, Any]) -> None:
        if row["source"] != self._last:  # the faces of a picture follow each other
            self.pictures += 1
            self._last = row["source"]
        if row["error"] is not None:
            self.errors += 1
        elif row["emotion"] is None:
            self.without_face += 1
        else:
            self.faces += 1
            self.uncertain += bool(row["uncertain"])
            self.low_quality += row["quality"] is not None
            self.emotions[row["emotion"]] = self.emotions.get(row["emotion"], 0) + 1

    def summary(self, group: str, labels: list[str]) -> Summary:
        emotions = {label: self.emotions.get(label, 0) for label in labels}
        return Summary(
            group,
            self.pictures,
            self.faces,
            self.without_face,
            self.errors,
            self.uncertain,
            self.low_quality,
            emotions,
        )
