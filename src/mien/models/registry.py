"""Models as folders: `model.onnx`, `config.json`, `model.weights.h5`, README; the shipped ones lie in the package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien._core.settings import check_limits, check_types
from mien.errors import ModelError
from mien.labels import as_emotion
from mien.models.files import NetworkFiles
from mien.results import COLUMNS

DEFAULT_MODEL = "mien-s-3"

DEFAULT_DETECTOR = "mien"

DETECTOR_SIZE = 640
"""Pictures are scaled to this long side before mien's face detector searches them, in pixels."""

MIN_SIZE = 20
"""Faces whose box has a shorter side, in pixels of the picture, are filtered out."""

DEFAULT_HEAD, DEFAULT_OUTPUT = "auto", "expression"
"""What asks for a model's default output, and the name of that output."""

FORMER_OUTPUT = "blend"
"""The default output of models that earlier versions of mien exported: a mix of their heads."""

LABELS_HEAD = "labels"
"""What asks for the head that was trained on its dataset's own labels, whatever its name."""

MODEL_FILE, CONFIG_FILE = "model.onnx", "config.json"
WEIGHTS_FILE = "model.weights.h5"
MAX_MODEL_BYTES = 512 * 2**20

_FILES = NetworkFiles(
    "model",
    ModelError,
    MODEL_FILE,
    CONFIG_FILE,
    expected=f"a model is a folder with {MODEL_FILE} and {CONFIG_FILE}",
)

_SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class ModelConfig:
    """What a model's `config.json` says.

    Attributes:
        name: of the model.
        labels: of the probabilities that users get, in order; those of the seven expressions are `Emotion`.
        outputs: the ONNX file's outputs, name -> labels; "expression" is what users get ("blend" in models of earlier
            versions). The head that was trained on the dataset's own labels is "fer2013" or "labels", that on FER+
            votes "ferplus".
        input_size: side in pixels of the square grey crops.
        sha256: of `model.onnx`.
        temperature: that each head's logits are divided by, already inside the ONNX file.
        blend: head -> its share in the default output, where that is a mix of heads and not one of its own; already
            inside the ONNX file.
        uncertain_below: answers of the default output less confident than this are flagged as uncertain; a trained
            model's `config.json` says it, and `training/export.py` how it is fitted.
        data: what it was trained on.
        metrics: scores on the validation split, per output.
        training: the settings it was trained with.
        members: of an ensemble, the models whose mean it answers: name, SHA-256, data and training of each.
        quantization: of a network that calculates in int8: the model it was made of and its SHA-256, how many images
            the ranges are from, which convolutions stayed in float32, and what it changes on the validation split.
        created_with: version of mien.
        same_as: SHA-256 of earlier files of this network, which give the same answers to the last bit.
    """

    name: str
    labels: tuple[str, ...]
    outputs: Mapping[str, tuple[str, ...]]
    input_size: int
    sha256: str
    temperature: Mapping[str, float] = field(default_factory=dict)
    blend: Mapping[str, float] = field(default_factory=dict)
    uncertain_below: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[Mapping[str, Any], ...] = ()
    quantization: Mapping[str, Any] = field(default_factory=dict)
    created_with: str = ""
    same_as: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        if not all(isinstance(label, str) for label in self.labels):
            raise ValueError(f"labels {tuple(self.labels)}: expected words")
        object.__setattr__(self, "labels", tuple(map(as_emotion, self.labels)))
        object.__setattr__(self, "same_as", tuple(self.same_as))
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "outputs", {k: tuple(map(as_emotion, v)) for k, v in self.outputs.items()})
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels {self.labels}: expected two or more, all different")
        if self.outputs.get(self.default) != self.labels:
            raise ValueError(
                f'outputs {sorted(self.outputs)}: expected "{DEFAULT_OUTPUT}" with the labels {self.labels}'
            )
        names = {str(label) for labels in self.outputs.values() for label in labels}
        if clash := sorted(name for name in names if name in COLUMNS or name.startswith("smoothed_")):
            raise ValueError(f"labels {', '.join(clash)}: expected names that are no column of the results")
        check_limits(self, {"input_size": (8, 1024), "uncertain_below": (0, 1)})

    @property
    def default(self) -> str:
        """The name of the default output."""
        return FORMER_OUTPUT if FORMER_OUTPUT in self.outputs else DEFAULT_OUTPUT

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """The outputs that were trained, with their labels: all that are not made of others."""
        # Every trained head has a temperature; a default output without one repeats a head, or mixes some.
        return {name: labels for name, labels in self.outputs.items() if name in self.temperature}

    @property
    def recipes(self) -> tuple[Mapping[str, Any], ...]:
        """The settings of the training of every network in it: several of an ensemble."""
        return tuple(member.get("training", {}) for member in self.members) or (self.training,)

    def check_trainable(self, source: str) -> None:
        """Raise unless training can go on from it.

        Raises:
            ModelError: it is an ensemble, or calculates in int8.
        """
        if self.quantization:
            raise ModelError(
                f"init {source}: calculates in int8, and cannot be trained further; "
                f"expected the model it was made of, {self.quantization.get('of', '?')}"
            )
        if self.members:
            names = " and ".join(str(member.get("name", "?")) for member in self.members)
            raise ModelError(
                f"init {source}: an ensemble of {names}, which cannot be trained further; "
                "expected one network, as mien-s"
            )

    def output(self, head: str) -> str:
        """The output that a head's name means: "auto" the default, "labels" the head of the dataset's own labels.

        "expression" and its former name "blend" both mean the default output.

        Raises:
            ModelError: the model has no such head.
        """
        names = dict.fromkeys((DEFAULT_HEAD, DEFAULT_OUTPUT, FORMER_OUTPUT), self.default)
        if own_labels := next((name for name in (LABELS_HEAD, "fer2013") if name in self.outputs), None):
            names[LABELS_HEAD] = own_labels
        name = names.get(head, head)
        if name not in self.outputs:
            own = [output for output in self.outputs if output != LABELS_HEAD]
            asked = [name for name in names if name not in (DEFAULT_OUTPUT, FORMER_OUTPUT)]
            raise ModelError(f"{self.name}: no head {head!r}; expected one of {', '.join((*asked, *own))}")
        return name

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """Read a model folder's `config.json`.

        Raises:
            ModelError: it is missing, or not what `save` writes.
        """
        return _FILES.load_config(cls, folder)

    def save(self, folder: Path) -> None:
        """Write `config.json`."""
        _FILES.save_config(self, folder)


def available_models() -> list[ModelConfig]:
    """The models that are shipped with the package."""
    return [ModelConfig.load(path.parent) for path in sorted(_SHIPPED.glob(f"*/{CONFIG_FILE}"))]


def resolve_model(model: str | os.PathLike[str]) -> Path:
    """The folder of a shipped model's name, of a model folder, or of a run that `mien train` wrote.

    Raises:
        ModelError: there is no such model.
    """
    given = Path(model)
    candidates = [given, given / "export"]
    if len(given.parts) == 1:
        candidates.insert(0, _SHIPPED / given)
    for folder in candidates:
        if os.path.isfile(folder / CONFIG_FILE):  # noqa: PTH113 pathlib raises where a name is too long
            return folder
    names = ", ".join(path.parent.name for path in sorted(_SHIPPED.glob(f"*/{CONFIG_FILE}")))
    what = f"a folder with {MODEL_FILE} and {CONFIG_FILE}, as mien train writes"
    came = "a file" if os.path.isfile(given) else "no such model"  # noqa: PTH113 as above
    raise ModelError(f"{model}: {came}; expected {names}, or {what}")


def is_shipped(folder: Path) -> bool:
    """Whether a folder is that of a model which comes with the package."""
    return folder.parent == _SHIPPED


def find_weights(folder: Path) -> Path:
    """The file of Keras weights in a model's folder: what training can go on from.

    Raises:
        ModelError: there is none.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        raise ModelError(
            f"{folder}: has a {MODEL_FILE}, but training goes on from the {WEIGHTS_FILE} that mien train writes "
            "beside it; copy the whole folder, or write both anew with mien train DATA --output RUN --resume"
        )
    return folder / WEIGHTS_FILE


def read_model(folder: Path, sha256: str) -> bytes:
    """The bytes of `model.onnx`, after a look at their number and SHA-256.

    Raises:
        ModelError: missing, too large, or another file.
    """
    return _FILES.read_network(folder, sha256, MAX_MODEL_BYTES)
