"""A small network and small data to train it on; as a script, a run of its own: `small_runs.py RUN SETTINGS`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import numpy as np
from keras import layers

from mien.data.dataset import Dataset, Split
from mien.labels import FERPLUS_LABELS, LABELS
from mien.training.augmentation import Augmentation
from mien.training.callbacks import Checkpoint, History
from mien.training.config import TrainConfig
from mien.training.networks import NETWORKS
from mien.training.train import train


def two_layers(x: Any) -> Any:
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
    return layers.GlobalAveragePooling2D()(x)


NETWORKS["two-layers"] = two_layers

WITHOUT_COPY = pytest.mark.filterwarnings(
    # TensorFlow's variables do not know NumPy 2's `copy`; Keras converts them all the same.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
"""Of modules that train."""

SETTINGS = TrainConfig(
    network="two-layers",
    epochs=12,
    batch_size=16,
    learning_rate=0.1,
    warmup_epochs=1,
    ema_momentum=0.8,
    clean_epochs=3,
    augmentation=Augmentation(rotation=5, scale=0.05, light=0.1, erasing=0.2),
)


def faces(n: int, labels: tuple[str, ...] = LABELS, *, votes: bool = True, seed: int = 0) -> Split:
    """Stripes, whose width and direction tell the label, in noise.

    Of ten votes eight are the label's and two neutral; every ninth face has none.
    """
    targets = np.arange(n) % len(labels)
    rows, columns = np.mgrid[:48, :48]
    stripes = [np.sin((k + 1) * (columns if k % 2 else rows) / 8) for k in targets]
    noise = np.random.default_rng(seed).normal(0, 20, (n, 48, 48))
    images = (128 + 70 * np.stack(stripes) + noise).clip(0, 255).astype(np.uint8)
    counts = None
    if votes:
        counts = np.zeros((n, 10), np.uint8)
        counts[np.arange(n), [FERPLUS_LABELS.index(labels[k]) for k in targets]] = 8
        counts[:, 0] += 2
        counts[::9] = 0
    return Split(images, targets.astype(np.int64), tuple(f"face:{i}" for i in range(n)), counts)


def scores(run: Path) -> Any:
    """A run's metrics without the model file's SHA-256: exporting again names its nodes otherwise."""
    metrics = json.loads((run / "metrics.json").read_text())
    return {
        head: {key: v for key, v in values.items() if key != "sha256"} for head, values in metrics.items()
    }


def fer2013() -> Dataset:
    """84 faces to train on and 35 to validate with."""
    return Dataset("fer2013", LABELS, {"train": faces(84, seed=1), "validation": faces(35, seed=2)})


def write_fer2013(path: Path) -> None:
    """Faces as Kaggle's CSV: 70 to train on, 35 of PublicTest."""
    rows = ["emotion,pixels,Usage"]
    for usage, split in (("Training", faces(70, seed=1)), ("PublicTest", faces(35, seed=2))):
        for label, image in zip(split.targets, split.images, strict=True):
            rows.append(f"{label},{' '.join(map(str, image.reshape(-1)))},{usage}")
    path.write_text("\n".join(rows) + "\n")


def train_and_keep(
    data: Dataset, run: Path, settings: TrainConfig, *, before_checkpoint: bool = False
) -> dict[int, Path]:
    """Train to the end, and keep what a run that is stopped after each epoch would have left behind.

    To resume these is quicker than to train and stop each of them, for to begin takes longest.

    Args:
        data, run, settings: as of `train`.
        before_checkpoint: whether it stops after the next epoch, between the row of its history and its checkpoint.

    Returns:
        Epochs in the checkpoint -> a copy of the run beside it.
    """
    kept: dict[int, Path] = {}
    callback = History if before_checkpoint else Checkpoint
    original = callback.on_epoch_end

    def on_epoch_end(self: Any, epoch: int, logs: dict[str, float] | None = None) -> None:
        original(self, epoch, logs)
        done = epoch if before_checkpoint else epoch + 1
        kept[done] = Path(shutil.copytree(run, run.with_name(f"{run.name}-stopped-{done}")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback, "on_epoch_end", on_epoch_end)
        train(data, run, settings)
    return kept


if __name__ == "__main__":
    train(fer2013(), Path(sys.argv[1]), TrainConfig.from_dict(json.loads(sys.argv[2])))
