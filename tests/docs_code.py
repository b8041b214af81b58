"""The code in the documentation: its blocks, what says that one is not run, and whether a command could be typed.

A block is a fence with a language, or indented: then it is commands. A comment before it says what of it is not run:

    <!-- not run: needs a camera -->
    <!-- not run "mien camera": needs a camera; "mien serve": runs until it is stopped -->
"""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import typer

from mien.cli.app import command_line

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "benchmarks/peers/README.md"] + [
    path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))
]
COMMANDS, TEXT = ("bash",), ("text", "toml", "json", "yaml")
SCRIPTS = ("js",)  # run by test_onnx_file.py

_MARKER = re.compile(r"^<!-- not run(.*?)-->\s*$", re.DOTALL)
_LIST = re.compile(r"^\s*([-*+]|\d+\.) ")


@dataclass(frozen=True)
class Block:
    """A block of code: where it stands, its language, and what of it is not run."""

    page: str
    line: int
    language: str
    text: str
    not_run: dict[str, str] = field(default_factory=dict)  # how a command begins, "" for all -> the reason

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def lines(self) -> list[str]:
        """Its commands, a line each; continued lines are joined."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    def skips(self, line: str) -> bool:
        """Is this line one that is not run?"""
        return any(line.startswith(begin) for begin in self.not_run)


def marker(comment: str) -> dict[str, str]:
    """What a comment says is not run; empty if it says nothing of that."""
    match = _MARKER.match(comment)
    if match is None:
        return {}
    parts = re.findall(r'\s*(?:"([^"]*)")?\s*:\s*([^;]+)', match[1])
    if not parts or not all(reason.strip() for _, reason in parts):
        raise ValueError(f'{comment!r}: expected <!-- not run: why --> or <!-- not run "mien x": why -->')
    return {begin: reason.strip() for begin, reason in parts}


def blocks(page: str, text: str) -> Iterator[Block]:
    """All blocks of a page, in order. A fence without a language has the language ""."""
    lines = [*text.splitlines(), ""]
    before, in_list, i = "", False, 0
    while i < len(lines):
        line = lines[i]
        fence = re.match(r"^( *)(`{3,})\s*([\w-]*)", line)
        if fence:
            end = next(k for k in range(i + 1, len(lines)) if lines[k].strip() == fence[2])
            inside = [row[len(fence[1]) :] for row in lines[i + 1 : end]]
            yield Block(page, i + 1, fence[3], "\n".join(inside) + "\n", marker(before))
            before, i = "", end + 1
            continue
        if line.startswith("    ") and not in_list and (i == 0 or not lines[i - 1].strip()):
            end = i + 1
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            inside = [row[4:] for row in lines[i:end]]
            yield Block(page, i + 1, "bash", "\n".join(inside).rstrip() + "\n", marker(before))
            before, i = "", end
            continue
        if line.strip():
            in_list = bool(_LIST.match(line)) or (in_list and line.startswith(" "))
            before = f"{before}\n{line}" if before.startswith("<!--") and not before.endswith("-->") else line
        i += 1


def inline(text: str) -> Iterator[str]:
    """Commands of mien inside of a sentence or a table, `mien …`."""
    yield from re.findall(r"`(mien [^`\n]+)`", _without_fences(text))


def options_named_alone(text: str) -> set[str]:
    """The options that a sentence or a table names without their command, `--option …`."""
    return {
        option
        for code in re.findall(r"`(--[a-z][^`\n]*)`", _without_fences(text))
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
    }


def known_options() -> set[str]:
    """Those of every command, and of the benchmarks."""
    group: Any = typer.main.get_command(command_line())
    parameters = [parameter for command in group.commands.values() for parameter in command.params]
    named = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").rglob("*.py"))
    return {"--help", "--version", *named, *re.findall(r'add_argument\(\s*"(--[\w-]+)"', scripts)}


def _without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(line: str) -> Iterator[list[str]]:
    """The words of every command of a line, split at pipes and the like; what is redirected is left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.commenters, lexer.whitespace_split = "#", True
    words: list[str] = []
    redirected = False
    for token in [*lexer, ";"]:
        if set(token) <= set("|&;"):
            if words:
                yield words
            words = []
        elif set(token) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        elif words or not re.match(r"^[A-Z_]+=", token):  # KERAS_BACKEND=jax mien train
            words.append(token)


def check_command(words: list[str], *, whole: bool = True) -> None:
    """Is this a command that somebody could type?

    Args:
        words: the command and its arguments.
        whole: False where arguments that a command needs may be missing, as inside of a sentence.

    Raises:
        ValueError: an unknown command, option, setting, extra or script.
    """
    name = words[0].rpartition("/bin/")[2]  # venv/bin/pip is a pip
    if name == "mien":
        _check_mien(words[1:], whole)
    elif name in ("python", "bash") or "/" in name:
        _check_script(words[1:] if name in ("python", "bash") else words)
    elif name == "pip":
        for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
            if extra not in _project()["optional-dependencies"]:
                raise ValueError(f"{shlex.join(words)}: no extra {extra!r} in pyproject.toml")
    elif name not in ("pytest", "ruff", "mypy", "lint-imports", "mkdocs", "cat", "curl", "docker", "npm"):
        raise ValueError(f"{shlex.join(words)}: {name!r} is no command that the documentation may use")


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@cache
def _group() -> Any:
    return typer.main.get_command(command_line())


def _check_mien(arguments: list[str], whole: bool) -> None:
    group = _group()
    name, *rest = arguments
    if name.startswith("-"):
        command, rest = group, arguments
    elif name in group.commands:
        command = group.commands[name]
    else:
        raise ValueError(f"mien {shlex.join(arguments)}: no command {name!r}")
    try:
        command.make_context(name, list(rest))
    except Exception as error:
        # Typer has click inside, in newer versions under a private name: the classes are told by theirs.
        kind = type(error).__name__
        if kind != "Exit" and not (kind == "MissingParameter" and not whole):
            raise ValueError(f"mien {shlex.join(arguments)}: {getattr(error, 'message', error)}") from error
    if name == "train":
        _check_settings(rest)


def _check_settings(arguments: list[str]) -> None:
    from mien.training.config import combine, parse_setting

    given = [value for flag, value in itertools.pairwise(arguments) if flag == "--set"]
    named = dict(itertools.pairwise(arguments))
    config = named.get("--config")
    # A path is a file of this repository; a name alone is a recipe, or the reader's own file.
    config = str(ROOT / config) if config and "/" in config else None
    try:
        combine(named.get("--network"), config, dict(parse_setting(text) for text in given))
    except Exception as error:
        if str(error).startswith("runs/") and "no such model" in str(error):
            return  # it starts from a run that an earlier command made
        raise ValueError(f"mien train {shlex.join(arguments)}: {error}") from error


def _check_script(words: list[str]) -> None:
    """A script of the repository, and options that its text has. `python -c` and `-m` are not looked into."""
    if words[0].startswith("-"):
        return
    script = ROOT / words[0]
    if not script.is_file():
        raise ValueError(f"{shlex.join(words)}: no file {words[0]!r} in the repository")
    text = script.read_text(encoding="utf-8")
    for option in words[1:]:
        if option.startswith("--") and not re.search(rf"{re.escape(option)}\b", text):
            raise ValueError(f"{shlex.join(words)}: {words[0]} has no {option}")
