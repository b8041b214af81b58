"""What the user says of a study: who is who (`--people`), and what happened when (`--segments`)."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from mien._core.files import refuse_pipe
from mien._core.text import count
from mien.errors import StudyError
from mien.output.rows import encodable

Say = Callable[[str], None]

_MOST_BYTES = 64 << 20
_MISSING = frozenset({"na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#na"})
"""Words that pandas or R read as no value."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a clip.

    Attributes:
        clip: its name.
        start, end: seconds; None for where the reading of the clip begins or ends.
        name: of the segment.
        condition: "" for none.
        where: file and line, for messages.
    """

    clip: str
    start: float | None = None
    end: float | None = None
    name: str = ""
    condition: str = ""
    where: str = ""


class People:
    """Who the tracked faces are: (clip, track) -> person.

    Args:
        named: the names; None where no file tells who is the same person in several clips.
        where: (clip, track) -> file and line, for messages.
    """

    def __init__(
        self,
        named: Mapping[tuple[str, int], str] | None = None,
        where: Mapping[tuple[str, int], str] | None = None,
    ) -> None:
        self.known = named is not None
        self._where = dict(where or {})
        self.named = dict(named or {})

    def person(self, clip: str, track: int) -> str | None:
        """The person's name; a track that no line names is one of its own, and None is who does not take part."""
        name = self.named.get((clip, track))
        return f"{clip}:{track}" if name is None else name or None

    def check(self, clip: str, tracks: Sequence[int]) -> None:
        """Raise where a line names a track that the clip does not have.

        Raises:
            StudyError: there is one.
        """
        for (named, track), where in self._where.items():
            if named == clip and track not in tracks:
                there = ", ".join(map(str, tracks)) or "none"
                raise StudyError(f"{where}: {clip} has no track {track}; it has {there}")

    def is_named(self, clip: str, track: int) -> bool:
        """Whether a line of the file names the person."""
        return bool(self.named.get((clip, track)))


def clip_names(paths: Sequence[Path]) -> list[str]:
    """A name for every clip: the file's own where no other clip has it, else the path as it was given."""
    names = Counter(path.name for path in paths)
    return [encodable(path.name if names[path.name] == 1 else path.as_posix()) for path in paths]


def read_people(path: Path, clips: Sequence[str], say: Say = lambda sentence: None) -> People:
    """Read who is who: a CSV file with the columns clip, track and person.

    An empty person leaves a track out: somebody who does not take part, or what is no face.

    Args:
        path: the file; people.csv of the study with names filled in will do.
        clips: the names of the study's clips; lines of other clips are passed over.
        say: told of such lines.

    Raises:
        StudyError: it cannot be read, a column is missing, no line is of these clips, or a track is named twice.
    """
    named, places = dict[tuple[str, int], str](), dict[tuple[str, int], str]()
    for where, clip, row in _of_clips(path, ("clip", "track", "person"), clips, say):
        try:
            track = int(row["track"])
        except ValueError:
            raise StudyError(
                f"{where}: track {row['track']!r}: expected a whole number, as in people.csv"
            ) from None
        if (clip, track) in named:
            raise StudyError(f"{where}: track {track} of {clip} for the second time; expected one line each")
        named[clip, track], places[clip, track] = _word(row["person"], "person", where), where
    return People(named, places)


def read_segments(path: Path, clips: Sequence[str], say: Say = lambda sentence: None) -> list[Segment]:
    """Read what happened when: a CSV file with the columns clip, start and end, in seconds, and condition and segment.

    An empty start is that of the clip, an empty end its end. Without a name, a segment has its number in the clip.

    Args:
        path: the file.
        clips: the names of the study's clips; lines of other clips are passed over.
        say: told of such lines.

    Raises:
        StudyError: it cannot be read, a column is missing, no line is of these clips, a time is no number, or not after
            the start, or segments of a condition overlap.
    """
    found, numbers = list[Segment](), Counter[str]()
    for where, clip, row in _of_clips(path, ("clip", "start", "end"), clips, say):
        start, end = _seconds(row, "start", where), _seconds(row, "end", where)
        if end is not None and start is not None and end <= start:
            raise StudyError(f"{where}: end {end:g} s: expected after the start, {start:g} s")
        numbers[clip] += 1
        name = _word(row.get("segment") or "", "segment", where) or str(numbers[clip])
        condition = _word(row.get("condition") or "", "condition", where)
        found.append(Segment(clip, start, end, name, condition, where))
    if twice := [key for key, n in Counter((one.clip, one.name) for one in found).items() if n > 1]:
        raise StudyError(
            f"{path}: segment {twice[0][1]} of {twice[0][0]} for the second time; expected other names"
        )
    _check_overlap(found)
    return found


def _check_overlap(segments: Sequence[Segment]) -> None:
    """Raise where a second would count twice in a condition."""
    last: dict[tuple[str, str], Segment] = {}
    for one in sorted(segments, key=lambda one: one.start or 0.0):
        before = last.get((one.clip, one.condition))
        if one.condition and before and (before.end is None or (one.start or 0.0) < before.end):
            raise StudyError(
                f"{one.where}: overlaps with {before.where} in condition {one.condition!r}; expected each second once"
            )
        last[one.clip, one.condition] = one


def _word(text: str, column: str, where: str) -> str:
    if text.strip().lower() in _MISSING:
        raise StudyError(
            f"{where}: {column} {text.strip()!r}: pandas or R would read no value; expected another word"
        )
    return text.strip()


def _seconds(row: Mapping[str, str], column: str, where: str) -> float | None:
    text = row[column].strip()
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))  # as spreadsheets of many countries write it
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
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
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


def _of_clips(
    path: Path, columns: Sequence[str], clips: Sequence[str], say: Say
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The lines of these clips: where each is, the clip and its cells. The others are said at the end."""
    lines, others = 0, list[str]()
    for where, row in _rows(path, columns):
        lines += 1
        clip = _find(row["clip"].strip(), clips, where)
        if clip is None:
            others.append(row["clip"].strip())
        else:
            yield where, clip, row
    if not lines:
        raise StudyError(f"{path}: no line below the header; expected one at least")
    named = ", ".join(dict.fromkeys(others[:5])) + (", ..." if len(others) > 5 else "")
    if others and len(others) == lines:
        known = ", ".join(clips[:5]) + (", ..." if len(clips) > 5 else "")
        raise StudyError(f"{path}: no line is of a clip of this study: {named}; expected {known}")
    if others:
        say(f"{path}: {count(len(others), 'line')} of clips that are not in this study: {named}")


def _find(wanted: str, clips: Sequence[str], where: str) -> str | None:
    """The clip that somebody means: by its name, or by the file's name or stem where only one clip has that."""
    ways = (str, lambda clip: PurePath(clip).name, lambda clip: PurePath(clip).stem)
    for way in ways:
        found = [clip for clip in clips if way(clip) == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            raise StudyError(
                f"{where}: clip {wanted!r} may be {' or '.join(found[:3])}; expected one of these names"
            )
    return None
