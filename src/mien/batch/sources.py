"""What a collection holds: pictures in folders, lists, tar and zip archives and Parquet files, here or behind a URL.

Names are listed lazily in a fixed order; only the worker of a picture reads its bytes.
"""

from __future__ import annotations

import posixpath
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO, Any

from mien._core.zips import ZIP_ERRORS, is_folder_member, zip_reason
from mien.batch.file_systems import file_system, refuse_pipe_at, url_of
from mien.errors import ImageError, MissingExtraError, SourceError
from mien.images.find import SUFFIXES
from mien.images.read import MAX_BYTES

ARCHIVES = (".tar", ".zip", ".parquet")
LISTS = (".txt", ".lst")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_COLUMNS = ("image", "bytes", "image_bytes", "jpg", "png")
_ROWS = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture of a collection.

    Attributes:
        name: its path or URL; that of an archive's member continues the archive's.
        container: the archive that holds it; "" for a plain file.
        key: its position there: offset and size (tar), number of the member (zip), row group and row (Parquet).
        folder: the first folder below the source, "" without one.
        error: why nothing of it can be read, where that is known from the listing; else "".
    """

    name: str
    container: str = ""
    key: tuple[Any, ...] = ()
    folder: str = ""
    error: str = ""


def list_entries(sources: Iterable[str]) -> Iterator[Entry]:
    """The pictures of all sources, one by one.

    Args:
        sources: files, folders (with all their folders), lists of such (.txt or .lst, one a line), archives (.tar,
            .zip, .parquet), glob patterns; each a path or a URL that fsspec knows (s3://, gs://, memory://).

    Raises:
        SourceError: a source is missing or unreadable, or has nothing to read.
    """
    for source in sources:
        empty = True
        for entry in _expand(source):
            empty = False
            yield entry
        if empty:
            raise SourceError(
                f"{source}: no pictures there; expected files such as .jpg, or {', '.join(ARCHIVES)}"
            )


def read_entries(entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes | ImageError]]:
    """The encoded bytes of every picture, or why there are none; an archive is opened once for its run of entries.

    Raises:
        SourceError: a container, or the folder of a file, is not there any more.
    """
    for container, group in groupby(entries, key=lambda entry: entry.container):
        if not container:
            for entry in group:
                yield entry, ImageError(entry.error) if entry.error else _read_file(entry.name)
            continue
        try:
            yield from _READERS[_suffix(container)](container, list(group))
        except (OSError, ValueError, *ZIP_ERRORS) as error:
            raise SourceError(f"{container}: cannot be read any more: {zip_reason(error)}") from error


def _expand(source: str) -> Iterator[Entry]:
    system, path = file_system(source)
    try:
        if any(sign in path for sign in "*?[") and not system.exists(path):
            for match in sorted(system.glob(path)):
                yield from _expand_path(system, match, path.rstrip("/").rpartition("/")[0])
        elif path.lower().endswith(LISTS) and system.isfile(path):
            yield from _expand_list(system, path)
        else:
            yield from _expand_path(system, path, path)
    except (OSError, ValueError, tarfile.TarError, *ZIP_ERRORS) as error:
        reason = getattr(error, "strerror", None) or zip_reason(error)
        raise SourceError(f"{source}: cannot be listed: {reason}") from error


def _expand_list(system: Any, path: str) -> Iterator[Entry]:
    """What the lines of a list name, relative to the list's own folder."""
    with system.open(path, "rt", encoding="utf-8") as lines:
        for line in map(str.strip, lines):
            if not line:
                continue
            if "://" in line:
                yield from _expand(line)
            else:
                target = posixpath.join(posixpath.dirname(path), line)
                yield from _expand_path(system, target, target, named=True)


def _expand_path(system: Any, path: str, root: str, *, named: bool = False) -> Iterator[Entry]:
    """A file's or a folder's pictures; a file that is `named` counts whatever its ending, and if it is missing."""
    lower = path.lower()
    if system.isdir(path):
        yield from _walk(system, path, root)
        return
    if lower.endswith(ARCHIVES):
        refuse_pipe_at(system, path)
    if lower.endswith(_COMPRESSED):
        raise SourceError(
            f"{path}: a compressed tar cannot be read from the middle; expected .tar (pictures are compressed already)"
        )
    elif lower.endswith(ARCHIVES):
        yield from _LISTERS[_suffix(path)](system, path, _folder(path, root))
    elif named or path == root or lower.endswith(tuple(SUFFIXES)):
        if not named and not system.exists(path):
            raise FileNotFoundError("no such file or folder")
        yield Entry(url_of(system, path), folder=_folder(path, root))


def _walk(system: Any, folder: str, root: str) -> Iterator[Entry]:
    """Depth first, by name; one folder's names are held at a time. Hidden files and linked folders are left out."""
    for path, is_folder in _list_folder(system, folder):
        name = posixpath.basename(path)
        if name.startswith("."):
            continue
        if is_folder:
            yield from _walk(system, path, root)
        elif name.lower().endswith((*SUFFIXES, *ARCHIVES)):
            yield from _expand_or_say(system, path, root)


def _expand_or_say(system: Any, path: str, root: str) -> Iterator[Entry]:
    """What a folder holds of a name; one bad file or archive among others is an entry with its error."""
    try:
        yield from _expand_path(system, path, root)
    except MissingExtraError:
        raise
    except Exception as error:  # whatever a strange archive brings about
        url, reason = url_of(system, path), getattr(error, "strerror", None) or zip_reason(error)
        text = reason if reason.startswith(url) else f"{url}: cannot be read: {reason}"
        yield Entry(
            f"{url}#" if path.lower().endswith(ARCHIVES) else url, folder=_folder(path, root), error=text
        )


def _list_folder(system: Any, folder: str) -> list[tuple[str, bool]]:
    found = [
        (item["name"].rstrip("/"), item["type"] == "directory" and not item.get("islink", False))
        for item in system.ls(folder, detail=True)
        if not (item["type"] == "directory" and item.get("islink", False))
    ]
    # Object stores may list the folder itself.
    return sorted(pair for pair in found if pair[0] != folder.rstrip("/"))


def _list_tar(system: Any, path: str, folder: str) -> Iterator[Entry]:
    url = url_of(system, path)
    seen: Counter[str] = Counter()
    with system.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            if member.isreg() and _is_picture(member.name):
                name = _numbered(member.name, seen)
                yield Entry(f"{url}/{name}", url, (member.offset_data, member.size), folder)


def _list_zip(system: Any, path: str, folder: str) -> Iterator[Entry]:
    url = url_of(system, path)
    seen: Counter[str] = Counter()
    with system.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        for place, member in enumerate(archive.infolist()):
            if not is_folder_member(member) and _is_picture(member.filename):
                name = _numbered(member.filename, seen)
                yield Entry(f"{url}/{name}", url, (place,), folder)


def _numbered(name: str, seen: Counter[str]) -> str:
    """A member's name; that of the second of one name gets a number, for an archive may hold both."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}#{seen[name]}"


def _list_parquet(system: Any, path: str, folder: str) -> Iterator[Entry]:
    url = url_of(system, path)
    with system.open(path, "rb") as file:
        table = _parquet(file)
        _image_column(table.schema_arrow, path)
        row = 0
        for group in range(table.num_row_groups):
            for place in range(table.metadata.row_group(group).num_rows):
                yield Entry(f"{url}#{row}", url, (group, place), folder)
                row += 1


def _read_file(name: str) -> bytes | ImageError:
    system, path = file_system(name)
    try:
        refuse_pipe_at(system, path)
        with system.open(path, "rb") as file:
            return _bounded(file.read(MAX_BYTES + 1), name)
    except OSError as error:
        if not system.exists(posixpath.dirname(path)):
            raise SourceError(
                f"{posixpath.dirname(path)}: not there any more; expected the folder of {name}"
            ) from None
        return ImageError(f"{name}: cannot be read: {error.strerror or error}")


def _read_tar(container: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes | ImageError]]:
    system, path = file_system(container)
    with system.open(path, "rb") as file:
        for entry in entries:
            offset, size = entry.key
            file.seek(offset)
            yield entry, _bounded(file.read(min(size, MAX_BYTES + 1)), entry.name)


def _read_zip(container: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes | ImageError]]:
    system, path = file_system(container)
    with system.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for entry in entries:
            try:
                with archive.open(members[entry.key[0]]) as member:
                    yield entry, _bounded(member.read(MAX_BYTES + 1), entry.name)
            except (IndexError, *ZIP_ERRORS) as error:
                yield entry, ImageError(f"{entry.name}: cannot be unpacked: {zip_reason(error)}")


def _read_parquet(container: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes | ImageError]]:
    system, path = file_system(container)
    with system.open(path, "rb") as file:
        table = _parquet(file)
        column = _image_column(table.schema_arrow, path)
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


def _parquet(file: IO[bytes]) -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    return parquet.ParquetFile(file)


def _image_column(schema: Any, path: str) -> str:
    """The column with a picture's bytes: binary, or a struct with `bytes`, by one of the usual names."""
    for name in _COLUMNS:
        if name in schema.names:
            kind = str(schema.field(name).type)
            if "binary" in kind:
                return name
    raise SourceError(
        f"{path}: columns {', '.join(schema.names)}; expected pictures' bytes in one named {', '.join(_COLUMNS)}"
    )


def _folder(path: str, root: str) -> str:
    """The first folder below the root that contains a path, or an archive's own name."""
    inner = path.removeprefix(root.rstrip("/") + "/")
    first, slash, _ = inner.partition("/")
    return first if slash and inner != path else ""


def _is_picture(name: str) -> bool:
    base = posixpath.basename(name)
    return base.lower().endswith(tuple(SUFFIXES)) and not base.startswith(".")


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


_LISTERS = {".tar": _list_tar, ".zip": _list_zip, ".parquet": _list_parquet}
_READERS = {".tar": _read_tar, ".zip": _read_zip, ".parquet": _read_parquet}
