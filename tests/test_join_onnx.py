"""Several ONNX files in one, and temperatures behind what a file answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import onnx
import onnxruntime
from onnx import TensorProto, helper

from mien.errors import ExportError
from mien.training.derived.join_onnx import join, with_temperatures


def constant(value: float, version: int, name: str = "crops") -> bytes:
    """A model that says `value` of its first label, whatever it sees."""
    shape = ["n", 48, 48]
    nodes = [
        helper.make_node("Cast", [name], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["answer"]),
    ]
    weights = [
        onnx.numpy_helper.from_array(np.zeros((48 * 48, 2), np.float32), "zeros"),
        onnx.numpy_helper.from_array(np.array([value, 1 - value], np.float32), "values"),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", 2])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    return bytes(made.SerializeToString())


def answer(model: bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["answer"], {"crops": np.zeros((3, 48, 48), np.uint8)})[0])


def test_joined_files_of_other_versions_and_names() -> None:
    joined = join([constant(0.2, 13, "faces"), constant(0.6, 17), constant(0.7, 17, "in")], {"answer": 2})
    assert np.allclose(answer(joined), [[0.5, 0.5]] * 3)


def test_temperature_of_a_probability_of_zero() -> None:
    model = with_temperatures(constant(1.0, 17), {"answer": 0.5})
    assert np.allclose(answer(model), [[1, 0]] * 3)
    assert np.allclose(
        answer(with_temperatures(constant(0.8, 17), {"answer": 0.5})), [[0.64 / 0.68, 0.04 / 0.68]] * 3
    )


def test_operators_of_others_are_refused() -> None:
    model = onnx.load_from_string(constant(0.5, 17))
    model.graph.node[0].domain = "com.example"
    with pytest.raises((ExportError, onnx.checker.ValidationError)):
        join([model.SerializeToString(), constant(0.5, 17)], {"answer": 2})
