"""`mien video` as a real process: its rows, what it writes, what goes wrong, and how it is interrupted."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typed
from clips import play, scene, write_clip, write_sound
from test_cli import COLUMNS

from mien._core.files import UNFINISHED
from mien.errors import VideoError
from mien.labels import LABELS
from mien.results import smoothed_columns
from mien.video.reader import read_video

pytestmark = pytest.mark.everywhere

CLIP_COLUMNS = [*COLUMNS[:-1], *smoothed_columns(LABELS), "error"]
COMMAND = [sys.executable, "-m", "mien", "video"]


run = partial(typed.run, "video", columns=160, text=False)


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a face and then without, one of sound alone, and one that is a text."""
    folder = tmp_path_factory.mktemp("clips")
    pictures = [scene((0, 200 + k, 90)) for k in range(8)] + [scene()] * 4
    write_clip(folder / "a.mp4", pictures, sound="aac")
    write_sound(folder / "b.mp4")
    (folder / "c.mp4").write_text("not a video")
    return folder


def test_a_folder_becomes_one_table(folder: Path) -> None:
    done = run(folder, "--format", "csv")
    assert done.returncode == 1, "two files failed"
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert list(rows[0]) == CLIP_COLUMNS
    clip = [row for row in rows if row["source"].endswith("a.mp4")]
    assert [int(row["frame"]) for row in clip] == list(range(12))
    assert [float(row["time"]) for row in clip] == pytest.approx([k / 25 for k in range(12)])
    assert {row["track"] for row in clip[:8]} == {"1"}
    assert [row["emotion"] for row in clip[-3:]] == [""] * 3
    errors = {Path(row["source"]).name: row["error"] for row in rows if row["error"]}
    assert "no video" in errors["b.mp4"]
    assert "not a video" in errors["c.mp4"]


def test_all_formats_tell_the_same(folder: Path, tmp_path: Path) -> None:
    clip = folder / "a.mp4"
    rows = list(csv.DictReader(io.StringIO(run(clip, "--format", "csv").stdout.decode())))
    lines = [json.loads(line) for line in run(clip, "--format", "jsonl").stdout.splitlines()]
    assert [(line["frame"], len(line["faces"])) for line in lines] == [(k, k < 8) for k in range(12)]
    assert lines[3]["faces"][0]["smoothed_happy"] == float(rows[3]["smoothed_happy"])
    assert run(clip, "--format", "parquet", "--output", tmp_path / "a.parquet").returncode == 0
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == CLIP_COLUMNS
    assert round(table["smoothed_happy"].to_pylist()[3], 6) == float(rows[3]["smoothed_happy"])
    assert table["smoothed_uncertain"].to_pylist()[11] is None
    text = run(clip).stdout.decode()
    assert "no face found" in text
    assert "0.12s" in text


def test_part_of_a_clip(folder: Path) -> None:
    done = run(folder / "a.mp4", "--format", "csv", "--every", "2", "--start", "0.08", "--end", "0.3")
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [int(row["frame"]) for row in rows] == [2, 4, 6]


def test_annotated_clips_and_pages_of_a_folder(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "--annotate", tmp_path / "drawn", "--report", tmp_path / "pages")
    assert done.returncode == 1
    assert [p.name for p in (tmp_path / "drawn").iterdir()] == ["a-annotated.mp4"]
    assert len(play(tmp_path / "drawn" / "a-annotated.mp4")[0]) == 12
    assert sorted(p.name for p in (tmp_path / "pages").iterdir()) == ["a.html", "b.html", "c.html"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("missing.mp4",), 1, "missing.mp4"),
        (("a.mp4", "--every", "0"), 2, "every"),
        (("a.mp4", "--every", "2", "--fps", "5"), 2, "one of them"),
        (("a.mp4", "--start", "3", "--end", "2"), 2, "end"),
        (("a.mp4", "--smoothing", "-1"), 2, "smoothing"),
        (("a.mp4", "--annotate", "a.mp4"), 2, "itself"),
        (("a.mp4", "b.mp4", "--annotate", "out.mp4"), 2, "folder"),
        (("a.mp4", "--format", "parquet"), 2, "--output"),
    ],
)
def test_what_goes_wrong_is_said(folder: Path, arguments: tuple[str, ...], code: int, word: str) -> None:
    done = run(*arguments, cwd=folder)
    assert done.returncode == code
    assert word in (done.stderr + done.stdout).decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_rows(folder: Path) -> None:
    done = run(folder / "a.mp4", "--format", "csv", "--output", "/dev/full")
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_a_full_disk_under_the_annotated_clip_keeps_what_was_written(folder: Path, tmp_path: Path) -> None:
    """A limit on the size of a file stands for a disk that has no more room."""
    import numpy as np

    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(80))
    clip = write_clip(tmp_path / "noise.mkv", noise)
    command = [*COMMAND, str(clip), "--format", "csv", "--annotate", str(tmp_path / "out.mp4")]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 1500; exec "$@"', "-", *command],
        capture_output=True,
        timeout=300,
        env=environment(),
    )
    assert done.returncode == 1, done.stderr
    assert b"cannot be written" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert len(done.stdout.splitlines()) > 10, "the rows until then are kept"
    kept = []
    with suppress(VideoError):  # the last fragment may be incomplete
        for frame in read_video(tmp_path / "out.mp4"):
            kept.append(frame.index)
    assert len(kept) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_interrupting_leaves_a_clip_that_plays(tmp_path: Path, kind: signal.Signals) -> None:
    clip = write_clip(tmp_path / "a.mp4", (scene((0, 100 + k % 300, 90)) for k in range(600)))
    out = tmp_path / "out.mp4"
    rows = tmp_path / "rows.csv"
    process = subprocess.Popen(
        [*COMMAND, str(clip), "--format", "csv", "--output", str(rows), "--annotate", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        # Where a shell has started the tests in the background, Ctrl-C is ignored by what they start, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 280
    growing: list[Path] = []
    while (not growing or growing[0].read_bytes().count(b"\n") < 150) and time.monotonic() < deadline:
        time.sleep(0.05)
        growing = list(tmp_path.glob(f".rows.csv.*{UNFINISHED}"))
    assert not rows.exists(), "it takes its place when it is whole"
    process.send_signal(kind)
    process.wait(60)
    # Ctrl-C ends the file; after a kill the rows are in the one that was growing.
    assert rows.exists() == (kind == signal.SIGINT) != growing[0].exists()
    written = (rows if rows.exists() else growing[0]).read_bytes().count(b"\n") - 1
    assert 100 < written < 600
    assert len(play(out)[0]) >= (written - 3 if kind == signal.SIGINT else 25)


def test_pandas_reads_what_is_uncertain_as_boolean(folder: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    assert run(folder / "a.mp4", "--output", tmp_path / "faces.csv").returncode == 0
    kinds = {"uncertain": "boolean", "smoothed_uncertain": "boolean"}
    table = pandas.read_csv(tmp_path / "faces.csv", dtype=kinds)
    for name in kinds:
        assert table[name].dtype == "boolean"
        assert list(table[name].isna()) == [False] * 8 + [True] * 4  # frames without a face
        assert set(table[name].dropna()) <= {True, False}
