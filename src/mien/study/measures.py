"""What each person did in each segment: rates, shares, durations and latencies of every expression."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import StudyError
from mien.study.frames import ClipFrames
from mien.study.lists import People, Segment
from mien.video.episodes import Episode

Row = dict[str, Any]

_ROUNDING = 1e-6  # seconds: times are sums of fractions


def people_rows(frames: ClipFrames, people: People) -> list[Row]:
    """A row of people.csv for every tracked face of a clip; the person is empty for who does not take part."""
    rows = []
    for track in frames.tracks:
        own = frames.of_faces("track") == track
        spans, weights = frames.spans[own], np.diff(frames.spans[own])[:, 0]

        def mean(column: str, own: NDArray[np.bool_] = own) -> float:
            return float(frames.of_faces(column)[own].mean())

        rows.append(
            {
                "clip": frames.clip,
                "track": track,
                "person": people.person(frames.clip, track) or "",
                "first_seen": float(spans[0, 0]),
                "last_seen": float(spans[-1, 1]),
                "observed": float(weights.sum()),
                "frames": int(own.sum()),
                "uncertain": _weighted(frames.of_faces("smoothed_uncertain")[own], weights),
                "detection_score": mean("detection_score"),
                "quality_score": mean("quality_score"),
                "face_height": mean("y2") - mean("y1"),
            }
        )
    return rows


def episode_rows(frames: ClipFrames, episodes: Iterable[Episode], people: People) -> list[Row]:
    """A row of episodes.csv for every episode of somebody who takes part."""
    rows = []
    for one in episodes:
        if (person := people.person(frames.clip, one.track)) is not None:
            values = one.to_dict()
            rows.append(values | {"clip": frames.clip, "person": person, "expression": one.emotion})
    return rows


def measure_rows(
    frames: ClipFrames,
    episodes: Sequence[Episode],
    people: People,
    segments: Iterable[Segment],
    *,
    max_gap: float = 0.0,
    broken: bool = False,
) -> Iterator[Row]:
    """Rows of measures.csv: one for every segment, person and expression of a clip.

    Who was not seen in a segment at all has rows without rates: nothing is known of them there.

    Args:
        frames: of the clip.
        episodes: in it, of all tracks.
        people: who the tracks are.
        segments: of the clip.
        max_gap: seconds within which an episode of one person goes on in another track.
        broken: whether the clip could not be read to its end; then segments may lie behind what was read.

    Raises:
        StudyError: a segment lies outside of what was read, or two faces in one frame are the same person.
    """
    found = frames.people(people)
    theirs = {}
    for person, tracks in found.items():
        _check_one_face(frames, person, tracks)
        theirs[person] = joined([one for one in episodes if one.track in tracks], max_gap)
    for segment in segments:
        start, end = _times(frames, segment, broken)
        place: Row = {
            "clip": frames.clip, "segment": segment.name, "condition": segment.condition, "start": start, "end": end,
        }  # fmt: skip
        for person, tracks in found.items():
            own = np.isin(frames.of_faces("track"), tracks)
            spans = frames.spans[own]
            weights = _overlaps(spans, start, end)
            seen = _seen(frames, own, weights, start, end)
            first = float(spans[weights > 0, 0].min()) if (weights > 0).any() else start
            for label in frames.labels:
                ours = [one for one in theirs[person] if one.emotion == label]
                yield (
                    place
                    | {"person": person, "expression": label}
                    | seen
                    | _expression(ours, start, end, max(start, first), float(seen["observed"]))
                    | {"mean_probability": _weighted(frames.of_faces(f"smoothed_{label}")[own], weights)}
                )


def joined(episodes: Iterable[Episode], max_gap: float) -> list[Episode]:
    """A person's episodes, where one that was cut off by a change of track goes on in the next one.

    Args:
        episodes: of one person.
        max_gap: seconds between them at most.
    """
    found: list[Episode] = []
    for one in sorted(episodes, key=lambda one: (one.emotion, one.onset)):
        last = found[-1] if found else None
        if (
            last is not None
            and (last.emotion, last.open_end, one.open_start) == (one.emotion, True, True)
            and one.onset - last.offset <= max_gap + _ROUNDING
        ):
            found[-1] = replace(last, offset=one.offset, open_end=one.open_end)
        else:
            found.append(one)
    return found


def _times(frames: ClipFrames, segment: Segment, broken: bool) -> tuple[float, float]:
    """When a segment starts and ends, in seconds."""
    first, last = float(frames.times[0]), float(frames.ends[-1])
    start = first if segment.start is None else segment.start
    end = segment.end if segment.end is not None else max(last, start) if broken else last
    if (start >= last and not broken) or end <= first:
        raise StudyError(
            f"{segment.where}: segment from {start:g} to {end:g} s, but {frames.clip} was read from {first:g} to "
            f"{last:g} s; expected a part of that"
        )
    return start, end


def _seen(
    frames: ClipFrames, own: NDArray[np.bool_], weights: NDArray[np.float64], start: float, end: float
) -> Row:
    read = max(0.0, min(end, float(frames.ends[-1])) - max(start, float(frames.times[0])))
    observed = float(weights.sum())
    return {
        "observed": observed,
        "missing": max(0.0, read - observed),
        "not_read": max(0.0, end - start - read),
        "uncertain": _weighted(frames.of_faces("smoothed_uncertain")[own], weights),
    }


def _expression(
    episodes: Sequence[Episode], start: float, end: float, first_seen: float, observed: float
) -> Row:
    """The measures of one expression of one person.

    Args:
        episodes: of it, in order.
        start, end: of the segment.
        first_seen: when the face is seen first in the segment.
        observed: seconds in which it is.
    """
    begun = [one for one in episodes if start - _ROUNDING <= one.onset < end - _ROUNDING]
    time = math.fsum(max(0.0, min(one.offset, end) - max(one.onset, start)) for one in episodes)
    known = observed > 0
    ongoing = any(
        one.offset > start + _ROUNDING
        and (one.onset < start - _ROUNDING or (one.open_start and one.onset <= first_seen + _ROUNDING))
        and one.onset < end - _ROUNDING
        for one in episodes
    )
    # An onset that nobody saw is none: the expression was there when the face came into view.
    seen_onset = bool(begun) and not ongoing and not begun[0].open_start
    return {
        "episodes": len(begun),
        "rate": 60 * len(begun) / observed if known else None,
        "episode_time": time,
        "share": min(1.0, time / observed) if known else None,
        "mean_duration": math.fsum(one.duration for one in begun) / len(begun) if begun else None,
        "latency": max(0.0, begun[0].onset - start) if seen_onset else None,
        "ongoing_at_start": ongoing,
    }


def _overlaps(spans: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """(n,) seconds of every (from, until) that lie between start and end."""
    inside: NDArray[np.float64] = np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start)
    return np.maximum(inside, 0.0)


def _weighted(values: NDArray[Any], weights: NDArray[np.float64]) -> float | None:
    """The mean over the time seen; None where there is none."""
    total = weights.sum()
    return float((values.astype(np.float64) * weights).sum() / total) if total > 0 else None


def _check_one_face(frames: ClipFrames, person: str, tracks: Sequence[int]) -> None:
    if len(tracks) < 2:
        return
    own = np.isin(frames.of_faces("track"), tracks)
    numbers, counts = np.unique(frames.of_faces("frame")[own], return_counts=True)
    if (counts > 1).any():
        frame = numbers[counts > 1][0]
        time = frames.of_faces("time")[frames.of_faces("frame") == frame][0]
        raise StudyError(
            f"{frames.clip}: tracks {', '.join(map(str, tracks))} are all {person!r}, but two of them are seen at "
            f"{time:.2f} s; expected one face a person at a time"
        )


def person_values(
    rows: Iterable[Mapping[str, Any]], measured: Sequence[str]
) -> dict[tuple[str, str, str, str], float]:
    """One value for each person: all of their segments of a condition together.

    Rates and shares are of the summed time, so a long segment counts more; durations and latencies are means over
    episodes and over segments that have one.

    Args:
        rows: of measures.csv.
        measured: columns of it.

    Returns:
        (condition, person, expression, measure) -> value; those without a value are left out.
    """
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["condition"], row["person"], row["expression"]), []).append(row)
    values: dict[tuple[str, str, str, str], float] = {}
    for key, own in groups.items():
        observed = math.fsum(row["observed"] for row in own)
        episodes = sum(row["episodes"] for row in own)
        if observed <= 0:
            continue
        latencies = [row["latency"] for row in own if row["latency"] is not None]
        found: dict[str, float | None] = {
            "rate": 60 * episodes / observed,
            "share": min(1.0, math.fsum(row["episode_time"] for row in own) / observed),
            "mean_duration": math.fsum(
                row["mean_duration"] * row["episodes"] for row in own if row["episodes"]
            )
            / episodes
            if episodes
            else None,
            "latency": math.fsum(latencies) / len(latencies) if latencies else None,
            "mean_probability": math.fsum(
                row["mean_probability"] * row["observed"] for row in own if row["observed"] > 0
            )
            / observed,
        }
        values |= {(*key, name): value for name in measured if (value := found[name]) is not None}
    return values
