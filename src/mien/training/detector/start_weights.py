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
    """Set the weights of a new detector network to those of an exported one.

    Args:
        model: from `build_detector`.
        network: the ONNX file that `export_detector` wrote.

    Raises:
        TrainingError: another network.
    """
    graph = onnx.load_from_string(network).graph
    stored = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    fill = _Fill(model)
    try:
        for node in graph.node:
            weights = [stored[name] for name in node.input[1:] if name in stored]
            if node.op_type == "Conv":
                fill.convolution(node, weights)
            elif node.op_type in ("Mul", "Add") and weights and "batchnorm" in node.name:
                fill.normalization(node, weights[0])
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            f"the weights of another detector network ({error}); expected one of mien train-detector"
        ) from None


class _Fill:
    """Puts weights where they belong: layers of a kind are numbered in the order in which they were made."""

    def __init__(self, model: keras.Model) -> None:
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
            self._heads[kind].set_weights([kernel.transpose(2, 3, 1, 0), bias])
        elif kind == "depthwise_conv2d":
            self._layers[kind][number].set_weights([kernel.transpose(2, 3, 0, 1)])
        else:
            self._layers[kind][number].set_weights([kernel.transpose(2, 3, 1, 0)])
            self._normalize(_place(node.input[2])[1], gamma=1.0, beta=bias)

    def normalization(self, node: onnx.NodeProto, values: Any) -> None:
        number = _place(node.name)[1]
        if node.op_type == "Mul":
            self._normalize(number, gamma=values.reshape(-1))
        else:
            self._normalize(number, beta=values.reshape(-1))

    def _normalize(self, number: int, *, gamma: Any = None, beta: Any = None) -> None:
        layer = self._layers["batch_normalization"][number]
        old_gamma, old_beta, mean, _ = layer.get_weights()
        layer.set_weights(
            [
                np.broadcast_to(old_gamma if gamma is None else gamma, mean.shape),
                np.broadcast_to(old_beta if beta is None else beta, mean.shape),
                np.zeros_like(mean),
                np.full_like(mean, 1 - layer.epsilon),
            ]
        )


def _place(name: str) -> tuple[str, int]:
    """Of a name in the ONNX file: the kind of layer, and which of its kind."""
    found = _NAME.search(name)
    if found is None:
        raise ValueError(f"no layer for {name}")
    return found[1], int((found[2] or "_0")[1:])


def _number(layer: Any) -> int:
    found = re.search(r"_(\d+)$", layer.name)
    return 0 if found is None else int(found[1])
