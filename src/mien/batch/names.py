"""Names that are known, as numbers: for listings in which no order tells what is in another one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice

import numpy as np
from numpy.typing import NDArray

from mien.batch.sources import Entry

_BLOCK = 4096


class Names:
    """8 bytes per name (64 bits of BLAKE2b), so ten million take 80 MB.

    Among a million names, two share their digest, and one of them is skipped, once in 37 million cases.
    """

    _SOME = 1 << 16

    def __init__(self) -> None:
        # Sorted arrays, each at least twice as long as the next, so that a name is moved a few times only.
        self._sorted: list[NDArray[np.uint64]] = []
        self._new: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._sorted)) + len(self._new)

    def add(self, names: Sequence[str]) -> list[bool]:
        """Take names in; whether each of them is new."""
        keys = np.array([_key(name) for name in names], np.uint64)
        with self._lock:
            return self._add(keys)

    def _add(self, keys: NDArray[np.uint64]) -> list[bool]:
        fresh = []
        for key, old in zip(keys.tolist(), self._find(keys).tolist(), strict=True):
            fresh.append(not old and key not in self._new)
            if not old:
                self._new.add(key)
        if len(self._new) > self._SOME:
            self._sorted.append(np.sort(np.fromiter(self._new, np.uint64, len(self._new))))
            self._new = set()
            while len(self._sorted) > 1 and len(self._sorted[-2]) < 2 * len(self._sorted[-1]):
                last = [self._sorted.pop(), self._sorted.pop()]
                self._sorted.append(np.sort(np.concatenate(last), kind="stable"))  # a merge, of sorted runs
        return fresh

    def without(self, entries: Iterable[Entry], *, learn: bool = True) -> Iterator[Entry]:
        """The entries of names that are new; they are known from then on, if that is to be learned."""
        entries = iter(entries)
        while block := list(islice(entries, _BLOCK)):
            names = [entry.name for entry in block]
            yield from compress(block, self.add(names) if learn else self.lacks(names))

    def lacks(self, names: Sequence[str]) -> list[bool]:
        """Whether each name is new, without taking it in."""
        keys = np.array([_key(name) for name in names], np.uint64)
        with self._lock:
            old = self._find(keys).tolist()
            return [not known and key not in self._new for key, known in zip(keys.tolist(), old, strict=True)]

    def _find(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        found = np.zeros(len(keys), np.bool_)
        for known in self._sorted:
            found |= known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
        return found


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(encoded(name), digest_size=8).digest(), "little")


def encoded(name: str) -> bytes:
    """A name as it is compared."""
    # Parquet holds text: what is no Unicode is named there as it is compared here.
    return name.encode("utf-8", "backslashreplace")
