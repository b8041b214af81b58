"""What commands write: never over an input, in the format that the name says, whole, in folders as the inputs are."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
import typed
from clips import scene, write_clip
from pictures import encode, grace_hopper

from mien import PictureFiles, read_image
from mien._core.files import UNFINISHED, write_atomically
from mien._core.text import count
from mien.cli.output_file import open_output
from mien.results import FrameResult
from mien.video.clips import output_paths


@pytest.fixture(scope="module")
def photo() -> bytes:
    return encode(grace_hopper(), "jpeg", quality=92)


@pytest.fixture
def folder(tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo)
    write_clip(tmp_path / "clip.mp4", [scene((0, 200, 90))] * 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestInputsStay:
    @pytest.mark.parametrize(
        "words",
        [
            "image a.jpg --output a.jpg",
            "image b.jpg --output a.jpg",
            "image b.jpg -o a.jpg --format csv",
            "image . --output a.jpg",
            "image a.jpg --aggregate --output a.jpg",
            "video clip.mp4 --output clip.mp4",
            "video clip.mp4 --aggregate -o clip.mp4",
            "camera clip.mp4 --no-web --output clip.mp4",
        ],
    )
    def test_what_an_ending_of_pictures_names_is_refused(self, folder: Path, words: str) -> None:
        before = {path: path.read_bytes() for path in folder.iterdir()}
        done = typed.run(*words.split())
        assert done.returncode == 2
        assert "expected" in done.stderr
        assert {path: path.read_bytes() for path in folder.iterdir()} == before

    @pytest.mark.parametrize("link", [os.symlink, os.link])
    def test_an_input_by_another_name(self, folder: Path, photo: bytes, link: object) -> None:
        link(folder / "a.jpg", folder / "faces.csv")  # type: ignore[operator]
        for paths in (["a.jpg"], ["."], ["*.jpg"]):
            done = typed.run("image", *paths, "--output", "faces.csv")
            assert done.returncode == 2 and "is one of the inputs" in done.stderr
        assert (folder / "a.jpg").read_bytes() == photo

    def test_a_drawing_of_an_earlier_run_is_an_input_of_the_next(self, folder: Path) -> None:
        typed.run("image", "a.jpg", "--annotate", ".")
        first = (folder / "a-annotated.jpg").read_bytes()
        done = typed.run("image", ".", "--annotate", ".", "--format", "jsonl")
        assert done.returncode == 0
        assert [json.loads(line)["source"] for line in done.stdout.splitlines()] == [
            "a-annotated.jpg",
            "a.jpg",
            "b.jpg",
        ]
        assert (folder / "a-annotated.jpg").read_bytes() == first
        assert {"a-annotated-annotated.jpg", "a-annotated-2.jpg", "b-annotated.jpg"} <= names(folder)


class TestFormats:
    @pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "ndjson", "parquet", "txt"])
    def test_the_ending_decides(self, folder: Path, ending: str) -> None:
        assert typed.run("image", "a.jpg", "--output", f"new/faces.{ending}").returncode == 0
        data = (folder / "new" / f"faces.{ending}").read_bytes()
        if ending == "csv":
            assert next(csv.DictReader(io.StringIO(data.decode())))["emotion"] == "neutral"
        elif ending == "json":
            assert json.loads(data)[0]["faces"][0]["emotion"] == "neutral"
        elif ending in ("jsonl", "ndjson"):
            assert json.loads(data.splitlines()[0])["faces"][0]["emotion"] == "neutral"
        elif ending == "parquet":
            assert data[:4] == data[-4:] == b"PAR1"
        else:
            assert data.decode().split()[0] == "picture"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("image a.jpg -o faces.tsv", "expected a name that ends in .csv"),
            ("image a.jpg -o faces", "expected a name that ends in .csv"),
            ("image a.jpg -o faces.csv --format json", "--output faces.csv means csv"),
            ("image a.jpg -o faces.csv --format table", "--output faces.csv means csv"),
            ("image a.jpg -o faces.csv --aggregate", "one row per face"),
            ("video clip.mp4 -o faces.xlsx", "expected a name that ends in .csv"),
        ],
    )
    def test_what_says_nothing_or_two_things(self, folder: Path, words: str, message: str) -> None:
        done = typed.run(*words.split())
        assert done.returncode == 2
        assert message in " ".join(done.stderr.replace("│", " ").split())
        assert not [name for name in names(folder) if name.startswith("faces")]

    def test_a_name_without_an_ending_takes_a_format(self, folder: Path) -> None:
        assert typed.run("image", "a.jpg", "-o", "faces", "--format", "csv").returncode == 0
        assert (folder / "faces").read_text().startswith("source,")


class TestWhole:
    def test_until_it_is_whole_the_file_of_before_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "faces.csv"
        path.write_text("old")
        with open_output(path, binary=False) as stream:
            stream.write("new\n")
            stream.flush()
            assert path.read_text() == "old"
            (growing,) = tmp_path.glob(f".*{UNFINISHED}")
            assert growing.read_text() == "new\n"  # what a kill would leave
        assert path.read_text() == "new\n"
        assert names(tmp_path) == {"faces.csv"}

    def test_after_an_error_or_an_interruption_what_was_written_is_kept(self, tmp_path: Path) -> None:
        for error in (KeyboardInterrupt(), OSError("full")):
            (tmp_path / "x.csv").unlink(missing_ok=True)
            with pytest.raises(type(error)), open_output(tmp_path / "x.csv", binary=False) as stream:
                stream.write("row\n")
                raise error
            assert (tmp_path / "x.csv").read_text() == "row\n"
        assert names(tmp_path) == {"x.csv"}

    def test_an_error_costs_neither_the_file_of_before_nor_what_was_written(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("old")
        with pytest.raises(OSError) as raised, open_output(path, binary=False) as stream:
            stream.write("row\n")
            raise OSError("full")
        (beside,) = tmp_path.glob(f".*{UNFINISHED}")
        assert (path.read_text(), beside.read_text()) == ("old", "row\n")
        assert raised.value.__notes__ == [f"{path} is as it was; what was written until then is in {beside}"]
        with pytest.raises(KeyboardInterrupt), open_output(path, binary=False) as stream:
            stream.write("new\n")
            raise KeyboardInterrupt
        assert path.read_text() == "new\n"

    def test_a_pipe_is_written_to(self, tmp_path: Path) -> None:
        done = typed.run("image", "missing.jpg", "--format", "jsonl", "--output", os.devnull)
        assert done.returncode == 1
        assert Path(os.devnull).is_char_device()


class TestTree:
    def test_clips_keep_their_folders(self, tmp_path: Path) -> None:
        study = tmp_path / "study"
        clips = [study / who / "clip.mp4" for who in ("P01", "P02")]
        for clip in clips:
            clip.parent.mkdir(parents=True)
            clip.touch()
        out = tmp_path / "out"
        assert output_paths(out, clips, ".html", paths=[study]) == [
            out / "P01/clip.html",
            out / "P02/clip.html",
        ]
        # One of them alone goes elsewhere: it takes the place of no other.
        assert output_paths(out, clips[1:], ".html", paths=[study / "P02"]) == [out / "clip.html"]
        # Named without a folder in common, they are told apart by numbers.
        assert output_paths(out, clips, ".html", paths=clips) == [out / "clip.html", out / "clip-2.html"]

    def test_pictures_keep_their_folders(self, tmp_path: Path, photo: bytes) -> None:
        for name in ("photos/x.jpg", "photos/more/x.jpg", "photos/more/deep/x.png", "y.jpg"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(photo)
        paths = [tmp_path / "photos", tmp_path / "photos" / "more", tmp_path / "y.jpg"]
        files = PictureFiles(tmp_path / "out", paths=paths)
        picture = read_image(tmp_path / "y.jpg")
        written = [
            files.draw(picture, FrameResult(str(tmp_path / name)))[0].relative_to(tmp_path / "out").as_posix()
            for name in ("photos/x.jpg", "photos/more/x.jpg", "photos/more/deep/x.png", "y.jpg")
        ]
        # Of two folders the inner one counts: "photos/more" was named, too.
        assert written == ["x-annotated.jpg", "x-2-annotated.jpg", "deep/x-annotated.png", "y-annotated.jpg"]


class TestWhatIsSaid:
    """One line on stderr for everything that was written, and stdout is the data's alone."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("image a.jpg b.jpg --output out/faces.csv", ["2 rows in out/faces.csv"]),
            ("image a.jpg --output faces.json", ["1 picture in faces.json"]),
            ("image a.jpg b.jpg --output faces.jsonl", ["2 pictures in faces.jsonl"]),
            ("image a.jpg --output faces.parquet", ["1 row in faces.parquet"]),
            ("image a.jpg --output faces.txt", ["1 row in faces.txt"]),
            ("image a.jpg b.jpg --format csv --annotate o", ["2 annotated pictures in o/"]),
            ("image a.jpg --format json --chart o --annotate p", ["1 annotated picture in p/", "1 chart in o/"]),
            ("image a.jpg b.jpg --aggregate --min-group 2 -o sums.json", ["1 row in sums.json"]),
            ("video clip.mp4 -o faces.csv", ["3 rows in faces.csv"]),
            ("video clip.mp4 -o faces.json", ["3 frames in faces.json"]),
            ("video clip.mp4 --annotate one.mp4 --report r.html", ["1 annotated clip in one.mp4", "1 page in r.html"]),
            ("video clip.mp4 --annotate o --report p", ["1 annotated clip in o/", "1 page in p/"]),
            ("image a.jpg --format csv", []),
            ("image a.jpg", []),
        ],
    )  # fmt: skip
    def test_of_pictures_clips_and_cameras(self, folder: Path, words: str, said: list[str]) -> None:
        done = typed.run(*words.split())
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if " fps  " not in line] == [
            f"mien: {one}" for one in said
        ]
        assert "mien:" not in done.stdout

    def test_a_broken_clip_has_a_page_and_no_annotated_clip(self, folder: Path) -> None:
        (folder / "bad.mp4").write_text("none")
        done = typed.run(
            *["video", "clip.mp4", "bad.mp4", "--annotate", "o", "--report", "p", "--output", "f.csv"]
        )
        assert done.returncode == 1
        written = ["4 rows in f.csv", "1 annotated clip in o/", "2 pages in p/"]
        assert done.stderr.splitlines() == [f"mien: {one}" for one in written]
        assert sorted(path.name for path in (folder / "o").iterdir()) == ["clip-annotated.mp4"]

    def test_of_a_camera(self, folder: Path) -> None:
        done = typed.run(*["camera", "clip.mp4", "--no-web", "-o", "faces.jsonl"])
        read = len((folder / "faces.jsonl").read_text().splitlines())  # as many as there was time for
        assert done.stderr.splitlines()[-1] == f"mien: {count(read, 'frame')} in faces.jsonl"

    def test_of_summaries(self, folder: Path) -> None:
        assert typed.run(*["batch", "a.jpg", "b.jpg", "--output", "faces", "--workers", "1"]).returncode == 0
        done = typed.run(*["summarize", "faces", "--output", "sums.json", "--chart", "shares.png"])
        assert done.stderr.splitlines() == ["mien: 1 row in sums.json", "mien: chart in shares.png"]


def test_text_of_names_that_are_no_text_is_written(tmp_path: Path) -> None:
    """As a report does whose clip has a name of another coding."""
    write_atomically(tmp_path / "page.html", "<p>caf\udce9.mp4: café</p>")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>caf\\udce9.mp4: café</p>"
