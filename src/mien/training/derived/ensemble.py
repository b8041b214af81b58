"""Several trained models as one: a model folder whose answers are the mean of theirs.

Networks that err differently are right more often together (Lakshminarayanan et al., "Deep ensembles", arXiv
1612.01474). What is written runs like any model, in the sum of its members' times; it cannot be trained further.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.version import __version__
from mien.data.dataset import Dataset
from mien.errors import ModelError
from mien.metrics.calibration import softmax
from mien.models.classifier import EmotionClassifier
from mien.models.registry import (
    DEFAULT_OUTPUT,
    MODEL_FILE,
    ModelConfig,
    read_model,
    resolve_model,
)
from mien.training.compression.storage import stored
from mien.training.derived.folder import check_folder, unseen_images, write_folder
from mien.training.derived.join_onnx import LEAST, join, with_temperatures
from mien.training.export import fit_temperatures, fit_threshold
from mien.training.targets import Heads

Progress: TypeAlias = Callable[[str, int, int], None]


def ensemble(
    models: Sequence[str | os.PathLike[str]],
    dataset: Dataset,
    folder: str | Path,
    *,
    name: str = "ensemble",
    storage: str = "float16",
    progress: Progress = lambda *_: None,
) -> Path:
    """Write a model that answers with the mean of the probabilities of several.

    Temperatures and threshold are fitted anew on images that no member was trained on; scored is the validation split.

    Args:
        models: two or more: names of shipped models, model folders, runs.
        dataset: that they were trained on, or other images with their labels.
        folder: where to write `model.onnx`, `config.json` and `README.md`; made when missing.
        name: of the model.
        storage: of the weights, as `TrainConfig.weight_storage`.
        progress: called with (what, done, total).

    Returns:
        The folder.

    Raises:
        ModelError: they do not go together, or the folder has a model already.
        ExportError: their files cannot be joined.
        DatasetError: no images to fit and score with, or other labels than the models'.
    """
    folder = Path(folder)
    check_folder(folder)
    members = [EmotionClassifier(model) for model in models]
    configs = [member.config for member in members]
    outputs = common_outputs(configs)
    split, held = unseen_images(dataset, outputs, configs)
    answers = _Answers(members, outputs)
    progress("asking the members", 0, 3)
    temperature = fit_temperatures(answers.logits(held.images), held)
    progress("joining the networks", 1, 3)
    network, probabilities = stored(
        _joined(models, configs, outputs, temperature),
        folder / MODEL_FILE,
        lambda images: answers.at(images, temperature),
        held.images,
        storage,
    )
    config = ModelConfig(
        name=name,
        labels=outputs[DEFAULT_OUTPUT],
        outputs=outputs,
        input_size=configs[0].input_size,
        sha256="",  # of a file that is still to be written
        temperature=temperature,
        uncertain_below=fit_threshold(probabilities[DEFAULT_OUTPUT], held.right),
        data=_data(dataset, split, configs),
        members=tuple(map(_origin, configs)),
        created_with=f"mien {__version__}",
    )
    progress("scoring", 2, 3)
    return write_folder(folder, network, config, split)


def _joined(
    models: Sequence[str | os.PathLike[str]],
    configs: Sequence[ModelConfig],
    outputs: Heads,
    temperature: Mapping[str, float],
) -> bytes:
    """The members' networks in one file, with temperatures."""
    files = [
        read_model(resolve_model(model), config.sha256) for model, config in zip(models, configs, strict=True)
    ]
    return with_temperatures(
        join(files, {head: len(labels) for head, labels in outputs.items()}), temperature
    )


@dataclass(frozen=True)
class _Answers:
    """What the members say together: the mean of their probabilities."""

    members: Sequence[EmotionClassifier]
    outputs: Heads

    def logits(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """The logarithm of it: output -> (n, labels)."""
        answers = [member.predict_heads(images) for member in self.members]
        return {
            output: np.log(np.maximum(np.mean([answer[output] for answer in answers], axis=0), LEAST))
            for output in self.outputs
        }

    def at(self, images: NDArray[np.uint8], temperature: Mapping[str, float]) -> dict[str, Any]:
        """It as probabilities, at temperatures."""
        return {head: softmax(logits, temperature[head]) for head, logits in self.logits(images).items()}


def common_outputs(configs: Sequence[ModelConfig]) -> Heads:
    """The outputs that all models have, the default first: name -> labels.

    Raises:
        ModelError: fewer than two models, one of them twice, or none that go together.
    """
    if len(configs) < 2:
        raise ModelError(f"an ensemble of {len(configs)}; expected two or more models")
    first = configs[0]
    seen: dict[str, str] = {}
    for config in configs:
        if config.sha256 in seen:
            raise ModelError(
                f"{config.name}: the same network as {seen[config.sha256]}; expected different ones"
            )
        seen[config.sha256] = config.name
        if config.members:
            names = " and ".join(str(member.get("name", "?")) for member in config.members)
            raise ModelError(f"{config.name}: an ensemble itself; expected its members, {names}")
        if config.labels != first.labels or config.input_size != first.input_size:
            raise ModelError(
                f"{config.name}: tells {', '.join(config.labels)} in {config.input_size} pixels; expected "
                f"{', '.join(first.labels)} in {first.input_size} pixels, as {first.name}"
            )
        if config.default != DEFAULT_OUTPUT:
            raise ModelError(
                f"{config.name}: its default output is called {config.default}, as in earlier versions of mien; "
                "expected a model that this version trained: write it anew with mien train DATA --output RUN --resume"
            )
    return {
        output: labels
        for output, labels in first.outputs.items()
        if all(config.outputs.get(output) == labels for config in configs)
    }


def _origin(config: ModelConfig) -> dict[str, Any]:
    """What an ensemble's configuration says of a member."""
    return {
        "name": config.name,
        "sha256": config.sha256,
        "data": dict(config.data),
        "training": dict(config.training),
        "created_with": config.created_with,
    }


def _data(dataset: Dataset, split: Dataset, configs: Sequence[ModelConfig]) -> dict[str, Any]:
    """What the members were trained on: the dataset, if all were; else names alone."""
    images = {name: len(part) for name, part in split.splits.items()}
    teachers = dict.fromkeys(sha for config in configs for sha in config.data.get("teachers", ()))
    taught: dict[str, Any] = {"teachers": list(teachers)} if teachers else {}
    if unlabelled := [config.data["unlabelled"] for config in configs if "unlabelled" in config.data]:
        taught["unlabelled"] = unlabelled[0]
    if all(config.data.get("sha256") == dataset.fingerprint() for config in configs):
        return {"name": dataset.name, "sha256": dataset.fingerprint(), "images": images, **taught}
    names = dict.fromkeys(str(config.data.get("name", "?")) for config in configs)
    images.pop("train")  # of data that no member may have seen
    return {"name": " and ".join(names), "images": images, **taught}
