"""Codes in tables: of people, of BORIS, and what mien itself writes: episodes and the rows of frames."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from mien._core.files import refuse_pipe
from mien.agreement.codes import UNSEEN, Codes, Segment
from mien.agreement.frames import FrameRows, label_columns
from mien.errors import DatasetError, MissingExtraError
from mien.output.rows import encodable

_HEADER_ROWS = 100
"""BORIS 7 and earlier write what the observation was above the header."""

_FRAMES = frozenset(("source", "time", "track", "emotion"))
_EPISODES = frozenset(("source", "track", "emotion", "onset", "offset"))
_STUDY = frozenset(("clip", "track", "person", "expression", "onset", "offset"))
_CODES = frozenset(("start", "end", "label"))
_BORIS = frozenset(("behavior", "start (s)", "stop (s)"))
_BORIS_EVENTS = frozenset(("behavior", "time"))
_KINDS = (_FRAMES, _EPISODES, _STUDY, _CODES, _BORIS, _BORIS_EVENTS)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)")

Row = Mapping[str, Any]


def seconds(value: object, where: str) -> float:
    """A time: seconds as a number, or [hours:]minutes:seconds.

    Raises:
        DatasetError: it is none, or lies before the beginning.
    """
    text = "" if value is None else str(value).strip()
    if clock := _CLOCK.fullmatch(text):
        return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3].replace(",", "."))
    try:
        number = float(text if text.count(",") != 1 or "." in text else text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise DatasetError(
            f"{where}: {repr(text) if text else 'nothing'} is no time: expected seconds, 0 or more"
        )
    return number


def _table(file: Path, columns: Iterable[str], rows: Iterable[tuple[str, Row]]) -> Codes:
    """The codes of rows, each with where it stands, by what the columns are."""
    names = {name.strip().lower(): name for name in columns}
    kind = _kind(names)
    if kind is None:
        raise DatasetError(
            f"{file}: columns {', '.join(islice(names, 12)) or 'without names'}: expected clip, start, end, label (and "
            "person), an export of BORIS, or what mien video writes with --output or --episodes, or mien study"
        )
    codes, lower = Codes(str(file)), ((at, {k: row.get(v) for k, v in names.items()}) for at, row in rows)
    if kind is _FRAMES:
        codes.kind, codes.gap, codes.labels = "frames", UNSEEN, label_columns(columns)
        frames = FrameRows(codes)
        for at, row in rows:
            frames.add(_text(row.get("clip")) or _text(row.get("source")) or file.stem, row, at)
        frames.finish()
    elif kind in (_EPISODES, _STUDY):
        _add_episodes(codes, file, lower)
    elif kind is _BORIS_EVENTS:
        _add_events(codes, file, lower)
    else:
        start, end, label = (
            ("start (s)", "stop (s)", "behavior") if kind is _BORIS else ("start", "end", "label")
        )
        for at, row in lower:
            clip = _boris_clip(row, file) if kind is _BORIS else _text(row.get("clip")) or file.stem
            person = _person(row.get("subject" if kind is _BORIS else "person"))
            _add(codes, clip, at, (row[start], row[end]), _text(row[label]), person)
            _add_length(codes, clip, row)
    return codes


def _kind(names: Iterable[str]) -> frozenset[str] | None:
    there = set(names)
    return next((kind for kind in _KINDS if kind <= there), None)


def _add(codes: Codes, clip: str, at: str, times: tuple[Any, Any], label: str, person: str) -> None:
    start, end = (seconds(time, at) for time in times)
    if end < start:
        raise DatasetError(f"{at}: ends at {end:g} s, before it starts at {start:g} s")
    codes.add(clip, Segment(start, end, label, person))


def _add_episodes(codes: Codes, file: Path, rows: Iterable[tuple[str, Row]]) -> None:
    codes.kind = "episodes"
    for at, row in rows:
        clip = _text(row.get("clip")) or _text(row.get("source")) or file.stem
        person = _text(row.get("person"))
        # A name that nobody gave is "clip:track".
        named = _person(row["track"]) if person in ("", f"{clip}:{_text(row['track'])}") else person
        label = _text(row.get("emotion")) or _text(row.get("expression"))
        _add(codes, clip, at, (row["onset"], row["offset"]), label, named)
        last = codes.clips[clip].segments[-1:]
        if row.get("uncertain") not in (None, "") and last:
            codes.uncertain += seconds(row["uncertain"], at) * (last[0].end - last[0].start)
        if row.get("missing") not in (None, ""):
            codes.missing += seconds(row["missing"], at)


def _add_events(codes: Codes, file: Path, rows: Iterable[tuple[str, Row]]) -> None:
    """BORIS's tabular events: a state is a row where it starts, and one where it stops."""
    open_at: dict[tuple[str, str, str], tuple[str, float]] = {}
    for at, row in rows:
        what = next(
            (v for v in (_text(row.get(k)).upper() for k in ("behavior type", "status")) if v in _STATES), ""
        )
        if not what:
            raise DatasetError(
                f"{at}: expected START, STOP or POINT in the column 'Behavior type' (or 'Status')"
            )
        clip, person, label = _boris_clip(row, file), _person(row.get("subject")), _text(row["behavior"])
        key, time = (clip, person, label), seconds(row["time"], at)
        _add_length(codes, clip, row)
        if what == "POINT":
            codes.points += 1
        elif what == "START":
            if key in open_at:
                raise DatasetError(f"{at}: {label!r} starts again before it has stopped")
            open_at[key] = at, time
        elif key in open_at:
            _add(codes, clip, at, (open_at.pop(key)[1], time), label, person)
        else:
            raise DatasetError(f"{at}: {label!r} stops and has not started")
    for (_, _, label), (at, _) in open_at.items():
        raise DatasetError(f"{at}: {label!r} starts and never stops: fix unpaired events in BORIS first")


_STATES = ("START", "STOP", "POINT")


def _boris_clip(row: Row, file: Path) -> str:
    for name in ("media file name", "media file path", "media file", "source"):
        # "player #1:clips/a.mp4", and several players with "|" between them.
        if text := re.sub(r"^player #\d+:", "", _text(row.get(name)).partition("|")[0].partition(";")[0]):
            return text
    return _text(row.get("observation id")) or file.stem


def _add_length(codes: Codes, clip: str, row: Row) -> None:
    """The length of the clip, where BORIS says it as one number."""
    try:
        length = float(_text(row.get("media duration (s)")))
    except ValueError:
        length = 0.0
    place = codes.clip(clip)
    place.length = max(place.length, length if math.isfinite(length) else 0.0)


def _text(value: object) -> str:
    return "" if value is None else encodable(str(value).strip())


def _person(value: object) -> str:
    """The name of a person: that of mien's tracks is a number, and "Person 1" where mien writes it out."""
    text = _text(value).removeprefix("Person ").removesuffix(".0")
    return "" if text.lower() == "no focal subject" else text


def _read_csv(file: Path) -> Codes:
    refuse_pipe(file)
    best: list[str] = []
    for delimiter in (",", "\t", ";"):
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            head = list(islice(reader, _HEADER_ROWS))
            at = next((k for k, row in enumerate(head) if _kind(cell.strip().lower() for cell in row)), None)
            best = max([best, *head[:1]], key=len)
            if at is not None:
                rows = enumerate(chain(head[at + 1 :], reader), at + 2)
                named = (
                    (f"{file}: row {number}", dict(zip(head[at], row, strict=False)))
                    for number, row in rows
                    if any(row)
                )
                return _table(file, head[at], named)
    return _table(file, best, ())


def _read_json(file: Path) -> Codes:
    refuse_pipe(file)
    return _items(file, _loaded(file, file.read_text(encoding="utf-8-sig"), ""))


def _read_json_lines(file: Path) -> Codes:
    refuse_pipe(file)
    with file.open(encoding="utf-8-sig") as stream:
        lines = [_loaded(file, line, f" in line {k}") for k, line in enumerate(stream, 1) if line.strip()]
    return _items(file, lines)


def _loaded(file: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: is no JSON{where}: {error}") from None


def _items(file: Path, items: Any) -> Codes:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise DatasetError(f"{file}: expected a list of objects, one a row")
    rows = list(_rows(items))
    names = dict.fromkeys(name for row in rows for name in row)
    if not rows:
        return Codes(str(file))
    return _table(file, names, ((f"{file}: item {k}", row) for k, row in enumerate(rows, 1)))


def _rows(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of items: mien's JSON has the faces of a frame in one."""
    for item in items:
        faces = item.get("faces")
        if not isinstance(faces, list):
            yield item
            continue
        place = {name: item.get(name) for name in ("source", "frame", "time", "track", "emotion", "error")}
        yield from [place | face for face in faces if isinstance(face, dict)] or [place]


def _read_parquet(file: Path) -> Codes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    try:
        table = parquet.read_table(file)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{file}: is no Parquet: {error}") from None
    rows = ((f"{file}: row {k}", row) for k, row in enumerate(table.to_pylist(), 1))
    return _table(file, table.column_names, rows)


TABLES: dict[str, Callable[[Path], Codes]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
"""The ending of a table -> what reads it."""
