"""Soft labels: what they hold, that they belong to their pictures, and what a student makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import brighter, photographs
from small_runs import SETTINGS, WITHOUT_COPY, faces, fer2013, train_and_keep
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.data.dataset import Dataset, Split
from mien.errors import TrainingError
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.classifier import EmotionClassifier
from mien.training import distill as distillation
from mien.training.augmentation import Augmentation, center_view
from mien.training.batches import training_batches
from mien.training.distill import DistillationTargets, FixedViews, SoftLabels, distill, fixed_view
from mien.training.splits import hold_back, split_up
from mien.training.targets import EXPRESSION, heads_for, mixed, targets_for
from mien.training.train import train

pytestmark = [pytest.mark.slow, WITHOUT_COPY]

VIEWS = 3
HEADS = {"fer2013": LABELS, "ferplus": FERPLUS_LABELS}


@pytest.fixture(scope="module")
def teacher() -> EmotionClassifier:
    return EmotionClassifier()


@pytest.fixture(scope="module")
def soft(teacher: EmotionClassifier) -> SoftLabels:
    return distill([teacher], fer2013().split("train"), HEADS, views=VIEWS)


class TestFixedViews:
    def test_the_first_is_the_picture_as_it_is(self) -> None:
        images = faces(20).images
        np.testing.assert_array_equal(fixed_view(images, 0, seed=0), images)

    def test_are_the_same_every_time_and_differ_from_each_other(self) -> None:
        images = faces(20).images
        first, again, other, another_seed = (fixed_view(images, *x) for x in ((1, 0), (1, 0), (2, 0), (1, 9)))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.uint8
        assert first.shape == images.shape
        for different in (images, other, another_seed):
            assert not np.array_equal(first, different)

    def test_asked_for_in_any_order(self) -> None:
        images = faces(20).images
        views = FixedViews(images, seed=4)
        for view in (2, 0, 1, 2, 2, 0):
            np.testing.assert_array_equal(views[view], fixed_view(images, view, seed=4))


class TestSoftLabels:
    def test_are_the_teachers_probabilities_of_the_views(
        self, teacher: EmotionClassifier, soft: SoftLabels
    ) -> None:
        images, rows = fer2013().split("train").images, np.array([5, 2, 80])
        for view in range(VIEWS):
            expected = teacher.predict_heads(fixed_view(images, view, soft.seed)[rows])
            got = soft.targets(view, rows)
            assert set(got) == {"fer2013", "ferplus"}
            for head, probabilities in got.items():
                np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
                np.testing.assert_allclose(probabilities, expected[head], atol=0.02)  # kept in steps of 1/255

    @pytest.mark.slow
    def test_of_two_teachers_are_their_mean(self, teacher: EmotionClassifier, tmp_path: Path) -> None:
        data = fer2013()
        other = EmotionClassifier(train(data, tmp_path / "other", replace(SETTINGS, epochs=1)))
        both = distill([teacher, other], data.split("train"), HEADS, views=1)
        rows = np.arange(84)
        one, two = (model.predict_heads(data.split("train").images)["fer2013"] for model in (teacher, other))
        np.testing.assert_allclose(both.targets(0, rows)["fer2013"], (one + two) / 2, atol=0.02)
        assert both.teachers == (teacher.config.sha256, other.config.sha256)

    def test_survive_a_small_file(self, soft: SoftLabels, tmp_path: Path) -> None:
        soft.save(tmp_path / "soft.npz")
        again = SoftLabels.load(tmp_path / "soft.npz")
        assert (again.seed, again.teachers) == (soft.seed, soft.teachers)
        np.testing.assert_array_equal(again.pictures, soft.pictures)
        for head, levels in soft.heads.items():
            np.testing.assert_array_equal(again.heads[head], levels)
        assert (tmp_path / "soft.npz").stat().st_size < 84 * (VIEWS * 19 + 8) + 4000
        assert [path.name for path in tmp_path.iterdir()] == ["soft.npz"]

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x04K\x01."])
    def test_a_broken_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "soft.npz").write_bytes(content)
        with pytest.raises(TrainingError, match=r"soft\.npz: not what mien distill writes"):
            SoftLabels.load(tmp_path / "soft.npz")

    def test_a_file_of_something_else(self, tmp_path: Path) -> None:
        arrays = {"head_a": np.zeros(3), "labels_a": np.array(["x"]), "greys": np.zeros((1, 3))}
        np.savez(tmp_path / "soft.npz", pictures=np.zeros(3), seed=0, teachers=np.array(["a"]), **arrays)
        with pytest.raises(TrainingError, match="not what mien distill writes"):
            SoftLabels.load(tmp_path / "soft.npz")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"nothing\.npz"):
            SoftLabels.load(tmp_path / "nothing.npz")

    def test_of_other_pictures_heads_or_labels(self, soft: SoftLabels) -> None:
        split = fer2013().split("train")
        soft.check(split, HEADS, "soft.npz")
        with pytest.raises(TrainingError, match=r"other pictures \(84\) than are trained on here \(35\)"):
            soft.check(faces(35), HEADS, "soft.npz")
        with pytest.raises(TrainingError, match="has the heads fer2013"):
            soft.check(split, {"fer2013": LABELS}, "soft.npz")
        with pytest.raises(TrainingError, match="has the heads fer2013"):
            soft.check(split, HEADS | {"fer2013": LABELS[::-1]}, "soft.npz")

    def test_of_views_that_are_drawn_otherwise_now(
        self, soft: SoftLabels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        milder = replace(distillation.VIEWS_BY_TEACHERS, light=0.2)
        monkeypatch.setattr(distillation, "VIEWS_BY_TEACHERS", milder)
        with pytest.raises(TrainingError, match="other views"):
            soft.check(fer2013().split("train"), HEADS, "soft.npz")

    def test_of_the_same_pictures_in_another_order(self, soft: SoftLabels) -> None:
        split = fer2013().split("train")
        order = np.random.default_rng(0).permutation(len(split))
        soft.check(replace(split, images=split.images[order]), HEADS, "soft.npz")
        lessons = (
            DistillationTargets(soft, split.images, 0.7, 0.4),
            DistillationTargets(soft, split.images[order], 0.7, 0.4),
        )
        rows = np.array([3, 0, 77])
        for view in range(VIEWS):
            own = targets_for(split, HEADS, 0.4, order[rows])
            (images, targets), (shuffled, others) = (
                lesson.apply(view, places, own)
                for lesson, places in zip(lessons, (order[rows], rows), strict=True)
            )
            np.testing.assert_array_equal(images, shuffled)
            for head in HEADS:
                np.testing.assert_array_equal(targets[head], others[head])

    def test_of_pictures_some_of_which_are_copies(self, teacher: EmotionClassifier) -> None:
        split = faces(20)
        twice = replace(split, images=np.concatenate([split.images[:15], split.images[:5]]))
        found = distill([teacher], twice, HEADS, views=1)
        assert sorted(found.order(twice.images[::-1])) == list(range(20))
        with pytest.raises(ValueError, match="other pictures"):
            found.order(np.concatenate([split.images[:15], split.images[5:10]]))

    @pytest.mark.slow
    def test_teachers_without_a_head(self, teacher: EmotionClassifier, tmp_path: Path) -> None:
        single = replace(SETTINGS, epochs=1, ferplus_weight=0.0)
        other = EmotionClassifier(train(fer2013(), tmp_path / "single", single))
        with pytest.raises(TrainingError, match=r"teaches the heads fer2013 .*; expected .*ferplus"):
            distill([teacher, other], fer2013().split("train"), HEADS)
        # A student without that head can learn from both.
        both = distill([teacher, other], fer2013().split("train"), {"fer2013": LABELS}, views=1)
        assert set(both.heads) == {"fer2013"}


class TestLesson:
    def test_targets_are_partly_the_teachers(self, soft: SoftLabels) -> None:
        split, rows = fer2013().split("train"), np.arange(20)
        own = targets_for(split, heads_for(fer2013()), 0.4, rows)
        _, none = DistillationTargets(soft, split.images, 0.0, 0.4).apply(1, rows, own)
        images, half = DistillationTargets(soft, split.images, 0.5, 0.4).apply(1, rows, own)
        np.testing.assert_array_equal(images, fixed_view(split.images, 1, soft.seed)[rows])
        taught = soft.targets(1, rows)
        np.testing.assert_allclose(none["fer2013"], own["fer2013"], atol=1e-6)
        np.testing.assert_allclose(half["fer2013"], (own["fer2013"] + taught["fer2013"]) / 2, atol=1e-6)
        voted = own["ferplus"].any(axis=1)
        assert 0 < voted.sum() < 20
        # Nobody voted on these: the teachers alone teach.
        np.testing.assert_allclose(half["ferplus"][~voted], taught["ferplus"][~voted], atol=1e-6)
        # The default answer learns the mix that it would learn of label and votes.
        _, whole = DistillationTargets(soft, split.images, 1.0, 0.4).apply(1, rows, own)
        expected = mixed(taught["fer2013"], taught["ferplus"], 0.4)
        np.testing.assert_allclose(whole[EXPRESSION], expected, atol=1e-6)

    def test_class_weights_are_kept(self, soft: SoftLabels) -> None:
        split, rows = fer2013().split("train"), np.arange(20)
        own = {h: 3 * t for h, t in targets_for(split, heads_for(fer2013()), 0.4, rows).items()}
        _, mixed = DistillationTargets(soft, split.images, 0.5, 0.4).apply(0, rows, own)
        np.testing.assert_allclose(mixed["fer2013"].sum(axis=1), 3, atol=1e-5)


def a_student(**changes: Any) -> Any:
    return replace(SETTINGS, epochs=4, calibration_fraction=0.2, **changes)


def of_photographs(images: np.ndarray) -> Split:
    n = len(images)
    return Split(images, np.arange(n) % len(LABELS), tuple(map(str, range(n))))


class TestStudent:
    @pytest.mark.slow
    def test_is_calibrated_on_what_was_held_back(self, tmp_path: Path) -> None:
        data = replace(fer2013(), splits=fer2013().splits | {"train": faces(300)})
        soft = distill([EmotionClassifier()], split_up(data, a_student()).split("train"), HEADS, views=2)
        soft.save(tmp_path / "soft.npz")
        run = tmp_path / "student"
        train(data, run, a_student(teachers=str(tmp_path / "soft.npz")))
        config = EmotionClassifier(run).config
        assert config.data["images"]["calibration"] + config.data["images"]["train"] == 300
        assert config.training["teachers"].endswith("soft.npz")
        assert config.data["teachers"] == list(soft.teachers)
        assert "that were not trained on" in (run / "export" / "README.md").read_text()

    def test_what_it_is_shown(self, soft: SoftLabels, tmp_path: Path) -> None:
        soft.save(tmp_path / "soft.npz")
        data = fer2013()
        plain = replace(SETTINGS, augmentation=replace(SETTINGS.augmentation, mixup=0))
        student = replace(plain, teachers=str(tmp_path / "soft.npz"), distillation=1.0)
        split, heads = data.split("train"), heads_for(data)
        _, targets, _ = next(training_batches(split, heads, student, first_epoch=1))
        rows = np.random.default_rng([student.seed, 1]).permutation(84)[: student.batch_size]
        np.testing.assert_allclose(targets["fer2013"], soft.targets(1, rows)["fer2013"], atol=1e-6)

    def test_epochs_show_the_views_in_turn_and_the_last_ones_none(
        self, soft: SoftLabels, tmp_path: Path
    ) -> None:
        soft.save(tmp_path / "soft.npz")
        still = Augmentation(0, 0, 0, 0, 0, mixup=0)
        student = a_student(teachers=str(tmp_path / "soft.npz"), clean_epochs=1, augmentation=still)
        data = fer2013()
        split, heads = data.split("train"), heads_for(data)
        for epoch, view in ((0, 0), (1, 1), (2, 2), (3, 0)):
            pixels, *_ = next(training_batches(split, heads, student, epoch))
            rows = np.random.default_rng([student.seed, epoch]).permutation(84)[: student.batch_size]
            expected = center_view(fixed_view(split.images, view, soft.seed)[rows], student.view)
            np.testing.assert_allclose(pixels[..., 0], expected, atol=1)

    @pytest.mark.slow
    def test_stopped_and_resumed(self, soft: SoftLabels, tmp_path: Path) -> None:
        soft.save(tmp_path / "soft.npz")
        student = a_student(teachers=str(tmp_path / "soft.npz"))
        run = train_and_keep(fer2013(), tmp_path / "whole", student)[1]
        replace(soft, seed=1, greys=soft.greys * 0).save(tmp_path / "soft.npz")
        with pytest.raises(TrainingError, match="other views"):
            train(fer2013(), run, resume=True)
        replace(soft, teachers=("another",)).save(tmp_path / "soft.npz")
        with pytest.raises(TrainingError, match="other soft labels"):
            train(fer2013(), run, resume=True)
        soft.save(tmp_path / "soft.npz")
        train(fer2013(), run, resume=True)
        histories = [(folder / "history.csv").read_bytes() for folder in (run, tmp_path / "whole")]
        assert histories[0] == histories[1]
        # What is trained is exported without them.
        (tmp_path / "soft.npz").unlink()
        assert train(fer2013(), run, resume=True).exists()

    def test_of_other_data_leaves_no_run(self, soft: SoftLabels, tmp_path: Path) -> None:
        soft.save(tmp_path / "soft.npz")
        other = replace(fer2013(), splits=fer2013().splits | {"train": faces(84, seed=9)})
        with pytest.raises(TrainingError, match="other pictures"):
            train(other, tmp_path / "run", a_student(teachers=str(tmp_path / "soft.npz")))
        assert not (tmp_path / "run").exists()


class TestHoldBack:
    def test_does_not_depend_on_place_or_company(self) -> None:
        split = faces(200)
        rest, held = hold_back(split, 0.25)
        assert 0.15 * 200 < len(held) < 0.35 * 200
        assert {*rest.names, *held.names} == set(split.names)
        part = split.take(np.arange(200) % 2 == 0)
        assert {name for name in held.names if name in part.names} == set(hold_back(part, 0.25)[1].names)

    def test_copies_stay_together(self) -> None:
        split = faces(100)
        twice = replace(
            split,
            images=np.concatenate([split.images, split.images]),
            targets=np.concatenate([split.targets, split.targets]),
            names=tuple(f"{name} {k}" for k in (1, 2) for name in split.names),
            votes=None,
        )
        _, held = hold_back(twice, 0.3)
        assert len(held) == 2 * len(hold_back(split, 0.3)[1])

    @pytest.mark.parametrize(("n", "held"), [(300, True), (84, False)])
    def test_too_few_are_not_held_back(self, n: int, held: bool) -> None:
        data = Dataset("fer2013", LABELS, {"train": faces(n), "validation": faces(7, seed=2)})
        parts = split_up(data, replace(SETTINGS, calibration_fraction=0.25)).splits
        assert ("calibration" in parts) == held
        assert len(parts["train"]) + len(parts.get("calibration", ())) == n

    def test_a_version_of_what_is_trained_on_does_not_calibrate(self) -> None:
        split = of_photographs(photographs(800))
        rest, held = hold_back(split, 0.3)
        versions = np.stack([brighter(image) for image in held.images])
        trained = hold_back(of_photographs(versions), 0.3)[0].images  # where their pixels' digest puts them
        assert 10 < len(trained) < len(versions) - 10
        data = Dataset("x", LABELS, {"train": of_photographs(np.concatenate([split.images, trained]))})
        data = replace(data, splits=data.splits | {"validation": of_photographs(photographs(5, seed=7))})
        parts = split_up(data, replace(SETTINGS, calibration_fraction=0.3)).splits
        assert len(parts["train"]) == len(rest) + len(trained)
        assert len(parts["calibration"]) == len(held) - len(trained)

    def test_a_limit_is_of_every_split_and_every_class(self) -> None:
        by_class = np.argsort(faces(84).targets, kind="stable")
        split = faces(84)
        ordered = replace(
            split,
            images=split.images[by_class],
            targets=split.targets[by_class],
            names=tuple(split.names[k] for k in by_class),
            votes=None,
        )
        data = Dataset("fer2013", LABELS, {"train": ordered, "validation": faces(35, seed=2)})
        parts = split_up(data, replace(SETTINGS, limit=21)).splits
        assert {name: len(part) for name, part in parts.items()} == {"train": 21, "validation": 21}
        assert (parts["train"].class_counts(7) > 0).all()


def test_the_command_needs_a_teacher(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        command_line(), ["distill", str(tmp_path), "--output", str(tmp_path / "soft.npz")]
    )
    assert result.exit_code == 2
    assert "--teacher" in result.output


def test_the_command_does_not_write_over_the_data(tmp_path: Path) -> None:
    data = tmp_path / "fer.parquet"
    data.write_bytes(b"data")
    words = ["distill", str(data), "--teacher", "mien-s", "--output", str(data)]
    result = CliRunner().invoke(command_line(), words)
    assert result.exit_code == 2
    assert data.read_bytes() == b"data"
