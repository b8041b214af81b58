"""A stranger's model: whatever it answers, or says of itself, is a line and not a wrong number."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import typed
from onnx import TensorProto, helper, numpy_helper
from pictures import encode, grace_hopper

from mien import EmotionClassifier
from mien.errors import ModelError
from mien.labels import LABELS
from mien.models.registry import ModelConfig

CROPS = np.zeros((2, 48, 48), np.uint8)


def write_model(folder: Path, answer: list[float], *, operator: str = "Mul") -> Path:
    """A model whose answer to every crop is this."""
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "answer"], ["expression"])
        if operator != "fails"
        else helper.make_node("Reshape", ["zeros", "impossible"], ["expression"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([-1, 1], np.int64), "column"),
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        numpy_helper.from_array(np.array([answer], np.float32), "answer"),
        numpy_helper.from_array(np.array([-1, 7], np.int64), "impossible"),
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 48, 48])
    answer = helper.make_tensor_value_info("expression", TensorProto.FLOAT, ["n", 7])
    graph = helper.make_graph(nodes, "strange", [crops], [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir()
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    ModelConfig("strange", LABELS, {"expression": LABELS}, 48, hashlib.sha256(data).hexdigest()).save(folder)
    return folder


def test_a_model_that_answers_probabilities(tmp_path: Path) -> None:
    model = EmotionClassifier(write_model(tmp_path / "model", [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]))
    assert model.predict_proba(CROPS)[:, 0] == pytest.approx([0.4, 0.4])
    assert model.predict_proba(CROPS[:0]).shape == (0, 7)


@pytest.mark.parametrize(
    "answer",
    [
        [float("nan")] * 7,
        [float("nan"), 1, 0, 0, 0, 0, 0],
        [float("inf"), 0, 0, 0, 0, 0, 0],
        [2, -1, 0, 0, 0, 0, 0],
        [3.0, 1, 4, 1, 5, 9, 2],
        [0] * 7,
    ],
    ids=str,
)
def test_what_is_no_probability_is_refused(answer: list[float], tmp_path: Path) -> None:
    model = EmotionClassifier(write_model(tmp_path / "model", answer))
    for ask in (model.predict_proba, model.classify, model.predict_heads):
        with pytest.raises(ModelError, match="strange: output expression is not probabilities"):
            ask(CROPS)


def test_a_model_that_fails_while_it_runs(tmp_path: Path) -> None:
    model = EmotionClassifier(write_model(tmp_path / "model", [0] * 7, operator="fails"))
    with pytest.raises(ModelError, match=r"strange: the model fails on 2 crops \("):
        model.predict_proba(CROPS)


@pytest.mark.parametrize("format", ["json", "csv", "table", "jsonl"])
def test_the_command_says_it_in_a_line(format: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(grace_hopper(), "jpeg", quality=92))
    folder = write_model(tmp_path / "model", [float("nan")] * 7)
    (tmp_path / "old.csv").write_text("old")
    again = typed.run("image", tmp_path / "a.jpg", "--model", folder, "--output", tmp_path / "old.csv")
    assert again.returncode == 2 and "old.csv is as it was" in again.stderr
    assert (tmp_path / "old.csv").read_text() == "old"
    done = typed.run("image", tmp_path / "a.jpg", "--model", folder, "--format", format)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "nan" not in done.stdout.lower()
    assert done.stderr.splitlines()[-1].startswith("mien: strange: output expression is not probabilities")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uncertain_below": float("nan")}, "uncertain_below=nan"),
        ({"uncertain_below": 1.5}, "uncertain_below=1.5"),
        (
            {"labels": ["happy", "confidence"], "outputs": {"expression": ["happy", "confidence"]}},
            "labels confidence",
        ),
        (
            {"labels": ["a", "smoothed_a"], "outputs": {"expression": ["a", "smoothed_a"]}},
            "labels smoothed_a",
        ),
        ({"labels": ["a", "error"], "outputs": {"expression": ["a", "error"]}}, "labels error"),
    ],
)
def test_a_configuration_that_says_the_impossible(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", [1, 0, 0, 0, 0, 0, 0])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=message):
        EmotionClassifier(folder)


@pytest.mark.skipif(
    '"enable_fallback"' not in inspect.getsource(onnxruntime.InferenceSession),
    reason="this onnxruntime always tries again",
)
def test_a_model_that_cannot_be_opened_says_nothing_on_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime announces there that it tries once more."""
    folder = write_model(tmp_path / "model", [1, 0, 0, 0, 0, 0, 0])
    data = (
        (folder / "model.onnx")
        .read_bytes()
        .replace(b"strange", b"\xff" * 7)
        .replace(b"Reshape", b"Resh\xffpe")
    )
    (folder / "model.onnx").write_bytes(data)
    config = json.loads((folder / "config.json").read_text()) | {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="not an ONNX model that can be run"):
        EmotionClassifier(folder)
    assert capfd.readouterr().out == ""


def test_the_models_of_this_file_are_valid_onnx(tmp_path: Path) -> None:
    onnx.checker.check_model(
        onnx.load(write_model(tmp_path / "model", [1.0, 0, 0, 0, 0, 0, 0]) / "model.onnx")
    )
