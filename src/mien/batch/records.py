"""The records of a run: its settings, what its folder holds, a lock, and every part until it is finished.

They are not among the parts. Arrow skips names that begin with "_" or ".", but Polars refuses a folder in
which any file, hidden or not, has another ending, and DuckDB reads whatever ends in ".parquet". So `faces.mien` lies
beside `faces`; where nothing can be written there, it is `faces/.mien`, and Polars needs a pattern.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien._core.files import UNFINISHED
from mien._core.locks import hold_lock

SETTINGS_FILE = "batch.json"
MANIFEST_FILE = "manifest.json"
_LOCK_FILE, _OLD_LOCK_FILE = "lock", ".lock"
_INSIDE = ".mien"

OWN_FILES = frozenset({SETTINGS_FILE, MANIFEST_FILE, _OLD_LOCK_FILE, _INSIDE})
"""Names that mien, today's or an earlier one, writes into a folder beside its parts."""


def books_places(folder: Path) -> tuple[Path, Path]:
    """Where a folder's records are: next to it, or inside."""
    # Not `resolve`: the other machines of a cluster may not have what a link leads to.
    whole = Path(os.path.abspath(folder))  # noqa: PTH100
    inside = whole / _INSIDE
    return (whole.with_name(f"{whole.name}.mien") if whole.name else inside), inside


def has_settings(folder: Path) -> bool:
    """Whether a folder's settings are anywhere, where an earlier version put them too."""
    return any((place / SETTINGS_FILE).is_file() for place in (*books_places(folder), folder))


def open_records(folder: Path) -> Path:
    """The folder of the records of an existing folder of parts, made when it is missing.

    Raises:
        OSError: it can be made nowhere.
    """
    beside, inside = books_places(folder)
    for place in (beside, inside):
        if (place / SETTINGS_FILE).is_file():
            return place
    if beside != inside and _can_move(beside, folder):
        return beside
    inside.mkdir(exist_ok=True)
    return inside


def _can_move(records: Path, folder: Path) -> bool:
    """Whether a file of the records can become one of the folder by a rename: on one disk, and both may be written."""
    probe = records / f"{os.getpid()}{UNFINISHED}"
    try:
        records.mkdir(exist_ok=True)
        probe.touch()
        probe.replace(folder / probe.name).unlink()
    except OSError:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            records.rmdir()  # unless there is something in it
        return False
    return True


@contextmanager
def locked(folder: Path, records: Path) -> Iterator[None]:
    """For as long as a run writes to a folder; what an earlier version or a killed run left behind is tidied up first.

    Raises:
        SettingsError: another run writes there now.
    """
    old_lock = folder / _OLD_LOCK_FILE
    with hold_lock(records / _LOCK_FILE, folder):
        if old_lock.exists():
            with hold_lock(old_lock, folder):
                old_lock.unlink()
        for name in (SETTINGS_FILE, MANIFEST_FILE):
            if (folder / name).exists():
                (folder / name).replace(records / name)
        for left in (*records.glob(f"*{UNFINISHED}"), *folder.rglob(f"*{UNFINISHED}")):
            left.unlink(missing_ok=True)
        yield
