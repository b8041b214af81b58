"""What the folders of all kinds of runs have in common: the record of what a run was started with."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import keras

from mien._core.files import check_writable, write_json
from mien._core.version import __version__
from mien.errors import TrainingError

CHECKPOINT = "checkpoint.npz"
RECORD = "train.json"
SETTINGS = "config.toml"


def check_free(run: Path) -> None:
    """Raise if a folder holds a run, or the rest of one: a new run would continue from its checkpoint."""
    if any((run / name).exists() for name in (RECORD, CHECKPOINT, "best.npz")):
        raise TrainingError(
            f"{run}: already holds a run; add --resume to continue it, or choose another folder"
        )


def check_folder(run: Path, *, resume: bool) -> None:
    """Raise what the folder alone tells: so before data are read.

    Raises:
        TrainingError: it holds a run; with `resume`, it holds none.
        OSError: nothing can be written there.
    """
    if resume:
        read_record(run)
    else:
        check_free(run)
    check_writable(run)


def write_record(run: Path, data: dict[str, Any]) -> None:
    """Make the folder and its `train.json`: the data, versions, the machine."""
    run.mkdir(parents=True, exist_ok=True)
    versions = {"mien": __version__, "keras": keras.__version__, "python": platform.python_version()}
    values = {
        "data": data,
        "backend": keras.backend.backend(),
        "versions": versions,
        "machine": platform.platform(),
    }
    write_json(run / RECORD, values)


def read_record(run: Path, sha256: str | None = None) -> dict[str, Any]:
    """The data that a run was started on.

    Raises:
        TrainingError: there is no run, its record cannot be read, or it was started on data of another SHA-256 than
            the one that is given.
    """
    record = run / RECORD
    try:
        data = dict(json.loads(record.read_text(encoding="utf-8"))["data"])
        name, started = data["name"], data["sha256"]
    except FileNotFoundError:
        raise TrainingError(f"{run}: no run to resume here; start one without --resume") from None
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(f"{record}: not the record of a run of this version ({error})") from None
    if sha256 is not None and started != sha256:
        raise TrainingError(f"{run}: was started on other data ({name}); use the same data")
    return data
