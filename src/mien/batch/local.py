"""Tasks on the cores of this machine: a process each, since Python's lock would let one core work at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from mien.batch.output import Publisher
from mien.batch.settings import BatchSettings
from mien.batch.sources import Entry
from mien.batch.worker import Outcome, Task, Worker
from mien.errors import BatchError

_AHEAD = 2  # tasks that wait, a worker: none stands idle, and a long listing is not held in memory
_worker: Worker | Exception | None = None


def run_here(tasks: Iterable[Task], settings: BatchSettings) -> Generator[Outcome, None, None]:
    """One task after the other in this process."""
    worker = Worker(settings)
    for task in tasks:
        yield worker.run(task)


def run_in_processes(
    tasks: Iterable[Task], settings: BatchSettings, workers: int
) -> Generator[Outcome, None, None]:
    """The outcomes of tasks, as they are done; tasks are taken when there is room for them.

    A process that dies takes nothing with it: its tasks are tried again, then each alone, where a picture that ends its
    process each time is found and becomes a row with an error.

    Raises:
        BatchError: the processes cannot start. No picture is to blame, and none counts as done.
        ModelError, DetectorError: they cannot load the model or the detector.
        SourceError, StoreError, OSError: as `Worker.run` raises them.
    """
    queue = iter(tasks)
    again: deque[Task] = deque()
    lost_before: set[str] = set()
    pool = _Pool(settings, workers)
    try:
        while True:
            while pool.has_room() and (task := again.popleft() if again else next(queue, None)) is not None:
                pool.submit(task)
            if pool.is_empty():
                return
            done, lost = pool.collect()
            yield from done
            for task in lost:
                if task.part in lost_before:
                    yield run_alone(task, settings)
                else:
                    lost_before.add(task.part)
                    again.append(task)
    finally:
        pool.stop()


def run_alone(task: Task, settings: BatchSettings) -> Outcome:
    """The outcome of a task that was lost before, in a process of its own; what ends that is a row with an error.

    Raises:
        What `run_in_processes` raises.
    """
    pool = _Pool(settings, 1)
    try:
        while (outcome := pool.run(task)) is None:
            first, last = 0, len(task.entries)
            while last - first > 1:  # the half that ends its process, or else the other one
                half = (first + last) // 2
                if pool.run(_trial(task, first, half)) is None:
                    last = half
                else:
                    first = half
            entry = task.entries[first]
            if pool.run(_trial(task, first, last)) is None:
                error = f"{entry.name}: the process that read it died each time; the picture may be made to do harm"
                blamed = Entry(entry.name, folder=entry.folder, error=error)
                task = replace(task, entries=(*task.entries[:first], blamed, *task.entries[last:]))
        return outcome
    finally:
        pool.stop()


def _trial(task: Task, first: int, last: int) -> Task:
    """Some of a task's pictures, to see what comes of them; nothing is written."""
    return replace(task, entries=task.entries[first:last], to=Publisher(_Nowhere()))


class _Nowhere:
    """A store that keeps nothing."""

    def read(self, name: str) -> bytes | None:
        return None

    def write(self, name: str, data: bytes) -> None:
        """Nothing is kept."""

    def create(self, name: str, data: bytes) -> bool:
        return True

    def names(self, prefix: str) -> Iterator[str]:
        return iter(())

    def delete(self, name: str) -> None:
        """Nothing is there."""


class _Pool:
    """Processes that each hold a worker; restarted when one of them has died."""

    def __init__(self, settings: BatchSettings, workers: int) -> None:
        self._settings, self._workers = settings, workers
        self._running: dict[Future[Outcome], Task] = {}
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: OpenCV's and onnxruntime's threads do not come through a fork.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, initializer=_begin, initargs=(self._settings,))

    def has_room(self) -> bool:
        return len(self._running) < self._workers * (1 + _AHEAD)

    def is_empty(self) -> bool:
        return not self._running

    def submit(self, task: Task) -> None:
        try:
            future = self._pool.submit(_run, task)
        except BrokenProcessPool as error:  # a process has died just now
            future = Future()
            future.set_exception(error)
        self._running[future] = task

    def collect(self) -> tuple[list[Outcome], list[Task]]:
        """Wait for one task at least; what is done, and what was lost with a process."""
        finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
        done, lost = [], []
        for future in finished:
            task = self._running.pop(future)
            try:
                done.append(future.result())
            except BrokenProcessPool:
                lost.append(task)
        if lost:  # the others of a broken pool are lost, too
            lost += list(self._running.values())
            self._running = {}
            self._pool.shutdown(wait=True)
            self._pool = self._start()
            self._check()
        return done, lost

    def run(self, task: Task) -> Outcome | None:
        """The outcome of the only task, None if the process died of it."""
        self.submit(task)
        done, _ = self.collect()
        return done[0] if done else None

    def _check(self) -> None:
        """Raise if a process cannot work at all, before a picture is blamed for it."""
        try:
            self._pool.submit(_ready).result()
        except BrokenProcessPool:
            raise BatchError(
                "the worker processes end as soon as they begin, perhaps for want of memory; try --workers 1, and in a "
                'script of your own call run_batch below: if __name__ == "__main__":'
            ) from None

    def stop(self) -> None:
        """End the processes at once: a part that is not finished does not count."""
        for process in list((self._pool._processes or {}).values()):
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(settings: BatchSettings) -> None:
    """What a worker's process does first."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _worker = Worker(settings)
    except Exception as error:  # raised by the first task: here, it would only break the pool
        _worker = error


def _end_with_parent() -> None:
    """A worker whose first process was killed must not finish a part that another run starts again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(task: Task) -> Outcome:
    return _loaded().run(task)


def _ready() -> None:
    _loaded()


def _loaded() -> Worker:
    """This process' worker, or what kept it from being loaded."""
    if isinstance(_worker, Worker):
        return _worker
    raise _worker or RuntimeError("a worker process was not started")
