"""When a person showed an expression: from smoothed probabilities to episodes with onset, peak and offset.

Two thresholds (hysteresis, as in Canny's edge detector, IEEE TPAMI 8, 1986): an episode has to reach the upper one, and
lasts for as long as the probability stays above the lower one. Short gaps are bridged, and what is too short is
dropped. Memory grows with the episodes, not with the frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

from mien._core.settings import check_limits, check_types
from mien.results import FrameResult, TrackedFrame

_USUAL_STEP = 0.04  # seconds that the only frame of a clip stands for
_ROUNDING = 1e-6  # seconds: times are sums of fractions


@dataclass(frozen=True)
class EpisodeSettings:
    """What counts as an episode. The defaults are measured: docs/how-to/video.md.

    Attributes:
        upper_threshold: smoothed probability that an episode must reach, 0 to 1.
        lower_threshold: probability below which it ends, 0 to `upper_threshold`.
        min_duration: shorter ones are dropped, in seconds.
        max_gap: within this many seconds the probability may be lower, or the face be missing, without an end.

    Raises:
        ValueError: a setting is out of range.
    """

    upper_threshold: float = 0.4
    lower_threshold: float = 0.35
    min_duration: float = 0.5
    max_gap: float = 0.2

    def __post_init__(self) -> None:
        check_types(self)
        check_limits(
            self,
            dict.fromkeys(("upper_threshold", "lower_threshold"), (0, 1))
            | dict.fromkeys(("min_duration", "max_gap"), (0, 86_400)),
        )
        if self.lower_threshold > self.upper_threshold:
            raise ValueError(
                f"lower_threshold {self.lower_threshold:g}: expected at most upper_threshold, {self.upper_threshold:g}"
            )


@dataclass(frozen=True, slots=True)
class Episode:
    """An expression that a person shows for a while. Times are seconds from the beginning of the clip.

    Attributes:
        source: the clip.
        track: the person.
        emotion: the expression.
        onset, offset: when it begins, and when it is over: the time of the first frame without it, or the end.
        peak: when its probability is highest.
        peak_probability, mean_probability: highest smoothed probability, and its mean over the time seen, 0 to 1.
        uncertain: share of the time seen in which the person's smoothed prediction is flagged as uncertain, 0 to 1.
        missing: seconds between onset and offset in which the face was not seen.
        frames: in which it was seen.
        open_start, open_end: whether it was there when the face came into view, or when it was seen last: it may have
            begun earlier, or have lasted longer.
    """

    source: str
    track: int
    emotion: str
    onset: float
    peak: float
    offset: float
    peak_probability: float
    mean_probability: float
    uncertain: float
    missing: float
    frames: int
    open_start: bool
    open_end: bool

    @property
    def duration(self) -> float:
        """From onset to offset, in seconds."""
        return self.offset - self.onset

    def to_dict(self) -> dict[str, Any]:
        """Plain values, `duration` after `offset`: a row of a table."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS: dict[str, type] = {
    "source": str,
    "track": int,
    "emotion": str,
    "onset": float,
    "peak": float,
    "offset": float,
    "duration": float,
    "peak_probability": float,
    "mean_probability": float,
    "uncertain": float,
    "missing": float,
    "frames": int,
    "open_start": bool,
    "open_end": bool,
}
"""The columns of a table of episodes, and what they hold."""


def find_episodes(frames: Iterable[FrameResult], settings: EpisodeSettings | None = None) -> list[Episode]:
    """The episodes of one clip or several, one after the other: by clip, then by onset.

    A frame stands until the next one that was read, also where few are read; the last as long as the shortest of its
    clip. A clip ends where another source begins, or time goes back.

    Args:
        frames: as `EmotionRecognizer.recognize_video` gives them; what is no frame of a clip is passed over.
        settings: None for the defaults.
    """
    finder = EpisodeFinder(settings)
    for frame in frames:
        finder.add(frame)
    return finder.finish()


class EpisodeFinder:
    """Takes the frames of clips one by one.

    Args:
        settings: None for the defaults.

    Attributes:
        ends: clip -> when its last frame is over, in seconds.
    """

    def __init__(self, settings: EpisodeSettings | None = None) -> None:
        self.ends: dict[str, float] = {}
        self._settings = settings or EpisodeSettings()
        self._done: list[Episode] = []
        self._begin_clip()

    def _begin_clip(self) -> None:
        self._last: TrackedFrame | None = None
        self._shortest = inf  # seconds between two frames
        self._seen: dict[int, float] = {}  # track -> until when the face was seen last
        self._runs: dict[tuple[int, str], _Run] = {}
        self._found: list[Episode] = []

    def add(self, frame: FrameResult) -> None:
        """The next frame, or the first one of the next clip."""
        if not isinstance(frame, TrackedFrame):
            return
        if self._last is not None:
            step = frame.time - self._last.time
            if self._last.source != frame.source or step < 0:
                self._end_clip()
            else:
                self._take(self._last, step)
                self._shortest = min(self._shortest, step) if step > 0 else self._shortest
        self._last = frame

    def finish(self) -> list[Episode]:
        """All episodes, once every frame is in."""
        self._end_clip()
        return self._done

    def _take(self, frame: TrackedFrame, seconds: float) -> None:
        """A frame, once it is known for how long it stands."""
        end = frame.time + seconds
        for face in frame.faces:
            for label, probability in face.smoothed.probabilities.items():
                key = face.track, str(label)
                if key not in self._runs:
                    self._runs[key] = _Run(self._settings)
                one = _Sums(1, seconds, probability, face.smoothed.uncertain)
                self._keep(*key, self._runs[key].add(frame.time, one, self._seen.get(face.track)))
            self._seen[face.track] = end

    def _end_clip(self) -> None:
        if self._last is not None:
            step = self._shortest if self._shortest < inf else _USUAL_STEP
            self._take(self._last, step)
            self.ends[self._last.source] = self._last.time + step
        for (track, label), run in self._runs.items():
            self._keep(track, label, run.close())
        self._done += sorted(self._found, key=lambda one: (one.onset, one.track, one.emotion))
        self._begin_clip()

    def _keep(self, track: int, emotion: str, values: dict[str, Any] | None) -> None:
        if values is not None and self._last is not None:
            self._found.append(Episode(self._last.source, track, emotion, **values))


class _Sums:
    """Of the frames of a stretch: seconds, and the same times probability and doubt."""

    def __init__(
        self, frames: int = 0, seconds: float = 0.0, probability: float = 0.0, uncertain: bool = False
    ) -> None:
        self.frames = frames
        self.seconds, self.probability, self.uncertain = seconds, seconds * probability, seconds * uncertain
        self.highest = probability

    def __iadd__(self, other: _Sums) -> _Sums:
        self.frames += other.frames
        self.seconds += other.seconds
        self.probability += other.probability
        self.uncertain += other.uncertain
        return self


class _Run:
    """One expression of one person, frame by frame: what may become an episode."""

    def __init__(self, settings: EpisodeSettings) -> None:
        self._settings = settings
        self._active = self._open_start = False
        self._onset = self._peak = self._offset = 0.0
        self._highest = 0.0
        self._sums, self._since = _Sums(), _Sums()  # up to the offset, and since then

    def add(self, time: float, frame: _Sums, seen_until: float | None) -> dict[str, Any] | None:
        """A frame of the person, who was seen last until then; returns an episode that is over."""
        gap = self._settings.max_gap + _ROUNDING
        ended = self.close() if self._active and time - self._offset > gap else None
        if frame.highest < self._settings.lower_threshold:
            if self._active:
                self._since += frame
            return ended
        if not self._active:
            self._active, self._onset, self._highest = True, time, -1.0
            self._sums, self._since = _Sums(), _Sums()
            self._open_start = seen_until is None or time - seen_until > gap
        self._sums += self._since
        self._sums += frame
        self._since, self._offset = _Sums(), time + frame.seconds
        if frame.highest > self._highest:
            self._highest, self._peak = frame.highest, time
        return ended

    def close(self) -> dict[str, Any] | None:
        """The episode, if the frames so far are one; what comes next begins anew."""
        active, self._active = self._active, False
        wanted = self._settings
        duration, seconds = self._offset - self._onset, self._sums.seconds
        least = max(wanted.min_duration - _ROUNDING, 0)
        if not active or self._highest < wanted.upper_threshold or duration < least or not seconds:
            return None
        return {
            "onset": self._onset,
            "peak": self._peak,
            "offset": self._offset,
            "peak_probability": self._highest,
            "mean_probability": self._sums.probability / seconds,
            "uncertain": self._sums.uncertain / seconds,
            "missing": max(0.0, duration - seconds),
            "frames": self._sums.frames,
            "open_start": self._open_start,
            "open_end": not self._since.frames,
        }
