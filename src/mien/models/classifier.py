"""`EmotionClassifier`: crops of faces in, probabilities out. The only place that runs the ONNX model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.per_process import PerProcess
from mien._core.text import count
from mien.errors import MienError, ModelError
from mien.images.crop import to_crop
from mien.models.onnx_runtime import Session, Sessions, open_session
from mien.models.registry import (
    DEFAULT_HEAD,
    DEFAULT_MODEL,
    ModelConfig,
    is_shipped,
    read_model,
    resolve_model,
)
from mien.results import Prediction

Crops: TypeAlias = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

_BATCH = 64
_ROUNDING = 1e-3  # of a sum of float32, and of the softmax of some runtimes


class EmotionClassifier:
    """A trained model, ready to use.

    Threads may share it: calls run in parallel. So may processes: a pickle holds the model's path and
    SHA-256, and each process loads it at first use, with a ModelError if the file has changed.

    Args:
        model: name of a shipped model, a model folder, or a run that `mien train` wrote.
        head: the output that answers: "auto" for the model's default, "expression"; "labels" for the head that was
            trained on its dataset's own labels; or an output by its name, as "ferplus", which has labels of its own.
        threads: CPU threads of one call; None for as many as the machine has cores, or one where several calls run at
            the same time.
        min_confidence: answers less confident than this, 0 to 1, are flagged as uncertain; None for the model's own
            threshold.

    Attributes:
        config: what the model's `config.json` says.
        head: the name of the output that answers.
        min_confidence: the threshold in use.

    Raises:
        ModelError: no such model or head, or not a model of the shape that its configuration says.
        ValueError: a `min_confidence` out of range.
    """

    config: ModelConfig
    head: str
    min_confidence: float

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        head: str = DEFAULT_HEAD,
        threads: int | None = None,
        min_confidence: float | None = None,
    ) -> None:
        check_min_confidence(min_confidence)
        folder = resolve_model(model)
        self.config = ModelConfig.load(folder)
        self.head = self.config.output(head)
        self.min_confidence = self.config.uncertain_below if min_confidence is None else min_confidence
        # A shipped model by its name: another machine may have it elsewhere.
        source = folder.name if is_shipped(folder) else str(folder.absolute())
        self._sessions = PerProcess(_open, source, self.config.sha256, threads)
        self._input = self._check_shapes(folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the probabilities, in order."""
        return self.config.outputs[self.head]

    def predict_proba(self, crops: Crops, *, head: str | None = None) -> NDArray[np.float32]:
        """Probabilities of every crop.

        Args:
            crops: n faces, cut out; each of any size, (h, w) grey or (h, w, 3) RGB, uint8. An array
                (n, h, w) or (n, h, w, 3) will do.
            head: another output of the model, by its name; None for the classifier's own.

        Returns:
            (n, labels) float32, every row in [0, 1] and summing to 1. It does not depend on the other crops.

        Raises:
            ValueError: the model has no such head.
            TypeError, ValueError: a crop is not uint8, or not of such a shape.
            ModelError: the model fails, or does not give probabilities.
        """
        return self._run(crops, [self.head if head is None else head])[0]

    def predict_heads(self, crops: Crops) -> dict[str, NDArray[np.float32]]:
        """Probabilities by every head, in one pass through the network; crops as in `predict_proba`.

        Returns:
            Name of an output, the default too -> (n, its labels) float32.
        """
        heads = list(self.config.outputs)
        return dict(zip(heads, self._run(crops, heads), strict=True))

    def _run(self, crops: Crops, heads: list[str]) -> list[NDArray[np.float32]]:
        """The outputs of that name for all crops, by batches."""
        for head in heads:
            if head not in self.config.outputs:
                raise ValueError(f"unknown head {head!r}: expected one of {', '.join(self.config.outputs)}")
        if isinstance(crops, np.ndarray) and crops.ndim == 3 and crops.shape[2] in (3, 4):
            raise ValueError(f"an array of shape {crops.shape} looks like one crop: pass a list of crops")
        size = self.config.input_size
        parts = [[np.empty((0, len(self.config.outputs[head])), np.float32) for head in heads]]
        for start in range(0, len(crops), _BATCH):
            batch = np.stack([to_crop(crop, size) for crop in crops[start : start + _BATCH]])
            parts.append(self._answers(heads, batch))
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _answers(self, heads: list[str], batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """What the network says of a batch, if it is probabilities: a stranger's model may say anything."""
        try:
            found: list[NDArray[np.float32]] = self._sessions().run(heads, {self._input: batch})
        except MienError:
            raise
        except Exception as error:  # onnxruntime's own exceptions have no common base
            line = str(error).strip().split("\n")[0][:200]
            raise ModelError(
                f"{self.config.name}: the model fails on {count(len(batch), 'crop')} ({line})"
            ) from error
        for head, rows in zip(heads, found, strict=True):
            # Written so that NaN, which is below and above nothing, does not pass.
            if rows.shape != (len(batch), len(self.config.outputs[head])) or not (
                (rows >= -_ROUNDING).all() and (np.abs(rows.sum(axis=1) - 1) <= _ROUNDING).all()
            ):
                raise ModelError(
                    f"{self.config.name}: output {head} is not probabilities, {rows.ravel()[:4].tolist()} and so on; "
                    "expected numbers from 0 to 1 that sum to 1"
                )
        return found

    def classify(self, crops: Crops) -> list[Prediction]:
        """A `Prediction` of every crop; crops as in `predict_proba`."""
        return [
            Prediction(
                dict(zip(self.labels, map(float, row), strict=True)),
                uncertain=bool(row.max() < self.min_confidence),
            )
            for row in self.predict_proba(crops)
        ]

    def _check_shapes(self, folder: Any) -> str:
        """The name of the input, if inputs and outputs are as the configuration says."""
        size = self.config.input_size
        inputs = self._sessions().alone.get_inputs()
        got = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        if len(inputs) != 1 or not _is_batch(inputs[0], "tensor(uint8)", [size, size]):
            raise ModelError(
                f"{folder}: the model takes {got}; expected one tensor(uint8) [n, {size}, {size}] for any n"
            )
        outputs = {o.name: o for o in self._sessions().alone.get_outputs()}
        for head, labels in self.config.outputs.items():
            output = outputs.get(head)
            if output is None or not _is_batch(output, "tensor(float)", [len(labels)]):
                came = "is missing" if output is None else f"is {output.type} {output.shape}"
                raise ModelError(
                    f"{folder}: output {head} {came}; expected tensor(float) [n, {len(labels)}] for any n"
                )
        return str(inputs[0].name)


def check_min_confidence(least: float | None) -> None:
    """Raise unless it is a threshold of the confidence, or None.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if least is not None and not 0 <= least <= 1:
        raise ValueError(f"min_confidence {least}: expected 0, for no answer flagged as uncertain, to 1")


def _open(source: str, sha256: str, threads: int | None) -> Sessions:
    """The sessions of a model with this SHA-256."""
    folder = resolve_model(source)

    def open_one(threads: int | None) -> Session:
        return open_session(read_model(folder, sha256), folder, ModelError, threads=threads)

    return Sessions(open_one, threads)


def _is_batch(value: Any, kind: str, rest: list[int]) -> bool:
    """Whether an input or output is of that type and shape, for any number of crops."""
    shape = list(value.shape)
    return value.type == kind and shape[1:] == rest and not isinstance(shape[0], int)
