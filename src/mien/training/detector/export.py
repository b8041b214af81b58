"""From the trained detector to ONNX: uint8 pictures of any size in, the cells' answers out, the same as Keras gives."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
from keras import ops

from mien._core.files import write_atomically
from mien._core.version import __version__
from mien.errors import ExportError
from mien.faces.onnx_detector import MODEL_FILE, DetectorModel
from mien.models.onnx_runtime import open_session
from mien.training.detector.lean_graph import lean
from mien.training.export_onnx import UNLICENSED, describe, write_onnx

TOLERANCE = 2e-3
"""Most that an answer may differ from Keras' own, in logits, strides and their logarithms."""

_SIZES = ((96, 64), (160, 224))


def export_detector(model: keras.Model, folder: Path, config: DetectorModel | None = None) -> DetectorModel:
    """Write `mien.onnx` and `mien.json`.

    Args:
        model: what `build_detector` built, trained, computing in float32.
        folder: created if missing.
        config: what the JSON says besides the SHA-256 of the ONNX file; None for its defaults.

    Returns:
        The configuration that was written.

    Raises:
        ExportError: Keras cannot export here, or ONNX and Keras differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = keras.Input((None, None, 3), dtype="uint8", name="pictures")
    serving = keras.Model(pictures, model(ops.cast(pictures, "float32")))
    path = folder / MODEL_FILE
    signature = keras.InputSpec(shape=(None, None, None, 3), dtype="uint8", name="pictures")
    write_onnx(serving, path, signature)
    write_atomically(path, lean(path.read_bytes()))
    _check_parity(serving, path)
    describe(path, words_of())
    values = config or DetectorModel("")
    written = DetectorModel(
        **{
            **vars(values),
            "same_as": (),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "created_with": f"mien {__version__}, keras {keras.__version__} on {keras.backend.backend()}",
        }
    )
    written.save(folder)
    return written


def words_of(licence: str = UNLICENSED) -> dict[str, str]:
    """What the metadata of a detector's ONNX file says."""
    return {
        "name": "mien's face detector",
        "labels": json.dumps(["face"]),
        "input": "pictures: uint8 [n, height, width, 3], RGB from 0 to 255; height and width are multiples of 32",
        "output": "[n, cells, 15]: of each cell a score, a box and five points; mien's faces/grid.py reads them",
        "normalisation": "inside the network: pass pixels as they are",
        "licence": licence,
    }


def _check_parity(serving: keras.Model, path: Path) -> None:
    session = open_session(path.read_bytes(), path, ExportError)
    rng = np.random.default_rng(0)
    for height, width in _SIZES:
        batch = rng.integers(0, 256, (2, height, width, 3), np.uint8)
        expected = ops.convert_to_numpy(serving(batch, training=False))
        got = session.run(None, {session.get_inputs()[0].name: batch})[0]
        worst = float(np.abs(got - expected).max())
        if not worst <= TOLERANCE:
            raise ExportError(
                f"the exported detector differs from the trained one by {worst:.1e}, expected {TOLERANCE:.0e} "
                "at most; try another version of keras or tf2onnx"
            )
