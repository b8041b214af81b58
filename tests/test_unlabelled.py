"""Faces without labels in training: only the teachers teach them, and nothing that counts labels sees them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("keras", reason="needs mien[train]")

from photographs import brighter, photographs
from pictures import encode
from small_runs import SETTINGS, WITHOUT_COPY, faces, fer2013, train_and_keep, write_fer2013
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.data.dataset import Dataset
from mien.errors import DatasetError, SettingsError, TrainingError
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.classifier import EmotionClassifier
from mien.training.augmentation import Augmentation
from mien.training.batches import class_weights, steps_per_epoch, training_batches
from mien.training.config import TrainConfig
from mien.training.distill import DistillationTargets, SoftLabels, distill, fixed_view
from mien.training.splits import split_up, with_unlabelled
from mien.training.start import check_start
from mien.training.targets import EXPRESSION, frequencies, heads_for, targets_for
from mien.training.train import train

pytestmark = [pytest.mark.slow, WITHOUT_COPY]

HEADS = {"fer2013": LABELS, "ferplus": FERPLUS_LABELS}
MORE = 40


def write_crops(path: Path, images: np.ndarray) -> Path:
    pq.write_table(pa.table({"image": [{"bytes": encode(i), "path": ""} for i in images]}), path)
    return path


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Images without labels, no two alike."""
    return write_crops(tmp_path / "crops.parquet", photographs(MORE))


@pytest.fixture
def settings(crops: Path, tmp_path: Path) -> TrainConfig:
    """A student's, with soft labels of these and of the labelled images in a file."""
    settings = replace(SETTINGS, unlabelled=str(crops), teachers=str(tmp_path / "soft.npz"))
    data = with_unlabelled(split_up(fer2013(), settings), settings)
    distill([EmotionClassifier()], data.split("train"), HEADS, views=2).save(tmp_path / "soft.npz")
    return settings


class TestAppended:
    def test_behind_those_with_labels(self, crops: Path) -> None:
        data = fer2013()
        before, train = (
            data.split("train"),
            with_unlabelled(data, TrainConfig(unlabelled=str(crops))).split("train"),
        )
        n = len(before)
        assert (len(train), train.labelled) == (n + MORE, n)
        np.testing.assert_array_equal(train.images[:n], before.images)
        np.testing.assert_array_equal(train.images[n:], photographs(MORE))
        np.testing.assert_array_equal(train.targets[:n], before.targets)
        assert (train.targets[n:] == -1).all()
        assert not train.votes[n:].any()
        assert train.names[n] == "crops.parquet:0"
        assert with_unlabelled(data, TrainConfig()) is data

    def test_nothing_that_counts_labels_counts_them(self, crops: Path) -> None:
        data = fer2013()
        more, heads = with_unlabelled(data, TrainConfig(unlabelled=str(crops))), heads_for(data)
        before, train = data.split("train"), more.split("train")
        assert heads_for(more) == heads
        np.testing.assert_array_equal(train.class_counts(7), before.class_counts(7))
        np.testing.assert_array_equal(frequencies(train, heads, 0.4), frequencies(before, heads, 0.4))
        balanced = replace(SETTINGS, class_weights="balanced")
        np.testing.assert_array_equal(
            class_weights(train, heads, balanced), class_weights(before, heads, balanced)
        )
        for targets in targets_for(train, heads, 0.4).values():
            assert not targets[len(before) :].any()

    def test_photographs_of_other_splits_are_left_out(self, tmp_path: Path) -> None:
        known, new = photographs(20, seed=1), photographs(5, seed=2)
        validation = replace(faces(20, votes=False), images=known)
        data = Dataset("fer2013", LABELS, {"train": faces(84), "validation": validation})
        versions = np.stack([brighter(image) for image in known[:10]])
        crops = write_crops(tmp_path / "crops.parquet", np.concatenate([known[10:12], new, versions]))
        train = with_unlabelled(data, TrainConfig(unlabelled=str(crops))).split("train")
        np.testing.assert_array_equal(train.images[84:], new)
        write_crops(crops, known)
        with pytest.raises(DatasetError, match="none of which is new; expected some that are not in validat"):
            with_unlabelled(data, TrainConfig(unlabelled=str(crops)))

    def test_images_in_a_file_stay_in_one(self, crops: Path, tmp_path: Path) -> None:
        memory = fer2013().split("train")
        np.save(tmp_path / "images.npy", memory.images)
        stored = replace(memory, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
        data = replace(fer2013(), splits=fer2013().splits | {"train": stored})
        train = with_unlabelled(data, TrainConfig(unlabelled=str(crops))).split("train")
        assert isinstance(train.images, np.memmap)
        np.testing.assert_array_equal(train.images, np.concatenate([memory.images, photographs(MORE)]))

    def test_a_limit(self, crops: Path) -> None:
        config = TrainConfig(unlabelled=str(crops), limit=21)
        train = with_unlabelled(split_up(fer2013(), config), config).split("train")
        assert (len(train), train.labelled) == (42, 21)


class TestBatches:
    def batches(self, settings: TrainConfig, n: int, epoch: int = 0) -> list[Any]:
        data = with_unlabelled(fer2013(), settings)
        return list(islice(training_batches(data.split("train"), heads_for(data), settings, epoch), n))

    @pytest.mark.parametrize(
        ("share", "in_batch", "steps"),
        # Of 124 images 40 have no label: more than a third of a batch would show some of them twice.
        [(0.0, 0, 5), (0.25, 4, 7), (0.9, 5, 7)],
    )
    def test_have_a_share_of_them(
        self, share: float, in_batch: int, steps: int, settings: TrainConfig
    ) -> None:
        still = replace(
            settings, unlabelled_share=share, view=48, augmentation=Augmentation(0, 0, 0, 0, 0, mixup=0)
        )
        assert steps_per_epoch(84, still, MORE) == steps
        mine = {image.tobytes() for image in photographs(MORE)}
        seen = []
        for pixels, *_ in self.batches(still, steps):
            images = np.rint(pixels[..., 0]).astype(np.uint8)
            assert sum(image.tobytes() in mine for image in images) == in_batch
            seen += [image.tobytes() for image in images]
        assert len(set(seen)) == len(seen) == 16 * steps

    def test_few_are_seen_again(self, settings: TrainConfig, tmp_path: Path) -> None:
        write_crops(Path(settings.unlabelled), photographs(2))
        data = with_unlabelled(fer2013(), settings)
        distill([EmotionClassifier()], data.split("train"), HEADS, views=1).save(Path(settings.teachers))
        steps = steps_per_epoch(84, settings, 2)
        assert steps == 5
        assert all(len(pixels) == 16 for pixels, *_ in self.batches(settings, steps))

    def test_the_teachers_alone_teach_them(self, settings: TrainConfig) -> None:
        student = replace(
            settings, distillation=0.3, augmentation=Augmentation(mixup=0), class_weights="balanced"
        )
        soft = SoftLabels.load(Path(student.teachers))
        rows = np.random.default_rng([student.seed, 1])
        rows.permutation(84)
        shown = 84 + rows.permutation(MORE)[:4]
        _, shares, weights = self.batches(student, 1, epoch=1)[0]
        for head, taught in soft.targets(1, shown).items():
            np.testing.assert_allclose(shares[head][-4:], taught, atol=1e-6)
            np.testing.assert_allclose(weights[head][-4:], 1, atol=1e-6)
        np.testing.assert_allclose(weights[EXPRESSION][-4:], 1, atol=1e-6)

    def test_unsure_teachers_teach_nothing(self, settings: TrainConfig) -> None:
        soft = SoftLabels.load(Path(settings.teachers))
        train = with_unlabelled(fer2013(), settings).split("train")
        rows = np.arange(len(train))
        own = targets_for(train, heads_for(fer2013()), 0.4, rows)
        sure = soft.targets(0, rows)["fer2013"].max(axis=1)
        limit = float(np.median(sure[84:]))
        images, targets = DistillationTargets(soft, train.images, 0.7, 0.4, limit).apply(1, rows, own)
        np.testing.assert_array_equal(images, fixed_view(train.images, 1, soft.seed))
        for shares in targets.values():
            # The teachers' answer to the picture as it is decides, not that to the view that is shown.
            expected = np.where((rows < 84) | (sure >= limit), 1, 0)
            np.testing.assert_allclose(shares.sum(axis=1), expected, atol=1e-5)


class TestRefused:
    def test_without_teachers(self, crops: Path, tmp_path: Path) -> None:
        config = replace(SETTINGS, unlabelled=str(crops))
        for start in (
            lambda: check_start(tmp_path / "run", config),
            lambda: train(fer2013(), tmp_path / "run", config),
        ):
            with pytest.raises(SettingsError, match="without teachers: nothing would teach these images"):
                start()
        assert not (tmp_path / "run").exists()

    def test_a_missing_file_before_data_are_read(self, settings: TrainConfig, tmp_path: Path) -> None:
        Path(settings.unlabelled).unlink()
        with pytest.raises(DatasetError, match=r"crops\.parquet: no such file; mien crops writes one"):
            check_start(tmp_path / "run", settings)

    def test_soft_labels_of_other_images(self, settings: TrainConfig, tmp_path: Path) -> None:
        write_crops(Path(settings.unlabelled), photographs(MORE, seed=3))
        with pytest.raises(TrainingError, match=r"other pictures .*limit and unlabelled"):
            train(fer2013(), tmp_path / "run", settings)
        with pytest.raises(TrainingError, match=r"other pictures \(124\) than are trained on here \(84\)"):
            train(fer2013(), tmp_path / "run", replace(settings, unlabelled=""))
        assert not (tmp_path / "run").exists()


class TestRun:
    def test_stopped_and_resumed(self, settings: TrainConfig, tmp_path: Path) -> None:
        crops, short = Path(settings.unlabelled), replace(settings, epochs=2, clean_epochs=1)
        run = train_and_keep(fer2013(), tmp_path / "whole", short)[1]
        noted = json.loads((run / "train.json").read_text())["data"]
        assert noted["images"] == {"train": 84, "validation": 35}
        assert (noted["unlabelled"]["name"], noted["unlabelled"]["images"]) == ("crops.parquet", MORE)
        write_crops(crops, photographs(MORE, seed=3))
        with pytest.raises(TrainingError, match=r"other unlabelled images than .*crops\.parquet has now"):
            train(fer2013(), run, resume=True)
        write_crops(crops, photographs(MORE))
        train(fer2013(), run, resume=True)
        histories = [(folder / "history.csv").read_bytes() for folder in (run, tmp_path / "whole")]
        assert histories[0] == histories[1]
        # What is trained is exported without them.
        crops.unlink()
        Path(settings.teachers).unlink()
        train(fer2013(), run, resume=True)
        config = EmotionClassifier(run).config
        assert config.data["unlabelled"] == noted["unlabelled"]
        card = (run / "export" / "README.md").read_text()
        assert f"{MORE} images without labels" in card
        assert str(crops) not in card

    def test_the_command_asks_the_teachers_about_both(self, crops: Path, tmp_path: Path) -> None:
        write_fer2013(tmp_path / "fer2013.csv")
        words = ["distill", tmp_path / "fer2013.csv", "--teacher", "mien-s", "--views", "1"]
        words += ["--set", f"unlabelled={crops}", "--output", tmp_path / "soft.npz"]
        done = CliRunner().invoke(command_line(), [*map(str, words)])
        assert done.exit_code == 0, done.output
        assert f"--set unlabelled={crops} --set teachers=" in done.output
        assert SoftLabels.load(tmp_path / "soft.npz").pictures.shape == (70 + MORE,)
