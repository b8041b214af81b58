"""Anonymous counts of expressions by group; small groups can be hidden."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import takewhile
from typing import Any

from mien._core.text import Table, percent
from mien.results import FrameResult

ALL = "all"
SMALL = "small groups together"
MIN_GROUP = 10
"""Faces that a group must have to be shown, unless another number is asked for."""


@dataclass(frozen=True)
class Summary:
    """Counts of a group of pictures.

    Attributes:
        group: its folder as in `below_common`, or "all".
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
        """Label -> share of the faces, in [0, 1]; zeros without faces."""
        return {label: count / max(self.faces, 1) for label, count in self.emotions.items()}


def to_table(summaries: Sequence[Summary]) -> str:
    """Summaries for people, one line per group: counts, then percent of the faces."""
    labels = list(summaries[0].emotions)
    head = ["", "pictures", "no face", "errors", "faces", "uncertain", "low quality", *labels]
    rows = [
        [
            one.group,
            *(f"{count:,}" for count in (one.pictures, one.without_face, one.errors, one.faces)),
            *(
                percent(share)
                for share in (
                    one.uncertain / max(one.faces, 1),
                    one.low_quality / max(one.faces, 1),
                    *one.shares().values(),
                )
            ),
        ]
        for one in summaries
    ]
    return Table(head, rows).text()


class Counts:
    """Counts the rows of a group; of a row it keeps nothing.

    Rows are as `FrameResult.rows` has them; those of a picture follow each other.
    """

    def __init__(self) -> None:
        self.pictures = self.faces = self.without_face = self.errors = self.uncertain = self.low_quality = 0
        self.emotions: dict[str, int] = {}
        self._last: tuple[str, int | None] | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a face, a picture without one, or an error."""
        picture = row["source"], row.get("frame")
        if picture != self._last:
            self.pictures += 1
            self._last = picture
        if row["error"] is not None:
            self.errors += 1
        elif row["emotion"] is None:
            self.without_face += 1
        else:
            self.faces += 1
            self.uncertain += bool(row["uncertain"])
            self.low_quality += bool(row["quality_issues"])
            self.emotions[row["emotion"]] = self.emotions.get(row["emotion"], 0) + 1

    def summary(self, group: str, labels: Iterable[str]) -> Summary:
        """What was counted, with every label."""
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


def below_common(folders: Collection[str]) -> dict[str, str]:
    """Folder -> its name from the folder on that all have in common, which is "."; of a single one its last name."""
    parts = {folder: folder.replace(os.sep, "/").split("/") for folder in folders}
    alike = takewhile(lambda steps: len(set(steps)) == 1, zip(*parts.values(), strict=False))
    shared = len(list(alike)) - (len(parts) == 1)
    names = {folder: "/".join(steps[shared:]) or "." for folder, steps in parts.items()}
    # A folder of that name must not look like the sum.
    return {folder: f"./{name}" if name in (ALL, SMALL) else name for folder, name in names.items()}


def together(summaries: Sequence[Summary], group: str) -> Summary:
    """One summary of the pictures of several; at least one."""
    return reduce(lambda first, second: _sum(first, second, group), summaries)


def _sum(first: Summary, second: Summary, group: str) -> Summary:
    numbers = {name: getattr(first, name) + getattr(second, name) for name in _NUMBERS}
    emotions = {label: n + second.emotions[label] for label, n in first.emotions.items()}
    return Summary(group, emotions=emotions, **numbers)


_NUMBERS = ("pictures", "faces", "without_face", "errors", "uncertain", "low_quality")


def large_enough(groups: Sequence[Summary], least: int) -> tuple[list[Summary], int]:
    """The groups that may be shown, preceded by their sum; they reveal nothing about the other groups.

    Groups with fewer faces than `least` lose their names and become one, `SMALL`, if that is large enough. Otherwise
    they are left out of the sum too, so subtracting groups from the sum reveals nothing new.

    Args:
        groups: of different pictures each.
        least: faces.

    Returns:
        The summaries to show, possibly empty, and the number of groups that are not shown at all.
    """
    shown = [one for one in groups if one.faces >= least]
    small = [one for one in groups if one.faces < least]
    if small and (pooled := together(small, SMALL)).faces >= least:
        shown, small = [*shown, pooled], []
    if not shown:
        return [], len(small)
    return [replace(together(shown, ALL), group=ALL), *(shown if len(groups) > 1 else [])], len(small)


class Totals:
    """Counts results by group and shows groups that are large enough; single results are not kept.

    Of clips only frames with `least` faces or more count: those are as many people for certain. Still pictures are
    counted face by face: who is in ten pictures is ten faces.

    Args:
        labels: the model's labels.
        least: faces of a group.

    Raises:
        ValueError: a `least` below 2, with which a group could be one person.
    """

    def __init__(self, labels: Iterable[str], least: int = MIN_GROUP) -> None:
        if least < 2:
            raise ValueError(f"groups of {least}: expected at least 2 faces, or a group is one person")
        self._labels, self.least = tuple(labels), least
        self._groups: dict[str, Counts] = {}
        self.errors = 0
        self.frames_left_out = 0

    def add(self, result: FrameResult, group: str) -> None:
        """Count a picture or a frame."""
        if result.error is not None:
            self.errors += 1
            return
        if result.time is not None and len(result.faces) < self.least:
            self.frames_left_out += 1
            return
        counts = self._groups.setdefault(group, Counts())
        for row in result.rows():
            counts.add(row)

    def shown(self, *, folders: bool = False) -> tuple[list[Summary], int]:
        """As in `large_enough`; groups that are `folders` have their names as in `below_common`."""
        names = below_common(self._groups) if folders else {name: name for name in self._groups}
        groups = [self._groups[name].summary(names[name], self._labels) for name in sorted(self._groups)]
        return large_enough(groups, self.least)
