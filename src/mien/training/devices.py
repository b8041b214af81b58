"""What training computes with: the precision of the devices, and several of them, each with its share of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from mien._core.machine import x86_features
from mien.errors import SettingsError

NO_BFLOAT16 = (
    "mixed_precision: this processor has no instructions for bfloat16, so float32 is faster and used"
)


def precision(*, mixed: bool) -> str:
    """The dtype policy of a network: "mixed_bfloat16" where that is asked for and not slower, else "float32".

    An x86 processor without instructions for bfloat16 converts every number: `mien-s` trained at 10 images/s in
    place of 161 (TensorFlow 2.21, two AVX2 cores of an AMD EPYC, 2026-11-30). The weights are float32 either way.
    """
    return "mixed_bfloat16" if mixed and _computes_bfloat16() else "float32"


def _computes_bfloat16() -> bool:
    """Whether the device has instructions for bfloat16; True where that is not known."""
    features = x86_features()
    if not features or features & {"avx512_bf16", "amx_bf16"}:
        return True
    if keras.backend.backend() == "torch":
        import torch

        return bool(torch.cuda.is_available())
    return any(not device.startswith("cpu") for device in keras.distribution.list_devices())


@contextmanager
def spread_over(devices: int, batch_size: int) -> Iterator[None]:
    """While it lasts, models are built as copies on that many devices, and their gradients are averaged.

    Data parallelism by `keras.distribution`, which Keras has for JAX. The batch size stays that of the whole batch, so
    a run gives the same result as on one device, except for the order of its sums.

    Args:
        devices: how many; 1 changes nothing.
        batch_size: pictures a step, on all devices together.

    Raises:
        SettingsError: another backend than JAX, fewer devices there, or a batch that they cannot share evenly.
    """
    found = find_devices(devices, batch_size)
    if not found:
        yield
        return
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def find_devices(devices: int, batch_size: int) -> list[str]:
    """The devices that share the batches; none where one alone takes them.

    Raises:
        SettingsError: as in `spread_over`.
    """
    if devices == 1:
        return []
    if keras.backend.backend() != "jax":
        raise SettingsError(
            f"{devices} devices with Keras on {keras.backend.backend()}; expected JAX: set KERAS_BACKEND=jax"
        )
    found = keras.distribution.list_devices()
    if len(found) < devices:
        raise SettingsError(f"{devices} devices, of which JAX sees {len(found)} ({', '.join(found)})")
    if batch_size % devices:
        raise SettingsError(f"batch_size {batch_size} on {devices} devices; expected a multiple of {devices}")
    return list(found[:devices])
