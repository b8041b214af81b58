"""The exported detector without detours: what the converter from Keras spells out in many nodes, in one each.

Nothing is approximated: every number of the weights stays as it is. What changes is how often pixels are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper

from mien.faces.grid import OUTPUTS


class _Graph:
    """A graph whose values can be asked for what makes them, and replaced."""

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self.weights = {weight.name: weight for weight in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.new: list[NodeProto] = []

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a weight, None of what is computed."""
        return numpy_helper.to_array(self.weights[name]) if name in self.weights else None

    def before(self, name: str, *kinds: str) -> str | None:
        """The value that went into a chain of nodes of these kinds, the last first, which made `name`."""
        for kind in kinds:
            node = self.maker.get(name)
            if node is None or node.op_type != kind:
                return None
            name = next((value for value in node.input if value not in self.weights), "")
        return name

    def of_kind(self, kind: str) -> Iterator[NodeProto]:
        """The nodes of a kind, in order."""
        return (node for node in list(self.graph.node) if node.op_type == kind)

    def add(self, kind: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """A new node; arrays among its inputs become weights. The name of what it makes."""
        output = f"lean_{len(self.new)}"
        names = []
        for place, value in enumerate(inputs):
            name = value if isinstance(value, str) else f"{output}_{place}"
            if not isinstance(value, str):
                self.graph.initializer.append(numpy_helper.from_array(value, name))
            names.append(name)
        self.new.append(helper.make_node(kind, names, [output], output, **attributes))
        return output

    def replace(self, old: str, new: str) -> None:
        """Have everything that took the one value take the other."""
        for node in (*self.graph.node, *self.new):
            if new in node.output:
                continue
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new

    def close(self) -> None:
        """Drop what nothing uses any more, and put the nodes in an order in which each finds its inputs made."""
        nodes = {name: node for node in (*self.graph.node, *self.new) for name in node.output}
        ordered: dict[str, NodeProto] = {}

        def visit(name: str) -> None:
            node = nodes.get(name)
            if node is None or node.output[0] in ordered:
                return
            for value in node.input:
                visit(value)
            ordered[node.output[0]] = node

        for output in self.graph.output:
            visit(output.name)
        used = {name for node in ordered.values() for name in node.input}
        kept = [weight for weight in self.graph.initializer if weight.name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(ordered.values())
        self.graph.initializer.extend(kept)


def lean(data: bytes) -> bytes:
    """A detector as Keras and tf2onnx write it, with fewer steps; anything else of it stays as it is.

    Pixels become numbers in one step (`DequantizeLinear`), not in three; grids are enlarged by one `Resize`, which
    onnxruntime does in its own layout of channels; and the shapes of the outputs are known, not computed.

    Args:
        data: an ONNX file.

    Returns:
        An ONNX file that gives the same answers but for rounding.
    """
    model = onnx.load_from_string(data)
    graph = _Graph(model.graph)
    _read_pixels_at_once(graph)
    _enlarge_at_once(graph)
    _fix_shapes(graph)
    graph.close()
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _read_pixels_at_once(graph: _Graph) -> None:
    """uint8 -> float, times, plus, transposed: transposed as bytes, then (pixel - zero point) times scale."""
    for node in graph.of_kind("Transpose"):
        pixels = graph.before(node.output[0], "Transpose", "Add", "Mul", "Cast")
        if pixels is None:
            continue
        add = graph.maker[node.input[0]]
        multiply = graph.maker[next(name for name in add.input if name not in graph.weights)]
        offset, scale = (
            next(value for name in one.input if (value := graph.constant(name)) is not None)
            for one in (add, multiply)
        )
        zero = -float(offset.item()) / float(scale.item())
        if zero != round(zero) or not 0 <= zero <= 255:
            continue
        planes = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
        scaled = graph.add(
            "DequantizeLinear", planes, np.array(scale.item(), np.float32), np.array(zero, np.uint8)
        )
        graph.replace(node.output[0], scaled)


def _enlarge_at_once(graph: _Graph) -> None:
    """Every row and every column twice: one `Resize` to the nearest."""
    once = ("Reshape", "Transpose", "Tile", "Unsqueeze")
    again = ("Transpose", "Reshape", "Tile", "Unsqueeze")
    for node in graph.of_kind("Transpose"):
        grid = graph.before(node.output[0], *again, *once)
        if grid is None:
            continue
        twice = graph.add(
            "Resize", grid, "", np.array([1, 1, 2, 2], np.float32),
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        graph.replace(node.output[0], twice)


def _fix_shapes(graph: _Graph) -> None:
    """(n, height, width, 15) -> (n, cells, 15): the middle is whatever is left."""
    for node in graph.of_kind("Reshape"):
        known = graph.constant(node.input[1]) is not None
        if not known and graph.before(node.output[0], "Reshape", "Transpose", "Conv") is not None:
            cells = graph.add("Reshape", node.input[0], np.array([0, -1, OUTPUTS], np.int64))
            graph.replace(node.output[0], cells)
