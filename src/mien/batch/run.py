"""`run_batch`: a whole collection to a folder of Parquet parts, from wherever an earlier run was stopped."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien._core.machine import cores
from mien.batch.local import run_here, run_in_processes
from mien.batch.output import BatchSettings, Done, Output, check_installed
from mien.batch.sources import Entry, list_entries
from mien.batch.worker import Outcome, Task, in_tasks
from mien.errors import MienError, SettingsError
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
_LISTED = 4096

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class BatchOutcome:
    """What a run came to.

    Attributes:
        pictures, faces, errors: of this run; errors are pictures that could not be read.
        before: pictures that were done before.
        rows: in the folder now.
    """

    pictures: int
    faces: int
    errors: int
    before: int
    rows: int


def run_batch(
    sources: Iterable[str],
    output: Path,
    *,
    model: str = DEFAULT_MODEL,
    head: str = DEFAULT_HEAD,
    detector: str = DEFAULT_DETECTOR,
    detector_size: int = DETECTOR_SIZE,
    min_size: int = MIN_SIZE,
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
    """Recognize every picture of the sources that has no row in the folder yet.

    Memory does not grow with the collection, except 8 bytes per picture: each worker holds one encoded and up to five
    decoded pictures, and the crops and rows of one part.

    Args:
        sources: as `list_entries` takes them.
        output: the folder where the parts go; a run of the same settings may have begun it.
        model: with the next six as `EmotionRecognizer` takes them; models and detectors by their names.
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
        ModelError, DetectorError: there is no such model, head or detector.
        SettingsError: the folder was begun with other settings, or another run writes there.
        SourceError: a source is missing, or vanished; what was done is kept.
        OSError: a part cannot be written, as on a full disk; what was done is kept.
    """
    check_installed()
    _check(engine, partition, part_size, workers, decode_side)
    settings, same_files = _settings(
        model, head, detector, min_size=min_size, partition=partition, min_quality=min_quality,
        min_confidence=min_confidence, detector_size=detector_size, decode_side=decode_side,
    )  # fmt: skip
    parts_folder = Output(output, settings, same_files)
    sources = list(sources)
    with parts_folder.locked():
        parts = parts_folder.parts()
        done = Done.of(parts)
        total = _Total(sources)
        tasks = _tasks(list_entries(sources), done, parts_folder, parts, part_size)
        outcomes = _start(engine, tasks, settings, workers or cores(), address)
        return _follow(outcomes, parts_folder, len(done), total, progress)


def _follow(
    outcomes: Generator[Outcome, None, None], output: Output, before: int, total: _Total, progress: Progress
) -> BatchOutcome:
    """Let the run happen; whatever ends it, the folder says what it holds."""
    pictures = faces = errors = 0
    complete = False
    try:
        with closing(outcomes):
            for outcome in outcomes:
                pictures += outcome.pictures
                faces += outcome.faces
                errors += outcome.errors
                progress("reading faces", before + pictures, total.known)
        complete = True
    finally:
        total.stop()
        manifest = output.write_manifest(complete=complete)
    return BatchOutcome(pictures, faces, errors, before, manifest["rows"])


def _tasks(
    entries: Iterator[Entry], done: Done, output: Output, parts: Sequence[Path], part_size: int
) -> Iterator[Task]:
    """The entries that are not done, as tasks with numbers that no part has yet."""
    numbers = itertools.count(_next_number(parts))
    partitioned = output.settings.partition == "folder"
    for held in in_tasks(_missing(entries, done), part_size, partitioned=partitioned):
        yield Task(tuple(held), output.part_path(next(numbers), held[0].folder), output.records)


def _missing(entries: Iterator[Entry], done: Done) -> Iterator[Entry]:
    while listed := list(itertools.islice(entries, _LISTED)):
        fresh = done.add_new([entry.name for entry in listed])
        yield from itertools.compress(listed, fresh)


def _next_number(parts: Sequence[Path]) -> int:
    return max((int(path.stem.split("-")[1]) for path in parts), default=-1) + 1


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
    FaceDetector(detector, size=others["detector_size"], min_size=others["min_size"], threads=1)
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


class _Total:
    """How many pictures there are, counted in a thread beside the run: a listing of millions takes a while."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.known: int | None = None
        self._stopped = False
        threading.Thread(target=self._count, args=(sources,), daemon=True).start()

    def stop(self) -> None:
        """There will be no more requests."""
        self._stopped = True

    def _count(self, sources: Sequence[str]) -> None:
        count = 0
        try:
            for _ in list_entries(sources):
                count += 1
                if self._stopped:
                    return
        except MienError:  # the run itself meets it, and says so
            return
        self.known = count
