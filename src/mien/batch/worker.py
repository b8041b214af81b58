"""One task: read its pictures, recognise their faces, write one part."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from mien._core.parallel import run_ahead
from mien.batch.output import Publisher
from mien.batch.reading import read_entries
from mien.batch.settings import BatchSettings
from mien.batch.sources import Entry
from mien.errors import ImageError
from mien.images.jpeg_draft import Draft, read_draft
from mien.output.writers import open_writer
from mien.results import FrameResult

_AHEAD = 4  # pictures that are decoded while another one is searched for faces

Decoded = tuple[Entry, Draft | ImageError]


@dataclass(frozen=True)
class Task:
    """Pictures that become one part.

    Attributes:
        entries: of one partition, in order.
        part: the name of what their rows become.
        shard: the number of the shard that they are of.
        to: where the part goes.
    """

    entries: tuple[Entry, ...]
    part: str
    shard: int
    to: Publisher


@dataclass(frozen=True)
class Outcome:
    """What a task came to: its shard, and counts of rows, pictures, faces and of pictures with an error; and on which
    node of a cluster."""

    shard: int
    rows: int
    pictures: int
    faces: int
    errors: int
    node: str = ""


class Worker:
    """A recognizer that turns tasks into parts, with one thread for its arithmetic: there is a worker a core.

    Args:
        settings: model and detector.
    """

    def __init__(self, settings: BatchSettings) -> None:
        from mien._core.opencv import cv2
        from mien.faces.detector import FaceDetector
        from mien.models.classifier import EmotionClassifier
        from mien.recognition import EmotionRecognizer

        cv2.setNumThreads(1)
        self._settings = settings
        self._recognizer = EmotionRecognizer(
            EmotionClassifier(
                settings.model, head=settings.head, threads=1, min_confidence=settings.min_confidence
            ),
            detector=FaceDetector(
                settings.detector,
                min_size=settings.min_size,
                size=settings.detector_size,
                turns=settings.turns,
                threads=1,
            ),
            min_quality=settings.min_quality,
        )

    def run(self, task: Task) -> Outcome:
        """Write the part.

        Raises:
            SourceError: the source is not there any more.
            StoreError: an object store refuses or does not answer, or another run has taken the output over.
            OSError: the part cannot be written.
        """
        results = self._recognize(task.entries)
        write_part(task, results, self._recognizer.labels)
        faces = [len(result.faces) for result in results]
        errors = sum(result.error is not None for result in results)
        return Outcome(task.shard, sum(max(1, n) for n in faces), len(results), sum(faces), errors)

    def _recognize(self, entries: Sequence[Entry]) -> list[FrameResult]:
        """Every picture's result; pixels are let go as soon as its faces are cut out."""
        from mien.recognition import recognize_drafts

        side = self._settings.decode_side
        side = self._recognizer.detector.enough if side is None else side
        seen: list[tuple[Entry, ImageError | None]] = []

        def pictures() -> Iterator[Draft]:
            for entry, decoded in decode(entries, side):
                if isinstance(decoded, ImageError):
                    seen.append((entry, decoded))
                else:
                    seen.append((entry, None))
                    yield decoded

        found = iter(list(recognize_drafts(self._recognizer, pictures())))
        labels = self._recognizer.labels
        return [
            replace(next(found), source=entry.name)
            if error is None
            else FrameResult(entry.name, error=str(error), labels=labels)
            for entry, error in seen
        ]


def decode(entries: Sequence[Entry], side: int = 0) -> Iterator[Decoded]:
    """Every picture as `read_draft` reads it, or why it cannot be read, in order; a thread works ahead."""
    pictures = ((entry, _read(entry, data, side)) for entry, data in read_entries(entries))
    with closing(run_ahead(pictures, _AHEAD)) as decoded:
        yield from decoded


def _read(entry: Entry, data: bytes | ImageError, side: int) -> Draft | ImageError:
    if isinstance(data, ImageError):
        return data
    try:
        return read_draft(data, side)
    except ImageError as error:
        # It names the bytes; a row names the picture.
        return ImageError(f"{entry.name}: {str(error).partition(': ')[2] or error}")


def write_part(task: Task, results: Sequence[FrameResult], labels: Sequence[str]) -> None:
    """A task's results as one Parquet file, which is there whole or not at all."""
    out = io.BytesIO()
    with open_writer("parquet", out, labels) as writer:
        for result in results:
            writer.write(result)
    task.to.publish(task.part, out.getvalue())


def in_tasks(entries: Iterator[Entry], size: int, *, partitioned: bool) -> Iterator[list[Entry]]:
    """Entries in runs of `size`; fewer where the folder changes, if each folder is a partition."""
    held: list[Entry] = []
    for entry in entries:
        if held and (len(held) == size or (partitioned and entry.folder != held[0].folder)):
            yield held
            held = []
        held.append(entry)
    if held:
        yield held
