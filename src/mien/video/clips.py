"""Many clips, one after the other: an error in one becomes a row, and the others are processed."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import VideoError
from mien.faces.anonymize import FaceAnonymizer, Hide
from mien.faces.detector import search_to_anonymize
from mien.images.find import find_files
from mien.output.image_files import FreeStems, in_folder
from mien.results import FrameResult
from mien.video.clip_stats import ClipRecord
from mien.video.face_tracker import DETECTION_INTERVAL, PATIENCE, FaceReader, FaceTracker, track_frames
from mien.video.reader import VIDEO_SUFFIXES, Frame, VideoInfo, read_video, video_info
from mien.video.report import write_clip_report
from mien.video.sampling import Sampling
from mien.video.smoothing import TIME_CONSTANT
from mien.video.writer import ClipWriter

Progress: TypeAlias = Callable[[str, int, int], None]


def find_clips(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The clips that files, folders and glob patterns name; as `find_images`, by `VIDEO_SUFFIXES`."""
    return find_files(paths, VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Clip:
    """A clip, how to watch it, and what to make of it besides rows.

    Args:
        recognizer: finds faces and recognises their expressions.
        path: the clip.
        sampling: which frames.
        patience, smoothing: seconds, as for `FaceTracker`.
        annotated: file for the clip with boxes and labels; None for none.
        report: file for its page; None for none.
        blur_faces: whether faces are made unrecognisable in the annotated clip, which is silent then, and on the page.
        thumbnails: whether the page has pictures of faces.
        name: that the page calls the clip by; None for its path.
        player: whether the page plays the clip; with `blur_faces` the annotated one, or none.

    Raises:
        ValueError: a negative patience or smoothing.
    """

    recognizer: FaceReader
    path: Path
    sampling: Sampling
    patience: float = PATIENCE
    smoothing: float = TIME_CONSTANT
    annotated: Path | None = None
    report: Path | None = None
    blur_faces: bool = False
    thumbnails: bool = True
    player: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        FaceTracker(self.recognizer, patience=self.patience, smoothing=self.smoothing)

    def watch(
        self, progress: Progress = lambda what, done, total: None
    ) -> Generator[FrameResult, None, None]:
        """Every frame's result; where the clip cannot be read, or read on, a last result with its error.

        Args:
            progress: called with (what, milliseconds done, milliseconds in all) of the clip.

        Raises:
            OSError: the annotated clip or the report cannot be written.
        """
        record, hide = ClipRecord(self.recognizer.labels), self._hider()
        with ExitStack() as stack:
            if self.report is not None:
                # Also of what was seen until an error or an interruption.
                stack.callback(self._write_report, self.report, record)
            try:
                info = video_info(self.path)
                draw = stack.enter_context(self._drawing(info))
                frames = stack.enter_context(closing(self._frames()))
                for result, frame in frames:
                    if frame is not None:
                        shown = hide(frame.picture, result)
                        draw(shown, result)
                        record.add(result, shown)
                    self._tell(progress, info, result)
                    yield result
            except VideoError as error:
                said = str(error).replace(str(self.path), self.name or str(self.path))
                end = FrameResult(str(self.path), error=said, labels=self.recognizer.labels, smoothed=True)
                record.add(end, None)
                yield end

    def _write_report(self, path: Path, record: ClipRecord) -> None:
        wanted, config = self.sampling, self.recognizer.classifier.config
        rate = "all" if wanted.fps is None else f"{wanted.fps:g} a second"
        settings = {
            "clip": self.name or self.path,
            "frames read": f"every {wanted.every}." if wanted.every else rate,
            "part": f"from {wanted.start:g} s" + ("" if wanted.end is None else f" to {wanted.end:g} s"),
            "model": f"{config.name} ({config.sha256[:12]})",
            "detector": f"{self.recognizer.detector.backend}, searched at least every {DETECTION_INTERVAL} s",
            "smoothing": f"time constant {self.smoothing:g} s",
            "patience": f"{self.patience:g} s out of sight",
        }
        played = self.annotated if self.blur_faces else self.path
        write_clip_report(
            record,
            path,
            source=self.name or str(self.path),
            settings=settings,
            clip=played if self.player else None,
            thumbnails=self.thumbnails,
        )

    def _hider(self) -> Hide:
        if not self.blur_faces or (self.annotated is None and self.report is None):
            return lambda picture, result: picture
        return FaceAnonymizer(search_to_anonymize()).hide

    def _frames(self) -> Generator[tuple[FrameResult, Frame | None], None, None]:
        face_tracker = FaceTracker(self.recognizer, patience=self.patience, smoothing=self.smoothing)
        shown = self.annotated is not None or self.report is not None
        return track_frames(face_tracker, read_video(self.path, self.sampling), str(self.path), keep=shown)

    def _tell(self, progress: Progress, info: VideoInfo, result: FrameResult) -> None:
        end = min(e for e in (self.sampling.end, info.duration, float("inf")) if e is not None)
        if end < float("inf"):
            start = self.sampling.start
            done = round(1000 * ((result.time or 0.0) - start))
            progress(self.path.name, done, max(1, round(1000 * (end - start))))

    @contextmanager
    def _drawing(self, info: VideoInfo) -> Iterator[Callable[[NDArray[np.uint8], FrameResult], None]]:
        if self.annotated is None:
            yield lambda picture, result: None
            return
        sound = not self.blur_faces  # voices identify people, too
        fps = self.sampling.fps or (info.fps or 30.0) / (self.sampling.every or 1)
        with ClipWriter(self.annotated, self.path, fps=fps, start=self.sampling.start, sound=sound) as writer:
            yield writer.write


def output_paths(
    option: Path,
    clips: list[Path],
    suffix: str,
    ending: str = "",
    *,
    paths: Iterable[str | os.PathLike[str]] = (),
) -> list[Path]:
    """Where what is made of every clip goes: a file for one clip, else files in a folder, named like the clips.

    What is below a folder of `paths` keeps its place there.

    Args:
        option: a file name that ends with `suffix`, or a folder, which is made if it is not there.
        clips: the sources.
        suffix: such as ".mp4".
        ending: added to the clip's name in a folder, so the file cannot be the clip itself.
        paths: the files, folders and patterns that were named.

    Raises:
        ValueError: a file name for more than one clip, or the clip itself.
    """
    if option.suffix.lower() == suffix and not option.is_dir():
        if len(clips) > 1:
            raise ValueError(f"{option}: one file for {len(clips)} clips; expected a folder")
        if any(clip.exists() and option.exists() and clip.samefile(option) for clip in clips):
            raise ValueError(f"{option}: the clip itself; expected another file")
        option.parent.mkdir(parents=True, exist_ok=True)
        return [option] * len(clips)
    stems = FreeStems(paths)
    return [in_folder(option, f"{stems.take(str(clip))}{ending}{suffix}") for clip in clips]
