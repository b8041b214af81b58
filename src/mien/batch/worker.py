"""One task: read its pictures, recognise their faces, write one part."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien._core.parallel import run_ahead
from mien.batch.output import Publisher
from mien.batch.reading import read_entries
from mien.batch.settings import BatchSettings
from mien.batch.sources import Entry
from mien.errors import ImageError
from mien.images.jpeg_draft import SCALES, DraftScale, read_draft
from mien.output.writers import open_writer
from mien.results import FrameResult

_AHEAD = 4  # pictures that are decoded while another one is searched for faces

Decoded = tuple[Entry, tuple[NDArray[np.uint8], DraftScale] | ImageError]


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
    """What a task came to: its shard, and counts of rows, pictures, faces and of pictures with an error."""

    shard: int
    rows: int
    pictures: int
    faces: int
    errors: int


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
        # Of a picture that is decoded smaller, the faces that are too small are only known afterwards.
        min_size = settings.min_size // max(SCALES) if settings.decode_side else settings.min_size
        self._recognizer = EmotionRecognizer(
            EmotionClassifier(
                settings.model, head=settings.head, threads=1, min_confidence=settings.min_confidence
            ),
            detector=FaceDetector(
                settings.detector, min_size=max(1, min_size), size=settings.detector_size, threads=1
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
        seen: list[tuple[Entry, DraftScale | ImageError]] = []

        def pictures() -> Iterator[NDArray[np.uint8]]:
            for entry, decoded in decode(entries, self._settings.decode_side):
                if isinstance(decoded, ImageError):
                    seen.append((entry, decoded))
                else:
                    picture, reduction = decoded
                    seen.append((entry, reduction))
                    yield picture

        found = iter(list(self._recognizer.recognize_batch(pictures())))
        labels = self._recognizer.labels
        return [
            FrameResult(entry.name, error=str(how), labels=labels)
            if isinstance(how, ImageError)
            else self._finish(next(found), entry, how)
            for entry, how in seen
        ]

    def _finish(self, result: FrameResult, entry: Entry, how: DraftScale) -> FrameResult:
        """The result in pixels of the whole picture.

        Where a face has fewer pixels in the smaller one than the model takes, the whole is read once more: the smaller
        one would make it another face, blurred and "small".
        """
        least = self._recognizer.classifier.config.input_size
        if how.scale > 1 and any(min(face.box.width, face.box.height) < least for face in result.faces):
            ((_, whole),) = decode([entry])
            if not isinstance(whole, ImageError):
                result, how = self._recognizer.recognize(whole[0]), whole[1]
        return replace(
            result,
            source=entry.name,
            width=how.width,
            height=how.height,
            faces=how.large(result.faces, self._settings.min_size),
        )


def decode(entries: Sequence[Entry], side: int = 0) -> Iterator[Decoded]:
    """Every picture as `read_draft` reads it, or why it cannot be read, in order; a thread works ahead."""
    pictures = ((entry, _read(entry, data, side)) for entry, data in read_entries(entries))
    with closing(run_ahead(pictures, _AHEAD)) as decoded:
        yield from decoded


def _read(
    entry: Entry, data: bytes | ImageError, side: int
) -> tuple[NDArray[np.uint8], DraftScale] | ImageError:
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
