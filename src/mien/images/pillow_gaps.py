"""What Pillow 13.0 leaves to do about valid files: some PNG, TIFF and BMP."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien._core.opencv import cv2

_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262  # a value and a tag of TIFF
_LOG_LOCK = threading.Lock()  # the level of OpenCV's log is global


def scale_transparent_color(picture: Image.Image) -> None:
    """Bring the transparent colour of a PNG, which has the file's depth, to that of its pixels.

    Of colours of 16 bits Pillow keeps the upper eight, so those that differ below become transparent together.

    Args:
        picture: a file that is open and not yet decoded: only until then Pillow tells its depth.
    """
    color = picture.info.get("transparency")
    tiles: Sequence[tuple[Any, ...]] = getattr(picture, "tile", ())
    if picture.format != "PNG" or color is None or not tiles:
        return
    mode = tiles[0][3]
    if mode in ("L;2", "L;4"):
        picture.info["transparency"] = color * {"L;2": 85, "L;4": 17}[mode]
    elif mode == "RGB;16B":
        picture.info["transparency"] = tuple(value >> 8 for value in color)


def is_negative(picture: Image.Image) -> bool:
    """Whether a TIFF's zero is white and Pillow has not turned it round: it does so below 16 bits only."""
    tags = getattr(picture, "tag_v2", {})
    return picture.mode.startswith("I") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def is_bmp_in_runs(picture: Image.Image) -> bool:
    """Whether it is a BMP that Pillow unpacks a pixel at a time: minutes for a broken one of a thousand bytes."""
    tiles: Sequence[tuple[Any, ...]] = getattr(picture, "tile", ())
    return picture.format in ("BMP", "DIB") and bool(tiles) and tiles[0][0] == "bmp_rle"


def read_bmp_in_runs(data: bytes) -> NDArray[np.uint8] | None:
    """Such a file, by OpenCV: (H, W, 3) uint8 RGB, or None where it is broken."""
    log: Any = getattr(cv2.utils, "logging", cv2)  # where it is depends on the version
    with _LOG_LOCK:
        level = log.getLogLevel()
        log.setLogLevel(0)  # it would say on stderr what is broken
        try:
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
        finally:
            log.setLogLevel(level)
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
