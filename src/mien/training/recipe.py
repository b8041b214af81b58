"""What a run is made of: `TrainConfig`, and the batches, targets and optimizer that follow from it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from mien.datasets import Dataset, Split
from mien.emotions import FERPLUS_LABELS, LABELS
from mien.errors import DatasetError
from mien.ferplus import vote_shares
from mien.training.augmentation import Augmentation, augment, center_view, mixup_pairs
from mien.training.models import NETWORKS

Batch = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]
"""Pixels (n, view, view, 1) in 0 to 255; per head the targets (n, labels); per head the weights (n,)."""

Heads = dict[str, tuple[str, ...]]
"""Head -> its labels; the head of the dataset's own labels comes first."""

Rows: TypeAlias = slice | NDArray[np.int64]

VALIDATION_BATCH = 256


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the defaults are those of the shipped model.

    Attributes:
        network: a key of `mien.training.models.NETWORKS`.
        epochs: passes over the training split.
        batch_size: pictures a step.
        learning_rate: its peak, after `warmup_epochs`; it then falls to 0 along a cosine.
        weight_decay: decoupled, a step shrinks a weight by learning rate times this.
        label_smoothing: share of the target spread over all labels (dataset's labels only).
        ferplus_weight: weight of the FER+ head's loss against the label's loss.
        dropout: share of features dropped before the heads.
        average: momentum of the running average of the weights that is kept in the end; less in a short run,
            so that the average never reaches back further than a twentieth of it.
        plain_epochs: the last epochs, without mixing and erasing.
        view: side of the square in pixels that the network sees of a 48x48 picture.
        seed: of all chance.
    """

    network: str = "mien-s"
    epochs: int = 45
    batch_size: int = 96
    learning_rate: float = 0.12
    warmup_epochs: int = 2
    weight_decay: float = 5e-3
    label_smoothing: float = 0.1
    ferplus_weight: float = 0.6
    dropout: float = 0.3
    average: float = 0.998
    plain_epochs: int = 3
    view: int = 44
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"unknown network {self.network!r}: expected one of {', '.join(NETWORKS)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate={self.learning_rate}: expected a positive number")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}={value}: expected {low} to {high}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the run's JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The settings that `to_dict` wrote."""
        return cls(**{**values, "augmentation": Augmentation(**values["augmentation"])})


_LIMITS = {
    "epochs": (1, 100_000),
    "batch_size": (2, 100_000),
    "warmup_epochs": (0, 100_000),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.99),
    "ferplus_weight": (0, 100),
    "dropout": (0, 0.99),
    "average": (0, 0.999999),
    "plain_epochs": (0, 100_000),
    "view": (16, 48),
    "seed": (0, 2**32 - 1),
}


def heads_for(dataset: Dataset) -> Heads:
    """The heads a dataset can teach, the one of its own labels first: head -> labels."""
    train = dataset.split("train")
    first = "fer2013" if dataset.is_fer2013 else "labels"
    heads: Heads = {first: dataset.labels}
    if dataset.labels == LABELS and train.votes is not None:
        heads["ferplus"] = FERPLUS_LABELS
    return heads


def hold_out(dataset: Dataset, seed: int) -> Dataset:
    """The dataset with a tenth of every class of "train" set aside as "validation", chosen by the seed."""
    train = dataset.split("train")
    rng = np.random.default_rng(seed)
    held = np.zeros(len(train), bool)
    for label in range(len(dataset.labels)):
        rows = rng.permutation(np.flatnonzero(train.targets == label))
        held[rows[: max(1, len(rows) // 10)]] = len(rows) > 1
    if not held.any():
        raise DatasetError(f"{dataset.name}: {len(train)} images: too few to hold some out for validation")
    return replace(
        dataset, splits=dataset.splits | {"train": train.take(~held), "validation": train.take(held)}
    )


def targets_for(split: Split, heads: Heads, rows: Rows = slice(None)) -> dict[str, NDArray[np.float32]]:
    """Targets of every head, (n, labels) each; a row of zeros where an image teaches a head nothing.

    Of all rows, or of some: a slice or indices (n,).
    """
    first, *others = heads
    labels = split.targets[rows]
    targets = {first: np.eye(len(heads[first]), dtype=np.float32)[labels]}
    if others:
        no_votes = np.zeros((len(labels), len(FERPLUS_LABELS)), np.float32)
        targets["ferplus"] = no_votes if split.votes is None else vote_shares(split.votes[rows])
    return targets


def training_batches(split: Split, heads: Heads, config: TrainConfig, first_epoch: int) -> Iterator[Batch]:
    """Batches without end, from `first_epoch` on; each depends on seed, epoch and place alone.

    So a resumed run sees what the uninterrupted one would have seen. Threads prepare some batches ahead:
    OpenCV frees the interpreter while it works.
    """
    workers = min(4, os.cpu_count() or 1)

    def make(job: tuple[int, int, NDArray[np.int64]]) -> Batch:
        epoch, step, rows = job
        rng = np.random.default_rng([config.seed, epoch, step])
        return _training_batch(split.images[rows], targets_for(split, heads, rows), rng, config, epoch)

    with ThreadPoolExecutor(workers) as pool:
        ahead = []
        for job in _jobs(len(split), config, first_epoch):
            ahead.append(pool.submit(make, job))
            if len(ahead) > 2 * workers:
                yield ahead.pop(0).result()


def steps_per_epoch(n: int, config: TrainConfig) -> int:
    """Full batches in `n` pictures; the few left over are others in every epoch. At least one."""
    return max(1, n // config.batch_size)


def _jobs(n: int, config: TrainConfig, first_epoch: int) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    epoch = first_epoch
    while True:
        order = np.random.default_rng([config.seed, epoch]).permutation(n)
        for step in range(steps_per_epoch(n, config)):
            yield epoch, step, order[step * config.batch_size : (step + 1) * config.batch_size]
        epoch += 1


def _training_batch(
    images: NDArray[np.uint8],
    targets: dict[str, NDArray[np.float32]],
    rng: np.random.Generator,
    config: TrainConfig,
    epoch: int,
) -> Batch:
    settings = config.augmentation
    if epoch >= config.epochs - config.plain_epochs:
        settings = Augmentation(**{**asdict(settings), "mixup": 0, "erasing": 0})
    pixels = augment(images, rng, settings, config.view)
    partner, share = mixup_pairs(len(images), rng, settings.mixup)
    pixels = share * pixels + (1 - share) * pixels[partner]
    mixed = {head: share * t + (1 - share) * t[partner] for head, t in targets.items()}
    return as_batch(pixels, mixed)


def as_batch(pixels: NDArray[np.float32], targets: dict[str, NDArray[np.float32]]) -> Batch:
    """Pictures (n, view, view) and targets as Keras takes them; a row's weight is the sum of its target."""
    weights = {head: t.sum(axis=1) for head, t in targets.items()}
    shares = {h: t / np.maximum(weights[h], 1e-6)[:, None] for h, t in targets.items()}
    return pixels[..., None].astype(np.float32), shares, weights


class ValidationBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """A whole split, unchanged, in its order: batch `i` is made when it is asked for."""

    def __init__(self, split: Split, heads: Heads, config: TrainConfig) -> None:
        super().__init__()
        self._split, self._heads, self._view = split, heads, config.view

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-len(self._split) // VALIDATION_BATCH)

    def __getitem__(self, index: int) -> Batch:
        """The batch of that number; the last one may be smaller."""
        rows = slice(index * VALIDATION_BATCH, (index + 1) * VALIDATION_BATCH)
        pixels = center_view(self._split.images[rows], self._view)
        return as_batch(pixels, targets_for(self._split, self._heads, rows))


def compile_model(model: keras.Model, config: TrainConfig, steps: int) -> None:
    """Losses, metrics and optimizer of the recipe. `steps` is the number of steps in an epoch."""
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if config.warmup_epochs else config.learning_rate,
        decay_steps=max(1, (config.epochs - config.warmup_epochs) * steps),
        warmup_target=config.learning_rate if config.warmup_epochs else None,
        warmup_steps=config.warmup_epochs * steps,
    )
    longest = max(0.0, 1 - 20 / (config.epochs * steps))
    optimizer = keras.optimizers.SGD(
        schedule,
        momentum=0.9,
        nesterov=True,
        weight_decay=config.weight_decay,
        use_ema=True,
        ema_momentum=min(config.average, longest),
    )
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
        jit_compile=keras.backend.backend()
        == "jax",  # XLA on the CPU is slower than TensorFlow's own kernels
    )
