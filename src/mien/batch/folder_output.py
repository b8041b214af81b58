"""Parts in a folder of this machine, or one that all machines of a cluster mount."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien._core.files import write_json
from mien.batch.names import Names
from mien.batch.output import (
    OLD_TOP,
    PARTITION,
    Output,
    Publisher,
    check_columns,
    open_part,
    partition_name,
)
from mien.batch.records import (
    MANIFEST_FILE,
    OWN_FILES,
    SETTINGS_FILE,
    books_places,
    has_settings,
    locked,
    open_records,
)
from mien.batch.settings import BatchSettings, check_settings
from mien.batch.shards import Shard, read_shards
from mien.batch.state import State
from mien.batch.storage.stores import FolderStore
from mien.errors import SettingsError

_PART = re.compile(r"part-(\d+)(?:-(\d{3}))?[-\d]*\.parquet")


class FolderOutput(Output):
    """A folder of parts, created if missing; its records are next to it.

    Args:
        folder: where to.
        settings: of the run.
        same_files: digests of earlier files of the same networks: runs started with them continue.

    Raises:
        SettingsError: the folder holds something else, or parts without a record of their settings.
        OSError: it cannot be made.
    """

    token = 0

    def __init__(
        self, folder: Path, settings: BatchSettings, same_files: frozenset[str] = frozenset()
    ) -> None:
        self.folder, self.settings, self._same_files = folder, settings, same_files
        self.where = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if next(parts_in(folder), None) is None:
            if any(not _is_own(item) for item in folder.iterdir()):
                raise SettingsError(
                    f"{folder}: holds other files; expected a new folder, or one of mien batch"
                )
        elif not has_settings(folder):
            raise SettingsError(
                f"{folder}: has parts, but {books_places(folder)[0]} is missing, which records their settings: "
                "move it along, or choose another folder"
            )
        self._records = open_records(folder)
        self.records = FolderStore(self._records)
        self._masks: dict[int, int] = {}  # by number, which of a hundred parts are there
        self._others: list[Path] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """As in `Output`; what an earlier run left unfinished is removed."""
        with locked(self.folder, self._records):
            if (self.folder / f"{PARTITION}{OLD_TOP}").is_dir():
                (self.folder / f"{PARTITION}{OLD_TOP}").replace(self.folder / partition_name(""))
            self._begin()
            yield

    def _begin(self) -> None:
        """Note the settings of a new folder; those of one with parts must be the same."""
        path = self._records / SETTINGS_FILE
        if part := next(parts_in(self.folder), None):
            data = path.read_bytes() if path.is_file() else None
            check_settings(data, str(path), str(self.folder), self.settings, self._same_files)
            check_columns(open_part(part, str(part)), str(part))
        else:
            # What is left of a folder that was deleted.
            shutil.rmtree(self._records / "log", ignore_errors=True)
            for left in self._records.glob("state-*.json"):
                left.unlink()
            write_json(path, asdict(self.settings))
        for path in parts_in(self.folder):
            match = _PART.fullmatch(path.name)
            if match is None or match[2] is None:
                self._others.append(path)
            else:
                self._masks[int(match[1])] = self._masks.get(int(match[1]), 0) | 1 << int(match[2])

    @property
    def publisher(self) -> Publisher:
        """As in `Output`."""
        return Publisher(FolderStore(self.folder, self._records))

    def first_shard(self) -> int:
        """As in `Output`."""
        return max((*self._masks, *map(_number, self._others)), default=-1) + 1

    def foreign(self, state: State) -> Names:
        """As in `Output`."""
        paths = self._others
        if any(number < state.first for number in self._masks):
            older = (path for path in parts_in(self.folder) if _number(path) < state.first)
            paths = sorted({*paths, *older})
        names = Names()
        for path in paths:
            part = open_part(path, str(path))
            names.add(part.read(columns=["source"]).column("source").unique().to_pylist())
        return names

    def reconcile(self, state: State) -> None:
        """The parts that are there decide what is done: somebody may have deleted some."""
        finished = State()
        for shard in read_shards(self.records, range(state.first, state.next)):
            if self._masks.get(shard.number, 0).bit_count() == shard.parts:
                finished.finish(shard, 0)
            elif any(_number(path) >= state.first for path in self._others):
                raise SettingsError(
                    f"{self.folder}: an earlier version of mien went on with what this one began; rows could be twice: "
                    "choose another folder, or go on with that version"
                )
        state.done, state.pictures = finished.done, finished.pictures

    def present(self, shard: Shard, parts: Sequence[str]) -> dict[str, int]:
        """As in `Output`; rows are counted by the manifest."""
        mask = self._masks.get(shard.number, 0)
        return {name: 0 for place, name in enumerate(parts) if mask >> place & 1}

    def write_manifest(self, state: State, *, partly: int, complete: bool) -> dict[str, Any]:
        """As in `Output`, and the rows of every part."""
        path = self._records / MANIFEST_FILE
        try:
            before, when = json.loads(path.read_bytes())["parts"], path.stat().st_mtime
        except (OSError, ValueError, KeyError):
            before, when = {}, 0.0
        rows = {}
        for part in sorted(parts_in(self.folder), key=lambda part: part.name):
            name = str(part.relative_to(self.folder))
            # What was there when the manifest was written need not be opened again.
            found = part.stat()
            known = before.get(name) if found.st_mtime < when and found.st_size else None
            rows[name] = open_part(part, str(part)).metadata.num_rows if known is None else known
        manifest = {
            "complete": complete,
            "rows": sum(rows.values()),
            "settings": asdict(self.settings),
            "parts": rows,
        }
        write_json(path, manifest)
        return manifest


def parts_in(folder: Path) -> Iterator[Path]:
    """The parts in a folder and its partitions, in no order; one at a time, for there may be millions."""
    with os.scandir(folder) as items:
        for item in items:
            if item.is_dir(follow_symlinks=False):
                if item.name.startswith(PARTITION):
                    yield from parts_in(folder / item.name)
            elif item.name.startswith("part-") and item.name.endswith(".parquet"):
                yield folder / item.name


def _number(part: Path) -> int:
    match = _PART.fullmatch(part.name)
    return -1 if match is None else int(match[1])


def _is_own(item: Path) -> bool:
    return item.name in OWN_FILES or item.name.startswith(PARTITION)
