"""`model.weights.h5`: a network's weights as Keras reads them, beside its ONNX file, so that training can go on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from mien.errors import TrainingError
from mien.models.registry import MAX_MODEL_BYTES, WEIGHTS_FILE

_LAYERS = "layers"  # what Keras calls the group of a model's layers; an optimizer lies beside it


def halved(weight: NDArray[np.generic]) -> NDArray[np.generic]:
    """A kernel in half precision; a number beyond it becomes infinite.

    Offsets and the statistics of batch normalization are few, and a variance may be beyond float16: they stay.
    """
    if weight.ndim < 2 or weight.dtype != np.float32:
        return weight
    with np.errstate(over="ignore"):
        return weight.astype(np.float16)


def write_weights(model: keras.Model, path: Path, *, half: bool) -> None:
    """Write a file for `keras.Model.load_weights` of a model that was built alike.

    Args:
        model: built; a compiled one's optimizer is left out.
        path: of the file, ending in ".weights.h5".
        half: store kernels in half precision; layers compute in float32 all the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / WEIGHTS_FILE
        model.save_weights(whole)
        with h5py.File(whole) as source, h5py.File(path, "w") as target:

            def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if isinstance(item, h5py.Dataset):
                    target[f"{_LAYERS}/{name}"] = halved(item[()]) if half else item[()]

            source[_LAYERS].visititems(copy)


def read_weights(model: keras.Model, path: Path) -> None:
    """Give a model the weights in a file, which may come from anywhere: it holds arrays and nothing that runs.

    Raises:
        TrainingError: it cannot be read, or is not of such a model.
    """
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, expected at most {MAX_MODEL_BYTES}")
        with h5py.File(path) as file:
            _check_plain(file)
        model.load_weights(path)
    except Exception as error:  # h5py's and Keras' own, of many kinds
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{path}: not the weights of a {model.name} ({reason}); expected what mien train wrote beside "
            "the model's ONNX file: copy that folder anew"
        ) from None


def _check_plain(file: h5py.File) -> None:
    """Raise unless all is in this file and fits into memory: a few bytes can stand for any number of zeros."""

    link = file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    if link is not None:
        raise ValueError(f"{link} is a link to elsewhere")
    arrays: dict[str, h5py.Dataset] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item

    file.visititems(note)
    for name, item in arrays.items():
        if item.external or item.is_virtual:
            raise ValueError(f"{name} lies in another file")
    size = sum(item.nbytes for item in arrays.values())
    if size > MAX_MODEL_BYTES:
        raise ValueError(f"{size} bytes of arrays, expected at most {MAX_MODEL_BYTES}")
