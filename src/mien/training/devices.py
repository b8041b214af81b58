"""Training on several devices of one machine, or of several: every device gets its share of each batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from mien.errors import SettingsError


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
