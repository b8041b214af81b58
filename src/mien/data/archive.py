"""Datasets as .zip, .tar.gz or .csv.gz, as Kaggle hands them out: unpacked while they are read, whatever is inside.

An archive is a stranger's file: its names may point anywhere, and a few bytes of it may stand for any number. So only
what a dataset consists of is unpacked, only below a fresh folder, and only up to a limit.
"""

from __future__ import annotations

import gzip
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple, TypeAlias, cast

from mien._core.files import refuse_pipe
from mien._core.zips import ZIP_ERRORS, is_folder_member, zip_reason
from mien.data.rows import Progress, split_of_folder
from mien.errors import DatasetError
from mien.images.find import SUFFIXES

MAX_UNPACKED = 16_000_000_000
"""Archives whose files have more bytes in all are refused; FER2013 as CSV has 0.3 billion."""

MAX_FILES = 1_000_000
"""Archives with more files are refused."""

_TABLES = frozenset({".csv", ".parquet"})
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second: of an empty archive
_COMPRESSED = (b"\x1f\x8b", b"BZ", b"\xfd7")  # gzip, bzip2, xz
_ENCRYPTED = 0x1
_COPY_BYTES = 1 << 20
_ERRORS = (*ZIP_ERRORS, tarfile.TarError, gzip.BadGzipFile)


class _Member(NamedTuple):
    """One file of an archive, as all kinds of them have it."""

    name: str
    size: int
    is_link: bool
    is_encrypted: bool
    open: Callable[[], IO[bytes]]


_Lister: TypeAlias = Callable[[Path], AbstractContextManager[Iterator[_Member]]]


@contextmanager
def unpacked(path: Path, progress: Progress) -> Iterator[Path]:
    """The path itself; of an archive a temporary folder with its pictures, CSV and Parquet files.

    Archives are .zip, .tar (also .gz, .bz2, .xz), and a CSV or Parquet file under gzip.

    Folders that hold nothing but one other folder are passed over: the folder is the one that a person would name.
    An error of the body that names the temporary folder names the archive instead.

    Args:
        path: any path; its first bytes show whether it is an archive.
        progress: called with (done, total) bytes while unpacking.

    Raises:
        DatasetError: the archive is broken, encrypted or too large, holds a link or a name that leads out of it, or
            there is no room for its files in the temporary folder.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        yield _root(path)
        return
    if (members := _kind(path)) is None:
        yield path
        return
    with TemporaryDirectory(prefix="mien-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        _unpack(path, members, folder, progress)
        try:
            yield (root := _root(folder))
        except DatasetError as error:
            raise type(error)(str(error).replace(str(root), str(path))) from None


def _kind(path: Path) -> _Lister | None:
    """What lists the members of an archive of this kind; None: it is none."""
    refuse_pipe(path)
    with path.open("rb") as file:
        begin = file.read(512)
    if begin[:4] in _ZIP or path.suffix.lower() == ".zip":
        return _zip_members
    packed = begin[:2] in _COMPRESSED
    if packed and Path(path.stem).suffix.lower() in _TABLES and not _is_tar(path):
        return _gzip_member
    return _tar_members if packed or begin[257:262] == b"ustar" else None


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except _ERRORS:  # of what is cut off; whoever reads it will say so
        return False


def _unpack(path: Path, lister: _Lister, folder: Path, progress: Progress) -> None:
    try:
        with lister(path) as listed:
            members = list(_wanted(listed, path))
            total = sum(member.size for member, _ in members)
            _check_size(path, len(members), total, shutil.disk_usage(folder).free)
            done = 0
            for member, name in members:
                _write(path, member, folder / name)
                done += member.size
                progress(done, total)
    except _ERRORS as error:
        raise DatasetError(f"{path}: expected a whole archive: {zip_reason(error)}") from None


@contextmanager
def _zip_members(path: Path) -> Iterator[Iterator[_Member]]:
    with zipfile.ZipFile(path) as archive:
        yield (
            _Member(
                member.filename.replace("\\", "/"),  # as some programs for Windows write it
                member.file_size,
                stat.S_ISLNK(member.external_attr >> 16),
                bool(member.flag_bits & _ENCRYPTED),
                partial(archive.open, member),
            )
            for member in archive.infolist()
            if not is_folder_member(member)
        )


@contextmanager
def _tar_members(path: Path) -> Iterator[Iterator[_Member]]:
    with tarfile.open(path, "r:*") as archive:
        yield (
            _Member(
                member.name,
                member.size,
                not member.isreg(),
                False,
                lambda member=member: _not_none(archive.extractfile(member)),  # type: ignore[misc]
            )
            for member in archive
            if not member.isdir()
        )


@contextmanager
def _gzip_member(path: Path) -> Iterator[Iterator[_Member]]:
    # Its length is known only when it has been read.
    with gzip.open(path, "rb") as file:
        size = sum(len(part) for part in iter(lambda: file.read(_COPY_BYTES), b""))
        file.seek(0)
        yield iter([_Member(path.stem, size, False, False, lambda: cast("IO[bytes]", file))])


def _not_none(file: IO[bytes] | None) -> IO[bytes]:
    if file is None:
        raise tarfile.TarError("a member without data")
    return file


def _wanted(members: Iterable[_Member], path: Path) -> Iterator[tuple[_Member, PurePosixPath]]:
    """The files that a dataset may consist of, and their names as paths below the archive's root."""
    for member in members:
        name = PurePosixPath(member.name)
        if (
            name.is_absolute()
            or ".." in name.parts
            or re.match(r"[A-Za-z]:", name.parts[0] if name.parts else "")
        ):
            raise DatasetError(
                f"{path}: {_quoted(member)} leads out of the archive, expected names inside it"
            )
        if name.suffix.lower() not in SUFFIXES | _TABLES:
            continue
        # What the folder reader skips, and what macOS adds: __MACOSX/._face.png.
        if name.name.startswith(".") or any(part.startswith((".", "__")) for part in name.parts[:-1]):
            continue
        if member.is_link:
            raise DatasetError(f"{path}: {_quoted(member)} is a link, expected files")
        if member.is_encrypted:
            raise DatasetError(f"{path}: {_quoted(member)} is encrypted: unpack it and name the folder")
        yield member, name


def _check_size(path: Path, files: int, total: int, free: int) -> None:
    if files > MAX_FILES or total > MAX_UNPACKED:
        raise DatasetError(
            f"{path}: {files:,} files of {total / 1e9:.1f} GB in all, expected at most {MAX_FILES:,} files and "
            f"{MAX_UNPACKED / 1e9:.0f} GB: if you trust the archive, unpack it and name the folder"
        )
    if total > free:
        raise DatasetError(
            f"{path}: {total / 1e9:.1f} GB to unpack and {free / 1e9:.1f} GB free: set TMPDIR to a folder on "
            "another disk, or unpack it and name the folder"
        )


def _write(path: Path, member: _Member, target: Path) -> None:
    """Write one file. What is read ends at the size that the archive declares, so the check of the sum holds."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _COPY_BYTES)
    except FileExistsError:
        raise DatasetError(
            f"{path}: {_quoted(member)} comes after another of that name, expected one"
        ) from None
    except gzip.BadGzipFile:  # an OSError too
        raise
    except (OSError, ValueError) as error:  # the second: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: {_quoted(member)} cannot be unpacked: {reason}") from None


def _root(folder: Path) -> Path:
    """The root folder of the dataset."""
    while len(entries := _entries(folder)) == 1 and entries[0].is_dir():
        inner = entries[0]
        holds_more = any(entry.is_dir() or entry.suffix.lower() in _TABLES for entry in _entries(inner))
        if split_of_folder(inner.name) or not holds_more:  # a split or a class: its name labels its pictures
            break
        folder = inner
    return folder


def _entries(folder: Path) -> list[Path]:
    """What counts in a folder: other folders, pictures and tables that are not hidden."""
    return [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "__"))
        and (entry.suffix.lower() in SUFFIXES | _TABLES or entry.is_dir())
    ]


def _quoted(member: _Member) -> str:
    name = member.name
    return repr(name if len(name) <= 80 else "..." + name[-77:])
