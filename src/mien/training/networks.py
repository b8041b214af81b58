"""Networks, by name. A new one is one function from pixels to features, and a line in `NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
from keras import layers

from mien.training.devices import precision
from mien.training.pretrained.efficientnet import efficientnet_lite
from mien.training.pretrained.face_resnet import face_resnet
from mien.training.pretrained.load import load_pretrained

Tensor = Any

# Mean and standard deviation of FER2013's training pixels.
PIXEL_MEAN, PIXEL_STD = 0.508 * 255, 0.255 * 255


def build_model(
    network: str,
    heads: Mapping[str, int],
    *,
    view: int | None = 44,
    dropout: float = 0.3,
    weights: str = "none",
    mixed_precision: bool = False,
) -> keras.Model:
    """A network with one classification head a label set.

    Args:
        network: a key of `NETWORKS`.
        heads: head name -> number of labels.
        view: height and width of the pictures in pixels; None for any, except for the networks in `FIXED_SIZE`.
        dropout: share of the features that are dropped before the heads while training.
        weights: of a pretrained base, where the network has one: "imagenet", "none" or a file.
        mixed_precision: compute in bfloat16 except the heads, where the machine can (`precision`); the weights are
            still float32.

    Returns:
        A Keras model from (n, view, view, 1) float32 pixels, 0 to 255, to a dict head -> (n, labels) logits.

    Raises:
        ValueError: there is no such network.
        SettingsError: there is no such file of weights, or the view is too small for the network.
        TrainingError: the network has no pretrained base, or its weights cannot be had.
    """
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}: expected one of {', '.join(NETWORKS)}")
    with policy(precision(mixed=mixed_precision)):
        pixels = keras.Input((view, view, 1), name="pixels")
        x = layers.Dropout(dropout)(NETWORKS[network](pixels))
        outputs = {
            name: layers.Dense(labels, name=name, dtype="float32")(x) for name, labels in heads.items()
        }
        model = keras.Model(pixels, outputs, name=network)
    if weights != "none":
        load_pretrained(model, weights)
    return model


def mien_s(pixels: Tensor) -> Tensor:
    """A narrow ResNet for small pictures: 1.6 M parameters, 62 million multiply-adds at 44 x 44 pixels.

    He et al., arXiv 1512.03385, with a stem that keeps the small picture's detail (3x3, stride 1, no pooling).
    """
    x = layers.Rescaling(1 / PIXEL_STD, -PIXEL_MEAN / PIXEL_STD)(pixels)
    x = _convolution(x, 32)
    for filters, stride in ((32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2)):
        x = _residual_block(x, filters, stride)
    return layers.GlobalAveragePooling2D()(x)


def mien_pool(pixels: Tensor) -> Tensor:
    """As `mien_s`, but with a max pool after the stem and one block of 256 filters more: 2.7 M parameters."""
    x = layers.Rescaling(1 / PIXEL_STD, -PIXEL_MEAN / PIXEL_STD)(pixels)
    x = _convolution(x, 32)
    x = layers.MaxPooling2D(2)(x)
    for filters, stride in ((32, 1), (64, 2), (128, 2), (128, 1), (256, 2), (256, 1)):
        x = _residual_block(x, filters, stride)
    return layers.GlobalAveragePooling2D()(x)


def mien_l(pixels: Tensor) -> Tensor:
    """ResNet18 with a stem for small pictures: 11.2 M parameters, 1.1 thousand million multiply-adds; for teachers."""
    x = layers.Rescaling(1 / PIXEL_STD, -PIXEL_MEAN / PIXEL_STD)(pixels)
    x = _convolution(x, 64)
    for filters, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        x = _residual_block(x, filters, stride)
    return layers.GlobalAveragePooling2D()(x)


def tutorial_cnn(pixels: Tensor) -> Tensor:
    """The four convolutions of the well-known FER2013 tutorials: 2.3 M parameters, at 48 x 48 pixels."""
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.Dropout(0.25)(layers.MaxPooling2D(2)(x))
    for _ in range(2):
        x = layers.MaxPooling2D(2)(layers.Conv2D(128, 3, activation="relu")(x))
    x = layers.Flatten()(layers.Dropout(0.25)(x))
    return layers.Dense(1024, activation="relu")(x)


def resnet50(pixels: Tensor) -> Tensor:
    """ResNet50 of keras.applications without its top: 23.6 M parameters (He et al., arXiv 1512.03385)."""
    height, width = pixels.shape[1:3]
    # As ImageNet's weights expect them: three channels, of each the mean of ImageNet taken away.
    channels = [layers.Rescaling(1, -mean)(pixels) for mean in (103.939, 116.779, 123.68)]
    base = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(height, width, 3), pooling="avg"
    )
    return base(layers.Concatenate()(channels))


NETWORKS: dict[str, Callable[[Tensor], Tensor]] = {
    "mien-s": mien_s,
    "mien-pool": mien_pool,
    "mien-l": mien_l,
    "tutorial-cnn": tutorial_cnn,
    "resnet50": resnet50,
    "efficientnet-lite0": partial(efficientnet_lite, width=1.0, depth=1.0),
    "efficientnet-lite1": partial(efficientnet_lite, width=1.0, depth=1.1),
    "efficientnet-lite2": partial(efficientnet_lite, width=1.1, depth=1.2),
    "face-resnet": face_resnet,
}

FIXED_SIZE = ("tutorial-cnn", "resnet50", "face-resnet")
"""Networks that are built for one size of picture."""


@contextmanager
def policy(name: str) -> Iterator[None]:
    """The precision of the layers that are made meanwhile, also inside keras.applications."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


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
