"""A Keras network as an ONNX file."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras

from mien.errors import ExportError


def write_onnx(serving: keras.Model, path: Path, signature: keras.InputSpec) -> None:
    """Write the file.

    Args:
        serving: with one input.
        path: of the file.
        signature: that input's; without it Keras would fix the batch at one image.

    Raises:
        ExportError: Keras cannot export with its backend here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's, of other versions of its own dependencies
            serving.export(path, format="onnx", verbose=False, input_signature=[signature])
    except ImportError as error:
        raise ExportError(
            f"Keras cannot export with its backend {keras.backend.backend()} here ({error}); nothing is lost: "
            "run the same command with KERAS_BACKEND=tensorflow and --resume"
        ) from error
