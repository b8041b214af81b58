"""Data larger than memory: decoded by threads, kept in a file beyond a limit, and the same in every way."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_datasets import (
    csv_line,
    encoded,
    faces,
    refusal,
    write_csv,
    write_parquet,
    write_picture,
    write_votes,
)

from mien._core import parallel
from mien._core.parallel import map_chunks
from mien.data.dataset import Dataset
from mien.data.load import load_dataset
from mien.data.pixel_store import take_images
from mien.errors import DatasetError
from mien.labels import LABELS

IMAGE = 48 * 48
PARTS = {"train": 150, "val": 70, "test": 20}


def write_folders(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, n in PARTS.items():
        for i in range(n):
            pixels = rng.integers(0, 256, (48, 48) if i % 9 else (60, 70, 3), np.uint8)
            write_picture(root / split / LABELS[i % 7] / f"{i}.{'png' if i % 3 else 'jpg'}", pixels)
    return root


def write_hub_parquet(root: Path) -> Path:
    root.mkdir()
    for split, n in PARTS.items():
        columns = {
            "image": [encoded(face) for face in faces(n, seed=n)],
            "label": [i % 7 for i in range(n)],
            "votes": [[i % 11] + [0] * 9 for i in range(n)],
        }
        write_parquet(root / f"{split}.parquet", columns)
    return root


def write_kaggle_csv(root: Path) -> Path:
    root.mkdir()
    usages = ["Training"] * 50 + ["PublicTest"] * 20
    lines = [csv_line(face, emotion=i % 7, usage=usages[i]) for i, face in enumerate(faces(70))]
    write_votes(root / "fer2013new.csv", usages)
    return write_csv(root / "fer2013.csv", lines)


@pytest.fixture(scope="module", params=[write_folders, write_hub_parquet, write_kaggle_csv])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return request.param(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def assert_equal(first: Dataset, second: Dataset) -> None:
    assert first.fingerprint() == second.fingerprint()
    assert (first.name, first.labels, list(first.splits)) == (second.name, second.labels, list(second.splits))
    for name, split in first.splits.items():
        other = second.splits[name]
        assert split.names == other.names
        assert np.array_equal(split.images, other.images)
        assert np.array_equal(split.targets, other.targets)
        assert (split.votes is None) == (other.votes is None)
        assert split.votes is None or np.array_equal(split.votes, other.votes)


def in_file(dataset: Dataset) -> dict[str, bool]:
    return {name: isinstance(split.images, np.memmap) for name, split in dataset.splits.items()}


# what comes out


@pytest.mark.parametrize("threads", [1, 7])
@pytest.mark.parametrize("memory", [0, IMAGE, 60 * IMAGE, 10**9])
def test_neither_threads_nor_memory_change_the_result(
    data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, threads: int, memory: int
) -> None:
    expected = load_dataset(data)
    assert not any(in_file(expected).values())
    monkeypatch.setattr(parallel, "THREADS", threads)
    dataset = load_dataset(data, memory=memory)
    assert_equal(dataset, expected)
    assert in_file(dataset)["train"] == (len(dataset.split("train")) * IMAGE > memory)
    assert not list(scratch.iterdir())


def test_only_the_splits_that_do_not_fit_go_into_a_file(scratch: Path, tmp_path: Path) -> None:
    dataset = load_dataset(write_folders(tmp_path / "tree"), memory=100 * IMAGE)
    assert in_file(dataset) == {"train": True, "validation": False, "test": False}
    train = dataset.split("train").images
    assert (train.shape, train.dtype) == ((150, 48, 48), np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        train[0, 0, 0] = 1


def test_a_selection_from_a_file_is_in_a_file(data: Path, scratch: Path) -> None:
    inside, outside = (load_dataset(data, memory=memory).split("train") for memory in (10**9, 0))
    chosen = np.arange(len(inside)) % 3 == 1
    ours, theirs = outside.take(chosen), inside.take(chosen)
    assert isinstance(ours.images, np.memmap)
    assert not isinstance(theirs.images, np.memmap)
    assert np.array_equal(ours.images, theirs.images)
    assert ours.names == theirs.names
    assert len(outside.take(np.zeros(len(inside), bool))) == 0
    assert not list(scratch.iterdir())


def test_rows_come_in_the_order_asked_for(scratch: Path, tmp_path: Path) -> None:
    images = load_dataset(write_folders(tmp_path / "tree"), memory=0).split("train").images
    rows = np.random.default_rng(0).permutation(150)
    assert np.array_equal(take_images(images, rows), images[rows])


def test_negative_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memory=-1: expected a number of bytes"):
        load_dataset(tmp_path, memory=-1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak has another unit")
def test_reading_takes_no_more_memory_for_more_images(tmp_path: Path) -> None:
    """Beyond the limit an image costs its name and label, not its pixels: those alone would be 66 MiB here."""
    n = 30_000
    columns = {"image": [encoded(np.zeros((48, 48), np.uint8))] * n, "label": [0] * n}
    write_parquet(tmp_path / "train.parquet", columns)
    code = (
        "import resource, sys; from mien.data.load import load_dataset\n"
        "import pyarrow.parquet\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); data = load_dataset(sys.argv[1], memory=2**20); print((peak() - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 45


# no room


def test_too_little_free_space_is_told_before_it_is_filled(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 5000, 5000))
    with pytest.raises(DatasetError) as caught:
        load_dataset(write_folders(tmp_path / "tree"), memory=IMAGE)
    text = str(caught.value)
    assert text.startswith(f"{scratch}: no room for pixels")
    assert "only 0.0 MB are free; expected 0.6 MB for 240 images" in text
    assert "TMPDIR names another folder" in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_becomes_full(data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: open("/dev/full", "w+b", **options))  # noqa: PTH123, SIM115
    with pytest.raises(DatasetError, match=r"No space left on device; expected .* TMPDIR"):
        load_dataset(data, memory=IMAGE)


def test_no_folder_for_temporary_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    with pytest.raises(DatasetError, match=r"/no/such/folder: no room .*No such file.* TMPDIR"):
        load_dataset(data, memory=0)


# errors and interruptions


def test_all_broken_pictures_are_named_in_order(scratch: Path, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "tree")
    broken = sorted((root / "train" / "sad").iterdir())[3:]
    for path in broken:
        path.write_bytes(path.read_bytes()[:60])
    for memory in (0, 10**9):
        told = refusal(root, memory=memory)
        assert told.startswith(f"{len(broken)} images are not as expected: train/sad/{broken[0].name}: ")
        assert re.findall(r"train/sad/\S+(?=: )", told) == [f"train/sad/{path.name}" for path in broken[:10]]
        assert told.endswith(f"; and {len(broken) - 10} more")
    assert not list(scratch.iterdir())


def test_results_come_in_order_with_a_bounded_look_ahead() -> None:
    taken = 0

    def chunks() -> Iterator[list[int]]:
        nonlocal taken
        for taken in range(1, 101):
            yield [taken * 10 + i for i in range(3)]

    for number, results in enumerate(map_chunks(lambda item: -item, chunks()), 1):
        assert results == [-(number * 10 + i) for i in range(3)]
        assert taken - number <= 2 * parallel.THREADS


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_threads_end_when_the_reader_is_interrupted(error: type[BaseException]) -> None:
    threads, begun = threading.active_count(), []

    def slow(item: int) -> int:
        begun.append(item)
        time.sleep(0.02 if item else 0)
        return item

    def interrupted() -> None:
        for _ in map_chunks(slow, iter([[0], *[[1] * 1000] * 50])):
            raise error

    start = time.monotonic()
    with pytest.raises(error):
        interrupted()
    assert time.monotonic() - start < 5  # all of it would take 1000 s
    assert len(begun) < 500
    assert threading.active_count() == threads


def test_an_interruption_while_reading_leaves_nothing_behind(data: Path, scratch: Path) -> None:
    threads = threading.active_count()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(data, memory=0, progress=stop)
    assert threading.active_count() == threads
    assert not list(scratch.iterdir())
