"""Training from end to end on small generated data: what is written, what is resumed, what is refused.

Most runs train a network of two small layers, registered as any other network would be; the last ones start
the command.
"""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import keras
import numpy as np
import onnx
import onnxruntime
import small_runs
import typed
from PIL import Image
from small_runs import SETTINGS, WITHOUT_COPY, faces, fer2013, scores, train_and_keep

from mien.data.dataset import Dataset, Split
from mien.errors import DatasetError, ExportError, TrainingError
from mien.evaluation.scores import evaluate
from mien.labels import FERPLUS_LABELS, LABELS
from mien.metrics.calibration import softmax
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig
from mien.training.augmentation import Augmentation, center_view
from mien.training.batches import ValidationBatches, as_batch, steps_per_epoch, training_batches
from mien.training.callbacks import Checkpoint, History
from mien.training.compression import storage
from mien.training.config import TrainConfig, combine
from mien.training.export import export_onnx
from mien.training.networks import build_model
from mien.training.optimization import LogitAdjusted, compile_model, stages
from mien.training.splits import hold_out
from mien.training.targets import (
    EXPRESSION,
    frequencies,
    heads_for,
    held_out,
    mixed,
    right_labels,
    targets_for,
)
from mien.training.train import train

pytestmark = WITHOUT_COPY

EPOCHS = SETTINGS.epochs
RUN_FILES = {
    "train.json", "config.toml", "history.csv", "checkpoint.npz", "model.keras", "curves.png", "metrics.json",
    "export/model.onnx", "export/model.weights.h5", "export/config.json", "export/README.md",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, two heads."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert train(fer2013(), folder, SETTINGS) == folder / "export"
    return folder


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run: Path) -> list[np.ndarray]:
    return keras.models.load_model(run / "model.keras", compile=False).get_weights()


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
class TestRun:
    def test_its_files(self, run: Path) -> None:
        files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
        assert files == RUN_FILES
        with Image.open(run / "curves.png") as curves:
            assert min(curves.size) > 200

    def test_history_has_one_row_an_epoch(self, run: Path) -> None:
        rows = history(run)
        assert [int(row["epoch"]) for row in rows] == list(range(1, EPOCHS + 1))
        columns = {"epoch", "learning_rate", "loss", "val_loss"} | {
            f"{split}{head}_{what}"
            for split in ("", "val_")
            for head in ("fer2013", "ferplus", "expression")
            for what in ("accuracy", "loss")
        }
        assert columns <= set(rows[0])
        values = np.array([[float(v) for v in row.values()] for row in rows])
        assert np.isfinite(values).all()

    def test_learning_rate_rises_and_falls_along_a_cosine(self, run: Path) -> None:
        rates = [float(row["learning_rate"]) for row in history(run)]
        progress = np.arange(EPOCHS) / (EPOCHS - 1)
        np.testing.assert_allclose(rates, 0.1 * (1 + np.cos(np.pi * progress)) / 2, atol=1e-4)

    def test_it_learned(self, run: Path) -> None:
        rows = history(run)
        assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
        metrics = json.loads((run / "metrics.json").read_text())
        assert all(metrics[head]["accuracy"] > 0.5 for head in ("expression", "fer2013", "ferplus"))

    def test_the_record_tells_how_it_was_made(self, run: Path) -> None:
        record = json.loads((run / "train.json").read_text())
        assert combine(None, str(run / "config.toml"), {}) == SETTINGS
        assert record["data"] == {
            "name": "fer2013",
            "sha256": fer2013().fingerprint(),
            "images": {"train": 84, "validation": 35},
        }
        assert record["versions"]["keras"] == keras.__version__

    def test_the_exported_configuration(self, run: Path) -> None:
        config = ModelConfig.load(run / "export")
        assert config.labels == LABELS
        assert config.outputs == {"expression": LABELS, "fer2013": LABELS, "ferplus": FERPLUS_LABELS}
        assert (config.name, config.input_size) == ("two-layers", 48)
        assert TrainConfig.from_dict(dict(config.training)) == SETTINGS
        assert config.data["sha256"] == fer2013().fingerprint()
        assert 0 <= config.uncertain_below <= 1
        assert all(0.1 <= t <= 10 for t in config.temperature.values())
        metrics = json.loads((run / "metrics.json").read_text())
        for head, summary in config.metrics.items():
            assert summary == {key: metrics[head][key] for key in summary}

    def test_the_scores_are_those_of_the_exported_file(self, run: Path) -> None:
        metrics = json.loads((run / "metrics.json").read_text())
        for head in ("expression", "fer2013", "ferplus"):
            report = evaluate(EmotionClassifier(run), fer2013(), split="validation", head=head)
            assert json.loads(json.dumps(report.to_dict())) == metrics[head]
        assert metrics["ferplus"]["n"] == 35 - 4  # every ninth face has no votes

    def test_the_card_says_what_it_is(self, run: Path) -> None:
        card = (run / "export" / "README.md").read_text()
        metrics = json.loads((run / "metrics.json").read_text())
        assert card.startswith("# two-layers\n")
        for words in ("fer2013", "84", *LABELS, f"{100 * metrics['expression']['accuracy']:.1f} %"):
            assert words in card


@pytest.mark.slow
class TestExportedModel:
    def test_the_onnx_file_says_what_it_is(self, run: Path) -> None:
        session = onnxruntime.InferenceSession(run / "export" / "model.onnx")
        said = session.get_modelmeta().custom_metadata_map
        config = ModelConfig.load(run / "export")
        assert json.loads(said["labels"]) == {head: list(labels) for head, labels in config.outputs.items()}
        assert said["input"].startswith("crops: uint8 [n, 48, 48], grey")
        assert "inside the network" in said["normalisation"] and "not stated" in said["licence"]
        assert said["name"] == config.name

    def test_onnx_equals_keras(self, run: Path) -> None:
        images = np.random.default_rng(3).integers(0, 256, (70, 48, 48), np.uint8)
        model = keras.models.load_model(run / "model.keras", compile=False)
        logits = model.predict(center_view(images, SETTINGS.view)[..., None], verbose=0)
        classifier = EmotionClassifier(run)
        train = fer2013().split("train")
        offset = SETTINGS.prior * np.log(frequencies(train, heads_for(fer2013()), SETTINGS.label_share))
        for head in ("fer2013", "ferplus", EXPRESSION):
            shifted = logits[head] + (offset if head == EXPRESSION else 0)
            expected = softmax(shifted, classifier.config.temperature[head])
            # The weights are stored in half precision.
            np.testing.assert_allclose(classifier.predict_proba(images, head=head), expected, atol=5e-3)

    def test_weights_take_two_bytes_each(self, run: Path) -> None:
        model = onnx.load(run / "export" / "model.onnx")
        large = [w for w in model.graph.initializer if np.prod(w.dims) >= 1024]
        assert large
        assert {w.data_type for w in large} == {onnx.TensorProto.FLOAT16}

    def test_weights_may_take_one_byte_each(self, run: Path, tmp_path: Path) -> None:
        export_again(run, tmp_path / "half")
        export_again(run, tmp_path / "small", storage="int8")
        types = {w.data_type for w in onnx.load(tmp_path / "small" / "model.onnx").graph.initializer}
        assert onnx.TensorProto.INT8 in types
        images = faces(40, seed=3).images
        half, small = (EmotionClassifier(tmp_path / name).predict_proba(images) for name in ("half", "small"))
        np.testing.assert_allclose(small, half, atol=0.1)
        assert 0 < np.abs(small - half).mean() < 0.02

    def test_probabilities_of_any_number_of_crops(self, run: Path) -> None:
        session = onnxruntime.InferenceSession(run / "export" / "model.onnx")
        images = np.random.default_rng(4).integers(0, 256, (130, 48, 48), np.uint8)
        images[0], images[1] = 0, 255
        everything = session.run(["expression", "fer2013", "ferplus"], {"crops": images})
        for n in (1, 2, 129):
            for whole, part in zip(
                everything,
                session.run(["expression", "fer2013", "ferplus"], {"crops": images[:n]}),
                strict=True,
            ):
                np.testing.assert_allclose(part, whole[:n], atol=1e-5)
        for probabilities in everything:
            assert probabilities.dtype == np.float32
            assert probabilities.min() >= 0
            assert probabilities.max() <= 1
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    def test_it_is_the_running_average_of_the_weights(self, run: Path) -> None:
        # The state to go on from holds both: the weights of the last step come first, the average later.
        with np.load(run / "checkpoint.npz") as state:
            values = [state[f"v{i}"] for i in range(len(state.files) - 1)]
        kernel = weights(run)[0]
        same = [
            i for i, value in enumerate(values) if value.shape == kernel.shape and (value == kernel).all()
        ]
        assert len(same) == 1
        assert same[0] > 0
        assert values[0].shape == kernel.shape

    def test_a_difference_is_an_error(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "TOLERANCE", -1)
        with pytest.raises(ExportError, match="differs from the trained one") as caught:
            export_again(run, tmp_path)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "config.json").exists()

    def test_a_backend_without_a_converter_says_what_to_do(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object, **__: object) -> None:
            raise ImportError("requires the jax2onnx module")  # what Keras says with JAX

        monkeypatch.setattr(keras.Model, "export", missing)
        with pytest.raises(ExportError, match=r"jax2onnx.*KERAS_BACKEND=tensorflow and --resume"):
            export_again(run, tmp_path)

    def test_a_network_that_answers_nan_is_an_error(self, run: Path, tmp_path: Path) -> None:
        with pytest.raises(ExportError):
            export_again(run, tmp_path, bias=np.nan)


def export_again(run: Path, folder: Path, bias: float | None = None, storage: str = "float16") -> None:
    model = keras.models.load_model(run / "model.keras", compile=False)
    if bias is not None:
        layer = model.get_layer("fer2013")
        layer.set_weights([layer.get_weights()[0], np.full(7, bias)])
    validation, heads = fer2013().split("validation"), heads_for(fer2013())
    export_onnx(
        model,
        folder,
        heads=heads,
        view=SETTINGS.view,
        held_out=held_out(validation, heads, SETTINGS.label_share),
        storage=storage,
    )


@pytest.mark.slow
class TestResume:
    @pytest.fixture(scope="class")
    @classmethod
    def killed(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A run with the settings of `run`, in a process killed after its first checkpoint."""
        folder = tmp_path_factory.mktemp("runs") / "killed"
        command = [sys.executable, small_runs.__file__, str(folder), json.dumps(SETTINGS.to_dict())]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(folder / "checkpoint.npz", process)
        finally:
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        return folder

    def test_a_killed_run_goes_on_to_the_same_result(self, run: Path, killed: Path) -> None:
        done = len(history(killed))
        assert 1 <= done < EPOCHS
        assert not (killed / "export").exists()
        # As if it had been killed between the row of the next epoch and its checkpoint.
        with (killed / "history.csv").open("a") as file:
            columns = len(history(killed)[0])
            file.write(",".join([str(done + 1), *["9"] * (columns - 1)]) + "\n")
        train(fer2013(), killed, resume=True)
        assert (killed / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
        assert equal(weights(killed), weights(run))
        assert scores(killed) == scores(run)
        images = faces(20, seed=5).images
        ours, theirs = (EmotionClassifier(folder).predict_proba(images) for folder in (killed, run))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)

    def test_a_finished_run_is_exported_again(self, run: Path, tmp_path: Path) -> None:
        for name in ("train.json", "config.toml", "history.csv", "checkpoint.npz"):
            (tmp_path / name).write_bytes((run / name).read_bytes())
        train(fer2013(), tmp_path, resume=True)
        assert equal(weights(tmp_path), weights(run))
        assert scores(tmp_path) == scores(run)
        assert (tmp_path / "history.csv").read_bytes() == (run / "history.csv").read_bytes()

    def test_a_folder_with_a_run(self, run: Path) -> None:
        before = (run / "train.json").read_bytes()
        with pytest.raises(TrainingError, match="already holds a run; add --resume"):
            train(fer2013(), run, SETTINGS)
        assert (run / "train.json").read_bytes() == before

    def test_nothing_to_resume(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="no run to resume"):
            train(fer2013(), tmp_path / "none", resume=True)
        assert not (tmp_path / "none").exists()

    def test_other_data(self, run: Path) -> None:
        data = fer2013()
        images = data.split("train").images.copy()
        images[0, 0, 0] ^= 1
        changed = replace(data, splits=data.splits | {"train": replace(data.split("train"), images=images)})
        with pytest.raises(TrainingError, match="other data"):
            train(changed, run, resume=True)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"config": {}, "data": {}}'])
    def test_a_broken_record(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "train.json").write_text(text)
        with pytest.raises(TrainingError, match=r"train\.json"):
            train(fer2013(), tmp_path, resume=True)

    def test_settings_of_another_version(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "train.json").write_bytes((run / "train.json").read_bytes())
        (tmp_path / "config.toml").write_text("momentum = 0.9\n" + (run / "config.toml").read_text())
        with pytest.raises(TrainingError, match="momentum"):
            train(fer2013(), tmp_path, resume=True)


@pytest.mark.slow
class TestSmallPicturesFirst:
    SMALL = replace(SETTINGS, epochs=4, low_res_epochs=2, low_res_view=24)

    @pytest.fixture(scope="class")
    @classmethod
    def stopped(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
        """What a run whose first two epochs see pictures of 24 pixels leaves behind after each epoch."""
        return train_and_keep(fer2013(), tmp_path_factory.mktemp("runs") / "small", cls.SMALL)

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, stopped: dict[int, Path]) -> Path:
        """That run."""
        return stopped[1].with_name("small")

    def test_sizes_of_the_batches(self) -> None:
        split, heads = fer2013().split("train"), heads_for(fer2013())
        for epoch, side in ((0, 24), (1, 24), (2, 44), (3, 44)):
            pixels, *_ = next(training_batches(split, heads, self.SMALL, epoch))
            assert pixels.shape == (16, side, side, 1)

    def test_one_history_and_one_schedule(self, whole: Path) -> None:
        rates = [float(row["learning_rate"]) for row in history(whole)]
        assert [row["epoch"] for row in history(whole)] == ["1", "2", "3", "4"]
        cosine = [self.SMALL.learning_rate * (1 + math.cos(math.pi * k / 3)) / 2 for k in range(4)]
        assert rates == pytest.approx(cosine, abs=1e-4)

    @pytest.mark.parametrize("epoch", [1, 2, 3])
    def test_stopped_in_either_part_or_between(
        self, whole: Path, stopped: dict[int, Path], epoch: int
    ) -> None:
        run = stopped[epoch]
        assert len(history(run)) == epoch
        assert not (run / "export").exists()
        train(fer2013(), run, resume=True)
        assert equal(weights(run), weights(whole))
        assert (run / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()

    def test_a_network_of_one_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="tutorial-cnn has one size"):
            TrainConfig(network="tutorial-cnn", low_res_epochs=3)


def wait_for(path: Path, process: subprocess.Popen[Any], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.005)


def compiled_for(model: keras.Model, settings: TrainConfig, steps: int) -> keras.Model:
    compile_model(model, settings, stages(settings)[-1], steps)
    return model


class TestCheckpoint:
    @pytest.fixture
    def compiled(self) -> keras.Model:
        model = build_model("two-layers", {"labels": 2})
        return compiled_for(model, SETTINGS, steps=3)

    def test_brings_every_variable_back(self, compiled: keras.Model, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", compiled)
        assert checkpoint.restore() == 0
        variables = [*compiled.variables, *compiled.optimizer.variables]
        before = [np.array(v) for v in variables]
        checkpoint.on_epoch_end(4)
        for variable in variables:
            variable.assign(variable + keras.ops.ones_like(variable))
        assert not equal([np.array(v) for v in variables], before)
        assert checkpoint.restore() == 5
        assert equal([np.array(v) for v in variables], before)
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]

    @pytest.mark.parametrize("content", ["nothing", "text", "half", "a changed byte", "an array"])
    def test_a_broken_file(self, compiled: keras.Model, tmp_path: Path, content: str) -> None:
        path = tmp_path / "checkpoint.npz"
        checkpoint = Checkpoint(path, compiled)
        checkpoint.on_epoch_end(0)
        data = bytearray(path.read_bytes())
        if content == "nothing":
            data.clear()
        elif content == "text":
            data[:] = b"not a checkpoint"
        elif content == "half":
            del data[len(data) // 2 :]
        elif content == "a changed byte":
            data[len(data) // 2] ^= 1
        path.write_bytes(data)
        if content == "an array":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
        with pytest.raises(TrainingError, match=r"checkpoint\.npz") as caught:
            checkpoint.restore()
        assert "\n" not in str(caught.value)

    def test_another_network(self, compiled: keras.Model, tmp_path: Path) -> None:
        Checkpoint(tmp_path / "checkpoint.npz", compiled).on_epoch_end(0)
        other = build_model("two-layers", {"labels": 3})
        compiled_for(other, SETTINGS, steps=3)
        with pytest.raises(TrainingError, match="expected"):
            Checkpoint(tmp_path / "checkpoint.npz", other).restore()

    def test_a_history_that_cannot_be_written_keeps_what_it_had(
        self, compiled: keras.Model, tmp_path: Path
    ) -> None:
        record = History(tmp_path / "history.csv")
        record.set_model(compiled)
        record.on_epoch_end(0, {"loss": 2.0})
        before = (tmp_path / "history.csv").read_bytes()
        with pytest.raises(ValueError, match="accuracy"):
            record.on_epoch_end(1, {"loss": 1.0, "accuracy": 0.5})
        assert (tmp_path / "history.csv").read_bytes() == before


@pytest.mark.slow
class TestOtherData:
    @pytest.fixture(scope="class")
    @classmethod
    def study(cls) -> Dataset:
        """Two labels that are no expressions, and no validation split."""
        labels = ("bored", "engaged")
        return Dataset("study", labels, {"train": faces(80, labels, votes=False)})

    @pytest.fixture(scope="class")
    @classmethod
    def studied(cls, study: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("runs") / "study"
        train(study, folder, replace(SETTINGS, epochs=6))
        return folder

    def test_labels_of_ones_own_give_one_head_and_a_model_that_works(
        self, study: Dataset, studied: Path
    ) -> None:
        classifier = EmotionClassifier(studied)
        assert classifier.labels == ("bored", "engaged")
        assert list(classifier.config.outputs) == ["expression", "labels"]
        images = study.split("train").images
        np.testing.assert_allclose(
            classifier.predict_proba(images), classifier.predict_proba(images, head="labels"), atol=1e-7
        )
        assert evaluate(classifier, study).accuracy > 0.8
        assert {p.emotion for p in classifier.classify(images)} == {"bored", "engaged"}

    def test_a_tenth_is_held_out_and_scored(self, study: Dataset, studied: Path) -> None:
        config = ModelConfig.load(studied / "export")
        assert config.data["images"] == {"train": 72, "validation": 8}
        assert json.loads((studied / "metrics.json").read_text())["expression"]["n"] == 8
        # What it was trained on can be compared with what `Dataset.fingerprint` says of the data.
        assert config.data["sha256"] == study.fingerprint()

    def test_another_seed_gives_another_model(self, study: Dataset, studied: Path, tmp_path: Path) -> None:
        # That the same seed gives the same one is shown by the resumed run above.
        train(study, tmp_path, replace(SETTINGS, epochs=6, seed=1))
        assert history(tmp_path)[0] != history(studied)[0]
        assert not equal(weights(tmp_path), weights(studied))

    def test_votes_in_training_only(self, tmp_path: Path) -> None:
        data = Dataset("fer2013", LABELS, {"train": faces(84), "validation": faces(35, votes=False, seed=2)})
        train(data, tmp_path, replace(SETTINGS, epochs=1))
        config = ModelConfig.load(tmp_path / "export")
        assert "ferplus" in config.outputs
        # There is nothing to fit it on, nor to score it on.
        assert config.temperature["ferplus"] == pytest.approx(1)
        assert set(config.metrics) == {"expression", "fer2013"}

    @pytest.mark.parametrize(
        "splits",
        [{"test": faces(14)}, {"train": faces(1)}, {"train": faces(7)}],
        ids=["no training images", "one image", "one image a class"],
    )
    def test_too_little_leaves_no_run_behind(self, tmp_path: Path, splits: dict[str, Split]) -> None:
        with pytest.raises(DatasetError):
            train(Dataset("fer2013", LABELS, splits), tmp_path / "run", SETTINGS)
        assert not (tmp_path / "run" / "train.json").exists()

    def test_one_class_alone_leaves_no_run_behind(self, tmp_path: Path) -> None:
        split = faces(28)
        one = replace(split, targets=np.zeros(28, np.int64))
        with pytest.raises(DatasetError, match="fewer than two classes"):
            train(Dataset("one", ("angry", "happy"), {"train": one}), tmp_path / "run", SETTINGS)
        assert not (tmp_path / "run").exists()

    def test_a_run_that_diverges_says_so(self, tmp_path: Path) -> None:
        settings = replace(SETTINGS, epochs=2, warmup_epochs=0, learning_rate=1e30)
        with pytest.raises(TrainingError, match="learning") as caught:
            train(fer2013(), tmp_path, settings)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "export").exists()
        if (tmp_path / "checkpoint.npz").exists():
            with np.load(tmp_path / "checkpoint.npz") as state:
                assert all(np.isfinite(value).all() for value in state.values())


class TestHoldOut:
    def test_takes_a_tenth_of_every_class(self) -> None:
        data = Dataset("fer2013", LABELS, {"train": faces(210), "test": faces(7)})
        held = hold_out(data)
        assert list(held.split("validation").class_counts(7)) == [3] * 7
        assert list(held.split("train").class_counts(7)) == [27] * 7
        names = held.split("train").names + held.split("validation").names
        assert sorted(names) == sorted(data.split("train").names)
        assert held.split("test") is data.split("test")
        assert hold_out(data).split("validation").names == held.split("validation").names

    def test_images_targets_and_votes_stay_together(self) -> None:
        data = Dataset("fer2013", LABELS, {"train": faces(70)})
        train_split = data.split("train")
        validation = hold_out(data).split("validation")
        rows = [train_split.names.index(name) for name in validation.names]
        np.testing.assert_array_equal(validation.images, train_split.images[rows])
        np.testing.assert_array_equal(validation.targets, train_split.targets[rows])
        assert validation.votes is not None
        assert train_split.votes is not None
        np.testing.assert_array_equal(validation.votes, train_split.votes[rows])

    def test_copies_are_not_held_out(self) -> None:
        split = faces(70)
        images = split.images.copy()
        images[7::14] = images[::14]  # every tenth face twice, of the same class
        held = hold_out(Dataset("mine", LABELS, {"train": replace(split, images=images)}))
        known = {image.tobytes() for image in held.split("train").images}
        assert not any(image.tobytes() in known for image in held.split("validation").images)
        assert len(held.split("train")) + len(held.split("validation")) == 70

    def test_a_class_of_one_image_stays_in_training(self) -> None:
        data = Dataset("fer2013", LABELS, {"train": faces(8)})  # two angry ones, one of each other
        held = hold_out(data)
        assert list(held.split("validation").class_counts(7)) == [1, 0, 0, 0, 0, 0, 0]
        assert list(held.split("train").class_counts(7)) == [1] * 7


class TestHeads:
    def test_named_after_the_data(self) -> None:
        all_heads = {"fer2013": LABELS, "ferplus": FERPLUS_LABELS, "expression": LABELS}
        assert heads_for(fer2013()) == all_heads
        assert list(heads_for(fer2013())) == list(all_heads)
        assert heads_for(Dataset("fer2013", LABELS, {"train": faces(7, votes=False)})) == {"fer2013": LABELS}
        assert list(heads_for(Dataset("mine", LABELS, {"train": faces(7)}))) == [
            "labels", "ferplus", "expression",
        ]  # fmt: skip

    def test_targets_are_one_hot_labels_and_shares_of_votes(self) -> None:
        split = faces(18)
        targets = targets_for(split, heads_for(fer2013()), 0.4)
        np.testing.assert_array_equal(targets["fer2013"].argmax(axis=1), split.targets)
        np.testing.assert_array_equal(targets["fer2013"].sum(axis=1), 1)
        assert targets["ferplus"].shape == (18, 8)
        happy = split.targets.tolist().index(3)
        assert targets["ferplus"][happy, :2] == pytest.approx([0.2, 0.8])
        assert targets["ferplus"][9].sum() == 0  # no votes
        # Label and votes as one target: 0.4 of the label, 0.6 of the votes; without votes the label alone.
        assert targets["expression"][happy] == pytest.approx([0, 0, 0, 0.4 + 0.6 * 0.8, 0, 0, 0.6 * 0.2])
        assert targets["expression"][9].tolist() == targets["fer2013"][9].tolist()

    def test_one_target_of_label_and_votes(self) -> None:
        label = np.eye(7, dtype=np.float32)[[0, 0, 0]]
        votes = np.zeros((3, 8), np.float32)
        votes[0, [0, 7]] = 0.5  # neutral and contempt, which is none of the seven
        votes[1, 7] = 1
        both = mixed(label, votes, 0.25)
        np.testing.assert_allclose(both, [[0.25, 0, 0, 0, 0, 0, 0.75], label[1], label[2]])

    def test_faces_that_people_refused_teach_the_default_answer_nothing(self) -> None:
        split = faces(9)
        split.votes[1] = [0, 1, 0, 0, 0, 0, 0, 0, 0, 9]
        targets = targets_for(split, heads_for(fer2013()), 0.4)
        assert not targets["expression"][1].any() and targets["fer2013"][1].sum() == 1
        right = right_labels(split, heads_for(fer2013()))
        assert right[1] == -1 and (right[2:9] == split.targets[2:9]).all()

    def test_frequencies_of_labels(self) -> None:
        split = replace(faces(70, votes=False), targets=np.repeat([3, 6], 35))
        found = frequencies(split, {"fer2013": LABELS, "ferplus": FERPLUS_LABELS, "expression": LABELS}, 0.4)
        np.testing.assert_allclose(found, np.array([1, 1, 1, 36, 1, 1, 36]) / 77, rtol=1e-6)

    def test_rare_labels_weigh_as_much_as_frequent_ones(self) -> None:
        frequent = np.array([0.9, 0.1], np.float32)
        target, logits = (
            np.array([[0, 1], [1, 0]], np.float32),
            np.array([[0.0, 2.0], [1.0, 0.5]], np.float32),
        )
        for strength in (0.0, 0.5, 1.0):
            got = LogitAdjusted(frequent, strength).call(target, logits)
            shifted = softmax(logits + strength * np.log(frequent))
            np.testing.assert_allclose(got, -np.log((shifted * target).sum(axis=1)), rtol=1e-5)

    def test_a_row_without_a_target_weighs_nothing(self) -> None:
        target = np.array([[0.5, 0.5], [0, 0], [0.3, 0]], np.float32)
        _, shares, weight = as_batch(np.zeros((3, 44, 44), np.float32), {"ferplus": target})
        np.testing.assert_allclose(weight["ferplus"], [1, 0, 0.3])
        np.testing.assert_allclose(shares["ferplus"], [[0.5, 0.5], [0, 0], [1, 0]])

    @pytest.mark.parametrize("first", ["fer2013", "labels"])
    def test_the_loss_is_that_of_the_labels_and_a_share_of_the_votes(self, first: str) -> None:
        name = {"fer2013": "fer2013", "labels": "mine"}[first]
        heads = heads_for(Dataset(name, LABELS, {"train": faces(7)}))
        settings = replace(SETTINGS, label_smoothing=0.2, ferplus_weight=0.25, dropout=0.0)
        model = build_model("two-layers", {head: len(labels) for head, labels in heads.items()})
        compiled_for(model, settings, steps=1)
        split = faces(21)
        batch = ValidationBatches(split, heads, settings, settings.view)[0]
        pixels, targets, weight = batch
        logits = model.predict_on_batch(pixels)
        losses = {}
        for head, labels in heads.items():
            smoothing = 0.2 if head == first else 0.0
            goal = targets[head] * (1 - smoothing) + smoothing / len(labels)
            each = -(goal * np.log(softmax(np.asarray(logits[head])))).sum(axis=1)
            losses[head] = (each * weight[head]).mean()
        got = model.test_on_batch(pixels, targets, weight, return_dict=True)
        expected = losses[first] + 0.25 * losses["ferplus"] + losses["expression"]
        assert float(got["loss"]) == pytest.approx(expected, rel=1e-4)


class TestBatches:
    def batches(self, config: TrainConfig, n: int, first_epoch: int = 0) -> list[Any]:
        return list(islice(training_batches(faces(84), heads_for(fer2013()), config, first_epoch), n))

    def test_depend_on_seed_epoch_and_step_alone(self) -> None:
        steps = steps_per_epoch(84, SETTINGS)
        assert steps == 5
        whole = self.batches(SETTINGS, 3 * steps)
        resumed = self.batches(SETTINGS, steps, first_epoch=2)
        for ours, theirs in zip(resumed, whole[2 * steps :], strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            for i in (1, 2):
                for head in ("fer2013", "ferplus"):
                    np.testing.assert_array_equal(ours[i][head], theirs[i][head])
        other = self.batches(replace(SETTINGS, seed=1), 1)
        assert not np.array_equal(other[0][0], whole[0][0])
        assert not np.array_equal(whole[0][0], whole[steps][0])

    def test_shapes_and_types(self) -> None:
        pixels, targets, weight = self.batches(replace(SETTINGS, view=40), 1)[0]
        assert (pixels.shape, pixels.dtype) == ((16, 40, 40, 1), np.float32)
        assert pixels.min() >= 0
        assert 1 < pixels.max() <= 255
        assert (targets["fer2013"].shape, targets["ferplus"].shape) == ((16, 7), (16, 8))
        assert (weight["fer2013"].shape, weight["ferplus"].shape) == ((16,), (16,))
        np.testing.assert_allclose(targets["fer2013"].sum(axis=1), 1, atol=1e-5)

    def test_an_epoch_shows_no_picture_twice(self) -> None:
        still = replace(SETTINGS, augmentation=Augmentation(0, 0, 0, 0, 0, 0, 0))
        seen = np.concatenate([pixels for pixels, *_ in self.batches(still, 5)])
        assert len(np.unique(seen.reshape(80, -1), axis=0)) == 80

    def test_fewer_pictures_than_a_batch_are_one_step(self) -> None:
        large = replace(SETTINGS, batch_size=500)
        assert steps_per_epoch(84, large) == 1
        assert self.batches(large, 2)[1][0].shape[0] == 84

    def test_the_last_epochs_neither_mix_nor_erase(self) -> None:
        settings = replace(
            SETTINGS,
            epochs=4,
            clean_epochs=2,
            augmentation=Augmentation(0, 0, 0, 0, 0, erasing=1.0, mixup=5.0),
        )
        views = center_view(faces(84).images, settings.view)[..., None]
        known = {view.tobytes() for view in views}
        for epoch in range(4):
            for pixels, targets, _ in self.batches(settings, 5, first_epoch=epoch):
                plain = [picture.tobytes() in known for picture in pixels]
                hard = np.isclose(targets["fer2013"].max(axis=1), 1)
                if epoch >= 2:
                    assert all(plain)
                    assert hard.all()
                else:
                    assert not any(plain)
                    assert not hard.all()

    def test_mixing_mixes_pictures_and_targets_alike(self) -> None:
        # A picture's brightness tells its label, so that the mixed one tells the mixed target.
        targets = np.arange(32) % 2
        images = np.repeat((targets * 200).astype(np.uint8), 48 * 48).reshape(32, 48, 48)
        split = Split(images, targets.astype(np.int64), tuple(map(str, range(32))))
        settings = replace(SETTINGS, augmentation=Augmentation(0, 0, 0, 0, 0, 0, mixup=5.0))
        batches = training_batches(split, {"labels": ("dark", "bright")}, settings, 0)
        for pixels, shares, weight in islice(batches, 4):
            np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)) / 200, shares["labels"][:, 1], atol=1e-5)
            np.testing.assert_allclose(weight["labels"], 1, atol=1e-6)


@pytest.mark.slow
class TestCommand:
    """`mien train`, as a process. The documentation's commands and the flagship's script train the real network."""

    def command(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "mien", *map(str, words)]

    def test_stopped_and_resumed(self, tmp_path: Path) -> None:
        data, out = tmp_path / "faces", tmp_path / "runs" / "one"
        for i, (image, target) in enumerate(zip(faces(28).images, faces(28).targets, strict=True)):
            folder = data / "train" / LABELS[target]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i}.png")
        start = self.command("train", data, "--output", out, "--epochs", 12, "--batch-size", 16)
        # Larger networks take long to begin; a shorter run may be over before it is stopped.
        start += ["--network", "tutorial-cnn", "--set", "early_stopping=20"]
        process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(out / "checkpoint.npz", process)
            process.send_signal(signal.SIGINT)
            said, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode not in (0, -signal.SIGKILL)
        assert "Traceback" not in errors
        assert "--resume" in errors
        assert said == ""
        assert not (out / "export").exists()

        resume = self.command("train", data, "--output", out, "--resume")
        done = subprocess.run(resume, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert str(out / "export") in done.stdout
        assert "Traceback" not in done.stderr
        assert [row["epoch"] for row in history(out)] == [str(epoch) for epoch in range(1, 13)]
        assert {
            path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()
        } == RUN_FILES | {"best.npz"}
        assert EmotionClassifier(out).predict_proba(faces(3).images).shape == (3, 7)

    def test_an_unknown_network_is_wrong_usage(self, tmp_path: Path) -> None:
        for i, label in enumerate(LABELS * 2):
            (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
            Image.new("L", (48, 48), 9 * i).save(tmp_path / "data" / label / f"{i}.png")
        done = typed.run("train", tmp_path / "data", "--output", tmp_path / "run", "--network", "resnet")
        assert done.returncode == 2
        assert "mien-s" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("steps", "momentum"), [(10_000, 0.998), (10, 0.8), (1, 0.0)])
def test_the_running_average_fits_into_a_short_run(steps: int, momentum: float) -> None:
    model = build_model("two-layers", {"labels": 2})
    compiled_for(model, replace(SETTINGS, epochs=10, ema_momentum=0.998), steps)
    assert model.optimizer.ema_momentum == pytest.approx(momentum)
