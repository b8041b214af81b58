"""How fast mien reads pictures on this machine, stage by stage."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien._core.machine import machine
from mien._core.text import count
from mien.images.read import ImageSource, read_image
from mien.recognition import EmotionRecognizer

BATCH = 64
_ROUNDS = 5


@dataclass(frozen=True)
class Speed:
    """Medians over rounds in which the stages took turns, so a busy moment does not affect a single stage.

    Attributes:
        model, detector: what was measured.
        machine: the processor and the operating system.
        faces_per_second: classified in batches of 64, crops in memory.
        face_ms: milliseconds to classify one face alone.
        detect_ms: to find the faces of the picture.
        picture_ms: to recognize the picture: detect, crop, classify, assess the face quality.
        width, height: of the picture in pixels.
        faces: found in it.
    """

    model: str
    detector: str
    machine: str
    faces_per_second: float
    face_ms: float
    detect_ms: float
    picture_ms: float
    width: int
    height: int
    faces: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        found = f"{count(self.faces, 'face')} found"
        return [
            f"model {self.model}, detector {self.detector}; {self.machine}",
            f"{self.faces_per_second:,.0f} faces/s in batches of {BATCH}, {self.face_ms:.2f} ms one face alone",
            f"picture of {self.width} x {self.height}, {found}: {self.picture_ms:.1f} ms, of these finding "
            f"{self.detect_ms:.1f} ms",
        ]


def measure_speed(recognizer: EmotionRecognizer, image: ImageSource, *, duration: float = 5.0) -> Speed:
    """Time a recognizer on a picture, and its classifier on random crops.

    Args:
        recognizer: with its model and detector.
        image: what `EmotionRecognizer.recognize` takes.
        duration: about how many seconds to measure, in all.

    Raises:
        ImageError: the picture cannot be read.
    """
    picture = read_image(image)
    size = recognizer.classifier.config.input_size
    # Any content takes the same time: a network's operations do not depend on it.
    crops = np.random.default_rng(0).integers(0, 256, (BATCH, size, size), np.uint8)
    tasks: dict[str, Callable[[], object]] = {
        "batch": lambda: recognizer.classifier.predict_proba(crops),
        "face": lambda: recognizer.classifier.predict_proba(crops[:1]),
        "detect": lambda: recognizer.detector.detect(picture),
        "picture": lambda: recognizer.recognize(picture),
    }
    each = duration / _ROUNDS / len(tasks)
    rounds = [{name: _median(task, each) for name, task in tasks.items()} for _ in range(_ROUNDS)]
    took = {name: statistics.median(one[name] for one in rounds) for name in tasks}
    height, width = picture.shape[:2]
    return Speed(
        recognizer.classifier.config.name,
        recognizer.detector.backend,
        machine(),
        BATCH / took["batch"],
        1000 * took["face"],
        1000 * took["detect"],
        1000 * took["picture"],
        width,
        height,
        len(recognizer.detector.detect(picture)),
    )


def time_calls(task: Callable[[], object], seconds: float) -> list[float]:
    """The seconds of every call of a task: as many as fit into `seconds`, three at least."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return times


def _median(task: Callable[[], object], seconds: float) -> float:
    """Seconds a call, after one that warms up."""
    task()
    return statistics.median(time_calls(task, seconds))
