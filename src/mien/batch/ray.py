"""The same tasks on Ray: Ray Data places, feeds and revives the workers; a part's name makes a repeat harmless."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from mien.batch.output import BatchSettings
from mien.batch.worker import Outcome, Task, Worker
from mien.errors import MissingExtraError

_WAVE = 4096  # tasks that Ray is given at a time: a listing of any length is not held in memory

_WITHOUT_RAY = "where Ray has no wheel for this Python or system, --engine local does the same on one machine"


class _Actor:
    """A worker that Ray Data keeps in its own process."""

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
        workers: maximum; Ray starts fewer if it has fewer cores.
        address: of a running cluster; None starts one on this machine, for as long as the
            run takes, unless RAY_ADDRESS names one.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
    except ImportError:
        raise MissingExtraError("--engine ray", "batch", _WITHOUT_RAY) from None
    begun = not ray.is_initialized()
    if begun:
        _start(address or os.environ.get("RAY_ADDRESS"))
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


def _start(address: str | None) -> None:
    """Join a running cluster, or start one on this machine."""
    import ray

    if address is not None:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    with _silent():
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


@contextmanager
def _silent() -> Iterator[None]:
    """A new cluster stays on loopback and contacts no other host; Ray has no settings for that.

    Without a dashboard its server only reports usage; even when disabled, it still asks the cloud's metadata
    servers where it runs. And Ray looks for the address by which other machines would see this one, unless it takes
    itself to be on a system that cannot have such a cluster; its own processes read that from the environment.
    """
    from ray._private import ray_constants
    from ray._private.node import Node

    node: Any = Node
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    kept = node.start_api_server, ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(name)
    node.start_api_server = lambda self, **_: None
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[name] = "0"
    try:
        yield
    finally:
        node.start_api_server, ray_constants.ENABLE_RAY_CLUSTER, before = kept
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
