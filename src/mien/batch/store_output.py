"""Parts under a prefix of an object store: put where nothing is yet, by the one run that holds the lease."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from mien.batch.file_systems import file_system
from mien.batch.names import Names
from mien.batch.output import Output, Publisher, open_part
from mien.batch.records import MANIFEST_FILE, SETTINGS_FILE
from mien.batch.settings import BatchSettings, check_settings
from mien.batch.shards import Shard, load_entries, read_shard
from mien.batch.state import State
from mien.batch.storage.faults import retried
from mien.batch.storage.lease import Fence, leased
from mien.batch.storage.stores import ObjectStore
from mien.errors import SettingsError


class StoreOutput(Output):
    """Parts at s3://bucket/faces, records at s3://bucket/faces.mien; inside, as .mien, where that is a whole bucket.

    Args:
        url: as fsspec knows it.
        settings: of the run.
        same_files: digests of earlier files of the same networks: runs started with them continue.

    Raises:
        SettingsError: the prefix holds something else.
        SourceError: a protocol that is not known, or whose package is missing.
        StoreError: the store refuses, or does not answer.
    """

    def __init__(self, url: str, settings: BatchSettings, same_files: frozenset[str] = frozenset()) -> None:
        self.where, self.settings, self._same_files = url.rstrip("/"), settings, same_files
        system, root = file_system(self.where)
        self._parts = ObjectStore(self.where)
        is_bucket = "/" not in root.strip("/")
        self._place = ObjectStore(f"{self.where}/.mien" if is_bucket else f"{self.where}.mien")
        self.records = self._place
        self._fence: Fence | None = None
        if self.records.read(SETTINGS_FILE) is None and _has_files(system, root, self.where):
            raise SettingsError(
                f"{self.where}: holds other files, or parts without their records in {self._place.url}; expected a "
                "new prefix, or one of mien batch"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """As in `Output`, by a lease."""
        with leased(self._place, self.where) as self._fence:
            before = self.records.read(SETTINGS_FILE)
            if before is None:
                self.records.create(SETTINGS_FILE, json.dumps(asdict(self.settings), indent=2).encode())
            else:
                name = f"{self._place.url}/{SETTINGS_FILE}"
                check_settings(before, name, self.where, self.settings, self._same_files)
            yield

    @property
    def publisher(self) -> Publisher:
        """As in `Output`."""
        return Publisher(self._parts, self._fence)

    @property
    def token(self) -> int:
        """As in `Output`."""
        return 0 if self._fence is None else self._fence.token

    def first_shard(self) -> int:
        """No earlier version wrote to stores."""
        return 0

    def foreign(self, state: State) -> Names:
        """As in `Output`: none."""
        return Names()

    def reconcile(self, state: State) -> None:
        """The records say what is done: to list all parts would cost a request a thousand of them.

        Raises:
            SettingsError: the parts are gone, and their records are not.
        """
        shard = read_shard(self.records, state.done.ranges[0][0]) if state.done.ranges else None
        if shard is not None:
            # Not by a listing, which may lag.
            folder = load_entries(self.records, shard)[0].folder
            if self._parts.read(self.part_name(shard.number, 0, folder)) is None:
                raise SettingsError(
                    f"{self.where}: the parts are gone, but {self._place.url} says that they are done; expected both "
                    "or none: delete it, or choose another prefix"
                )

    def present(self, shard: Shard, parts: Sequence[str]) -> dict[str, int]:
        """As in `Output`: one request, one a folder where the output is partitioned."""
        prefixes = {f"{name.rpartition('/')[0]}/".lstrip("/") + f"part-{shard.number:07d}-" for name in parts}
        there = {name for prefix in prefixes for name in self._parts.names(prefix)}
        return {name: self._rows(name) for name in parts if name in there}

    def _rows(self, name: str) -> int:
        url = f"{self.where}/{name}"
        system, path = file_system(url)

        def count() -> int:
            with system.open(path, "rb") as file:
                rows: int = open_part(file, url).metadata.num_rows
                return rows

        return retried(count, url)

    def write_manifest(self, state: State, *, partly: int, complete: bool) -> dict[str, Any]:
        """As in `Output`; a part's rows stand in the part."""
        manifest = {
            "complete": complete,
            "rows": state.rows + partly,
            "pictures": sum(state.pictures.values()),
            "settings": asdict(self.settings),
        }
        self.records.write(MANIFEST_FILE, json.dumps(manifest, indent=2).encode())
        return manifest


def _has_files(system: Any, path: str, where: str) -> bool:
    def ask() -> bool:
        system.invalidate_cache()
        try:
            return any(item.rstrip("/") != path.rstrip("/") for item in system.ls(path, detail=False))
        except FileNotFoundError:
            return False

    return retried(ask, where)
