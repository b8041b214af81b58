"""Starting from a trained model: the Keras weights that lie beside its ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from mien.errors import TrainingError
from mien.metrics.calibration import softmax
from mien.models.classifier import EmotionClassifier
from mien.models.registry import MODEL_FILE, ModelConfig, find_weights, resolve_model
from mien.training.augmentation import center_view
from mien.training.compression.storage import HALF_TOLERANCE, INT8_TOLERANCE
from mien.training.networks import build_model
from mien.training.targets import EXPRESSION
from mien.training.weights import read_weights

PICTURES = 256  # on which the weights are compared with the ONNX file


def load_weights(
    model: keras.Model, source: str, heads: Mapping[str, Sequence[str]], images: NDArray[np.uint8]
) -> None:
    """Give a network the weights of a trained model; heads come along where name and labels are the same.

    Args:
        model: what `build_model` built.
        source: a shipped model's name, a model folder or a run.
        heads: of `model`: name -> labels.
        images: (n, 48, 48) uint8 faces, on some of which the weights must answer as the ONNX file does, where
            there is one.

    Raises:
        ModelError: there is no such model, it has no Keras weights, or it is an ensemble.
        TrainingError: it is another network, or its weights are not those of its ONNX file.
    """
    folder = resolve_model(source)
    config = ModelConfig.load(folder)
    config.check_trainable(source)
    if config.training.get("network") != model.name:
        raise TrainingError(
            f"init {source}: a {config.training.get('network', 'network of unknown kind')}, expected a "
            f"{model.name}; name its own with --network"
        )
    trained_heads = config.heads
    sizes = {name: len(labels) for name, labels in trained_heads.items()}
    trained = build_model(model.name, sizes, view=_view(config), dropout=0.0)
    read_weights(trained, find_weights(folder))
    some = np.linspace(0, len(images) - 1, min(PICTURES, len(images))).astype(int)
    if (folder / MODEL_FILE).is_file():  # Keras weights alone are enough to train on
        _check_same(trained, source, images[some], config)
    same = {name for name, labels in heads.items() if trained_heads.get(name) == tuple(labels)}
    others = {name for name in (*trained_heads, *heads) if name not in same}
    pairs = zip(_without(model, others), _without(trained, others), strict=True)
    try:
        for ours, theirs in pairs:
            ours.set_weights(theirs.get_weights())
    except ValueError:
        raise TrainingError(
            f"init {source}: was trained on views of {_view(config)} pixels; expected the same view"
        ) from None


def _view(config: ModelConfig) -> int:
    return int(config.training.get("view", config.input_size))


def _without(model: keras.Model, names: set[str]) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name not in names and layer.weights]


def _check_same(model: keras.Model, source: str, images: NDArray[np.uint8], config: ModelConfig) -> None:
    """Raise unless the network answers as the ONNX file that people use: the two files may have been mixed up."""
    # Each of the two files is within its own of what was trained.
    stored = INT8_TOLERANCE if config.training.get("weight_storage") == "int8" else HALF_TOLERANCE
    logits = model.predict(center_view(images, _view(config))[..., None], batch_size=64, verbose=0)
    expected = EmotionClassifier(source).predict_heads(images)
    # The default output has label frequencies in it, besides the network: the other heads tell enough.
    for head, values in ((head, values) for head, values in logits.items() if head != EXPRESSION):
        got = softmax(values, config.temperature.get(head, 1.0))
        if not np.abs(got - expected[head]).max() <= HALF_TOLERANCE + stored:
            raise TrainingError(
                f"init {source}: its Keras weights answer otherwise than its ONNX file; expected both of one model: "
                "copy its folder anew"
            )
