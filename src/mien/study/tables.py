"""The CSV files of a study."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mien.output.rows import write_rows
from mien.study.columns import CLIPS, COMPARISONS, CONDITIONS, EPISODES, MEASURED, MEASURES, PEOPLE, Columns
from mien.study.frames import ClipFrames
from mien.study.lists import People, Segment
from mien.study.measures import episode_rows, measure_rows, people_rows, person_values
from mien.study.statistics import comparison_rows, condition_rows
from mien.video.episodes import Episode, EpisodeSettings

Row = dict[str, Any]


class Tables:
    """All rows of a study, clip by clip.

    Args:
        labels: of the model.
        who: who the tracks are.
        settings: what counts as an episode.

    Attributes:
        rows: table -> its rows.
        found: clip -> its episodes, of all tracks.
    """

    def __init__(self, labels: Sequence[str], who: People, settings: EpisodeSettings) -> None:
        self._labels, self._who, self._settings = [str(label) for label in labels], who, settings
        names = ("clips", "people", "episodes", "measures", "conditions", "comparisons")
        self.rows: dict[str, list[Row]] = {name: [] for name in names}
        self.found: dict[str, list[Episode]] = {}
        self._named: set[str] = set()

    def add(self, header: Row, frames: ClipFrames, segments: Sequence[Segment]) -> None:
        """Take what was read of a clip."""
        episodes = frames.episodes(self._settings)
        self.found[frames.clip] = episodes
        self.rows["clips"].append(_clip_row(header, frames))
        self.rows["people"] += people_rows(frames, self._who)
        self.rows["episodes"] += episode_rows(frames, episodes, self._who)
        if not header.get("error"):
            self._who.check(frames.clip, frames.tracks)
        if len(frames.times):
            self.rows["measures"] += measure_rows(
                frames,
                episodes,
                self._who,
                segments,
                max_gap=self._settings.max_gap,
                broken=bool(header.get("error")),
            )
        named = (track for track in frames.tracks if self._who.is_named(frames.clip, track))
        self._named |= {name for track in named if (name := self._who.person(frames.clip, track))}

    def files(self, segments: Sequence[Segment]) -> dict[str, tuple[Columns, str]]:
        """The CSV files of this study: name -> columns and text."""
        conditions = list(dict.fromkeys(one.condition for one in segments if one.condition))
        if conditions:
            values = person_values(self.rows["measures"], list(MEASURED))
            self.rows["conditions"] = condition_rows(values, conditions, self._labels, list(MEASURED))
            if len(conditions) == 2 and self._who.known:
                pair = (conditions[0], conditions[1])
                self.rows["comparisons"] = comparison_rows(
                    values, pair, self._labels, list(MEASURED), self._named
                )
        always = {"clips": CLIPS, "people": PEOPLE, "episodes": EPISODES, "measures": MEASURES}
        more = {"conditions": CONDITIONS, "comparisons": COMPARISONS}
        tables = always | {name: columns for name, columns in more.items() if self.rows[name]}
        return {f"{name}.csv": (columns, _csv(self.rows[name], columns)) for name, columns in tables.items()}


def _clip_row(header: Row, frames: ClipFrames) -> Row:
    times, ends = frames.times, frames.ends
    row: Row = {name: header.get(name) for name in ("clip", "path", "duration", "width", "height", "error")}
    row |= {
        "start": None,
        "end": None,
        "frames": len(times),
        "frame_rate": None,
        "tracks": len(frames.tracks),
    }
    if not len(times):
        return row | {"face_seen": None}
    length = float(ends[-1] - times[0])
    # A frame with several faces counts once.
    seen = {(start, end) for start, end in frames.spans.tolist()}
    return row | {
        "start": float(times[0]),
        "end": float(ends[-1]),
        "frame_rate": (len(times) - 1) / float(times[-1] - times[0]) if times[-1] > times[0] else None,
        "face_seen": min(1.0, sum(end - start for start, end in seen) / length) if length > 0 else None,
    }


def _csv(rows: Iterable[Mapping[str, Any]], columns: Columns) -> str:
    stream = io.StringIO(newline="")
    kinds = {name: column.kind for name, column in columns.items()}
    write_rows(stream, "csv", ({name: row[name] for name in columns} for row in rows), kinds)
    return stream.getvalue()
