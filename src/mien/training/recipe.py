"""What a network is shown: the heads that a dataset can teach, their targets, and the batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from mien.datasets import Dataset, Split
from mien.duplicates import digests, has_copy, has_version
from mien.emotions import FERPLUS_LABELS, LABELS
from mien.errors import DatasetError
from mien.ferplus import vote_shares
from mien.training.augmentation import augment, center_view, mixup_pairs
from mien.training.config import TrainConfig
from mien.training.distill import Lesson, SoftLabels

Batch = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]
"""Pixels (n, view, view, 1) in 0 to 255; per head the targets (n, labels); per head the weights (n,)."""

Heads = dict[str, tuple[str, ...]]
"""Head -> its labels; the head of the dataset's own labels comes first."""

Rows: TypeAlias = slice | NDArray[np.int64]

VALIDATION_BATCH = 256

FEW = 50
"""Fewer images than this say too little about how sure a model may be."""


def heads_for(dataset: Dataset, *, votes: bool = True) -> Heads:
    """The heads a dataset can teach, the one of its own labels first: head -> labels.

    `votes`: whether the FER+ votes, where there are any, are to be taught as well.
    """
    train = dataset.split("train")
    first = "fer2013" if dataset.is_fer2013 else "labels"
    heads: Heads = {first: dataset.labels}
    if votes and dataset.labels == LABELS and train.votes is not None:
        heads["ferplus"] = FERPLUS_LABELS
    return heads


def hold_out(dataset: Dataset) -> Dataset:
    """The dataset with a tenth of every class of "train" set aside as "validation", chosen by a digest of the pixels.

    So all runs on the same data hold out the same images, teachers and students too. An image with an identical copy
    that stays in "train" stays there as well: it would be known.
    """
    train = dataset.split("train")
    places = _digest_places(train.images, b"validation")
    held = np.zeros(len(train), bool)
    for label in range(len(dataset.labels)):
        rows = np.flatnonzero(train.targets == label)
        rows = rows[np.argsort(places[rows], kind="stable")]
        held[rows[: max(1, len(rows) // 10)]] = len(rows) > 1
    held[held] = ~has_copy(train.images[held], train.images[~held])
    if not held.any():
        raise DatasetError(f"{dataset.name}: {len(train)} images: too few to hold some out for validation")
    return replace(
        dataset, splits=dataset.splits | {"train": train.take(~held), "validation": train.take(held)}
    )


def split_up(dataset: Dataset, config: TrainConfig) -> Dataset:
    """The dataset with what a run by these settings trains on as "train", and what it is scored on as "validation".

    Where the settings ask for it, and it has 50 images at least, there is a further split "calibration".

    Raises:
        DatasetError: too few images.
    """
    if "validation" not in dataset.splits:
        dataset = hold_out(dataset)
    if config.limit:
        few = {name: split.take(_spread(len(split), config.limit)) for name, split in dataset.splits.items()}
        dataset = replace(dataset, splits=few)
    if not config.held_back:
        return dataset
    training, calibration = hold_back(dataset.split("train"), config.held_back)
    if len(calibration) < FEW:
        return dataset
    # Of a photograph that was trained on in another version, a model is surer than of a new one.
    new = ~has_version(calibration.images, training.images)
    if np.count_nonzero(new) >= FEW:
        calibration = calibration.take(new)
    return replace(dataset, splits=dataset.splits | {"train": training, "calibration": calibration})


def _spread(n: int, limit: int) -> NDArray[np.bool_]:
    """(n,) true at `limit` places all over: the rows of a tree of folders are ordered by class."""
    chosen = np.zeros(n, bool)
    chosen[np.linspace(0, n - 1, min(n, limit)).astype(int)] = True
    return chosen


def hold_back(split: Split, share: float) -> tuple[Split, Split]:
    """A split in two, to train on and to calibrate with: the latter about that share of it.

    Which part an image belongs to is told by a digest of its pixels: so identical copies stay together, and
    all runs on the same data, with whatever seed, hold back the same images. Teachers and students need that.
    """
    places = _digest_places(split.images)
    return split.take(places >= share), split.take(places < share)


def _digest_places(images: NDArray[np.uint8], salt: bytes = b"") -> NDArray[np.float64]:
    """A number in [0, 1) for every picture, (n,), that depends on its pixels alone."""
    return np.asarray(digests(images, salt) / 2**64, np.float64)


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


def training_batches(
    split: Split, heads: Heads, config: TrainConfig, first_epoch: int, last_epoch: int | None = None
) -> Iterator[Batch]:
    """The batches of the epochs from `first_epoch` to before `last_epoch`; each depends on seed, epoch and place alone.

    So a resumed run sees what the uninterrupted one would have seen. Threads prepare some batches ahead:
    OpenCV frees the interpreter while it works.
    """
    importance = class_weights(split, heads, config)
    first = next(iter(heads))
    workers = min(4, os.cpu_count() or 1)
    soft = soft_labels(split, heads, config)
    lesson = None if soft is None else Lesson(soft, split.images, config.distillation)

    def make(job: tuple[int, int, NDArray[np.int64]]) -> Batch:
        epoch, step, rows = job
        rng = np.random.default_rng([config.seed, epoch, step])
        targets = targets_for(split, heads, rows)
        # Before mixing, so that each half of a mixed picture counts by its own class.
        targets[first] = targets[first] * importance
        images = split.images[rows]
        if lesson is not None:
            # The last epochs see the pictures as they are, which is the first view.
            view = 0 if _is_plain(epoch, config) else epoch % lesson.views
            images, targets = lesson.apply(view, rows, targets)
        return _training_batch(images, targets, rng, config, epoch)

    with ThreadPoolExecutor(workers) as pool:
        ahead = []
        for job in _jobs(len(split), config, first_epoch, last_epoch):
            ahead.append(pool.submit(make, job))
            if len(ahead) > 2 * workers:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


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


def steps_per_epoch(n: int, config: TrainConfig) -> int:
    """Full batches in `n` pictures; the few left over are others in every epoch. At least one."""
    return max(1, n // config.batch_size)


def size_of_view(config: TrainConfig, epoch: int) -> int:
    """Side in pixels of what the network is shown in an epoch, counted from 0."""
    return min(config.small_view, config.view) if epoch < config.small_epochs else config.view


def class_weights(split: Split, heads: Heads, config: TrainConfig) -> NDArray[np.float32]:
    """How much each of the dataset's labels counts in the loss: (labels,), 1 on average over the pictures.

    A label without pictures has the weight 0.
    """
    labels = len(next(iter(heads.values())))
    if config.class_weights == "none":
        return np.ones(labels, np.float32)
    counts = split.class_counts(labels)
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(split) / (present * np.maximum(counts, 1)), 0)
    return weights.astype(np.float32)


def _jobs(
    n: int, config: TrainConfig, first_epoch: int, last_epoch: int | None
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Epoch, step and rows of every batch; without a `last_epoch` there is no end."""
    for epoch in count(first_epoch) if last_epoch is None else range(first_epoch, last_epoch):
        order = np.random.default_rng([config.seed, epoch]).permutation(n)
        for step in range(steps_per_epoch(n, config)):
            yield epoch, step, order[step * config.batch_size : (step + 1) * config.batch_size]


def _is_plain(epoch: int, config: TrainConfig) -> bool:
    return epoch >= config.epochs - config.plain_epochs


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

    def __init__(self, split: Split, heads: Heads, view: int, size: int) -> None:
        super().__init__()
        self._split, self._heads, self._view, self._size = split, heads, view, size

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-len(self._split) // VALIDATION_BATCH)

    def __getitem__(self, index: int) -> Batch:
        """The batch of that number; the last one may be smaller."""
        rows = slice(index * VALIDATION_BATCH, (index + 1) * VALIDATION_BATCH)
        pixels = center_view(self._split.images[rows], self._view, self._size)
        return as_batch(pixels, targets_for(self._split, self._heads, rows))
