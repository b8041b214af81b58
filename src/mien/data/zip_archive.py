"""Datasets as a .zip, as Kaggle hands them out: unpacked for as long as they are read, whatever is inside.

An archive is a stranger's file: its names may point anywhere, and a few bytes of it may stand for any number. So only
what a dataset consists of is unpacked, only below a fresh folder, and only up to a limit.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from mien._core.files import refuse_pipe
from mien._core.zips import ZIP_ERRORS, zip_reason
from mien.data.rows import Progress, split_of_folder
from mien.errors import DatasetError
from mien.images.find import SUFFIXES

MAX_UNPACKED = 16_000_000_000
"""Archives whose files have more bytes in all are refused; FER2013 as CSV has 0.3 billion."""

MAX_FILES = 1_000_000
"""Archives with more files are refused."""

_TABLES = frozenset({".csv", ".parquet"})
_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")  # the second: of an empty archive
_ENCRYPTED = 0x1
_COPY_BYTES = 1 << 20


@contextmanager
def unpacked(path: Path, progress: Progress) -> Iterator[Path]:
    """The path itself; of a zip archive a temporary folder with its pictures, CSV and Parquet files.

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
    if not _is_archive(path):
        yield path
        return
    with TemporaryDirectory(prefix="mien-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        _unpack(path, folder, progress)
        try:
            yield (root := _root(folder))
        except DatasetError as error:
            raise type(error)(str(error).replace(str(root), str(path))) from None


def _is_archive(path: Path) -> bool:
    if path.is_dir():
        return False
    refuse_pipe(path)
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES or path.suffix.lower() == ".zip"


def _unpack(path: Path, folder: Path, progress: Progress) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = list(_members(archive, path))
            total = sum(member.file_size for member, _ in members)
            _check_size(path, len(members), total, shutil.disk_usage(folder).free)
            done = 0
            for member, name in members:
                _write(archive, member, folder / name)
                done += member.file_size
                progress(done, total)
    except ZIP_ERRORS as error:
        raise DatasetError(f"{path}: expected a whole zip archive: {zip_reason(error)}") from None


def _members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files that a dataset may consist of, and their names as paths below the archive's root."""
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))  # as some programs for Windows write it
        if (
            name.is_absolute()
            or ".." in name.parts
            or re.match(r"[A-Za-z]:", name.parts[0] if name.parts else "")
        ):
            raise DatasetError(
                f"{path}: {_quoted(member)} leads out of the archive, expected names inside it"
            )
        if member.is_dir() or name.suffix.lower() not in SUFFIXES | _TABLES:
            continue
        # What the folder reader skips, and what macOS adds: __MACOSX/._face.png.
        if name.name.startswith(".") or any(part.startswith((".", "__")) for part in name.parts[:-1]):
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DatasetError(f"{path}: {_quoted(member)} is a link, expected files")
        if member.flag_bits & _ENCRYPTED:
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


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one file. What is read ends at the size that the archive declares, so the check of the sum holds."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _COPY_BYTES)
    except FileExistsError:
        raise DatasetError(
            f"{archive.filename}: {_quoted(member)} comes after another of that name, expected one"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"{archive.filename}: {_quoted(member)} cannot be unpacked: {reason}") from None


def _root(folder: Path) -> Path:
    """The root folder of the dataset."""
    while len(entries := list(folder.iterdir())) == 1 and entries[0].is_dir():
        inner = entries[0]
        holds_more = any(entry.is_dir() or entry.suffix.lower() in _TABLES for entry in inner.iterdir())
        if split_of_folder(inner.name) or not holds_more:  # a split or a class: its name labels its pictures
            break
        folder = inner
    return folder


def _quoted(member: zipfile.ZipInfo) -> str:
    name = member.filename
    return repr(name if len(name) <= 80 else "..." + name[-77:])
