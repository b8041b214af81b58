"""Weights of TensorFlow.js: a manifest in JSON, and files of plain numbers beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import TrainingError
from mien.models.registry import MAX_MODEL_BYTES

_MAX_MANIFEST_BYTES = 2**20
_QUANTIZED: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}


@dataclass(frozen=True)
class _Tensor:
    """Where the manifest says that an array is, in the bytes of its group, and how it is stored."""

    name: str
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    scale: float = 1.0
    minimum: float = 0.0

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * self.stored.itemsize

    def read(self, data: bytes, offset: int) -> NDArray[np.float32]:
        """The numbers."""
        numbers = np.frombuffer(data, self.stored, count=math.prod(self.shape), offset=offset)
        return (numbers * self.scale + self.minimum).astype(np.float32).reshape(self.shape)


def read_tfjs_file(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of a manifest: as 32-bit floats, or as whole numbers of 8 or 16 bits with a scale and a minimum.

    Args:
        path: of the manifest; the files that it names are in the same folder.

    Returns:
        Name -> array.

    Raises:
        TrainingError: it is no such manifest, or its files are missing or of another size.
        OSError: one of them cannot be read.
    """
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, expected at most {_MAX_MANIFEST_BYTES}")
        groups = json.loads(path.read_bytes())
        return {name: array for group in groups for name, array in _group(group, path.parent)}
    except OSError:
        raise
    except Exception as error:  # a manifest that is none raises anything
        raise TrainingError(
            f"{path}: not a manifest of TensorFlow.js weights ({' '.join(str(error).split())[:200]}); expected the "
            "file of the package, unchanged, and its .bin file beside it"
        ) from None


def _group(group: dict[str, Any], folder: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    tensors = [_tensor(entry) for entry in group["weights"]]
    data = _bytes([_beside(folder, name) for name in group["paths"]], sum(tensor.size for tensor in tensors))
    offset = 0
    for tensor in tensors:
        yield tensor.name, tensor.read(data, offset)
        offset += tensor.size


def _beside(folder: Path, name: str) -> Path:
    """A file that the manifest names: in its own folder, so that it cannot name any other."""
    if not name or name == ".." or PureWindowsPath(name).name != name:  # knows / and \ and drives
        raise ValueError(f"names the file {name!r}, expected one without a folder")
    path = folder / name
    if not path.is_file():
        raise ValueError(f"{name} is not beside it")
    return path


def _bytes(paths: list[Path], expected: int) -> bytes:
    found = sum(path.stat().st_size for path in paths)
    if found != expected:
        raise ValueError(f"{found} bytes of numbers where {expected} were announced")
    if found > MAX_MODEL_BYTES:
        raise ValueError(f"{found} bytes of numbers, expected at most {MAX_MODEL_BYTES}")
    return b"".join(path.read_bytes() for path in paths)


def _tensor(entry: dict[str, Any]) -> _Tensor:
    name, shape, quantized = str(entry["name"]), tuple(entry["shape"]), entry.get("quantization")
    if not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"{name} has the shape {shape}")
    if entry["dtype"] != "float32":
        raise ValueError(f"{name} holds {entry['dtype']}, expected float32")
    if quantized is None:
        return _Tensor(name, shape, np.dtype("<f4"))
    if quantized["dtype"] not in _QUANTIZED:
        raise ValueError(f"{name} is stored as {quantized['dtype']}, expected {' or '.join(_QUANTIZED)}")
    scale, minimum = float(quantized["scale"]), float(quantized["min"])
    if not math.isfinite(scale) or not math.isfinite(minimum):
        raise ValueError(f"{name} has the scale {scale} and the minimum {minimum}")
    return _Tensor(name, shape, _QUANTIZED[quantized["dtype"]], scale, minimum)
