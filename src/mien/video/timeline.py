"""One person's expressions over time, in memory that does not grow with the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

FIRST_WIDTH = 1 / 120
"""Seconds of a timeline's first bins: shorter than a frame, so each frame of a short clip has its own."""


@dataclass
class _Bin:
    time: float = 0.0
    count: int = 0
    sums: list[float] = field(default_factory=list)

    def add(self, time: float, count: int, sums: Sequence[float]) -> None:
        self.time = time if not self.count else self.time
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.count else list(sums)
        self.count += count


class Timeline:
    """Means of values over time in at most `limit` bins of one width, which doubles when they become too many.

    Args:
        limit: bins, at least 2.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._width = FIRST_WIDTH
        self._bins: dict[int, _Bin] = {}

    def add(self, time: float, values: Sequence[float]) -> None:
        """Values at `time`, in seconds from 0; times do not go back."""
        self._bins.setdefault(int(time / self._width), _Bin()).add(time, 1, values)
        while len(self._bins) > self._limit:
            wider: dict[int, _Bin] = {}
            for place, one in self._bins.items():
                wider.setdefault(place // 2, _Bin()).add(one.time, one.count, one.sums)
            self._bins, self._width = wider, 2 * self._width

    def points(self) -> list[tuple[float, list[float]]]:
        """`(time, means)` of every bin, in order: the time of its first values."""
        return [(one.time, [s / one.count for s in one.sums]) for one in self._bins.values()]
