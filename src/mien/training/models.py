"""Networks, by name. A new one is one function from pixels to features, and a line in `NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import layers

Tensor = Any

# Mean and standard deviation of FER2013's training pixels.
PIXEL_MEAN, PIXEL_STD = 0.508 * 255, 0.255 * 255


def build_model(network: str, heads: Mapping[str, int], *, dropout: float = 0.3) -> keras.Model:
    """A network with one classification head a label set.

    Args:
        network: a key of `NETWORKS`.
        heads: head name -> number of labels.
        dropout: share of the features that are dropped before the heads while training.

    Returns:
        A Keras model from (n, h, w, 1) float32 pixels, 0 to 255, to a dict head -> (n, labels) logits.

    Raises:
        ValueError: there is no such network.
    """
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}: expected one of {', '.join(NETWORKS)}")
    pixels = keras.Input((None, None, 1), name="pixels")
    x = layers.Rescaling(1 / PIXEL_STD, -PIXEL_MEAN / PIXEL_STD)(pixels)
    x = layers.Dropout(dropout)(NETWORKS[network](x))
    outputs = {name: layers.Dense(labels, name=name)(x) for name, labels in heads.items()}
    return keras.Model(pixels, outputs, name=network)


def mien_s(x: Tensor) -> Tensor:
    """A narrow ResNet: 2.7 M parameters, 54 million multiply-adds at 44 x 44 pixels.

    He et al., arXiv 1512.03385, with a stem that keeps the small picture's detail (3x3, stride 1).
    """
    x = _convolution(x, 32)
    x = layers.MaxPooling2D(2)(x)
    for filters, stride in ((32, 1), (64, 2), (128, 2), (128, 1), (256, 2), (256, 1)):
        x = _residual_block(x, filters, stride)
    return layers.GlobalAveragePooling2D()(x)


NETWORKS: dict[str, Callable[[Tensor], Tensor]] = {"mien-s": mien_s}


def _residual_block(x: Tensor, filters: int, stride: int) -> Tensor:
    y = _convolution(x, filters, stride=stride)
    y = _convolution(y, filters, activate=False)
    if stride != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, kernel=1, stride=stride, activate=False)
    return layers.ReLU()(layers.Add()([x, y]))


def _convolution(
    x: Tensor, filters: int, *, kernel: int = 3, stride: int = 1, activate: bool = True
) -> Tensor:
    x = layers.Conv2D(
        filters, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.ReLU()(x) if activate else x
