"""`EmotionRecognizer`: a picture in, the expression of every face out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mien.classification import EmotionClassifier
from mien.detection import FaceDetector
from mien.errors import ImageError
from mien.images import MAX_BYTES, ImageSource, find_images, read_image
from mien.quality import assess
from mien.results import FaceEmotion, FrameResult
from mien.weights import DEFAULT_DETECTOR, DEFAULT_MODEL


class EmotionRecognizer:
    """Finds the faces of a picture and tells their expressions.

    Args:
        model: an `EmotionClassifier`, or what it takes: the name of a shipped model, a folder, a run.
        detector: a `FaceDetector`, or what it takes: "mien", "haar", "yunet", a run, or the path of a YuNet file.

    Raises:
        ModelError, DetectorError: the model or the detector cannot be loaded.
    """

    def __init__(
        self,
        model: EmotionClassifier | str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        detector: FaceDetector | str = DEFAULT_DETECTOR,
    ) -> None:
        self.classifier = model if isinstance(model, EmotionClassifier) else EmotionClassifier(model)
        self.detector = detector if isinstance(detector, FaceDetector) else FaceDetector(detector)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the probabilities, in order."""
        return self.classifier.labels

    def recognize(self, image: ImageSource) -> list[FaceEmotion]:
        """The faces of a picture, in the detector's order, each with its expression; empty without a face.

        Args:
            image: a path, an encoded file's bytes, a Pillow image, or an array: (H, W, 3) uint8 RGB or (H, W)
                uint8 grey.

        Raises:
            ImageError: it cannot be read as a picture.
            TypeError, ValueError: an array of another type or shape.
        """
        picture = read_image(image)
        faces = self.detector.detect(picture)
        size = self.classifier.config.input_size
        crops = [self.detector.crop(picture, face, size=size) for face in faces]
        predictions = self.classifier.classify(crops)
        return [
            FaceEmotion(face, prediction, quality=assess(crop, face.box))
            for face, prediction, crop in zip(faces, predictions, crops, strict=True)
        ]

    def recognize_picture(self, picture: NDArray[np.uint8], source: str) -> FrameResult:
        """The faces of a picture (H, W, 3) uint8 RGB together with its size, under the name `source`."""
        height, width = picture.shape[:2]
        return FrameResult(source, width, height, tuple(self.recognize(picture)), labels=self.labels)

    def recognize_files(
        self, paths: Iterable[str | os.PathLike[str]]
    ) -> Iterator[tuple[FrameResult, NDArray[np.uint8] | None]]:
        """Every picture's result and pixels, one after the other; memory does not grow with their number.

        A picture that cannot be read is a result with its `error`, and None; the others go on.

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
