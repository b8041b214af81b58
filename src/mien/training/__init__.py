"""Training with Keras 3: the only part of mien that imports it, and neutral to Keras' backend.

TensorFlow is the default. `KERAS_BACKEND=jax` (on a GPU, say) trains as well; its run is exported by resuming it
with TensorFlow, for which Keras has a converter to ONNX in the extra `train`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
except ImportError as error:
    later = sys.version_info >= (3, 14)
    raise MissingExtraError("training", "train", _WITHOUT_TENSORFLOW if later else "") from error
