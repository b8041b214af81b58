"""The HTML report of a clip: one self-contained file that opens offline and prints."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from mien._core.text import count
from mien.output.html import Report, picture_url
from mien.output.palette import color_of
from mien.video.clip_stats import ClipRecord, Person

_BRIEF = 0.3  # seconds: shorter tracks get a line, no timeline


def write_clip_report(
    record: ClipRecord,
    path: Path,
    *,
    source: str,
    settings: Mapping[str, object],
    clip: Path | None = None,
    thumbnails: bool = True,
) -> None:
    """Write the HTML report of one clip.

    Args:
        record: statistics of the clip.
        path: the HTML file; its folder exists.
        source: the clip's name.
        settings: shown at the end.
        clip: what the page plays, from where it lies; None for no player.
        thumbnails: whether faces are shown at their strongest moments.

    Raises:
        OSError: the file cannot be written.
    """
    page = Report(f"Expressions in {Path(source).name}", _lead(record), thumbnails=thumbnails)
    if record.error is not None:
        page.paragraph(f"Part of the clip could not be read. {record.error}")
    people = sorted(record.people.values(), key=lambda person: -person.total)
    shown = [person for person in people if person.total >= _BRIEF] or people
    if shown:
        page.paragraph(
            "A line for each person, with the episodes of each expression as bars, as high as their peak probability. "
            "Click into a line to go there; arrow keys go from frame to frame, the space bar plays. Click a face for "
            "all of its smoothed probabilities, and a name to change it."
        )
        data = _timelines(record, shown, source, thumbnails) | {"clip": clip and _address(clip, path)}
        instead = "The timelines need a browser that runs scripts."
        page.widget(_SCRIPT, data, instead, style=_STYLE, plays=clip is not None)
    _overview(page, record, shown, len(people) - len(shown))
    for person in shown:
        _peaks(page, record, person)
    _warnings(page, shown)
    page.heading("Data and settings")
    name = f"{Path(source).stem}-timeline.csv"
    page.download(name, "text/csv", _csv(record, shown), f"Download the timelines as a table: {name}")
    page.facts((name, str(value)) for name, value in settings.items())
    page.write(path)


_FILES = files("mien.video")
_SCRIPT = "\n".join(
    _FILES.joinpath(name).read_text(encoding="utf-8") for name in ("parts.js", "player.js", "timeline.js")
)
_STYLE = _FILES.joinpath("player.css").read_text(encoding="utf-8")


def _lead(record: ClipRecord) -> str:
    if record.first is None or record.size is None:
        return "Nothing could be read."
    width, height = record.size
    return (
        f"{count(record.frames, 'frame')} of {width} x {height} pixels, from {_clock(record.first)} "
        f"to {_clock(record.last)}"
    )


def _overview(page: Report, record: ClipRecord, shown: list[Person], brief: int) -> None:
    page.heading("Share of each expression")
    if not shown:
        page.paragraph("No face was found.")
    else:
        rows = [
            [f"Person {p.number}", _clock(p.first), _clock(p.last), f"{p.total:.1f} s"]
            + [_share(p.seconds[label], p.total) for label in record.labels]
            for p in shown
        ]
        page.table(["", "first", "last", "visible", *record.labels], rows)
        page.paragraph("Shares of the time in which the person was visible, by the smoothed expression.")
    page.paragraph(
        f"Time without a face: {record.without_face:.1f} s of {record.seconds:.1f} s "
        f"({_share(record.without_face, record.seconds)})."
    )
    if brief or record.others:
        others = f", and {record.others:,} others for {record.others_seconds:.0f} s" if record.others else ""
        page.paragraph(f"Not shown: {brief} visible for less than {_BRIEF} s{others}.")


def _address(clip: Path, page: Path) -> str:
    """Where the page finds the clip: beside itself if it can, so that both can be moved together."""
    try:
        return quote(Path(os.path.relpath(clip.absolute(), page.absolute().parent)).as_posix())
    except ValueError:  # on another drive
        return clip.absolute().as_uri()


def _timelines(
    record: ClipRecord, shown: Iterable[Person], source: str, thumbnails: bool
) -> dict[str, object]:
    labels, episodes = list(record.labels), record.episodes()
    return {
        "source": Path(source).name,
        "step": record.shortest_step,
        "labels": labels,
        "colors": ["#{:02x}{:02x}{:02x}".format(*color_of(label)) for label in record.labels],
        "start": record.first,
        "end": record.last,
        "people": [
            {
                "name": f"Person {p.number}",
                "track": p.number,
                "face": picture_url(_face(p)) if thumbnails and p.peaks else None,
                "total": round(p.total, 3),
                "seen": _stretches([t for t, _ in p.timeline.points()]),
                "episodes": [
                    [
                        labels.index(e.emotion),
                        round(e.onset, 3),
                        round(e.offset, 3),
                        round(e.peak_probability, 4),
                    ]
                    for e in episodes[p.number]
                ],
                "points": [
                    [round(t, 3), *(round(v, 4) for v in values)] for t, values in p.timeline.points()
                ],
            }
            for p in shown
        ],
    }


def _face(person: Person) -> NDArray[np.uint8]:
    """The face in its strongest moment."""
    return max(person.peaks.values(), key=lambda peak: peak.probability).face


def _stretches(times: Sequence[float]) -> list[list[float]]:
    """From when until when a face was seen: a gap of more than a few points ends a stretch."""
    steps = sorted(b - a for a, b in pairwise(times))
    usual = steps[len(steps) // 2] if steps else 0.04
    found: list[list[float]] = []
    for time in times:
        if not found or time - found[-1][1] > max(0.15, 3.5 * usual):
            found.append([time, time])
        found[-1][1] = time
    return [[round(start, 3), round(end + usual, 3)] for start, end in found]


def _peaks(page: Report, record: ClipRecord, person: Person) -> None:
    peaks = [(label, person.peaks[label]) for label in record.labels if label in person.peaks]
    if peaks:
        page.heading(f"Person {person.number}: strongest moments")
        page.faces(
            (peak.face for _, peak in peaks),
            (f"{label} {100 * peak.probability:.0f} %\nat {_clock(peak.time)}" for label, peak in peaks),
        )


def _warnings(page: Report, shown: Iterable[Person]) -> None:
    rows = []
    for person in shown:
        counts = [("uncertain", person.uncertain), *person.warnings.most_common()]
        rows += [
            [f"Person {person.number}: {reason}", f"{n:,} of {person.frames:,}", _share(n, person.frames)]
            for reason, n in counts
            if n
        ]
    if rows:
        page.heading("Uncertain predictions and low face quality")
        page.table(["", "frames", "share"], rows)
        page.paragraph(
            "Uncertain: take the answer with care, its confidence is below the threshold. The other words name a "
            "problem of the face's picture; accuracy on such faces is lower."
        )


def _csv(record: ClipRecord, shown: Iterable[Person]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["track", "time", *(f"smoothed_{label}" for label in record.labels)])
    for person in shown:
        table.writerows([person.number, time, *values] for time, values in person.timeline.points())
    return text.getvalue()


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"


def _clock(seconds: float) -> str:
    """ "1:02:03.4", without hours below one."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest / 10:04.1f}"
