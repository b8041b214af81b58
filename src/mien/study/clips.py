"""The clips of a study, each read once: what was seen goes into a file of its own, so a stopped study goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien._core.files import atomic_file, write_atomically, write_json
from mien._core.version import __version__
from mien.errors import StudyError, VideoError
from mien.faces.detector import detector_model
from mien.output.writers import open_writer
from mien.recognition import EmotionRecognizer
from mien.study.frames import ClipFrames
from mien.video.clips import Clip
from mien.video.face_tracker import PATIENCE, FaceTracker
from mien.video.reader import video_info
from mien.video.sampling import EVERY_FRAME, Sampling
from mien.video.smoothing import TIME_CONSTANT

Progress = Callable[[str, int, int], None]

_RECORD = "study.json"
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
            "min_quality": self.recognizer.min_quality,
            **asdict(self.sampling),
            "patience": self.patience,
            "smoothing": self.smoothing,
        }


class ReadClips:
    """What was read of the clips of a study so far, in its folder.

    Args:
        folder: of the study, made if missing.
        reading: how; a folder is read in one way.

    Attributes:
        settings: what the reading depends on, name -> value.

    Raises:
        StudyError: the folder holds something else, a study that was read in another way, or a table that somebody
            has changed.
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._folder, self._reading = folder, reading
        self.settings, record = reading.to_dict(), folder / _RECORD
        self._tables: dict[str, list[str]] = {}
        if record.exists():
            found = _json_of(record)
            before, self._tables = found.get("reading", {}), found.get("tables", {})
            changed = [name for name, value in self.settings.items() if before.get(name) != value]
            if changed:
                was, now = (
                    {name: values.get(name) for name in changed} for values in (before, self.settings)
                )
                raise StudyError(
                    f"{folder}: was read with {was}, now {now}; expected the same, or a new folder"
                )
        elif folder.is_dir() and any(folder.iterdir()):
            raise StudyError(f"{folder}: not empty, and no study; expected a new folder, or that of a study")
        self._check_tables()
        (folder / _READ).mkdir(parents=True, exist_ok=True)
        if not record.exists():
            self._write_record()

    def _check_tables(self) -> None:
        """Raise where a table was changed by somebody: it would be lost."""
        for name, digests in self._tables.items():
            path = self._folder / name
            if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() not in digests:
                raise StudyError(
                    f"{path}: was changed since it was written, and would be written anew; expected it elsewhere: move "
                    "it (a list of people is named by --people), or delete it"
                )

    def write_tables(self, texts: Mapping[str, str]) -> None:
        """Write tables, name -> text; those of before that are none of these are removed.

        Raises:
            OSError: a file cannot be written.
        """
        before = self._tables
        new = {name: [hashlib.sha256(text.encode()).hexdigest()] for name, text in texts.items()}
        # Both while they are written: stopped there, the next run must not take one for changed.
        self._tables = {name: [*before.get(name, []), *new.get(name, [])] for name in (before | new)}
        self._write_record()
        for name, text in texts.items():
            write_atomically(self._folder / name, text)
        for name in before.keys() - new.keys():
            (self._folder / name).unlink(missing_ok=True)
        self._tables = new
        self._write_record()

    def _write_record(self) -> None:
        values = {"mien": __version__, "reading": self.settings, "tables": self._tables}
        write_json(self._folder / _RECORD, values)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the model."""
        return self._reading.recognizer.labels

    def read(self, clip: str, path: Path, progress: Progress) -> bool:
        """Read a clip unless that is done; whether it was read now.

        A clip that broke off is read anew next time, for it may be whole then. Stopped while it reads, nothing of this
        clip is kept.

        Raises:
            OSError: the file of what was read cannot be written.
        """
        record = self._path(clip, ".json")
        if record.exists():
            before = _json_of(record)
            if not before.get("error") and before.get("file") == _stamp(path) and self._path(clip).exists():
                return False
        found: dict[str, Any] = {"clip": clip, "path": str(path), "file": _stamp(path), "error": ""}
        try:
            found |= video_info(path)._asdict()
        except VideoError as error:
            found["error"] = str(error)
        with (
            atomic_file(self._path(clip)) as file,
            open_writer("parquet", file, self.labels, smoothed=True) as writer,
        ):
            if not found["error"]:
                found["error"] = self._watch(path, writer.write, progress)
        write_json(record, found)
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
        """What the header and the reading say of a clip, and its frames."""
        frames = ClipFrames.read(clip, self._path(clip), self.labels)
        return _json_of(self._path(clip, ".json")), frames

    def rows(self, clip: str) -> Path:
        """The Parquet file of a clip's frames."""
        return self._path(clip)

    def _path(self, clip: str, ending: str = ".parquet") -> Path:
        # A clip's name may be a path, or longer than a file's name may be.
        short = "".join(c if c.isalnum() or c in "-._" else "_" for c in Path(clip).name)[:60]
        digest = hashlib.sha256(clip.encode(errors="surrogateescape")).hexdigest()[:12]
        return self._folder / _READ / f"{short}-{digest}{ending}"


def _stamp(path: Path) -> list[int] | None:
    """Size and time of the last change: whether a file is still the one that was read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _json_of(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: not the record of a study ({error}); choose a new folder") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: not the record of a study; choose a new folder")
    return values
