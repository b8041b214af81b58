"""Episodes in the forms that programs of the field open: ELAN, Praat, and subtitles for players.

ELAN (EAF 3.0) and Praat (TextGrid, long text form) get one tier per person and expression, so tiers hold no overlaps;
subtitles (WebVTT, SubRip) one cue per episode. Written here because the libraries that write these forms leave quotes
in a tier's name or markup in a cue, or name an older schema.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from mien._core.version import __version__
from mien.output.rows import encodable
from mien.video.episodes import Episode

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "expression"
_SHORTEST = 0.001  # seconds that an interval lasts at least
_KINDS = {
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
}


def to_eaf(episodes: Sequence[Episode], source: str, seconds: float) -> str:
    """An ELAN document of one clip, times in milliseconds.

    Args:
        episodes: of the clip.
        source: its path: the document names it, so that ELAN opens it too.
        seconds: how long it is.
    """
    clip = Path(source)
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"mien {__version__}",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ElementTree.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=clip.absolute().as_uri(),
        MIME_TYPE=_KINDS.get(clip.suffix.lower(), "video/mp4"),
        RELATIVE_MEDIA_URL=encodable(f"./{clip.name}"),
    )
    tiers = _tiers(episodes)
    names = _time_slots(root, [one for some in tiers.values() for one in some])
    for (person, emotion), some in tiers.items():
        tier = ElementTree.SubElement(
            root, "TIER", LINGUISTIC_TYPE_REF=_TYPE, PARTICIPANT=person, TIER_ID=f"{person} {emotion}"
        )
        for one in some:
            onset, offset = names.pop(0)
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{onset.removeprefix('ts')}",
                TIME_SLOT_REF1=onset,
                TIME_SLOT_REF2=offset,
            )
            ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = one.emotion
    ElementTree.SubElement(
        root, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID=_TYPE, TIME_ALIGNABLE="true"
    )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _time_slots(root: ElementTree.Element, episodes: Sequence[Episode]) -> list[tuple[str, str]]:
    """Write two time slots an episode, all in the order of time; their names, episode by episode.

    None is shared, so that in ELAN a boundary is moved without another one.
    """
    times = [time for one in episodes for time in _milliseconds(one)]
    order = sorted(range(len(times)), key=lambda k: times[k])
    names = {k: f"ts{number}" for number, k in enumerate(order, 1)}
    slots = ElementTree.SubElement(root, "TIME_ORDER")
    for k in order:
        ElementTree.SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=names[k], TIME_VALUE=str(times[k]))
    return [(names[k], names[k + 1]) for k in range(0, len(times), 2)]


def to_textgrid(episodes: Sequence[Episode], source: str, seconds: float) -> str:
    """A Praat TextGrid of one clip; arguments as of `to_eaf`. The time between episodes is empty intervals."""
    end = max([seconds, _SHORTEST, *(one.offset for one in episodes)])
    tiers = _tiers(episodes) or {("Person 1", "neutral"): []}  # Praat reads none without a tier
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}",
        "tiers? <exists>", f"size = {len(tiers)}", "item []:",
    ]  # fmt: skip
    for number, ((person, emotion), some) in enumerate(tiers.items(), 1):
        intervals = _filled(some, end)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(f'{person} {emotion}')}",
            "        xmin = 0",
            f"        xmax = {end:.6f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for k, (start, stop, text) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{k}]:",
                f"            xmin = {start:.6f}",
                f"            xmax = {stop:.6f}",
                f"            text = {_quoted(text)}",
            ]
    return "\n".join(lines) + "\n"


def to_vtt(episodes: Sequence[Episode], source: str, seconds: float) -> str:
    """WebVTT subtitles of one clip, in the order of the onsets; arguments as of `to_eaf`."""
    cues = ["WEBVTT\n"]
    for number, one in enumerate(sorted(episodes, key=lambda e: (e.onset, e.offset)), 1):
        text = _cue(one).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{number}\n{_clock(one.onset, '.')} --> {_clock(one.offset, '.')}\n{text}\n")
    return "\n".join(cues)


def to_srt(episodes: Sequence[Episode], source: str, seconds: float) -> str:
    """SubRip subtitles of one clip, in the order of the onsets; arguments as of `to_eaf`."""
    return "\n".join(
        f"{number}\n{_clock(one.onset, ',')} --> {_clock(one.offset, ',')}\n{_cue(one)}\n"
        for number, one in enumerate(sorted(episodes, key=lambda e: (e.onset, e.offset)), 1)
    )


FORMS: dict[str, Callable[[Sequence[Episode], str, float], str]] = {
    "eaf": to_eaf,
    "textgrid": to_textgrid,
    "vtt": to_vtt,
    "srt": to_srt,
}
"""The ending of a file, in lower case -> what writes it."""


def _tiers(episodes: Sequence[Episode]) -> dict[tuple[str, str], list[Episode]]:
    """(person, expression) -> episodes in order, by person, then by expression."""
    tiers: dict[tuple[int, str], list[Episode]] = defaultdict(list)
    for one in sorted(episodes, key=lambda one: (one.track, one.emotion, one.onset)):
        tiers[one.track, one.emotion].append(one)
    return {(_person(track), emotion): some for (track, emotion), some in tiers.items()}


def _person(track: int) -> str:
    return f"Person {track}"


def _filled(episodes: Sequence[Episode], end: float) -> list[tuple[float, float, str]]:
    """The whole time in intervals (start, stop, label), empty ones between the episodes."""
    intervals, time = [], 0.0
    for one in episodes:
        if one.onset - time >= _SHORTEST:
            intervals.append((time, one.onset, ""))
        intervals.append((intervals[-1][1] if intervals else 0.0, one.offset, one.emotion))
        time = one.offset
    return [*intervals, (time, end, "")] if end - time >= _SHORTEST else intervals


def _milliseconds(one: Episode) -> tuple[int, int]:
    """Onset and offset; what would be no time at all lasts a millisecond."""
    onset = round(1000 * one.onset)
    return onset, max(onset + 1, round(1000 * one.offset))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cue(one: Episode) -> str:
    return " ".join(f"{_person(one.track)}: {one.emotion}".split())


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    whole = round(1000 * seconds)
    minutes, milliseconds = divmod(whole, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
