"""What a clip's page needs to know, gathered frame by frame in memory that does not grow with the clip."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.results import Box, FaceEmotion, FrameResult
from mien.video.episodes import Episode, EpisodeFinder
from mien.video.timeline import Timeline

POINTS = 1500
"""Points of a person's timeline at most."""

PEOPLE = 50
"""People that are kept at most; beyond it those seen for the shortest time become a sum."""

_LONGEST_STEP = 1.0  # seconds that one frame stands for at most
_THUMBNAIL = 96


@dataclass(frozen=True, slots=True)
class Peak:
    """When an expression was strongest: seconds, smoothed probability, and the face, (96, 96, 3) uint8 RGB."""

    time: float
    probability: float
    face: NDArray[np.uint8]


@dataclass
class Person:
    """One track: when it was seen, seconds by smoothed expression, peaks by label, frames by quality warning."""

    number: int
    first: float
    last: float
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    frames: int = 0
    uncertain: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, Peak] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=lambda: Timeline(POINTS))

    @property
    def total(self) -> float:
        """Seconds for which the face was seen."""
        return sum(self.seconds.values(), 0.0)


class ClipRecord:
    """Adds up the results of one clip.

    Args:
        labels: the model's labels.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.people: dict[int, Person] = {}
        self.others_seconds = 0.0
        self._others: set[int] = set()
        self.frames = 0
        self.seconds = 0.0
        self.without_face = 0.0
        self.first: float | None = None
        self.last = 0.0
        self.size: tuple[int, int] | None = None
        self.error: str | None = None
        self._step = self.shortest_step = 0.04
        self._finder = EpisodeFinder()

    def episodes(self) -> dict[int, list[Episode]]:
        """Track -> its episodes, once the clip is read."""
        found: dict[int, list[Episode]] = {number: [] for number in self.people}
        for one in self._finder.finish():
            if one.track in found:
                found[one.track].append(one)
        return found

    @property
    def others(self) -> int:
        """How many people there were besides those in `people`."""
        return len(self._others)

    def add(self, result: FrameResult, picture: NDArray[np.uint8] | None) -> None:
        """The next frame, with its picture (H, W, 3) uint8 RGB; or the error that the clip ended with."""
        if result.error is not None:
            self.error = result.error
        if result.time is None or result.width is None or result.height is None:
            return
        if self.first is None:
            self.first = result.time
        else:
            self._step = min(max(0.0, result.time - self.last), _LONGEST_STEP)
            if self._step > 0:
                self.shortest_step = self._step if self.frames == 1 else min(self.shortest_step, self._step)
        self._finder.add(result)
        self.last, self.size = result.time, (result.width, result.height)
        self.frames += 1
        self.seconds += self._step
        if not result.faces:
            self.without_face += self._step
        for face in result.faces:
            self._add_face(face, result.time, picture)
        if len(self.people) > PEOPLE:
            self._drop_one(result)

    def _add_face(self, face: FaceEmotion, time: float, picture: NDArray[np.uint8] | None) -> None:
        number = face.track or 0
        if number in self._others:  # else who is in view all the time would be counted again in every frame
            self.others_seconds += self._step
            return
        person = self.people.setdefault(number, Person(number, time, time))
        steady = face.smoothed or face.prediction
        person.last = time
        person.frames += 1
        person.uncertain += steady.uncertain
        person.seconds[steady.emotion] += self._step
        person.warnings.update(face.quality.issues)
        person.timeline.add(time, [steady.probabilities[label] for label in self.labels])
        peak = person.peaks.get(steady.emotion)
        if (
            picture is not None
            and not face.quality.issues
            and (peak is None or steady.confidence > peak.probability)
        ):
            person.peaks[steady.emotion] = Peak(time, steady.confidence, thumbnail(picture, face.box))

    def _drop_one(self, result: FrameResult) -> None:
        present = {face.track for face in result.faces}
        gone = [p for p in self.people.values() if p.number not in present] or list(self.people.values())
        least = min(gone, key=lambda person: person.total)
        del self.people[least.number]
        self._others.add(least.number)
        self.others_seconds += least.total


def thumbnail(picture: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The face with its surroundings, (96, 96, 3) uint8 RGB; the border is repeated."""
    reach = 0.65 * max(box.width, box.height)
    (x, y), side = box.center, max(2, round(2 * reach))
    left, top = round(x - reach), round(y - reach)
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    square = picture[rows[:, None], columns]
    return np.asarray(cv2.resize(square, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)
