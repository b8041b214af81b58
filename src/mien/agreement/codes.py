"""Codes of clips: who showed what from when to when, as people wrote it down or as mien found it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from mien.errors import DatasetError
from mien.results import TrackedFrame
from mien.video.reader import VIDEO_SUFFIXES

UNSEEN, UNCERTAIN = "unseen", "uncertain"
"""Instead of a label: the face was not seen; an answer was given that is flagged as uncertain."""

_ENDINGS = VIDEO_SUFFIXES | {".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg"}

NONE = "none"
"""Of time in which nothing is coded."""

NO_LABEL = frozenset((UNSEEN, UNCERTAIN))
"""Time with these is reported on its own, and never counted as agreement or disagreement."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch with one label.

    Attributes:
        start, end: seconds from the beginning of the clip.
        label: as it was written.
        person: who showed it; "" where the file does not say.
    """

    start: float
    end: float
    label: str
    person: str = ""


@dataclass
class ClipCodes:
    """What one coder wrote about one clip.

    Attributes:
        segments: in no order; a label of several people, or several labels at a time, may overlap.
        length: seconds of the clip that were coded; 0 where the file does not say.
        frames: the frames that the segments were made of, where they are mien's.
        people: track in these frames -> the name that a study gave it; the others are named by their number.
    """

    segments: list[Segment] = field(default_factory=list)
    length: float = 0.0
    frames: list[TrackedFrame] = field(default_factory=list)
    people: dict[int, str] = field(default_factory=dict)

    def end(self) -> float:
        """The seconds that are known to be coded."""
        return max([self.length, *(one.end for one in self.segments)])


@dataclass
class Codes:
    """What one coder wrote about some clips.

    Attributes:
        name: of the file or folder.
        kind: "codes" of people, mien's "frames" or mien's "episodes".
        clips: clip -> its codes, by the names that stand in the file.
        labels: those that mien could have given; empty for codes of people.
        points: events without a duration, which are left out.
        uncertain, missing: seconds of mien's episodes that are flagged as uncertain, and without the face: a table of
            episodes says how many, and not when.
        gap: what time without a label means: "none", or "unseen" in mien's frames.
        renamed: mien's labels -> what a map makes of them; "" for those that it drops.
        files: that were read.
    """

    name: str
    kind: str = "codes"
    clips: dict[str, ClipCodes] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    points: int = 0
    uncertain: float = 0.0
    missing: float = 0.0
    gap: str = NONE
    renamed: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def clip(self, name: str) -> ClipCodes:
        """The codes of a clip, empty ones where it is new."""
        return self.clips.setdefault(name, ClipCodes())

    def add(self, clip: str, segment: Segment) -> None:
        """Add a stretch; one without a label says that the clip was coded until then.

        Raises:
            DatasetError: it ends before it starts.
        """
        if segment.end < segment.start:
            raise DatasetError(
                f"{self.name}: {segment.label!r} ends at {segment.end:g} s, before it starts at {segment.start:g} s"
            )
        codes = self.clip(clip)
        if not segment.label:
            codes.length = max(codes.length, segment.end)
        elif segment.end <= segment.start:
            self.points += 1
        else:
            codes.segments.append(segment)

    def join(self, other: Codes) -> None:
        """Take over what another file of the same coder says.

        Raises:
            DatasetError: the files are of different kinds.
        """
        if self.files and other.kind != self.kind:
            raise DatasetError(
                f"{self.name}: holds files of two kinds, {self.kind} and {other.kind}; expected one: put them into "
                "folders of their own"
            )
        self.kind, self.gap, self.points = other.kind, other.gap, self.points + other.points
        self.uncertain, self.missing = self.uncertain + other.uncertain, self.missing + other.missing
        self.labels = tuple(dict.fromkeys((*self.labels, *other.labels)))
        self.files += other.files
        for name, codes in other.clips.items():
            mine = self.clip(name)
            mine.segments += codes.segments
            mine.frames += codes.frames
            mine.people |= codes.people
            mine.length = max(mine.length, codes.length)


def stem(name: str) -> str:
    """The name of a clip without its folders and the ending of a clip, also where it was written on Windows."""
    last = (PureWindowsPath if "\\" in name else PurePosixPath)(name).name or name
    base, dot, ending = last.rpartition(".")
    return base if base and f"{dot}{ending}".lower() in _ENDINGS else last
