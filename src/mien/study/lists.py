"""What the user says of a study: who is who (`--people`), and what happened when (`--segments`)."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from mien._core.files import refuse_pipe
from mien.errors import StudyError

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Segment:
    """A stretch of a clip.

    Attributes:
        clip: its name.
        start, end: seconds; `end` None for the end of the clip.
        name: of the segment.
        condition: "" for none.
        where: file and line, for messages.
    """

    clip: str
    start: float = 0.0
    end: float | None = None
    name: str = ""
    condition: str = ""
    where: str = ""


class People:
    """Who the tracked faces are: (clip, track) -> person.

    Args:
        named: the names; None where no file tells who is the same person in several clips.
    """

    def __init__(self, named: Mapping[tuple[str, int], str] | None = None) -> None:
        self.known = named is not None
        self.named = dict(named or {})

    def person(self, clip: str, track: int) -> str | None:
        """The person's name; a track that no line names is one of its own, and None is who does not take part."""
        name = self.named.get((clip, track))
        return f"{clip}:{track}" if name is None else name or None

    def is_named(self, clip: str, track: int) -> bool:
        """Whether a line of the file names the person."""
        return bool(self.named.get((clip, track)))


def clip_names(paths: Sequence[Path]) -> list[str]:
    """A name for every clip: the file's own where no other clip has it, else the path as it was given."""
    names = Counter(path.name for path in paths)
    return [path.name if names[path.name] == 1 else path.as_posix() for path in paths]


def read_people(path: Path, clips: Sequence[str]) -> People:
    """Read who is who: a CSV file with the columns clip, track and person.

    An empty person leaves a track out: somebody who does not take part, or what is no face.

    Args:
        path: the file; people.csv of the study with names filled in will do.
        clips: the names of the study's clips.

    Raises:
        StudyError: it cannot be read, a column is missing, a clip is none of these, or a track is named twice.
    """
    find, named = _Finder(clips), dict[tuple[str, int], str]()
    for where, row in _rows(path, ("clip", "track", "person")):
        clip = find(row["clip"], where)
        try:
            track = int(row["track"])
        except ValueError:
            raise StudyError(
                f"{where}: track {row['track']!r}: expected a whole number, as in people.csv"
            ) from None
        if (clip, track) in named:
            raise StudyError(f"{where}: track {track} of {clip} for the second time; expected one line each")
        named[clip, track] = row["person"].strip()
    return People(named)


def read_segments(path: Path, clips: Sequence[str]) -> list[Segment]:
    """Read what happened when: a CSV file with the columns clip, start and end, in seconds, and condition and segment.

    An empty start is that of the clip, an empty end its end. Without a name, a segment has its number in the clip.

    Raises:
        StudyError: it cannot be read, a column is missing, a clip is none of these, or a time is no number, or not
            after the start.
    """
    find, found, numbers = _Finder(clips), list[Segment](), Counter[str]()
    for where, row in _rows(path, ("clip", "start", "end")):
        clip = find(row["clip"], where)
        start = _seconds(row, "start", where) or 0.0
        end = _seconds(row, "end", where)
        if end is not None and end <= start:
            raise StudyError(f"{where}: end {end:g} s: expected after the start, {start:g} s")
        numbers[clip] += 1
        name = (row.get("segment") or "").strip() or str(numbers[clip])
        found.append(Segment(clip, start, end, name, (row.get("condition") or "").strip(), where))
    if twice := [key for key, n in Counter((one.clip, one.name) for one in found).items() if n > 1]:
        raise StudyError(
            f"{path}: segment {twice[0][1]} of {twice[0][0]} for the second time; expected other names"
        )
    return found


def _seconds(row: Mapping[str, str], column: str, where: str) -> float | None:
    text = row[column].strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise StudyError(
            f"{where}: {column} {text!r}: expected seconds from the start of the clip, such as 12.5"
        )
    return value


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Lines of a CSV file: where each is, and its cells by lower-case names; blank lines are left out."""
    try:
        refuse_pipe(path)
        if path.stat().st_size > _MOST_BYTES:
            raise StudyError(f"{path}: {path.stat().st_size:,} bytes; expected at most {_MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}; expected a CSV file with {', '.join(columns)}") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path}: not UTF-8; save it as CSV UTF-8") from None
    first = text.partition("\n")[0]
    # Spreadsheets write semicolons where the comma is the decimal sign.
    separator = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=separator, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if missing := [name for name in columns if name not in header]:
            raise StudyError(
                f"{path}: no column {', '.join(missing)}; it has {', '.join(header) or 'none'}, "
                f"expected {', '.join(columns)}"
            )
        for cells in reader:
            if any(cell.strip() for cell in cells):
                where = f"{path}, line {reader.line_num}"
                if len(cells) != len(header):
                    raise StudyError(f"{where}: {len(cells)} cells; expected {len(header)}, as in the header")
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise StudyError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


class _Finder:
    """The clip that somebody means: by its name, or by the file's name or stem where only one clip has that."""

    def __init__(self, clips: Sequence[str]) -> None:
        self._clips = clips

    def __call__(self, text: str, where: str) -> str:
        wanted = text.strip()
        ways = (str, lambda clip: PurePath(clip).name, lambda clip: PurePath(clip).stem)
        for way in ways:
            found = [clip for clip in self._clips if way(clip) == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                raise StudyError(
                    f"{where}: clip {wanted!r} may be {' or '.join(found[:3])}; expected one of these names"
                )
        known = ", ".join(self._clips[:5]) + (", ..." if len(self._clips) > 5 else "")
        raise StudyError(f"{where}: no clip {wanted!r}; expected one of {known}")
