"""Training on several devices comes to the same as on one: real runs on simulated devices of JAX."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("jax")

ENVIRONMENT = {
    **os.environ,
    "KERAS_BACKEND": "jax",
    "CUDA_VISIBLE_DEVICES": "",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 44 pictures each: the last batch of a split is not a whole one."""
    root = tmp_path_factory.mktemp("tree")
    rng = np.random.default_rng(0)
    for label, grey in (("happy", 90), ("sad", 160)):
        (root / label).mkdir()
        for i in range(44):
            pixels = rng.normal(grey, 30, (48, 48)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def train(tree: Path, run: Path, devices: int, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "mien",
                "train",
                str(tree),
                "--output",
                str(run),
                "--devices",
                str(devices),
            ),
            *("--network", "tutorial-cnn", "--epochs", "2", "--batch-size", "16", *options),
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
    )


def test_the_same_losses_as_on_one_device(tree: Path, tmp_path: Path):
    histories = []
    for devices in (1, 2):
        train(tree, tmp_path / str(devices), devices)
        with (tmp_path / str(devices) / "history.csv").open() as file:
            histories.append([{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)])
    one, two = histories
    assert len(one) == len(two) == 2
    for first, second in zip(one, two, strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-4)


def test_every_device_has_a_copy_of_the_weights_and_its_share_of_a_batch():
    code = """
import numpy as np
from mien.training.devices import spread_over
from mien.training.models import build_model
with spread_over(2, 16):
    model = build_model("tutorial-cnn", {"labels": 2}, view=48, dropout=0.0)
    kernel = model.trainable_variables[0].value
    import keras
    batch = keras.distribution.distribution().get_data_layout((16, 48, 48, 1))
    print(len(kernel.sharding.device_set), kernel.is_fully_replicated, batch.axes[0])
import keras
print(keras.distribution.distribution())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["2 True batch", "None"], done.stderr


@pytest.mark.parametrize(
    ("devices", "options", "backend", "words"),
    [
        (3, (), "jax", "3 devices, of which JAX sees 2"),
        (2, ("--batch-size", "15"), "jax", "expected a multiple of 2"),
        (2, (), "tensorflow", "expected JAX: set KERAS_BACKEND=jax"),
    ],
)
def test_what_cannot_be_shared_is_said_before_training(
    devices: int, options: tuple[str, ...], backend: str, words: str, tree: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setitem(ENVIRONMENT, "KERAS_BACKEND", backend)
    done = train(tree, tmp_path / "run", devices, *options)
    assert done.returncode != 0
    assert words in done.stderr
    assert not (tmp_path / "run").exists()
