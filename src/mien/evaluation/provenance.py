"""Provenance of a figure: model, data, versions, date, machine, and whether the model was trained on the data."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version

from mien._core.machine import machine
from mien._core.version import __version__
from mien.evaluation.predictions import Predictions

_UNKNOWN = (
    "Whether the model was trained on these images is not known: {why}. If it was, these scores measure how well it "
    "remembers them; if it was calibrated on them, the calibration error is too low."
)

_TAUGHT = " It was also distilled from {n} other models; their own configurations name their training data."
_CHOSEN = " The epoch was chosen by the accuracy on this split, so that accuracy is slightly too high."


def model_facts(answers: Predictions) -> list[tuple[str, str]]:
    """The model, as pairs of name and value."""
    config = answers.config
    return [
        ("model", config.name),
        ("SHA-256", config.sha256),
        ("made with", config.created_with or "not recorded"),
        ("head", f"{answers.head}: {', '.join(answers.labels)}"),
    ]


def data_facts(answers: Predictions, command: str) -> list[tuple[str, str]]:
    """Data, command, date and machine, as pairs of name and value.

    Args:
        answers: the model's predictions.
        command: the command line, or "" if there was none.
    """
    return [
        ("data", answers.dataset.name),
        ("SHA-256 of the data, over all splits", answers.dataset.fingerprint()),
        ("split", answers.split),
        ("images scored", f"{len(answers.part):,}"),
        ("command", command or "not recorded"),
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        (
            "versions",
            f"mien {__version__}, onnxruntime {version('onnxruntime')}, Python {platform.python_version()}",
        ),
        ("machine", machine()),
    ]


def familiarity(answers: Predictions) -> str:
    """Whether the model was trained on these images, according to the training data in its configuration."""
    taught = answers.config.data.get("teachers")
    return _familiarity(answers) + (_TAUGHT.format(n=len(taught)) if taught else "")


def _familiarity(answers: Predictions) -> str:
    trained, origin = answers.config.data, answers.config.training.get("init")
    if origin and trained.get("sha256") != answers.dataset.fingerprint():
        return _UNKNOWN.format(why=f"its training started from the weights of {origin}, which may know them")
    if "sha256" not in trained:
        return _UNKNOWN.format(why="its configuration does not name its training data")
    if trained["sha256"] != answers.dataset.fingerprint():
        why = f"it was trained on data named {trained.get('name', '?')} with another SHA-256"
        if trained.get("name") == answers.dataset.name:
            why += ", which a part of the same data also has, because it covers all splits"
        return _UNKNOWN.format(why=why)
    if answers.split == "train":
        return (
            "The model was trained on this split: the scores say how well it remembers these images, not how "
            "well it does on new ones."
        )
    chosen = _CHOSEN if answers.config.training.get("early_stopping") else ""
    if answers.split == "validation" and "calibration" in trained.get("images", {}):
        return (
            "The model was trained on other splits of this dataset. Its temperatures, blend and threshold of "
            f"'uncertain' were fitted on {trained['images']['calibration']:,} images of the split 'train' that it was "
            f"not trained on; settings of the training were chosen on this split.{chosen}"
        )
    if answers.split == "validation":
        return (
            "The model was trained on this dataset, and the temperatures of its heads and its threshold of "
            "'uncertain' were fitted on this split: the calibration error flatters it a little. A head's accuracy "
            f"does not depend on them; that of a blend of two heads may a little.{chosen}"
        )
    return "The model was trained on other splits of this dataset; this one took no part in training or calibration."
