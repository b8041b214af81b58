"""The folder that a run writes: its settings, its finished parts, and what they hold already.

The rows are the record: a picture is done when a finished part has a row of it. A part appears by one rename, whole or
not at all, so that a run may be killed at any moment, and the next one goes on with what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from mien.errors import MissingExtraError, SettingsError
from mien.weights import DEFAULT_DETECTOR, DETECTOR_SIZE

SETTINGS_FILE = "batch.json"
MANIFEST_FILE = "manifest.json"
_LOCK_FILE = ".lock"
_UNFINISHED = ".unfinished"
_PARTITION, _NO_VALUE = "folder=", "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class BatchSettings:
    """What every row of a folder was made with.

    Attributes:
        model: what `EmotionClassifier` takes.
        model_sha256: of its ONNX file.
        detector: what `FaceDetector` takes.
        min_size: the least shorter side of a face's box, in pixels.
        partition: "folder" for a folder a first folder of the source, "none" for one folder in all.
        min_quality: the least quality of a face's crop, 0 to 1.
        detector_size: long side in pixels at which mien's own detector searches.
        detector_sha256: of mien's own detector, "" for others.
        decode_side: large JPEGs are decoded smaller, but with so many pixels on the long side; 0 for whole.
    """

    model: str
    model_sha256: str
    detector: str = DEFAULT_DETECTOR
    min_size: int = 20
    partition: str = "none"
    min_quality: float = 0.0
    detector_size: int = DETECTOR_SIZE
    detector_sha256: str = ""
    decode_side: int = 0


def check_installed() -> None:
    """Raise unless the packages are there that read collections and write parts.

    Raises:
        MissingExtraError: they are not.
    """
    if any(find_spec(name) is None for name in ("fsspec", "pyarrow")):
        raise MissingExtraError("mien batch", "batch")


class Output:
    """A folder of parts, made when it is missing.

    Args:
        folder: where to.
        settings: of the run.

    Raises:
        SettingsError: the folder was begun with other settings, or holds something else.
    """

    def __init__(self, folder: Path, settings: BatchSettings) -> None:
        self.folder = folder
        self.settings = settings
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / SETTINGS_FILE
        if not path.exists():
            if any(item.name != _LOCK_FILE for item in folder.iterdir()):
                raise SettingsError(
                    f"{folder}: holds other files; expected a new folder, or one of mien batch"
                )
            write_atomically(path, json.dumps(asdict(settings), indent=2).encode())
        check_settings(path, settings)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For as long as a run writes here; what an earlier one left unfinished is removed.

        Raises:
            SettingsError: another run writes here now.
        """
        with (self.folder / _LOCK_FILE).open("w") as file:
            if not _lock(file):
                raise SettingsError(
                    f"{self.folder}: another run writes here now; wait for its end, or choose another"
                )
            for left in self.folder.rglob(f"*{_UNFINISHED}"):
                left.unlink(missing_ok=True)
            yield

    def parts(self) -> list[Path]:
        """The finished parts, in order."""
        return sorted(self.folder.rglob("part-*.parquet"), key=lambda path: path.name)

    def part_path(self, number: int, folder: str) -> Path:
        """Where a part goes; below "folder=NAME" where the output is partitioned."""
        place = self.folder / partition_name(folder) if self.settings.partition == "folder" else self.folder
        return place / f"part-{number:07d}.parquet"

    def write_manifest(self, *, complete: bool) -> dict[str, Any]:
        """Write and return what the folder holds: settings, parts with their rows, and whether that is all."""
        from pyarrow import parquet

        rows = {
            str(path.relative_to(self.folder)): parquet.read_metadata(path).num_rows for path in self.parts()
        }
        manifest = {
            "complete": complete,
            "rows": sum(rows.values()),
            "settings": asdict(self.settings),
            "parts": rows,
        }
        write_atomically(self.folder / MANIFEST_FILE, json.dumps(manifest, indent=2).encode())
        return manifest


def partition_name(folder: str) -> str:
    """A partition's folder, as Hive names it; pyarrow, DuckDB and Spark read the value back."""
    return f"{_PARTITION}{quote(folder, safe=' ') or _NO_VALUE}"


def partition_value(name: str) -> str:
    """What `partition_name` was made from."""
    value = name.removeprefix(_PARTITION)
    return "" if value == _NO_VALUE else unquote(value)


def check_settings(path: Path, settings: BatchSettings) -> None:
    """Raise unless the folder was begun with these settings.

    Raises:
        SettingsError: it was not; the message says what differs.
    """
    try:
        # What a folder of an earlier version does not name.
        defaults = {item.name: item.default for item in fields(BatchSettings) if item.default is not MISSING}
        before = defaults | json.loads(path.read_bytes())
        asked = asdict(settings)
        differ = [name for name in asked if before[name] != asked[name] and name != "model"]
    except (ValueError, KeyError, TypeError, OSError):
        raise SettingsError(f"{path}: cannot be read; expected what mien batch wrote there") from None
    if differ:
        was, now = ({name: values[name] for name in differ} for values in (before, asked))
        raise SettingsError(
            f"{path.parent}: was begun with {_words(was)}, this run has {_words(now)}; rows of both would mix: "
            "choose another folder"
        )


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {str(value)[:24]}" for name, value in values.items())


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    with unfinished(path) as file:
        file.write(data)


@contextmanager
def unfinished(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that gets its name when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _lock(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder are the user's to avoid
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Done:
    """Which names are done: 8 bytes a name (64 bits of BLAKE2b), so that ten million take 80 MB.

    Among a million names two share their digest, and one of them is left out, once in 37 million times.
    """

    _MERGE = 1 << 16

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._new: set[int] = set()

    @classmethod
    def of(cls, parts: Sequence[Path]) -> Done:
        """The names that finished parts have rows of."""
        from pyarrow import parquet

        done = cls()
        for path in parts:
            names = parquet.ParquetFile(path).read(columns=["source"]).column("source").unique().to_pylist()
            done.add_new(names)
        return done

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new)

    def add_new(self, names: Sequence[str]) -> list[bool]:
        """Take names in; whether each of them is new."""
        keys = np.array([_key(name) for name in names], np.uint64)
        known = self._find(keys)
        fresh = []
        for key, old in zip(keys.tolist(), known.tolist(), strict=True):
            fresh.append(not old and key not in self._new)
            self._new.add(key)
        if len(self._new) > self._MERGE:
            new = np.fromiter(self._new, np.uint64, len(self._new))
            self._sorted = np.union1d(self._sorted, new)
            self._new = set()
        return fresh

    def _find(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        if not len(self._sorted):
            return np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.asarray(self._sorted[places] == keys)


def _key(name: str) -> int:
    # Parquet holds text: what is no Unicode is named there as it is compared here.
    text = name.encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
