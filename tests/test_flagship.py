"""The script that makes the shipped model, rehearsed from end to end on generated faces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_runs import faces

from mien.data.dataset import Split
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig
from mien.training.config import combine
from mien.training.distill import SoftLabels

SCRIPT = Path(__file__).parents[1] / "runs" / "flagship.sh"


def flagship(*words: object, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    home = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{home}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script and its recipes, but for the second teacher: it is trained like the third."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(SCRIPT.parent / "flagship", folder / "flagship")
    (folder / "flagship" / "cpu" / "teacher-2.toml").unlink()
    return Path(shutil.copy(SCRIPT, folder))


def table(split: Split, usage: str) -> pa.Table:
    """A split as rows of FER2013 in Parquet, with FER+ votes."""
    assert split.votes is not None
    return pa.table(
        {
            "image": [{"bytes": cv2.imencode(".png", image)[1].tobytes()} for image in split.images],
            "label": split.targets,
            "usage": [usage] * len(split),
            "votes": pa.array(split.votes.tolist(), pa.list_(pa.uint8())),
        }
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "fer2013.parquet"
    parts = [table(faces(280), "Training"), table(faces(70, seed=1), "PublicTest")]
    pq.write_table(pa.concat_tables(parts), path)
    return path


@pytest.fixture(scope="module")
def out(script: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a rehearsal writes."""
    folder = tmp_path_factory.mktemp("flagship")
    done = flagship(data, folder, "--rehearsal", script=script)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
class TestRehearsal:
    def test_every_teacher_is_asked(self, script: Path, out: Path) -> None:
        recipes = sorted((script.parent / "flagship" / "cpu").glob("teacher-*.toml"))
        configs = [ModelConfig.load(out / recipe.stem / "export") for recipe in recipes]
        assert len(configs) > 1
        assert len({config.sha256 for config in configs}) == len(configs)
        assert SoftLabels.load(out / "soft.npz").teachers == tuple(config.sha256 for config in configs)

    def test_a_student_that_learned_from_them(self, out: Path) -> None:
        classifier = EmotionClassifier(out / "student")
        config = classifier.config
        assert config.training["teachers"] == str(out / "soft.npz")
        assert config.data["images"]["calibration"] >= 50
        assert set(config.temperature) == {"fer2013", "ferplus", "expression"}
        np.testing.assert_allclose(classifier.predict_proba(faces(5).images).sum(axis=1), 1, atol=1e-5)

    def test_small_enough_to_ship(self, out: Path) -> None:
        assert (out / "student" / "export" / "model.onnx").stat().st_size < 6e6

    def test_reports_and_a_card(self, out: Path) -> None:
        for head in ("fer2013", "ferplus", "expression"):
            assert (out / "evaluation" / head / "report.html").stat().st_size > 10_000
        card = (out / "MODEL_CARD.md").read_text()
        for words in ("## Limits", "## Uses to refuse", "uncertain", "95 %", "`ferplus`", "brightness"):
            assert words in card

    def test_again_does_nothing_twice(self, script: Path, out: Path, data: Path) -> None:
        files = [out / name for name in ("teacher-1/model.keras", "soft.npz", "student/model.keras")]
        before = [file.stat().st_mtime_ns for file in files]
        done = flagship(data, out, "--rehearsal", script=script)
        assert done.returncode == 0, done.stderr
        assert [file.stat().st_mtime_ns for file in files] == before

    def test_the_last_stage_alone_from_the_soft_labels(
        self, script: Path, out: Path, data: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(out / "evaluation", tmp_path / "evaluation")  # as if that were done: it takes as long
        done = flagship(data, tmp_path, "--rehearsal", "--soft-labels", out / "soft.npz", script=script)
        assert done.returncode == 0, done.stderr
        assert not list(tmp_path.glob("teacher-*"))
        ours, theirs = (EmotionClassifier(folder / "student").config for folder in (tmp_path, out))
        assert ours.data["soft_labels"] == theirs.data["soft_labels"]
        # It starts from the teacher that is kept with the recipe, the other from its own.
        assert ours.training["init"] == str(script.parent / "flagship" / "teacher-3")
        assert theirs.training["init"] == str(out / "teacher-3")
        assert ours.outputs == theirs.outputs


@pytest.mark.slow
def test_a_folder_is_not_gone_on_with_otherwise(script: Path, out: Path, data: Path) -> None:
    for words in (
        (),
        ("--rehearsal", "--profile", "gpu"),
        ("--rehearsal", "--soft-labels", out / "soft.npz"),
    ):
        done = flagship(data, out, *words, script=script)
        assert done.returncode == 2
        assert "begun with other settings" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data"], "expected DATA and OUT"),
        (["data", "out", "more"], "too much: more"),
        (["data", "out", "--fast"], "unknown option --fast"),
        (["data", "out", "--profile", "tpu"], "expected cpu or gpu"),
        (["data", "out", "--soft-labels", "nothing.npz"], "nothing.npz: no such file"),
    ],
)
def test_wrong_usage(words: list[str], message: str) -> None:
    done = flagship(*words)
    assert done.returncode == 2
    assert message in done.stderr


def test_help() -> None:
    done = flagship("--help")
    assert done.returncode == 0
    assert "--rehearsal" in done.stdout
    assert "set -euo" not in done.stdout


@pytest.mark.parametrize("recipe", sorted((SCRIPT.parent / "flagship").glob("*/*.toml")), ids=str)
def test_every_recipe_is_one(recipe: Path) -> None:
    settings = combine(None, str(recipe), {})
    student = combine(None, str(recipe.parent / "student.toml"), {})
    # Teachers must not know what the student is calibrated with.
    assert settings.calibration_fraction == student.calibration_fraction > 0
