"""Bounded work: limits on threads, waiting requests and time per request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from mien.server.problems import Problem

Result = TypeVar("Result")

RETRY_AFTER = {"Retry-After": "1"}


class Work:
    """A pool of threads with a bounded number of places; used from the event loop's thread only.

    Args:
        workers: threads.
        queue: how many may wait besides those that are worked on.
        seconds: the longest that one may wait and be worked on.
    """

    def __init__(self, workers: int, queue: int, seconds: float) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="mien-reader")
        self._places = workers + queue
        self._seconds = seconds
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether the next one would be refused."""
        return self.taken >= self._places

    def check(self) -> None:
        """Whether there is a place.

        Raises:
            Problem: 503, all places are taken.
        """
        if self.full:
            raise Problem(503, f"{self._places} requests are worked on or wait already", headers=RETRY_AFTER)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            Problem: 503, all places are taken.
        """
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(self, function: Callable[[], Result]) -> Result:
        """What `function` returns, run in a thread of the pool; to be called while holding a place.

        Raises:
            Problem: 503, it took too long. A thread cannot be stopped: it holds a place until it is done.
        """
        future = self._pool.submit(function)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Problem(
                503,
                f"not done within {self._seconds:g} seconds; send fewer or smaller pictures",
                headers=RETRY_AFTER,
            ) from None
        finally:
            if not future.done():  # too slow, or the client has gone
                self.taken += 1
                loop = asyncio.get_running_loop()
                future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._give_back))

    def _give_back(self) -> None:
        self.taken -= 1

    def close(self) -> None:
        """Finish what runs; what waits has been waited for by its requests."""
        self._pool.shutdown(cancel_futures=True)
