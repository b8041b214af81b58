"""A cluster of Ray on this machine, whose workers and nodes are killed, and what a run on it left in the store."""

from __future__ import annotations

import io
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq


class Nodes:
    """Several nodes of one CPU each, besides a head that works at nothing.

    Args:
        number: of nodes that work.

    Attributes:
        address: what `--address` takes.
    """

    def __init__(self, number: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self.address = str(self._cluster.address)
        self._working = [self._add() for _ in range(number)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()

    def kill_a_worker(self, chance: random.Random) -> str:
        """Kill one of the processes that hold a model, and say which; "" if there is none."""
        workers = sorted(ray_workers())
        if not workers:
            return ""
        _kill(victim := chance.choice(workers))
        return f"worker {victim}"

    def kill_a_node(self, chance: random.Random) -> str:
        """Kill a node with all that runs on it, put another one in its place, and say which."""
        node = self._working.pop(chance.randrange(len(self._working)))
        (raylet,) = (info.process.pid for info in node.all_processes["raylet"])
        for process in (*_children(raylet), raylet):
            _kill(process)
        self._cluster.remove_node(node, allow_graceful=False)
        self._working.append(self._add())
        return f"node {raylet}"

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, include_dashboard=False)


def ray_workers() -> list[int]:
    """Ray's processes on this machine that hold a model."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(process.name))
    return found


def _children(parent: int) -> list[int]:
    """The processes that a process began, and those that these did."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found += [*_children(int(process.name)), int(process.name)]
    return found


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def rows_of(place: str) -> Counter[str]:
    """Of an output in the store, `bucket/prefix`: in how many parts each picture has rows."""
    from moto.s3.models import s3_backends

    bucket, _, prefix = place.partition("/")
    keys = s3_backends["123456789012"]["aws"].buckets[bucket].keys
    counts: Counter[str] = Counter()
    for name in list(keys):
        if name.startswith(f"{prefix}/") and name.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(keys[name].value), columns=["source"])
            counts.update(set(table["source"].to_pylist()))
    return counts
