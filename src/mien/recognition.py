"""`EmotionRecognizer`: a picture in, the expression of every face out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import scaled
from mien._core.parallel import THREADS, map_chunks, run_ahead
from mien.errors import ImageError
from mien.faces.detector import FaceDetector
from mien.faces.quality import assess_quality, check_min_quality, split_by_quality
from mien.images.jpeg_draft import Draft, read_draft
from mien.images.read import ImageSource
from mien.images.runs import Named, in_runs, read_files
from mien.models.classifier import EmotionClassifier
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_HEAD, DEFAULT_MODEL, DETECTOR_SIZE, MIN_SIZE
from mien.results import Face, FaceEmotion, FrameResult, TrackedFrame
from mien.video.face_tracker import PATIENCE, FaceTracker, track_frames
from mien.video.reader import read_video
from mien.video.sampling import Sampling
from mien.video.smoothing import TIME_CONSTANT

_TOGETHER = 64  # faces, or pictures, of which the faces are classified in one go
_HELD = 1 << 26  # bytes of pictures that wait for that, where they are asked for
_READ_AHEAD = 1  # runs of pictures
_FINDERS = min(4, THREADS)  # threads that search them; each one holds a picture
_ENOUGH = 2  # pixels of a crop to one of the model's input, from which a larger picture tells it nothing

Picture: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Recognized:
    """A picture's result with what it was read from, for who draws or explains it.

    Attributes:
        result: the faces and their expressions, or the error.
        picture: (H, W, 3) uint8 RGB, whole; None where it could not be read, or was not asked for.
        crops: of the faces in `result`, in their order: (size, size) uint8 grey, what the model saw.
    """

    result: FrameResult
    picture: Picture | None = None
    crops: Sequence[Picture] = ()


@dataclass(frozen=True)
class _Found:
    """A picture whose faces are found and cut out, and not classified yet; or why there is none."""

    source: str
    width: int | None = None
    height: int | None = None
    faces: Sequence[Face] = ()
    crops: list[Picture] = field(default_factory=list, repr=False)
    picture: Picture | None = field(default=None, repr=False)
    error: str | None = None


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
        turns: as `FaceDetector` takes it; not together with a detector, which has its own. None for False.
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
        turns: bool | None = None,
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
            _check_none("a FaceDetector", detector_size=detector_size, min_size=min_size, turns=turns)
            self.detector = detector
        else:
            self.detector = FaceDetector(
                detector,
                size=DETECTOR_SIZE if detector_size is None else detector_size,
                min_size=MIN_SIZE if min_size is None else min_size,
                turns=bool(turns),
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
        name, draft = _named(image, self.detector.enough, source)
        return recognize_draft(self, draft, name)

    def recognize_batch(self, images: Iterable[ImageSource]) -> Iterator[FrameResult]:
        """The faces of every picture, in order; faces of several pictures are classified together.

        Answers come some pictures later than their pictures are taken: of these only the crops are kept.

        Args:
            images: as `recognize` takes one, each.

        Raises:
            ImageError, TypeError, ValueError: as `recognize` raises them, at the picture that cannot be read.
        """
        named = (_named(image, self.detector.enough) for image in images)
        found = (one for run in in_runs(named) for one in self._find(run))
        return (result for result, _ in self._tell_together(found))

    def recognize_files(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[FrameResult]:
        """Every picture's result, one after the other; memory does not grow with their number.

        A picture that cannot be read is a result with its `error`; the others go on.

        Args:
            paths: files, folders (with all their folders), glob patterns, or "-" for standard input.
        """
        return (one.result for one in recognize_and_keep(self, paths, pictures=False))

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
        height, width = picture.shape[:2]
        return next(self._classify([self._cut("", Draft(picture, width, height), faces)]))

    def _find(self, run: Sequence[Named], *, keep: bool = False) -> list[_Found]:
        """The faces of every picture of a run, cut out; with `keep` also the pictures, whole."""
        drafts = [draft for _, draft in run if not isinstance(draft, ImageError)]
        faces = iter(
            self.detector.detect_batch([one.pixels for one in drafts], [one.scale for one in drafts])
        )
        return [
            _Found(source, error=str(draft))
            if isinstance(draft, ImageError)
            else self._cut(source, draft, next(faces), keep=keep)
            for source, draft in run
        ]

    def _cut(self, source: str, draft: Draft, faces: Sequence[Face], *, keep: bool = False) -> _Found:
        """The faces, in pixels of the whole picture, each cut out of a copy that shows all that the model sees."""
        size, copies = self.classifier.config.input_size, {draft.scale: draft.pixels}
        crops = []
        for face in faces:
            scale = draft.scale
            while scale > draft.finest and self.detector.square(face).side < _ENOUGH * size * scale:
                scale //= 2
            if scale not in copies:
                copies[scale] = draft.at(scale)
            crops.append(self.detector.crop(copies[scale], scaled(face, 1 / scale), size=size))
        whole = (copies.get(1) if 1 in copies else draft.at(draft.finest)) if keep else None
        return _Found(source, draft.width, draft.height, faces, crops, whole)

    def _tell_together(self, pictures: Iterable[_Found]) -> Iterator[tuple[FrameResult, _Found]]:
        """Every picture's result; faces of several pictures are classified together."""
        held: list[_Found] = []
        faces = size = 0
        for one in pictures:
            held.append(one)
            faces += len(one.crops)
            size += 0 if one.picture is None else one.picture.nbytes
            if faces >= _TOGETHER or len(held) >= _TOGETHER or size >= _HELD:
                yield from self._tell(held)
                held, faces, size = [], 0, 0
        yield from self._tell(held)

    def _tell(self, found: Sequence[_Found]) -> Iterator[tuple[FrameResult, _Found]]:
        """Every picture's result, and the picture with the crops of the faces that are in it."""
        for one, faces in zip(found, self._classify(found), strict=True):
            good, filtered = split_by_quality(faces, self.min_quality)
            crops = [
                crop for face, crop in zip(faces, one.crops, strict=True) if face.is_good(self.min_quality)
            ]
            result = FrameResult(
                one.source,
                one.width,
                one.height,
                tuple(good),
                one.error,
                labels=self.labels,
                filtered=filtered,
            )
            yield result, replace(one, crops=crops)

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
    named = _named(image, recognizer.detector.enough, source)
    ((result, found),) = recognizer._tell(recognizer._find([named], keep=True))
    return Recognized(result, found.picture, found.crops)


def recognize_draft(recognizer: EmotionRecognizer, draft: Draft, source: str) -> FrameResult:
    """As `EmotionRecognizer.recognize`, of a picture that `read_draft` has read."""
    ((result, _),) = recognizer._tell(recognizer._find([(source, draft)]))
    return result


def recognize_drafts(recognizer: EmotionRecognizer, drafts: Iterable[Draft]) -> Iterator[FrameResult]:
    """As `EmotionRecognizer.recognize_batch`, of pictures that `read_draft` has read."""
    found = (one for run in in_runs(("", draft) for draft in drafts) for one in recognizer._find(run))
    return (result for result, _ in recognizer._tell_together(found))


def recognize_and_keep(
    recognizer: EmotionRecognizer, paths: Iterable[str | os.PathLike[str]], *, pictures: bool = True
) -> Iterator[Recognized]:
    """As `EmotionRecognizer.recognize_files`, with the crops and, if asked for, the pictures.

    A picture that cannot be read is a result with its `error`; the others go on.
    """
    paths = list(paths)
    runs = in_runs(read_files(paths, recognizer.detector.enough))
    if "-" in paths:  # a terminal cannot be left while it is read
        found = (one for run in runs for one in recognizer._find(run, keep=pictures))
        yield from _kept(recognizer, found)
        return
    # Pictures are read while faces of those before are found, by several threads if they need not wait for each other.
    threads = _FINDERS if recognizer.detector.concurrent else 1
    with closing(run_ahead(runs, _READ_AHEAD)) as read:
        searched = map_chunks(
            lambda run: recognizer._find(run, keep=pictures),
            ([run] for run in read),
            threads=threads,
            ahead=1,
        )
        with closing(searched):
            yield from _kept(recognizer, (one for ((*run,),) in searched for one in run))


def _kept(recognizer: EmotionRecognizer, found: Iterable[_Found]) -> Iterator[Recognized]:
    return (Recognized(result, one.picture, one.crops) for result, one in recognizer._tell_together(found))


def _named(image: ImageSource, side: int, source: str | None = None) -> tuple[str, Draft]:
    """A picture under its name: a path, or "" where it has none."""
    draft = read_draft(image, side)
    if source is None:
        source = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
    return source, draft


def _check_none(owner: str, **values: Any) -> None:
    """Raise a ValueError where a value is given besides an object that has its own."""
    for name, value in values.items():
        if value is not None:
            raise ValueError(f"{name}={value!r} together with {owner}, which has its own: give it there")
