"""Where a run keeps its parts and its records: a folder that machines mount, or an object store.

Both can do little in common, and that is all that is used: read, write whole, write where nothing is yet, list names
that begin alike, delete. No rename and no append, which object stores lack.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mien._core.files import UNFINISHED, atomic_file
from mien.batch.file_systems import file_system
from mien.batch.storage.faults import retried
from mien.errors import StoreError


class Store(Protocol):
    """Named bytes; names may hold "/". A store can be pickled, and opens its connections where it is used."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a name, None if there are none."""

    def write(self, name: str, data: bytes) -> None:
        """Give a name these bytes, all at once, whatever it had before."""

    def create(self, name: str, data: bytes) -> bool:
        """Give a name these bytes if it has none; whether it has them now. Of several that try, one succeeds."""

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin so, in any order."""

    def delete(self, name: str) -> None:
        """Take a name away, if it is there."""


@dataclass(frozen=True)
class FolderStore:
    """A folder; its files appear by a rename, and are made of a file that grows in `growing`.

    Attributes:
        folder: made when something is written.
        growing: a folder on the same disk; None for where the file goes.
    """

    folder: Path
    growing: Path | None = None

    def read(self, name: str) -> bytes | None:
        """As in `Store`."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """As in `Store`."""
        path = self._place(name)
        with atomic_file(path, folder=self.growing) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """As in `Store`."""
        path = self._place(name)
        new = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
        try:
            with atomic_file(new) as file:
                file.write(data)
            # A link to it is made only where nothing is, unlike a rename.
            os.link(new, path)
        except FileExistsError:
            return path.read_bytes() == data
        except OSError:  # a file system without links, as some that are mounted
            if path.exists():
                return path.read_bytes() == data
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """As in `Store`."""
        folder, _, start = prefix.rpartition("/")
        if (self.folder / folder).is_dir():
            with os.scandir(self.folder / folder) as items:
                for item in items:
                    if item.name.startswith(start) and not item.name.endswith(UNFINISHED) and item.is_file():
                        yield posixpath.join(folder, item.name)

    def delete(self, name: str) -> None:
        """As in `Store`."""
        (self.folder / name).unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        path = self.folder / name
        if self.growing is not None:
            self.growing.mkdir(exist_ok=True)  # fails where the folder beside it is on another machine
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class ObjectStore:
    """A prefix of an object store that fsspec knows.

    `create` is a put under the condition that nothing is there: `If-None-Match: *` of S3, `ifGenerationMatch=0` of
    Google's store, through fsspec's mode "create". Requests are repeated as `retried` says.

    Attributes:
        url: as s3://bucket/faces.
        patience: seconds for which a failing request is repeated; None for the usual.
    """

    url: str
    patience: float | None = None

    def read(self, name: str) -> bytes | None:
        """As in `Store`, in one request."""
        system, path = self._at(name)
        try:
            # With a range, for without one s3fs asks for the size first.
            data: bytes = retried(
                lambda: system.cat_file(path, start=0, end=1 << 40), self._url(name), self.patience
            )
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """As in `Store`."""
        system, path = self._at(name)
        with self._to_somewhere(name):
            retried(lambda: system.pipe_file(path, data), self._url(name), self.patience)

    def create(self, name: str, data: bytes) -> bool:
        """As in `Store`; a put whose answer was lost and that is repeated finds its own bytes."""
        system, path = self._at(name)
        try:
            with self._to_somewhere(name):
                retried(lambda: system.pipe_file(path, data, mode="create"), self._url(name), self.patience)
        except FileExistsError:
            return self.read(name) == data
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """As in `Store`; the store looks for the prefix where its file system can ask it to."""
        folder, _, start = prefix.rpartition("/")
        system, path = self._at(folder)

        def find() -> list[str]:
            system.invalidate_cache()
            try:
                return [str(name) for name in system.find(path, prefix=start)]
            except FileNotFoundError:
                return []

        root = self._at("")[1].rstrip("/") + "/"
        for found in retried(find, self._url(prefix), self.patience):
            name = found.removeprefix(root)
            if name.startswith(prefix):
                yield name

    def delete(self, name: str) -> None:
        """As in `Store`."""
        system, path = self._at(name)
        try:
            retried(lambda: system.rm_file(path), self._url(name), self.patience)
        except FileNotFoundError:
            return

    @contextmanager
    def _to_somewhere(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise StoreError(
                f"{self._url(name)}: cannot be written ({error}); expected a bucket that exists"
            ) from None

    def _at(self, name: str) -> tuple[Any, str]:
        system, root = file_system(self.url)
        return system, posixpath.join(root, name) if name else root

    def _url(self, name: str) -> str:
        return f"{self.url}/{name}"


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether an output is in an object store, and not in a folder."""
    return "://" in str(place) and not str(place).startswith("file://")


def folder_of(place: str | os.PathLike[str]) -> Path:
    """The folder of an output that is in none."""
    return Path(str(place).removeprefix("file://"))
