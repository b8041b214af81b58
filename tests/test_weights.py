"""Model folders: their configuration, where they are found, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.errors import ModelError
from mien.labels import LABELS
from mien.models import registry as weights
from mien.models.registry import (
    CONFIG_FILE,
    DEFAULT_MODEL,
    MODEL_FILE,
    ModelConfig,
    available_models,
    read_model,
    resolve_model,
)

WriteModel = Callable[..., Path]


def config(**changes: object) -> ModelConfig:
    settings = {
        "name": "small",
        "labels": LABELS,
        "outputs": {"expression": LABELS},
        "input_size": 48,
        "sha256": "0" * 64,
    }
    return ModelConfig(**(settings | changes))  # type: ignore[arg-type]


def one_line(error: Exception) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    return text


class TestModelConfig:
    def test_comes_back_as_it_was_saved(self, tmp_path: Path) -> None:
        saved = config(
            outputs={"expression": LABELS, "labels": LABELS},
            temperature={"labels": 1.25},
            uncertain_below=1 / 3,
            data={"name": "faces", "sha256": "ab", "images": {"train": 7}},
            metrics={"expression": {"n": 3, "accuracy": 2 / 3}},
            training={"epochs": 2},
            created_with="mien 0",
        )
        saved.save(tmp_path)
        assert ModelConfig.load(tmp_path) == saved

    def test_lists_become_tuples(self) -> None:
        loaded = config(labels=list(LABELS), outputs={"expression": list(LABELS)})
        assert loaded.labels == LABELS
        assert loaded.outputs == {"expression": LABELS}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"labels": (), "outputs": {"expression": ()}}, "two or more"),
            ({"labels": ("a",), "outputs": {"expression": ("a",)}}, "two or more"),
            ({"labels": ("a", "a"), "outputs": {"expression": ("a", "a")}}, "all different"),
            ({"outputs": {}}, "expression"),
            ({"outputs": {"expression": LABELS[::-1]}}, "expression"),
            ({"input_size": 0}, "8 to 1024"),
            ({"input_size": -48}, "8 to 1024"),
            ({"input_size": 10**9}, "8 to 1024"),
        ],
    )
    def test_nonsense_is_refused(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            config(**changes)


class TestLoad:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="No such file") as caught:
            ModelConfig.load(tmp_path)
        assert str(tmp_path / CONFIG_FILE) in one_line(caught.value)

    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"[]", b"null", b"7", b"{}", b'{"name": "small"}', b"\xff\xfe{}", b"[" * 100_000],
        ids=["empty", "half", "list", "null", "number", "nothing", "name only", "no UTF-8", "deep"],
    )
    def test_not_a_configuration(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / CONFIG_FILE).write_bytes(text)
        with pytest.raises(ModelError, match="not the configuration of a model") as caught:
            ModelConfig.load(tmp_path)
        one_line(caught.value)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("labels", 7),
            ("labels", ["angry", ["disgust"]]),
            ("labels", list(range(7))),
            ("outputs", ["expression"]),
            ("outputs", {"expression": 3}),
            ("input_size", "48"),
            ("input_size", 48.0),
            ("input_size", None),
            ("sha256", None),
            ("sha256", 5),
            ("uncertain_below", "high"),
            ("uncertain_below", None),
            ("name", 3),
            ("colour", "blue"),
        ],
    )
    def test_a_field_of_another_kind(self, tmp_path: Path, field: str, value: object) -> None:
        good = {
            "name": "small",
            "labels": LABELS,
            "outputs": {"expression": LABELS},
            "input_size": 48,
            "sha256": "0" * 64,
        }
        outputs = {"expression": value} if field == "labels" else good["outputs"]
        (tmp_path / CONFIG_FILE).write_text(json.dumps(good | {"outputs": outputs, field: value}))
        with pytest.raises(ModelError, match="not the configuration of a model") as caught:
            ModelConfig.load(tmp_path)
        one_line(caught.value)


class TestResolve:
    def test_the_default_is_shipped(self) -> None:
        folder = resolve_model(DEFAULT_MODEL)
        assert (folder / MODEL_FILE).is_file()
        assert folder.parent == Path(weights.__file__).parent

    def test_every_shipped_model_is_found_by_its_name(self) -> None:
        models = available_models()
        assert DEFAULT_MODEL in [model.name for model in models]
        for model in models:
            assert ModelConfig.load(resolve_model(model.name)) == model
            read_model(resolve_model(model.name), model.sha256)

    def test_a_folder(self, write_model: WriteModel) -> None:
        folder = write_model()
        assert resolve_model(folder) == folder
        assert resolve_model(str(folder)) == folder

    def test_a_run(self, write_model: WriteModel, tmp_path: Path) -> None:
        (tmp_path / "runs").mkdir()
        write_model("runs/export")
        assert resolve_model(tmp_path / "runs") == tmp_path / "runs" / "export"

    def test_a_folder_in_the_working_directory(
        self, write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_model("mine")
        monkeypatch.chdir(tmp_path)
        assert resolve_model("mine").resolve() == tmp_path / "mine"

    @pytest.mark.parametrize(
        "name",
        ["mien-xxl", "", ".", "..", "../../x", "../../../etc", "/", "~", "a\0b", "x" * 5000, "mien-s/../.."],
        ids=lambda name: repr(name[:12]),
    )
    def test_no_such_model(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ModelError, match=f"no such model; expected .*{DEFAULT_MODEL}") as caught:
            resolve_model(name)
        one_line(caught.value)

    def test_a_file_is_no_model(self, write_model: WriteModel) -> None:
        with pytest.raises(ModelError, match="a file; expected"):
            resolve_model(write_model() / MODEL_FILE)


class TestReadModel:
    def test_the_bytes_that_the_configuration_describes(self, write_model: WriteModel) -> None:
        folder = write_model()
        data = read_model(folder, ModelConfig.load(folder).sha256)
        assert data == (folder / MODEL_FILE).read_bytes()
        assert hashlib.sha256(data).hexdigest() == ModelConfig.load(folder).sha256

    def test_missing(self, write_model: WriteModel) -> None:
        folder = write_model()
        settings = ModelConfig.load(folder)
        (folder / MODEL_FILE).unlink()
        with pytest.raises(ModelError, match="No such file") as caught:
            read_model(folder, settings.sha256)
        assert str(folder / MODEL_FILE) in one_line(caught.value)

    @pytest.mark.parametrize("change", ["a flipped bit", "one byte less", "nothing left"])
    def test_changed_bytes(self, write_model: WriteModel, change: str) -> None:
        folder = write_model()
        data = bytearray((folder / MODEL_FILE).read_bytes())
        if change == "a flipped bit":
            data[len(data) // 2] ^= 1
        elif change == "one byte less":
            del data[-1]
        else:
            data.clear()
        (folder / MODEL_FILE).write_bytes(data)
        with pytest.raises(ModelError, match=r"SHA-256 .* copy the folder, or load it again") as caught:
            read_model(folder, ModelConfig.load(folder).sha256)
        one_line(caught.value)

    def test_too_large(self, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = write_model()
        monkeypatch.setattr(weights, "MAX_MODEL_BYTES", 100)
        with pytest.raises(ModelError, match="expected at most 100"):
            read_model(folder, ModelConfig.load(folder).sha256)
