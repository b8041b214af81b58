"""Starting from a trained model: the weights in its ONNX file, put back into the Keras network.

The exporter folds batch normalization into the convolution before it. To learn on, the two must be parted again:
the normalization gets the mean and variance that the convolution's answers have on some pictures, and the scale and
offset that undo it. So the network answers as before, and its statistics are right from the first step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from mien.errors import TrainingError
from mien.metrics.calibration import softmax
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig, read_model, resolve_model
from mien.training.augmentation import center_view
from mien.training.networks import build_model

PICTURES = 256  # that the statistics are taken from
TOLERANCE = 1e-3

Array = NDArray[np.float32]


def start_from(
    model: keras.Model, source: str, heads: Mapping[str, Sequence[str]], images: NDArray[np.uint8]
) -> None:
    """Give a network the weights of a trained model; heads come along where name and labels are the same.

    Args:
        model: what `build_model` built.
        source: a shipped model's name, a model folder or a run.
        heads: of `model`: name -> labels.
        images: (n, 48, 48) uint8 of the kind that will be trained on.

    Raises:
        ModelError: there is no such model.
        TrainingError: it is another network, or one whose weights cannot be put back.
    """
    folder = resolve_model(source)
    config = ModelConfig.load(folder)
    if config.training.get("network") != model.name:
        raise TrainingError(
            f"init {source}: a {config.training.get('network', 'network of unknown kind')}, expected a "
            f"{model.name}; name its own with --network"
        )
    # From all over the data: a folder's pictures come class by class.
    some = np.linspace(0, len(images) - 1, min(PICTURES, len(images))).astype(int)
    trained = _rebuild(source, config, read_model(folder, config.sha256), images[some])
    same = {name for name, labels in heads.items() if config.outputs.get(name) == tuple(labels)}
    others = {name for name in (*config.outputs, *heads) if name not in same}
    pairs = zip(_without(model, others), _without(trained, others), strict=True)
    try:
        for ours, theirs in pairs:
            ours.set_weights(theirs.get_weights())
    except ValueError:
        raise TrainingError(
            f"init {source}: was trained on views of {_view(config)} pixels; expected the same view"
        ) from None


def _view(config: ModelConfig) -> int:
    return int(config.training.get("view", config.input_size))


def _without(model: keras.Model, names: set[str]) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name not in names and layer.weights]


def _rebuild(source: str, config: ModelConfig, data: bytes, images: NDArray[np.uint8]) -> keras.Model:
    """The Keras network that answers as the ONNX file does."""
    heads = {name: labels for name, labels in config.outputs.items() if name != "blend"}
    sizes = {name: len(labels) for name, labels in heads.items()}
    model = build_model(str(config.training["network"]), sizes, view=_view(config), dropout=0.0)
    pixels = center_view(images, _view(config))[..., None]
    try:
        _fill(model, onnx.load_from_string(data).graph, pixels)
    except (ValueError, KeyError, IndexError) as error:
        raise TrainingError(f"init {source}: its weights do not fit a {model.name} ({error})") from error
    logits = model.predict(pixels, batch_size=64, verbose=0)
    classifier = EmotionClassifier(source)
    for head in heads:
        expected = classifier.predict_proba(images, head=head)
        got = softmax(logits[head], config.temperature.get(head, 1.0))
        if not np.abs(got - expected).max() <= TOLERANCE:
            raise TrainingError(
                f"init {source}: put back into Keras it answers otherwise; its weights are lost"
            )
    return model


def _fill(model: keras.Model, graph: Any, pixels: Array) -> None:
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:  # weights that are stored in half precision
        if node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
    base = next((layer for layer in model.layers if isinstance(layer, keras.Model)), model)
    layers = sorted(base.layers if base is model else [*base.layers, *model.layers], key=_place)
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if norms and len(norms) != len(convolutions):
        raise ValueError(
            f"{len(convolutions)} convolutions, {len(norms)} batch normalizations: expected pairs"
        )
    parts = []
    for layer, (kernel, bias) in zip(convolutions, _weights(graph, constants, "Conv"), strict=True):
        scale = _he_scale(kernel) if norms else np.ones_like(bias)
        parts.append((bias, scale))
        plain = np.zeros_like(bias) if norms else bias
        kernel = (kernel * scale[:, None, None, None]).transpose(2, 3, 1, 0)
        layer.set_weights([kernel, *([plain] if layer.use_bias else [])])
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    for layer, (kernel, bias) in zip(dense, _weights(graph, constants, "MatMul"), strict=True):
        layer.set_weights([kernel, bias])
    if norms:
        _part(model, base, convolutions, list(zip(norms, parts, strict=True)), pixels)


def _he_scale(kernel: Array) -> Array:
    """What brings each filter to the norm of He's initialization: under normalization its size is free, but a
    small filter would be changed more by every step.
    """
    norms = np.sqrt(np.square(kernel).sum(axis=(1, 2, 3)))
    return np.where(norms > 0, np.sqrt(2) / np.maximum(norms, 1e-12), 1).astype(np.float32)


def _part(
    model: keras.Model,
    base: keras.Model,
    convolutions: list[keras.layers.Layer],
    norms: list[tuple[keras.layers.Layer, tuple[Array, Array]]],
    pixels: Array,
) -> None:
    """Give every batch normalization statistics, and what undoes them and the filters' scale."""
    for norm, (offset, scale) in norms:
        _normalize(norm, np.zeros_like(offset), np.ones_like(offset), offset, scale)
    if base is not model:
        before = model.layers[model.layers.index(base) - 1]
        pixels = keras.Model(model.input, before.output).predict(pixels, verbose=0)
    probe = keras.Model(base.input, [layer.output for layer in convolutions])
    found = probe.predict(pixels, batch_size=64, verbose=0)
    for (norm, (offset, scale)), answers in zip(norms, found, strict=True):
        _normalize(norm, answers.mean(axis=(0, 1, 2)), answers.var(axis=(0, 1, 2)), offset, scale)


def _normalize(norm: keras.layers.Layer, mean: Array, variance: Array, offset: Array, scale: Array) -> None:
    """Let it answer x / scale + offset to x."""
    norm.set_weights([np.sqrt(variance + norm.epsilon) / scale, offset + mean / scale, mean, variance])


def _weights(graph: Any, constants: Mapping[str, Array], kind: str) -> list[tuple[Array, Array]]:
    """Kernel and offset of every layer of a kind, in the order in which the network was built."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = []
    for node in graph.node:
        if node.op_type == kind and node.input[1] in constants:
            kernel, axis = constants[node.input[1]], 0 if kind == "Conv" else 1
            bias = (
                constants[node.input[2]] if len(node.input) > 2 else np.zeros(kernel.shape[axis], np.float32)
            )
            scale, offset = _scaled_after(readers, constants, node.output[0], bias)
            shape = [-1 if i == axis else 1 for i in range(kernel.ndim)]
            found.append((_order(node.input[1]), (kernel * scale.reshape(shape), offset)))
    return [weights for _, weights in sorted(found, key=lambda item: item[0])]


def _scaled_after(
    readers: Mapping[str, list[Any]], constants: Mapping[str, Array], name: str, bias: Array
) -> tuple[Array, Array]:
    """Scale and offset of every channel of an output, which the exporter may have left as separate steps."""
    scale, offset = np.ones_like(bias), bias
    while len(after := readers.get(name, [])) == 1 and after[0].op_type in ("Mul", "Add"):
        values = [constants[x].ravel() for x in after[0].input if x in constants]
        if not values or values[0].size != bias.size:
            break
        if after[0].op_type == "Mul":
            scale, offset = scale * values[0], offset * values[0]
        else:
            offset = offset + values[0]
        name = after[0].output[0]
    return scale, offset


def _order(name: str) -> tuple[Any, ...]:
    """By the layer's name in that of its kernel: ".../conv2d_9_1/convolution/..." is that of conv2d_9."""
    layer = name.split("/")[2:-1]
    return _natural(re.sub(r"_\d+$", "", layer[-2] if len(layer) > 1 else layer[-1]))


def _place(layer: keras.layers.Layer) -> tuple[Any, ...]:
    return _natural(layer.name)


def _natural(name: str) -> tuple[Any, ...]:
    """ "conv2d" < "conv2d_2" < "conv2d_10"."""
    stem, number = re.fullmatch(r"(.*?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
    return (stem, int(number or 0))
