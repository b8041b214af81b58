"""What a run starts from: the networks, pretrained weights, a trained model; and which epochs train what."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import keras
import numpy as np
from keras import layers
from small_runs import SETTINGS, faces, fer2013, scores, train_and_keep

from mien.data.dataset import Dataset
from mien.data.load import load_dataset
from mien.errors import ModelError, TrainingError
from mien.labels import FERPLUS_LABELS, LABELS
from mien.metrics.calibration import softmax
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig
from mien.training.augmentation import Augmentation, center_view
from mien.training.batches import class_weights, training_batches
from mien.training.callbacks import History
from mien.training.config import TrainConfig, combine
from mien.training.finetune import load_weights
from mien.training.networks import NETWORKS, build_model
from mien.training.optimization import Stage, compile_model, stages
from mien.training.targets import heads_for
from mien.training.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


def nested(pixels: Any) -> Any:
    """As resnet50: a base of its own, whose convolutions have a bias before batch normalization."""
    inputs = keras.Input(pixels.shape[1:])
    x = layers.Conv2D(8, 3, strides=2)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(layers.Conv2D(16, 3, strides=2)(x)))
    base = keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="base")
    return base(layers.Rescaling(1 / 255)(pixels))


NETWORKS["nested"] = nested

ROOT = Path(__file__).parents[1]

BOTH = {"fer2013": LABELS, "ferplus": FERPLUS_LABELS}


def sizes(heads: dict[str, tuple[str, ...]]) -> dict[str, int]:
    return {name: len(labels) for name, labels in heads.items()}


def legacy_h5(model: keras.Model, path: Path) -> Path:
    """A file of weights as keras.applications offers them."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, model)
    return path


class TestNetworks:
    def test_the_tutorials(self) -> None:
        model = build_model("tutorial-cnn", {"labels": 7}, view=48, dropout=0.5)
        kinds = [type(layer).__name__ for layer in model.layers]
        assert kinds == [
            "InputLayer", "Rescaling", "Conv2D", "Conv2D", "MaxPooling2D", "Dropout", "Conv2D", "MaxPooling2D",
            "Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense", "Dropout", "Dense",
        ]  # fmt: skip
        assert [layer.filters for layer in model.layers if hasattr(layer, "filters")] == [32, 64, 128, 128]
        assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [0.25, 0.25, 0.5]
        # 320 + 18,496 + 73,856 + 147,584 + 2,098,176 + 7,175, counted by hand
        assert model.count_params() == 2_345_607

    @pytest.mark.parametrize("network", ["mien-s", "tutorial-cnn", "resnet50"])
    @pytest.mark.parametrize("mixed_precision", [False, True])
    def test_logits_of_every_head_in_float32(self, network: str, mixed_precision: bool) -> None:
        model = build_model(network, {"a": 3, "b": 2}, view=48, mixed_precision=mixed_precision)
        logits = model.predict_on_batch(faces(4).images[..., None].astype(np.float32))
        assert {name: (value.shape, value.dtype.name) for name, value in logits.items()} == {
            "a": ((4, 3), "float32"),
            "b": ((4, 2), "float32"),
        }
        assert all(weight.dtype == "float32" for weight in model.weights)
        assert keras.config.dtype_policy().name == "float32"

    @pytest.mark.parametrize(
        "features, devices, dtype",
        [
            ({"avx2"}, ["cpu:0"], "float32"),
            ({"avx2", "avx512f"}, ["cpu:0"], "float32"),
            ({"avx512_bf16"}, ["cpu:0"], "bfloat16"),
            ({"amx_bf16"}, ["cpu:0"], "bfloat16"),
            ({"avx2"}, ["gpu:0", "gpu:1"], "bfloat16"),
            (set(), ["cpu:0"], "bfloat16"),  # not known: as asked
        ],
    )
    def test_bfloat16_where_the_machine_has_it(
        self, features: set[str], devices: list[str], dtype: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mien.training.devices.x86_features", lambda: frozenset(features))
        monkeypatch.setattr("keras.distribution.list_devices", lambda: devices)
        model = build_model("two-layers", {"labels": 2}, mixed_precision=True)
        assert {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv2D)} == {
            dtype
        }
        assert model.layers[-1].compute_dtype == "float32"

    def test_a_run_says_that_it_computes_in_float32(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("mien.training.devices.x86_features", lambda: frozenset({"avx2"}))
        train(fer2013(), tmp_path, replace(SETTINGS, epochs=1, mixed_precision=True))
        assert "no instructions for bfloat16" in capfd.readouterr().err


class TestDocumentation:
    def test_the_example_of_a_network_of_ones_own_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = (Path(__file__).parents[1] / "docs" / "how-to" / "training.md").read_text(encoding="utf-8")
        (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        rows = [
            f"{target},{' '.join(map(str, image.ravel()))},Training"
            for image, target in zip(faces(70).images, faces(70).targets, strict=True)
        ]
        (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
        monkeypatch.chdir(tmp_path)
        exec(code.replace('"epochs": 20', '"epochs": 1, "batch_size": 16'), {})
        assert EmotionClassifier("runs/small").predict_proba(faces(2).images).shape == (2, 7)


class TestPretrained:
    @pytest.fixture(scope="class")
    @classmethod
    def base(cls) -> keras.Model:
        keras.utils.set_random_seed(5)
        return keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")

    @pytest.mark.parametrize("kind", ["keras.applications", "save_weights"])
    def test_a_file(self, base: keras.Model, tmp_path: Path, kind: str) -> None:
        path = tmp_path / ("base.h5" if kind == "keras.applications" else "base.weights.h5")
        if kind == "keras.applications":
            legacy_h5(base, path)
        else:
            base.save_weights(path)
        model = build_model("resnet50", {"labels": 7}, view=48, weights=str(path))
        nested = next(layer for layer in model.layers if isinstance(layer, keras.Model))
        assert all(
            np.array_equal(a, b) for a, b in zip(nested.get_weights(), base.get_weights(), strict=True)
        )
        # The picture reaches the base as keras.applications prepares a colour picture.
        grey = faces(2).images
        colour = np.repeat(grey[..., None], 3, axis=3).astype(np.float32)
        features = base.predict(keras.applications.resnet.preprocess_input(colour), verbose=0)
        kernel, bias = model.get_layer("labels").get_weights()
        logits = model.predict(grey[..., None].astype(np.float32), verbose=0)["labels"]
        np.testing.assert_allclose(logits, features @ kernel + bias, rtol=1e-3, atol=1e-3)

    def test_without_a_network_it_says_which_file_to_bring(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(TrainingError) as caught:
            train(fer2013(), tmp_path / "run", combine("resnet50", None, {}))
        message = str(caught.value)
        for words in ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "--weights", str(tmp_path)):
            assert words in message
        assert "\n" not in message
        assert not (tmp_path / "run").exists()

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"gone\.h5.*expected"):
            build_model("resnet50", {"labels": 7}, view=48, weights=str(tmp_path / "gone.h5"))

    def test_a_file_of_something_else(self, tmp_path: Path) -> None:
        path = legacy_h5(build_model("tutorial-cnn", {"labels": 2}, view=48), tmp_path / "cnn.h5")
        with pytest.raises(TrainingError, match=r"cnn\.h5: not weights of resnet50"):
            build_model("resnet50", {"labels": 7}, view=48, weights=str(path))

    def test_a_network_without_a_base(self) -> None:
        with pytest.raises(TrainingError, match="mien-s has no pretrained base"):
            build_model("mien-s", {"labels": 7}, weights="imagenet")


class TestStartFrom:
    def test_the_shipped_model_answers_as_before(self) -> None:
        images = faces(64, seed=3).images
        model = build_model("mien-s", sizes(BOTH))
        load_weights(model, "mien-s", BOTH, images)
        classifier = EmotionClassifier("mien-s")
        logits = model.predict(center_view(images, 44)[..., None], verbose=0)
        for head in BOTH:
            expected = classifier.predict_proba(images, head=head)
            got = softmax(logits[head], classifier.config.temperature[head])
            np.testing.assert_allclose(got, expected, atol=3e-2)

    def test_on_real_faces_weights_without_an_onnx_file_are_as_right_as_they_were(
        self, real_data: Path
    ) -> None:
        part = load_dataset(real_data / "fer2013" / "public_test.parquet").split()
        model = build_model("mien-s", sizes(BOTH))
        load_weights(model, str(ROOT / "runs" / "flagship" / "teacher-3"), BOTH, part.images)
        pixels = center_view(part.images[:300], 44)[..., None]
        predicted = model.predict(pixels, verbose=0)["fer2013"].argmax(axis=1)
        assert (predicted == part.targets[:300]).mean() > 0.62  # 70 % of all 3,589 when it was made

    @pytest.mark.parametrize("source", ["mien-s"])
    def test_on_real_faces_it_answers_as_before_and_learns_on(self, source: str, real_data: Path) -> None:
        images = load_dataset(real_data / "fer2013" / "public_test.parquet").split().images[:300]
        model = build_model("mien-s", sizes(BOTH))
        load_weights(model, source, BOTH, images)
        classifier = EmotionClassifier(source)
        pixels = center_view(images, 44)[..., None]
        logits = model.predict(pixels, verbose=0)
        learning = model(pixels, training=True)
        for head in BOTH:
            expected = classifier.predict_proba(images, head=head)
            temperature = classifier.config.temperature[head]
            np.testing.assert_allclose(softmax(logits[head], temperature), expected, atol=3e-2)
            # In training, batch normalization uses the batch's own statistics: those of the file are near.
            drift = np.abs(softmax(np.asarray(learning[head]), temperature) - expected).mean()
            assert drift < 0.08

    def test_other_labels_get_a_new_head_on_the_same_trunk(self) -> None:
        heads = {"labels": ("bored", "engaged")}
        first, second = (build_model("mien-s", sizes(heads)) for _ in range(2))
        head = first.get_layer("labels").get_weights()
        for model in (first, second):
            load_weights(model, "mien-s", heads, faces(32).images)
        assert all(
            np.array_equal(a, b)
            for a, b in zip(first.get_weights()[:-2], second.get_weights()[:-2], strict=True)
        )
        assert np.array_equal(first.get_layer("labels").get_weights()[0], head[0])

    @pytest.mark.slow
    @pytest.mark.parametrize("network", ["tutorial-cnn", "nested"])
    def test_a_run(self, network: str, tmp_path: Path) -> None:
        changes = {"epochs": 2, "batch_size": 16, "view": 48, "learning_rate": 1e-3}
        train(fer2013(), tmp_path / "run", combine(network, None, changes))
        heads = heads_for(fer2013())
        model = build_model(network, sizes(heads), view=48)
        load_weights(model, str(tmp_path / "run"), heads, faces(64, seed=4).images)
        trained = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
        pixels = faces(8, seed=6).images[..., None].astype(np.float32)
        ours, theirs = (m.predict(pixels, verbose=0)["fer2013"] for m in (model, trained))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)

    def test_filters_have_the_size_of_new_ones(self) -> None:
        model = build_model("mien-s", {"labels": 2})
        load_weights(model, "mien-s", {"labels": ("a", "b")}, faces(64).images)
        for layer in model.layers:
            if isinstance(layer, layers.Conv2D):
                norms = np.sqrt(np.square(layer.get_weights()[0]).sum(axis=(0, 1, 2)))
                np.testing.assert_allclose(norms, np.sqrt(2), rtol=1e-3)

    def test_another_network(self) -> None:
        model = build_model("tutorial-cnn", {"labels": 2}, view=48)
        with pytest.raises(TrainingError, match="init mien-s: a mien-s, expected a tutorial-cnn"):
            load_weights(model, "mien-s", {"labels": ("a", "b")}, faces(8).images)

    def test_no_such_model(self) -> None:
        model = build_model("mien-s", {"labels": 2})
        with pytest.raises(ModelError, match="nowhere"):
            load_weights(model, "nowhere", {"labels": ("a", "b")}, faces(8).images)

    @pytest.mark.slow
    def test_a_study_of_ones_own(self, tmp_path: Path) -> None:
        data = Dataset("study", ("bored", "engaged"), {"train": faces(80, ("fear", "happy"), votes=False)})
        settings = combine(None, None, {"init": "mien-s", "epochs": 3, "head_epochs": 2, "batch_size": 16})
        train(data, tmp_path, settings)
        classifier = EmotionClassifier(tmp_path)
        assert classifier.labels == ("bored", "engaged")
        assert classifier.config.metrics["labels"]["accuracy"] > 0.8
        assert json.loads((tmp_path / "train.json").read_text())["data"]["name"] == "study"


class TestStages:
    def test_a_new_network_learns_whole(self) -> None:
        settings = TrainConfig(epochs=9, head_epochs=3)
        assert stages(settings) == [Stage(0, 9, 0.12)]

    def test_a_trained_one_learns_its_heads_first(self) -> None:
        settings = TrainConfig(epochs=9, head_epochs=3, init="mien-s", head_learning_rate=0.5)
        assert stages(settings) == [Stage(0, 3, 0.5, frozen=True), Stage(3, 9, 0.12)]

    def test_the_whole_must_learn_too(self) -> None:
        with pytest.raises(ValueError, match="head_epochs=9 of 9 epochs: expected fewer"):
            TrainConfig(epochs=9, head_epochs=9, init="mien-s")

    def test_the_frozen_part_stays_and_then_moves(self) -> None:
        settings = replace(SETTINGS, epochs=4, head_epochs=2, init="mien-s", ema_momentum=0.0)
        model = build_model("two-layers", sizes(BOTH))
        heads = {name: model.get_layer(name) for name in BOTH}
        before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
        batch = next(training_batches(faces(84), BOTH, settings, 0))
        moved = []
        for stage in stages(settings):
            compile_model(model, settings, stage, steps=5)
            for _ in range(3):
                model.train_on_batch(*batch)
            moved.append(
                {
                    layer.name
                    for layer in model.layers
                    if layer.weights
                    and any(
                        not np.array_equal(a, b)
                        for a, b in zip(layer.get_weights(), before[layer.name], strict=True)
                    )
                }
            )
        assert moved == [set(heads), set(before)]

    @pytest.mark.slow
    def test_stopped_in_either_stage_it_goes_on_to_the_same_result(self, tmp_path: Path) -> None:
        settings = combine(
            None,
            None,
            {"init": str(source_run(tmp_path)), "epochs": 4, "head_epochs": 2, "batch_size": 16, "seed": 3},
        )
        stopped = train_and_keep(fer2013(), tmp_path / "whole", settings, before_checkpoint=True)
        expected = keras.models.load_model(tmp_path / "whole" / "model.keras", compile=False).get_weights()
        for epochs in (1, 2, 3):
            run = stopped[epochs]
            assert len(History(run / "history.csv").rows()) == epochs + 1
            train(fer2013(), run, resume=True)
            assert (run / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()
            got = keras.models.load_model(run / "model.keras", compile=False).get_weights()
            assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def source_run(folder: Path) -> Path:
    train(fer2013(), folder / "source", replace(SETTINGS, epochs=2))
    return folder / "source"


def stop_after(epochs: int):
    """As Ctrl-C would at the beginning of what follows the last of these epochs."""
    original = History.on_epoch_end

    def on_epoch_end(self: History, epoch: int, logs: dict[str, float] | None = None) -> None:
        original(self, epoch, logs)
        if epoch == epochs:
            raise KeyboardInterrupt

    return on_epoch_end


@pytest.mark.slow
class TestEarlyStopping:
    def settings(self, **changes: object) -> TrainConfig:
        return replace(SETTINGS, epochs=40, early_stopping=2, schedule="constant", **changes)

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("runs") / "stopping"
        train(fer2013(), folder, cls().settings(learning_rate=0.05))
        return folder

    def test_stops_when_nothing_better_comes_and_keeps_the_best(self, run: Path) -> None:
        rows = History(run / "history.csv").rows()
        accuracies = [row["val_fer2013_accuracy"] for row in rows]
        best = int(np.argmax(accuracies)) + 1
        assert len(rows) == best + 2 < 40
        with np.load(run / "best.npz") as state:
            assert int(state["epochs"]) == best
        # Scored is the exported file: the best epoch's weights, as they were validated.
        assert scores(run)["fer2013"]["accuracy"] == pytest.approx(max(accuracies), abs=1e-4)

    def test_a_finished_one_is_not_trained_on(self, run: Path) -> None:
        before = (run / "history.csv").read_bytes(), scores(run)
        train(fer2013(), run, resume=True)
        assert ((run / "history.csv").read_bytes(), scores(run)) == before

    def test_none(self, tmp_path: Path) -> None:
        train(fer2013(), tmp_path, replace(SETTINGS, epochs=3, early_stopping=0, ema_momentum=0.0))
        assert len(History(tmp_path / "history.csv").rows()) == 3
        assert not (tmp_path / "best.npz").exists()


class TestOtherWaysToLearn:
    @pytest.mark.slow
    @pytest.mark.parametrize("optimizer", ["adam", "adamw"])
    @pytest.mark.parametrize("mixed_precision", [False, True])
    def test_learn_as_well(self, optimizer: str, mixed_precision: bool, tmp_path: Path) -> None:
        settings = replace(
            SETTINGS,
            optimizer=optimizer,
            weight_decay=0.0 if optimizer == "adam" else 0.01,
            learning_rate=0.01,
            mixed_precision=mixed_precision,
            epochs=8,
        )
        train(fer2013(), tmp_path, settings)
        assert ModelConfig.load(tmp_path / "export").metrics["fer2013"]["accuracy"] > 0.4

    def test_a_constant_rate_stays(self) -> None:
        settings = replace(SETTINGS, schedule="constant", warmup_epochs=1, learning_rate=0.25)
        model = build_model("two-layers", {"labels": 2})
        compile_model(model, settings, stages(settings)[0], steps=10)
        schedule = model.optimizer._learning_rate
        assert [float(schedule(step)) for step in (0, 5, 10, 60, 119)] == pytest.approx(
            [0, 0.125, 0.25, 0.25, 0.25]
        )

    def test_classes_weigh_alike(self) -> None:
        labels = ("dark", "bright")
        split = _uneven()
        weights = class_weights(split, {"labels": labels}, replace(SETTINGS, class_weights="balanced"))
        np.testing.assert_allclose(weights, [40 / 60, 40 / 20])
        np.testing.assert_array_equal(class_weights(split, {"labels": labels}, SETTINGS), [1, 1])

    @pytest.mark.parametrize("mixup", [0.0, 0.2, 1.0])
    def test_each_class_counts_alike_mixed_or_not(self, mixup: float) -> None:
        settings = replace(
            SETTINGS, class_weights="balanced", batch_size=40, augmentation=Augmentation(mixup=mixup)
        )
        mass = np.zeros(2)
        for _, shares, weight in islice(
            training_batches(_uneven(), {"labels": ("dark", "bright")}, settings, 0), 6
        ):
            mass += (weight["labels"][:, None] * shares["labels"]).sum(axis=0)
        np.testing.assert_allclose(mass, [120, 120], rtol=1e-4)


def _uneven():
    """30 dark faces and 10 bright ones."""
    split = faces(40, ("fear", "happy"), votes=False)
    return replace(split, targets=(np.arange(40) % 4 == 0).astype(np.int64))


@pytest.mark.slow
class TestResumeFromATrainedModel:
    def test_does_not_need_that_model_any_more(self, tmp_path: Path) -> None:
        source = source_run(tmp_path)
        settings = combine(None, None, {"init": str(source), "epochs": 3, "head_epochs": 1, "batch_size": 16})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(History, "on_epoch_end", stop_after(2))
            with pytest.raises(KeyboardInterrupt):
                train(fer2013(), tmp_path / "run", settings)
        source.rename(tmp_path / "elsewhere")
        train(fer2013(), tmp_path / "run", resume=True)
        card = (tmp_path / "run" / "export" / "README.md").read_text()
        assert str(source) in card
        assert "The epoch was chosen" in card

    def test_a_new_run_does_not_go_on_from_a_left_checkpoint(self, tmp_path: Path) -> None:
        run = source_run(tmp_path)
        (run / "train.json").unlink()
        with pytest.raises(TrainingError, match="already holds a run"):
            train(fer2013(), run, SETTINGS)
