"""The command, as a real process: what it prints, writes and returns."""

from __future__ import annotations

import csv
import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typed
import typer
from PIL import Image

import mien
from mien.batch.run import run_batch
from mien.cli.app import command_line
from mien.cli.options import RecognizerOptions
from mien.cli.support import server_settings
from mien.errors import ServerError
from mien.images.sample import sample_portrait
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_MODEL, DETECTOR_SIZE, MIN_SIZE
from mien.recognition import EmotionRecognizer
from mien.server.settings import Settings

COLUMNS = [
    "source", "frame", "time", "track", "x1", "y1", "x2", "y2", "detection_score",
    "emotion", "confidence", "uncertain", "quality_score", "quality_issues", *LABELS, "error",
]  # fmt: skip


run = partial(typed.run, text=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait, one without a face, and one that is no picture, two folders deep."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deep").mkdir()
    (folder / "a.jpg").write_bytes(sample_portrait().read_bytes())
    Image.fromarray(np.full((80, 100, 3), 127, np.uint8)).save(folder / "deep" / "empty.png")
    (folder / "deep" / "text.jpg").write_text("not a picture")
    return folder


def results_of(folder: Path, *options: str | Path) -> list[dict]:
    done = run("image", folder, "--format", "json", *options)
    return json.loads(done.stdout)


def test_json_is_one_list_with_the_contracts_fields(folder: Path):
    done = run("image", folder, "--format", "json")
    portrait, empty, text = json.loads(done.stdout)
    assert done.returncode == 1, "one file failed"
    assert list(portrait) == ["source", "width", "height", "faces", "error"]
    assert (portrait["width"], portrait["height"], portrait["error"]) == (512, 600, None)
    (face,) = portrait["faces"]
    assert list(face) == COLUMNS[:-1]
    assert sum(face[label] for label in LABELS) == pytest.approx(1, abs=1e-5)
    assert face["emotion"] == max(LABELS, key=face.__getitem__)
    assert face["confidence"] == max(face[label] for label in LABELS)
    assert empty["faces"] == []
    assert empty["error"] is None
    assert text["faces"] == []
    assert "text.jpg" in text["error"]
    assert text["width"] is None


def test_all_formats_tell_the_same(folder: Path, tmp_path: Path):
    expected = results_of(folder)
    lines = run("image", folder, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected
    rows = list(csv.DictReader(io.StringIO(run("image", folder, "--format", "csv").stdout.decode())))
    assert list(rows[0]) == COLUMNS
    assert [row["source"] for row in rows] == [result["source"] for result in expected]
    assert float(rows[0]["happy"]) == expected[0]["faces"][0]["happy"]
    assert [row["happy"] for row in rows[1:]] == ["", ""]
    run("image", folder, "--format", "parquet", "--output", tmp_path / "faces.parquet")
    table = pq.read_table(tmp_path / "faces.parquet")
    assert table.column_names == COLUMNS
    assert [p and round(p, 6) for p in table["happy"].to_pylist()] == [
        expected[0]["faces"][0]["happy"],
        None,
        None,
    ]


def test_the_table_is_for_people(folder: Path):
    text = run("image", folder).stdout.decode()
    assert "a.jpg" in text
    assert "%" in text
    assert all(label in text for label in LABELS)


def test_standard_input(folder: Path):
    done = run("image", "-", "--format", "json", stdin=(folder / "a.jpg").read_bytes())
    assert done.returncode == 0
    (result,) = json.loads(done.stdout)
    assert result["source"] == "-"
    assert result["faces"] == [face | {"source": "-"} for face in results_of(folder / "a.jpg")[0]["faces"]]


def test_a_glob_that_the_shell_left_alone(folder: Path):
    assert [r["source"] for r in results_of(folder / "*.jpg")] == [str(folder / "a.jpg")]


def test_pictures_and_charts_are_written_and_sources_are_not(folder: Path, tmp_path: Path):
    (tmp_path / "b").mkdir()
    for name in ("a.jpg", "b/a.jpg"):
        (tmp_path / name).write_bytes((folder / "a.jpg").read_bytes())
    before = (tmp_path / "a.jpg").read_bytes()
    done = run("image", "a.jpg", "b", "--annotate", tmp_path, "--chart", tmp_path / "charts", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.jpg").read_bytes() == before
    for name in ("a-annotated.jpg", "a-2-annotated.jpg", "charts/a-face1.png", "charts/a-2-face1.png"):
        with Image.open(tmp_path / name) as drawn:
            assert min(drawn.size) > 300


def test_the_demo_prints_and_draws(tmp_path: Path):
    done = run("demo", "--output", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert b"grace_hopper" in done.stdout
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "grace_hopper-annotated.jpg",
        "grace_hopper-face1.png",
    ]
    assert str(tmp_path / "demo" / "grace_hopper-face1.png").encode() in done.stdout.replace(b"\n", b"")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("image", "missing.jpg"), 1, "missing.jpg"),
        (("image", "a.jpg", "--model", "nobody"), 2, "nobody"),
        (("image", "a.jpg", "--detector", "nobody"), 2, "nobody"),
        (("image", "a.jpg", "--detector", "missing.onnx"), 2, "missing.onnx"),
        (("image", "a.jpg", "--format", "parquet"), 2, "--output"),
        (("image", "a.jpg", "--format", "xml"), 2, "xml"),
        (("image",), 2, "Missing argument"),
        (("evaluate", "missing.csv"), 1, "missing.csv"),
        (("data", "empty"), 1, "empty"),
        (("evaluate", "a.jpg"), 1, "a.jpg"),
        (("evaluate", "tree"), 1, "bored"),
        (("audit", "missing.csv"), 1, "missing.csv"),
        (("audit", "tree", "--clean", "clean.xlsx"), 2, ".parquet"),
        (("audit", "tree", "--clean", "tree/clean.parquet"), 2, "outside"),
        (("audit", "tree", "--model", "nobody"), 2, "nobody"),
        (("evaluate", "tree", "--compare", "mien-s", "nobody"), 2, "nobody"),
        (("evaluate", "tree", "--model", "x", "--compare", "mien-s", "mien-s"), 2, "--model"),
        (("evaluate", "tree", "--compare", "mien-s"), 2, "2 arguments"),
        (("evaluate", "tree", "--robustness", "--compare", "mien-s", "mien-s"), 2, "one model"),
        (("train", "missing", "--output", "run"), 1, "missing"),
        (("train", "tree", "--output", "tree/run"), 2, "outside"),
        (("train", "tree", "--output", "run", "--resume", "--epochs", "3"), 2, "--resume"),
        (("evaluate", "tree", "--output", "tree/report"), 2, "outside"),
        (("audit", "tree", "--output", "tree"), 2, "outside"),
        (("train", "tree", "--output", "run", "--epochs", "0"), 2, "--epochs"),
    ],
)
def test_wrong_usage_and_bad_input_are_a_line_and_an_exit_code(
    folder: Path, tmp_path: Path, arguments: Sequence[str], code: int, word: str
):
    if arguments[0] == "train":
        pytest.importorskip("keras", reason="needs mien[train]")
    (tmp_path / "a.jpg").write_bytes((folder / "a.jpg").read_bytes())
    (tmp_path / "empty").mkdir()
    for label in ("bored", "engaged"):
        (tmp_path / "tree" / label).mkdir(parents=True)
        Image.fromarray(np.full((48, 48), 127, np.uint8)).save(tmp_path / "tree" / label / "x.png")
    done = run(*arguments, cwd=tmp_path)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == code, said
    assert word in said
    assert "Traceback" not in said


def test_models_lists_what_is_shipped():
    assert b"mien-s-3 (default)" in run("models").stdout


def test_version():
    assert run("--version").stdout.decode().strip() == f"mien {mien.__version__}"


def test_every_command_has_help_with_an_example():
    commands = ("image", "demo", "bench", "models", "data", "train", "evaluate", "audit")
    assert all(name in run("--help").stdout.decode() for name in commands)
    for name in commands:
        assert f"Example: mien {name}" in run(name, "--help").stdout.decode()


@pytest.mark.slow
def test_bench_measures_model_and_picture(folder: Path):
    speed = json.loads(run("bench", folder / "a.jpg", "--duration", "0.2", "--format", "json").stdout)
    assert (speed["width"], speed["height"], speed["faces"]) == (512, 600, 1)
    # A batch shares work, finding is a part of the whole: only what holds on any machine.
    assert 1000 / speed["faces_per_second"] < 5 * speed["face_ms"] < 5 * speed["picture_ms"]
    assert 0 < speed["detect_ms"] < 5 * speed["picture_ms"]
    assert [(one["width"], one["faces"]) for one in speed["files"]] == [
        (350, 1),
        (1024, 1),
        (1920, 1),
        (4000, 1),
    ]
    assert speed["files_per_second"] > 0 and speed["frames_per_second"] > 0
    lines = run("bench", "--duration", "0.2").stdout.decode()
    assert "mien-s" in lines and "faces/s" in lines and "512 x 600, 1 face found" in lines
    assert "JPEG of 4,000 x 3,000, 1 face found" in lines and "pictures/s" in lines and "frames/s" in lines


def test_data_counts_images_by_class(tmp_path: Path):
    for split, label, n in (("train", "happy", 3), ("train", "sad", 2), ("test", "happy", 1)):
        (tmp_path / split / label).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            Image.fromarray(np.full((48, 48), 9 * i, np.uint8)).save(tmp_path / split / label / f"{i}.png")
    text = run("data", tmp_path).stdout.decode()
    assert "train: found 5 images belonging to 7 classes" in text
    assert "happy 3, sad 2" in text


def test_evaluate_reports_as_json(tmp_path: Path):
    rng = np.random.default_rng(0)
    for label in LABELS:
        (tmp_path / "test" / label).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 255, (60, 50, 3), np.uint8)).save(
                tmp_path / "test" / label / f"{i}.png"
            )
    report = json.loads(run("evaluate", tmp_path, "--format", "json").stdout)
    assert report["n"] == 14
    assert report["head"] == "expression"
    assert np.sum(report["confusion_matrix"]) == 14
    low, high = report["interval"]
    assert low <= report["accuracy"] <= high
    assert {"balanced_accuracy", "macro_f1", "calibration_error", "per_class"} <= set(report)
    assert "confusion matrix" in run("evaluate", tmp_path).stdout.decode()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two random faces a class to test with, one of which is in train as well."""
    rng = np.random.default_rng(0)
    for label in LABELS:
        for split in ("train", "test"):
            (tmp_path / "tree" / split / label).mkdir(parents=True)
        for i in range(2):
            picture = Image.fromarray(rng.integers(0, 255, (48, 48), np.uint8))
            picture.save(tmp_path / "tree" / "test" / label / f"{i}.png")
        picture.save(tmp_path / "tree" / "train" / label / "copy.png")
    return tmp_path / "tree"


def test_evaluate_writes_a_report(tree: Path, tmp_path: Path):
    done = run("evaluate", tree, "--output", tmp_path / "a b", "--format", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["views"]) == ["single view", "flip", "ten-crop"]
    assert (report["without_copies"]["copies"], report["without_copies"]["n"]) == (7, 7)
    assert json.loads((tmp_path / "a b" / "scores.json").read_text()) == report
    page = (tmp_path / "a b" / "report.html").read_text()
    assert f"mien evaluate {tree} --output &#x27;{tmp_path}/a b&#x27; --format json" in page
    assert report["sha256"] in page
    assert "report.html" in done.stderr.decode().replace("\n", "")
    assert len(list((tmp_path / "a b").glob("*.png"))) == 6


def test_evaluate_without_a_report_is_single_view(tree: Path):
    report = json.loads(run("evaluate", tree, "--format", "json").stdout)
    assert report["views"] is None
    assert report["split"] == "test"


@pytest.mark.slow
def test_evaluate_compares_two_models(tree: Path, tmp_path: Path):
    shipped = Path(mien.__file__).parent / "models" / "mien-s"
    done = run("evaluate", tree, "--compare", "mien-s", shipped, "--output", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "A: mien-s" in text and "B: mien-s" in text
    assert "A minus B: +0.00 points" in text
    assert "McNemar, exact binomial: p = 1" in text
    assert "--compare mien-s" in (tmp_path / "both" / "report.html").read_text()
    values = json.loads(run("evaluate", "--compare", "mien-s", shipped, tree, "--format", "json").stdout)
    assert values["first"] == values["second"]
    assert values["p_value"] == 1


@pytest.mark.slow
def test_evaluate_damaged_faces(tree: Path, tmp_path: Path):
    done = run("evaluate", tree, "--robustness", "--output", tmp_path / "out", "--format", "json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    robustness = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert scores["robustness"] == robustness
    assert robustness["uncorrupted"]["accuracy"] == scores["accuracy"]
    assert (robustness["n"], robustness["sha256"]) == (14, scores["sha256"])
    assert "robustness" not in json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (tmp_path / "out" / "robustness.png").is_file()
    assert "face size, pixels" in (tmp_path / "out" / "report.html").read_text()
    text = run("evaluate", tree, "--split", "train", "--head", "fer2013", "--robustness").stdout.decode()
    assert "confusion matrix" in text
    assert "split train, head fer2013: 7 images, corrupted" in text
    assert "JPEG, quality" in text


def test_evaluate_any_labels(tmp_path: Path, write_model: Callable[..., Path]):
    model = write_model(outputs={"expression": ("bored", "engaged")})
    for label, grey in (("bored", 0), ("engaged", 20)):
        (tmp_path / "tree" / label).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((48, 48), grey + i, np.uint8)).save(
                tmp_path / "tree" / label / f"{i}.png"
            )
    done = run(
        "evaluate", tmp_path / "tree", "--model", model, "--output", tmp_path / "out", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["labels"], report["accuracy"], report["ferplus"]) == (["bored", "engaged"], 1, None)
    assert "every prediction is correct" in (tmp_path / "out" / "report.html").read_text()


def test_the_page_of_the_command_is_not_stale():
    docs = Path(__file__).parents[1] / "docs"
    made = subprocess.run(
        [sys.executable, "-c", "import generate_cli; print(generate_cli.render(), end='')"],
        cwd=docs, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (docs / "reference" / "cli.md").read_text() == made.stdout, "run python docs/generate_cli.py"


def commands(wanted: str | None = None) -> dict[str, Any]:
    return typer.main.get_command(command_line(wanted)).commands  # type: ignore[attr-defined]


def test_a_command_is_built_alone_and_with_the_same_options():
    for name, command in commands().items():
        alone = commands(name)
        assert name in alone and len(alone) < len(commands()) / 2, name
        assert [option.opts for option in alone[name].params] == [option.opts for option in command.params]
    assert commands("nothing").keys() == commands().keys()


def test_the_page_of_the_command_names_the_options_that_are_taken():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "cli.md").read_text()
    sections = {text.partition("\n")[0]: text for text in page.split("\n## mien ")[1:]}
    assert sections.keys() == commands().keys()
    for name, command in commands().items():
        shown = re.findall(r"^\| `(--[^`]+)`", sections[name], flags=re.MULTILINE)
        taken = [
            "/".join(option for option in (*p.opts, *p.secondary_opts) if option.startswith("--"))
            for p in command.params
            if p.opts[0].startswith("--")
        ]
        assert shown == [option for option in taken if option != "--help"], name


def test_commands_that_find_faces_take_the_same_options_with_the_defaults_of_python():
    finding = {name: c for name, c in commands().items() if any(p.name == "detector" for p in c.params)}
    crops = finding.pop("crops")  # it recognises nothing, and a crop needs more pixels
    assert finding.keys() == {
        "image", "demo", "bench", "explain", "video", "study", "camera", "serve", "batch", "evaluate",
    }  # fmt: skip
    group = {one.name: one.default for one in fields(RecognizerOptions)}
    assert group == {
        "detector": DEFAULT_DETECTOR, "detector_size": DETECTOR_SIZE, "min_size": MIN_SIZE, "turns": False,
        "min_quality": 0.0, "min_confidence": None, "model": DEFAULT_MODEL, "head": "auto",
    }  # fmt: skip
    for command in finding.values():
        taken = {p.name: p.default for p in command.params if p.name in group}
        assert taken == group
        panels = {p.name: p.rich_help_panel for p in command.params if p.name in group}
        assert set(panels.values()) == {"Detection", "Model"}
    detection = ("detector", "detector_size", "min_size", "turns", "min_quality")
    assert {p.name: p.default for p in crops.params if p.name in group} == {
        name: 40 if name == "min_size" else group[name] for name in detection
    }
    for callee in (EmotionRecognizer, run_batch, Settings):
        assert group.keys() <= inspect.signature(callee).parameters.keys()
    python = inspect.signature(EmotionRecognizer.recognize_video).parameters
    for name in ("video", "study", "camera"):
        shown = {p.name: p.default for p in finding[name].params}
        for option in ("patience", "smoothing", "every", "fps", "start", "end"):
            assert shown[option] == python[option].default


def test_what_a_command_writes_is_named_by_output():
    for name, command in commands().items():
        options = {option: p for p in command.params for option in p.opts}
        assert not options.keys() & {"--out", "--to", "--record", "--seconds"}, name
        if "--output" in options:
            assert options["--output"] is options["-o"]
            assert options["--output"].rich_help_panel == "Output"
    writing = {name for name, c in commands().items() if any("--output" in p.opts for p in c.params)}
    assert commands().keys() - writing == {"bench", "models", "serve", "data"}


def test_every_command_that_predicts_takes_a_head():
    taking = {name for name, c in commands().items() if any(p.name == "head" for p in c.params)}
    assert taking == {
        "image", "demo", "bench", "explain", "video", "study", "camera", "serve", "batch", "evaluate",
        "audit-model",
    }  # fmt: skip


def test_a_head_with_eight_labels_has_eight_columns(folder: Path):
    done = run("image", folder / "a.jpg", "--format", "csv", "--head", "ferplus")
    (row,) = csv.DictReader(io.StringIO(done.stdout.decode()))
    place = list(row).index("quality_issues")
    assert tuple(row)[place + 1 : -1] == FERPLUS_LABELS
    assert sum(float(row[label]) for label in FERPLUS_LABELS) == pytest.approx(1, abs=1e-5)


def test_labels_is_the_head_that_was_trained_on_the_datasets_labels(folder: Path):
    assert results_of(folder / "a.jpg", "--head", "labels") == results_of(
        folder / "a.jpg", "--head", "fer2013"
    )
    assert results_of(folder / "a.jpg", "--head", "labels") != results_of(folder / "a.jpg")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["image", "x.png", "--by", "folder"], "--by: does nothing without --aggregate"),
        (["audit", "x.csv", "--drop-wrong-labels"], "--drop-wrong-labels: does nothing without --clean"),
        (
            ["batch", "x", "--output", "y", "--address", "auto"],
            "--address: does nothing without --engine ray",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments: list[str], words: str):
    done = run(*arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.decode().replace("│", " ").split())


def test_a_token_that_cannot_be_sent_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MIEN_TOKEN", "two words")
    with pytest.raises(ServerError, match="token: expected letters"):
        server_settings(port=0)


def test_every_option_of_train_is_a_setting_or_says_where_things_are():
    pytest.importorskip("keras", reason="needs mien[train]")
    from mien.cli.train import train
    from mien.training.config import TrainConfig

    options = set(inspect.signature(train).parameters) - {
        "data",
        "output",
        "resume",
        "config",
        "setting",
        "votes",
        "devices",
    }
    assert options <= set(TrainConfig().to_dict())
    assert len(options) + 6 <= 13  # a dozen flags; the rest is in the file of settings
