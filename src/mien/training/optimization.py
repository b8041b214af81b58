"""How a network learns: the stages of a run, the losses, the optimizer and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mien.training.config import TrainConfig
from mien.training.targets import EXPRESSION


@dataclass(frozen=True)
class Stage:
    """Some epochs in a row with one optimizer.

    Attributes:
        first: epochs done before it.
        last: epochs done after it.
        learning_rate: a number, or a schedule's peak.
        frozen: whether the heads alone learn.
    """

    first: int
    last: int
    learning_rate: float
    frozen: bool = False


def stages(config: TrainConfig) -> list[Stage]:
    """The run's stages: from trained weights first the heads alone, then all layers."""
    frozen = config.head_epochs if config.starts_trained else 0
    whole = Stage(frozen, config.epochs, config.learning_rate)
    return [Stage(0, frozen, config.head_learning_rate, frozen=True), whole] if frozen else [whole]


class LogitAdjusted(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """Cross-entropy of logits to which the logarithms of the label frequencies are added.

    So the network learns what speaks for a label beside its frequency, and rare labels weigh as much as frequent ones.
    Menon et al., *Long-tail learning via logit adjustment*, arXiv 2007.07314.

    Args:
        frequencies: (labels,), sums to 1.
        strength: 1 for the frequencies as they are, 0 for none: plain cross-entropy.
    """

    def __init__(self, frequencies: NDArray[np.float32], strength: float) -> None:
        super().__init__(name="logit_adjusted")
        self._offset = (strength * np.log(frequencies)).astype(np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every row: (n, labels) shares and logits -> (n,)."""
        return keras.losses.categorical_crossentropy(y_true, y_pred + self._offset, from_logits=True)


def compile_model(
    model: keras.Model,
    config: TrainConfig,
    stage: Stage,
    steps: int,
    frequencies: NDArray[np.float32] | None = None,
) -> None:
    """Choose what learns, and give the model losses, metrics and a built optimizer.

    Args:
        model: what `build_model` built.
        config: the settings.
        stage: of the run.
        steps: in an epoch.
        frequencies: of the labels of the head `EXPRESSION`, if there is one: (labels,).
    """
    for layer in model.layers:
        # Batch normalization that does not learn keeps its statistics, too.
        layer.trainable = not stage.frozen or layer.name in model.output_names
    total = (stage.last - stage.first) * steps
    optimizer = _optimizer(config, _learning_rate(config, stage, steps), total)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    cross_entropy = keras.losses.CategoricalCrossentropy
    losses: dict[str, Any] = {}
    for head in model.output_names:
        if head == EXPRESSION and frequencies is not None:
            losses[head] = LogitAdjusted(frequencies, config.logit_adjustment)
        elif head in ("ferplus", EXPRESSION):
            losses[head] = cross_entropy(True)
        else:
            losses[head] = cross_entropy(True, label_smoothing=config.label_smoothing)
    weights = {"ferplus": config.ferplus_weight, EXPRESSION: config.expression_weight}
    model.compile(
        optimizer,
        loss=losses,
        loss_weights={head: weights.get(head, 1.0) for head in losses},
        weighted_metrics={
            head: [keras.metrics.CategoricalAccuracy(name="accuracy")] for head in model.output_names
        },
        # XLA on the CPU is slower than TensorFlow's own kernels.
        jit_compile=keras.backend.backend() == "jax",
    )
    model.optimizer.build(model.trainable_variables)
    _build_loss(model)


def _build_loss(model: keras.Model) -> None:
    """Compute the loss once, so that it has its variables.

    Keras makes those of several outputs otherwise inside of the first step, which TensorFlow then traces twice: seconds
    of a short run (findings/keras-traces-the-first-training-step-twice.sh).
    """
    outputs = zip(model.output_names, model.outputs, strict=True)
    zeros = {name: np.zeros((1, output.shape[-1]), np.float32) for name, output in outputs}
    model.compute_loss(y=zeros, y_pred=zeros)


def _learning_rate(config: TrainConfig, stage: Stage, steps: int) -> Any:
    """A number, or a schedule over the steps of the stage."""
    warmup = 0 if stage.frozen else config.warmup_epochs * steps
    if stage.frozen or (config.schedule == "constant" and not warmup):
        return stage.learning_rate
    rest = max(1, (stage.last - stage.first) * steps - warmup)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else stage.learning_rate,
        decay_steps=rest,
        alpha=0.0 if config.schedule == "cosine" else 1.0,
        warmup_target=stage.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def _optimizer(config: TrainConfig, learning_rate: Any, total: int) -> keras.optimizers.Optimizer:
    common: dict[str, Any] = {"learning_rate": learning_rate, "weight_decay": config.weight_decay or None}
    if config.ema_momentum:
        longest = max(0.0, 1 - 20 / total)
        common |= {"use_ema": True, "ema_momentum": min(config.ema_momentum, longest)}
    kinds: Mapping[str, Any] = {
        "sgd": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True, **common),
        "adam": lambda: keras.optimizers.Adam(**common),
        "adamw": lambda: keras.optimizers.AdamW(**{**common, "weight_decay": config.weight_decay}),
    }
    return kinds[config.optimizer]()
