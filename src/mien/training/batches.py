"""What a network is shown: the batches of pictures with their targets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mien._core.parallel import THREADS, map_chunks
from mien.data.dataset import Split
from mien.training.augmentation import augment, center_view, mixup_pairs
from mien.training.config import TrainConfig
from mien.training.distill import DistillationTargets, SoftLabels
from mien.training.targets import Heads, targets_for

Batch = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]
"""Pixels (n, view, view, 1) in 0 to 255; per head the targets (n, labels); per head the weights (n,)."""

VALIDATION_BATCH = 256

FEW = 50
"""Fewer images than this say too little about how sure a model may be."""


def training_batches(
    split: Split, heads: Heads, config: TrainConfig, first_epoch: int, last_epoch: int | None = None
) -> Iterator[Batch]:
    """The batches of the epochs from `first_epoch` to before `last_epoch`; each depends on seed, epoch and place alone.

    So a resumed run sees what the uninterrupted one would have seen. Threads prepare some batches ahead:
    OpenCV frees the interpreter while it works.
    """
    importance = class_weights(split, heads, config)
    first = next(iter(heads))
    soft = soft_labels(split, heads, config)
    lesson = (
        None
        if soft is None
        else DistillationTargets(
            soft, split.images, config.distillation, config.label_share, config.unlabelled_confidence
        )
    )

    def make(job: tuple[int, int, NDArray[np.int64]]) -> Batch:
        epoch, step, rows = job
        rng = np.random.default_rng([config.seed, epoch, step])
        targets = targets_for(split, heads, config.label_share, rows)
        # Before mixup, so each part of a mixed picture counts by its own class.
        targets[first] = targets[first] * importance
        images = split.images[rows]
        if lesson is not None:
            # The last epochs see the pictures as they are, which is the first view.
            view = 0 if _is_plain(epoch, config) else epoch % lesson.views
            images, targets = lesson.apply(view, rows, targets)
        return _training_batch(images, targets, rng, config, epoch)

    jobs = ([job] for job in _jobs(split, config, first_epoch, last_epoch))
    with closing(map_chunks(make, jobs, threads=min(4, THREADS))) as made:
        for (batch,) in made:
            yield batch


def soft_labels(split: Split, heads: Heads, config: TrainConfig) -> SoftLabels | None:
    """What the settings' teachers think of the pictures of "train"; None without teachers.

    Raises:
        TrainingError: it is of other pictures or heads, or cannot be read.
    """
    if not config.teachers:
        return None
    soft = SoftLabels.load(Path(config.teachers))
    soft.check(split, heads, config.teachers)
    return soft


def steps_per_epoch(n: int, config: TrainConfig, unlabelled: int = 0) -> int:
    """Full batches in `n` pictures with labels; the few left over are others in every epoch. At least one.

    `unlabelled`: how many pictures there are besides, which take a share of every batch.
    """
    return max(1, n // (config.batch_size - _unlabelled_per_batch(n, config, unlabelled)))


def _unlabelled_per_batch(n: int, config: TrainConfig, unlabelled: int) -> int:
    """How many pictures of a batch have no label: so few that an epoch shows each of them once at most."""
    if not unlabelled or not config.unlabelled_share:
        return 0
    share = min(config.unlabelled_share, unlabelled / (n + unlabelled))
    return min(max(1, int(share * config.batch_size)), config.batch_size - 1)


def size_of_view(config: TrainConfig, epoch: int) -> int:
    """Side in pixels of what the network is shown in an epoch, counted from 0."""
    return min(config.low_res_view, config.view) if epoch < config.low_res_epochs else config.view


def class_weights(split: Split, heads: Heads, config: TrainConfig) -> NDArray[np.float32]:
    """How much each of the dataset's labels counts in the loss: (labels,), 1 on average over the pictures.

    A label without pictures has the weight 0.
    """
    labels = len(next(iter(heads.values())))
    if config.class_weights == "none":
        return np.ones(labels, np.float32)
    counts = split.class_counts(labels)
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, split.labelled / (present * np.maximum(counts, 1)), 0)
    return weights.astype(np.float32)


def _jobs(
    split: Split, config: TrainConfig, first_epoch: int, last_epoch: int | None
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Epoch, step and rows of every batch, those without a label last; without a `last_epoch` there is no end."""
    labelled, others = np.flatnonzero(split.targets >= 0), np.flatnonzero(split.targets < 0)
    n, without = len(labelled), _unlabelled_per_batch(len(labelled), config, len(others))
    size = config.batch_size - without
    for epoch in count(first_epoch) if last_epoch is None else range(first_epoch, last_epoch):
        rng = np.random.default_rng([config.seed, epoch])
        order = labelled[rng.permutation(n)]
        shuffled = others[rng.permutation(len(others))]
        for step in range(steps_per_epoch(n, config, len(others))):
            rows = order[step * size : (step + 1) * size]
            if without:
                # Round again only where there are fewer than steps.
                more = np.arange(step * without, (step + 1) * without) % len(others)
                rows = np.concatenate([rows, shuffled[more]])
            yield epoch, step, rows


def _is_plain(epoch: int, config: TrainConfig) -> bool:
    return epoch >= config.epochs - config.clean_epochs


def _training_batch(
    images: NDArray[np.uint8],
    targets: dict[str, NDArray[np.float32]],
    rng: np.random.Generator,
    config: TrainConfig,
    epoch: int,
) -> Batch:
    settings = config.augmentation
    if _is_plain(epoch, config):
        settings = settings.mild()
    pixels = augment(images, rng, settings, config.view, size_of_view(config, epoch))
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

    def __init__(self, split: Split, heads: Heads, config: TrainConfig, size: int) -> None:
        super().__init__()
        self._split, self._heads, self._config, self._size = split, heads, config, size

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-len(self._split) // VALIDATION_BATCH)

    def __getitem__(self, index: int) -> Batch:
        """The batch of that number; the last one may be smaller."""
        rows = slice(index * VALIDATION_BATCH, (index + 1) * VALIDATION_BATCH)
        pixels = center_view(self._split.images[rows], self._config.view, self._size)
        return as_batch(pixels, targets_for(self._split, self._heads, self._config.label_share, rows))
