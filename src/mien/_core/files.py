"""Files that are there whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

UNFINISHED = ".unfinished"
"""What the name of a file ends in until it is whole; a kill may leave such a file behind."""

_PIPE_BYTES = 1 << 20


@contextmanager
def atomic_file(path: Path, *, folder: Path | None = None, keep: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that takes its place when the block ends; after an error what was there before is as it was.

    A link stays a link: the file it leads to is replaced. What is no file (a device, a pipe) is written to directly.

    Args:
        path: of the file; its folder exists by the end of the block.
        folder: where it grows, on the same disk; None for beside its place.
        keep: lose nothing of what was written until an error or an interruption: rows of a long run. It takes its
            place; after an error, where there is a file already, it stays beside that, and the error's notes say so.

    Raises:
        OSError: it cannot be written; as for any file that is opened for writing, also where one that is there is
            read-only.
    """
    if path.exists() and not path.is_file():
        # Not where it leads to: that of /dev/stdout before a pipe is no path.
        with path.open("wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if target.exists():
        target.open("r+b").close()  # raises where writing is not allowed
    new = (folder or target.parent) / f".{target.name[:40]}.{secrets.token_hex(4)}{UNFINISHED}"
    try:
        with _opened(new, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except BaseException as error:
        if keep and new.exists():
            if isinstance(error, Exception) and target.exists():
                error.add_note(f"{path} is as it was; what was written until then is in {new}")
                raise
            new.replace(target)
        new.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file in one step; text as UTF-8, its line ends as they are, what is no text (in names) as escapes.

    Raises:
        OSError: as in `atomic_file`.
    """
    with atomic_file(path) as file:
        file.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)


def write_json(path: Path, values: Any, *, indent: int = 2, ascii_only: bool = True) -> None:
    """Write plain values as JSON in one step, with a line end.

    Raises:
        OSError: as in `atomic_file`.
    """
    write_atomically(path, json.dumps(values, indent=indent, ensure_ascii=ascii_only) + "\n")


def check_writable(folder: Path) -> None:
    """Raise now where a folder could not be made or written into later.

    Raises:
        OSError: it, or what it would lie in, is a file or may not be written.
    """
    existing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file; expected a folder, or a new name", str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def _opened(new: Path, path: Path) -> IO[bytes]:
    try:
        return new.open("xb")
    except OSError as error:
        error.filename = str(path)  # the name that somebody knows
        raise


def is_pipe(path: Path) -> bool:
    """Whether it is a named pipe, or the end of a shell's `<(command)`. Raises OSError."""
    return stat.S_ISFIFO(path.stat().st_mode)


def refuse_pipe(path: Path) -> None:
    """For what is read more than once, or from its middle; opening a pipe would also wait for who writes to it.

    Raises:
        OSError: it is a pipe, or cannot be looked at.
    """
    if is_pipe(path):
        raise OSError(errno.ESPIPE, "a pipe; expected a file", str(path))


def read_pipe(path: Path, most: int) -> bytes:
    """What comes out of a named pipe, at least as many bytes as `most` if there are so many.

    Raises:
        OSError: nobody writes to it; or it cannot be read.
    """
    # Else opening would wait for somebody who writes, perhaps for ever.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:  # noqa: PTH123 a descriptor
        first = pipe.read(_PIPE_BYTES)  # None where somebody writes, who has not written yet
        if first == b"":
            raise OSError(errno.EPIPE, "a pipe that nobody writes to; expected a file")
        os.set_blocking(pipe.fileno(), True)
        data = bytearray(first or b"")
        while len(data) < most and (part := pipe.read(_PIPE_BYTES)):
            data += part
        return bytes(data)
