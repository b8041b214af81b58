"""Checks of a settings dataclass: types, limits, choices, names. Every message says what came and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from typing import Any

Limits = Mapping[str, tuple[float, float]]
"""Setting -> least and greatest value; `math.inf` where there is no greatest one."""

_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}


def check_types(settings: Any) -> None:
    """Raise ValueError where a setting is not of its field's kind: a file may hold anything."""
    for item in fields(settings):
        name, value = item.name, getattr(settings, item.name)
        kind = _kind(item)
        if value is None and str(item.type).endswith("None"):
            continue
        fits = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool),
            "bool": isinstance(value, bool),
            "str": isinstance(value, str),
        }
        if not fits.get(kind, True):
            raise ValueError(f"{name}={value!r}: expected {_KINDS[kind]}")


def check_limits(settings: Any, limits: Limits, *, inside: bool = False) -> None:
    """Raise ValueError where a setting lies outside of its limits, or is infinite; None is none.

    `inside`: the limits themselves are outside too.
    """
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if value is None:
            continue
        fits = low < value < high if inside else low <= value <= high
        if not fits or math.isinf(value):
            kind = next(_KINDS[_kind(item)] for item in fields(settings) if item.name == name)
            raise ValueError(f"{name}={value!r}: expected {kind} {_range(low, high, inside)}")


def _range(low: float, high: float, inside: bool) -> str:
    if math.isinf(high):
        return f"above {low}" if inside else f"from {low} on"
    return f"between {low} and {high}" if inside else f"from {low} to {high}"


def check_choices(settings: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError where a setting is none of its choices."""
    for name, expected in choices.items():
        value = getattr(settings, name)
        if value not in expected:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(expected)}")


def check_names(values: Mapping[str, Any], kind: type[Any], prefix: str) -> None:
    """Raise ValueError where a setting is none of a kind's."""
    known = [item.name for item in fields(kind)]
    for name in values:
        if name not in known:
            raise ValueError(f"unknown setting {prefix}{name}: expected {', '.join(known)}")


def _kind(item: Field[Any]) -> str:
    """Of a field, without the None that it may be as well."""
    return str(item.type).removesuffix(" | None")
