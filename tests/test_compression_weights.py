"""ONNX files whose weights are stored in fewer bytes than they are computed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mien.training.compression.weights import with_half_weights, with_int8_weights

RNG = np.random.default_rng(0)
FILTERS = RNG.normal(0, 1, (16, 8, 3, 3)).astype(np.float32) * np.logspace(-3, 3, 16)[:, None, None, None]
DENSE = RNG.normal(0, 1, (16, 100)).astype(np.float32) * np.logspace(-2, 2, 100)
BIAS = RNG.normal(0, 1, 16).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> bytes:
    """A convolution, a mean over the picture, a dense layer."""
    nodes = [
        helper.make_node("Conv", ["x", "filters", "bias"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "dense"], ["y"]),
    ]
    weights = {"filters": FILTERS.astype(np.float32), "bias": BIAS, "dense": DENSE.astype(np.float32)}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 100])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(found.SerializeToString())


def answers(data: bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(1).normal(0, 1, (3, 8, 5, 5)).astype(np.float32)
    return np.asarray(session.run(None, {"x": pictures})[0])


def stored(data: bytes) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(data).graph
    return {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}


def test_half_precision(model: bytes) -> None:
    half = with_half_weights(model)
    assert {name: values.dtype.name for name, values in stored(half).items()} == {
        "filters_half": "float16",
        "bias": "float32",
        "dense_half": "float16",
    }
    np.testing.assert_allclose(
        answers(half), answers(model), rtol=2e-2, atol=2e-2 * np.abs(answers(model)).max()
    )
    assert len(half) < 0.6 * len(model)


def test_a_byte_each_with_a_scale_for_every_filter(model: bytes) -> None:
    small = with_int8_weights(model)
    found = stored(small)
    assert found["filters_int8"].dtype == found["dense_int8"].dtype == np.int8
    assert found["filters_scale"].shape == (16, 1, 1, 1) and found["dense_scale"].shape == (1, 100)
    # Rounded to the nearest level of its own filter, however small the filter is beside others.
    for name, values, others in (("filters", FILTERS, (1, 2, 3)), ("dense", DENSE, (0,))):
        again = found[f"{name}_int8"] * found[f"{name}_scale"]
        step = np.abs(values).max(axis=others, keepdims=True) / 127
        assert (np.abs(again - values) <= 0.501 * step).all()
        assert np.abs(found[f"{name}_int8"]).max() == 127
    assert len(small) < 0.4 * len(model)


@pytest.mark.parametrize("smaller", [with_half_weights, with_int8_weights])
def test_the_runtime_makes_the_weights_once_when_it_loads_them(
    model: bytes, tmp_path: Path, smaller: Callable[[bytes], bytes]
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(smaller(model), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node}
    assert "MatMul" in kinds and not kinds & {"Cast", "Mul", "DequantizeLinear"}


def test_it_computes_with_the_weights_that_are_stored(model: bytes) -> None:
    found = stored(with_int8_weights(model))
    same = onnx.load_from_string(model)
    for weight in same.graph.initializer:
        if f"{weight.name}_int8" in found:
            values = found[f"{weight.name}_int8"] * found[f"{weight.name}_scale"]
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name))
    expected = answers(bytes(same.SerializeToString()))
    np.testing.assert_allclose(answers(with_int8_weights(model)), expected, rtol=1e-4, atol=1e-4)
