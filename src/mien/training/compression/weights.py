"""Smaller ONNX files: weights stored in fewer bytes than they are computed in.

The runtime makes them float32 once, when it loads the model, so predictions take as long as before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_SMALL = 1024  # numbers: fewer are not worth a cast
_LEVELS = 127

Packed = tuple[list[TensorProto], list[NodeProto]]
"""What stands for a weight: stored tensors, and the nodes that make it of them."""


def with_half_weights(data: bytes) -> bytes:
    """An ONNX model whose larger weights are stored as float16: half the size."""
    return _stored(data, _as_half)


def with_int8_weights(data: bytes) -> bytes:
    """An ONNX model whose larger kernels are stored as int8 with a scale for every filter: a quarter of the size.

    Symmetric quantisation per output channel, rounded to the nearest (Krishnamoorthi, arXiv 1806.08342, section 3.1.2).
    Weights of other shapes, as offsets, are stored as float16.
    """
    return _stored(data, _as_int8)


def with_full_weights(data: bytes) -> bytes:
    """An ONNX model whose weights are stored as float32, if they were stored by a function of this module."""
    model = onnx.load_from_string(data)
    graph = model.graph
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    restored: set[str] = set()
    for node in graph.node:
        if _restores(node, weights, restored):
            first, *scale = (weights[name].astype(np.float32) for name in node.input)
            weights[node.output[0]] = first * scale[0] if scale else first
            restored.add(node.output[0])
    nodes = [node for node in graph.node if node.output[0] not in restored]
    used = {name for node in nodes for name in node.input}
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in weights.items() if name in used
    )
    graph.node.extend(nodes)
    return checked(model)


def _restores(node: NodeProto, weights: Collection[str], restored: Collection[str]) -> bool:
    """Whether a node makes a weight of stored numbers: a cast of them, or such a cast times its scale."""
    if node.op_type == "Cast":
        return node.input[0] in weights and node.attribute[0].i == TensorProto.FLOAT
    return node.op_type == "Mul" and node.input[0] in restored and all(name in weights for name in node.input)


def _stored(data: bytes, pack: Callable[[str, NDArray[np.float32]], Packed]) -> bytes:
    model = onnx.load_from_string(data)
    graph = model.graph
    weights, casts = [], []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALL:
            weights.append(weight)
            continue
        tensors, nodes = pack(weight.name, values)
        weights += tensors
        casts += nodes
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(nodes)
    return checked(model)


def checked(model: onnx.ModelProto) -> bytes:
    """The bytes of a model, if it is one by ONNX' rules."""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _as_half(name: str, values: NDArray[np.float32]) -> Packed:
    stored = f"{name}_half"
    with np.errstate(over="ignore"):  # a number beyond float16 becomes infinite, and the comparison finds it
        half = numpy_helper.from_array(values.astype(np.float16), stored)
    return [half], [helper.make_node("Cast", [stored], [name], name=f"{stored}_cast", to=TensorProto.FLOAT)]


def _as_int8(name: str, values: NDArray[np.float32]) -> Packed:
    if values.ndim not in (2, 4):
        return _as_half(name, values)
    # Convolutions have their filters first, matrices of dense layers last.
    others = (1, 2, 3) if values.ndim == 4 else (0,)
    scale = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / np.float32(_LEVELS)
    levels = np.rint(values / scale).astype(np.int8)
    stored, cast = f"{name}_int8", f"{name}_levels"
    return (
        [
            numpy_helper.from_array(levels, stored),
            numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"),
        ],
        [
            # Not DequantizeLinear, which onnxruntime 1.32 keeps in the graph and computes anew in every call.
            helper.make_node("Cast", [stored], [cast], name=f"{stored}_cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, f"{name}_scale"], [name], name=f"{stored}_scaled"),
        ],
    )
