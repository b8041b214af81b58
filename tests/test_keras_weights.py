"""`model.weights.h5`: written beside the ONNX file, read to train on, harmless whoever wrote it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import h5py
import keras
import numpy as np
from small_runs import SETTINGS, faces, fer2013
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.errors import ModelError, TrainingError
from mien.labels import LABELS
from mien.models.registry import CONFIG_FILE, MODEL_FILE, WEIGHTS_FILE, resolve_model
from mien.training.config import combine
from mien.training.export import export_onnx
from mien.training.finetune import load_weights
from mien.training.networks import build_model
from mien.training.optimization import Stage, compile_model
from mien.training.targets import held_out
from mien.training.train import train
from mien.training.weights import read_weights, write_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

HEADS = {"labels": LABELS}
SHIPPED = resolve_model("mien-s")


@pytest.fixture
def model() -> keras.Model:
    return build_model("two-layers", {"labels": 7})


def arrays(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if hasattr(item, "dtype") else {}))
    return found


class TestWritten:
    def test_keras_reads_it(self, model: keras.Model, tmp_path: Path) -> None:
        other = build_model("two-layers", {"labels": 7})
        write_weights(model, tmp_path / WEIGHTS_FILE, half=False)
        other.load_weights(tmp_path / WEIGHTS_FILE)
        for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_kernels_in_half_precision_the_rest_whole(self, tmp_path: Path) -> None:
        model = build_model("mien-s", {"labels": 7})
        variance = next(w for w in model.weights if w.name == "moving_variance")
        variance.assign(np.full(variance.shape, 1e6))  # beyond float16
        write_weights(model, tmp_path / WEIGHTS_FILE, half=True)
        kinds = {
            (value.ndim > 1, value.dtype.kind, value.dtype.itemsize)
            for value in arrays(tmp_path / WEIGHTS_FILE).values()
        }
        assert kinds == {(True, "f", 2), (False, "f", 4)}
        other = build_model("mien-s", {"labels": 7})
        read_weights(other, tmp_path / WEIGHTS_FILE)
        for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)

    def test_without_the_optimizer(self, model: keras.Model, tmp_path: Path) -> None:
        compile_model(model, SETTINGS, Stage(0, 2, 0.1), steps=5)
        write_weights(model, tmp_path / WEIGHTS_FILE, half=True)
        assert all(name.startswith("layers/") for name in arrays(tmp_path / WEIGHTS_FILE))

    @pytest.mark.parametrize(("size", "kept"), [(1.0, np.float16), (3e5, np.float32)])
    def test_a_network_that_needs_all_digits_keeps_them(
        self, model: keras.Model, size: float, kept: type, tmp_path: Path
    ) -> None:
        head = model.get_layer("labels")
        kernel, bias = head.get_weights()
        head.set_weights([kernel * size, bias])
        export_onnx(model, tmp_path, heads=HEADS, view=44, held_out=held_out(faces(60), HEADS, 0.4))
        assert {v.dtype for v in arrays(tmp_path / WEIGHTS_FILE).values() if v.ndim > 1} == {np.dtype(kept)}
        np.testing.assert_array_equal(head.get_weights()[0], kernel * size)

    def test_by_a_run_beside_its_onnx_file(self, tmp_path: Path) -> None:
        folder = train(fer2013(), tmp_path / "run", SETTINGS)
        assert {path.name for path in folder.iterdir()} == {
            MODEL_FILE,
            CONFIG_FILE,
            WEIGHTS_FILE,
            "README.md",
        }


def link_elsewhere(file: h5py.File, other: Path) -> None:
    file["layers/away"] = h5py.ExternalLink(str(other), "/layers")


def data_elsewhere(file: h5py.File, other: Path) -> None:
    file.create_dataset("layers/away", (8,), "u1", external=[(str(other), 0, 8)])


def view_of_elsewhere(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((7,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "layers/dense/vars/1", (7,))
    file.create_virtual_dataset("layers/away", layout)


def billions_of_zeros(file: h5py.File, other: Path) -> None:
    file.create_dataset("layers/zeros", (2**40,), "f4", chunks=(2**20,), compression="gzip")


class TestRead:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (link_elsewhere, "layers/away is a link to elsewhere"),
            (data_elsewhere, "layers/away lies in another file"),
            (view_of_elsewhere, "layers/away lies in another file"),
            (billions_of_zeros, "bytes of arrays, expected at most"),
        ],
    )
    def test_nothing_that_is_not_in_it(self, change, reason: str, model: keras.Model, tmp_path: Path) -> None:
        path = tmp_path / WEIGHTS_FILE
        write_weights(model, path, half=True)
        shutil.copy(path, tmp_path / "other.h5")
        with h5py.File(path, "a") as file:
            change(file, tmp_path / "other.h5")
        with pytest.raises(TrainingError, match=reason):
            read_weights(model, path)

    def test_not_of_another_network(self, model: keras.Model) -> None:
        with pytest.raises(TrainingError, match=r"not the weights of a two-layers .*expected") as caught:
            read_weights(model, SHIPPED / WEIGHTS_FILE)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("cut", [0, 100, 20_000])
    def test_not_a_damaged_one(self, cut: int, tmp_path: Path) -> None:
        path = tmp_path / WEIGHTS_FILE
        path.write_bytes((SHIPPED / WEIGHTS_FILE).read_bytes()[:cut])
        with pytest.raises(TrainingError, match="copy that folder anew"):
            read_weights(build_model("mien-s", {"labels": 7}), path)

    def test_not_those_of_another_model(self, tmp_path: Path) -> None:
        """Same network, same heads, other weights: what `--init` would go on from is not what people use."""
        shutil.copytree(SHIPPED, tmp_path / "mixed")
        heads = {"fer2013": LABELS, "ferplus": (*LABELS, "contempt")}
        write_weights(
            build_model("mien-s", {"fer2013": 7, "ferplus": 8}), tmp_path / "mixed" / WEIGHTS_FILE, half=True
        )
        model = build_model("mien-s", {"fer2013": 7, "ferplus": 8})
        with pytest.raises(TrainingError, match="answer otherwise than its ONNX file"):
            load_weights(model, str(tmp_path / "mixed"), heads, faces(16).images)


class TestModelsWithoutThem:
    def test_an_onnx_file_with_its_configuration(self, tmp_path: Path) -> None:
        for name in (MODEL_FILE, CONFIG_FILE):
            shutil.copy(SHIPPED / name, tmp_path)
        with pytest.raises(ModelError) as caught:
            combine(None, None, {"init": str(tmp_path)})
        for words in (str(tmp_path), MODEL_FILE, WEIGHTS_FILE, "mien train", "--resume"):
            assert words in str(caught.value)

    @pytest.mark.parametrize("name", [MODEL_FILE, WEIGHTS_FILE])
    def test_a_file(self, name: str) -> None:
        with pytest.raises(ModelError, match=rf"{name}: a file; expected .*a folder with"):
            combine(None, None, {"init": str(SHIPPED / name)})

    def test_is_said_before_the_data_are_read(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(
            command_line(),
            [
                "train",
                str(tmp_path / "gone"),
                "--output",
                str(tmp_path / "run"),
                "--init",
                str(SHIPPED / MODEL_FILE),
            ],
        )
        assert done.exit_code != 0
        assert "model.onnx: a file" in str(done.exception or done.output)
        assert not (tmp_path / "run").exists()

    def test_a_finished_run_writes_them_anew(self, tmp_path: Path) -> None:
        folder = train(fer2013(), tmp_path / "run", SETTINGS)
        before = arrays(folder / WEIGHTS_FILE)
        (folder / WEIGHTS_FILE).unlink()
        train(fer2013(), tmp_path / "run", resume=True)
        after = arrays(folder / WEIGHTS_FILE)
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)
