"""Encoded pictures in, results out: what a worker of the server does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue

from mien._core.text import count
from mien.errors import ImageError
from mien.faces.detector import FaceDetector
from mien.images.jpeg_draft import Draft, read_draft
from mien.images.memory import reading_bytes
from mien.images.read import ImageSource
from mien.recognition import EmotionRecognizer, recognize_draft
from mien.results import Face, FrameResult
from mien.server.batching import BatchingClassifier
from mien.server.memory import Budget
from mien.server.metrics import Measured
from mien.server.settings import PARTS, Settings


class LargestFaces(FaceDetector):
    """A detector that keeps the largest `max_faces` faces of a picture; `found` is called if there are any."""

    def __init__(self, settings: Settings, found: Callable[[], None]) -> None:
        super().__init__(
            settings.detector, size=settings.detector_size, min_size=settings.min_size, turns=settings.turns
        )
        self._max_faces = settings.max_faces
        self._found = found

    def detect_batch(
        self, images: Sequence[ImageSource], scales: Sequence[float] | None = None
    ) -> list[list[Face]]:
        """As `FaceDetector.detect_batch`."""
        found = [faces[: self._max_faces] for faces in super().detect_batch(images, scales)]
        if any(found):
            self._found()
        return found


class Reader:
    """Reads pictures in many threads: one shared model, and one detector per thread if it keeps state.

    Raises:
        ModelError, DetectorError: the model or the detector cannot be loaded.
    """

    def __init__(self, settings: Settings, measured: Measured) -> None:
        self._settings = settings
        self._measured = measured
        self._budget = Budget(settings.max_memory - settings.max_memory // PARTS)
        self._with_faces: set[int] = set()  # threads with detected faces that are not classified yet
        self.classifier = BatchingClassifier(
            settings.model,
            head=settings.head,
            seconds=settings.batch_seconds,
            coming=lambda: len(self._with_faces),
            seen=measured.batch.observe,
            min_confidence=settings.min_confidence,
        )
        self._recognizers: SimpleQueue[EmotionRecognizer] = SimpleQueue()
        detector: LargestFaces | None = None
        for _ in range(settings.workers):
            if detector is None or not detector.concurrent:
                detector = LargestFaces(settings, lambda: self._with_faces.add(threading.get_ident()))
            self._recognizers.put(
                EmotionRecognizer(self.classifier, detector=detector, min_quality=settings.min_quality)
            )

    def read(self, pictures: Sequence[tuple[str, bytes]]) -> list[FrameResult]:
        """A result for each (name, encoded bytes); one that cannot be read is a result with its `error`.

        Raises:
            TimeoutError: before the next picture the request's time was over.
        """
        end = time.monotonic() + self._settings.timeout
        results: list[FrameResult] = []
        for name, data in pictures:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(results)} of {count(len(pictures), 'picture')} done in time")
            results.append(self._read_one(name, data, end))
        return results

    def read_frame(self, data: bytes, number: int, seconds: float) -> FrameResult:
        """The result of one frame of a stream."""
        end = time.monotonic() + self._settings.timeout
        return replace(self._read_one("stream", data, end), frame=number, time=seconds)

    def for_a_clip(self) -> EmotionRecognizer:
        """A recognizer of its own, for a thread that follows faces through a clip."""
        detector = LargestFaces(self._settings, lambda: None)
        return EmotionRecognizer(self.classifier, detector=detector, min_quality=self._settings.min_quality)

    @contextmanager
    def _memory(self, data: bytes, until: float) -> Iterator[None]:
        """The memory that the picture takes, waited for and held.

        Raises:
            ImageError: no picture may take so much.
            TimeoutError: it did not become free in time.
        """
        needed = reading_bytes(data, self._settings.max_pixels)
        if needed > self._budget.limit:
            raise ImageError(
                f"picture of {count(len(data), 'byte')}: decoding takes {needed / 1e6:,.0f} MB; expected at most "
                f"{self._budget.limit / 1e6:,.0f} MB, such as JPEG or PNG, or fewer pixels"
            )
        with self._budget.hold(needed, until):
            yield

    def _read_one(self, name: str, data: bytes, until: float) -> FrameResult:
        with self._recognizer() as recognizer:
            try:
                with self._memory(data, until):
                    result = recognize_draft(recognizer, self._draft(recognizer, data), name)
            except ImageError as error:
                self._measured.pictures.labels("unreadable").inc()
                return FrameResult(name, error=str(error), labels=recognizer.labels)
        self._measured.pictures.labels("read").inc()
        self._measured.faces.inc(len(result.faces))
        return result

    def _draft(self, recognizer: EmotionRecognizer, data: bytes) -> Draft:
        """A picture as small as the search for faces allows."""
        limit = self._settings.max_pixels
        return read_draft(data, recognizer.detector.enough, max_pixels=limit, most=limit)

    @contextmanager
    def _recognizer(self) -> Iterator[EmotionRecognizer]:
        recognizer = self._recognizers.get()
        try:
            yield recognizer
        finally:
            self._with_faces.discard(threading.get_ident())
            self._recognizers.put(recognizer)
