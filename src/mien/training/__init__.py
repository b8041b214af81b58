"""Training with Keras 3: the only part of mien that imports it, and neutral to Keras' backend.

    from mien import load_dataset
    from mien.training import combine, train

    train(load_dataset("fer2013.csv"), "runs/first", combine("tutorial-cnn", None, {"epochs": 20}))

    train               a network: from a dataset to a run with the exported model
    TrainConfig         every setting of a run
    combine             the settings of a recipe or a file, with changes on top
    Augmentation        how far pictures are changed while training
    augment             pictures, changed at random
    ensemble            several trained models as one, which answers with their mean
    quantize            a model that calculates in int8, of one that does not
    hold_out            a dataset with a validation split, taken from its training split
    NETWORKS            the networks by name; one of your own is a function more
    build_model         a network with its heads
    train_detector      a face detector: from photographs to a run with the exported detector
    DetectorConfig      every setting of such a run
    load_photographs    photographs with the boxes of their faces, from Parquet

TensorFlow is the default. `KERAS_BACKEND=jax` (on a GPU, say) trains as well; its run is exported by resuming it
with TensorFlow, for which Keras has a converter to ONNX in the extra `train`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError

_WITHOUT_TENSORFLOW = "where pip finds no TensorFlow for this Python, train with one of 3.11 to 3.13"


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Nothing on stderr, not even from C++: TensorFlow notes a missing GPU before any setting can stop it."""
    kept = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


# What TensorFlow's C++ calls an error is, on a machine without a GPU, that there is none; real ones are raised.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# It warns of work done twice where a run uses more than one model, which is meant.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

try:
    with _silent_stderr():
        import keras as _keras  # noqa: F401
except ModuleNotFoundError as error:
    later = sys.version_info >= (3, 14)
    raise MissingExtraError("training", "train", _WITHOUT_TENSORFLOW if later else "") from error

# Now, and not at their first use: `train` is the name of a module, too, and would be that as soon as it is imported.
from mien.training.augmentation import Augmentation, augment  # noqa: E402
from mien.training.config import TrainConfig, combine  # noqa: E402
from mien.training.derived.ensemble import ensemble  # noqa: E402
from mien.training.derived.quantize import quantize  # noqa: E402
from mien.training.networks import NETWORKS, build_model  # noqa: E402
from mien.training.splits import hold_out  # noqa: E402
from mien.training.train import train  # noqa: E402

if TYPE_CHECKING:
    from mien.training.detector.config import DetectorConfig
    from mien.training.detector.photographs import load_photographs
    from mien.training.detector.train import train_detector

__all__ = [
    "NETWORKS",
    "Augmentation",
    "DetectorConfig",
    "TrainConfig",
    "augment",
    "build_model",
    "combine",
    "ensemble",
    "hold_out",
    "load_photographs",
    "quantize",
    "train",
    "train_detector",
]

_MODULES = {"DetectorConfig": "config", "load_photographs": "photographs", "train_detector": "train"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'mien.training' has no attribute {name!r}")
    return getattr(import_module(f"mien.training.detector.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
