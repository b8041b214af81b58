"""The wheel and the archive of the sources, made for tests without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(folder: Path, *options: str, source: Path = ROOT) -> list[Path]:
    """What `python -m build` makes of the sources; skips the test where its packages are missing."""
    for package in ("build", "hatchling"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", folder, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(folder.iterdir())


def tracked() -> set[str]:
    """The files that git keeps or would keep, relative to the top; skips the test in an unpacked archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone: git says which files there are")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}
