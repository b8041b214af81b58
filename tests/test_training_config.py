"""The settings of a run: their ranges, the recipes known by name, TOML files, and changes on top."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from small_runs import SETTINGS

from mien.errors import ModelError, SettingsError
from mien.training.augmentation import Augmentation
from mien.training.config import RECIPES, TrainConfig, combine, parse_setting
from mien.training.networks import NETWORKS


class TestSettings:
    def test_survive_json(self) -> None:
        settings = replace(
            SETTINGS, seed=7, view=40, ema_momentum=0.9, augmentation=Augmentation(rotation=3.5, mixup=0)
        )
        assert TrainConfig.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
        assert TrainConfig.from_dict(TrainConfig().to_dict()) == TrainConfig()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("network", "resnet-9000"),
            ("epochs", 0),
            ("batch_size", 1),
            ("learning_rate", 0),
            ("learning_rate", -0.1),
            ("learning_rate", float("nan")),
            ("learning_rate", float("inf")),
            ("view", 15),
            ("view", 49),
            ("warmup_epochs", -1),
            ("clean_epochs", -1),
            ("weight_decay", -1e-3),
            ("label_smoothing", 1.5),
            ("label_smoothing", -0.1),
            ("ferplus_weight", -1),
            ("dropout", 1.0),
            ("dropout", -0.1),
            ("ema_momentum", 1.5),
            ("ema_momentum", -0.1),
            ("seed", -1),
            ("early_stopping", -1),
            ("head_epochs", -1),
            ("head_learning_rate", 0),
            ("optimizer", "rmsprop"),
            ("schedule", "step"),
            ("class_weights", "yes"),
            ("mixed_precision", 1),
            ("epochs", 2.5),
            ("epochs", True),
            ("epochs", "ten"),
            ("network", 3),
        ],
    )
    def test_out_of_range(self, name: str, value: object) -> None:
        with pytest.raises(ValueError, match=name):
            replace(SETTINGS, **{name: value})

    def test_adam_has_no_weight_decay(self) -> None:
        with pytest.raises(ValueError, match="adamw"):
            replace(SETTINGS, optimizer="adam", weight_decay=0.1)
        assert replace(SETTINGS, optimizer="adamw", weight_decay=0.1).weight_decay == 0.1

    def test_one_origin_of_the_weights(self) -> None:
        with pytest.raises(ValueError, match="expected one of them"):
            replace(SETTINGS, init="mien-s", weights="imagenet")
        assert not SETTINGS.starts_trained
        assert replace(SETTINGS, init="mien-s").starts_trained
        assert replace(SETTINGS, weights="some.h5").starts_trained

    def test_a_file_holds_them_all(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        settings = replace(SETTINGS, optimizer="adamw", weights='a "file".h5', mixed_precision=True)
        settings.save(path)
        assert combine(None, str(path), {}) == settings


class TestRecipes:
    @pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
    def test_every_recipe_is_valid(self, name: str) -> None:
        assert combine(None, name, {}).network in NETWORKS

    def test_a_network_brings_its_own(self) -> None:
        own = combine("mien-s", None, {})
        assert combine(None, None, {}) == own
        assert (own.network, own.epochs, own.calibration_fraction) == ("mien-s", 50, 0.05)
        tutorial = combine("tutorial-cnn", None, {})
        assert (tutorial.optimizer, tutorial.learning_rate, tutorial.schedule) == ("adam", 1e-4, "constant")
        assert (tutorial.epochs, tutorial.batch_size, tutorial.view) == (100, 64, 48)
        assert tutorial.augmentation == Augmentation(*[0] * len(fields(Augmentation)))
        resnet = combine("resnet50", None, {})
        assert (resnet.weights, resnet.head_epochs > 0) == ("imagenet", True)

    def test_another_ones_for_a_network(self) -> None:
        own = combine("mien-s", None, {})
        assert combine("tutorial-cnn", "mien-s", {}) == replace(own, network="tutorial-cnn")

    def test_further_training_takes_over_network_and_view(self) -> None:
        settings = combine(None, None, {"init": "mien-s"})
        assert (settings.network, settings.view, settings.init) == ("mien-s", 44, "mien-s")
        assert settings.learning_rate < TrainConfig().learning_rate
        assert settings.head_epochs > 0
        assert settings == combine(None, "fine-tune", {})

    def test_further_training_of_no_model(self) -> None:
        with pytest.raises(ModelError, match="nowhere"):
            combine(None, None, {"init": "nowhere"})


class TestChanges:
    def test_come_last(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("epochs = 7\nseed = 3\n[augmentation]\nflip = 0.25\n")
        settings = combine("tutorial-cnn", str(path), {"seed": 4, "augmentation.mixup": 0.4})
        assert (settings.network, settings.epochs, settings.seed) == ("tutorial-cnn", 7, 4)
        assert settings.augmentation == Augmentation(flip=0.25, mixup=0.4)

    @pytest.mark.parametrize(
        ("text", "setting"),
        [
            ("optimizer=adamw", ("optimizer", "adamw")),
            ("optimizer = 'adamw'", ("optimizer", "adamw")),
            ("mixed_precision=true", ("mixed_precision", True)),
            ("augmentation.mixup=0.4", ("augmentation.mixup", 0.4)),
            ("epochs=3", ("epochs", 3)),
            ("init=runs/a=b", ("init", "runs/a=b")),
            ("init=", ("init", "")),
        ],
    )
    def test_are_read_as_toml_or_a_word(self, text: str, setting: tuple[str, Any]) -> None:
        assert parse_setting(text) == setting

    @pytest.mark.parametrize("text", ["epochs", "", "=3", " = 3"])
    def test_without_a_name_or_value(self, text: str) -> None:
        with pytest.raises(SettingsError, match="NAME=VALUE"):
            parse_setting(text)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"epoch": 3}, "unknown setting epoch: expected network, "),
            ({"augmentation.blur": 3}, r"unknown setting augmentation\.blur: expected rotation"),
            ({"augmentation.flip": 3}, "flip=3: expected a number from 0 to 1"),
            ({"augmentation.flip": "often"}, "flip='often': expected a number"),
            ({"augmentation": 3}, "augmentation 3: expected a table"),
            ({"epochs.more": 3}, "epochs"),
            ({"epochs": "ten"}, "epochs='ten': expected a whole number"),
            ({"learning_rate": "high"}, "learning_rate='high': expected a number"),
            ({"mixed_precision": "yes"}, "mixed_precision='yes': expected true or false"),
            ({"network": "vgg"}, "network='vgg': expected one of mien-s"),
            ({"optimizer": "adam"}, "adam has none"),
        ],
    )
    def test_that_are_wrong(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError, match=words) as caught:
            combine(None, "mien-s", changes)
        assert "\n" not in str(caught.value)

    def test_an_unknown_network(self) -> None:
        with pytest.raises(
            SettingsError, match="expected one of mien-s, mien-pool, mien-l, tutorial-cnn, resnet50"
        ):
            combine("vgg", None, {})

    def test_no_such_file(self) -> None:
        with pytest.raises(SettingsError, match=r"expected a TOML file.*mien-s.*tutorial-cnn"):
            combine(None, "no-such-recipe", {})

    @pytest.mark.parametrize("content", [b"epochs: 3", b"\xff\xfe"])
    def test_no_toml(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.toml").write_bytes(content)
        with pytest.raises(SettingsError, match="not a TOML file"):
            combine(None, str(tmp_path / "x.toml"), {})
