"""The ResNet of dlib that tells people apart: its weights have seen three million faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import Model, layers, ops
from numpy.typing import NDArray

from mien.errors import SettingsError

Tensor = Any

ENLARGED = 3
"""How many times larger the network sees a face: it was made for pictures of 150 pixels, faces have 44."""

SMALLEST = 35
"""Side of the smallest view: of a smaller one, nothing is left for the last filters."""

_CHANNEL_MEANS = np.array([122.782, 117.001, 104.298])  # red, green, blue
_PIXEL_MEAN, _PIXEL_RANGE = float(_CHANNEL_MEANS.mean()), 255.0

_STEM = "conv32_down"
_BLOCKS = {  # filters -> blocks, by the names in the file
    32: ("1", "2", "3"),
    64: ("down", "1", "2", "3"),
    128: ("down", "1", "2"),
    256: ("down", "1", "2", "down_out"),
}


def face_resnet(pixels: Tensor) -> Tensor:
    """dlib's face recognition network from (n, view, view, 1) grey pixels, 0 to 255, to (n, 256) features.

    A ResNet of 29 convolutions, 5.6 M parameters: dlib_face_recognition_resnet_model_v1 of Davis King, in the form of
    face-api.js, without its last layer. A convolution's scale and shift are a batch normalization here, so that
    it can be trained. The layers that have weights are a model of their own, nested in what uses it.

    Raises:
        SettingsError: the view is too small.
    """
    if pixels.shape[1] < SMALLEST:
        raise SettingsError(f"view={pixels.shape[1]}: expected at least {SMALLEST} pixels for face-resnet")
    x = layers.UpSampling2D(ENLARGED, interpolation="bilinear")(pixels)
    x = layers.Rescaling(1 / _PIXEL_RANGE, -_PIXEL_MEAN / _PIXEL_RANGE)(x)
    return layers.GlobalAveragePooling2D()(_base(x.shape[1:3])(x))


def fill_face_resnet(base: Model, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Give the base the weights of face-api's file; it answers as the original does, batch normalization included.

    Args:
        base: the model nested in what `face_resnet` gave.
        arrays: name in the file -> numbers.

    Raises:
        KeyError: an array is missing.
        ValueError: one has another shape.
    """
    for layer in (layer for layer in base.layers if isinstance(layer, layers.Conv2D)):
        home = layer.name.replace("_conv", "/conv")
        factor = arrays[f"{home}/scale/weights"]
        filters = arrays[f"{home}/conv/filters"] * factor
        shift = arrays[f"{home}/conv/bias"] * factor + arrays[f"{home}/scale/biases"]
        if layer.name == _STEM:
            filters, shift = _for_grey(filters, shift)
        layer.set_weights([filters])
        norm = base.get_layer(_norm_of(layer.name))
        one = np.ones_like(shift)
        norm.set_weights([one * np.sqrt(1 + norm.epsilon), shift, 0 * one, one])


def set_statistics(model: Model, pixels: NDArray[np.float32]) -> None:
    """Let batch normalization know what its convolutions give for some faces; the network's answers stay the same.

    Without it, the first steps of training would see features of quite another size than the weights were made for.

    Args:
        model: what `build_model` built of this network.
        pixels: (n, view, view, 1) faces, 0 to 255.
    """
    place = next(place for place, layer in enumerate(model.layers) if isinstance(layer, Model))
    base = model.layers[place]
    norms = [layer for layer in base.layers if isinstance(layer, layers.BatchNormalization)]
    moments = Model(base.input, [ops.moments(ops.cast(norm.input, "float32"), axes=(1, 2)) for norm in norms])
    of_faces = Model(model.input, moments(model.layers[place - 1].output))
    found = of_faces.predict(pixels, batch_size=64, verbose=0)
    for norm, (means, variances) in zip(norms, found, strict=True):
        mean, variance = means.mean(axis=0), np.maximum(variances, 0).mean(axis=0) + means.var(axis=0)
        gamma, beta, old_mean, old_variance = norm.get_weights()
        factor = gamma / np.sqrt(old_variance + norm.epsilon)
        gamma = factor * np.sqrt(variance + norm.epsilon)
        norm.set_weights([gamma, beta + factor * (mean - old_mean), mean, variance])


def _for_grey(
    filters: NDArray[np.floating[Any]], shift: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """The stem's filters for one channel instead of three that are the same but for the mean taken off each.

    It has no padding, so what the means differ by adds the same everywhere.
    """
    of_means = np.einsum("hwco,c->o", filters, (_PIXEL_MEAN - _CHANNEL_MEANS) / _PIXEL_RANGE)
    return filters.sum(axis=2, keepdims=True), shift + of_means.astype(np.float32)


def _base(size: tuple[int, int]) -> Model:
    inputs = layers.Input((*size, 1))
    x = layers.ReLU()(_convolution(inputs, 32, 7, 2, _STEM))
    x = layers.MaxPooling2D(3, 2)(x)
    for filters, blocks in _BLOCKS.items():
        for block in blocks:
            x = _block(x, filters, f"conv{filters}_{block}", down=block.startswith("down"))
    return Model(inputs, x, name="face_resnet")


def _block(x: Tensor, filters: int, name: str, *, down: bool) -> Tensor:
    y = layers.ReLU()(_convolution(x, filters, 3, 2 if down else 1, f"{name}_conv1"))
    y = _convolution(y, filters, 3, 1, f"{name}_conv2")
    if down:
        x = layers.AveragePooling2D(2)(x)
        x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])))
        lower, right = (ours - theirs for ours, theirs in zip(x.shape[1:3], y.shape[1:3], strict=True))
        y = layers.ZeroPadding2D(((0, lower), (0, right)))(y)
    return layers.ReLU()(layers.Add()([x, y]))


def _convolution(x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=_norm_of(name))(x)


def _norm_of(convolution: str) -> str:
    return f"{convolution}_norm"
