"""Writes docs/cli.md from the command's own functions: python docs/generate_cli.py"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import EnumType
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from mien.cli.app import app

PAGE = Path(__file__).parent / "cli.md"


def render() -> str:
    """The page: a section a command with its arguments, options, defaults and example."""
    lines = ["# The command `mien`", "", str(app.info.help), "", "Made by `python docs/generate_cli.py`."]
    for command in app.registered_commands:
        callback = command.callback
        lines += ["", f"## mien {callback.__name__.replace('_', '-')}", "", inspect.getdoc(callback), ""]
        if rows := list(_rows(callback)):
            lines += ["| | | default |", "|---|---|---|", *rows, ""]
        lines.append(command.epilog.replace("Example: ", "Example: `") + "`")
    return "\n".join(lines) + "\n"


def _rows(callback: Callable[..., Any]) -> Iterator[str]:
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = get_args(hints[name])[:2]
        # Within Annotated typer takes the first of an option's names for its default.
        named = next((n for n in (info.default, *(info.param_decls or ())) if str(n).startswith("--")), None)
        option = f"`{named or '--' + name.replace('_', '-')}`" + (", `-o`" if named == "--output" else "")
        given = f"`{name.upper()}`" if isinstance(info, ArgumentInfo) else option
        choices = [c.value for k in (kind, *get_args(kind)) if isinstance(k, EnumType) for c in k]
        text = f"{info.help} {', '.join(choices)}".strip()
        default = "required" if parameter.default is parameter.empty else parameter.default
        default = "" if default is None or default is False else default
        yield f"| {given} | {text} | {default} |"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
