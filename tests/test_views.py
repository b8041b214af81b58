"""Flip and ten-crop: which pixels each view has, and the average of what a model says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.models.classifier import EmotionClassifier
from mien.models.tta import FLIP, SINGLE, TEN_CROP, corner_shift, predict_views, shifted

WriteModel = Callable[..., Path]


def pictures(n: int = 3, side: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 140, (n, side, side), np.uint8)


def answers_on(means: np.ndarray, labels: int = 7) -> np.ndarray:
    """What the brightness model of conftest.py says of pictures of these means: (n,) -> (n, labels)."""
    logits = -0.02 * (means[:, None] - 20 * np.arange(labels)) ** 2
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class TestShifted:
    def test_by_hand(self) -> None:
        picture = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
        np.testing.assert_array_equal(shifted(picture, 1, 0)[0], [[0, 1, 2], [0, 1, 2], [3, 4, 5]])
        np.testing.assert_array_equal(shifted(picture, 0, -1)[0], [[1, 2, 2], [4, 5, 5], [7, 8, 8]])
        np.testing.assert_array_equal(shifted(picture, 0, 0), picture)

    @pytest.mark.parametrize("down", [2, -2])
    @pytest.mark.parametrize("right", [2, -2])
    def test_the_middle_of_a_shifted_picture_is_a_corner_crop(self, down: int, right: int) -> None:
        images = pictures()
        moved = shifted(images, down, right)
        assert moved.shape == images.shape and moved.dtype == np.uint8
        top, left = 2 - down, 2 - right
        np.testing.assert_array_equal(moved[:, 2:46, 2:46], images[:, top : top + 44, left : left + 44])


@pytest.mark.parametrize(
    ("training", "shift"),
    [
        ({"view": 44}, 2),
        ({"view": 40}, 4),
        ({"view": 43}, 2),
        ({"view": 48}, 2),
        ({}, 2),
        ({"view": "44"}, 2),
        ({"view": 0}, 2),
        ({"view": 99}, 2),
    ],
)
def test_how_far_the_corners_are(write_model: WriteModel, training: dict, shift: int) -> None:
    assert corner_shift(EmotionClassifier(write_model(training=training)).config) == shift


class TestPredictViews:
    def test_ten_crop_is_the_mean_over_corners_centre_and_mirrors(self, write_model: WriteModel) -> None:
        # The model sees the middle 40 pixels' left half: its corner crops lie 4 pixels away.
        model = EmotionClassifier(write_model(region=(4, 4, 44, 24), training={"view": 40}))
        images = pictures()
        expected = np.zeros((3, 7))
        for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
            crop = images[:, top : top + 40, left : left + 40].astype(float)
            expected += answers_on(crop[:, :, :20].mean(axis=(1, 2)))
            expected += answers_on(crop[:, :, 20:].mean(axis=(1, 2)))  # the mirror's left half
        views = predict_views(model, images)
        np.testing.assert_allclose(views[TEN_CROP], expected / 10, atol=1e-5)

    def test_flip_is_the_mean_of_a_picture_and_its_mirror(self, write_model: WriteModel) -> None:
        model = EmotionClassifier(write_model(region=(0, 0, 48, 24)))
        dark_left = np.full((1, 48, 48), 120, np.uint8)
        dark_left[:, :, :24] = 20
        views = predict_views(model, dark_left)
        assert views[SINGLE][0, 1] > 0.99
        np.testing.assert_allclose(views[FLIP][0, [1, 6]], [0.5, 0.5], atol=1e-3)

    def test_single_view_is_the_classifiers_own(self, write_model: WriteModel) -> None:
        model = EmotionClassifier(write_model())
        images = pictures(70)
        for head in ("expression", "ferplus"):
            views = predict_views(model, images, head=head)
            np.testing.assert_array_equal(views[SINGLE], model.predict_proba(images, head=head))

    def test_rows_are_probabilities(self) -> None:
        for view in predict_views(EmotionClassifier(), pictures(5), head="fer2013").values():
            assert view.shape == (5, 7)
            assert view.min() >= 0
            np.testing.assert_allclose(view.sum(axis=1), 1, atol=1e-5)

    def test_a_mirrored_picture_gets_the_same_answer_from_two_views(self) -> None:
        model, images = EmotionClassifier(), pictures(4)
        here, mirrored = predict_views(model, images), predict_views(model, images[:, :, ::-1])
        assert np.abs(here[SINGLE] - mirrored[SINGLE]).max() > 1e-3
        for view in (FLIP, TEN_CROP):
            np.testing.assert_allclose(here[view], mirrored[view], atol=1e-5)

    def test_a_model_of_another_input_size(self, write_model: WriteModel) -> None:
        model = EmotionClassifier(write_model(size=64))
        grey = np.full((2, 48, 48), 60, np.uint8)
        for view in predict_views(model, grey).values():
            np.testing.assert_array_equal(view.argmax(axis=1), [3, 3])

    def test_no_such_head(self, write_model: WriteModel) -> None:
        with pytest.raises(ValueError, match="unknown head"):
            predict_views(EmotionClassifier(write_model()), pictures(), head="nonsense")
