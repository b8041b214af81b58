"""`FaceTracker`: frame after frame in, the expressions of the same people out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mien._core.parallel import run_ahead
from mien.errors import VideoError
from mien.faces.detector import FaceDetector
from mien.faces.quality import assess_quality
from mien.models.classifier import EmotionClassifier
from mien.results import Box, Face, Prediction, TrackedFace, TrackedFrame
from mien.video.frame_pixels import ArrayPixels, Pixels
from mien.video.optical_flow import ShotBoundaryDetector, follow, small_grey
from mien.video.reader import Frame, frames_ahead
from mien.video.smoothing import TIME_CONSTANT, Smoother
from mien.video.tracker import FLOW_NOISE, Tracker

PATIENCE = 1.0
"""Seconds for which a face that is out of sight may come back as the same person."""

DETECTION_INTERVAL = 0.2
"""Seconds from one search for faces to the next; in between they are followed by their motion."""

_TOGETHER = 4  # frames whose faces are classified in one go, fewer where frames are large


class FaceReader(Protocol):
    """What following faces takes of an `EmotionRecognizer`."""

    classifier: EmotionClassifier
    detector: FaceDetector
    min_quality: float

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the probabilities, in order."""


class Located(NamedTuple):
    """A frame whose faces have been found or followed, and not read yet.

    Attributes:
        size: width and height of the frame.
        time: in seconds.
        frame: its number in its clip, if it has one.
        faces: by track, largest first.
        crops: of the faces, (size, size) uint8 grey each.
        alive: tracks of faces that are seen or may come back.
    """

    size: tuple[int, int]
    time: float
    frame: int | None
    faces: dict[int, Face]
    crops: list[NDArray[np.uint8]]
    alive: frozenset[int]


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
        located = self.locate(ArrayPixels(picture), time, frame)
        (result,) = self.read([located], source=source)
        return result

    def locate(self, pixels: Pixels, time: float, frame: int | None = None) -> Located:
        """Where the faces of the next frame are, largest first, and who they are; `read` says what they express.

        Neither waits for the other: frames may be located in one thread and read in another, each in order.

        Args:
            pixels: of the frame.
            time: in seconds, not before that of the last frame.
            frame: its number in its clip.

        Raises:
            VideoError: the frame cannot be converted.
        """
        grey, scale = small_grey(pixels)
        if self._grey is not None and self._grey.shape != grey.shape:
            self._grey, self._cuts = None, ShotBoundaryDetector()
            self._forget()
        if self._cuts.is_cut(grey):
            self._forget()
        self._tracker.predict(time)
        followed = None if self._must_search(time) else self._follow(grey, scale)
        faces = self._search(pixels.rgb(), time) if followed is None else followed
        self._grey = grey
        width, height = pixels.size
        faces = {n: f for n, f in faces.items() if _touches(f.box, width, height)}
        self._faces = dict(sorted(faces.items(), key=lambda one: -one[1].box.width * one[1].box.height))
        alive = frozenset(track.number for track in self._tracker.tracks)
        return Located((width, height), time, frame, self._faces, self._crops(pixels), alive)

    def read(self, some: Sequence[Located], *, source: str = "") -> list[TrackedFrame]:
        """The expressions in frames that `locate` gave, in order; all their faces are classified together.

        Args:
            some: the next frames.
            source: their clip.

        """
        crops = [crop for one in some for crop in one.crops]
        predictions = iter(self._recognizer.classifier.classify(crops))
        return [self._result(one, list(islice(predictions, len(one.crops))), source) for one in some]

    def _result(self, one: Located, predictions: Sequence[Prediction], source: str) -> TrackedFrame:
        """A frame's faces that are good enough, smoothed."""
        self._smoothers = {n: s for n, s in self._smoothers.items() if n in one.alive}
        faces = []
        for (number, face), crop, prediction in zip(one.faces.items(), one.crops, predictions, strict=True):
            quality = assess_quality(crop, face.box)
            if quality.score < self._recognizer.min_quality:
                continue  # it does not blur what was seen well, either
            if number not in self._smoothers:
                self._smoothers[number] = Smoother(self._smoothing, self._uncertain_below)
            steady = self._smoothers[number].add(prediction, one.time)
            faces.append(TrackedFace(face, prediction, quality, track=number, smoothed=steady))
        return TrackedFrame(
            source,
            *one.size,
            tuple(faces),
            frame=one.frame,
            time=one.time,
            labels=self._recognizer.labels,
            filtered=len(one.faces) - len(faces),
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
        tracks = [t for t in self._tracker.tracks if t.number in self._faces]
        if self._grey is None or not tracks:
            return {}
        before = [self._faces[track.number] for track in tracks]
        moved = follow(self._grey, grey, [_scaled(face.box, scale) for face in before])
        faces: dict[int, Face] = {}
        for track, face, box in zip(tracks, before, moved, strict=True):
            if box is None:
                return None
            faces[track.number] = _moved(face, _scaled(box, 1 / scale))
        for track in tracks:
            track.correct(faces[track.number].box, FLOW_NOISE)
            faces[track.number] = _moved(faces[track.number], track.box)
        return faces

    def _crops(self, pixels: Pixels) -> list[NDArray[np.uint8]]:
        """What the model sees of the faces of this frame."""
        size, crop = self._recognizer.classifier.config.input_size, self._recognizer.detector.crop
        return [crop(pixels.rgb(), face, size=size) for face in self._faces.values()]

    def _search(self, picture: NDArray[np.uint8], time: float) -> dict[int, Face]:
        self._searched = time
        found = self._recognizer.detector.detect(picture)
        tracks = self._tracker.update([face.box for face in found], time)
        return {
            track.number: Face(_steadier(track.box, face.box), face.score, face.landmarks)
            for track, face in zip(tracks, found, strict=True)
        }


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
    face_tracker: FaceTracker, frames: Generator[Frame, None, None], source: str, *, keep: bool = False
) -> Generator[tuple[TrackedFrame, Frame | None], None, None]:
    """Every frame's result, and with `keep` the frame; closing this closes `frames`.

    A thread locates the faces of the next frames while those of these are read. The same frames are read together
    however fast either is, so that the results do not depend on it.

    Args:
        face_tracker: a fresh one.
        frames: of one clip.
        source: its name in the results.
        keep: whether frames are given as well; without, of each only the crops of its faces are held.

    Raises:
        VideoError: as `frames` raises it, after the results of the frames before it.
    """
    with closing(run_ahead(_located(face_tracker, frames, keep), 1)) as located:
        for some in located:
            results = face_tracker.read([one for _, one in some], source=source)
            yield from zip(results, (frame for frame, _ in some), strict=True)


def _located(
    face_tracker: FaceTracker, frames: Generator[Frame, None, None], keep: bool
) -> Generator[list[tuple[Frame | None, Located]], None, None]:
    """Frames in lists of those that are read together; an error comes after the frames before it."""
    some: list[tuple[Frame | None, Located]] = []
    with closing(frames):
        try:
            for frame in frames:
                located = face_tracker.locate(frame.pixels, frame.time, frame.index)
                some.append((frame if keep else None, located))
                if len(some) >= min(_TOGETHER, frames_ahead(frame.pixels)):
                    yield some
                    some = []
        except VideoError:
            if some:
                yield some
            raise
        if some:
            yield some
