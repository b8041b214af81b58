"""The codebook of a study: what every column of its tables means, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien._core.files import write_atomically, write_json
from mien._core.text import Table
from mien._core.version import __version__
from mien.study.columns import Columns

_TYPES = {str: "text", int: "whole number", float: "number", bool: "TRUE or FALSE"}


def write_codebook(folder: Path, tables: Mapping[str, Columns], settings: Mapping[str, Any]) -> None:
    """Write codebook.json and codebook.md.

    Args:
        folder: of the study.
        tables: file -> its columns.
        settings: of the study, by name.

    Raises:
        OSError: a file cannot be written.
    """
    described = {
        file: {
            name: {"type": _TYPES[column.kind], "unit": column.unit, "meaning": column.meaning}
            for name, column in columns.items()
        }
        for file, columns in tables.items()
    }
    values = {
        "software": f"mien {__version__}",
        "settings": dict(settings),
        "missing_value": "",
        "tables": described,
    }
    write_json(folder / "codebook.json", values, ascii_only=False)
    write_atomically(folder / "codebook.md", _markdown(described, settings))


def _markdown(described: Mapping[str, Mapping[str, Mapping[str, str]]], settings: Mapping[str, Any]) -> str:
    parts = [
        "# Codebook",
        f"Written by mien {__version__}. Empty cells are missing values. Numbers have a decimal point; times are "
        "seconds from the beginning of the clip.",
    ]
    for file, columns in described.items():
        rows = [[f"`{name}`", one["type"], one["unit"], one["meaning"]] for name, one in columns.items()]
        parts += [f"## {file}", Table(("column", "type", "unit", "meaning"), rows).markdown()]
    rows = [[f"`{name}`", "" if value is None else str(value)] for name, value in settings.items()]
    parts += ["## Settings", Table(("setting", "value"), rows).markdown()]
    return "\n\n".join(parts) + "\n"
