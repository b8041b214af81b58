"""Several ONNX models in one file: one input for all, and the mean of what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from mien.errors import ExportError
from mien.training.compression.weights import checked, with_full_weights

CROPS = "crops"
LEAST = 1e-7  # of a probability, before its logarithm


def join(models: Sequence[bytes], outputs: Mapping[str, int]) -> bytes:
    """One model, whose answers are the mean of the models' probabilities.

    Args:
        models: ONNX files with one input each, uint8 crops of the same size, and all of these outputs.
        outputs: name -> number of labels.

    Returns:
        An ONNX file with the same input and outputs, its weights stored as float32.

    Raises:
        ExportError: they cannot be joined, as models of different operator sets that no converter brings together.
    """
    members = _same_operators([onnx.load_from_string(with_full_weights(model)) for model in models])
    graph = GraphProto(name="ensemble")
    for number, model in enumerate(members):
        member = compose.add_prefix_graph(model.graph, f"{number}/")
        graph.initializer.extend(member.initializer)
        graph.node.extend(_reading(member.node, member.input[0].name))
    first = members[0].graph
    graph.input.append(
        helper.make_tensor_value_info(CROPS, TensorProto.UINT8, _shape(first.input[0].type.tensor_type))
    )
    for output, labels in outputs.items():
        graph.node.append(
            helper.make_node("Mean", [f"{number}/{output}" for number in range(len(models))], [output])
        )
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", labels]))
    joined = helper.make_model(
        graph,
        opset_imports=[entry for entry in members[0].opset_import if entry.domain in ("", "ai.onnx")],
        ir_version=max(model.ir_version for model in members),
    )
    return checked(joined)


def with_temperatures(model: bytes, temperatures: Mapping[str, float]) -> bytes:
    """A model whose outputs of these names are what they were, to the power of 1 / temperature, scaled to sum to 1."""
    changed = onnx.load_from_string(model)
    graph = changed.graph
    graph.initializer.append(numpy_helper.from_array(np.array(LEAST, np.float32), "smallest"))
    for output, temperature in temperatures.items():
        for node in graph.node:
            node.output[:] = [f"{output}/mean" if name == output else name for name in node.output]
        graph.initializer.append(
            numpy_helper.from_array(np.array(temperature, np.float32), f"{output}/temperature")
        )
        graph.node.extend(
            [
                helper.make_node("Max", [f"{output}/mean", "smallest"], [f"{output}/least"]),
                helper.make_node("Log", [f"{output}/least"], [f"{output}/log"]),
                helper.make_node("Div", [f"{output}/log", f"{output}/temperature"], [f"{output}/scaled"]),
                helper.make_node("Softmax", [f"{output}/scaled"], [output], axis=-1),
            ]
        )
    return checked(changed)


def _same_operators(models: Sequence[ModelProto]) -> list[ModelProto]:
    """The models with one version of the operators, the newest among them."""
    # By what is used: converters declare more.
    if foreign := sorted({node.domain for model in models for node in model.graph.node} - {"", "ai.onnx"}):
        raise ExportError(f"operators of {', '.join(foreign)}; expected those of ONNX alone, as mien exports")
    versions = [
        next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        for model in models
    ]
    newest = max(versions)
    try:
        return [
            model if version == newest else onnx.version_converter.convert_version(model, newest)
            for model, version in zip(models, versions, strict=True)
        ]
    except RuntimeError as error:  # the converter's own, in C++
        raise ExportError(
            f"the models use different versions of ONNX' operators, and cannot be converted to {newest} ({error}); "
            "export them anew with one version of mien"
        ) from error


def _reading(nodes: Sequence[NodeProto], own: str) -> list[NodeProto]:
    """The nodes of a member, which read the input that all share in place of its own."""
    for node in nodes:
        node.input[:] = [CROPS if name == own else name for name in node.input]
    return list(nodes)


def _shape(tensor: onnx.TypeProto.Tensor) -> list[str | int]:
    """(n, size, size), any n."""
    return ["n", *(dimension.dim_value for dimension in tensor.shape.dim[1:])]
