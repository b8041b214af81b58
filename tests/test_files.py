"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from mien._core.files import atomic_file, write_atomically, write_json


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "words.txt", "Zoë\n")
    write_atomically(tmp_path / "bytes", b"\0\1")
    write_json(tmp_path / "values.json", {"a": [1, "ë"]})
    assert (tmp_path / "words.txt").read_bytes() == "Zoë\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\0\1"
    assert (tmp_path / "values.json").read_text() == '{\n  "a": [\n    1,\n    "\\u00eb"\n  ]\n}\n'
    assert len(list(tmp_path.iterdir())) == 3


def test_the_name_appears_when_the_file_is_whole(tmp_path: Path) -> None:
    path, books = tmp_path / "part", tmp_path / "books"
    books.mkdir()
    with atomic_file(path, folder=books) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists() and len(list(books.iterdir())) == 1
    assert path.read_bytes() == b"half" and not list(books.iterdir())


@pytest.mark.parametrize("before", [None, b"before"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(
    before: bytes | None, error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error), atomic_file(path) as file:
        file.write(b"half")
        raise error
    assert (path.read_bytes() if path.exists() else None) == before
    assert list(tmp_path.iterdir()) == ([] if before is None else [path])


def test_the_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "one", b"")
    (tmp_path / "other").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "other").stat().st_mode
    )


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "file", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    write_atomically(link, b"after")
    assert link.is_symlink() and target.read_bytes() == b"after"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"through")
    reader.join()
    assert got == [b"through"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_name_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / ("ë" * 127)
    write_atomically(path, b"long")
    assert path.read_bytes() == b"long"


def test_what_cannot_be_written_is_named_and_stays(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, b"")
    missing = tmp_path / "nowhere" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(missing, b"")
    assert caught.value.filename == str(missing)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
