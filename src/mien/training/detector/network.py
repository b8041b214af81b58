"""The face detector's network: one pass over a picture of any size, three grids of answers.

Depthwise-separable convolutions (Howard et al., arXiv 1704.04861) at strides 8, 16 and 32, a top-down path between
them (Lin et al., arXiv 1612.03144), and anchor-free heads: every cell answers for itself whether a face's middle is
near, its box and its five landmarks (Tian et al., arXiv 1904.01355; Ge et al., arXiv 2107.08430).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from mien.faces.grid import OUTPUTS, STRIDES
from mien.training.devices import precision
from mien.training.networks import policy

Tensor = Any

MAX_PARAMETERS = 245_000

# Filters of the stages of stride 2, 4, 8, 16 and 32, and how many blocks each has. The first cost most and see least.
_FILTERS = (16, 32, 64, 128, 176)
_BLOCKS = (0, 2, 3, 3, 3)
_NECK = 64
_PRIOR = 0.01  # what a cell says of itself before it has learned anything: few are faces


def build_detector(*, mixed_precision: bool = False) -> keras.Model:
    """The network of the face detector.

    Args:
        mixed_precision: compute in bfloat16 except the outputs, where the machine can (`precision`); the weights are
            still float32.

    Returns:
        A Keras model from (n, height, width, 3) RGB pixels, 0 to 255, height and width multiples of 32, to
        (n, cells, 15) float32, the cells in the order of `mien.faces.grid.cell_grid`: the logit of the score, the
        box and the landmarks as `mien.faces.grid.decode` reads them.
    """
    with policy(precision(mixed=mixed_precision)):
        pixels = keras.Input((None, None, 3), name="pixels")
        x = layers.Rescaling(1 / 64, -2)(pixels)
        x = _normalised(layers.Conv2D(_FILTERS[0], 3, strides=2, padding="same", use_bias=False)(x))
        stages: list[Tensor] = []
        for filters, blocks in zip(_FILTERS[1:], _BLOCKS[1:], strict=True):
            x = _separable(x, filters, stride=2)
            for _ in range(blocks - 1):
                # A wide view costs little on the coarse grids, and there the faces are large.
                x = _block(x, kernel=5 if len(stages) > 1 else 3)
            stages.append(x)
        levels = _top_down(stages[-len(STRIDES) :])
        answers = [_head(level, stride) for level, stride in zip(levels, STRIDES, strict=True)]
        outputs = layers.Concatenate(axis=1, dtype="float32", name="cells")(answers)
        return keras.Model(pixels, outputs, name="mien-detector")


def _top_down(stages: list[Tensor]) -> list[Tensor]:
    """What the coarse grids know of the surroundings, added to the fine ones."""
    levels: list[Tensor] = []
    for stage in reversed(stages):
        x = _normalised(layers.Conv2D(_NECK, 1, use_bias=False)(stage))
        if levels:
            x = layers.Add()([x, layers.UpSampling2D(2)(levels[0])])
            x = _separable(x, _NECK)
        levels.insert(0, x)
    return levels


def _head(x: Tensor, stride: int) -> Tensor:
    """The output of one grid, (n, cells, 15). Each has its own head, because cells see different scales."""
    x = _separable(_block(x, kernel=3), _NECK)
    start = keras.initializers.RandomNormal(stddev=0.01)
    bias = np.zeros(OUTPUTS, np.float32)
    bias[0] = np.log(_PRIOR / (1 - _PRIOR))
    x = layers.Conv2D(
        OUTPUTS,
        1,
        kernel_initializer=start,
        bias_initializer=keras.initializers.Constant(bias.tolist()),
        name=f"head{stride}",
    )(x)
    return layers.Reshape((-1, OUTPUTS))(x)


def _block(x: Tensor, *, kernel: int) -> Tensor:
    """A residual separable convolution."""
    return layers.Add()([x, _separable(x, x.shape[-1], kernel=kernel)])


def _separable(x: Tensor, filters: int, *, stride: int = 1, kernel: int = 3) -> Tensor:
    x = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=0.97, epsilon=1e-4)(x)
    return _normalised(layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal")(x))


def _normalised(x: Tensor) -> Tensor:
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97, epsilon=1e-4)(x))
