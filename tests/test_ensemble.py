"""Several trained models as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import onnx
from onnx import TensorProto
from small_runs import SETTINGS, WITHOUT_COPY, faces, fer2013, write_fer2013
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.data.dataset import Dataset
from mien.errors import DatasetError, ModelError
from mien.evaluation.predictions import predict_split
from mien.evaluation.provenance import familiarity
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig
from mien.training.compression.weights import with_full_weights, with_half_weights, with_int8_weights
from mien.training.config import combine
from mien.training.derived.ensemble import ensemble
from mien.training.train import train

pytestmark = [pytest.mark.slow, WITHOUT_COPY]

SHORT = replace(SETTINGS, epochs=4, warmup_epochs=0, clean_epochs=0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs on the same data, of which the second has another seed and int8 weights."""
    folder = tmp_path_factory.mktemp("runs")
    for name, changes in (("a", {"seed": 1}), ("b", {"seed": 2, "weight_storage": "int8"})):
        train(fer2013(), folder / name, replace(SHORT, **changes))
    return folder / "a", folder / "b"


@pytest.fixture(scope="module")
def both(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensemble(runs, fer2013(), tmp_path_factory.mktemp("models") / "both", name="both")


def test_answers_are_the_mean_at_a_new_temperature(runs: tuple[Path, Path], both: Path) -> None:
    images = faces(21, seed=7).images
    members = [EmotionClassifier(run).predict_heads(images) for run in runs]
    model = EmotionClassifier(both)
    found = model.predict_heads(images)
    assert found.keys() == {"expression", "fer2013", "ferplus"}
    for head, values in found.items():
        mean = np.mean([answers[head] for answers in members], axis=0)
        power = np.maximum(mean, 1e-7) ** (1 / model.config.temperature[head])
        assert (
            np.abs(values - power / power.sum(axis=1, keepdims=True)).max() < 5e-3
        )  # weights in half precision


def test_any_number_of_crops(both: Path) -> None:
    images = faces(9, seed=7).images
    model = EmotionClassifier(both)
    assert np.allclose(model.predict_proba(images)[4:5], model.predict_proba(images[4:5]), atol=1e-6)
    assert model.predict_proba(images[:0]).shape == (0, 7)


def test_the_configuration_says_what_it_is(runs: tuple[Path, Path], both: Path) -> None:
    config = ModelConfig.load(both)
    names = [ModelConfig.load(run / "export") for run in runs]
    assert [member["sha256"] for member in config.members] == [one.sha256 for one in names]
    assert [recipe["seed"] for recipe in config.recipes] == [1, 2]
    assert config.data["sha256"] == fer2013().fingerprint()
    assert config.metrics["fer2013"]["n"] == 35
    card = (both / "README.md").read_text()
    assert "the mean of the probabilities of 2 networks, two-layers and two-layers" in card
    scored = predict_split(EmotionClassifier(both), fer2013(), split="train")
    assert "trained on this split" in familiarity(scored)


def test_fitted_on_images_that_no_member_knows(tmp_path: Path) -> None:
    data = Dataset(
        "fer2013", fer2013().labels, {"train": faces(700, seed=1), "validation": faces(35, seed=2)}
    )
    held = []
    for name, share in (("a", 0.1), ("b", 0.2)):
        folder = train(data, tmp_path / name, replace(SHORT, epochs=1, calibration_fraction=share))
        held.append(ModelConfig.load(folder).data["images"]["calibration"])
    found = ModelConfig.load(ensemble([tmp_path / "a", tmp_path / "b"], data, tmp_path / "both"))
    assert found.data["images"]["calibration"] == held[0] != held[1]


def test_members_of_other_data_are_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = Dataset(
        "own faces", fer2013().labels, {"train": faces(70, seed=8), "validation": faces(35, seed=9)}
    )
    config = ModelConfig.load(ensemble(runs, other, tmp_path / "both"))
    assert config.data["name"] == "fer2013"
    assert "sha256" not in config.data
    assert "Trained on fer2013." in (tmp_path / "both" / "README.md").read_text()


@pytest.mark.parametrize(
    ("models", "error"),
    [
        (["mien-s"], "an ensemble of 1; expected two or more models"),
        (["mien-s", "mien-s"], "mien-s: the same network as mien-s; expected different ones"),
        (["mien-s", "nobody"], "nobody: no such model"),
    ],
)
def test_refused(models: list[str], error: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=error):
        ensemble(models, fer2013(), tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_refuses_other_labels(runs: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("cat", "dog")
    data = Dataset(
        "pets", words, {"train": faces(40, words, votes=False), "validation": faces(20, words, votes=False)}
    )
    pets = train(data, tmp_path / "pets", replace(SHORT, epochs=1))
    with pytest.raises(
        ModelError, match=r"two-layers: tells cat, dog in 48 pixels; expected angry, .*, as two-layers"
    ):
        ensemble([runs[0], pets], fer2013(), tmp_path / "both")
    with pytest.raises(DatasetError, match=r"pets: labels cat, dog; expected angry, .*, those of the models"):
        ensemble(runs, data, tmp_path / "both")


def test_of_models_with_one_head(tmp_path: Path) -> None:
    words = ("cat", "dog")
    data = Dataset(
        "pets", words, {"train": faces(40, words, votes=False), "validation": faces(20, words, votes=False)}
    )
    runs = [train(data, tmp_path / str(seed), replace(SHORT, epochs=1, seed=seed)) for seed in (1, 2)]
    config = ModelConfig.load(ensemble(runs, data, tmp_path / "both"))
    assert config.outputs == {"expression": words, "labels": words}
    assert config.temperature["expression"] == config.temperature["labels"]


def test_refuses_an_ensemble_as_a_member(both: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match="an ensemble itself; expected its members, two-layers and two-layers"
    ):
        ensemble([runs[0], both], fer2013(), tmp_path / "both")


def test_writes_over_nothing(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ModelError, match=r"has a README\.md already; expected a new folder"):
        ensemble(runs, fer2013(), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_full_weights_again(both: Path, runs: tuple[Path, Path]) -> None:
    data = (runs[0] / "export" / "model.onnx").read_bytes()
    full = with_full_weights(data)
    assert {weight.data_type for weight in onnx.load_from_string(full).graph.initializer} >= {
        TensorProto.FLOAT
    }
    assert TensorProto.FLOAT16 not in {
        weight.data_type for weight in onnx.load_from_string(full).graph.initializer
    }
    for smaller in (with_half_weights, with_int8_weights):
        assert with_full_weights(with_full_weights(smaller(full))) == with_full_weights(smaller(full))
    assert smaller(full) != full


def test_cannot_be_trained_further(both: Path, tmp_path: Path) -> None:
    settings = replace(SHORT, init=str(both))
    with pytest.raises(ModelError, match="an ensemble of two-layers and two-layers, which cannot be trained"):
        train(fer2013(), tmp_path / "run", settings)
    with pytest.raises(ModelError, match="an ensemble of two-layers and two-layers, which cannot be trained"):
        combine(None, None, {"init": str(both)})


def test_command(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_fer2013(tmp_path / "fer2013.csv")
    words = ["ensemble", str(tmp_path / "fer2013.csv"), "--member", str(runs[0]), "--member", str(runs[1])]
    done = CliRunner().invoke(command_line(), [*words, "-o", str(tmp_path / "both"), "--storage", "int8"])
    assert done.exit_code == 0, done.output
    assert f"wrote {tmp_path / 'both'}" in done.output
    assert json.loads((tmp_path / "both" / "config.json").read_text())["name"] == "both"
    again = CliRunner().invoke(command_line(), [*words, "-o", str(tmp_path / "both")])
    assert again.exit_code != 0
