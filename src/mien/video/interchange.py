"""Episodes in the forms that programs of the field open: ELAN, Praat, and subtitles for players.

ELAN (EAF 3.0) and Praat (TextGrid, long text form) get one tier per person and expression, so tiers hold no overlaps;
subtitles (WebVTT, SubRip) one cue per episode. Written here because the libraries that write these forms leave quotes
in a tier's name or markup in a cue, or name an older schema.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from mien._core.version import __version__
from mien.video.episodes import Episode

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "expression"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
}


@dataclass(frozen=True)
class Media:
    """The clip that episodes are of.

    Attributes:
        path: of the clip.
        seconds: how long it is.
        folder: where the file of the episodes goes.
        people: track -> the person's name; who has none is "Person 3", by the track.
    """

    path: Path
    seconds: float
    folder: Path = Path()
    people: Mapping[int, str] = field(default_factory=dict)

    def person(self, track: int) -> str:
        """The person's name."""
        return self.people.get(track) or f"Person {track}"


def to_eaf(episodes: Sequence[Episode], media: Media) -> str:
    """An ELAN document of one clip, times in milliseconds; it names the clip, so that ELAN opens it too."""
    clip = media.path
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
        RELATIVE_MEDIA_URL=_for_xml(_relative(clip, media.folder)),
    )
    tiers = _tiers(episodes, media)
    names = _time_slots(root, [times for some in tiers.values() for times in _milliseconds(some)])
    for (person, emotion), some in tiers.items():
        tier = ElementTree.SubElement(
            root,
            "TIER",
            LINGUISTIC_TYPE_REF=_TYPE,
            PARTICIPANT=_for_xml(person),
            TIER_ID=_for_xml(f"{person} {emotion}"),
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
            ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = _for_xml(one.emotion)
    ElementTree.SubElement(
        root, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID=_TYPE, TIME_ALIGNABLE="true"
    )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _time_slots(root: ElementTree.Element, spans: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    """Write two time slots an episode, all in the order of time; their names, episode by episode.

    None is shared, so that in ELAN a boundary is moved without another one.
    """
    times = [time for span in spans for time in span]
    order = sorted(range(len(times)), key=lambda k: times[k])
    names = {k: f"ts{number}" for number, k in enumerate(order, 1)}
    slots = ElementTree.SubElement(root, "TIME_ORDER")
    for k in order:
        ElementTree.SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=names[k], TIME_VALUE=str(times[k]))
    return [(names[k], names[k + 1]) for k in range(0, len(times), 2)]


def to_textgrid(episodes: Sequence[Episode], media: Media) -> str:
    """A Praat TextGrid of one clip. The time between episodes is empty intervals."""
    tiers = _tiers(episodes, media)
    spans = {key: _milliseconds(some) for key, some in tiers.items()}
    end = max([round(1000 * media.seconds), 1, *(span[-1][1] for span in spans.values())])
    # Praat reads none without a tier.
    named = {f"{person} {emotion}": _filled(span, emotion, end) for (person, emotion), span in spans.items()}
    named = named or {"episodes": [(0, end, "")]}
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end / 1000:.3f}",
        "tiers? <exists>", f"size = {len(named)}", "item []:",
    ]  # fmt: skip
    for number, (name, intervals) in enumerate(named.items(), 1):
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {end / 1000:.3f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for k, (start, stop, text) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{k}]:",
                f"            xmin = {start / 1000:.3f}",
                f"            xmax = {stop / 1000:.3f}",
                f"            text = {_quoted(text)}",
            ]
    return "\n".join(lines) + "\n"


def to_vtt(episodes: Sequence[Episode], media: Media) -> str:
    """WebVTT subtitles of one clip, in the order of the onsets."""
    cues = ["WEBVTT\n"]
    for number, (onset, offset, text) in enumerate(_cues(episodes, media), 1):
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{number}\n{_clock(onset, '.')} --> {_clock(offset, '.')}\n{escaped}\n")
    return "\n".join(cues)


def to_srt(episodes: Sequence[Episode], media: Media) -> str:
    """SubRip subtitles of one clip, in the order of the onsets."""
    return "\n".join(
        f"{number}\n{_clock(onset, ',')} --> {_clock(offset, ',')}\n{text}\n"
        for number, (onset, offset, text) in enumerate(_cues(episodes, media), 1)
    )


FORMS: dict[str, Callable[[Sequence[Episode], Media], str]] = {
    ".eaf": to_eaf,
    ".textgrid": to_textgrid,
    ".vtt": to_vtt,
    ".srt": to_srt,
}
"""The ending of a file, in lower case -> what writes it."""


def _tiers(episodes: Sequence[Episode], media: Media) -> dict[tuple[str, str], list[Episode]]:
    """(person, expression) -> episodes in order of time; by person's first track, then by expression."""
    tiers: dict[tuple[str, str], list[Episode]] = defaultdict(list)
    for one in sorted(episodes, key=lambda one: (one.track, one.emotion, one.onset)):
        tiers[media.person(one.track), one.emotion].append(one)
    return {key: sorted(some, key=lambda one: one.onset) for key, some in tiers.items()}


def _filled(spans: Sequence[tuple[int, int]], emotion: str, end: int) -> list[tuple[int, int, str]]:
    """The whole time in intervals (start, stop, label), empty ones between the episodes."""
    intervals, time = [], 0
    for onset, offset in spans:
        if onset > time:
            intervals.append((time, onset, ""))
        intervals.append((onset, offset, emotion))
        time = offset
    return [*intervals, (time, end, "")] if time < end else intervals


def _milliseconds(episodes: Iterable[Episode]) -> list[tuple[int, int]]:
    """Onsets and offsets of episodes of one tier: each lasts a millisecond at least, and none overlaps another."""
    spans, time = [], 0
    for one in episodes:
        onset = max(time, round(1000 * one.onset))
        time = max(onset + 1, round(1000 * one.offset))
        spans.append((onset, time))
    return spans


def _cues(episodes: Sequence[Episode], media: Media) -> list[tuple[int, int, str]]:
    """(onset, offset, text) of every episode in the order of the onsets, in milliseconds."""
    ordered = sorted(episodes, key=lambda one: (one.onset, one.offset))
    return [
        (*_milliseconds([one])[0], " ".join(f"{media.person(one.track)}: {one.emotion}".split()))
        for one in ordered
    ]


def _relative(clip: Path, folder: Path) -> str:
    """The path from the folder to the clip, as ELAN writes it."""
    try:
        path = Path(os.path.relpath(clip.absolute(), folder.absolute())).as_posix()
    except ValueError:  # on another drive
        path = clip.name
    return path if path.startswith("../") else f"./{path}"


def _for_xml(text: str) -> str:
    """Text with what XML cannot hold (control characters, undecodable bytes of names) as escapes."""
    return _NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _clock(milliseconds: int, point: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
