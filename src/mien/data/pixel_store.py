"""Storage of a dataset's pixels: in memory up to a limit, in a temporary file above it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

import numpy as np
import numpy.typing as npt

from mien.errors import DatasetError

SIDE = 48
"""Height and width of every image in pixels."""

ROWS_AT_ONCE = 4096
"""How many images are read from a file at a time: 9 MB."""

_IMAGE_BYTES = SIDE * SIDE
_WRITE_BYTES = 2**20


class PixelMemory:
    """The memory that the pixels of all splits of a dataset share.

    Attributes:
        limit: bytes that may be used.
        used: bytes that are.
        in_files: bytes in files instead.
        expected: how many images there will be in all; 0: not known.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.in_files = 0
        self.expected = 0


class Pixels:
    """The pixels of one split while it is read.

    The first images for which there is no memory move all of the split into an unnamed file in Python's folder for
    temporary files. The system deletes it with the last array that shows it, whatever becomes of the process.
    """

    def __init__(self, memory: PixelMemory) -> None:
        self._memory = memory
        self._bytes = bytearray()
        self._file: IO[bytes] | None = None
        self._count = 0

    def add(self, images: npt.NDArray[np.uint8]) -> None:
        """Append images: (48, 48) or (n, 48, 48) uint8.

        Raises:
            DatasetError: they have to go into a file, and there is no room for it.
        """
        self._count += images.size // _IMAGE_BYTES
        if self._file is None and self._memory.used + images.size > self._memory.limit:
            self._move_to_file()
        if self._file is None:
            self._bytes += images.tobytes()
            self._memory.used += images.size
        else:
            self._write(images.tobytes())

    def array(self) -> npt.NDArray[np.uint8]:
        """All images, (n, 48, 48) uint8; an `np.memmap`, read only, if they are in a file. Ends the adding.

        Raises:
            DatasetError: there is no room for the last of them.
        """
        shape = (self._count, SIDE, SIDE)
        if self._file is None:
            return np.frombuffer(self._bytes, np.uint8).reshape(shape)
        try:
            self._file.flush()
            return np.memmap(self._file, np.uint8, "r", shape=shape)
        except OSError as error:
            raise self._no_room(error.strerror or str(error)) from None
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file; arrays that show it stay as they are."""
        if self._file is not None:
            # What could not be written to a full disk is tried again here, and is not wanted any more.
            with suppress(OSError):
                self._file.close()

    def _move_to_file(self) -> None:
        others = self._memory.used - len(self._bytes) + self._memory.in_files
        needed = _IMAGE_BYTES * self._memory.expected - others
        try:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            if free < needed:
                raise self._no_room(f"only {_size(free)} are free")
            self._file = tempfile.TemporaryFile(buffering=_WRITE_BYTES)  # noqa: SIM115 closed by `close`
        except OSError as error:
            raise self._no_room(error.strerror or str(error)) from None
        self._write(self._bytes)
        self._memory.used -= len(self._bytes)
        self._bytes = bytearray()

    def _write(self, data: bytes | bytearray) -> None:
        if self._file is not None:
            try:
                self._file.write(data)
                self._memory.in_files += len(data)
            except OSError as error:
                raise self._no_room(error.strerror or str(error)) from None

    def _no_room(self, reason: str) -> DatasetError:
        expected = self._memory.expected
        need = f"{_size(_IMAGE_BYTES * expected)} for {expected:,} images" if expected else "2.3 KB an image"
        return DatasetError(
            f"{tempfile.tempdir or 'temporary folder'}: no room for pixels beyond the "
            f"{_size(self._memory.limit)} of memory for them: {reason}; expected {need}; the environment variable "
            "TMPDIR names another folder"
        )


def take_images(images: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Some of the images, (n, 48, 48) uint8, by their indices, (m,): those in a file come into another file.

    Raises:
        DatasetError: there is no room for that file.
    """
    if not isinstance(images, np.memmap) or len(rows) == 0:
        return np.asarray(images[rows])
    starts = range(0, len(rows), ROWS_AT_ONCE)
    return store_like(images, (images[rows[start : start + ROWS_AT_ONCE]] for start in starts), len(rows))


def store_like(
    images: npt.NDArray[np.uint8], parts: Iterable[npt.NDArray[np.uint8]], expected: int | None = None
) -> npt.NDArray[np.uint8]:
    """Other images, (n, 48, 48) uint8, stored as these are: in memory, or in a file of their own.

    Args:
        images: (m, 48, 48) uint8.
        parts: the others, some at a time.
        expected: how many there are; None for as many as `images`.

    Raises:
        DatasetError: there is no room for that file.
    """
    in_file = isinstance(images, np.memmap)
    memory = PixelMemory(0 if in_file else 2**62)
    memory.expected = len(images) if expected is None else expected
    pixels = Pixels(memory)
    try:
        for part in parts:
            pixels.add(part)
        return pixels.array()
    finally:
        pixels.close()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
