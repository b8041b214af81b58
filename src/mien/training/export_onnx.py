"""A Keras network as an ONNX file that says itself what it is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import keras
import onnx

from mien._core.files import write_atomically
from mien.errors import ExportError

UNLICENSED = "not stated: the person who trained the network decides"


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
            warnings.simplefilter("ignore")  # the converter's, about other versions of its dependencies
            serving.export(path, format="onnx", verbose=False, input_signature=[signature])
    except ImportError as error:
        raise ExportError(
            f"Keras cannot export with its backend {keras.backend.backend()} here ({error}); nothing is lost: "
            "run the same command with KERAS_BACKEND=tensorflow and --resume"
        ) from error


def describe(path: Path, words: Mapping[str, str]) -> None:
    """Write into an ONNX file's metadata what a reader of the file alone must know; the network is unchanged."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(words))
    write_atomically(path, model.SerializeToString())
