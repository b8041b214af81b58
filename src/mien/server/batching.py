"""Faces of concurrent requests meet in one call of the ONNX model."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.models.classifier import Crops, EmotionClassifier
from mien.models.registry import DEFAULT_HEAD

ENOUGH = 64
"""Faces that fill a batch: no request waits for more."""

Waiting: TypeAlias = "list[tuple[Crops, Future[NDArray[np.float32]]]]"

_ROUNDS, _TOGETHER = 5, 8
_FASTER = 0.9


class BatchingClassifier(EmotionClassifier):
    """A classifier for many threads, whose answers do not depend on who asks at the same time.

    A call that comes while the model is busy waits, and goes with all others that wait in one call. Where
    others are on their way, it also waits for them, for `seconds` at most. A call that is alone never waits. On a
    machine where eight faces together take as long as one by one, every request is a separate call.

    Args:
        model, head, min_confidence: as `EmotionClassifier` takes them.
        seconds: how long to wait for others.
        coming: how many threads have faces to classify, or will have soon, those that wait included.
        seen: called with the number of faces of each call of the model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        head: str = DEFAULT_HEAD,
        seconds: float,
        coming: Callable[[], int],
        seen: Callable[[int], None] = lambda faces: None,
        min_confidence: float | None = None,
    ) -> None:
        super().__init__(model, head=head, min_confidence=min_confidence)
        self._seconds, self._coming, self._seen = seconds, coming, seen
        self._arrived = threading.Condition()
        self._waiting: Waiting = []
        self._model_is_free = threading.Lock()
        self.faster_together = self._measure()

    def predict_proba(self, crops: Crops, *, head: str | None = None) -> NDArray[np.float32]:
        """As `EmotionClassifier.predict_proba`; within 1e-5 of it."""
        if head not in (None, self.head) or not len(crops):
            return super().predict_proba(crops, head=head)
        if not self.faster_together:
            self._seen(len(crops))
            return super().predict_proba(crops)
        answer: Future[NDArray[np.float32]] = Future()
        with self._arrived:
            self._waiting.append((crops, answer))
            first = len(self._waiting) == 1
            self._arrived.notify_all()
        if first:  # the first one to wait makes the call for all who have come by then
            with self._model_is_free:
                gathered: Waiting = []
                try:
                    gathered = self._gather()
                    self._call(gathered)
                except BaseException as error:
                    # Whoever waits for this call waits for nothing else.
                    self._fail(gathered, error)
                    raise
        return answer.result()

    def _gather(self) -> Waiting:
        end = time.monotonic() + self._seconds
        with self._arrived:
            while sum(len(crops) for crops, _ in self._waiting) < ENOUGH:
                if len(self._waiting) >= self._coming() or not self._arrived.wait(end - time.monotonic()):
                    break
            gathered, self._waiting = self._waiting, []
        return gathered

    def _call(self, gathered: Waiting) -> None:
        crops = [crop for own, _ in gathered for crop in own]
        self._seen(len(crops))
        rows = super().predict_proba(crops)
        start = 0
        for own, answer in gathered:
            answer.set_result(rows[start : start + len(own)])
            start += len(own)

    def _fail(self, gathered: Waiting, error: BaseException) -> None:
        """Tell those of a call that failed; of one that was not gathered, all who wait, for nobody else leads them."""
        if not gathered:
            with self._arrived:
                gathered, self._waiting = self._waiting, []
        for _, answer in gathered:
            if not answer.done():
                answer.set_exception(error)

    def _measure(self) -> bool:
        """Whether faces take less time together than one by one; the first calls also warm the model up."""
        size = self.config.input_size
        faces = np.random.default_rng(0).integers(0, 256, (_TOGETHER, size, size), np.uint8)
        alone, together = [], []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            super().predict_proba(faces)
            middle = time.perf_counter()
            for face in faces:
                super().predict_proba(face[None])
            together.append(middle - start)
            alone.append(time.perf_counter() - middle)
        return bool(np.median(together) < _FASTER * np.median(alone))
