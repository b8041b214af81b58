"""One budget of bytes for what all requests hold at a time: their bodies, and their pictures once decoded."""

from __future__ import annotations

import ctypes
import platform
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from mien.server.problems import Problem
from mien.server.settings import COPIES
from mien.server.worker_pool import RETRY_AFTER

KEPT = 128 << 20
"""Bytes of freed memory that all threads together may keep."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_SMALLEST_BLOCK, _LARGEST_BLOCK = 1 << 20, 32 << 20  # bytes; glibc takes no more


class Bodies:
    """The bytes of the bodies that are held; for the event loop's thread only.

    Args:
        limit: of all together, in bytes; each byte that came counts `COPIES` times.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    @contextmanager
    def body(self) -> Iterator[Body]:
        """A body, empty at first, whose bytes are held inside the block."""
        body = Body(self)
        try:
            yield body
        finally:
            self.held -= body.held

    def hold(self, size: int) -> None:
        """Count more bytes.

        Raises:
            Problem: 503, there is no room for them.
        """
        if self.held + size > self._limit:
            raise Problem(503, "the bodies of other requests fill the server's memory", headers=RETRY_AFTER)
        self.held += size


class Body:
    """What one body holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.held = 0

    def grow(self, came: int) -> None:
        """Count bytes that came.

        Raises:
            Problem: 503, there is no room for them.
        """
        self._bodies.hold(COPIES * came)
        self.held += COPIES * came


class Budget:
    """Bytes for pictures that are decoded in threads. Who comes first is served first, so that none starves.

    Args:
        limit: bytes in all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def hold(self, size: int, until: float) -> Iterator[None]:
        """Wait for the bytes, and have them inside the block.

        Args:
            size: bytes, at most `limit`.
            until: by `time.monotonic`, how long to wait.

        Raises:
            TimeoutError: they did not become free in time.
            ValueError: more than there are in all.
        """
        if size > self.limit:
            raise ValueError(f"{size:,} bytes; expected at most {self.limit:,}")
        self._wait(size, until)
        try:
            yield
        finally:
            with self._changed:
                self.held -= size
                self._changed.notify_all()

    def _wait(self, size: int, until: float) -> None:
        turn = object()
        with self._changed:
            self._queue.append(turn)
            try:
                free = self._changed.wait_for(
                    lambda: self._queue[0] is turn and self.held + size <= self.limit,
                    max(0.0, until - time.monotonic()),
                )
                if not free:
                    raise TimeoutError("no memory became free in time")
                self.held += size
            finally:
                self._queue.remove(turn)
                self._changed.notify_all()


def bound_what_is_kept(threads: int) -> None:
    """Have the threads that read pictures keep at most `KEPT` of the memory they freed; glibc only, whole process.

    Left to itself, glibc keeps some ten MB for each thread: with 64 threads more than the pictures themselves. Without
    any, every picture's memory is new, and the system fills it with zeros first: a quarter of the server's time.
    """
    if platform.libc_ver()[0] == "glibc":
        block = min(_LARGEST_BLOCK, max(_SMALLEST_BLOCK, KEPT // (2 * threads)))
        malloc = ctypes.CDLL(None)
        malloc.mallopt(_M_MMAP_THRESHOLD, block)  # larger ones are returned one by one
        malloc.mallopt(_M_TRIM_THRESHOLD, 2 * block)  # so much is kept of the others
