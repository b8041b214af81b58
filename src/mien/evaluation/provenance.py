"""Provenance of a figure: model, data, versions, date, machine, and whether the model was trained on the data."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version

from mien._core.machine import machine
from mien._core.text import count
from mien._core.version import __version__
from mien.evaluation.predictions import Predictions

_UNKNOWN = (
    "Whether the model was trained on these images is not known: {why}. If it was, these scores measure how well it "
    "remembers them; if it was calibrated on them, the calibration error is too low."
)

_TAUGHT = " It was also distilled from {models}; their own configurations name their training data."
_CHOSEN = " The epoch was chosen by the accuracy on this split, so that accuracy is slightly too high."


def model_facts(predictions: Predictions) -> list[tuple[str, str]]:
    """The model, as pairs of name and value."""
    config = predictions.config
    return [
        ("model", config.name),
        ("SHA-256", config.sha256),
        ("made with", config.created_with or "not recorded"),
        ("head", f"{predictions.head}: {', '.join(predictions.labels)}"),
    ]


def data_facts(predictions: Predictions, command: str) -> list[tuple[str, str]]:
    """Data, command, date and machine, as pairs of name and value.

    Args:
        predictions: of the model.
        command: the command line, or "" if there was none.
    """
    return [
        ("data", predictions.dataset.name),
        ("SHA-256 of the data, over all splits", predictions.dataset.fingerprint()),
        ("split", predictions.split),
        ("images scored", f"{len(predictions.part):,}"),
        ("command", command or "not recorded"),
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        (
            "versions",
            f"mien {__version__}, onnxruntime {version('onnxruntime')}, Python {platform.python_version()}",
        ),
        ("machine", machine()),
    ]


def familiarity(predictions: Predictions) -> str:
    """Whether the model was trained on these images, according to the training data in its configuration."""
    taught = predictions.config.data.get("teachers")
    return _familiarity(predictions) + (
        _TAUGHT.format(models=count(len(taught), "other model")) if taught else ""
    )


def _familiarity(predictions: Predictions) -> str:
    trained, recipes = predictions.config.data, predictions.config.recipes
    origin = next((recipe["init"] for recipe in recipes if recipe.get("init")), None)
    if origin and trained.get("sha256") != predictions.dataset.fingerprint():
        return _UNKNOWN.format(why=f"its training started from the weights of {origin}, which may know them")
    if "sha256" not in trained:
        return _UNKNOWN.format(why="its configuration does not name its training data")
    if trained["sha256"] != predictions.dataset.fingerprint():
        why = f"it was trained on data named {trained.get('name', '?')} with another SHA-256"
        if trained.get("name") == predictions.dataset.name:
            why += ", which a part of the same data also has, because it covers all splits"
        return _UNKNOWN.format(why=why)
    if predictions.split == "train":
        return (
            "The model was trained on this split: the scores say how well it remembers these images, not how "
            "well it does on new ones."
        )
    chosen = _CHOSEN if any(recipe.get("early_stopping") for recipe in recipes) else ""
    if predictions.split == "validation" and "calibration" in trained.get("images", {}):
        return (
            "The model was trained on other splits of this dataset. Its temperatures and threshold of "
            f"'uncertain' were fitted on {trained['images']['calibration']:,} images of the split 'train' that it was "
            f"not trained on; settings of the training were chosen on this split.{chosen}"
        )
    if predictions.split == "validation":
        return (
            "The model was trained on this dataset, and the temperatures of its heads and its threshold of "
            "'uncertain' were fitted on this split: the calibration error flatters it a little. A head's accuracy "
            f"does not depend on them.{chosen}"
        )
    return "The model was trained on other splits of this dataset; this one took no part in training or calibration."
