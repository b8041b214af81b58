"""How far a run is, beside its log of shards: how much of each source is listed, and which shards are done."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mien.batch.shards import Shard
from mien.batch.sources import Place
from mien.batch.storage.stores import Store


class Numbers:
    """Whole numbers as ranges: what was done in order takes no more room for being more."""

    def __init__(self, ranges: Iterable[Sequence[int]] = ()) -> None:
        self.ranges = [[first, last] for first, last in ranges]

    def __contains__(self, number: int) -> bool:
        place = bisect(self.ranges, number, key=lambda one: one[0]) - 1
        return place >= 0 and number <= self.ranges[place][1]

    def add(self, number: int) -> None:
        """Take a number in."""
        if number in self:
            return
        place = bisect(self.ranges, number, key=lambda one: one[0])
        self.ranges.insert(place, [number, number])
        for left in (place, place - 1):  # joined with what follows, then with what is before
            if 0 <= left < len(self.ranges) - 1 and self.ranges[left][1] + 1 == self.ranges[left + 1][0]:
                self.ranges[left][1] = self.ranges.pop(left + 1)[1]


@dataclass
class Range:
    """How far the listing of a span of a source is.

    Attributes:
        start, stop: of the span.
        after: place of the last entry in the log, of this round.
        finished: there is no more in this round.
        round: how often it was begun, from 1.
        entries: in the log, of all rounds.
    """

    start: str = ""
    stop: str | None = None
    after: Place | None = None
    finished: bool = False
    round: int = 1
    entries: int = 0


@dataclass
class State:
    """What is kept of a run beside the log: it can be told from the log and the parts, and saves that.

    Attributes:
        first: number of the first shard; parts of smaller numbers are of an earlier version.
        next: number of the next shard.
        sources: how far each source is listed.
        done: shards whose parts are all there.
        pictures: of those, by source.
        rows: of those.
    """

    first: int = 0
    next: int = 0
    sources: dict[str, list[Range]] = field(default_factory=dict)
    done: Numbers = field(default_factory=Numbers)
    pictures: dict[str, int] = field(default_factory=dict)
    rows: int = 0

    @classmethod
    def load(cls, store: Store, token: int) -> State | None:
        """The latest that was saved, by this owner or one before; None if none was."""
        for number in range(token, -1, -1):
            data = store.read(_name(number))
            if data is not None:
                values = json.loads(data)
                values["sources"] = {
                    source: [Range(**one | {"after": _place(one["after"])}) for one in ranges]
                    for source, ranges in values["sources"].items()
                }
                return cls(**values | {"done": Numbers(values["done"])})
        return None

    def save(self, store: Store, token: int) -> None:
        """Keep it, as an owner's own: one that was fenced cannot overwrite another's."""
        store.write(_name(token), json.dumps(asdict(self) | {"done": self.done.ranges}).encode())

    def take(self, shard: Shard) -> None:
        """Note a shard that the log has."""
        ranges = self.sources.setdefault(shard.source, [])
        found = [one for one in ranges if (one.start, one.stop) == (shard.start, shard.stop)]
        if not found:
            found = [Range(shard.start, shard.stop)]
            ranges += found
        found[0].after, found[0].round = shard.last, shard.round
        found[0].entries += shard.entries
        self.next = shard.number + 1

    def finish(self, shard: Shard, rows: int) -> None:
        """Note that all parts of a shard are there."""
        if shard.number not in self.done:
            self.done.add(shard.number)
            self.pictures[shard.source] = self.pictures.get(shard.source, 0) + shard.entries
            self.rows += rows


def _place(value: Any) -> Place | None:
    return None if value is None else (value[0], tuple(value[1]))


def _name(token: int) -> str:
    return f"state-{token:08d}.json"
