"""The folder of a model that was made of trained ones, and the images that may fit and score it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien._core.files import check_writable, write_atomically
from mien.data.dataset import Dataset
from mien.errors import DatasetError, ModelError
from mien.evaluation.model_card import write_folder_card
from mien.evaluation.predictions import predict_heads
from mien.evaluation.scores import score
from mien.models.classifier import EmotionClassifier
from mien.models.registry import CONFIG_FILE, DEFAULT_OUTPUT, MODEL_FILE, ModelConfig
from mien.training.config import TrainConfig
from mien.training.export import words_of
from mien.training.export_onnx import describe
from mien.training.splits import split_up
from mien.training.targets import Heads, HeldOut, heads_for, held_out


def check_folder(folder: Path) -> None:
    """Raise if a model, or a file that would be written over, is in a folder.

    Raises:
        ModelError: it is.
        OSError: nothing can be written there.
    """
    check_writable(folder)
    if there := [name for name in (CONFIG_FILE, MODEL_FILE, "README.md") if (folder / name).exists()]:
        raise ModelError(f"{folder}: has a {there[0]} already; expected a new folder")


def unseen_images(
    dataset: Dataset, outputs: Heads, configs: Sequence[ModelConfig]
) -> tuple[Dataset, HeldOut]:
    """The dataset as the models' runs split it, and the images that none of them was trained on.

    Raises:
        DatasetError: other labels than the models', or too few images.
    """
    if dataset.labels != outputs[DEFAULT_OUTPUT]:
        raise DatasetError(
            f"{dataset.name}: labels {', '.join(dataset.labels)}; expected {', '.join(outputs[DEFAULT_OUTPUT])}, "
            "those of the models"
        )
    # By a digest of its pixels the images of a smaller share are among those of a larger one. What a model of other
    # data knows of these is not known.
    same = all(config.data.get("sha256") == dataset.fingerprint() for config in configs)
    shares = [float(recipe.get("calibration_fraction", 0)) for config in configs for recipe in config.recipes]
    share = min(shares) if same else 0.0
    dataset = split_up(dataset, TrainConfig(calibration_fraction=share))
    heads = heads_for(dataset)
    part = dataset.splits.get("calibration", dataset.split("validation"))
    held = held_out(part, heads, TrainConfig().label_share)
    # What the data do not teach, as votes that are not there, keeps its temperature.
    nothing = {output: np.zeros((len(part), len(labels)), np.float32) for output, labels in outputs.items()}
    return dataset, held._replace(targets=nothing | held.targets)


def write_folder(folder: Path, network: bytes, config: ModelConfig, dataset: Dataset) -> Path:
    """Write the network with its words, its scores on the validation split and its card; returns the folder."""
    path = folder / MODEL_FILE
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, network)
    describe(path, words_of(config.name, config.outputs, config.input_size))
    config = replace(config, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    config.save(folder)
    found = predict_heads(EmotionClassifier(folder), dataset, split="validation")
    replace(config, metrics={head: score(of).summary() for head, of in found.items()}).save(folder)
    write_folder_card(folder)
    return folder
