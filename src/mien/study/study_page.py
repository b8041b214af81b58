"""The report of a study: one HTML page that opens offline, without pictures of faces."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mien._core.text import Table, count, percent
from mien._core.version import __version__
from mien.output.html import Report
from mien.study.charts import conditions_chart, timeline_chart
from mien.study.columns import MEASURED
from mien.study.lists import Segment

Row = Mapping[str, Any]

_MOST_PEOPLE = 60  # lines of the overview
_MOST_ROWS = 200  # of a table on the page; the files have all

_UNITS = {name: column.unit.replace("share from 0 to 1", "share") for name, column in MEASURED.items()}


def write_study_page(
    path: Path, rows: Mapping[str, Sequence[Row]], segments: Sequence[Segment], settings: Mapping[str, Any]
) -> Path:
    """Write the page.

    Args:
        path: of the page.
        rows: of the tables, by their names.
        segments: of the study.
        settings: name -> value.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written.
    """
    people = {row["person"] for row in rows["people"]} - {""}
    page = Report(
        "Study of expressions in clips",
        f"{count(len(rows['clips']), 'clip')}, {count(len(people), 'person', 'people')}, "
        f"{count(len(rows['episodes']), 'episode')}.",
    )
    with tempfile.TemporaryDirectory() as folder:
        _add_comparisons(page, rows, Path(folder))
        _add_people(page, rows, Path(folder))
    _add_clips(page, rows["clips"])
    page.heading("How to report these figures")
    page.paragraph(
        f"Expressions were read by mien {__version__}, model {settings['model']} "
        f"(SHA-256 {settings['model_sha256'][:12]}), {_frames_read(settings)}, smoothed with a time constant of "
        f"{settings['smoothing']:g} s. An episode reaches a smoothed probability of {settings['upper_threshold']:g}, "
        f"ends below {settings['lower_threshold']:g}, lasts at least {settings['min_duration']:g} s, and gaps of up to "
        f"{settings['max_gap']:g} s are bridged. Time in which a face was not seen counts as missing, not as neutral."
    )
    page.paragraph(
        "What a face shows is not what a person feels. State how well these answers agree with people who coded a part "
        "of the same clips, and the share of uncertain time."
    )
    page.heading("Settings")
    page.facts(
        [
            (name.replace("_", " "), "none" if value is None else str(value))
            for name, value in settings.items()
        ]
    )
    page.paragraph("Every column of the tables is explained in codebook.md and codebook.json.")
    page.write(path)
    return path


def _frames_read(settings: Mapping[str, Any]) -> str:
    every = settings["every"] or 1
    frames = "every frame" if every == 1 else f"one of {every} frames"
    if settings["fps"]:
        frames = f"{settings['fps']:g} frames per second"
    end = "" if settings["end"] is None else f" to {settings['end']:g} s"
    return frames if not settings["start"] and not end else f"{frames} from {settings['start']:g} s{end}"


def _add_comparisons(page: Report, rows: Mapping[str, Sequence[Row]], folder: Path) -> None:
    if not rows["conditions"]:
        return
    page.heading("Conditions")
    conditions_chart(rows["conditions"], folder / "conditions.png")
    page.chart(
        folder / "conditions.png",
        "Share of time and rate of every expression by condition, as points with their intervals",
        "Points: mean over people; lines: 95 % intervals by the bootstrap over people.",
    )
    if not rows["comparisons"]:
        page.paragraph(
            "There is no paired test: it needs two conditions, and a file that says who is the same person in several "
            "clips (--people)."
        )
        return
    first, second = rows["comparisons"][0]["first"], rows["comparisons"][0]["second"]
    cells = [
        [
            row["expression"],
            f"{row['measure'].replace('_', ' ')} ({_UNITS[row['measure']]})",
            str(row["people"]),
            _number(row["mean_first"]),
            _number(row["mean_second"]),
            _number(row["difference"]),
            f"{_number(row['low'])} to {_number(row['high'])}" if row["low"] is not None else "",
            _number(row["effect_size"]),
            _p_value(row["p_value"]),
            _p_value(row["p_holm"]),
        ]
        for row in rows["comparisons"]
    ]
    page.add(
        Table(
            ("expression", "measure", "people", first, second, "difference", "95 %", "d_z", "p", "p (Holm)"),
            cells,
            "Paired comparison",
        )
    )
    page.paragraph(
        f"Difference: {second} minus {first}, for people with a value in both. d_z: Cohen's effect size of paired "
        "differences. p: two-sided sign-flip permutation test; Holm's adjustment counts the expressions of a measure, "
        "not the measures. With five people or fewer, no p can be below 0.05."
    )


def _add_people(page: Report, rows: Mapping[str, Sequence[Row]], folder: Path) -> None:
    if not rows["people"]:
        return
    shown = [row for row in rows["people"] if row["person"]]
    page.heading("Episodes")
    if shown:
        timeline_chart(shown[:_MOST_PEOPLE], rows["episodes"], folder / "episodes.png")
        page.chart(
            folder / "episodes.png",
            "Episodes of every person as bars along the time of the clip",
            "Light grey: from the first to the last sight of the face; colours: episodes; height: peak probability. "
            "Neutral is left out." + _only(len(shown), _MOST_PEOPLE, "people"),
        )
    page.heading("People")
    table = [
        [
            f"{row['person'] or '(left out)'}",
            row["clip"],
            str(row["track"]),
            f"{row['observed']:.1f} s",
            percent(row["uncertain"]) if row["uncertain"] is not None else "",
            f"{row['face_height']:.0f}",
        ]
        for row in rows["people"][:_MOST_ROWS]
    ]
    page.table(("person", "clip", "track", "face seen", "uncertain", "face height (pixels)"), table)
    if note := _only(len(rows["people"]), _MOST_ROWS, "rows"):
        page.paragraph(note.strip())


def _add_clips(page: Report, clips: Sequence[Row]) -> None:
    page.heading("Clips")
    table = [
        [
            row["clip"],
            f"{row['duration']:.1f} s" if row["duration"] is not None else "",
            str(row["frames"]),
            str(row["tracks"]),
            percent(row["face_seen"]) if row["face_seen"] is not None else "",
            row["error"] or "",
        ]
        for row in clips[:_MOST_ROWS]
    ]
    page.table(("clip", "duration", "frames read", "tracked faces", "time with a face", "error"), table)
    if note := _only(len(clips), _MOST_ROWS, "clips"):
        page.paragraph(note.strip())


def _only(n: int, most: int, what: str) -> str:
    return f" The first {most} {what} of {n:,}; the files have all." if n > most else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _p_value(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
