"""The same tasks on Ray: Ray Data places, feeds and revives the workers; a part's name makes a repeat harmless."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mien.batch.settings import BatchSettings
from mien.batch.worker import Outcome, Task, Worker
from mien.errors import MienError, MissingExtraError
from mien.faces.onnx_detector import CONFIG_FILE as DETECTOR_CONFIG
from mien.faces.onnx_detector import MODEL_FILE as DETECTOR_FILE
from mien.faces.onnx_detector import detector_folder
from mien.models.registry import CONFIG_FILE, MODEL_FILE, is_shipped, resolve_model

_WAVE = 4096  # tasks that Ray is given at a time: a listing of any length is not held in memory

_WITHOUT_RAY = "where Ray has no wheel for this Python or system, --engine local does the same on one machine"


Networks = Mapping[str, Mapping[str, bytes]]
"""Setting, "model" or "detector" -> name of a file -> its bytes; empty for what every installation has."""


class _Actor:
    """A worker that Ray Data keeps in its own process.

    Args:
        settings: of the run.
        networks: a reference to its `Networks`, of which Ray keeps one copy a node.
    """

    def __init__(self, settings: BatchSettings, networks: Any) -> None:
        import ray

        with unpacked(ray.get(networks), settings) as own:
            self._worker = Worker(own)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The outcome of the only task of a batch, or the error that ends the run, as bytes."""
        (task,) = batch["task"]
        node = ray_node()
        try:
            # What is raised here comes out of Ray as an error of Ray, without its cause.
            done: Any = replace(self._worker.run(pickle.loads(task)), node=node)  # noqa: S301 written below
        except (MienError, OSError) as error:
            done = error
        return {"outcome": [pickle.dumps(done)]}


def read_networks(settings: BatchSettings) -> Networks:
    """The files of what is no model or detector of the package.

    Raises:
        ModelError: there is no such model.
        OSError: a file cannot be read.
    """
    found: dict[str, dict[str, bytes]] = {}
    model, detector = resolve_model(settings.model), Path(settings.detector)
    if not is_shipped(model):
        found["model"] = {name: (model / name).read_bytes() for name in (CONFIG_FILE, MODEL_FILE)}
    if settings.detector.endswith(".onnx"):
        found["detector"] = {detector.name: detector.read_bytes()}
    elif settings.detector != "mien" and detector.is_dir():
        folder = detector_folder(detector)
        found["detector"] = {name: (folder / name).read_bytes() for name in (DETECTOR_CONFIG, DETECTOR_FILE)}
    return found


@contextmanager
def unpacked(networks: Networks, settings: BatchSettings) -> Iterator[BatchSettings]:
    """The settings with these networks as files of this machine, for as long as the block takes."""
    with TemporaryDirectory(prefix="mien-networks-") as place:
        for setting, files in networks.items():
            folder = Path(place) / setting
            folder.mkdir()
            for name, data in files.items():
                (folder / name).write_bytes(data)
            is_file = len(files) == 1
            path = str(folder / name if is_file else folder)
            settings = (
                replace(settings, model=path) if setting == "model" else replace(settings, detector=path)
            )
        yield settings


def ray_node() -> str:
    """The node that this process is on: its address, and the first digits of its number, as `ray list nodes` says."""
    import ray

    own: Any = ray
    return f"{own.util.get_node_ip_address()} {own.get_runtime_context().get_node_id()[:8]}"


def run_on_ray(
    tasks: Iterable[Task], settings: BatchSettings, workers: int, address: str | None
) -> Generator[Outcome, None, None]:
    """The outcomes of tasks, as they are done.

    Ray that is started here says nothing but errors; where a program has called `ray.init` itself, its settings stay.
    Sources and output must be reachable from every machine of the cluster: URLs, or a folder that all of them mount.
    A model or detector of the user's own is sent to each machine.

    Args:
        tasks: taken some thousands at a time.
        settings: of the run.
        workers: maximum; Ray starts fewer if it has fewer cores.
        address: of a running cluster; None starts one on this machine, for as long as the
            run takes, unless RAY_ADDRESS names one.

    Raises:
        MissingExtraError: Ray is not installed.
        SourceError, StoreError, OSError: as `Worker.run` raises them.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        from ray.data import ActorPoolStrategy
    except ImportError:
        raise MissingExtraError("--engine ray", "batch", _WITHOUT_RAY) from None
    with ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_few_words())
            with _no_stderr():
                _start(address or os.environ.get("RAY_ADDRESS"))
            stack.callback(ray.shutdown)
        networks = ray.put(read_networks(settings))
        queue = iter(tasks)
        while wave := list(islice(queue, _WAVE)):
            # As bytes: of what else Arrow has no kind for, Ray warns.
            data = ray.data.from_items([{"task": pickle.dumps(task)} for task in wave]).map_batches(
                _Actor,
                fn_constructor_args=(settings, networks),
                batch_size=1,
                compute=ActorPoolStrategy(min_size=1, max_size=workers),
                num_cpus=1,
            )
            for row in data.iter_rows():
                done = pickle.loads(row["outcome"])  # noqa: S301 written above
                if isinstance(done, Exception):
                    raise done
                yield done


@contextmanager
def _few_words() -> Iterator[None]:
    """Ray says errors alone: its plans, its progress and its advice stand in its own log files.

    RAY_BACKEND_LOG_LEVEL, where it is set, decides what the part of Ray says that is not Python. Of workers that died,
    and whose tasks are repeated, Ray tells on stdout whatever its settings are.
    """
    from ray._private import worker
    from ray.data import DataContext

    own: Any = worker
    tell = getattr(own, "print_to_stdstream", None)  # not a name that Ray promises
    context, name = DataContext.get_current(), "RAY_BACKEND_LOG_LEVEL"
    # Not those of files.
    consoles = [
        one for one in logging.getLogger("ray.data").handlers if isinstance(one, logging.StreamHandler)
    ]
    before = context.enable_progress_bars, os.environ.get(name), [one.level for one in consoles]
    context.enable_progress_bars = False
    if tell is not None:
        own.print_to_stdstream = lambda *_, **__: None
    os.environ.setdefault(name, "fatal")
    for one in consoles:
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if tell is not None:
            own.print_to_stdstream = tell
        context.enable_progress_bars, level, levels = before
        if level is None:
            del os.environ[name]
        for one, was in zip(consoles, levels, strict=True):
            one.setLevel(was)


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Ray's part that is not Python prints that its log level was set; why it fails is an exception."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 a device
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
