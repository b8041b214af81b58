"""`mien` as it is typed, but within this process: for tests of what it says, writes and returns.

To start Python and load what a command needs takes longer than most commands. That they work as processes of their
own is seen where the documentation's commands are run, in the golden outputs, and wherever a signal, a pipe or a
limit of the system is what is tested.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from mien.cli.app import main


def run(
    *words: str | Path, stdin: bytes = b"", cwd: Path | None = None, columns: int = 120, text: bool = True
) -> subprocess.CompletedProcess[Any]:
    """Run a command.

    Args:
        words: after `mien`.
        stdin: what it reads there.
        cwd: the folder in which it runs, if not this one.
        columns: the width of what is made for a terminal.
        text: whether what was written comes as text, or as bytes.

    Returns:
        As `subprocess.run` does: the exit code, and what was written to stdout and stderr. An error that no
        command may end with is a traceback and the code 1, as Python has it.
    """
    written = [io.BytesIO(), io.BytesIO()]
    # An end of a line is one on every system, as in a process whose output is read as text.
    out, err = (io.TextIOWrapper(file, "utf-8", newline="\n", write_through=True) for file in written)
    command = ["mien", *map(str, words)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command)
        patch.setattr(sys, "excepthook", sys.excepthook)  # Typer puts its own there
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")
        patch.chdir(cwd or os.curdir)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception:
            traceback.print_exc()
            code = 1
        out.flush()
        err.flush()
    said = [file.getvalue() for file in written]
    return subprocess.CompletedProcess(command, code, *([data.decode() for data in said] if text else said))
