"""Weights in a file of `torch.save`, read without PyTorch and without running anything that the file names."""

from __future__ import annotations

import pickle  # only by way of `_Plain`, which makes numbers and nothing else
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mien.errors import TrainingError
from mien.models.registry import MAX_MODEL_BYTES

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8"), "HalfStorage": np.dtype("<f2")}


@dataclass(frozen=True)
class _Storage:
    """Numbers that come later in the file."""

    key: str
    dtype: np.dtype[Any]
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A part of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Plain(pickle.Unpickler):
    """Makes dictionaries, lists, numbers and words, and descriptions of tensors; refuses whatever else is named."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for, here."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise ValueError(f"names {module}.{name}, which is no tensor of numbers")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: its kind, key and length."""
        kind, dtype, key, _, length, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or any(part is not None for part in view):
            raise ValueError(f"holds a {kind}, expected a storage of numbers")
        return _Storage(str(key), dtype, int(length))


def read_torch_file(path: Path) -> dict[str, NDArray[np.generic]]:
    """The tensors of a state dictionary, in the form that `torch.save` wrote before PyTorch 1.6.

    Args:
        path: of the file.

    Returns:
        Name -> array, of float32, float16 or int64.

    Raises:
        TrainingError: it is no such file, or holds anything but tensors of numbers.
        OSError: it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, expected at most {MAX_MODEL_BYTES}")
        with path.open("rb") as file:
            return _read(file)
    except OSError:
        raise
    except Exception as error:  # a pickle that is none raises anything
        raise TrainingError(
            f"{path}: not weights that torch.save wrote ({' '.join(str(error).split())[:200]}); expected the file of "
            "the package, unchanged"
        ) from None


def _read(file: BinaryIO) -> dict[str, NDArray[np.generic]]:
    if [_Plain(file).load() for _ in range(2)] != [_MAGIC, _PROTOCOL]:
        raise ValueError("other first bytes")
    system, tensors, keys = (_Plain(file).load() for _ in range(3))
    if not system.get("little_endian"):
        raise ValueError("numbers with the most significant byte first")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {key: _numbers(file, storages[key]) for key in keys}
    return {name: _array(tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _numbers(file: BinaryIO, storage: _Storage) -> NDArray[np.generic]:
    (length,) = np.frombuffer(file.read(8), "<i8")
    if length != storage.length:
        raise ValueError(f"{length} numbers where {storage.length} were announced")
    return np.frombuffer(file.read(int(length) * storage.dtype.itemsize), storage.dtype, count=int(length))


def _array(tensor: _Tensor, numbers: NDArray[np.generic]) -> NDArray[np.generic]:
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.offset, *tensor.shape, *tensor.strides, last) < 0 or last >= len(numbers):
        raise ValueError(
            f"a tensor of shape {tensor.shape} is not within its storage of {len(numbers)} numbers"
        )
    steps = [step * numbers.itemsize for step in tensor.strides]
    # The filters of some networks are stored pixel by pixel, others row by row.
    return np.array(np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps))


def _tensor(storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
