"""A process with JAX and two simulated devices, which runs several commands: `several_devices.py TREE FOLDER`.

JAX takes longer to load and to compile than such small runs take. What came out of each is printed as JSON.
"""

from __future__ import annotations

import json
import os
import sys

os.environ |= {
    "KERAS_BACKEND": "jax",
    "CUDA_VISIBLE_DEVICES": "",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
}

import keras
import typed
from small_runs import SETTINGS

from mien.training.devices import spread_over
from mien.training.networks import build_model


def train(tree: str, run: str, devices: int, *options: str) -> dict[str, object]:
    """What `mien train` says on so many devices."""
    words = ("train", tree, "--output", run, "--devices", str(devices), "--network", SETTINGS.network)
    done = typed.run(*words, "--epochs", "2", "--batch-size", "16", *options)
    return {"code": done.returncode, "words": done.stderr}


def placed() -> dict[str, object]:
    """Where two devices have the weights and a batch, and what is left of that afterwards."""
    with spread_over(2, 16):
        model = build_model(SETTINGS.network, {"labels": 2}, view=48, dropout=0.0)
        kernel = model.trainable_variables[0].value
        batch = keras.distribution.distribution().get_data_layout((16, 48, 48, 1))
        devices, whole = len(kernel.sharding.device_set), kernel.is_fully_replicated
    after = keras.distribution.distribution()
    return {"devices": devices, "whole": whole, "axis": batch.axes[0], "after": after}


if __name__ == "__main__":
    tree, folder = sys.argv[1:]
    print(
        json.dumps(
            {
                "one": train(tree, f"{folder}/one", 1),
                "two": train(tree, f"{folder}/two", 2),
                "three": train(tree, f"{folder}/three", 3),
                "odd": train(tree, f"{folder}/odd", 2, "--batch-size", "15"),
                "placed": placed(),
            }
        )
    )
