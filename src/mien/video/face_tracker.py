"""`FaceTracker`: frame after frame in, the expressions of the same people out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import FaceDetector
from mien.models.classifier import EmotionClassifier
from mien.results import Box, Face, FaceEmotion, TrackedFace, TrackedFrame
from mien.video.optical_flow import ShotBoundaryDetector, follow, small_grey
from mien.video.reader import Frame
from mien.video.smoothing import TIME_CONSTANT, Smoother
from mien.video.tracker import FLOW_NOISE, Tracker

PATIENCE = 1.0
"""Seconds for which a face that is out of sight may come back as the same person."""

DETECTION_INTERVAL = 0.2
"""Seconds from one search for faces to the next; in between they are followed by their motion."""


class FaceReader(Protocol):
    """What following faces takes of an `EmotionRecognizer`."""

    classifier: EmotionClassifier
    detector: FaceDetector
    min_quality: float

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the probabilities, in order."""

    def read_faces(self, picture: NDArray[np.uint8], faces: Sequence[Face]) -> list[FaceEmotion]:
        """The expressions of faces that were found in a picture (H, W, 3) uint8 RGB, in their order."""


class FaceTracker:
    """Follows the faces of one clip or camera; frames go in in order.

    Faces are searched at least every `DETECTION_INTERVAL` seconds, and in every frame while there is doubt: after a
    cut, while a face is new, lost or covered by another, or cannot be followed. A face is in a result only if it was
    found in that frame, or found shortly before and followed to it; one that the search misses is not in that result.

    Args:
        recognizer: finds faces and recognises their expressions.
        patience: seconds for which a face may be out of sight and come back as the same track.
        smoothing: time constant of `TrackedFace.smoothed` in seconds; 0 for none.

    Raises:
        ValueError: a negative patience or smoothing.
    """

    def __init__(
        self, recognizer: FaceReader, *, patience: float = PATIENCE, smoothing: float = TIME_CONSTANT
    ) -> None:
        self._recognizer = recognizer
        self._smoothing = smoothing
        self._uncertain_below = recognizer.classifier.min_confidence
        Smoother(smoothing, self._uncertain_below)  # says now what is wrong with it
        self._tracker = Tracker(patience)
        self._cuts = ShotBoundaryDetector()
        self._smoothers: dict[int, Smoother] = {}
        self._faces: dict[int, Face] = {}  # what was seen in the frame before, by track
        self._grey: NDArray[np.uint8] | None = None
        self._searched: float | None = None

    def follow(
        self, picture: NDArray[np.uint8], time: float, *, source: str = "", frame: int | None = None
    ) -> TrackedFrame:
        """The faces of the next frame, largest first.

        Args:
            picture: (H, W, 3) uint8 RGB.
            time: in seconds, not before that of the last frame.
            source, frame: names of the result.
        """
        grey, scale = small_grey(picture)
        if self._grey is not None and self._grey.shape != grey.shape:
            self._grey, self._cuts = None, ShotBoundaryDetector()
            self._forget()
        if self._cuts.is_cut(grey):
            self._forget()
        self._tracker.predict(time)
        followed = None if self._must_search(time) else self._follow(grey, scale)
        self._faces = self._search(picture, time) if followed is None else followed
        self._grey = grey
        faces, filtered = self._read(picture, time)
        height, width = picture.shape[:2]
        return TrackedFrame(
            source,
            width,
            height,
            faces,
            frame=frame,
            time=time,
            labels=self._recognizer.labels,
            filtered=filtered,
        )

    def _forget(self) -> None:
        self._tracker.clear()
        self._faces = {}
        self._searched = None

    def _must_search(self, time: float) -> bool:
        if self._searched is None or not 0 <= time - self._searched < DETECTION_INTERVAL - 1e-3:
            return True
        tracks = self._tracker.tracks
        if not self._faces:
            # No face now, and none lost a moment ago.
            return any(time - t.seen < DETECTION_INTERVAL for t in tracks)
        if any(t.hits < 2 for t in tracks):
            return True
        lost = (t for t in tracks if t.number not in self._faces)
        boxes = [t.box for t in tracks]
        return any(time - t.seen < DETECTION_INTERVAL for t in lost) or any(
            a.iou(b) > 0 for i, a in enumerate(boxes) for b in boxes[:i]
        )

    def _follow(self, grey: NDArray[np.uint8], scale: float) -> dict[int, Face] | None:
        """The faces of the previous frame at their present places; None if one of them cannot be tracked."""
        faces: dict[int, Face] = {}
        for track in self._tracker.tracks:
            before = self._faces.get(track.number)
            if before is None or self._grey is None:
                continue
            moved = follow(self._grey, grey, _scaled(before.box, scale))
            if moved is None:
                return None
            faces[track.number] = _moved(before, _scaled(moved, 1 / scale))
        for track in self._tracker.tracks:
            if track.number in faces:
                track.correct(faces[track.number].box, FLOW_NOISE)
                faces[track.number] = _moved(faces[track.number], track.box)
        return faces

    def _search(self, picture: NDArray[np.uint8], time: float) -> dict[int, Face]:
        self._searched = time
        found = self._recognizer.detector.detect(picture)
        tracks = self._tracker.update([face.box for face in found], time)
        return {
            track.number: Face(_steadier(track.box, face.box), face.score, face.landmarks)
            for track, face in zip(tracks, found, strict=True)
        }

    def _read(self, picture: NDArray[np.uint8], time: float) -> tuple[tuple[TrackedFace, ...], int]:
        """The faces of this frame with their expressions, and how many were not good enough."""
        height, width = picture.shape[:2]
        self._faces = {n: f for n, f in self._faces.items() if _touches(f.box, width, height)}
        numbers = sorted(self._faces, key=lambda n: -self._faces[n].box.width * self._faces[n].box.height)
        alive = {track.number for track in self._tracker.tracks}
        self._smoothers = {n: s for n, s in self._smoothers.items() if n in alive}
        results = []
        seen = self._recognizer.read_faces(picture, [self._faces[n] for n in numbers])
        for number, face in zip(numbers, seen, strict=True):
            if not face.is_good(self._recognizer.min_quality):
                continue  # it does not blur what was seen well, either
            if number not in self._smoothers:
                self._smoothers[number] = Smoother(self._smoothing, self._uncertain_below)
            steady = self._smoothers[number].add(face.prediction, time)
            results.append(
                TrackedFace(face.face, face.prediction, face.quality, track=number, smoothed=steady)
            )
        return tuple(results), len(seen) - len(results)


def _steadier(steady: Box, found: Box) -> Box:
    """The track's box, which is steadier, unless the filter is far off."""
    return steady if steady.iou(found) > 0.5 else found


def _scaled(box: Box, factor: float) -> Box:
    return Box(box.x1 * factor, box.y1 * factor, box.x2 * factor, box.y2 * factor)


def _moved(face: Face, box: Box) -> Face:
    """The face in another box, its landmarks moved along: a head keeps its tilt while it is followed."""
    if face.landmarks is None:
        return Face(box, face.score)
    (x, y), (to_x, to_y) = face.box.center, box.center
    across, down = box.width / face.box.width, box.height / face.box.height
    points = tuple((to_x + (px - x) * across, to_y + (py - y) * down) for px, py in face.landmarks)
    return Face(box, face.score, points)


def _touches(box: Box, width: int, height: int) -> bool:
    """Whether the centre of a face is in the picture: a face that leaves it cannot be read."""
    x, y = box.center
    return 0 <= x < width and 0 <= y < height


def track_frames(
    face_tracker: FaceTracker, frames: Generator[Frame, None, None], source: str
) -> Generator[tuple[TrackedFrame, NDArray[np.uint8]], None, None]:
    """Every frame's result and picture; closing this closes `frames`."""
    with closing(frames):
        for frame in frames:
            yield (
                face_tracker.follow(frame.picture, frame.time, source=source, frame=frame.index),
                frame.picture,
            )
