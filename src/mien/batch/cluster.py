"""The same tasks on Ray: Ray Data places, feeds and revives the workers; a part's name makes a repeat harmless."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

from mien.batch.parts import BatchSettings
from mien.batch.work import Outcome, Task, Worker
from mien.errors import MissingExtraError

_WAVE = 4096  # tasks that Ray is given at a time: a listing of any length is not held in memory

_WITHOUT_RAY = "where Ray has no wheel for this Python or system, --engine local does the same on one machine"


class _Actor:
    """A worker that Ray Data keeps in a process of its own."""

    def __init__(self, settings: BatchSettings) -> None:
        self._worker = Worker(settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes = [self._worker.run(task) for task in batch["task"]]
        return {
            "pictures": [outcome.pictures for outcome in outcomes],
            "faces": [outcome.faces for outcome in outcomes],
            "errors": [outcome.errors for outcome in outcomes],
        }


def run_on_ray(
    tasks: Iterable[Task], settings: BatchSettings, workers: int, address: str | None
) -> Generator[Outcome, None, None]:
    """The outcomes of tasks, as they are done.

    Sources and output must be reachable from every machine of the cluster: URLs, or a folder that all of them mount.

    Args:
        tasks: taken some thousands at a time.
        settings: of the run.
        workers: at most; Ray starts fewer where it has fewer cores.
        address: of a running cluster; None starts one on this machine, for as long as the run takes.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
    except ImportError:
        raise MissingExtraError("--engine ray", "batch", _WITHOUT_RAY) from None
    begun = not ray.is_initialized()
    if begun:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    DataContext.get_current().enable_progress_bars = False
    try:
        queue = iter(tasks)
        while wave := list(islice(queue, _WAVE)):
            data = ray.data.from_items([{"task": task} for task in wave]).map_batches(
                _Actor,
                fn_constructor_args=(settings,),
                batch_size=1,
                compute=ActorPoolStrategy(min_size=1, max_size=workers),
                num_cpus=1,
            )
            for row in data.iter_rows():
                yield Outcome(int(row["pictures"]), int(row["faces"]), int(row["errors"]))
    finally:
        if begun:
            ray.shutdown()
