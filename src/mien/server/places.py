"""Places for clients that may be slow: bodies that are on their way, and open streams.

A client that dawdles keeps its place only as long as nobody needs it. When all are taken, a newcomer gets the place of
the one that has dawdled longest, among those of the address that holds most. Behind a proxy, where all come from one
address, that is still the slowest; and a client that is fast enough never loses its place.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Scope

from mien.server.problems import Problem
from mien.server.worker_pool import RETRY_AFTER


class LostPlace(Exception):
    """The client was too slow: for the server's patience, or for a newcomer that needed the place."""


class Place:
    """One client's place.

    Args:
        address: of the client.
        timer: ends the client's work when its time is over.
    """

    def __init__(self, address: str, timer: asyncio.Timeout) -> None:
        self.address = address
        self.slow_from = float("inf")  # a newcomer may have the place after that, by the monotonic clock
        self._timer = timer

    def extend(self, slow_from: float, ends: float) -> None:
        """Keep the place at least until `slow_from`, and at most until `ends`, both by `time.monotonic`."""
        self.slow_from = slow_from
        self._end_in(ends - time.monotonic())

    def keep(self) -> None:
        """Keep the place for as long as it takes."""
        self.slow_from = float("inf")
        if not self._timer.expired():
            self._timer.reschedule(None)

    def end(self) -> None:
        """Take the place away."""
        self._end_in(0)

    def _end_in(self, seconds: float) -> None:
        if not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time() + seconds)


def client_of(scope: Scope) -> str:
    """The address that a request or a WebSocket comes from."""
    return (scope.get("client") or ("",))[0]


class Places:
    """A number of places, for the event loop's thread only.

    Args:
        limit: how many clients may have one at a time.
        what: what these are, for the message when all are taken.
        patience: seconds that a newcomer waits for one to become free, as a page does that is loaded anew.
    """

    def __init__(self, limit: int, what: str, patience: float = 0.0) -> None:
        self._limit, self._what, self._patience = limit, what, patience
        self._taken: set[Place] = set()

    def __len__(self) -> int:
        return len(self._taken)

    @asynccontextmanager
    async def take(self, address: str) -> AsyncIterator[Place]:
        """A place, held inside the block.

        Raises:
            Problem: 503, all are taken, and nobody is slow.
            LostPlace: out of the block, the place was taken away.
        """
        await self._make_room()
        timer = asyncio.timeout(None)
        place = Place(address, timer)
        self._taken.add(place)
        try:
            async with timer:
                yield place
        except TimeoutError:
            if not timer.expired():
                raise
            raise LostPlace from None
        finally:
            self._taken.discard(place)

    async def _make_room(self) -> None:
        end = time.monotonic() + self._patience
        while len(self._taken) >= self._limit:
            slow = [place for place in self._taken if place.slow_from < time.monotonic()]
            if slow:
                held = Counter(place.address for place in self._taken)
                victim = min(slow, key=lambda place: (-held[place.address], place.slow_from))
                self._taken.discard(victim)
                victim.end()
            elif time.monotonic() > end:
                raise Problem(503, f"{self._limit} {self._what} already", headers=RETRY_AFTER)
            else:
                await asyncio.sleep(0.05)
