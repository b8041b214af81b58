"""What a run writes: its parts, in a folder or under a prefix of an object store, and the records beside them.

The parts are the record: a picture is done when a finished part has a row of it. A part appears whole or not at all, by
a rename or by one put where nothing is yet, so a run may be killed at any moment, and the next one continues with what
is missing.
"""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, unquote

from mien.batch.names import Names
from mien.batch.settings import BatchSettings
from mien.batch.shards import Shard
from mien.batch.state import State
from mien.batch.storage.lease import Fence
from mien.batch.storage.stores import Store
from mien.errors import MissingExtraError, SettingsError, SourceError

PARTS = "part-*.parquet"
COLUMNS = ("source", "emotion", "confidence", "uncertain", "quality_score", "quality_issues", "error")
"""What every part has, besides a column a label, and what is counted of it."""
PARTITION = "folder="
_TOP = "."
"""The partition of pictures outside of any folder of the source; no folder has this name."""
OLD_TOP = "__HIVE_DEFAULT_PARTITION__"
"""The same in earlier versions: Hive's null, beside which pandas reads no other partition."""


def check_installed() -> None:
    """Raise unless the packages are there that read collections and write parts.

    Raises:
        MissingExtraError: they are not.
    """
    if any(find_spec(name) is None for name in ("fsspec", "pyarrow")):
        raise MissingExtraError("mien batch", "batch")


@dataclass(frozen=True)
class Publisher:
    """Where workers put finished parts; it travels to them.

    Attributes:
        store: of the parts.
        fence: of an object store's owner; None for a folder, whose lock ends with the run.
    """

    store: Store
    fence: Fence | None = None

    def publish(self, part: str, data: bytes) -> None:
        """Make a part appear.

        Raises:
            StoreError: another run has taken over, or the store does not answer.
            OSError: it cannot be written.
        """
        if self.fence is None:
            self.store.write(part, data)
            return
        self.fence.check()
        # One that is there already is of the same shard and place, and so has the same pictures.
        self.store.create(part, data)


class Output(ABC):
    """The place of a run's parts and its records.

    Attributes:
        where: as it is named in messages.
        settings: of the run.
        records: where its records are.
    """

    where: str
    settings: BatchSettings
    records: Store

    @abstractmethod
    def locked(self) -> Any:
        """A context: for as long as a run writes here.

        Raises:
            SettingsError: another run writes here now, or the output was started with other settings.
        """

    @property
    @abstractmethod
    def publisher(self) -> Publisher:
        """Where parts go; inside of `locked`."""

    @property
    @abstractmethod
    def token(self) -> int:
        """The number of this run among those that owned the output; inside of `locked`."""

    @abstractmethod
    def first_shard(self) -> int:
        """The number of the first shard of a new plan: parts of an earlier version have smaller ones."""

    @abstractmethod
    def foreign(self, state: State) -> Names:
        """The names of pictures in parts that are of no shard."""

    @abstractmethod
    def reconcile(self, state: State) -> None:
        """Correct what the records say by what is there."""

    @abstractmethod
    def present(self, shard: Shard, parts: Sequence[str]) -> dict[str, int]:
        """Which of a shard's parts are there, and how many rows they have where that is not told otherwise."""

    @abstractmethod
    def write_manifest(self, state: State, *, partly: int, complete: bool) -> dict[str, Any]:
        """Write and return what the output holds: settings, rows, and whether that is all.

        Args:
            state: of the run.
            partly: rows of shards of which some parts are missing.
            complete: nothing is.
        """

    def part_name(self, shard: int, place: int, folder: str) -> str:
        """The name of a part; below "folder=NAME" where the output is partitioned."""
        name = f"part-{shard:07d}-{place:03d}.parquet"
        return posixpath.join(partition_name(folder), name) if self.settings.partition == "folder" else name


def open_part(file: Any, where: str) -> Any:
    """A part as pyarrow's `ParquetFile`.

    Args:
        file: a path, or an open file.
        where: for messages.

    Raises:
        SourceError: it is not whole, as a copy that broke off.
    """
    from pyarrow import ArrowInvalid, parquet

    try:
        return parquet.ParquetFile(file)
    except (ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SourceError(
            f"{where}: not a whole part ({reason}); delete it, and mien batch does its pictures again"
        ) from None


def check_columns(part: Any, where: str) -> list[str]:
    """The columns of a part that `open_part` opened.

    Raises:
        SettingsError: they are not those that parts have today.
    """
    names: list[str] = part.schema_arrow.names
    if not set(COLUMNS) <= set(names):
        if "quality" in names:
            raise SettingsError(
                f"{where}: an earlier version of mien wrote it, with the column quality; expected quality_score and "
                "quality_issues: give mien batch another folder"
            )
        raise SettingsError(f"{where}: columns {', '.join(names)}; expected a part that mien batch wrote")
    return names


def partition_name(folder: str) -> str:
    """A partition's folder, as Hive names it; data tools read the value back."""
    return f"{PARTITION}{quote(folder, safe=' ') or _TOP}"


def partition_value(name: str) -> str | None:
    """What `partition_name` was made from; None for a folder that is no partition."""
    if not name.startswith(PARTITION):
        return None
    value = name.removeprefix(PARTITION)
    return "" if value in (_TOP, OLD_TOP) else unquote(value)
