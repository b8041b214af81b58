"""Checks of a settings dataclass: types, limits, names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def check_types(settings: Any) -> None:
    """Raise ValueError where a setting is not of its default's kind: a file may hold anything."""
    for item in fields(settings):
        value, kind = getattr(settings, item.name), item.type
        fits = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool),
            "bool": isinstance(value, bool),
            "str": isinstance(value, str),
        }
        if not fits.get(str(kind), True):
            raise ValueError(f"{item.name}={value!r}: expected {_KINDS[str(kind)]}")


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}


def check_limits(settings: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError if a setting is outside of its limits, both included."""
    for name, (low, high) in limits.items():
        if not low <= getattr(settings, name) <= high:
            raise ValueError(f"{name}={getattr(settings, name)}: expected {low} to {high}")


def check_names(values: Mapping[str, Any], kind: type[Any], prefix: str) -> None:
    """Raise ValueError where a setting is none of a kind's."""
    known = [item.name for item in fields(kind)]
    for name in values:
        if name not in known:
            raise ValueError(f"unknown setting {prefix}{name}: expected {', '.join(known)}")
