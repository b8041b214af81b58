"""The file that --output names: its format by its ending, never one of the inputs, and whole or as it was before."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TypeVar

import typer

from mien._core.files import atomic_file

_FormatT = TypeVar("_FormatT", bound=StrEnum)

ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "table",
}
"""The ending of a file -> the format in which it is written."""


def choose_format(kinds: type[_FormatT], wanted: _FormatT | None, output: Path | None) -> _FormatT:
    """The format of an output: as the ending of the file says; without a file as wanted, else a table.

    Raises:
        typer.BadParameter: an ending that is not known, is none of these formats, or contradicts --format.
    """
    plain = kinds("table")
    # A pipe or /dev/stdout has no ending that means something.
    if output is None or (output.exists() and not output.is_file()):
        return wanted or plain
    ending = output.suffix.lower()
    if not ending and wanted is not None:
        return wanted
    known = {name: kinds(kind) for name, kind in ENDINGS.items() if kind in set(kinds)}
    if ending not in known:
        raise typer.BadParameter(
            f"{output}: expected a name that ends in {', '.join(known)}", param_hint="--output"
        )
    if wanted is not None and wanted != known[ending]:
        raise typer.BadParameter(
            f"{wanted}, but --output {output} means {known[ending]}: leave out one of them",
            param_hint="--format",
        )
    return known[ending]


def check_no_input(option: str, output: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse to write over an input, also by another name of the same file."""
    if output is None or not output.exists():
        return
    for path in inputs:
        if path.exists() and path.samefile(output):
            raise typer.BadParameter(f"{output}: is one of the inputs; name another file", param_hint=option)


@contextmanager
def open_output(output: Path | None, *, binary: bool) -> Iterator[IO[Any]]:
    """Stdout, or the file; its folder is made when it is missing.

    The file takes its place when the block ends, also by an interruption, with what was written until then. Until then,
    and after a kill or an error, what was there before is as it was, and what was written is beside it.
    """
    if output is None:
        yield sys.stdout
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output, keep=True) as file:
        if binary:
            yield file
            return
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        try:
            yield text
        finally:
            text.detach()
