"""The table for people: a line a face, bars, names that stay different."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import typed
from pictures import grace_hopper_path
from rich.cells import cell_len
from test_writers import face, results

from mien.labels import LABELS
from mien.output.table_cells import ASCII, Names
from mien.output.writers import open_writer
from mien.results import FrameResult


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def plain(text: str) -> str:
    """Without what tells a terminal colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def shown(results: list[FrameResult], stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO(newline="")
    with open_writer("table", stream, LABELS) as writer:
        for result in results:
            writer.write(result)
    return stream.getvalue()


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_has_a_line_a_face_that_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    long = FrameResult(
        "a/long/path/" * 20 + "日本.jpg",
        9,
        9,
        (face("surprise", 0.4, True, ("unclear", "small")),),
        labels=LABELS,
    )
    header, *lines, legend = plain(shown([*results(), long], Terminal())).splitlines()
    assert legend == "? uncertain: take this answer with care, its confidence is low"
    assert len(lines) == 6
    assert all(cell_len(line) <= columns for line in (header, *lines))
    assert lines[0].split()[:4] == ["a.jpg", "1", "happy", "70%"]
    assert lines[1].split()[:4] == ["a.jpg", "2", "sad?", "33%"] and lines[1].endswith("small")
    assert lines[2].split(maxsplit=1) == ["empty.jpg", "no face found"]
    assert lines[3].split(maxsplit=1) == ["broken.jpg", "error: broken.jpg: not a picture"]
    assert lines[4].startswith("clip.mp4 1.20s")
    assert lines[5].startswith("…") and "日本.jpg" in lines[5]
    assert [label for label in LABELS if label[: 4 if columns == 80 else None] in header] == list(LABELS)


@pytest.mark.parametrize(
    ("columns", "width", "bars"),
    [(80, 1, ["▂", "▄", "▆", "█"]), (200, 7, ["█▊", "███▌", "█████▎", "███████"])],
)
def test_a_bar_grows_with_the_probability(
    columns: int, width: int, bars: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    faces = tuple(face("happy", share) for share in (0.25, 0.5, 0.75, 1.0))
    header, *lines = shown([FrameResult("a", 9, 9, faces, labels=LABELS)]).splitlines()
    start = header.index("happ")
    assert [line[start : start + width].rstrip() for line in lines] == bars
    assert [line[start + width : start + width + 3] for line in lines] == [" 25", " 50", " 75", "100"]


def test_without_block_characters_the_table_is_ascii(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    raw = io.BytesIO()
    with open_writer("table", io.TextIOWrapper(raw, encoding="ascii"), LABELS) as writer:
        writer.write(FrameResult("a.jpg", 9, 9, (face("happy", 1.0),), labels=LABELS))
    assert b"####100" in raw.getvalue()
    assert Names(10, cut=True, ellipsis=ASCII.ellipsis).cell("long" * 20) == "~glonglong"


def test_outside_a_terminal_no_name_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [f"a-rather-long-name-of-a-folder/{letter}/the-same-name-of-a-picture.jpg" for letter in "ab"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(grace_hopper_path().read_bytes())
    done = typed.run("image", *names, cwd=tmp_path, columns=80)
    header, *lines = done.stdout.splitlines()[:3]
    assert [line.split()[0] for line in lines] == names
    assert header.index("#") == lines[0].index(" 1 ") + 1


def test_without_a_question_mark_nothing_is_explained():
    assert "?" not in shown([FrameResult("a.jpg", 9, 9, (face(),), labels=LABELS)])
    doubted = FrameResult("b.jpg", 9, 9, (face(uncertain=True), face(uncertain=True)), labels=LABELS)
    assert shown([doubted, doubted]).count("? uncertain: take this answer") == 1
    for format in ("csv", "jsonl", "json"):
        stream = io.StringIO(newline="")
        with open_writer(format, stream, LABELS) as writer:
            writer.write(doubted)
        assert "?" not in stream.getvalue()


class TestNames:
    def cells(self, width: int, *names: str) -> list[str]:
        column = Names(width, cut=True, ellipsis="…")
        first = [column.cell(name).rstrip() for name in names]
        assert [column.cell(name).rstrip() for name in names] == first, (
            "a picture with two faces has one name"
        )
        return first

    def test_those_that_fit_are_whole(self) -> None:
        assert self.cells(14, "photos/a/x.jpg", "photos/b/x.jpg") == ["photos/a/x.jpg", "photos/b/x.jpg"]

    def test_the_end_differs_most(self) -> None:
        assert self.cells(12, "photos/a/x.jpg", "photos/b/x.jpg") == ["…tos/a/x.jpg", "…tos/b/x.jpg"]

    def test_where_ends_are_alike_what_differs_is_shown(self) -> None:
        names = [f"{part}/photographs/x.jpg" for part in ("alice", "bob", "carol")]
        assert self.cells(12, *names) == ["…raphs/x.jpg", "…bob/p…x.jpg", "…carol…x.jpg"]

    def test_no_two_are_ever_the_same(self) -> None:
        names = [
            f"a/{letter}{number}/very/long/and/alike/x.jpg" for letter in "abcdefgh" for number in range(99)
        ]
        for width in (12, 20):
            assert len(set(self.cells(width, *names))) == len(names)

    def test_the_time_of_a_frame_is_whole(self) -> None:
        column = Names(16, cut=True, ellipsis="…")
        cells = [column.cell("some/folder/clip.mp4", f" {time:.2f}s") for time in (1.0, 12.5)]
        assert cells == ["…/clip.mp4 1.00s", "…clip.mp4 12.50s"]

    def test_wide_characters_take_two_columns(self) -> None:
        (cell,) = self.cells(10, "日本" * 10 + ".jpg")
        assert cell_len(cell) <= 10 and cell.endswith("本.jpg")
