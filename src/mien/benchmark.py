"""How fast mien reads pictures on this machine, stage by stage."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.machine import machine
from mien._core.opencv import cv2
from mien._core.text import count
from mien.images.read import ImageSource, read_image
from mien.recognition import EmotionRecognizer
from mien.results import FrameResult

BATCH = 64
SIZES = ((350, 350), (1024, 768), (1920, 1080), (4000, 3000))
"""Pixels of the JPEG files that are measured: from a portrait to a camera's picture."""

FOLDER = (320, 375)
"""Pixels of the pictures of a collection."""

_ROUNDS = 5
_FILES, _FRAMES = 48, 50


@dataclass(frozen=True)
class PictureSpeed:
    """How long a JPEG file of one size takes from its bytes to its faces.

    Attributes:
        width, height: in pixels.
        ms: milliseconds.
        faces: found in it.
    """

    width: int
    height: int
    ms: float
    faces: int


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
        files: JPEG files of several sizes that show the picture, each read alone, from bytes to faces.
        files_per_second: of many files of 320 x 375 pixels that show it, by `recognize_files`.
        frames_per_second: of a clip of 1280 x 720 pixels that shows it, every frame decoded and its faces followed.
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
    files: tuple[PictureSpeed, ...]
    files_per_second: float
    frames_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        found = f"{count(self.faces, 'face')} found"
        lines = [
            f"model {self.model}, detector {self.detector}; {self.machine}",
            f"{self.faces_per_second:,.0f} faces/s in batches of {BATCH}, {self.face_ms:.2f} ms one face alone",
            f"picture of {self.width} x {self.height}, {found}: {self.picture_ms:.1f} ms, of these finding "
            f"{self.detect_ms:.1f} ms",
        ]
        lines += [
            f"JPEG of {one.width:,} x {one.height:,}, {count(one.faces, 'face')} found: {one.ms:.1f} ms"
            for one in self.files
        ]
        return [
            *lines,
            f"many JPEGs of {FOLDER[0]} x {FOLDER[1]}: {self.files_per_second:,.0f} pictures/s",
            f"clip of 1,280 x 720: {self.frames_per_second:,.0f} frames/s",
        ]


def measure_speed(recognizer: EmotionRecognizer, image: ImageSource, *, duration: float = 5.0) -> Speed:
    """Time a recognizer on a picture, and its classifier on random crops.

    Args:
        recognizer: with its model and detector.
        image: what `EmotionRecognizer.recognize` takes.
        duration: about how many seconds to measure, in all; collection and clip take as long as they take.

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
    files = {size: _jpeg(picture, *size) for size in SIZES}
    tasks |= {f"{size}": partial(recognizer.recognize, data) for size, data in files.items()}
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
        tuple(
            PictureSpeed(*size, 1000 * took[f"{size}"], len(recognizer.recognize(data).faces))
            for size, data in files.items()
        ),
        _files_per_second(recognizer, picture),
        _frames_per_second(recognizer, picture),
    )


def _shown(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture in the middle of one of that size, as large as it fits, on grey."""
    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    inside = cv2.resize(picture, (max(1, int(scale * columns)), max(1, int(scale * rows))))
    shown = np.full((height, width, 3), 128, np.uint8)
    y, x = (height - inside.shape[0]) // 2, (width - inside.shape[1]) // 2
    shown[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return shown


def _jpeg(picture: NDArray[np.uint8], width: int, height: int) -> bytes:
    bgr = cv2.cvtColor(_shown(picture, width, height), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _files_per_second(recognizer: EmotionRecognizer, picture: NDArray[np.uint8]) -> float:
    data = _jpeg(picture, *FOLDER)
    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number:03}.jpg") for number in range(_FILES)]
        for path in paths:
            path.write_bytes(data)
        deque(recognizer.recognize_files(paths[:8]), maxlen=0)
        start = time.perf_counter()
        deque(recognizer.recognize_files(paths), maxlen=0)
        return _FILES / (time.perf_counter() - start)


def _frames_per_second(recognizer: EmotionRecognizer, picture: NDArray[np.uint8]) -> float:
    # PyAV takes a while to load, and only this needs it.
    from mien.video.writer import ClipWriter

    shown = _shown(picture, 1280, 720)
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with ClipWriter(path, path, fps=25, sound=False) as clip:
            for number in range(_FRAMES):  # the camera moves to and fro
                moved = np.roll(shown, round(20 * math.sin(number / 8)), axis=1)
                clip.write(moved, FrameResult(str(path), 1280, 720, frame=number, time=number / 25))
        start = time.perf_counter()
        deque(recognizer.recognize_video(path), maxlen=0)
        return _FRAMES / (time.perf_counter() - start)


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
