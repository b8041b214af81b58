"""`EmotionRecognizer`: a picture in, the expression of every face out."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError
from mien.faces.detector import FaceDetector
from mien.faces.quality import check_min_quality, judge, split_by_quality
from mien.images.find import find_images
from mien.images.read import MAX_BYTES, ImageSource, read_image
from mien.models.classifier import EmotionClassifier
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_MODEL
from mien.results import Face, FaceEmotion, FrameResult, TrackedFrame
from mien.video.face_tracker import PATIENCE, FaceTracker, track_frames
from mien.video.reader import Sampling, read_video
from mien.video.smoothing import TIME_CONSTANT

_Cut = tuple[Face, NDArray[np.uint8]]  # a face and its crop
_TOGETHER = 64  # faces, or pictures, of which the faces are classified in one go


class EmotionRecognizer:
    """Finds the faces of a picture and recognises their expressions.

    Make one and keep it. Threads may share it: with mien's own detector they work at the same time, with OpenCV's they
    search one after the other; a clip's generator belongs to one thread. Processes may share it, as in
    `Pool.map(recognizer.recognize, paths)`: its pickle says what to load, as that of `EmotionClassifier`.

    Args:
        model: an `EmotionClassifier`, or what it takes: the name of a shipped model, a folder, a run.
        detector: a `FaceDetector`, or what it takes: "mien", "haar", "yunet", a run, or the path of a YuNet file.
        min_quality: faces with a lower `judged.score`, 0 to 1, are left out; 0 for none.

    Raises:
        ModelError, DetectorError: the model or the detector cannot be loaded.
        ValueError: a `min_quality` out of range.
    """

    def __init__(
        self,
        model: EmotionClassifier | str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        detector: FaceDetector | str = DEFAULT_DETECTOR,
        min_quality: float = 0.0,
    ) -> None:
        self.min_quality = check_min_quality(min_quality)
        self.classifier = model if isinstance(model, EmotionClassifier) else EmotionClassifier(model)
        self.detector = detector if isinstance(detector, FaceDetector) else FaceDetector(detector)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the probabilities, in order."""
        return self.classifier.labels

    def recognize(self, image: ImageSource) -> list[FaceEmotion]:
        """The faces of a picture, in the detector's order, each with its expression; empty without a face.

        Args:
            image: a path, an encoded file's bytes, an open binary file, a Pillow image, or an array: (H, W, 3) uint8
                RGB or (H, W) uint8 grey.

        Raises:
            ImageError: it cannot be read as a picture.
            TypeError, ValueError: no picture at all, or an array of another type or shape.
        """
        return next(self.recognize_all([read_image(image)]))

    def recognize_all(self, pictures: Iterable[NDArray[np.uint8]]) -> Iterator[list[FaceEmotion]]:
        """The faces of every picture, in order; faces of several pictures are classified together.

        Answers come some pictures later than their pictures are taken: of these only the crops are kept.

        Args:
            pictures: (H, W, 3) uint8 RGB each.
        """
        found: list[list[_Cut]] = []
        waiting = 0
        for picture in pictures:
            found.append(self._cut(picture, self.detector.detect(picture)))
            waiting += len(found[-1])
            if waiting >= _TOGETHER or len(found) >= _TOGETHER:
                yield from self._tell_good(found)
                found, waiting = [], 0
        yield from self._tell_good(found)

    def read_faces(self, picture: NDArray[np.uint8], faces: Sequence[Face]) -> list[FaceEmotion]:
        """The expressions of faces that were found in a picture (H, W, 3) uint8 RGB, in their order; of all of them."""
        return next(self._tell([self._cut(picture, faces)]))

    def _cut(self, picture: NDArray[np.uint8], faces: Sequence[Face]) -> list[_Cut]:
        size = self.classifier.config.input_size
        return [(face, self.detector.crop(picture, face, size=size)) for face in faces]

    def _tell_good(self, found: list[list[_Cut]]) -> Iterator[list[FaceEmotion]]:
        return (split_by_quality(faces, self.min_quality)[0] for faces in self._tell(found))

    def _tell(self, found: list[list[_Cut]]) -> Iterator[list[FaceEmotion]]:
        """Faces with their crops, a list a picture -> with their expressions."""
        predictions = iter(self.classifier.classify([crop for faces in found for _, crop in faces]))
        for faces in found:
            yield [
                FaceEmotion(face, next(predictions), next(iter(judged.reasons), None), judged=judged)
                for face, crop in faces
                for judged in [judge(crop, face.box)]
            ]

    def recognize_picture(self, picture: NDArray[np.uint8], source: str) -> FrameResult:
        """The faces of a picture (H, W, 3) uint8 RGB together with its size, under the name `source`."""
        height, width = picture.shape[:2]
        faces, left_out = split_by_quality(
            self.read_faces(picture, self.detector.detect(picture)), self.min_quality
        )
        return FrameResult(source, width, height, tuple(faces), labels=self.labels, left_out=left_out)

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
        """The faces of every frame, each with its track, its expression and the smoothed one; no frame is skipped.

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

    def recognize_files(
        self, paths: Iterable[str | os.PathLike[str]]
    ) -> Iterator[tuple[FrameResult, NDArray[np.uint8] | None]]:
        """Every picture's result and pixels, one after the other; memory does not grow with their number.

        A picture that cannot be read gives a result with its `error`, and None; the others are processed.

        Args:
            paths: files, folders (with all their folders), glob patterns, or "-" for standard input.
        """
        for path in find_images(paths):
            name = str(path)
            try:
                picture = read_image(sys.stdin.buffer.read(MAX_BYTES + 1) if name == "-" else path)
            except ImageError as error:
                yield FrameResult(name, error=str(error), labels=self.labels), None
                continue
            yield self.recognize_picture(picture, name), picture
