"""YuNet, the neural face detector of OpenCV Zoo: loaded from a file, or fetched once and checked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.files import refuse_pipe, write_atomically
from mien._core.opencv import cv2
from mien._core.per_process import PerProcess
from mien.errors import DetectorError
from mien.results import Box, Face

YUNET_FILE = "face_detection_yunet_2026may.onnx"
YUNET_URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_FILE}"
YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"

MAX_DOWNLOAD = 4_000_000
"""Bytes after which a download is aborted; the file has 229,738."""

TIMEOUT = 30.0
"""Seconds without an answer after which a download is aborted."""

MIN_SCORE = 0.8
"""Hits with a lower score are dropped."""

OVERLAP = 0.3
"""Of two hits with a higher intersection over union the better one stays."""

LONG_SIDE = 1024
"""Larger pictures are shrunk to this long side before the search, in pixels."""

MIN_LONG_SIDE = 240
"""Smaller pictures are enlarged to this long side: of FER2013's 48 x 48 faces it finds 99 % so, 59 % as they are."""

# The short side is filled up to this: smaller than its coarsest cell the network's output is meaningless.
_SHORT_SIDE = 64


class YuNetDetector:
    """Faces with five landmarks, by `cv2.FaceDetectorYN`.

    Raises:
        DetectorError: the file is missing, or is not a YuNet model.
    """

    def __init__(self, path: Path) -> None:
        try:
            refuse_pipe(path)
            sha256 = _sha256(path.read_bytes())
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "no such file" if missing else error.strerror or str(error)
            raise DetectorError(f"{path}: {reason}; expected a YuNet model ({YUNET_FILE})") from None
        self._net = PerProcess(
            _open, str(path.absolute()), sha256, shared=False
        )  # it keeps state between calls

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces of an image (H, W, 3) uint8 RGB, boxes and landmarks in its pixels, in no order."""
        height, width = image.shape[:2]
        long_side = max(height, width)
        scale = min(max(long_side, MIN_LONG_SIDE), LONG_SIDE) / long_side
        small = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if scale != 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        below, beside = (max(0, _SHORT_SIDE - side) for side in small.shape[:2])
        if below or beside:
            small = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        net = self._net()
        net.setInputSize(small.shape[1::-1])
        rows: Any = net.detect(small)[1]  # None without a face
        return [] if rows is None else [_face(row) for row in rows / np.array([scale] * 14 + [1.0])]


def _open(path: str, sha256: str) -> Any:
    if not Path(path).is_file() or _sha256(Path(path).read_bytes()) != sha256:
        raise DetectorError(f"{path}: is gone, or was changed since this detector was loaded: load it again")
    try:
        net = cv2.FaceDetectorYN.create(path, "", (_SHORT_SIDE, _SHORT_SIDE), MIN_SCORE, OVERLAP)
        net.detect(np.zeros((_SHORT_SIDE, _SHORT_SIDE, 3), np.uint8))
    except cv2.error:
        raise DetectorError(f"{path}: not a YuNet model; expected a file such as {YUNET_FILE}") from None
    return net


def _face(row: NDArray[np.float64]) -> Face:
    """A row is x, y, width, height, five points (x, y), score: the points already in `Face`'s order."""
    x, y, width, height = row[:4].tolist()
    points = tuple((px, py) for px, py in row[4:14].reshape(5, 2).tolist())
    return Face(Box(x, y, x + width, y + height), float(np.clip(row[14], 0, 1)), points)


def fetch_yunet() -> Path:
    """The YuNet file, from the cache or else from OpenCV Zoo (0.2 MB, MIT licence), its SHA-256 checked.

    The cache is `$MIEN_CACHE`, or `~/.cache/mien`.

    Raises:
        DetectorError: it can be neither read nor downloaded; the message names the file and where to put it.
    """
    path = Path(os.environ.get("MIEN_CACHE") or Path.home() / ".cache" / "mien") / YUNET_FILE
    advice = f"bring {YUNET_FILE} from OpenCV Zoo to {path}, or pass the path of the file"
    try:
        if path.is_file() and _sha256(path.read_bytes()) == YUNET_SHA256:
            return path
        data = _download(YUNET_URL)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise DetectorError(f"cannot fetch YuNet from {YUNET_URL} ({reason}): {advice}") from None
    if _sha256(data) != YUNET_SHA256:
        raise DetectorError(
            f"{YUNET_URL} is not the file expected: SHA-256 {_sha256(data)[:12]}..., "
            f"expected {YUNET_SHA256[:12]}...: {advice}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise DetectorError(f"cannot write {path} ({error.strerror}): {advice}") from None
    return path


def _download(url: str) -> bytes:
    # Slow to load, and needed once in a machine's life.
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 the constant above
            data = bytes(answer.read(MAX_DOWNLOAD + 1))
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except http.client.HTTPException as error:
        raise OSError(f"not an HTTP answer: {error!r}") from None
    if len(data) > MAX_DOWNLOAD:
        raise OSError(f"more than {MAX_DOWNLOAD / 1e6:.0f} MB")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
