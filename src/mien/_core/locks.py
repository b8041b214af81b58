"""A lock on a folder: one run writes into it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mien.errors import SettingsError


@contextmanager
def hold_lock(path: Path, folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while the block runs; the system lets go of it even after a kill.

    Args:
        path: of the file that is locked, made if missing.
        folder: for the message.

    Raises:
        SettingsError: another run holds it.
        OSError: the file cannot be made.
    """
    with path.open("w") as file:
        if not _is_ours(file):
            raise SettingsError(f"{folder}: another run writes here now; wait for its end, or choose another")
        yield


def _is_ours(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: two runs in one folder are the user's to avoid
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
