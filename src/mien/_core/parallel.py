"""Work in threads that comes back in order, with a bounded look-ahead."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 5.0
"""Seconds that the end of a source is waited for."""

THREADS = min(16, os.cpu_count() or 1)
"""How many threads work: more would wait for each other at Python's lock."""


def map_chunks(
    work: Callable[[Item], Result],
    chunks: Iterable[Sequence[Item]],
    *,
    threads: int = THREADS,
    ahead: int = 2,
) -> Generator[list[Result], None, None]:
    """The results of every chunk's items, in order; `threads` work on at most `ahead` chunks each ahead.

    Chunks are taken from the iterable in the caller's thread, when there is room for them. Only work that frees
    Python's lock (files, OpenCV, Pillow) becomes faster. Once the caller stops, by an exception, an interruption or
    `close`, each thread ends after the item that it is at.

    Raises:
        Exception: what `work` raised, that of the first item in order.
    """
    stopped, workers = threading.Event(), set[int]()

    def run(chunk: Sequence[Item]) -> list[Result]:
        workers.add(threading.get_ident())
        return [work(item) for item in chunk if not stopped.is_set()]

    pool = ThreadPoolExecutor(threads)
    begun: deque[Future[list[Result]]] = deque()
    try:
        for chunk in chunks:
            begun.append(pool.submit(run, chunk))
            if len(begun) > ahead * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        stopped.set()
        # A generator that nobody holds any more may be freed in any thread, also in one that cannot wait for itself.
        pool.shutdown(wait=threading.get_ident() not in workers, cancel_futures=True)


def run_ahead(
    items: Generator[Item, None, None], depth: int, *, drop: bool = False
) -> Generator[Item, None, None]:
    """The items of a generator, made by a thread that is at most `depth` of them ahead.

    With `drop` the thread does not wait for the caller: the oldest that wait make room for new ones.

    Once the caller stops, by an exception, an interruption or `close`, the thread ends after the item that it is at,
    and closes `items`. It is waited for `PATIENCE` seconds only: a camera that hangs may never give one.

    Raises:
        Exception: what `items` raised, after the items before it.
    """
    ready: Queue[tuple[list[Item], BaseException | None]] = Queue(depth)
    stopped = threading.Event()

    def run() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                if not _put(ready, ([item], None), stopped, drop):
                    break
            items.close()
        except BaseException as error:  # passed on, whatever it is
            end = error
        _put(ready, ([], end), stopped, drop=False)  # no item makes room for the end

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            some, error = ready.get()
            if error is not None:
                raise error
            if not some:
                return
            yield some[0]
    finally:
        stopped.set()
        if thread is not threading.current_thread():  # as above
            thread.join(PATIENCE)


def _put(queue: Queue[Item], item: Item, stopped: threading.Event, drop: bool) -> bool:
    """Wait for room for an item; False once the consumer has stopped."""
    while not stopped.is_set():
        try:
            queue.put(item, block=not drop, timeout=0.1)
        except Full:
            if drop:
                with suppress(Empty):
                    queue.get_nowait()
            continue
        return True
    return False
