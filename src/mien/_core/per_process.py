"""What is opened anew in every process: networks and locks, of which nothing outlives a pickle, and little a fork."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

_inherited: list[object] = []
"""What a fork took along: freeing a session would wait for threads that do not come through one."""


class PerProcess(Generic[Value]):
    """A value, made by `make(*arguments)`: now, and again at its first use in any other process.

    Pickled are `make` and its arguments. That a value cannot be made in another process is an error of its first
    use there, not of reading the pickle: an error of that kind would make `multiprocessing.Pool` wait for ever.

    Args:
        make: a function that can be pickled.
        arguments: of it.
        shared: whether all copies that a process gets by pickles hold one value, as those of a pool do, which come
            with every piece of its work.
    """

    def __init__(self, make: Callable[..., Value], *arguments: Hashable, shared: bool = True) -> None:
        self._make, self._arguments, self._shared = make, arguments, shared
        self._held: tuple[int, Value] | None = (os.getpid(), make(*arguments))

    def __call__(self) -> Value:
        """The value of this process."""
        held, process = self._held, os.getpid()
        if held is None or held[0] != process:
            value = (
                _shared(process, self._make, *self._arguments)
                if self._shared
                else self._make(*self._arguments)
            )
            if held is not None:
                _inherited.append(held)
            held = self._held = (process, value)
        return held[1]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_held": None}


@cache
def _shared(process: int, make: Callable[..., Any], *arguments: Hashable) -> Any:
    return make(*arguments)
