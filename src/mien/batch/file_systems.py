"""Where collections are: paths of this machine, and URLs of all the file systems that fsspec knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mien._core.files import refuse_pipe
from mien.errors import MissingExtraError, SourceError


def file_system(source: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path there, absolute for local files.

    Raises:
        SourceError: a protocol that is not known, or whose package is missing.
        MissingExtraError: fsspec is not installed.
    """
    try:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem
    except ImportError:
        raise MissingExtraError("mien batch", "batch") from None
    try:
        if os.path.lexists(source):
            # A file's own name may look like a chain of fsspec's, which takes "a::b.jpg" for "a".
            system = LocalFileSystem()
            return system, system._strip_protocol(os.path.abspath(source))  # noqa: PTH100 links stay
        system, path = url_to_fs(source)
    except (ValueError, ImportError) as error:
        raise SourceError(
            f"{source}: {error}; expected a path, or a URL such as s3://bucket/folder"
        ) from None
    return system, path


def is_local(system: Any) -> bool:
    """Whether a file system is that of this machine, mounted folders with it."""
    return "file" in system.protocol


def is_remote(name: str) -> bool:
    """Whether the name of a picture or an archive, as `url_of` gives it, is a URL."""
    return "://" in name and not name.startswith("/")


def refuse_pipe_at(system: Any, path: str) -> None:
    """For local files, an OSError where opening one would wait for who writes to it."""
    if is_local(system):
        refuse_pipe(Path(path))


def url_of(system: Any, path: str) -> str:
    """A local path as it is, else with its protocol."""
    protocol = system.protocol if isinstance(system.protocol, str) else system.protocol[0]
    return path if protocol in ("file", "local") else str(system.unstrip_protocol(path))
