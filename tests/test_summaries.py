"""Groups: what is shown tells nothing about the small ones, by subtraction neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clips import scene, write_clip
from pictures import encode, grace_hopper_path
from PIL import Image
from typed import run

from mien._core.text import count
from mien.labels import LABELS
from mien.output.aggregate import ALL, SMALL, Summary, Totals, below_common, large_enough, to_table
from mien.results import Box, Face, FaceEmotion, FrameResult, Prediction


def summary(group: str, faces: int, label: str = "happy") -> Summary:
    return Summary(group, faces + 1, faces, 1, 0, 0, 0, dict.fromkeys(LABELS, 0) | {label: faces})


def result(faces: int, label: str = "sad", source: str = "a.jpg", time: float | None = None) -> FrameResult:
    one = FaceEmotion(Face(Box(0, 0, 9, 9), 0.9), Prediction(dict.fromkeys(LABELS, 0.05) | {label: 0.7}))
    frame = None if time is None else round(25 * time)
    return FrameResult(source, 9, 9, (one,) * faces, frame=frame, time=time, labels=LABELS)


class TestLargeEnough:
    def test_a_small_group_is_neither_shown_nor_in_the_sum(self) -> None:
        shown, hidden = large_enough([summary("a", 20), summary("b", 9, "sad")], 10)
        assert [(one.group, one.faces) for one in shown] == [(ALL, 20), ("a", 20)]
        assert hidden == 1
        assert shown[0].emotions["sad"] == 0, "all minus a would be b"

    def test_small_groups_are_shown_together_if_they_are_many(self) -> None:
        groups = [summary("a", 20), summary("b", 6, "sad"), summary("c", 7, "fear")]
        shown, hidden = large_enough(groups, 10)
        assert [(one.group, one.faces) for one in shown] == [(ALL, 33), ("a", 20), (SMALL, 13)]
        assert hidden == 0

    @pytest.mark.parametrize("seed", range(20))
    def test_no_difference_of_what_is_shown_is_small(self, seed: int) -> None:
        sizes = np.random.default_rng(seed).integers(0, 25, 6)
        shown, _ = large_enough([summary(str(k), int(n)) for k, n in enumerate(sizes)], 10)
        if not shown:
            assert sizes.sum() < 10
            return
        total, *parts = shown
        assert all(one.faces >= 10 for one in shown)
        assert total.faces - sum(one.faces for one in parts) == 0
        assert total.pictures == sum(one.pictures for one in parts)

    def test_nothing_is_large_enough(self) -> None:
        assert large_enough([summary("a", 3), summary("b", 4)], 10) == ([], 2)

    def test_one_group_alone_is_all(self) -> None:
        shown, hidden = large_enough([summary("a", 12)], 10)
        assert ([one.group for one in shown], hidden) == ([ALL], 0)


class TestTotals:
    def test_a_group_of_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 2"):
            Totals(LABELS, 1)

    def test_faces_of_pictures_add_up(self) -> None:
        totals = Totals(LABELS, 4)
        for number in range(3):
            totals.add(result(2, source=f"{number}.jpg"), "a")
        totals.add(result(0, source="empty.jpg"), "a")
        totals.add(FrameResult("bad.jpg", error="broken"), "a")
        (all_of_them,), hidden = totals.shown()
        assert (all_of_them.pictures, all_of_them.faces, all_of_them.without_face, hidden) == (4, 6, 1, 0)
        assert totals.errors == 1

    def test_frames_with_few_people_do_not_count_however_many_they_are(self) -> None:
        # One person in a thousand frames is one person.
        totals = Totals(LABELS, 3)
        for k in range(1000):
            totals.add(result(1, "angry", "a.mp4", k / 25), "a.mp4")
        assert totals.shown() == ([], 0)
        totals.add(result(3, "sad", "a.mp4", 50.0), "a.mp4")
        (shown,), _ = totals.shown()
        assert (shown.faces, shown.pictures) == (3, 1)
        assert shown.shares()["angry"] == 0
        assert totals.frames_left_out == 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three portraits in "many", one in "alice"; a picture without a face and one that is none."""
    folder = tmp_path_factory.mktemp("groups")
    for name in ("many/a.jpg", "many/b.jpg", "many/c.jpg", "alice/d.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(grace_hopper_path().read_bytes())
    Image.fromarray(np.full((80, 100, 3), 127, np.uint8)).save(folder / "many" / "empty.png")
    return folder


class TestCommands:
    def test_image(self, folder: Path) -> None:
        done = run("image", folder, "--aggregate", "--by", "folder", "--min-group", "3", "--format", "json")
        assert done.returncode == 0, done.stderr
        everyone, many = json.loads(done.stdout)
        assert (everyone["group"], everyone["faces"]) == ("all", 3)
        assert (many["group"], many["pictures"], many["faces"], many["without_face"]) == ("many", 4, 3, 1)
        assert sum(many["shares"].values()) == pytest.approx(1)
        assert "1 group with fewer than 3 faces is not shown" in done.stderr
        assert "alice" not in done.stdout + done.stderr, "the name of a small group may be a person's"
        for name in ("a.jpg", "x1", "track"):
            assert name not in done.stdout

    def test_image_too_few(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "bad.jpg").write_text("no picture")
        done = run("image", folder, tmp_path / "bad.jpg", "--aggregate", "--output", tmp_path / "out.txt")
        assert done.returncode == 1, "one could not be read"
        assert (tmp_path / "out.txt").read_text() == "no group is large enough\n"
        assert "bad.jpg" not in done.stderr

    @pytest.mark.parametrize(
        "options",
        [("--format", "csv"), ("--annotate", "out"), ("--chart", "out"), ("--min-group", "1")],
    )
    def test_what_shows_single_faces_is_refused(self, folder: Path, options: tuple[str, ...]) -> None:
        done = run("image", folder, "--aggregate", *options)
        assert done.returncode == 2
        assert options[0] in done.stderr
        assert not Path("out").exists()

    def test_video(self, tmp_path: Path) -> None:
        pictures = [scene((0, 100, 90), (1, 400, 110))] * 4 + [scene((0, 100, 90))] * 6
        clip = write_clip(tmp_path / "a.mp4", pictures)
        done = run("video", clip, "--aggregate", "--min-group", "2", "--format", "json", "--smoothing", "0")
        assert done.returncode == 0, done.stderr
        (shown,) = json.loads(done.stdout)
        assert shown["group"] == "all"
        assert (shown["pictures"], shown["faces"]) == (4, 8), "frames with both, and their faces"
        assert "6 frames with fewer than 2 faces are not counted" in done.stderr
        refused = run("video", clip, "--aggregate", "--report", tmp_path / "page.html")
        assert refused.returncode == 2
        assert not (tmp_path / "page.html").exists()

    def test_summarize(self, folder: Path, tmp_path: Path) -> None:
        assert run("batch", folder, "--output", tmp_path / "out", "--workers", "1").returncode == 0
        options = ("--by", "folder", "--format", "json")
        names = [one["group"] for one in json.loads(run("summarize", tmp_path / "out", *options).stdout)]
        assert names == ["all", "alice", "many"]
        done = run("summarize", tmp_path / "out", *options, "--min-group", "3", "--chart", tmp_path / "c.png")
        shown = json.loads(done.stdout)
        assert [one["faces"] for one in shown] == [3, 3]
        assert "alice" not in done.stdout + done.stderr
        assert (tmp_path / "c.png").read_bytes().startswith(encode(np.zeros((2, 2, 3), np.uint8))[:8])


def test_an_empty_list_is_no_table_but_a_table_has_every_group() -> None:
    lines = to_table([summary("a", 3), summary("b", 4)]).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["a", "b"]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/p/a", "/p/b/c", "/p"], ["a", "b/c", "."]),
        (["/p/a"], ["a"]),
        (["photos/a", "photos/ab"], ["a", "ab"]),
        (["s3://bucket/x", "s3://bucket/y/z"], ["x", "y/z"]),
        (["/p/a", "s3://bucket/x"], ["/p/a", "s3://bucket/x"]),
        (["/p/all", "/p/small groups together", "/p/a"], ["./all", "./small groups together", "a"]),
        (["/", "/p"], [".", "p"]),
        ([], []),
    ],
)
def test_folders_are_named_below_what_they_have_in_common(folders: list[str], names: list[str]) -> None:
    assert list(below_common(folders).values()) == names


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 faces"), (1, "1 face"), (2, "2 faces"), (1200, "1,200 faces")]
)
def test_what_is_counted(n: int, words: str) -> None:
    assert count(n, "face") == words
    assert count(n, "class", "classes").endswith("class" if n == 1 else "classes")


def test_a_command_says_one_picture_and_one_face(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(grace_hopper_path().read_bytes())
    done = run("batch", tmp_path / "in", "--output", tmp_path / "out", "--workers", "1")
    assert "1 picture, 1 face, 0 errors; 1 row in" in done.stderr
    (tmp_path / "in" / "bad.jpg").write_text("none")
    done = run("batch", tmp_path / "in", "--output", tmp_path / "out", "--workers", "1")
    assert "1 picture, 0 faces, 1 error, 1 done before; 2 rows in" in done.stderr
