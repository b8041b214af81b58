"""Which images a run trains on, is scored on, and is calibrated on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.text import count
from mien.data.dataset import Dataset, Split
from mien.data.duplicates import JoinedImages, digests, has_copy, has_version
from mien.data.pixel_store import ROWS_AT_ONCE, store_like
from mien.data.rows import Progress
from mien.data.unlabelled import load_unlabelled
from mien.errors import DatasetError
from mien.training.batches import FEW
from mien.training.config import TrainConfig


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
    candidates, rest = ((train.images[row] for row in np.flatnonzero(rows)) for rows in (held, ~held))
    held[held] = ~has_copy(candidates, rest)
    if not held.any():
        raise DatasetError(
            f"{dataset.name}: {count(len(train), 'image')}: too few to hold some out for validation"
        )
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
    if not config.calibration_fraction:
        return dataset
    training, calibration = hold_back(dataset.split("train"), config.calibration_fraction)
    if len(calibration) < FEW:
        return dataset
    # Of a photograph that was trained on in another version, a model is surer than of a new one.
    new = ~has_version(calibration.images, training.images)
    if np.count_nonzero(new) >= FEW:
        calibration = calibration.take(new)
    return replace(dataset, splits=dataset.splits | {"train": training, "calibration": calibration})


def check_unlabelled(config: TrainConfig) -> None:
    """Raise a DatasetError if what `unlabelled` names is not there: better now than after all data was read."""
    if config.unlabelled and not Path(config.unlabelled).exists():
        raise DatasetError(f"{config.unlabelled}: no such file; mien crops writes one")


def with_unlabelled(dataset: Dataset, config: TrainConfig, *, progress: Progress | None = None) -> Dataset:
    """What `split_up` gave, with the images that `unlabelled` names at the end of "train", without labels.

    Left out are those that show a photograph of another split: the model would be scored or calibrated on them.

    Raises:
        DatasetError: they cannot be read, or none is left.
    """
    if not config.unlabelled:
        return dataset
    found = load_unlabelled(config.unlabelled, progress=progress)
    if config.limit:
        found = found.take(_spread(len(found), config.limit))
    others = JoinedImages([split.images for name, split in dataset.splits.items() if name != "train"])
    starts = range(0, len(found), ROWS_AT_ONCE)
    known = [has_version(found.images[start : start + ROWS_AT_ONCE], others) for start in starts]
    new = ~np.concatenate([np.zeros(0, np.bool_), *known])
    if not new.any():
        raise DatasetError(
            f"{config.unlabelled}: {count(len(found), 'image')}, none of which is new; expected some that are not in "
            f"{' or '.join(name for name in dataset.splits if name != 'train')}"
        )
    joined = _joined(dataset.split("train"), found if new.all() else found.take(new))
    return replace(dataset, splits=dataset.splits | {"train": joined})


def _joined(first: Split, second: Split) -> Split:
    """The images of both; votes where the first has some."""
    stored = first.images if isinstance(first.images, np.memmap) else second.images
    parts = (
        np.asarray(split.images[start : start + ROWS_AT_ONCE])
        for split in (first, second)
        for start in range(0, len(split), ROWS_AT_ONCE)
    )
    none = None if first.votes is None else np.zeros((len(second), first.votes.shape[1]), np.uint8)
    return Split(
        store_like(stored, parts, len(first) + len(second)),
        np.concatenate([first.targets, second.targets]),
        first.names + second.names,
        None if first.votes is None or none is None else np.concatenate([first.votes, none]),
    )


def _spread(n: int, limit: int) -> NDArray[np.bool_]:
    """(n,) true at `limit` places all over: the rows of a tree of folders are ordered by class."""
    chosen = np.zeros(n, bool)
    chosen[np.linspace(0, n - 1, min(n, limit)).astype(int)] = True
    return chosen


def hold_back(split: Split, share: float) -> tuple[Split, Split]:
    """A split in two, to train on and to calibrate with: the latter about that share of it.

    A digest of its pixels decides the part of an image: so identical copies stay together, and
    all runs on the same data, with whatever seed, hold back the same images. Teachers and students need that.
    """
    places = _digest_places(split.images)
    return split.take(places >= share), split.take(places < share)


def _digest_places(images: NDArray[np.uint8], salt: bytes = b"") -> NDArray[np.float64]:
    """A number in [0, 1) for every picture, (n,), that depends on its pixels alone."""
    return np.asarray(digests(images, salt) / 2**64, np.float64)
