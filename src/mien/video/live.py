"""The live loop: frames of a camera in, results and the rate out; how they are shown is left to others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.results import FrameResult
from mien.video.camera import Camera
from mien.video.face_tracker import FaceTracker

_RECENT = 30  # frames


class LiveFrame(NamedTuple):
    """A frame's result, its picture (H, W, 3) uint8 RGB, and frames a second lately."""

    result: FrameResult
    picture: NDArray[np.uint8]
    fps: float


def steady(result: FrameResult) -> FrameResult:
    """The result for display: each face has its smoothed expression, if it has one."""
    return replace(
        result,
        faces=tuple(replace(face, prediction=face.smoothed or face.prediction) for face in result.faces),
    )


def watch_live(face_tracker: FaceTracker, camera: Camera) -> Generator[LiveFrame, None, None]:
    """Frame after frame as they come; closing this, or leaving its loop, lets the camera go.

    Args:
        face_tracker: a fresh one.
        camera: where the frames come from.

    Raises:
        VideoError: as `Camera.frames`.
    """
    ends: deque[float] = deque(maxlen=_RECENT)
    with closing(camera.frames()) as frames:
        for frame in frames:
            result = face_tracker.follow(frame.picture, frame.time, source=camera.source, frame=frame.index)
            ends.append(time.monotonic())
            span = ends[-1] - ends[0]
            yield LiveFrame(result, frame.picture, (len(ends) - 1) / span if span > 0 else 0.0)
