"""Which frames of a clip are read: the one way to say a part of it, and how many."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mien._core.settings import check_limits

_ROUNDED = 5e-4  # seconds: containers round their time stamps


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip are read: all, every N-th, or a number per second; from `start` to before `end`.

    Args:
        every: 1 for every frame, 2 for every second one, counted from the first at or after `start`.
        fps: frames a second of the clip; a clip that has fewer gives each of its frames once.
        start, end: seconds; `end` None for the whole clip.

    Raises:
        ValueError: a value out of range, or both `every` and `fps`.
    """

    every: int | None = None
    fps: float | None = None
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.fps is not None:
            raise ValueError("every and fps: expected one of them")
        check_limits(self, {"every": (1, math.inf), "start": (0, math.inf)})
        check_limits(self, {"fps": (0, math.inf)}, inside=True)
        if self.end is not None and not self.end > self.start:
            raise ValueError(f"end={self.end}: expected seconds after start ({self.start})")

    def chooser(self) -> _Chooser:
        """A fresh one for one pass through a clip."""
        return _Chooser(self)


class _Chooser:
    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._seen = 0
        self._due = sampling.start

    def takes(self, time: float) -> bool:
        """Whether the frame at `time` is read; to be asked of every frame, in order."""
        wanted = self._sampling
        if time < wanted.start - _ROUNDED:
            return False
        if wanted.fps is None:
            self._seen += 1
            return (self._seen - 1) % (wanted.every or 1) == 0
        if time < self._due - _ROUNDED:
            return False
        steps = int((time + _ROUNDED - wanted.start) * wanted.fps) + 1
        self._due = wanted.start + steps / wanted.fps
        return True

    def is_over(self, time: float) -> bool:
        return self._sampling.end is not None and time >= self._sampling.end


EVERY_FRAME = Sampling()
