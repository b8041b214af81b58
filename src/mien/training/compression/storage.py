"""How the weights of an exported model are stored: in as few bytes as leave its answers what they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import ExportError
from mien.models.onnx_runtime import open_session
from mien.training.compression.weights import with_half_weights, with_int8_weights

TOLERANCE, HALF_TOLERANCE, INT8_TOLERANCE = 1e-4, 5e-3, 0.1  # of probabilities, by the storage of the weights
_HALF = (with_half_weights, HALF_TOLERANCE)
STORAGES = {"float32": (), "float16": (_HALF,), "int8": ((with_int8_weights, INT8_TOLERANCE), _HALF)}
"""How the weights may be stored: what is tried, one after the other."""

BATCH = 256

Arrays: TypeAlias = Mapping[str, NDArray[np.float32]]

Answers: TypeAlias = Callable[[NDArray[np.uint8]], Mapping[str, Any]]
"""Probabilities of crops (n, size, size): output -> (n, labels)."""


def stored(
    data: bytes, path: Path, answers: Answers, images: NDArray[np.uint8], storage: str
) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """An ONNX model in fewer bytes, if its answers stay what they are.

    Args:
        data: the model, its weights stored as float32.
        path: where it will be, for messages.
        answers: what it should answer.
        images: (n, size, size) on which that is compared.
        storage: a key of `STORAGES`.

    Returns:
        The file, and its probabilities of the images.

    Raises:
        ExportError: as it is, it answers otherwise than it should, by more than 1e-4.
    """
    probabilities = _checked_answers(data, path, answers, images, TOLERANCE)
    for smaller, tolerance in STORAGES[storage]:
        compact = smaller(data)
        try:
            return compact, _checked_answers(compact, path, answers, images, tolerance)
        except ExportError:
            continue  # a network that needs more digits keeps them
    return data, probabilities


def _checked_answers(
    data: bytes, path: Path, answers: Answers, images: NDArray[np.uint8], tolerance: float
) -> dict[str, NDArray[np.float32]]:
    """The ONNX model's probabilities on the images, if they are those that are expected."""
    session = open_session(data, path, ExportError)
    names = [output.name for output in session.get_outputs()]
    got: dict[str, list[Any]] = {name: [] for name in names}
    worst = 0.0
    for i in range(0, len(images), BATCH):
        batch = images[i : i + BATCH]
        expected = answers(batch)
        for name, values in zip(
            names, session.run(names, {session.get_inputs()[0].name: batch}), strict=True
        ):
            got[name].append(values)
            # Unlike `max`, this keeps a NaN.
            worst = float(np.maximum(worst, np.abs(values - np.asarray(expected[name])).max()))
    if not worst <= tolerance:
        raise ExportError(
            f"the exported model differs from the trained one by {worst:.1e}, expected {tolerance:.0e} at most; "
            "try another version of keras or tf2onnx"
        )
    return {name: np.concatenate(parts) for name, parts in got.items()}
