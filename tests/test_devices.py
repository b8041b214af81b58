"""Training on several devices comes to the same as on one: real runs on simulated devices of JAX."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typed
from PIL import Image

pytest.importorskip("jax")

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("several_devices.py")


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


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def came_out(tree: Path, runs: Path) -> dict[str, Any]:
    """What a process with two devices did."""
    command = [sys.executable, str(SCRIPT), str(tree), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_same_losses_as_on_one_device(came_out: dict[str, Any], runs: Path):
    histories = []
    for name in ("one", "two"):
        with (runs / name / "history.csv").open() as file:
            histories.append([{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)])
    one, two = histories
    assert len(one) == len(two) == 2
    for first, second in zip(one, two, strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-4)


def test_every_device_has_a_copy_of_the_weights_and_its_share_of_a_batch(came_out: dict[str, Any]):
    assert came_out["placed"] == {"devices": 2, "whole": True, "axis": "batch", "after": None}


@pytest.mark.parametrize(
    ("devices", "options", "backend", "words"),
    [
        (3, (), "jax", "3 devices, of which JAX sees 2"),
        (2, ("--batch-size", "15"), "jax", "expected a multiple of 2"),
        (2, (), "tensorflow", "expected JAX: set KERAS_BACKEND=jax"),
    ],
)
def test_what_cannot_be_shared_is_said_before_training(
    devices: int,
    options: tuple[str, ...],
    backend: str,
    words: str,
    came_out: dict[str, Any],
    runs: Path,
    tree: Path,
):
    if backend == "tensorflow":  # as it is here
        done = typed.run("train", tree, "--output", runs / "here", "--devices", str(devices), *options)
        name, code, said = "here", done.returncode, done.stderr
    else:
        name = {3: "three", 2: "odd"}[devices]
        code, said = came_out[name]["code"], came_out[name]["words"]
    assert code != 0
    assert words in said
    assert not (runs / name).exists()
