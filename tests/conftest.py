"""What several test modules share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.data.load import load_dataset
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.registry import MODEL_FILE, ModelConfig

HEADS = {"expression": LABELS, "fer2013": LABELS, "ferplus": FERPLUS_LABELS}
BRIGHTNESS_STEP = 20


LONGEST = (
    "test_flagship", "test_docs_code", "test_detector_training", "test_batch", "test_training",
    "test_training_start", "test_notebook", "test_nothing_is_sent", "test_docs_types", "test_server_page",
)  # fmt: skip
"""The files that take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that in the end no process is left alone with one of them."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with FER2013 and photographs that MIEN_DATA names."""
    if "MIEN_DATA" not in os.environ:
        pytest.skip("needs real data: set MIEN_DATA to the folder that holds fer2013/ and photos/")
    return Path(os.environ["MIEN_DATA"])


@pytest.fixture(scope="session")
def real_fer2013(real_data: Path) -> Dataset:
    """FER2013 as MIEN_DATA has it, read once: Training and PublicTest."""
    return load_dataset(real_data / "fer2013")


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """`write_brightness_model`, into the test's folder."""
    return partial(write_brightness_model, tmp_path)


@pytest.fixture(scope="module")
def write_shared_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The same for fixtures that several tests share."""
    return partial(write_brightness_model, tmp_path_factory.mktemp("models"))


def write_brightness_model(
    parent: Path,
    name: str = "brightness",
    outputs: Mapping[str, tuple[str, ...]] = HEADS,
    *,
    batch: int | str | None = "n",
    size: int = 48,
    input_type: str = "UINT8",
    output_type: str = "FLOAT",
    sharpness: float = 0.02,
    region: tuple[int, int, int, int] | None = None,
    **changes: Any,
) -> Path:
    """Writes a folder with a small ONNX model, whose answers are known, and its configuration.

    The model tells how bright a crop is: the mean nearest to 20 k means label k of every output. With a
    region (top, left, bottom, right) it sees that part of the crop only.
    """
    data = brightness_model(outputs, batch, size, input_type, output_type, sharpness, region)
    folder = parent / name
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(data)
    settings = {
        "name": name,
        "labels": outputs.get("expression", outputs.get("blend")),
        "outputs": outputs,
        "input_size": size,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    ModelConfig(**(settings | changes)).save(folder)
    return folder


def brightness_model(
    outputs: Mapping[str, tuple[str, ...]],
    batch: int | str | None,
    size: int,
    input_type: str,
    output_type: str,
    sharpness: float,
    region: tuple[int, int, int, int] | None = None,
) -> bytes:
    """Serialized ONNX: softmax of -sharpness * (mean - 20 k)^2, a linear layer on the mean."""
    from onnx import TensorProto, helper, numpy_helper

    kind = getattr(TensorProto, output_type)
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["pixels", "from", "to", "of"], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["means", "column"], ["mean"]),
    ]
    top, left, bottom, right = region or (0, 0, size, size)
    shapes = {"column": [-1, 1], "from": [top, left], "to": [bottom, right], "of": [1, 2]}
    constants = [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in shapes.items()]
    values = []
    for head, labels in outputs.items():
        centers = BRIGHTNESS_STEP * np.arange(len(labels), dtype=np.float32)
        constants += [
            numpy_helper.from_array(2 * sharpness * centers[None], f"{head}_weights"),
            numpy_helper.from_array(-sharpness * centers**2, f"{head}_bias"),
        ]
        nodes += [
            helper.make_node("Gemm", ["mean", f"{head}_weights", f"{head}_bias"], [f"{head}_logits"]),
            helper.make_node("Softmax", [f"{head}_logits"], [f"{head}_shares"], axis=1),
            helper.make_node("Cast", [f"{head}_shares"], [head], to=kind),
        ]
        values.append(helper.make_tensor_value_info(head, kind, [batch, len(labels)]))
    crops = helper.make_tensor_value_info("crops", getattr(TensorProto, input_type), [batch, size, size])
    graph = helper.make_graph(nodes, "brightness", [crops], values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())
