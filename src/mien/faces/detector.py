"""`FaceDetector`: a picture in, its faces out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import scaled
from mien._core.per_process import PerProcess
from mien.errors import DetectorError
from mien.faces.align import TILTED, Square, tilt, upright, upright_height
from mien.faces.haar import HaarDetector
from mien.faces.onnx_detector import DetectorModel, MienDetector, detector_folder
from mien.faces.turns import search_turned
from mien.faces.yunet import MIN_SCORE as YUNET_MIN_SCORE
from mien.faces.yunet import YuNetDetector, fetch_yunet
from mien.images.crop import crop_face
from mien.images.read import ImageSource, read_image
from mien.models.registry import DEFAULT_DETECTOR, DETECTOR_SIZE, MIN_SIZE
from mien.results import Face

HAAR_MARGIN = 0.98
"""FER2013's picture over the side of Haar's box: measured by benchmarks/detectors.py, as the next one."""

YUNET_MARGIN = 0.97
"""FER2013's picture over the longer side of YuNet's box."""


ANONYMIZING_SIZES = (640, 1280)
"""Long sides, in pixels, at which faces are searched to be hidden."""

ANONYMIZING_FACTOR = 0.5
"""On the minimum score of a face that is hidden: benchmarks/hiding.py measures what it finds."""


class _Backend(Protocol):
    def detect(self, image: NDArray[np.uint8]) -> list[Face]: ...


class FaceDetector:
    """Finds the faces of a picture.

    Threads may share it: with mien's own network they search at the same time, with OpenCV's detectors, which keep
    state between calls, one after the other (see `concurrent`). Processes may share it: its pickle says what
    to load.

    Args:
        backend: "mien", mien's own network; "haar", OpenCV's cascades for upright frontal faces; "yunet", fetched
            once from OpenCV Zoo; the folder of a run of `mien train-detector`; or the path of a YuNet file, ending
            in .onnx.
        min_size: faces whose box has a shorter side, in pixels of the picture, are dropped.
        size: pictures are scaled to this long side at most before mien's own network searches them, in pixels: to what
            faces of `min_size` need.
        turns: also find faces that lie on their side or upside down, which takes four times as long; not with
            "haar", which does not tell which way up a face is.
        threads: of one call of mien's own network; None for as many as the machine has cores, or one where several
            calls run at the same time. OpenCV's detectors follow `cv2.setNumThreads`.

    Raises:
        DetectorError: an unknown backend, one that cannot be loaded or fetched, or "haar" with `turns`.
        ValueError: a `min_size` below 1, or a `size` below 32.
    """

    def __init__(
        self,
        backend: str = DEFAULT_DETECTOR,
        *,
        min_size: int = MIN_SIZE,
        size: int = DETECTOR_SIZE,
        turns: bool = False,
        threads: int | None = None,
    ) -> None:
        if min_size < 1:
            raise ValueError(f"min_size {min_size}: expected at least 1 pixel")
        if turns and backend == "haar":
            raise DetectorError(
                "detector haar with turns: it does not tell which way up a face is; "
                "expected mien, a run of mien train-detector, or yunet"
            )
        self.backend = backend
        self.min_size, self.size, self.turns = min_size, size, turns
        self._mien: MienDetector | None = None
        self._min_score = YUNET_MIN_SCORE
        self._backend: _Backend
        if backend == "mien" or (backend not in ("haar", "yunet") and Path(backend).is_dir()):
            folder = None if backend == "mien" else Path(backend)
            self._mien = MienDetector(folder, long_side=size, threads=threads)
            self._backend, self._margin = self._mien, self._mien.model.margin
            self._min_score = self._mien.model.min_score
        elif backend == "haar":
            self._backend, self._margin = HaarDetector(), HAAR_MARGIN
        elif backend == "yunet":
            self._backend, self._margin = YuNetDetector(fetch_yunet()), YUNET_MARGIN
        elif backend.endswith(".onnx"):
            self._backend, self._margin = YuNetDetector(Path(backend)), YUNET_MARGIN
        else:
            raise DetectorError(
                f"unknown detector {backend!r}: expected mien, haar, yunet, a run of mien train-detector "
                "or the path of a YuNet .onnx file"
            )
        # OpenCV's detectors keep state between calls, mien's does not.
        self._lock: PerProcess[AbstractContextManager[object]] = PerProcess(threading.Lock, shared=False)

    @property
    def concurrent(self) -> bool:
        """Whether threads search at the same time, and not one after the other."""
        return self._mien is not None

    @property
    def enough(self) -> int:
        """The long side, in pixels, from which a picture shows this detector no more faces; 0 where more always may."""
        return 0 if self._mien is None else self.size

    @property
    def margin(self) -> float:
        """The `margin` of `crop_face` that frames this detector's faces as the training pictures are framed."""
        return self._margin

    def detect(self, image: ImageSource) -> list[Face]:
        """The faces, largest first; an empty list without a face.

        Args:
            image: (H, W, 3) uint8 RGB, or whatever else `read_image` takes.

        Raises:
            ImageError, TypeError, ValueError: as `read_image` raises them.
        """
        return self.detect_batch([image])[0]

    def detect_batch(
        self, images: Sequence[ImageSource], scales: Sequence[float] | None = None
    ) -> list[list[Face]]:
        """The faces of several pictures, each as from `detect`; pictures of one size go in one batch.

        Args:
            images: as `detect` takes one, each.
            scales: pixels of the whole picture to one of each image, where an image is a smaller copy of it: boxes and
                `min_size` count in pixels of the whole. None for 1 of all.
        """
        pictures = [read_image(image) for image in images]
        scales = [1.0] * len(pictures) if scales is None else scales
        sizes = [self.min_size / scale for scale in scales]
        if self.turns:
            found = search_turned(self._search, pictures, sizes, self._min_score)
        else:
            found = self._search(pictures, sizes)
        return [self._large(faces, scale) for faces, scale in zip(found, scales, strict=True)]

    def _search(self, pictures: Sequence[NDArray[np.uint8]], min_sizes: Sequence[float]) -> list[list[Face]]:
        if self._mien is not None:
            return self._mien.detect_batch(pictures, min_sizes)
        with self._lock():
            return [self._backend.detect(picture) for picture in pictures]

    def crop(self, image: NDArray[np.uint8], face: Face, *, size: int = 48) -> NDArray[np.uint8]:
        """A face as a model's input, (size, size) uint8 grey: framed as FER2013's, upright if the tilt is known.

        A head whose eyes show a tilt of `TILTED` degrees or more is rotated; without landmarks, as with Haar, it
        stays as it is.

        Args:
            image: uint8, as for `crop_face`.
            face: one that this detector found there.
            size: side of the result in pixels.
        """
        angle = tilt(face)
        if abs(angle) < TILTED:
            return crop_face(image, face.box, margin=self._margin, size=size)
        return crop_face(*upright(image, face, angle), margin=self._margin, size=size)

    def square(self, face: Face) -> Square:
        """What `crop` shows of the picture that the face was found in."""
        angle = tilt(face)
        if abs(angle) < TILTED:
            return Square(face.box.center, self._margin * max(face.box.width, face.box.height), 0.0)
        return Square(face.box.center, self._margin * upright_height(face.box, angle), angle)

    def _large(self, faces: list[Face], scale: float) -> list[Face]:
        """Those that are not too small, largest first, in pixels of the whole picture."""
        whole = [scaled(face, scale) for face in faces]
        large = [face for face in whole if min(face.box.width, face.box.height) >= self.min_size]
        return sorted(large, key=lambda face: (-face.box.width * face.box.height, -face.score))


def search_to_anonymize() -> Callable[[NDArray[np.uint8]], list[Face]]:
    """Detection for `FaceAnonymizer`, by mien's own detector: it prefers false positives to missed faces."""
    searches = [
        MienDetector(long_side=side, score_factor=ANONYMIZING_FACTOR).detect for side in ANONYMIZING_SIZES
    ]
    return lambda picture: [face for search in searches for face in search(picture)]


def detector_model(backend: str) -> DetectorModel | None:
    """What is known of the network of a `FaceDetector` of that name, if it is one of mien's own; else None.

    Raises:
        DetectorError: a folder that holds no detector.
    """
    if backend != "mien" and not Path(backend).is_dir():
        return None
    return DetectorModel.load(detector_folder(None if backend == "mien" else Path(backend)))
