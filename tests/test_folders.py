"""What a folder holds: what is read by its ending, what is left out and said, what is bad and costs nothing else."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import typed
from clips import scene, write_clip
from pictures import encode, grace_hopper
from PIL import Image

from mien.batch.reading import read_entries
from mien.batch.sources import list_entries
from mien.errors import ImageError
from mien.images.find import SUFFIXES, count_others, find_images
from mien.images.memory import reading_bytes
from mien.images.read import read_image
from mien.video.clips import find_clips

PHOTO = encode(grace_hopper(), "jpeg", quality=92)


def write(folder: Path, *names: str, data: bytes = PHOTO) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_endings_that_are_read_when_named_are_found_in_folders(tmp_path: Path) -> None:
    names = ["a.jfif", "b.JPG", "c.pjpeg", "d.jpe", "e.dib", "f.apng", "g.j2k"]
    write(tmp_path, *names, "i.txt", ".hidden.jpg")
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


def without_heic(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command where the extra is not installed."""
    code = "import sys; sys.modules |= dict.fromkeys(('pi_heif', 'pillow_heif')); from mien.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


class TestHeic:
    """Made by an encoder that is here for the tests alone."""

    def photo(self, mode: str = "RGB") -> Image.Image:
        return Image.open(io.BytesIO(PHOTO)).convert(mode)

    def heic(self, picture: Image.Image, **options: object) -> bytes:
        pillow_heif = pytest.importorskip("pillow_heif")
        file = io.BytesIO()
        pillow_heif.from_pillow(picture).save(file, quality=95, **options)
        return file.getvalue()

    def test_it_is_read_as_the_picture_that_it_was(self, tmp_path: Path) -> None:
        for mode in ("RGB", "L"):
            picture = self.photo(mode)
            read = read_image(self.heic(picture)).astype(int)
            assert np.abs(read - np.asarray(picture.convert("RGB"), int)).mean() < 3
        (tmp_path / "a.HEIC").write_bytes(self.heic(self.photo()))
        write(tmp_path, "b.jpg")
        assert [path.name for path in find_images([tmp_path])] == ["a.HEIC", "b.jpg"]

    def test_transparency_lies_over_white(self) -> None:
        picture = self.photo("RGBA")
        picture.putalpha(0)
        assert read_image(self.heic(picture)).min() > 250

    def test_what_its_header_promises_is_counted(self) -> None:
        data = self.heic(self.photo())
        width, height = self.photo().size
        assert reading_bytes(data) == 13 * width * height

    def test_a_broken_one_is_an_error(self) -> None:
        with pytest.raises(ImageError):
            read_image(self.heic(self.photo())[:300])

    def test_without_the_extra_it_says_what_to_install(self, tmp_path: Path) -> None:
        (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
        done = without_heic("image", tmp_path / "a.heic", "--format", "csv")
        assert done.returncode == 1
        assert 'HEIC; to read HEIC: pip install ""mien[heic]"", or convert it to JPEG' in done.stdout


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
class TestPipes:
    def test_one_that_nobody_writes_to_is_an_error(self, tmp_path: Path) -> None:
        for name in ("x.jpg", "x.mp4", "x.csv", "m.onnx"):
            os.mkfifo(tmp_path / name)
        for command, name in (("image", "x.jpg"), ("video", "x.mp4"), ("data", "x.csv")):
            done = typed.run(command, tmp_path / name)
            assert "a pipe" in done.stdout + done.stderr, command
            assert done.returncode == 1
        (read,) = read_entries(list_entries([str(tmp_path / "x.jpg")]))
        assert "a pipe" in str(read[1])
        done = typed.run("image", tmp_path, "--format", "csv")
        assert "a pipe that nobody writes to; expected a file" in done.stdout
        write(tmp_path, "good.jpg")
        for options in (("--model", tmp_path / "m.onnx"), ("--detector", tmp_path / "m.onnx")):
            done = typed.run("image", tmp_path / "good.jpg", *options)
            assert done.returncode == 2, done.stderr

    def test_what_comes_out_of_one_is_read(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x.jpg")
        opened = os.open(tmp_path / "x.jpg", os.O_RDWR)  # so that there is a writer when it is looked for
        try:
            with ThreadPoolExecutor(1) as pool:
                reading = pool.submit(read_image, tmp_path / "x.jpg")
                os.write(opened, PHOTO[:1000])
                os.write(opened, PHOTO[1000:])
                os.close(opened)
                opened = -1
                np.testing.assert_array_equal(reading.result(60), read_image(PHOTO))
        finally:
            if opened >= 0:
                os.close(opened)


def test_a_name_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    for name in ("é" * 125 + ".jpg", "é" * 124 + "x.jpg"):
        write(tmp_path / "in", name)
    done = typed.run("image", tmp_path / "in", "--annotate", tmp_path / "out", "--chart", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name for name in drawn if name.endswith("-annotated.jpg")] == [
        "é" * 100 + "-2-annotated.jpg",
        "é" * 100 + "-annotated.jpg",
    ]


class TestLeftOut:
    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "a.jpg",
            "IMG_1.CR2",
            "more/IMG_2.cr2",
            "more/notes.txt",
            "README",
            ".git/x.txt",
            ".b.txt",
        )
        assert count_others([tmp_path, tmp_path / "a.jpg"]) == {".cr2": 2, ".txt": 1, "no ending": 1}
        assert not count_others([tmp_path / "a.jpg", tmp_path / "missing"])

    def test_the_command_says_it_and_what_to_do_with_heic(self, tmp_path: Path) -> None:
        write(tmp_path, "a.jpg", "x.jfif", "IMG_1.HEIC")
        done = without_heic("image", tmp_path, "--format", "csv")
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 3
        assert "skipped in folders, as unsupported: 1 .heic" in done.stderr
        assert 'to read HEIC: pip install "mien[heic]"' in done.stderr

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
        assert "1 picture, 1 face, 0 errors" in done.stderr

    def test_a_bad_one_that_was_named_is_an_error(self, folder: Path, tmp_path: Path) -> None:
        for name in ("dangling.jpg", "cut.zip", "packed.tar.gz"):
            done = typed.run("batch", folder / name, "--output", tmp_path / "out")
            assert done.returncode == 1 and name in done.stderr
            assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.parquet"))


def test_every_ending_is_in_lower_case_and_has_its_dot() -> None:
    assert all(ending == ending.lower() and ending.startswith(".") for ending in SUFFIXES)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_two_members_of_one_name_are_two_pictures(tmp_path: Path, kind: str) -> None:
    first, second = encode(np.zeros((8, 9, 3), np.uint8)), encode(np.full((8, 9, 3), 200, np.uint8))
    path = tmp_path / f"two.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's, of the second
            archive.writestr("a.png", first)
            archive.writestr("a.png", second)
    else:
        with tarfile.open(path, "w") as archive:
            for data in (first, second):
                member = tarfile.TarInfo("a.png")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    read = list(read_entries(list(list_entries([str(path)]))))
    assert [Path(entry.name).name for entry, _ in read] == ["a.png", "a.png#2"]
    assert [data for _, data in read] == [first, second]
