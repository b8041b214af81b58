"""What a folder holds: what is read by its ending, what is left out and said, what is bad and costs nothing else."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import typed
from clips import scene, write_clip
from pictures import encode, grace_hopper

from mien.images.find import SUFFIXES, count_others, find_images
from mien.video.clips import find_clips

PHOTO = encode(grace_hopper(), "jpeg", quality=92)


def write(folder: Path, *names: str, data: bytes = PHOTO) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_endings_that_are_read_when_named_are_found_in_folders(tmp_path: Path) -> None:
    names = ["a.jfif", "b.JPG", "c.pjpeg", "d.jpe", "e.dib", "f.apng", "g.j2k"]
    write(tmp_path, *names, "h.heic", "i.txt", ".hidden.jpg")
    assert [path.name for path in find_images([tmp_path])] == names
    clips = ["a.y4m", "b.qt", "c.DV", "d.mjpeg", "e.h264", "f.mp4"]
    write(tmp_path / "clips", *clips, "notes.csv")
    assert [path.name for path in find_clips([tmp_path / "clips"])] == clips


def test_raw_video_is_read(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.y4m", [scene((0, 200, 90))] * 2, codec="wrapped_avframe", format="yuv4mpegpipe")
    write_clip(tmp_path / "b.h264", [scene((0, 200, 90))] * 2, format="h264")
    done = typed.run("video", tmp_path, "--format", "csv")
    assert done.returncode == 0, done.stderr
    sources = Counter(Path(row["source"]).name for row in csv.DictReader(io.StringIO(done.stdout)))
    assert sources == {"a.y4m": 2, "b.h264": 2}


class TestLeftOut:
    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "a.jpg",
            "IMG_1.HEIC",
            "more/IMG_2.heic",
            "more/notes.txt",
            "README",
            ".git/x.txt",
            ".b.txt",
        )
        assert count_others([tmp_path, tmp_path / "a.jpg"]) == {".heic": 2, ".txt": 1, "no ending": 1}
        assert not count_others([tmp_path / "a.jpg", tmp_path / "missing"])

    def test_the_command_says_it_and_what_to_do_with_heic(self, tmp_path: Path) -> None:
        write(tmp_path, "a.jpg", "x.jfif", "IMG_1.HEIC")
        done = typed.run("image", tmp_path, "--format", "csv")
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 3
        assert "left out in folders, as of another kind: 1 .heic" in done.stderr
        assert "HEIC is not read: convert such photos to JPEG" in done.stderr

    def test_nothing_is_said_where_all_is_read(self, tmp_path: Path) -> None:
        write(tmp_path, "a.jpg")
        for paths in ([tmp_path], [tmp_path / "a.jpg"]):
            assert typed.run("image", *paths, "--format", "csv").stderr == ""


class TestOneBadEntry:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        pytest.importorskip("fsspec")
        folder = tmp_path / "in"
        write(folder, "a.jpg", "z.jpg")
        (folder / "dangling.jpg").symlink_to("nowhere")
        with zipfile.ZipFile(folder / "good.zip", "w") as archive:
            archive.writestr("inside.jpg", PHOTO)
        whole = (folder / "good.zip").read_bytes()
        (folder / "cut.zip").write_bytes(whole[: len(whole) // 2])
        (folder / "cut.tar").write_bytes(b"no tar")
        (folder / "text.parquet").write_bytes(b"no Parquet")
        (folder / "packed.tar.gz").write_bytes(b"")
        return folder

    def test_in_a_batch_it_is_a_row(self, folder: Path, tmp_path: Path) -> None:
        from pyarrow import parquet

        done = typed.run("batch", folder, "--output", tmp_path / "out", "--workers", "1")
        assert done.returncode == 1, done.stderr
        rows = [
            row
            for path in sorted((tmp_path / "out").glob("*.parquet"))
            for row in parquet.read_table(path).to_pylist()
        ]
        errors = {Path(row["source"]).name: row["error"] for row in rows}
        read = {name for name, error in errors.items() if error is None}
        assert read == {"a.jpg", "z.jpg", "inside.jpg"}
        assert set(errors) - read == {"dangling.jpg", "cut.zip#", "cut.tar#", "text.parquet#"}
        assert all("cannot be read" in errors[name] for name in set(errors) - read)

    def test_a_name_like_a_chain_of_file_systems(self, tmp_path: Path) -> None:
        pytest.importorskip("fsspec")
        write(tmp_path / "in", "a::b.jpg", "zip::file:x.jpg")
        for source in (tmp_path / "in", tmp_path / "in" / "a::b.jpg"):
            done = typed.run(
                "batch", source, "--output", tmp_path / f"out-{source.name[:1]}", "--workers", "1"
            )
            assert done.returncode == 0, done.stderr
            assert " 0 errors" in done.stderr

    def test_a_repaired_one_is_read_by_the_next_run(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        typed.run("batch", folder, "--output", out, "--workers", "1")
        (folder / "cut.zip").write_bytes((folder / "good.zip").read_bytes())
        done = typed.run("batch", folder, "--output", out, "--workers", "1")
        assert "1 pictures, 1 faces" in done.stderr

    def test_a_bad_one_that_was_named_is_an_error(self, folder: Path, tmp_path: Path) -> None:
        for name in ("dangling.jpg", "cut.zip", "packed.tar.gz"):
            done = typed.run("batch", folder / name, "--output", tmp_path / "out")
            assert done.returncode == 1 and name in done.stderr
            assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.parquet"))


def test_every_ending_is_in_lower_case_and_has_its_dot() -> None:
    assert all(ending == ending.lower() and ending.startswith(".") for ending in SUFFIXES)
