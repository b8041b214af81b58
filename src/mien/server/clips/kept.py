"""The folder of the clips and their pages: temporary files of this process, each kept for a while."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path

MOST, SECONDS = 16, 3600.0
"""How many finished clips are kept, and for how long."""

PAGE = "index.html"


class Kept:
    """Folders by names that cannot be guessed: who knows one may see it. Threads may share it."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._finished: dict[str, float] = {}  # name -> when, the oldest first
        self._lock = threading.Lock()

    def new(self) -> Path:
        """A folder that only this user can read.

        Raises:
            OSError: there is no room.
        """
        with self._lock:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix="mien-clips-"))
            folder = self._root / secrets.token_urlsafe(24)
            folder.mkdir(mode=0o700)
        return folder

    def finish(self, folder: Path) -> None:
        """Keep a folder from now on until its time is over, or others need its room."""
        with self._lock:
            self._finished[folder.name] = time.monotonic()
        self.sweep()

    def find(self, name: str) -> Path | None:
        """The folder of that name, if it is finished and still kept."""
        self.sweep()
        with self._lock:
            return self._root / name if self._root is not None and name in self._finished else None

    def drop(self, folder: Path) -> None:
        """Delete a folder."""
        with self._lock:
            self._finished.pop(folder.name, None)
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what was kept long enough."""
        with self._lock:
            latest = time.monotonic() - SECONDS
            old = [name for name, finished in self._finished.items() if finished < latest]
            old += [name for name in self._finished if name not in old][
                : max(0, len(self._finished) - len(old) - MOST)
            ]
            folders = [self._root / name for name in old if self._root is not None]
        for folder in folders:
            self.drop(folder)

    def close(self) -> None:
        """Delete everything."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
