"""Models that calculate in int8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import onnx
import typer
from onnx import TensorProto, numpy_helper
from small_runs import SETTINGS, WITHOUT_COPY, faces, fer2013, write_fer2013
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.data.dataset import Dataset
from mien.errors import DatasetError, ExportError, ModelError
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig
from mien.training.compression.static_int8 import FLOAT_LAYERS, with_int8_arithmetic
from mien.training.derived.quantize import quantize
from mien.training.train import train

pytestmark = [pytest.mark.slow, WITHOUT_COPY]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "a"
    train(fer2013(), folder, replace(SETTINGS, seed=1))
    return folder


@pytest.fixture(scope="module")
def quantized(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "int8"
    quantize(run, fer2013(), folder, float_layers=0)
    return folder


def kinds(data: bytes) -> list[str]:
    """What stands at the weights of each convolution."""
    graph = onnx.load_from_string(data).graph
    makers = {node.output[0]: node.op_type for node in graph.node}
    return [makers.get(node.input[1], "stored") for node in graph.node if node.op_type == "Conv"]


def test_answers_hardly_change(run: Path, quantized: Path) -> None:
    images = faces(70, seed=7).images
    was, now = (EmotionClassifier(model).predict_heads(images) for model in (run, quantized))
    assert was.keys() == now.keys()
    for head, before in was.items():
        assert 0 < np.abs(before - now[head]).max() < 0.15
        assert (before.argmax(axis=1) == now[head].argmax(axis=1)).mean() > 0.9


def test_any_number_of_crops(quantized: Path) -> None:
    images = faces(9, seed=7).images
    model = EmotionClassifier(quantized)
    assert np.allclose(model.predict_proba(images)[4:5], model.predict_proba(images[4:5]), atol=1e-6)
    assert model.predict_proba(images[:0]).shape == (0, 7)


def test_weights_of_seven_bits(quantized: Path) -> None:
    """So that no sum of two products leaves 16 bits on processors without VNNI."""
    graph = onnx.load(quantized / "model.onnx").graph
    weights = [
        numpy_helper.to_array(w)
        for w in graph.initializer
        if w.data_type == TensorProto.INT8 and len(w.dims) == 4
    ]
    assert len(weights) == 2
    assert all(int(np.abs(values.astype(int)).max()) <= 64 for values in weights)


def test_some_convolutions_stay_in_float(run: Path) -> None:
    data = (run / "export" / "model.onnx").read_bytes()
    images = faces(70, seed=3).images
    assert kinds(with_int8_arithmetic(data, images, float_layers=0)[0]) == ["DequantizeLinear"] * 2
    one, kept = with_int8_arithmetic(data, images, float_layers=1)
    assert len(kept) == 1
    assert kinds(one).count("DequantizeLinear") == 1
    _, all_of_them = with_int8_arithmetic(data, images, float_layers=9)
    assert all_of_them[0] == kept[0]
    assert len(all_of_them) == 2


def test_the_configuration_says_what_it_is(run: Path, quantized: Path) -> None:
    before, after = ModelConfig.load(run / "export"), ModelConfig.load(quantized)
    assert after.quantization["of"] == before.name == "two-layers"
    assert after.quantization["sha256"] == before.sha256 != after.sha256
    assert after.temperature == before.temperature
    assert after.metrics["fer2013"]["n"] == 35
    card = (quantized / "README.md").read_text()
    assert "Calculates in int8, but for the 0 convolutions" in card
    assert "made of two-layers" in card


def test_refused(quantized: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="int8: calculates in int8 already; expected two-layers"):
        quantize(quantized, fer2013(), tmp_path / "again")
    other = Dataset("pets", ("cat", "dog"), {"train": faces(40, ("cat", "dog"), votes=False)})
    with pytest.raises(DatasetError, match="pets: labels cat, dog; expected angry"):
        quantize(run, other, tmp_path / "pets")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelError, match=r"has a config\.json already; expected a new folder"):
        quantize(run, fer2013(), quantized)
    with pytest.raises(
        ModelError, match="calculates in int8, and cannot be trained further; expected the model it"
    ):
        train(fer2013(), tmp_path / "run", replace(SETTINGS, init=str(quantized)))


def test_a_network_without_convolutions() -> None:
    nodes = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    graph = onnx.helper.make_graph(
        nodes,
        "none",
        [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ExportError, match="without convolutions"):
        with_int8_arithmetic(model.SerializeToString(), np.zeros((1, 2), np.uint8))


def test_command(run: Path, tmp_path: Path) -> None:
    write_fer2013(tmp_path / "fer2013.csv")
    words = ["quantize", str(tmp_path / "fer2013.csv"), "--model", str(run), "--float-layers", "1"]
    done = CliRunner().invoke(command_line(), [*words, "-o", str(tmp_path / "int8")])
    assert done.exit_code == 0, done.output
    assert "of the answers on" in done.output
    assert "times as fast on this machine" in done.output
    assert f"wrote {tmp_path / 'int8'}" in done.output
    assert len(ModelConfig.load(tmp_path / "int8").quantization["float_layers"]) == 1
    # The command line does not load what it says the default of.
    command = typer.main.get_command(command_line()).commands["quantize"]
    assert {p.name: p.default for p in command.params}["float_layers"] == FLOAT_LAYERS
    again = CliRunner().invoke(command_line(), [*words, "-o", str(tmp_path / "int8")])
    assert again.exit_code != 0
