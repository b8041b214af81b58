"""The weights of an exported detector back in the Keras network, so that training goes on from there.

Keras' converter folds batch normalization into the convolution before it, where that has one filter per channel of the
output; what is left of the layers are their weights, by the layers' names.
"""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import onnx
from keras import layers
from onnx import numpy_helper

from mien.errors import TrainingError

_NAME = re.compile(r"/(conv2d|depthwise_conv2d|batch_normalization|head\d+)(_\d+)?_\d+/")


def take_weights(model: keras.Model, network: bytes) -> None:
    """Set the weights of a new detector network to those of an exported one, which may be narrower.

    The new filters of a wider network have random weights, and none of the old ones hears them at first: so it answers
    as the narrower one, and learns on from there (Chen et al., arXiv 1511.05641).

    Args:
        model: from `build_detector`.
        network: the ONNX file that `export_detector` wrote.

    Raises:
        TrainingError: another network.
    """
    graph = onnx.load_from_string(network).graph
    stored = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    try:
        fill = _Fill(model, _first_numbers(graph))
        for node in graph.node:
            weights = [stored[name] for name in node.input[1:] if name in stored]
            if node.op_type == "Conv":
                fill.convolution(node, weights)
            elif node.op_type in ("Mul", "Add") and weights and "batchnorm" in node.name:
                fill.normalization(node, weights[0])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise TrainingError(
            f"the weights of another detector network ({error}); expected one of mien train-detector"
        ) from None


class _Fill:
    """Puts weights where they belong: layers of a kind are numbered in the order in which they were made.

    Args:
        model: where to.
        first: of the stored weights, the number of the first layer of each kind: Keras counts in the whole process.
    """

    def __init__(self, model: keras.Model, first: dict[str, int]) -> None:
        self._first = first
        kinds = {
            "conv2d": layers.Conv2D,
            "depthwise_conv2d": layers.DepthwiseConv2D,
            "batch_normalization": layers.BatchNormalization,
        }
        self._heads = {layer.name: layer for layer in model.layers if layer.name.startswith("head")}
        self._layers = {
            kind: sorted(
                (one for one in model.layers if type(one) is made and one.name not in self._heads),
                key=_number,
            )
            for kind, made in kinds.items()
        }

    def convolution(self, node: onnx.NodeProto, weights: list[Any]) -> None:
        kernel, bias = weights[0], weights[1] if len(weights) > 1 else None
        kind, number = _place(f"{node.input[1]} {node.name}")
        if kind.startswith("head"):
            _set(self._heads[kind], kernel.transpose(2, 3, 1, 0), bias)
        elif kind == "depthwise_conv2d":
            _set(self._layer(kind, number), kernel.transpose(2, 3, 0, 1))
        else:
            _set(self._layer(kind, number), kernel.transpose(2, 3, 1, 0))
            self._normalize(_place(node.input[2])[1], gamma=np.ones_like(bias), beta=bias)

    def normalization(self, node: onnx.NodeProto, values: Any) -> None:
        number = _place(node.name)[1]
        if node.op_type == "Mul":
            self._normalize(number, gamma=values.reshape(-1))
        else:
            self._normalize(number, beta=values.reshape(-1))

    def _normalize(self, number: int, *, gamma: Any = None, beta: Any = None) -> None:
        layer = self._layer("batch_normalization", number)
        weights = layer.get_weights()
        known = len(beta if gamma is None else gamma)
        mean, variance = 0, 1 - layer.epsilon
        for place, values in enumerate((gamma, beta, mean, variance)):
            if values is not None:
                weights[place][:known] = values
        layer.set_weights(weights)

    def _layer(self, kind: str, number: int) -> Any:
        return self._layers[kind][number - self._first[kind]]


def _first_numbers(graph: onnx.GraphProto) -> dict[str, int]:
    first: dict[str, int] = {}
    for node in graph.node:
        for name in (node.name, *node.input):
            if _NAME.search(name):
                kind, number = _place(name)
                first[kind] = min(number, first.get(kind, number))
    return first


def _set(layer: Any, kernel: Any, *bias: Any) -> None:
    """The weights of a layer that may be wider than they are."""
    whole, *rest = layer.get_weights()
    inputs, outputs = kernel.shape[2:]
    if whole.shape[:2] != kernel.shape[:2] or whole.shape[2] < inputs or whole.shape[3] < outputs:
        raise ValueError(f"{layer.name} of {kernel.shape}, not {whole.shape}")
    whole[:, :, inputs:, :outputs] = 0
    whole[:, :, :inputs, :outputs] = kernel
    layer.set_weights([whole, *(bias or rest)])


def _place(name: str) -> tuple[str, int]:
    """Of a name in the ONNX file: the kind of layer, and which of its kind."""
    found = _NAME.search(name)
    if found is None:
        raise ValueError(f"no layer for {name}")
    return found[1], int((found[2] or "_0")[1:])


def _number(layer: Any) -> int:
    found = re.search(r"_(\d+)$", layer.name)
    return 0 if found is None else int(found[1])
