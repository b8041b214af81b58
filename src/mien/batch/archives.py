"""What archives hold, by their own tables of contents: nothing is unpacked to list them."""

from __future__ import annotations

import posixpath
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeAlias

from mien._core.zips import is_folder_member
from mien.batch.file_systems import refuse_pipe_at
from mien.errors import MissingExtraError, SourceError
from mien.images.find import SUFFIXES

ARCHIVES = (".tar", ".zip", ".parquet")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_COLUMNS = ("image", "bytes", "image_bytes", "jpg", "png")

Member: TypeAlias = tuple[str, tuple[int, ...]]
"""How a picture's name continues that of its archive, and its key: offset and size (tar), number (zip), row group and
row (Parquet)."""


def list_archive(system: Any, path: str) -> Iterator[Member]:
    """The pictures in an archive, in the order in which it has them.

    Raises:
        SourceError: it is a compressed tar, or Parquet without a column of pictures.
        MissingExtraError: pyarrow is not installed, for Parquet.
        OSError, ValueError, tarfile.TarError, ZIP_ERRORS: it is broken.
    """
    if path.lower().endswith(COMPRESSED):
        raise SourceError(
            f"{path}: a compressed tar cannot be read from the middle; expected .tar (pictures are compressed already)"
        )
    refuse_pipe_at(system, path)
    yield from _LISTERS[suffix_of(path)](system, path)


def is_picture(name: str) -> bool:
    """Whether a file's or a member's name is that of a picture, and not of a hidden file."""
    base = posixpath.basename(name)
    return base.lower().endswith(tuple(SUFFIXES)) and not base.startswith(".")


def suffix_of(path: str) -> str:
    """The ending of an archive's name, by which it is read."""
    return posixpath.splitext(path)[1].lower()


def open_parquet(file: IO[bytes]) -> Any:
    """A Parquet file, or `MissingExtraError`."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("reading Parquet", "parquet") from None
    return parquet.ParquetFile(file)


def image_column(schema: Any, path: str) -> str:
    """The column with a picture's bytes: binary, or a struct with `bytes`, by one of the usual names."""
    for name in _COLUMNS:
        if name in schema.names:
            kind = str(schema.field(name).type)
            if "binary" in kind:
                return name
    raise SourceError(
        f"{path}: columns {', '.join(schema.names)}; expected pictures' bytes in one named {', '.join(_COLUMNS)}"
    )


def _list_tar(system: Any, path: str) -> Iterator[Member]:
    seen: Counter[str] = Counter()
    with system.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            if member.isreg() and is_picture(member.name):
                yield f"/{_numbered(member.name, seen)}", (member.offset_data, member.size)


def _list_zip(system: Any, path: str) -> Iterator[Member]:
    seen: Counter[str] = Counter()
    with system.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        for place, member in enumerate(archive.infolist()):
            if not is_folder_member(member) and is_picture(member.filename):
                yield f"/{_numbered(member.filename, seen)}", (place,)


def _numbered(name: str, seen: Counter[str]) -> str:
    """A member's name; that of the second of one name gets a number, for an archive may hold both."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}#{seen[name]}"


def _list_parquet(system: Any, path: str) -> Iterator[Member]:
    with system.open(path, "rb") as file:
        table = open_parquet(file)
        image_column(table.schema_arrow, path)
        row = 0
        for group in range(table.num_row_groups):
            for place in range(table.metadata.row_group(group).num_rows):
                yield f"#{row}", (group, place)
                row += 1


_LISTERS: dict[str, Callable[[Any, str], Iterator[Member]]] = {
    ".tar": _list_tar,
    ".zip": _list_zip,
    ".parquet": _list_parquet,
}
