"""Many pictures: read one after the other, small ones in runs that are searched for faces together."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from typing import TypeAlias

from mien.errors import ImageError
from mien.images.find import find_images
from mien.images.jpeg_draft import Draft, read_draft
from mien.images.read import MAX_BYTES

SMALL = 160
"""Pixels: up to this long side several pictures are searched faster at once than one by one."""

TOGETHER = 8
"""Of them at once."""

Named: TypeAlias = tuple[str, Draft | ImageError]
"""A picture by its name, or why it cannot be read."""


def read_files(paths: Iterable[str | os.PathLike[str]], side: int) -> Iterator[Named]:
    """Every picture that the paths name, as `read_draft` reads it.

    Args:
        paths: as `find_images` takes them; "-" is standard input.
        side: as `read_draft` takes it.
    """
    for path in find_images(paths):
        name = str(path)
        try:
            yield name, read_draft(sys.stdin.buffer.read(MAX_BYTES + 1) if name == "-" else path, side)
        except ImageError as error:
            yield name, error


def in_runs(pictures: Iterable[Named]) -> Generator[list[Named], None, None]:
    """Small pictures, up to `TOGETHER` of them, in one list; others in a list each. What is no picture is small."""
    run: list[Named] = []
    for one in pictures:
        large = not isinstance(one[1], ImageError) and max(one[1].pixels.shape[:2]) > SMALL
        if run and large:
            yield run
            run = []
        run.append(one)
        if large or len(run) == TOGETHER:
            yield run
            run = []
    if run:
        yield run
