"""Codes in the forms of ELAN, Praat and subtitles, one clip a file.

ELAN and Praat are read here: the libraries for them drop links to controlled vocabularies, fail on documents that
ELAN opens, cannot read points in Praat's short form, or stand under the GPL. Subtitles are read by webvtt-py and
pysubs2.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.parsers import expat

from mien._core.files import refuse_pipe
from mien.agreement.code_tables import seconds
from mien.agreement.codes import Codes, Segment
from mien.errors import DatasetError, MissingExtraError

MOST_BYTES = 100_000_000
"""Of a file of codes: a day of codes every tenth of a second takes half of that."""

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(<exists>|<absent>)|![^\n]*|(\S+)')
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?")
_PERSON = re.compile(r"Person (\d+) ")  # the tiers that mien writes
_PREFIX = re.compile(r"([^:\n]{1,80}):\s+(.+)", re.DOTALL)


def _bytes(file: Path) -> bytes:
    refuse_pipe(file)
    with file.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DatasetError(
            f"{file}: is larger than {MOST_BYTES // 1_000_000} MB: expected the codes of one clip"
        )
    return data


def _text(file: Path) -> str:
    """UTF-8, or UTF-16 with a mark, as Praat writes where a label has more than ASCII."""
    data = _bytes(file)
    coding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(coding)


def _wanted(tier: str, tiers: Sequence[str]) -> bool:
    return not tiers or any(fnmatchcase(tier, pattern) for pattern in tiers)


def _no_tier(file: Path, tiers: Sequence[str], there: Sequence[str]) -> DatasetError:
    return DatasetError(
        f"{file}: no tier {' or '.join(map(repr, tiers))}: expected one of {', '.join(map(repr, there)) or 'none'}"
    )


def _read_eaf(file: Path, tiers: Sequence[str]) -> Codes:
    root, codes = _xml(file), Codes(str(file))
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DatasetError(
            f"{file}: begins with <{root.tag}>: expected <ANNOTATION_DOCUMENT>, as ELAN writes it"
        )
    clip = _media(root) or file.stem
    codes.clip(clip)
    times = {
        slot.get("TIME_SLOT_ID", ""): slot.get("TIME_VALUE") for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
    }
    spans: dict[str, tuple[float, float]] = {}
    waiting = list(root.iterfind("TIER"))
    names = [tier.get("TIER_ID", "") for tier in waiting]
    chosen = {name for name in names if _wanted(name, tiers)}
    if names and not chosen:
        raise _no_tier(file, tiers, names)
    # A tier that hangs on another may stand before it.
    while waiting:
        ready = [
            tier for tier in waiting if tier.get("PARENT_REF") not in {t.get("TIER_ID") for t in waiting}
        ]
        for tier in ready or waiting:
            person = (tier.get("PARTICIPANT") or "").strip().removeprefix("Person ")
            for start, end, label in _annotations(file, tier, times, spans):
                if tier.get("TIER_ID", "") in chosen and label:
                    codes.add(clip, Segment(start, end, label, person))
        waiting = [tier for tier in waiting if tier not in ready] if ready else []
    return codes


def _media(root: ElementTree.Element) -> str:
    """The name of the clip, by ELAN's media descriptor."""
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    address = "" if media is None else media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or ""
    path = (
        unquote(urlsplit(address).path)
        if "://" in address or address.startswith("file:")
        else unquote(address)
    )
    return re.split(r"[\\/]", path)[-1]


def _annotations(
    file: Path, tier: ElementTree.Element, times: dict[str, str | None], spans: dict[str, tuple[float, float]]
) -> Iterator[tuple[float, float, str]]:
    """Start, end and label of a tier's annotations, whose spans are noted for the tiers that hang on it."""
    found = [one for annotation in tier.iterfind("ANNOTATION") for one in annotation]
    known = _slots(file, found, times)
    groups: dict[str, list[ElementTree.Element]] = {}
    for one in found:
        groups.setdefault(one.get("ANNOTATION_REF", ""), []).append(one)
    for parent, some in groups.items():
        for k, one in enumerate(some):
            if parent:
                if parent not in spans:
                    raise DatasetError(f"{file}: an annotation hangs on {parent!r}, which is not in it")
                start, whole = spans[parent][0], spans[parent][1] - spans[parent][0]
                span = start + k * whole / len(some), start + (k + 1) * whole / len(some)
            else:
                span = known[one.get("TIME_SLOT_REF1", "")], known[one.get("TIME_SLOT_REF2", "")]
            spans[one.get("ANNOTATION_ID", "")] = span
            yield (*span, (one.findtext("ANNOTATION_VALUE") or "").strip())


def _slots(
    file: Path, found: Sequence[ElementTree.Element], times: dict[str, str | None]
) -> dict[str, float]:
    """The seconds of a tier's time slots; those without a time lie evenly between the ones that have it, as in ELAN."""
    order = list(
        dict.fromkeys(
            one.get(name, "")
            for one in found
            if one.get("ANNOTATION_REF") is None
            for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
        )
    )
    known: dict[str, float] = {}
    open_slots: list[str] = []
    before = 0.0
    for name in order:
        if name not in times:
            raise DatasetError(f"{file}: an annotation names the time slot {name!r}, which is not in it")
        value = times[name]
        if value is None:
            open_slots.append(name)
            continue
        known[name] = seconds(value, f"{file}: time slot {name}") / 1000
        for k, between in enumerate(open_slots, 1):
            known[between] = before + k * (known[name] - before) / (len(open_slots) + 1)
        before, open_slots = known[name], []
    if open_slots:
        raise DatasetError(f"{file}: the last annotation of a tier has no end: give it one in ELAN")
    return known


def _xml(file: Path) -> ElementTree.Element:
    """A document without a DTD: one could name other files, or grow without end."""
    data = _bytes(file)

    def refuse(*_: object) -> None:
        raise DatasetError(f"{file}: has a document type declaration: expected plain XML, as ELAN writes it")

    check = expat.ParserCreate()
    check.StartDoctypeDeclHandler = refuse
    check.EntityDeclHandler = refuse
    try:
        check.Parse(data, True)
        return ElementTree.fromstring(data)  # noqa: S314 without a DTD there are no entities
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DatasetError(f"{file}: is no XML: {error}") from None


def _read_textgrid(file: Path, tiers: Sequence[str]) -> Codes:
    data = _bytes(file)
    if data.startswith(b"ooBinaryFile"):
        raise DatasetError(f"{file}: is a binary TextGrid: save it as a text file in Praat")
    codes, tokens = Codes(str(file)), _Tokens(file, _text(file))
    if not (tokens.text() in ("ooTextFile", "ooTextFile short") and tokens.text() == "TextGrid"):
        raise DatasetError(f"{file}: is no TextGrid: expected 'ooTextFile' and 'TextGrid' in its first lines")
    tokens.number()  # where it begins: all times count from the beginning of the clip
    codes.clip(file.stem).length = tokens.number()
    names = []
    for _ in range(int(tokens.number()) if tokens.flag() == "<exists>" else 0):
        kind, name = tokens.text(), tokens.text()
        tokens.number(), tokens.number()
        names.append(name)
        found = _PERSON.match(name)
        person = found[1] if found else ""
        chosen, interval = _wanted(name, tiers), kind == "IntervalTier"
        for _ in range(int(tokens.number())):
            start = tokens.number()
            end = tokens.number() if interval else start
            label = tokens.text().strip()
            if label and chosen:
                if start < 0:
                    raise DatasetError(f"{file}: {label!r} starts at {start:g} s: expected 0 or later")
                codes.add(file.stem, Segment(start, end, label, person))
    if names and not any(_wanted(name, tiers) for name in names):
        raise _no_tier(file, tiers, names)
    return codes


class _Tokens:
    """A TextGrid as Praat reads it: texts in quotes, numbers and flags that stand alone; all else is decoration.

    So the long form and the short one are the same. Praat's manual, "TextGrid file formats".
    """

    def __init__(self, file: Path, text: str) -> None:
        self._file, self._found = file, _TOKEN.finditer(text)

    def text(self) -> str:
        """The next text."""
        return self._next(1, "a text in quotes").replace('""', '"')

    def flag(self) -> str:
        """The next flag."""
        return self._next(2, "<exists>")

    def number(self) -> float:
        """The next number."""
        number = float(self._next(3, "a number").removesuffix("%"))
        if not math.isfinite(number):
            raise DatasetError(f"{self._file}: a number that is too large")
        return number

    def _next(self, kind: int, expected: str) -> str:
        for found in self._found:
            if found.lastindex == 3 and not _NUMBER.fullmatch(found[3]):
                continue
            if found.lastindex is None:  # a comment
                continue
            if found.lastindex != kind:
                break
            return found[kind]
        raise DatasetError(f"{self._file}: expected {expected} where there is something else, or the end")


def _read_vtt(file: Path, tiers: Sequence[str]) -> Codes:
    try:
        import webvtt
        from webvtt.errors import MalformedCaptionError, MalformedFileError
    except ImportError:
        raise MissingExtraError("reading WebVTT", "study") from None
    try:
        captions = webvtt.from_string(_text(file)).captions
    except (MalformedFileError, MalformedCaptionError) as error:
        raise DatasetError(f"{file}: is no WebVTT: {error}") from None
    # The markup is taken out, and what stands for its characters is left in.
    cues = [(str(c.start), str(c.end), html.unescape(c.text), getattr(c, "voice", None)) for c in captions]
    return _cues(file, cues)


def _read_srt(file: Path, tiers: Sequence[str]) -> Codes:
    try:
        import pysubs2
    except ImportError:
        raise MissingExtraError("reading SubRip", "study") from None
    text = _text(file)
    found = pysubs2.SSAFile.from_string(text, format_="srt")
    if text.strip() and not len(found):
        raise DatasetError(f"{file}: is no SubRip: expected lines such as 00:00:01,000 --> 00:00:02,500")
    return _cues(file, [(str(one.start / 1000), str(one.end / 1000), one.plaintext, None) for one in found])


def _cues(file: Path, cues: Sequence[tuple[str, str, str, str | None]]) -> Codes:
    """Codes of subtitles: "Person 1: happy", or the label alone."""
    codes = Codes(str(file))
    codes.clip(file.stem)
    for number, (start, end, words, voice) in enumerate(cues, 1):
        where, label, person = f"{file}: cue {number}", " ".join(words.split()), voice or ""
        if found := _PREFIX.fullmatch(label):
            person, label = found[1], found[2]
        times = seconds(start, where), seconds(end, where)
        codes.add(file.stem, Segment(*times, label, person.removeprefix("Person ").strip()))
    return codes


FORMS: dict[str, Callable[[Path, Sequence[str]], Codes]] = {
    ".eaf": _read_eaf,
    ".textgrid": _read_textgrid,
    ".vtt": _read_vtt,
    ".srt": _read_srt,
}
"""The ending of a file, in lower case -> what reads it, given the tiers that are wanted."""
