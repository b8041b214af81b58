"""Numbers of results as text, the same in JSON and CSV: as many decimals as mean something, and no exponent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

_PIXELS = frozenset(("x1", "y1", "x2", "y2"))
_PIXEL_DECIMALS, _DECIMALS = 2, 6


def decimal(value: float, name: str = "") -> str:
    """A number in at most 6 decimals, coordinates in at most 2; always with a point, so that it reads as no whole one.

    Args:
        value: the number.
        name: of its field or column.

    Raises:
        ValueError: it is not finite, which JSON cannot say.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}: expected a finite number")
    text = f"{value:.{_PIXEL_DECIMALS if name in _PIXELS else _DECIMALS}f}".rstrip("0")
    whole = f"{text}0" if text.endswith(".") else text
    return "0.0" if whole == "-0.0" else whole


def to_json(value: Any, *, indent: int | None = None) -> str:
    """As `json.dumps` writes plain values, but fractions as `decimal` has them.

    Raises:
        ValueError: a number is not finite.
    """
    return _json(value, "", None if indent is None else " " * indent, "\n")


def _json(value: Any, name: str, step: str | None, line: str) -> str:
    inner = line if step is None else line + step
    if isinstance(value, float):
        return decimal(value, name)
    if isinstance(value, dict):
        items = (f"{json.dumps(str(key))}: {_json(one, str(key), step, inner)}" for key, one in value.items())
        return _enclosed("{}", items, step, line)
    if isinstance(value, list | tuple):
        return _enclosed("[]", (_json(one, name, step, inner) for one in value), step, line)
    return json.dumps(value)


def _enclosed(brackets: str, items: Iterable[str], step: str | None, line: str) -> str:
    parts = list(items)
    if step is None or not parts:
        return brackets[0] + ", ".join(parts) + brackets[1]
    return brackets[0] + line + step + f",{line}{step}".join(parts) + line + brackets[1]
