"""`run_batch`: a whole collection to a folder of Parquet parts, from wherever an earlier run was stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien._core.machine import cores
from mien.batch.folder_output import FolderOutput
from mien.batch.local import run_here, run_in_processes
from mien.batch.output import Output, check_installed
from mien.batch.plan import Plan
from mien.batch.settings import BatchSettings
from mien.batch.shards import Shard
from mien.batch.storage.stores import folder_of, is_url
from mien.batch.store_output import StoreOutput
from mien.batch.worker import Outcome, Task, in_tasks
from mien.errors import SettingsError, StoreError
from mien.faces.quality import check_min_quality
from mien.models.classifier import check_min_confidence
from mien.models.registry import (
    DEFAULT_DETECTOR,
    DEFAULT_HEAD,
    DEFAULT_MODEL,
    DETECTOR_SIZE,
    MIN_SIZE,
    ModelConfig,
    resolve_model,
)

PART = 500  # pictures a part
ENGINES = ("local", "ray")
PARTITIONS = ("none", "folder")

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class BatchOutcome:
    """What a run came to.

    Attributes:
        pictures, faces, errors: of this run; errors are pictures that could not be read.
        before: pictures that were done before.
        rows: in the folder now.
        nodes: pictures of this run by node of a cluster; empty on one machine.
        seconds: that the run took, from its first task to its last part.
    """

    pictures: int
    faces: int
    errors: int
    before: int
    rows: int
    nodes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def run_batch(
    sources: Iterable[str],
    output: str | Path,
    *,
    model: str = DEFAULT_MODEL,
    head: str = DEFAULT_HEAD,
    detector: str = DEFAULT_DETECTOR,
    detector_size: int = DETECTOR_SIZE,
    min_size: int = MIN_SIZE,
    turns: bool = False,
    min_quality: float = 0.0,
    min_confidence: float | None = None,
    decode_side: int | None = None,
    partition: str = "none",
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    part_size: int = PART,
    progress: Progress = lambda *_: None,
) -> BatchOutcome:
    """Recognize every picture of the sources that has no row in the output yet.

    Memory does not grow with the collection, except 8 bytes per picture of lists and of sources within one another:
    each worker holds one encoded and up to five decoded pictures, and the crops and rows of one part.

    Args:
        sources: as `list_entries` takes them.
        output: the folder or URL where the parts go; a run of the same settings may have begun it.
        model: with the next seven as `EmotionRecognizer` takes them; models and detectors by their names.
        decode_side: JPEGs are decoded at the least of 1/8, 1/4 and 1/2 that leaves the long side so many pixels, and
            boxes are in pixels of the whole picture all the same; 0 for whole ones, None for what the search needs.
        partition: "folder" writes a folder a first folder of the source, "none" one folder in all.
        engine: "local", or "ray".
        workers: processes; None for one a core.
        address: of a Ray cluster; None for one on this machine.
        part_size: pictures a part, 1 or more.
        progress: called with (what, done, total); total is None until everything has been listed.

    Raises:
        MissingExtraError: fsspec or pyarrow is not installed.
        ValueError: a `min_quality`, `min_confidence`, `min_size` or `detector_size` out of range.
        ModelError, DetectorError: there is no such model, head or detector, or none for `turns`.
        SettingsError: the output was begun with other settings, or another run writes there.
        SourceError: a source is missing, or vanished; what was done is kept.
        StoreError: an object store refuses or does not answer, or another run took over; what was done is kept.
        OSError: a part cannot be written, as on a full disk; what was done is kept.
    """
    check_installed()
    _check(engine, partition, part_size, workers, decode_side)
    settings, same_files = _settings(
        model, head, detector, min_size=min_size, partition=partition, min_quality=min_quality,
        min_confidence=min_confidence, detector_size=detector_size, decode_side=decode_side, turns=turns,
    )  # fmt: skip
    place = _open(output, settings, same_files)
    with place.locked():
        work = _Work(place, list(sources), part_size)
        outcomes = _start(engine, work.tasks(), settings, workers or cores(), address)
        return _follow(outcomes, work, progress)


def _open(output: str | Path, settings: BatchSettings, same_files: frozenset[str]) -> Output:
    if is_url(output):
        return StoreOutput(str(output), settings, same_files)
    return FolderOutput(folder_of(output), settings, same_files)


def _follow(outcomes: Generator[Outcome, None, None], work: _Work, progress: Progress) -> BatchOutcome:
    """Let the run happen; whatever ends it, the records say what the output holds."""
    pictures = faces = errors = 0
    nodes: Counter[str] = Counter()
    complete, failed, begun = False, False, time.monotonic()
    try:
        with closing(outcomes):
            for outcome in outcomes:
                pictures += outcome.pictures
                faces += outcome.faces
                errors += outcome.errors
                if outcome.node:
                    nodes[outcome.node] += outcome.pictures
                work.done(outcome)
                progress("reading faces", work.before + pictures, work.total)
        complete = True
    except StoreError:
        failed = True
        raise
    finally:
        seconds = time.monotonic() - begun
        rows = work.end(complete=complete, failed=failed)
    return BatchOutcome(pictures, faces, errors, work.before, rows, nodes, seconds)


class _Work:
    """What there is to do for an output, and what of it was done.

    Attributes:
        before: pictures that were done before, as far as that is known.
    """

    def __init__(self, output: Output, sources: list[str], part_size: int) -> None:
        self._output = output
        self._plan = plan = Plan(
            output.records, output.token, sources, first=output.first_shard, part_size=part_size,
            partitioned=output.settings.partition == "folder", foreign=output.foreign,
        )  # fmt: skip
        output.reconcile(plan.state)
        self._open: dict[int, _Open] = {}
        done = plan.state.pictures
        self._others = sum(count for source, count in done.items() if source not in plan.sources)
        self._found = sum(done.values())

    @property
    def before(self) -> int:
        return self._found + self._plan.foreign_count

    @property
    def total(self) -> int | None:
        """Pictures of the sources, with what the output has beside them; None until everything has been listed."""
        listed = self._plan.total
        return None if listed is None else listed + self._others + self._plan.foreign_count

    def tasks(self) -> Iterator[Task]:
        """The parts that are not there."""
        publisher = self._output.publisher
        for shard, entries in self._plan.shards():
            parts = list(in_tasks(iter(entries), shard.part_size, partitioned=shard.partitioned))
            named = [
                self._output.part_name(shard.number, place, part[0].folder)
                for place, part in enumerate(parts)
            ]
            there = self._output.present(shard, named) if shard.number in self._plan.old else {}
            self._found += sum(len(part) for name, part in zip(named, parts, strict=True) if name in there)
            self._begin(shard, len(parts) - len(there), sum(there.values()))
            for name, part in zip(named, parts, strict=True):
                if name not in there:
                    yield Task(tuple(part), name, shard.number, publisher)

    def _begin(self, shard: Shard, left: int, rows: int) -> None:
        self._open[shard.number] = _Open(shard, left, rows)
        if not left:
            self._close(shard.number)

    def done(self, outcome: Outcome) -> None:
        """A part is there."""
        one = self._open[outcome.shard]
        one.left -= 1
        one.rows += outcome.rows
        if not one.left:
            self._close(outcome.shard)

    def _close(self, number: int) -> None:
        one = self._open.pop(number)
        self._plan.finish(one.shard, one.rows)

    def end(self, *, complete: bool, failed: bool) -> int:
        """Stop listing, write down what is done, and return how many rows there are; not to a store that failed."""
        self._plan.stop()
        if failed and isinstance(self._output, StoreOutput):
            return 0
        self._plan.save()
        partly = sum(one.rows for one in self._open.values())
        rows: int = self._output.write_manifest(self._plan.state, partly=partly, complete=complete)["rows"]
        return rows


@dataclass
class _Open:
    """A shard that is worked on: how many of its parts are missing, and the rows of the others."""

    shard: Shard
    left: int
    rows: int


def _start(
    engine: str, tasks: Iterator[Task], settings: BatchSettings, workers: int, address: str | None
) -> Generator[Outcome, None, None]:
    if engine == "ray":
        from mien.batch.ray import run_on_ray

        return run_on_ray(tasks, settings, workers, address)
    return run_here(tasks, settings) if workers == 1 else run_in_processes(tasks, settings, workers)


def _settings(model: str, head: str, detector: str, **others: Any) -> tuple[BatchSettings, frozenset[str]]:
    """With the digests and thresholds of the networks; and the digests of earlier files of the same networks."""
    from mien.faces.detector import FaceDetector, detector_model

    check_min_quality(others["min_quality"])
    check_min_confidence(others["min_confidence"])
    # One that cannot be loaded is an error here, and not in every process that reads pictures.
    FaceDetector(
        detector, size=others["detector_size"], min_size=others["min_size"], turns=others["turns"], threads=1
    )
    config, own = ModelConfig.load(resolve_model(model)), detector_model(detector)
    settings = BatchSettings(
        model,
        config.sha256,
        detector,
        head=config.output(head),
        uncertain_below=config.uncertain_below
        if others["min_confidence"] is None
        else others["min_confidence"],
        detector_sha256="" if own is None else own.sha256,
        detector_min_score=None if own is None else own.min_score,
        detector_margin=None if own is None else own.margin,
        **others,
    )
    return settings, frozenset((*config.same_as, *(() if own is None else own.same_as)))


def _check(engine: str, partition: str, part_size: int, workers: int | None, decode_side: int | None) -> None:
    if engine not in ENGINES:
        raise SettingsError(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if partition not in PARTITIONS:
        raise SettingsError(f"partition {partition!r}: expected one of {', '.join(PARTITIONS)}")
    if part_size < 1 or (workers is not None and workers < 1):
        raise SettingsError(f"part size {part_size}, workers {workers}: expected 1 or more")
    if decode_side is not None and decode_side < 0:
        raise SettingsError(f"decode side {decode_side}: expected pixels, or 0 to decode whole pictures")
