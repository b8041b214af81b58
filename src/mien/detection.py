"""`FaceDetector`: a picture in, its faces out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import DetectorError
from mien.haar import HaarDetector
from mien.images import ImageSource, read_image
from mien.results import Face
from mien.yunet import YuNetDetector, fetch_yunet

HAAR_MARGIN = 0.98
"""FER2013's picture over the side of Haar's box: measured by benchmarks/detectors.py, as the next one."""

YUNET_MARGIN = 0.97
"""FER2013's picture over the longer side of YuNet's box."""


class _Backend(Protocol):
    def detect(self, image: NDArray[np.uint8]) -> list[Face]: ...


class FaceDetector:
    """Finds the faces of a picture.

    Args:
        backend: "haar", which is always there and finds upright frontal faces; "yunet", which finds more and
            gives landmarks, fetched once from OpenCV Zoo; or the path of a YuNet file, ending in .onnx.
        min_size: faces whose box has a shorter side, in pixels of the picture, are left out.

    Raises:
        DetectorError: an unknown backend, or one that cannot be loaded or fetched.
        ValueError: a `min_size` below 1.
    """

    def __init__(self, backend: str = "haar", *, min_size: int = 20) -> None:
        if min_size < 1:
            raise ValueError(f"min_size {min_size}: expected at least 1 pixel")
        self.backend = backend
        self.min_size = min_size
        self._backend: _Backend
        if backend == "haar":
            self._backend, self._margin = HaarDetector(), HAAR_MARGIN
        elif backend == "yunet":
            self._backend, self._margin = YuNetDetector(fetch_yunet()), YUNET_MARGIN
        elif backend.endswith(".onnx"):
            self._backend, self._margin = YuNetDetector(Path(backend)), YUNET_MARGIN
        else:
            raise DetectorError(
                f"unknown detector {backend!r}: expected haar, yunet or the path of a YuNet .onnx file"
            )
        # OpenCV's detectors keep state between calls.
        self._lock = threading.Lock()

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
        picture = read_image(image)
        with self._lock:
            faces = self._backend.detect(picture)
        large = [face for face in faces if min(face.box.width, face.box.height) >= self.min_size]
        return sorted(large, key=lambda face: (-face.box.width * face.box.height, -face.score))
