"""Which files are pictures: those of folders and glob patterns, by the ends of their names."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable
from pathlib import Path

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
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


def walk(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of a folder and of all its folders that end so, by name, and the folders that cannot be read."""
    pictures: list[Path] = []
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for root, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        pictures += [
            Path(root, name)
            for name in files
            if Path(name).suffix.lower() in suffixes and not name.startswith(".")
        ]
    return sorted(pictures + unreadable)
