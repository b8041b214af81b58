"""The folder that a run writes: its finished parts, what they hold already, and what made them.

The rows are the record: a picture is done when a finished part has a row of it. A part appears by one rename, whole or
not at all, so a run may be killed at any moment, and the next one continues with what is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien.batch.records import (
    MANIFEST_FILE,
    OWN_FILES,
    SETTINGS_FILE,
    books_places,
    has_settings,
    locked,
    open_records,
)
from mien.errors import MissingExtraError, SettingsError, SourceError
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_OUTPUT, DETECTOR_SIZE, MIN_SIZE

PARTS = "part-*.parquet"
COLUMNS = ("source", "emotion", "confidence", "uncertain", "quality_score", "quality_issues", "error")
"""What every part has, besides a column a label, and what is counted of it."""
_PARTITION = "folder="
_TOP = "."
"""The partition of pictures outside of any folder of the source; no folder has this name."""
_OLD_TOP = "__HIVE_DEFAULT_PARTITION__"
"""The same in earlier versions: Hive's null, beside which pandas reads no other partition."""


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
        decode_side: large JPEGs are decoded smaller, but with so many pixels on the long side; 0 for whole, None for
            as many as the detector's search needs.
        head: the model's output that answers, by its name in the ONNX file.
        min_confidence: answers less confident are flagged as uncertain; None for the model's own threshold.
        uncertain_below: that threshold, in use; as the next two None in folders of versions that did not record it.
        detector_min_score, detector_margin: of mien's own detector, from its JSON; None for others.
    """

    model: str
    model_sha256: str
    detector: str = DEFAULT_DETECTOR
    min_size: int = MIN_SIZE
    partition: str = "none"
    min_quality: float = 0.0
    detector_size: int = DETECTOR_SIZE
    detector_sha256: str = ""
    decode_side: int | None = 0
    head: str = DEFAULT_OUTPUT
    min_confidence: float | None = None
    uncertain_below: float | None = None
    detector_min_score: float | None = None
    detector_margin: float | None = None


def check_installed() -> None:
    """Raise unless the packages are there that read collections and write parts.

    Raises:
        MissingExtraError: they are not.
    """
    if any(find_spec(name) is None for name in ("fsspec", "pyarrow")):
        raise MissingExtraError("mien batch", "batch")


class Output:
    """A folder of parts, created if missing; its records are next to it.

    Args:
        folder: where to.
        settings: of the run.
        same_files: digests of earlier files of the same networks: runs started with them continue.

    Raises:
        SettingsError: the folder holds something else, or parts without a record of their settings.
        OSError: it cannot be made.
    """

    def __init__(
        self, folder: Path, settings: BatchSettings, same_files: frozenset[str] = frozenset()
    ) -> None:
        self.folder = folder
        self._same_files = same_files
        self.settings = settings
        folder.mkdir(parents=True, exist_ok=True)
        if not self.parts():
            if any(not _is_own(item) for item in folder.iterdir()):
                raise SettingsError(
                    f"{folder}: holds other files; expected a new folder, or one of mien batch"
                )
        elif not has_settings(folder):
            raise SettingsError(
                f"{folder}: has parts, but {books_places(folder)[0]} is missing, which records their settings: "
                "move it along, or choose another folder"
            )
        self.records = open_records(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For as long as a run writes here; what an earlier one left unfinished is removed.

        Raises:
            SettingsError: another run writes here now, or the folder was started with other settings.
        """
        with locked(self.folder, self.records):
            if (self.folder / f"{_PARTITION}{_OLD_TOP}").is_dir():
                (self.folder / f"{_PARTITION}{_OLD_TOP}").replace(self.folder / partition_name(""))
            self._begin()
            yield

    def _begin(self) -> None:
        """Note the settings of a new folder; those of one with parts must be the same."""
        path = self.records / SETTINGS_FILE
        if parts := self.parts():
            check_settings(path, self.folder, self.settings, self._same_files)
            check_columns(parts[0])
        else:
            write_json(path, asdict(self.settings))

    def parts(self) -> list[Path]:
        """The finished parts, in order."""
        return sorted(self.folder.rglob(PARTS), key=lambda path: path.name)

    def part_path(self, number: int, folder: str) -> Path:
        """Where a part goes; below "folder=NAME" where the output is partitioned."""
        place = self.folder / partition_name(folder) if self.settings.partition == "folder" else self.folder
        return place / f"part-{number:07d}.parquet"

    def write_manifest(self, *, complete: bool) -> dict[str, Any]:
        """Write and return what the folder holds: settings, parts with their rows, and whether that is all."""
        rows = {
            str(path.relative_to(self.folder)): open_part(path).metadata.num_rows for path in self.parts()
        }
        manifest = {
            "complete": complete,
            "rows": sum(rows.values()),
            "settings": asdict(self.settings),
            "parts": rows,
        }
        write_json(self.records / MANIFEST_FILE, manifest)
        return manifest


def open_part(path: Path) -> Any:
    """A part as pyarrow's `ParquetFile`.

    Raises:
        SourceError: it is not whole, as a copy that broke off.
    """
    from pyarrow import ArrowInvalid, parquet

    try:
        return parquet.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SourceError(
            f"{path}: not a whole part ({reason}); delete it, and mien batch does its pictures again"
        ) from None


def check_columns(path: Path) -> list[str]:
    """The columns of a part.

    Raises:
        SettingsError: they are not those that parts have today.
        SourceError: the part is not whole.
    """
    names: list[str] = open_part(path).schema_arrow.names
    if not set(COLUMNS) <= set(names):
        if "quality" in names:
            raise SettingsError(
                f"{path}: an earlier version of mien wrote it, with the column quality; expected quality_score and "
                "quality_issues: give mien batch another folder"
            )
        raise SettingsError(f"{path}: columns {', '.join(names)}; expected a part that mien batch wrote")
    return names


def partition_name(folder: str) -> str:
    """A partition's folder, as Hive names it; data tools read the value back."""
    return f"{_PARTITION}{quote(folder, safe=' ') or _TOP}"


def partition_value(name: str) -> str | None:
    """What `partition_name` was made from; None for a folder that is no partition."""
    if not name.startswith(_PARTITION):
        return None
    value = name.removeprefix(_PARTITION)
    return "" if value in (_TOP, _OLD_TOP) else unquote(value)


def _is_own(item: Path) -> bool:
    return item.name in OWN_FILES or item.name.startswith(_PARTITION)


def check_settings(path: Path, folder: Path, settings: BatchSettings, same_files: frozenset[str]) -> None:
    """Raise unless a folder was started with these settings.

    Raises:
        SettingsError: it was not; the message says what differs.
    """
    try:
        # What a folder of an earlier version does not name.
        defaults = {item.name: item.default for item in fields(BatchSettings) if item.default is not MISSING}
        before = defaults | json.loads(path.read_bytes())
        asked = asdict(settings)
        differ = [
            name
            for name in asked
            if before[name] != asked[name]
            and before[name] not in same_files
            and name not in _irrelevant(before, asked)
        ]
    except (ValueError, KeyError, TypeError, OSError):
        raise SettingsError(f"{path}: cannot be read; expected what mien batch wrote there") from None
    if differ:
        was, now = ({name: values[name] for name in differ} for values in (before, asked))
        raise SettingsError(
            f"{folder}: was started with {_words(was)}, this run has {_words(now)}; rows of both would mix: "
            "choose another folder"
        )


def _irrelevant(before: dict[str, Any], asked: dict[str, Any]) -> set[str]:
    """What may differ: the model's name, for its digest counts; what an earlier version did not record; and of the
    threshold of `uncertain` and the option that names one, the other."""
    unrecorded = ("uncertain_below", "detector_min_score", "detector_margin")
    names = {"model", *(name for name in unrecorded if before[name] is None)}
    same = before["uncertain_below"] == asked["uncertain_below"]
    if same and before["uncertain_below"] is not None:
        names.add("min_confidence")
    elif before["min_confidence"] != asked["min_confidence"]:
        names.add("uncertain_below")
    return names


def _words(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {'automatic' if value is None else str(value)[:24]}" for name, value in values.items()
    )


class Done:
    """The finished names: 8 bytes per name (64 bits of BLAKE2b), so ten million take 80 MB.

    Among a million names, two share their digest, and one of them is skipped, once in 37 million cases.
    """

    _MERGE = 1 << 16

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._new: set[int] = set()

    @classmethod
    def of(cls, parts: Sequence[Path]) -> Done:
        """The names that finished parts have rows of."""
        done = cls()
        for path in parts:
            names = open_part(path).read(columns=["source"]).column("source").unique().to_pylist()
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
