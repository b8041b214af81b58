"""Work that is done ahead, and ends with whoever wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien._core.parallel import map_chunks, run_ahead
from mien.batch.sources import list_entries
from mien.batch.worker import decode


def squares() -> Generator[Any, None, None]:
    return map_chunks(lambda number: number**2, ([number] for number in count()), threads=2)


def numbers() -> Generator[Any, None, None]:
    return run_ahead((number for number in count()), 4)


@pytest.mark.parametrize(("make", "first"), [(squares, [[0], [1], [4]]), (numbers, [0, 1, 2])])
def test_in_order_and_no_thread_is_left(
    make: Callable[[], Generator[Any, None, None]], first: list[Any]
) -> None:
    before = set(threading.enumerate())
    with closing(make()) as ahead:
        assert list(islice(ahead, 3)) == first
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_begun_than_is_looked_ahead(threads: int) -> None:
    begun: list[int] = []
    with closing(map_chunks(begun.append, ([n] for n in count()), threads=threads)) as ahead:
        for _ in range(5):
            next(ahead)
    assert 5 <= len(begun) <= 5 + 2 * threads


def test_a_failure_comes_in_its_place() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise KeyError(number)
        return number

    got = []
    with pytest.raises(KeyError):
        for (number,) in map_chunks(work, ([n] for n in range(9)), threads=2):
            got.append(number)
    assert got == [0, 1]


def test_pictures_of_a_collection_are_decoded_ahead_no_longer_than_wanted(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "03.png").write_bytes(b"none")
    entries = list(list_entries([str(tmp_path)]))
    before = set(threading.enumerate())
    assert [entry.name for entry, _ in decode(entries)] == [entry.name for entry in entries]
    with closing(decode(entries)) as decoded:
        assert [type(found).__name__ for _, found in islice(decoded, 5)][3] == "ImageError"
    assert set(threading.enumerate()) == before


def test_a_source_that_hangs_does_not_hold_up_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera whose driver never answers: closing gives it up."""
    monkeypatch.setattr("mien._core.parallel.PATIENCE", 0.05)
    hanging = threading.Event()

    def frames() -> Generator[int, None, None]:
        yield 1
        hanging.wait()

    with closing(run_ahead(frames(), 1, drop=True)) as newest:
        assert next(newest) == 1
    assert not hanging.is_set(), "the end came first"
    hanging.set()


class TestFreedInItsOwnThread:
    """A generator in a circle of objects is freed wherever Python happens to look for circles."""

    def test_what_runs_ahead(self) -> None:
        held: list[Iterator[int]] = []
        go, freed = threading.Event(), threading.Event()

        def source() -> Generator[int, None, None]:
            yield 1
            assert go.wait(10)
            held.clear()
            freed.set()
            yield 2

        held.append(run_ahead(source(), 1))
        assert next(held[0]) == 1
        go.set()
        assert freed.wait(10)

    def test_chunks(self) -> None:
        held: list[Iterator[list[int]]] = []
        go, freed = threading.Event(), threading.Event()

        def work(item: int) -> int:
            if item == 2:
                assert go.wait(10)
                held.clear()
                freed.set()
            return item

        held.append(map_chunks(work, [[1], [2], [3]], threads=1, ahead=1))
        assert next(held[0]) == [1]
        go.set()
        assert freed.wait(10)
