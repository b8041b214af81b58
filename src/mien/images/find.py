"""Which files are pictures: those of folders and glob patterns, by the ends of their names."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from mien.images import heic

SUFFIXES = frozenset((
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".pjp", ".pjpeg", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp", *(heic.SUFFIXES if heic.is_installed() else ()),
))  # fmt: skip
"""The file names that count as pictures inside a folder, in lower case."""


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The pictures named by files, folders and glob patterns, each once, in the given order.

    Folders are searched with all their folders, in order of name, for files that end in `SUFFIXES`; hidden
    files are left out. A file named directly is kept with any ending. Nothing raises here: a path that
    is missing, a pattern without a match and a folder without pictures stay in the list as they are, and
    `mien.read_image` reports what is wrong with each, so the others of a run are processed.
    """
    return find_files(paths, SUFFIXES)


def find_files(paths: Iterable[str | os.PathLike[str]], suffixes: Collection[str]) -> list[Path]:
    """As `find_images`, for other `suffixes`, each in lower case and with its dot."""
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        for match in _matches(path):
            files = walk(match, suffixes) if os.path.isdir(match) else []  # noqa: PTH112 as in _matches
            found.update(dict.fromkeys(files or [match]))
    return list(found)


def _matches(path: Path) -> list[Path]:
    # os.path and glob answer False and nothing where pathlib raises: a forbidden folder, a name too long.
    if os.path.exists(path):  # noqa: PTH110
        return [path]
    return sorted(map(Path, glob.glob(str(path), recursive=True))) or [path]  # noqa: PTH207


def count_others(
    paths: Iterable[str | os.PathLike[str]], suffixes: Collection[str] = SUFFIXES
) -> Counter[str]:
    """How many files of each ending the named folders hold that `find_files` leaves out; hidden ones do not count."""
    others: Counter[str] = Counter()
    for path in map(Path, paths):
        for folder in filter(os.path.isdir, _matches(path)):  # as in _matches
            for _, _, files in _folders(folder):
                endings = (
                    Path(name).suffix.lower() or "no ending" for name in files if not name.startswith(".")
                )
                others.update(ending for ending in endings if ending not in suffixes)
    return others


def walk(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of a folder and of all its folders that end so, by name, and the folders that cannot be read."""
    pictures: list[Path] = []
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for root, _, files in _folders(folder, note):
        pictures += [
            Path(root, name)
            for name in files
            if Path(name).suffix.lower() in suffixes and not name.startswith(".")
        ]
    return sorted(pictures + unreadable)


def _folders(
    folder: Path, note: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, without hidden folders."""
    for root, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield root, folders, files
