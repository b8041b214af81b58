"""A trained model that calculates in int8: its folder, and what that changes."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.text import count, percent
from mien._core.version import __version__
from mien.benchmark import BATCH, time_calls
from mien.data.dataset import Dataset, Split
from mien.errors import ModelError
from mien.evaluation.model_card import write_folder_card
from mien.metrics.significance import paired_difference_interval
from mien.models.classifier import EmotionClassifier
from mien.models.registry import read_model, resolve_model
from mien.training.compression.static_int8 import FLOAT_LAYERS, IMAGES, with_int8_arithmetic
from mien.training.derived.folder import check_folder, unseen_images, write_folder
from mien.training.export import fit_threshold
from mien.training.targets import HeldOut

Progress: TypeAlias = Callable[[str, int, int], None]

BOUND = 0.9  # level of a two-sided interval: its upper end is the 95 % bound of the loss
_ROUNDS, _SECONDS = 7, 0.2


@dataclass(frozen=True)
class Cost:
    """What it changes that a model calculates in int8.

    Attributes:
        n: images of the validation split.
        same: share of them with the same default answer, 0 to 1.
        loss, bound: of accuracy on the dataset's labels, output -> points from 0 to 1, and the upper 95 % bound of it.
        largest_change: of a probability.
        speedup: how many times as many faces a second it classifies on this machine, in batches of 64.
    """

    n: int
    same: float
    loss: Mapping[str, float]
    bound: Mapping[str, float]
    largest_change: float
    speedup: float

    def lines(self) -> list[str]:
        """For people."""
        answers = f"{percent(self.same)} of the answers on {count(self.n, 'image')} are the same"
        costs = [
            f"{head}: accuracy {100 * -loss:+.2f} points, at most {100 * self.bound[head]:.2f} lower (95 % bound)"
            for head, loss in self.loss.items()
        ]
        return [answers, *costs, f"{self.speedup:.2f} times as fast on this machine (batches of {BATCH})"]


def quantize(
    model: str | os.PathLike[str],
    dataset: Dataset,
    folder: str | Path,
    *,
    name: str = "int8",
    float_layers: int = FLOAT_LAYERS,
    progress: Progress = lambda *_: None,
) -> Cost:
    """Write a model that calculates in int8 what another one calculates in float32 (post-training static quantization).

    The ranges of its activations come from images of the training split, the threshold of "uncertain" is fitted anew
    on images that the model was not trained on; temperatures stay as they are. Scored is the validation split.

    Args:
        model: name of a shipped model, a model folder, a run.
        dataset: that it was trained on, or other images with its labels.
        folder: where to write `model.onnx`, `config.json` and `README.md`; made when missing.
        name: of the new model.
        float_layers: so many convolutions stay in float32, those to which the answers are most sensitive.
        progress: called with (what, done, total).

    Returns:
        What it changes.

    Raises:
        ModelError: it calculates in int8 already, or the folder has a model.
        ExportError: the network cannot be quantized.
        DatasetError: no images to fit and score with, or other labels than the model's.
    """
    folder = Path(folder)
    check_folder(folder)
    source = EmotionClassifier(model)
    config = source.config
    if config.quantization:
        raise ModelError(f"{config.name}: calculates in int8 already; expected {config.quantization['of']}")
    split, held = unseen_images(dataset, dict(config.outputs), [config])
    images = _some(split.splits.get("train", split.split("validation")).images)
    network, kept = with_int8_arithmetic(
        read_model(resolve_model(model), config.sha256),
        images,
        float_layers=float_layers,
        progress=lambda done, total: progress("ranking the layers", done, total),
    )
    made = replace(
        config,
        name=name,
        sha256="",  # of a file that is still to be written
        quantization={
            "of": config.name,
            "sha256": config.sha256,
            "images": len(images),
            "float_layers": kept,
        },
        created_with=f"mien {__version__}",
        same_as=(),
    )
    progress("scoring", 0, 1)
    write_folder(folder, network, made, split)
    return _finish(folder, source, split.split("validation"), held)


def _finish(folder: Path, source: EmotionClassifier, scored: Split, held: HeldOut) -> Cost:
    """Fit the threshold of a model that was written, and say in its folder what the change costs."""
    quantized = EmotionClassifier(folder)
    cost = _cost(source, quantized, scored)
    changes = {"loss": dict(cost.loss), "bound": dict(cost.bound), "same": cost.same}
    replace(
        quantized.config,
        uncertain_below=fit_threshold(quantized.predict_proba(held.images), held.right),
        quantization={**quantized.config.quantization, **changes},
    ).save(folder)
    write_folder_card(folder)
    return cost


def _some(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images spread over all of them at random, the same in every run."""
    chosen = np.random.default_rng(0).permutation(len(images))[:IMAGES]
    return np.asarray(images[np.sort(chosen)])


def _cost(before: EmotionClassifier, after: EmotionClassifier, split: Split) -> Cost:
    answers = [model.predict_heads(split.images) for model in (before, after)]
    labels = before.config.labels
    default = before.config.default
    loss, bound, change = {}, {}, 0.0
    for head, was in answers[0].items():
        now = answers[1][head]
        change = max(change, float(np.abs(was - now).max()))
        if before.config.outputs[head] == labels:
            right = [values.argmax(axis=1) == split.targets for values in (was, now)]
            loss[head] = float(right[0].mean() - right[1].mean())
            bound[head] = paired_difference_interval(right[0], right[1], level=BOUND)[1]
    same = float((answers[0][default].argmax(axis=1) == answers[1][default].argmax(axis=1)).mean())
    return Cost(len(split), same, loss, bound, change, _speedup(before, after, split.images[:BATCH]))


def _speedup(before: EmotionClassifier, after: EmotionClassifier, images: NDArray[np.uint8]) -> float:
    """The ratio of their times, the median of rounds in which they take turns."""
    ratios = []
    for _ in range(_ROUNDS + 1):
        took = [
            statistics.median(time_calls(partial(model.predict_proba, images), _SECONDS))
            for model in (before, after)
        ]
        ratios.append(took[0] / took[1])
    return statistics.median(ratios[1:])
