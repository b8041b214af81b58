"""How a network learns: the stages of a run, the losses, the optimizer and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mien.training.config import TrainConfig


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


def compile_model(model: keras.Model, config: TrainConfig, stage: Stage, steps: int) -> None:
    """Choose what learns, and give the model losses, metrics and a built optimizer.

    Args:
        model: what `build_model` built.
        config: the settings.
        stage: of the run.
        steps: in an epoch.
    """
    for layer in model.layers:
        # Batch normalization that does not learn keeps its statistics, too.
        layer.trainable = not stage.frozen or layer.name in model.output_names
    total = (stage.last - stage.first) * steps
    optimizer = _optimizer(config, _learning_rate(config, stage, steps), total)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    # Keras sorts the names of outputs: the dataset's own labels need not come first.
    others = [head for head in model.output_names if head == "ferplus"]
    (first,) = (head for head in model.output_names if head != "ferplus")
    model.compile(
        optimizer,
        loss={
            first: keras.losses.CategoricalCrossentropy(True, label_smoothing=config.label_smoothing),
            **{head: keras.losses.CategoricalCrossentropy(True) for head in others},
        },
        loss_weights={first: 1.0, **dict.fromkeys(others, config.ferplus_weight)},
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
