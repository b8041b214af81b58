"""The bytes of pictures that a listing named: files and members of archives, here or behind a URL."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain, groupby, islice
from typing import Any

from mien._core.parallel import map_chunks
from mien._core.zips import ZIP_ERRORS, zip_reason
from mien.batch.archives import image_column, open_parquet, suffix_of
from mien.batch.file_systems import file_system, is_local, is_remote, refuse_pipe_at
from mien.batch.sources import Entry
from mien.batch.storage.faults import carried_on, retried
from mien.errors import ImageError, SourceError
from mien.images.read import MAX_BYTES

_ROWS = 64
_AT_ONCE = 8  # files of an object store that a worker asks for at a time: an answer takes longer than a picture's work

_Read = tuple[Entry, "bytes | ImageError"]


def read_entries(entries: Sequence[Entry]) -> Iterator[_Read]:
    """The encoded bytes of every picture, or why there are none; an archive is opened once for its run of entries.

    Raises:
        SourceError: a container, or the folder of a file, is not there any more.
        StoreError: an object store refuses, or does not answer.
    """
    for (container, remote), group in groupby(entries, key=_place):
        if container:
            yield from _read_container(container, list(group), remote=remote)
        elif remote:
            some = iter(lambda: list(islice(group, 1)), [])  # noqa: B023 used before the next group
            with closing(map_chunks(_read_plain, some, threads=_AT_ONCE)) as read:
                yield from chain.from_iterable(read)
        else:
            yield from map(_read_plain, group)


def _place(entry: Entry) -> tuple[str, bool]:
    return entry.container, is_remote(entry.container or entry.name)


def _read_plain(entry: Entry) -> _Read:
    return entry, ImageError(entry.error) if entry.error else _read_file(entry.name)


def _read_container(container: str, entries: Sequence[Entry], *, remote: bool) -> Iterator[_Read]:
    reader = _READERS[suffix_of(container)]

    def begin(last: _Read | None) -> Iterator[_Read]:
        rest = entries if last is None else entries[entries.index(last[0]) + 1 :]
        return reader(container, rest) if rest else iter(())

    try:
        yield from carried_on(begin, container) if remote else begin(None)
    except (OSError, ValueError, *ZIP_ERRORS) as error:
        raise SourceError(f"{container}: cannot be read any more: {zip_reason(error)}") from error


def _read_file(name: str) -> bytes | ImageError:
    system, path = file_system(name)
    try:
        if not is_local(system):
            # One request: to open it first would be two.
            return _bounded(retried(lambda: system.cat_file(path, start=0, end=MAX_BYTES + 1), name), name)
        refuse_pipe_at(system, path)
        with system.open(path, "rb") as file:
            return _bounded(file.read(MAX_BYTES + 1), name)
    except OSError as error:
        if is_local(system) and not system.exists(posixpath.dirname(path)):
            raise SourceError(
                f"{posixpath.dirname(path)}: not there any more; expected the folder of {name}"
            ) from None
        return ImageError(f"{name}: cannot be read: {error.strerror or error}")


def _read_tar(container: str, entries: Sequence[Entry]) -> Iterator[_Read]:
    system, path = file_system(container)
    with system.open(path, "rb") as file:
        for entry in entries:
            offset, size = entry.key
            file.seek(offset)
            yield entry, _bounded(file.read(min(size, MAX_BYTES + 1)), entry.name)


def _read_zip(container: str, entries: Sequence[Entry]) -> Iterator[_Read]:
    system, path = file_system(container)
    with system.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for entry in entries:
            try:
                with archive.open(members[entry.key[0]]) as member:
                    yield entry, _bounded(member.read(MAX_BYTES + 1), entry.name)
            except (IndexError, *ZIP_ERRORS) as error:
                yield entry, ImageError(f"{entry.name}: cannot be unpacked: {zip_reason(error)}")


def _read_parquet(container: str, entries: Sequence[Entry]) -> Iterator[_Read]:
    system, path = file_system(container)
    with system.open(path, "rb") as file:
        table = open_parquet(file)
        column = image_column(table.schema_arrow, path)
        for group, wanted in groupby(entries, key=lambda entry: entry.key[0]):
            rows = {entry.key[1]: entry for entry in wanted}
            start, last = 0, max(rows)
            for batch in table.iter_batches(_ROWS, row_groups=[group], columns=[column]):
                for place in range(start, start + len(batch)):
                    if place in rows:
                        yield rows[place], _value(batch.column(0)[place - start].as_py(), rows[place].name)
                start += len(batch)
                if start > last:
                    break


def _value(value: Any, name: str) -> bytes | ImageError:
    data = value.get("bytes") if isinstance(value, dict) else value
    return (
        _bounded(data, name)
        if isinstance(data, bytes)
        else ImageError(f"{name}: empty; expected a picture's bytes")
    )


def _bounded(data: bytes, name: str) -> bytes | ImageError:
    if len(data) > MAX_BYTES:
        return ImageError(f"{name}: larger than {MAX_BYTES / 1e6:.0f} MB; expected a smaller file")
    return data


_READERS: dict[str, Callable[[str, Sequence[Entry]], Iterator[_Read]]] = {
    ".tar": _read_tar,
    ".zip": _read_zip,
    ".parquet": _read_parquet,
}
