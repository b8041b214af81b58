"""The rows that `mien video --output` writes, as codes: one label for each person and each frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mien.agreement.codes import NONE, UNCERTAIN, ClipCodes, Codes, Segment
from mien.errors import DatasetError
from mien.results import COLUMNS, Box, Face, Prediction, TrackedFace, TrackedFrame, smoothed_columns
from mien.video.episodes import EpisodeSettings, find_episodes

_NOWHERE = Face(Box(0, 0, 1, 1), 1.0)  # where a face is does not matter here
_USUAL_STEP = 0.04  # seconds that the only frame of a clip stands for
_SMOOTHED = "smoothed_"
_OTHERS = frozenset(
    (*COLUMNS, "width", "height", "faces", "clip", "person")
)  # the last two are of mien study


def label_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """The labels that a table of frames has columns for."""
    return tuple(name for name in columns if name not in _OTHERS and not name.startswith(_SMOOTHED))


class FrameRows:
    """Takes rows of frames one by one, so that a long table is not held as text.

    Args:
        codes: where the frames go, with its labels.
    """

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def add(self, clip: str, row: Mapping[str, Any], at: str) -> None:
        """The next row, of which there is one for each face.

        Raises:
            DatasetError: a row without a time, a track or a probability.
        """
        place = self._codes.clip(clip)
        frames = place.frames
        if row.get("time") in (None, ""):
            if row.get("error") in (None, ""):
                raise DatasetError(f"{at}: no time: expected frames of a clip, as mien video writes them")
            return  # that the clip could not be read, or not to its end
        time, faces = _number(row["time"], at), _faces(row, self._codes.labels, at)
        name = str(row.get("person") or "")
        if faces and name not in (
            "",
            f"{clip}:{faces[0].track}",
        ):  # which is a study's for a face without a name
            place.people[faces[0].track] = name
        if frames and frames[-1].time == time:
            faces = (*frames.pop().faces, *faces)
        frames.append(TrackedFrame(clip, faces=faces, time=time, labels=self._codes.labels))

    def finish(self) -> None:
        """Once all rows are in: each frame stands until the next, the last as long as the shortest."""
        for clip in self._codes.clips.values():
            clip.frames.sort(key=lambda frame: frame.time)
            spans = _spans(clip.frames)
            clip.length = max([0.0, *(end for _, _, end in spans)])
            clip.segments = joined(
                (
                    clip.people.get(face.track, str(face.track)),
                    UNCERTAIN if face.smoothed.uncertain else str(face.smoothed.emotion),
                    start,
                    end,
                )
                for frame, start, end in spans
                for face in frame.faces
            )


def episode_segments(clip: ClipCodes, settings: EpisodeSettings) -> list[Segment]:
    """The episodes of a clip's frames."""
    return [
        Segment(one.onset, one.offset, one.emotion, clip.people.get(one.track, str(one.track)))
        for one in find_episodes(clip.frames, settings)
    ]


def seen_segments(clip: ClipCodes) -> list[Segment]:
    """When each person was seen: with "none", or with "uncertain" where the answer is flagged."""
    return joined(
        (
            clip.people.get(face.track, str(face.track)),
            UNCERTAIN if face.smoothed.uncertain else NONE,
            start,
            end,
        )
        for frame, start, end in _spans(clip.frames)
        for face in frame.faces
    )


def joined(answers: Iterable[tuple[str, str, float, float]]) -> list[Segment]:
    """Segments of (person, label, start, end) in order of time: what follows on with the same label is one."""
    found: list[Segment] = []
    last: dict[str, tuple[str, float, float]] = {}
    for person, label, start, end in answers:
        before = last.get(person)
        if before is not None and before[0] == label and abs(before[2] - start) < 1e-6:
            last[person] = label, before[1], end
            continue
        if before is not None:
            found.append(Segment(before[1], before[2], before[0], person))
        last[person] = label, start, end
    return found + [Segment(start, end, label, person) for person, (label, start, end) in last.items()]


def _spans(frames: Sequence[TrackedFrame]) -> list[tuple[TrackedFrame, float, float]]:
    """Frames, each with the seconds from when to when it stands."""
    times = [frame.time for frame in frames]
    steps = [later - time for time, later in pairwise(times)]
    last = min((step for step in steps if step > 0), default=_USUAL_STEP)
    ends = [*times[1:], *(time + last for time in times[-1:])]
    return list(zip(frames, times, ends, strict=True))


def _faces(row: Mapping[str, Any], labels: Sequence[str], at: str) -> tuple[TrackedFace, ...]:
    if row.get("track") in (None, ""):
        return ()
    words = smoothed_columns(labels)
    # Without smoothing there are the answers of single frames.
    smoothed = row.get(words[0]) not in (None, "")
    probabilities = {
        label: _number(row.get(f"{_SMOOTHED if smoothed else ''}{label}"), at) for label in labels
    }
    if not probabilities:
        raise DatasetError(f"{at}: no column of a label's probability, as mien video writes them")
    doubt = str(row.get(words[2] if smoothed else "uncertain")).strip().lower() in ("true", "1")
    answer = Prediction(probabilities, uncertain=doubt)
    return (TrackedFace(_NOWHERE, answer, track=int(_number(row["track"], at)), smoothed=answer),)


def _number(value: object, at: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise DatasetError(f"{at}: {value!r}: expected a number, 0 or more")
    return number
