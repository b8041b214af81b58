"""What is filmed now: a camera, a network stream that may drop and come back, or files that play its part."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien._core.parallel import run_ahead
from mien.errors import ImageError, VideoError
from mien.images.find import find_images
from mien.images.read import read_image
from mien.video.frame_pixels import ArrayPixels
from mien.video.reader import Frame, read_stream, read_video
from mien.video.sampling import Sampling

RECONNECTS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each try to reach a stream that dropped; a frame that comes makes all of them good again."""

FOLDER_FPS = 25.0
"""Frames a second that a folder of pictures counts as."""


@dataclass(frozen=True)
class Camera:
    """Where frames come from.

    Args:
        source: the number of a camera, an address such as rtsp:// or http://, a clip, or a folder of pictures.
        say: called with a line when a stream dropped and is tried again.
        sampling: which frames; seconds count from the first one, in a clip from its beginning.
    """

    source: str
    say: Callable[[str], None] = lambda line: None
    sampling: Sampling = field(default_factory=Sampling)

    def frames(self) -> Generator[Frame, None, None]:
        """Frames with seconds from the first one, numbered as they come.

        A camera, a stream and a clip (which plays at its own speed) do not wait: of frames that come while the
        caller is busy only the newest is kept. A folder gives each of its pictures. What `sampling` leaves out does
        not come.

        Raises:
            VideoError: there is no such camera; or it, or the stream, is gone and does not come back.
        """
        if self.source.isdecimal():
            return _newest(_chosen(_device(int(self.source)), self.sampling))
        if "://" in self.source:
            return _newest(_chosen(_reconnecting(self.source, self.say), self.sampling))
        if Path(self.source).is_dir():
            return _chosen(_folder(self.source), self.sampling)
        return _newest(_played(Path(self.source), self.sampling))


def _chosen(frames: Generator[Frame, None, None], sampling: Sampling) -> Generator[Frame, None, None]:
    chooser = sampling.chooser()
    with closing(frames):
        for frame in frames:
            if chooser.is_over(frame.time):
                return
            if chooser.takes(frame.time):
                yield frame


def _newest(frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
    with closing(run_ahead(frames, 1, drop=True)) as newest:
        for index, frame in enumerate(newest):
            yield Frame(index, frame.time, frame.pixels)


def _device(number: int) -> Generator[Frame, None, None]:
    _silence_opencv()  # it would print what the error below says
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise VideoError(
                f"no camera {number}: expected the number of one that is plugged in and that you may read, an "
                "address such as rtsp://..., a clip, or a folder of pictures"
            )
        begin = time.monotonic()
        while True:
            done, bgr = camera.read()
            if not done:
                raise VideoError(f"camera {number} gives no more pictures: is it still plugged in?")
            yield Frame(0, time.monotonic() - begin, ArrayPixels(_rgb(bgr)))
    finally:
        camera.release()


def _silence_opencv() -> None:
    # Only newer versions have the module, and only older ones the function in `cv2` itself.
    log: Any = getattr(cv2.utils, "logging", cv2)
    log.setLogLevel(0)


def _rgb(bgr: Any) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _reconnecting(url: str, say: Callable[[str], None]) -> Generator[Frame, None, None]:
    """A stream, timed by the arrival of its frames, so time continues while it is gone."""
    begin: float | None = None
    tries = iter(RECONNECTS)
    while True:
        try:
            with closing(read_stream(url)) as frames:
                for frame in frames:
                    begin = time.monotonic() if begin is None else begin
                    tries = iter(RECONNECTS)
                    yield Frame(0, time.monotonic() - begin, frame.pixels)
            return
        except VideoError as error:
            wait = next(tries, None)
            # One that was never there is more likely a wrong address than one that comes back.
            if wait is None or begin is None:
                raise
            say(f"{error}; trying again in {wait:g} s")
            time.sleep(wait)


def _played(path: Path, sampling: Sampling) -> Generator[Frame, None, None]:
    """A clip, or a part of it, at its own speed."""
    with closing(read_video(path, sampling)) as frames:
        begin: float | None = None
        for frame in frames:
            begin = time.monotonic() - frame.time if begin is None else begin
            time.sleep(max(0.0, begin + frame.time - time.monotonic()))
            yield frame


def _folder(folder: str) -> Generator[Frame, None, None]:
    try:
        for index, path in enumerate(find_images([folder])):
            yield Frame(index, index / FOLDER_FPS, ArrayPixels(read_image(path)))
    except ImageError as error:
        raise VideoError(str(error)) from None
