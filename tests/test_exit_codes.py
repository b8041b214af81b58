"""What each command returns: 1 where an input is missing or cannot be read, 2 where an option's value is wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typed
from pictures import encode, grace_hopper
from PIL import Image

import mien
from mien.cli.app import main
from mien.labels import LABELS

MISSING_OR_UNREADABLE = """
    image missing.jpg
    image text.jpg
    video missing.mp4
    video text.mp4
    camera missing.mp4 --no-web
    study missing.mp4 -o new-study
    study text.mp4 -o text-study
    agree missing.csv missing.csv
    agree text.csv text.csv
    explain missing.jpg
    bench missing.jpg
    batch missing -o new
    batch empty -o new
    summarize missing
    summarize empty
    crops missing.jpg -o new.parquet
    crops text.jpg -o new.parquet
    crops text.parquet -o new.parquet
    data missing
    data text.csv
    data tree --votes missing.csv
    evaluate missing
    evaluate text.parquet
    evaluate tree --votes missing.csv
    evaluate tree --compare mien-s mien-s --votes missing.csv
    card missing -o new.md
    audit missing
    audit text.csv
    audit-model missing -o new
    audit-model tree -o new --group age --groups missing.csv
    train missing -o new
    train tree -o new --resume
    train-detector missing -o new
    train-detector text.parquet -o new
    train-detector text.parquet -o new --faces missing
    distill missing --teacher mien-s -o new.npz
    ensemble missing --member mien-s --member mien-s -o new
"""

WRONG_VALUE = """
    image a.jpg --model nobody
    image a.jpg --head nobody
    image a.jpg --detector nobody
    image a.jpg --detector missing.onnx
    image a.jpg --min-size 0
    image a.jpg --min-quality 2
    image a.jpg --min-confidence 1.5
    image a.jpg --min-confidence nan
    evaluate tree --min-confidence 0.5
    image a.jpg --format parquet
    video text.mp4 --model nobody
    video text.mp4 --head nobody
    video text.mp4 --detector nobody
    video text.mp4 --fps 0
    video text.mp4 --every 2 --fps 5
    camera text.mp4 --no-web --head nobody
    camera text.mp4 --no-web --detector nobody
    camera text.mp4 --no-web --start 3 --end 2
    camera text.mp4 --no-web -o faces.xlsx
    explain a.jpg --model nobody
    explain a.jpg --head nobody
    explain a.jpg --detector nobody
    explain a.jpg --emotion bored
    bench a.jpg --head nobody
    bench a.jpg --detector nobody
    demo --model nobody
    study a.jpg -o fresh --write xls
    study a.jpg -o fresh --lower-threshold 0.9
    study a.jpg -o fresh --segments missing.csv
    study a.jpg -o fresh --smoothing -1
    agree text.csv text.csv -o text.csv
    agree text.csv text.csv --step 0
    serve --model nobody
    serve --head nobody
    serve --detector nobody
    serve --timeout 0
    batch a.jpg -o fresh --model nobody
    batch a.jpg -o fresh --head nobody
    batch a.jpg -o fresh --detector nobody
    batch a.jpg -o fresh --detector missing.onnx
    batch a.jpg -o tree
    crops a.jpg -o fresh.csv
    crops a.jpg -o fresh.parquet --detector nobody
    crops a.jpg -o fresh.parquet --split test
    crops a.jpg -o fresh.parquet --min-size 0
    evaluate tree --model nobody
    evaluate tree --head nobody
    evaluate tree --split validation
    evaluate tree -o tree/report
    card tree --model nobody -o fresh.md
    card tree --split validation -o fresh.md
    audit tree --model nobody
    audit-model tree --model nobody -o fresh
    audit-model tree --head nobody -o fresh
    audit-model tree --split validation -o fresh
    audit-model tree --group height -o fresh
    audit-model tree --group height --groups groups.csv -o fresh
    train tree -o fresh --network nobody
    train tree -o fresh --init nobody
    train tree -o fresh --config missing.toml
    train tree -o fresh --network resnet50 --weights missing.h5
    train tree -o fresh --set nonsense=1
    train tree -o fresh --set unlabelled=a.jpg
    train-detector missing -o fresh --set nonsense=1
    distill tree --teacher nobody -o fresh.npz
    distill tree --teacher mien-s --config nobody -o fresh.npz
    ensemble tree --member mien-s --member nobody -o fresh
    ensemble tree --member mien-s -o fresh
    ensemble tree --member mien-s --member mien-s -o fresh --storage int4
"""

EXTRAS = {
    "train": "keras",
    "train-detector": "keras",
    "distill": "keras",
    "ensemble": "keras",
    "serve": "fastapi",
    "batch": "fsspec",
}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait, files that are not what their names say, and class folders with two splits."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "empty").mkdir()
    (folder / "a.jpg").write_bytes(encode(grace_hopper(), "jpeg", quality=92))
    for name in ("text.jpg", "text.mp4", "text.csv", "text.parquet"):
        (folder / name).write_text("not what it says")
    for place in (folder, folder / "tree"):
        place.mkdir(exist_ok=True)
        (place / "groups.csv").write_text("file,age\n0.png,20-40\n1.png,40-60\n")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in LABELS:
            place = folder / "tree" / split / label
            place.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(rng.integers(0, 255, (48, 48), np.uint8)).save(place / f"{i}.png")
    return folder


def exit_code(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """What `mien` with these words returns, in that folder."""
    words = shlex.split(line)
    if words[0] in EXTRAS and find_spec(EXTRAS[words[0]]) is None:
        pytest.skip(f"needs {EXTRAS[words[0]]}")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["mien", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("line", lines(MISSING_OR_UNREADABLE))
def test_an_input_that_cannot_be_read_is_1(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(line, folder, monkeypatch) == 1, capsys.readouterr().err
    said = capsys.readouterr()
    named = [word for word in shlex.split(line) if word.startswith(("missing", "text", "empty"))] or ["new"]
    assert any(word in said.out + said.err for word in named)


@pytest.mark.parametrize("line", lines(WRONG_VALUE))
def test_a_wrong_value_of_an_option_is_2(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert exit_code(line, folder, monkeypatch) == 2, capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["image a.jpg", "batch a.jpg -o new", "evaluate tree", "serve"])
def test_an_unknown_head_is_answered_with_those_that_there_are(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(f"{command} --head nobody", folder, monkeypatch)
    assert "expected one of auto, labels, expression, fer2013, ferplus" in capsys.readouterr().err


BEFORE_DATA = {
    # The data do not exist: who read them first would complain of them.
    "train missing -o fresh --network resnet50 --epochs 1": (
        "head_epochs=5 of 1 epoch:",
        "--set head_epochs=0",
    ),
    "train missing -o fresh --set optimizer=adam": ("weight_decay=0.005", "--set weight_decay=0"),
    "train missing -o fresh --network tutorial-cnn --set low_res_epochs=2": ("low_res_epochs=0",),
    "train missing -o fresh --init mien-s --weights imagenet": ("leave out --init or --weights",),
    "train missing -o fresh --network resnet50 --weights missing.h5": ("missing.h5", "no such file"),
    "train missing -o fresh --weights text.csv": ("no pretrained base",),
    "train missing -o fresh --set teachers=text.csv": ("text.csv",),
    "train missing -o fresh --set unlabelled=tree": ("without teachers", "--set teachers=FILE"),
    "train missing -o fresh --devices 3": ("3 devices", "KERAS_BACKEND=jax"),
    "train missing -o run": ("run: already holds a run", "--resume"),
    "train missing -o fresh --resume": ("fresh: no run to resume",),
    "train missing -o run --resume": ("not the record of a run",),
    "train missing -o text.csv": ("text.csv", "a file; expected a folder"),
    "train missing -o text.csv/below": ("text.csv", "a file; expected a folder"),
    "train-detector missing -o run": ("run: already holds a run", "--resume"),
    "train-detector missing -o fresh --resume": ("fresh: no run to resume",),
    "train-detector missing -o text.csv": ("text.csv", "a file; expected a folder"),
    "train-detector missing -o fresh --set scenes=4": ("batch_size=8 of 4 scenes", "--set batch_size=4"),
    "distill missing --teacher mien-s -o fresh.npz --set unlabelled=gone": (
        "gone: no such file; mien crops",
    ),
    "distill missing --teacher mien-s -o tree": ("tree", "separate file"),
    "distill missing --teacher mien-s -o text.csv/soft.npz": ("text.csv", "a file; expected a folder"),
    "evaluate missing -o text.csv": ("text.csv", "a file; expected a folder"),
    "card missing -o text.csv/card.md": ("text.csv", "a file; expected a folder"),
    "audit missing -o text.csv": ("text.csv", "a file; expected a folder"),
    "audit-model missing -o text.csv": ("text.csv", "a file; expected a folder"),
    "data text.csv --votes missing.csv": ("missing.csv",),
}


@pytest.mark.parametrize("line", BEFORE_DATA)
def test_what_settings_and_the_output_tell_is_said_before_data_are_read(line: str, folder: Path) -> None:
    if line.split()[0] in EXTRAS and find_spec("keras") is None:
        pytest.skip("needs keras")
    run = folder / "run"
    run.mkdir(exist_ok=True)
    (run / "train.json").write_text("{}")
    done = typed.run(*shlex.split(line), cwd=folder)
    said = " ".join(done.stderr.replace("\u2502", " ").split())  # usage errors come in a frame
    assert done.returncode in (1, 2) and "Traceback" not in said
    assert all(part in said for part in BEFORE_DATA[line]), done.stderr
    assert " missing:" not in said and not (folder / "fresh").exists()


@pytest.mark.parametrize(
    "content",
    ["", "raise ImportError('libGL.so.1: cannot open shared object file')"],
    ids=["empty", "no libGL"],
)
def test_a_broken_opencv_is_one_line_that_says_how_to_mend_it(
    content: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(content)
    path = os.pathsep.join([str(tmp_path), str(Path(mien.__file__).parents[1])])

    def say(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    for words in (
        "image a.jpg",
        "video text.mp4",
        "batch a.jpg -o never --workers 1",
        "evaluate tree",
        "models",
    ):
        done = say("-m", "mien", *words.split())
        if words == "models":  # needs no OpenCV
            assert done.returncode == 0, done.stderr
            continue
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("mien: OpenCV ")
        assert line.endswith(": pip install --force-reinstall opencv-python-headless")
    assert say("-m", "mien", "--version").stdout.startswith("mien ")
    assert say("-m", "mien", "image", "--help").returncode == 0
    done = say("-c", "import mien; mien.EmotionRecognizer()")
    assert "BrokenInstallError: OpenCV" in done.stderr.splitlines()[-1]
