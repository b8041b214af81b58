"""From a trained Keras model to the folder that users run: ONNX file, Keras weights, configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from mien._core.files import write_atomically
from mien._core.version import __version__
from mien.metrics.calibration import fit_temperature, softmax, threshold_for_precision
from mien.models.registry import MODEL_FILE, WEIGHTS_FILE, ModelConfig
from mien.training.augmentation import center_view
from mien.training.compression.storage import BATCH, HALF_TOLERANCE, Arrays, stored
from mien.training.export_onnx import UNLICENSED, describe, write_onnx
from mien.training.targets import EXPRESSION, HeldOut
from mien.training.weights import halved, write_weights

PRECISION = 0.9  # accuracy of predictions that are not flagged as uncertain, if it can be reached
CERTAINTY = 0.95  # that they are, and that probabilities are not overconfident: few images say little


def export_onnx(
    model: keras.Model,
    folder: Path,
    *,
    heads: Mapping[str, tuple[str, ...]],
    view: int,
    held_out: HeldOut,
    offset: NDArray[np.float32] | None = None,
    storage: str = "float16",
) -> ModelConfig:
    """Write `model.onnx`, `model.weights.h5` and `config.json`.

    Weights are stored in half precision where no probability changes by more than 5e-3, those of the ONNX file in int8
    if asked for and none changes by more than 0.1.

    The ONNX model takes uint8 grey crops (n, size, size), any n, and gives probabilities: one output a head,
    and "expression", the default: the head of that name, else the first head. Crop, normalisation, label frequencies
    and temperatures are inside.

    Args:
        model: what `build_model` built, trained.
        folder: created if missing.
        heads: head -> labels; those of the first are those of the default output.
        view: side in pixels of the middle that the network sees of a crop.
        held_out: images that were not trained on, to which temperatures and the threshold of `uncertain` are fitted.
        offset: (labels,) added to the logits of "expression".
        storage: of the ONNX file's weights: a key of `STORAGES`.

    Returns:
        The configuration that was written.

    Raises:
        ExportError: ONNX and Keras differ by more than 1e-4 on some of the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, path = held_out.images, folder / MODEL_FILE
    logits = _predict(model, images, view)
    offsets = {} if offset is None else {EXPRESSION: offset}
    shifted = {head: values + offsets.get(head, 0) for head, values in logits.items()}
    temperature = fit_temperatures(shifted, held_out)
    serving = _serving_model(model, heads, images.shape[1], view, temperature, offsets)
    probabilities = _write(serving, path, images, storage)
    labels = next(iter(heads.values()))
    outputs = {EXPRESSION: labels, **heads}
    describe(path, words_of(model.name, outputs, images.shape[1]))
    same = _answers_in_half(model, logits, images, view, temperature)
    write_weights(model, folder / WEIGHTS_FILE, half=same)
    config = ModelConfig(
        name=model.name,
        labels=labels,
        outputs=outputs,
        input_size=images.shape[1],
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        temperature=temperature,
        uncertain_below=fit_threshold(probabilities[EXPRESSION], held_out.right),
        created_with=f"mien {__version__}, keras {keras.__version__} on {keras.backend.backend()}",
    )
    config.save(folder)
    return config


def words_of(
    name: str, outputs: Mapping[str, tuple[str, ...]], size: int, licence: str = UNLICENSED
) -> dict[str, str]:
    """What the metadata of a model's ONNX file says."""
    return {
        "name": name,
        "labels": json.dumps({output: list(map(str, labels)) for output, labels in outputs.items()}),
        "input": f"crops: uint8 [n, {size}, {size}], grey, 0 is black; one face each, upright, which fills it",
        "output": "float32 [n, labels], rows sum to 1; expression is the answer",
        "normalisation": "inside the network: pass pixels as they are",
        "licence": licence,
    }


def fit_temperatures(logits: Arrays, held_out: HeldOut) -> dict[str, float]:
    """Of every head, to its own targets; that of the default answer to what is right: confidence is how often it is."""
    fitted = {}
    for head, values in logits.items():
        targets = held_out.targets[head]
        if head == EXPRESSION:
            targets = (
                np.eye(values.shape[1], dtype=np.float32)[held_out.right] * (held_out.right >= 0)[:, None]
            )
        fitted[head] = fit_temperature(values, targets, certainty=CERTAINTY)
    return fitted


def fit_threshold(probabilities: NDArray[np.float32], right: NDArray[np.int64]) -> float:
    """The confidence from which on answers are right often enough, by the images for which something is right."""
    judged = right >= 0
    correct = (probabilities.argmax(axis=1) == right)[judged]
    return threshold_for_precision(probabilities.max(axis=1)[judged], correct, PRECISION, certainty=CERTAINTY)


def _predict(model: keras.Model, images: NDArray[np.uint8], view: int) -> dict[str, NDArray[np.float32]]:
    """The network's logits, batch by batch: as one array of floats the images would not fit into memory."""
    parts = [
        model.predict_on_batch(center_view(images[i : i + BATCH], view)[..., None])
        for i in range(0, len(images), BATCH)
    ]
    return {head: np.concatenate([np.asarray(part[head]) for part in parts]) for head in parts[0]}


def _answers_in_half(
    model: keras.Model, logits: Arrays, images: NDArray[np.uint8], view: int, temperature: Mapping[str, float]
) -> bool:
    """Whether the network answers as it does when its weights are in half precision."""
    whole = model.get_weights()
    model.set_weights([halved(weight) for weight in whole])
    rounded = _predict(model, images, view)
    model.set_weights(whole)
    changes = [
        np.abs(softmax(rounded[head], t) - softmax(logits[head], t)).max() for head, t in temperature.items()
    ]
    return bool(np.max(changes) <= HALF_TOLERANCE)  # not where one is NaN


def _write(
    serving: keras.Model, path: Path, images: NDArray[np.uint8], storage: str
) -> dict[str, NDArray[np.float32]]:
    """Write the ONNX file, in fewer bytes if the result is the same; returns its probabilities on the images."""
    size = images.shape[1]
    write_onnx(serving, path, keras.InputSpec(shape=(None, size, size), dtype="uint8", name="crops"))
    data, probabilities = stored(path.read_bytes(), path, serving.predict_on_batch, images, storage)
    write_atomically(path, data)
    return probabilities


def _serving_model(
    model: keras.Model,
    heads: Mapping[str, tuple[str, ...]],
    size: int,
    view: int,
    temperature: Mapping[str, float],
    offsets: Arrays,
) -> keras.Model:
    """uint8 crops (n, size, size) -> probabilities of every head, and the default ones."""
    crops = keras.Input((size, size), dtype="uint8", name="crops")
    edge = (size - view) // 2
    middle = slice(edge, edge + view)
    logits = model(ops.expand_dims(ops.cast(crops, "float32"), -1)[:, middle, middle])
    outputs = {head: ops.softmax((logits[head] + offsets.get(head, 0)) / temperature[head]) for head in heads}
    default = outputs.get(EXPRESSION, outputs[next(iter(heads))])
    # Separate layers, so there are two outputs even if the default one equals the only head's.
    return keras.Model(
        crops,
        {
            name: keras.layers.Identity(name=f"out_{name}")(x)
            for name, x in {EXPRESSION: default, **outputs}.items()
        },
    )
