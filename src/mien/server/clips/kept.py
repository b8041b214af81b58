"""The folder of the clips and their pages: temporary files of this process, each kept for a while."""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path

MOST, SECONDS = 16, 3600.0
"""How many finished clips are kept, and for how long."""

LARGEST = 4
"""How many clips of the largest allowed size the finished ones may take together."""

PAGE = "index.html"


class Kept:
    """Folders by names that cannot be guessed: who knows one may see it. Threads may share it.

    Args:
        most_bytes: that all finished ones may take; the newest is kept in any case.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._root: Path | None = None
        self._finished: dict[str, tuple[float, int]] = {}  # name -> when, and bytes; the oldest first
        self._lock = threading.Lock()

    def new(self) -> Path:
        """A folder that only this user can read.

        Raises:
            OSError: there is no room.
        """
        with self._lock:
            if self._root is None or not self._root.is_dir():  # systems delete what is old in such places
                self._root = Path(tempfile.mkdtemp(prefix="mien-clips-"))
            folder = self._root / secrets.token_urlsafe(24)
            folder.mkdir(mode=0o700)
        return folder

    def finish(self, folder: Path) -> None:
        """Keep a folder from now on until its time is over, or others need its room."""
        size = sum(path.stat().st_size for path in folder.iterdir())
        with self._lock:
            self._finished[folder.name] = time.monotonic(), size
        self.sweep()

    def find(self, name: str) -> Path | None:
        """The folder of that name, if it is finished and still kept."""
        with self._lock:
            finished, _ = self._finished.get(name, (-math.inf, 0))
            fresh = finished >= time.monotonic() - SECONDS
            return self._root / name if self._root is not None and fresh else None

    def drop(self, folder: Path) -> None:
        """Delete a folder, now or, where a file is still open on Windows, at the next sweep."""
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            if folder.exists():
                self._finished[folder.name] = -math.inf, 0
            else:
                self._finished.pop(folder.name, None)

    def sweep(self) -> None:
        """Delete what was kept long enough, and the oldest where there are too many or they are too large."""
        latest = time.monotonic() - SECONDS
        with self._lock:
            kept = [name for name, (finished, _) in self._finished.items() if finished >= latest]
            while len(kept) > 1 and (
                len(kept) > MOST or sum(self._finished[name][1] for name in kept) > self._most_bytes
            ):
                kept.pop(0)
            folders = [self._root / name for name in self._finished if name not in kept and self._root]
        for folder in folders:
            self.drop(folder)

    def close(self) -> None:
        """Delete everything."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
