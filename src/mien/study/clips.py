"""The clips of a study, each read once: what was seen goes into a file of its own, so a stopped study goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien._core.files import UNFINISHED, atomic_file, write_json
from mien._core.version import __version__
from mien.errors import StudyError, VideoError
from mien.faces.detector import detector_model
from mien.output.writers import open_writer
from mien.recognition import EmotionRecognizer
from mien.study.frames import ClipFrames, is_whole
from mien.video.clips import Clip
from mien.video.face_tracker import PATIENCE, FaceTracker
from mien.video.reader import video_info
from mien.video.sampling import EVERY_FRAME, Sampling
from mien.video.smoothing import TIME_CONSTANT

Progress = Callable[[str, int, int], None]

_RECORD = "study.json"
_FORMERLY = {"turns": False}  # what studies of earlier versions were read with, and did not record
_READ = "read"  # the folder of what was read, a file a clip


@dataclass(frozen=True, eq=False)
class Reading:
    """How the clips of a study are read.

    Args:
        recognizer: finds faces and recognises their expressions.
        sampling: which frames.
        patience, smoothing: seconds, as for `FaceTracker`.

    Raises:
        ValueError: a negative patience or smoothing.
    """

    recognizer: EmotionRecognizer
    sampling: Sampling = EVERY_FRAME
    patience: float = PATIENCE
    smoothing: float = TIME_CONSTANT

    def __post_init__(self) -> None:
        FaceTracker(self.recognizer, patience=self.patience, smoothing=self.smoothing)

    def to_dict(self) -> dict[str, Any]:
        """All that what is read depends on, as plain values."""
        config, detector = self.recognizer.classifier.config, self.recognizer.detector
        own = detector_model(detector.backend)
        return {
            "model": config.name,
            "model_sha256": config.sha256,
            "head": self.recognizer.classifier.head,
            "min_confidence": self.recognizer.classifier.min_confidence,
            "detector": detector.backend,
            "detector_sha256": "" if own is None else own.sha256,
            "detector_size": detector.size,
            "min_size": detector.min_size,
            "turns": detector.turns,
            "min_quality": self.recognizer.min_quality,
            **asdict(self.sampling),
            "patience": self.patience,
            "smoothing": self.smoothing,
        }


class ReadClips:
    """What was read of the clips of a study so far, in its folder.

    A clip is known by its file's name, size and time of change: it may be moved.

    Args:
        folder: of the study, made if missing.
        reading: how; a folder is read in one way.

    Attributes:
        settings: what the reading depends on, name -> value.

    Raises:
        StudyError: the folder holds something else, or a study that was read in another way.
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._folder, self._reading, self.settings = folder / _READ, reading, reading.to_dict()
        self._files: dict[str, Path] = {}  # clip -> where its frames are
        record = folder / _RECORD
        if record.exists():
            self._check(folder, _json_of(record).get("reading"))
        elif folder.is_dir() and any(folder.iterdir()):
            raise StudyError(f"{folder}: not empty, and no study; expected a new folder, or that of a study")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(record, {"mien": __version__, "reading": self.settings})
        self._folder.mkdir(exist_ok=True)

    def tidy(self) -> None:
        """Remove what a killed run left behind; only while no other runs."""
        for left in self._folder.glob(f".*{UNFINISHED}"):
            left.unlink()

    def _check(self, folder: Path, before: Any) -> None:
        if not isinstance(before, dict):
            raise StudyError(f"{folder / _RECORD}: not the record of a study; choose a new folder")
        before = _FORMERLY | before
        changed = [name for name, value in self.settings.items() if before.get(name) != value]
        if changed:
            was, now = ({name: values.get(name) for name in changed} for values in (before, self.settings))
            raise StudyError(f"{folder}: was read with {was}, now {now}; expected the same, or a new folder")

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the model."""
        return self._reading.recognizer.labels

    def read(self, clip: str, path: Path, progress: Progress) -> bool:
        """Read a clip unless that is done; whether it was read now.

        A clip that broke off is read anew next time, for it may be whole then. One that was read and is away now stays
        as it was. Stopped while it reads, nothing of this clip is kept.

        Args:
            clip: its name in the study.
            path: of the file.
            progress: called with (what, milliseconds done, milliseconds in all).

        Raises:
            OSError: the file of what was read cannot be written.
        """
        stamp = _stamp(path)
        file = self._place(path, stamp) if stamp else self._known(path) or self._place(path, [0, 0])
        self._files[clip] = file
        before = _json_of(file.with_suffix(".json"), default={})
        if before and not before.get("error") and is_whole(file):
            if stamp and before.get("path") != str(path):
                write_json(file.with_suffix(".json"), before | {"path": str(path)})
            return False
        found: dict[str, Any] = {"path": str(path), "error": ""}
        try:
            found |= video_info(path)._asdict()
        except VideoError as error:
            found["error"] = str(error)
        with (
            atomic_file(file) as stream,
            open_writer("parquet", stream, self.labels, smoothed=True) as writer,
        ):
            if not found["error"]:
                found["error"] = self._watch(path, writer.write, progress)
        write_json(file.with_suffix(".json"), found)
        return True

    def _watch(self, path: Path, write: Callable[[Any], None], progress: Progress) -> str:
        """Every frame to `write`; the error that ends the clip, "" if none does."""
        reading, error = self._reading, ""
        clip = Clip(reading.recognizer, path, reading.sampling, reading.patience, reading.smoothing)
        with closing(clip.watch(progress)) as results:
            for result in results:
                error = result.error or error
                write(result)
        return error

    def found(self, clip: str) -> tuple[dict[str, Any], ClipFrames]:
        """The header of a clip that `read` has seen, and its frames."""
        return self.header(clip), ClipFrames.read(clip, self._files[clip], self.labels)

    def header(self, clip: str) -> dict[str, Any]:
        """What the header and the reading say of a clip that `read` has seen."""
        return _json_of(self._files[clip].with_suffix(".json")) | {"clip": clip}

    def rows(self, clip: str) -> Path:
        """The Parquet file of the frames of a clip that `read` has seen."""
        return self._files[clip]

    def _known(self, path: Path) -> Path | None:
        """What was read of a file that is away, if anything."""
        records = sorted(self._folder.glob("*.json"))
        found = [one for one in records if _json_of(one, default={}).get("path") == str(path)]
        return found[-1].with_suffix(".parquet") if found else None

    def _place(self, path: Path, stamp: list[int]) -> Path:
        short = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.name)[:60]
        digest = hashlib.sha256(f"{path.name} {stamp}".encode(errors="surrogateescape")).hexdigest()
        return self._folder / f"{short}-{digest[:16]}.parquet"


def _stamp(path: Path) -> list[int] | None:
    """Size and time of the last change: whether a file is still the one that was read; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _json_of(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON object; `default` where there is none, or it is broken."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = default
    if not isinstance(values, dict):
        raise StudyError(f"{path}: not the record of a study; choose a new folder")
    return values
