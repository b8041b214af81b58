"""`EmotionRecognizer`: a picture in, the expression of every face out."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien._core.parallel import run_ahead
from mien.errors import ImageError
from mien.faces.detector import FaceDetector
from mien.faces.quality import assess_quality, check_min_quality, split_by_quality
from mien.images.find import find_images
from mien.images.read import MAX_BYTES, ImageSource, read_image
from mien.models.classifier import EmotionClassifier
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_HEAD, DEFAULT_MODEL, DETECTOR_SIZE, MIN_SIZE
from mien.results import Face, FaceEmotion, FrameResult, TrackedFrame
from mien.video.face_tracker import PATIENCE, FaceTracker, track_frames
from mien.video.reader import read_video
from mien.video.sampling import Sampling
from mien.video.smoothing import TIME_CONSTANT

_TOGETHER = 64  # faces, or pictures, of which the faces are classified in one go
_SMALL = 160  # pixels: up to this long side several pictures are searched faster at once than one by one
_SEARCHED = 8  # of them at once
_READ_AHEAD = 1  # of such lists

Picture: TypeAlias = NDArray[np.uint8]
_NamedT = TypeVar("_NamedT", bound="tuple[str, Picture | ImageError]")


@dataclass(frozen=True, eq=False)
class Recognized:
    """A picture's result with what it was read from, for who draws or explains it.

    Attributes:
        result: the faces and their expressions, or the error.
        picture: (H, W, 3) uint8 RGB; None where it could not be read.
        crops: of the faces in `result`, in their order: (size, size) uint8 grey, what the model saw.
    """

    result: FrameResult
    picture: Picture | None = None
    crops: Sequence[Picture] = ()


@dataclass(frozen=True)
class _Found:
    """A picture whose faces are found and cut out, and not classified yet."""

    source: str
    width: int
    height: int
    faces: Sequence[Face]
    crops: list[Picture] = field(repr=False)


class EmotionRecognizer:
    """Finds the faces of a picture and recognises their expressions.

    Make one and keep it. Threads may share it: with mien's own detector they work at the same time, with OpenCV's they
    search one after the other; a clip's generator belongs to one thread. Processes may share it, as in
    `Pool.map(recognizer.recognize, paths)`: its pickle says what to load, as that of `EmotionClassifier`.

    Its arguments are named as the options of the command are.

    Args:
        model: an `EmotionClassifier`, or what it takes: the name of a shipped model, a folder, a run.
        head: the model's output, as `EmotionClassifier` takes it; not together with a classifier, which has its own.
        detector: a `FaceDetector`, or what it takes: "mien", "haar", "yunet", a run, or the path of a YuNet file.
        detector_size: as `size` of `FaceDetector`; not together with a detector, which has its own. None for 640.
        min_size: as `min_size` of `FaceDetector`; not together with a detector, which has its own. None for 20.
        min_quality: faces with a lower `quality.score`, 0 to 1, are filtered out; 0 for none.
        min_confidence: as `EmotionClassifier` takes it; not together with a classifier, which has its own.

    Raises:
        ModelError, DetectorError: the model or the detector cannot be loaded, or the model has no such head.
        ValueError: a value out of range, or one that the given classifier or detector has already.
    """

    def __init__(
        self,
        model: EmotionClassifier | str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        head: str | None = None,
        detector: FaceDetector | str = DEFAULT_DETECTOR,
        detector_size: int | None = None,
        min_size: int | None = None,
        min_quality: float = 0.0,
        min_confidence: float | None = None,
    ) -> None:
        self.min_quality = check_min_quality(min_quality)
        if isinstance(model, EmotionClassifier):
            _check_none("an EmotionClassifier", head=head, min_confidence=min_confidence)
            self.classifier = model
        else:
            self.classifier = EmotionClassifier(
                model, head=head or DEFAULT_HEAD, min_confidence=min_confidence
            )
        if isinstance(detector, FaceDetector):
            _check_none("a FaceDetector", detector_size=detector_size, min_size=min_size)
            self.detector = detector
        else:
            self.detector = FaceDetector(
                detector,
                size=DETECTOR_SIZE if detector_size is None else detector_size,
                min_size=MIN_SIZE if min_size is None else min_size,
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the probabilities, in order."""
        return self.classifier.labels

    def recognize(self, image: ImageSource, *, source: str | None = None) -> FrameResult:
        """The faces of a picture, in the detector's order, each with its expression.

        The result is a sequence of faces, empty without one: `for face in recognizer.recognize("photo.jpg")`.

        Args:
            image: a path, an encoded file's bytes, an open binary file, a Pillow image, or an array: (H, W, 3) uint8
                RGB or (H, W) uint8 grey.
            source: the picture's name in the result; None for its path, or "" where it has none.

        Raises:
            ImageError: it cannot be read as a picture.
            TypeError, ValueError: no picture at all, or an array of another type or shape.
        """
        return keep_crops(self, image, source=source).result

    def recognize_batch(self, images: Iterable[ImageSource]) -> Iterator[FrameResult]:
        """The faces of every picture, in order; faces of several pictures are classified together.

        Answers come some pictures later than their pictures are taken: of these only the crops are kept.

        Args:
            images: as `recognize` takes one, each.

        Raises:
            ImageError, TypeError, ValueError: as `recognize` raises them, at the picture that cannot be read.
        """
        found: list[_Found] = []
        for one in self._find(_named(image) for image in images):
            found.append(one)
            if sum(len(one.crops) for one in found) >= _TOGETHER or len(found) >= _TOGETHER:
                yield from (result for result, _ in self._tell(found))
                found = []
        yield from (result for result, _ in self._tell(found))

    def recognize_files(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[FrameResult]:
        """Every picture's result, one after the other; memory does not grow with their number.

        A picture that cannot be read is a result with its `error`; the others go on.

        Args:
            paths: files, folders (with all their folders), glob patterns, or "-" for standard input.
        """
        return (one.result for one in recognize_and_keep(self, paths))

    def recognize_video(
        self,
        path: str | os.PathLike[str],
        *,
        every: int | None = None,
        fps: float | None = None,
        start: float = 0.0,
        end: float | None = None,
        patience: float = PATIENCE,
        smoothing: float = TIME_CONSTANT,
    ) -> Generator[TrackedFrame, None, None]:
        """Every frame's faces, each with its track, its expression and the smoothed one; no frame is left out.

        A generator: memory does not grow with the clip, and closing it, or leaving its loop, frees everything.

        Args:
            path: a clip; FFmpeg's formats, animated GIFs too.
            every: read every N-th frame; not together with `fps`.
            fps: read this many frames per second; without either, all.
            start: first second of the clip to read.
            end: where to stop, in seconds; None for its end.
            patience: seconds for which a face may be out of sight and come back as the same track.
            smoothing: time constant of the smoothed probabilities in seconds; 0 for none.

        Raises:
            VideoError: not a video, without frames or too large; or, after the frames that could be read, truncated.
            ValueError: an option out of range.
        """
        frames = read_video(path, Sampling(every, fps, start, end))
        face_tracker = FaceTracker(self, patience=patience, smoothing=smoothing)
        return (result for result, _ in track_frames(face_tracker, frames, str(path)))

    def read_faces(self, picture: Picture, faces: Sequence[Face]) -> list[FaceEmotion]:
        """The expressions of faces that were found in a picture (H, W, 3) uint8 RGB, in their order; of all of them."""
        return next(self._classify([self._cut("", picture, faces)]))

    def _find(self, pictures: Iterable[tuple[str, Picture]]) -> Iterator[_Found]:
        """The faces of every picture, cut out; small pictures are searched together."""
        for some in _in_runs(pictures):
            found = self.detector.detect_batch([picture for _, picture in some])
            for (source, picture), faces in zip(some, found, strict=True):
                yield self._cut(source, picture, faces)

    def _cut(self, source: str, picture: Picture, faces: Sequence[Face]) -> _Found:
        size = self.classifier.config.input_size
        height, width = picture.shape[:2]
        crops = [self.detector.crop(picture, face, size=size) for face in faces]
        return _Found(source, width, height, faces, crops)

    def _tell(self, found: Sequence[_Found]) -> Iterator[tuple[FrameResult, list[Picture]]]:
        """Every picture's result, and the crops of the faces that are in it."""
        for one, faces in zip(found, self._classify(found), strict=True):
            good, filtered = split_by_quality(faces, self.min_quality)
            crops = [
                crop for face, crop in zip(faces, one.crops, strict=True) if face.is_good(self.min_quality)
            ]
            yield (
                FrameResult(
                    one.source, one.width, one.height, tuple(good), labels=self.labels, filtered=filtered
                ),
                crops,
            )

    def _classify(self, found: Sequence[_Found]) -> Iterator[list[FaceEmotion]]:
        """The expressions of all faces, a list a picture."""
        predictions = iter(self.classifier.classify([crop for one in found for crop in one.crops]))
        for one in found:
            yield [
                FaceEmotion(face, next(predictions), assess_quality(crop, face.box))
                for face, crop in zip(one.faces, one.crops, strict=True)
            ]


def keep_crops(recognizer: EmotionRecognizer, image: ImageSource, *, source: str | None = None) -> Recognized:
    """As `EmotionRecognizer.recognize`, with the picture and the crops."""
    name, picture = _named(image, source)
    ((result, crops),) = recognizer._tell(list(recognizer._find([(name, picture)])))
    return Recognized(result, picture, crops)


def recognize_and_keep(
    recognizer: EmotionRecognizer, paths: Iterable[str | os.PathLike[str]]
) -> Iterator[Recognized]:
    """As `EmotionRecognizer.recognize_files`, with the pictures and the crops.

    A picture that cannot be read is a result with its `error`; the others go on.
    """
    paths = list(paths)
    runs = _in_runs(_read_files(paths))
    # The next pictures are read while the faces of these are found. A terminal cannot be left while it is read.
    with closing(runs if "-" in paths else run_ahead(runs, _READ_AHEAD)) as files:
        for some in files:
            pictures = [(name, one) for name, one in some if not isinstance(one, ImageError)]
            found = recognizer._tell(list(recognizer._find(pictures)))
            for name, one in some:
                if isinstance(one, ImageError):
                    yield Recognized(FrameResult(name, error=str(one), labels=recognizer.labels))
                else:
                    result, crops = next(found)
                    yield Recognized(result, one, crops)


def _named(image: ImageSource, source: str | None = None) -> tuple[str, Picture]:
    """A picture under its name: a path, or "" where it has none."""
    picture = read_image(image)
    if source is None:
        source = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
    return source, picture


def _read_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[str, Picture | ImageError]]:
    """Every picture by its name, or why it cannot be read."""
    for path in find_images(paths):
        name = str(path)
        try:
            yield name, read_image(sys.stdin.buffer.read(MAX_BYTES + 1) if name == "-" else path)
        except ImageError as error:
            yield name, error


def _in_runs(pictures: Iterable[_NamedT]) -> Generator[list[_NamedT], None, None]:
    """Small pictures, up to `_SEARCHED` of them, in one list; others in a list each. What is no picture is small."""
    run: list[_NamedT] = []
    for one in pictures:
        large = not isinstance(one[1], ImageError) and max(one[1].shape[:2]) > _SMALL
        if run and large:
            yield run
            run = []
        run.append(one)
        if large or len(run) == _SEARCHED:
            yield run
            run = []
    if run:
        yield run


def _check_none(owner: str, **values: Any) -> None:
    """Raise a ValueError where a value is given besides an object that has its own."""
    for name, value in values.items():
        if value is not None:
            raise ValueError(f"{name}={value!r} together with {owner}, which has its own: give it there")
