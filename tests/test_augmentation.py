"""Random changes of training pictures: each does what it says, and nothing where it is switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import numpy as np

from mien.training.augmentation import Augmentation, augment, center_view, mixup_pairs

OFF = Augmentation(rotation=0, scale=0, shift=0, flip=0, light=0, erasing=0, mixup=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dots(n: int, x: int, y: int) -> np.ndarray:
    """(n, 48, 48) black with a bright dot of 3x3 around (x, y)."""
    images = np.zeros((n, 48, 48), np.uint8)
    images[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    return images


def centroids(images: np.ndarray) -> np.ndarray:
    """(n, 2): x and y of the middle of the light, relative to the middle of the picture."""
    weights = images.astype(float)
    ys, xs = np.mgrid[: images.shape[1], : images.shape[2]] - (images.shape[1] - 1) / 2
    total = weights.sum(axis=(1, 2))
    return np.stack([(weights * xs).sum(axis=(1, 2)) / total, (weights * ys).sum(axis=(1, 2)) / total], 1)


class TestAugment:
    def test_switched_off_it_is_the_view_of_the_exported_model(self) -> None:
        images = rng().integers(0, 256, (6, 48, 48), np.uint8)
        for view in (48, 44, 32):
            unchanged = augment(images, rng(), OFF, view)
            np.testing.assert_allclose(unchanged, center_view(images, view), atol=1)
            assert unchanged.shape == (6, view, view)
            assert unchanged.dtype == np.float32

    def test_all_together_stays_in_range_and_leaves_the_source_alone(self) -> None:
        images = rng().integers(0, 256, (200, 48, 48), np.uint8)
        before = images.copy()
        changed = augment(images, rng(1), Augmentation(), 44)
        np.testing.assert_array_equal(images, before)
        assert changed.shape == (200, 44, 44)
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert changed.min() >= 0
        assert changed.max() <= 255

    def test_depends_on_the_source_of_chance_alone(self) -> None:
        images = rng().integers(0, 256, (8, 48, 48), np.uint8)
        first, again, other = (augment(images, rng(seed), Augmentation(), 44) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_every_picture_is_changed_in_its_own_way(self) -> None:
        one = rng().integers(0, 256, (1, 48, 48), np.uint8)
        changed = augment(np.repeat(one, 20, axis=0), rng(1), Augmentation(), 44)
        assert len(np.unique(changed.reshape(20, -1), axis=0)) == 20

    def test_flip_mirrors_left_and_right(self) -> None:
        images = rng().integers(0, 256, (4, 48, 48), np.uint8)
        mirrored = augment(images, rng(), replace(OFF, flip=1), 44)
        np.testing.assert_allclose(mirrored, center_view(images[:, :, ::-1], 44), atol=1)

    def test_flip_happens_at_its_rate(self) -> None:
        x = centroids(augment(dots(400, 14, 24), rng(), replace(OFF, flip=0.5), 48))[:, 0]
        np.testing.assert_allclose(np.abs(x), 9.5, atol=0.1)
        assert (x > 0).mean() == pytest.approx(0.5, abs=0.1)

    def test_shift_moves_by_a_share_of_the_side(self) -> None:
        moved = centroids(augment(dots(400, 24, 24), rng(), replace(OFF, shift=0.1), 48)) - 0.5
        assert np.abs(moved).max() <= 4.8 + 0.1
        assert moved.min(axis=0) == pytest.approx([-4.8, -4.8], abs=0.4)
        assert moved.max(axis=0) == pytest.approx([4.8, 4.8], abs=0.4)
        assert moved.mean(axis=0) == pytest.approx([0, 0], abs=0.4)

    def test_scale_zooms_about_the_middle(self) -> None:
        x, y = centroids(augment(dots(400, 34, 24), rng(), replace(OFF, scale=0.2), 48)).T
        zoom = x / 10.5
        assert zoom.min() == pytest.approx(0.8, abs=0.03)
        assert zoom.max() == pytest.approx(1.2, abs=0.03)
        np.testing.assert_allclose(y, 0.5 * zoom, atol=0.1)

    def test_rotation_turns_about_the_middle_to_both_sides(self) -> None:
        x, y = centroids(augment(dots(400, 38, 24), rng(), replace(OFF, rotation=15), 48)).T
        np.testing.assert_allclose(np.hypot(x, y), np.hypot(14.5, 0.5), atol=0.15)
        angles = np.degrees(np.arctan2(y, x) - np.arctan2(0.5, 14.5))
        assert angles.min() == pytest.approx(-15, abs=0.8)
        assert angles.max() == pytest.approx(15, abs=0.8)

    def test_the_border_is_repeated_not_blackened(self) -> None:
        grey = np.full((50, 48, 48), 90, np.uint8)
        changed = augment(grey, rng(), replace(OFF, rotation=40, scale=0.3, shift=0.3, flip=0.5), 48)
        np.testing.assert_allclose(changed, 90, atol=1)

    def test_light_changes_brightness_and_contrast_of_half_of_them(self) -> None:
        checks = np.indices((48, 48)).sum(axis=0) % 2
        images = np.repeat((118 + 20 * checks)[None].astype(np.uint8), 400, axis=0)
        changed = augment(images, rng(), replace(OFF, light=0.3), 48)
        brightness = changed.mean(axis=(1, 2)) - 128
        contrast = np.ptp(changed, axis=(1, 2)) / 20
        touched = np.abs(brightness) > 1e-3
        assert touched.mean() == pytest.approx(0.5, abs=0.1)
        np.testing.assert_allclose(contrast[~touched], 1, atol=1e-4)
        assert brightness.max() == pytest.approx(0.3 * 255, abs=4)
        assert brightness.min() == pytest.approx(-0.3 * 255, abs=4)
        assert contrast.max() == pytest.approx(1.3, abs=0.03)
        assert contrast.min() == pytest.approx(0.7, abs=0.03)

    def test_light_is_cut_off_at_black_and_white(self) -> None:
        images = np.stack([np.full((48, 48), v, np.uint8) for v in (0, 255)] * 50)
        changed = augment(images, rng(), replace(OFF, light=1), 48)
        assert changed.min() == 0
        assert changed.max() == 255

    def test_erasing_overwrites_a_rectangle_with_noise(self) -> None:
        grey = np.full((300, 48, 48), 128, np.uint8)
        changed = augment(grey, rng(), replace(OFF, erasing=1), 44)
        areas = []
        for picture in changed:
            rows, columns = np.nonzero(picture != 128)
            assert len(rows), "a picture was not erased"
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            # All of the rectangle, and nothing outside of it, is noise.
            assert len(rows) >= 0.98 * height * width
            areas.append(height * width / 44**2)
        assert 0.01 < min(areas) < 0.03
        assert 0.17 < max(areas) <= 0.2
        noise = changed[changed != 128]
        assert noise.min() < 3
        assert noise.max() > 252
        assert noise.mean() == pytest.approx(127.5, abs=3)

    @pytest.mark.parametrize("probability", [0.0, 0.25])
    def test_erasing_happens_at_its_rate(self, probability: float) -> None:
        grey = np.full((600, 48, 48), 128, np.uint8)
        changed = augment(grey, rng(), replace(OFF, erasing=probability), 44)
        erased = (changed != 128).any(axis=(1, 2)).mean()
        assert erased == pytest.approx(probability, abs=0.06 if probability else 0)

    def test_one_picture_and_none(self) -> None:
        assert augment(np.zeros((1, 48, 48), np.uint8), rng(), Augmentation(), 44).shape == (1, 44, 44)
        assert augment(np.zeros((0, 48, 48), np.uint8), rng(), Augmentation(), 44).shape == (0, 44, 44)


class TestCenterView:
    @pytest.mark.parametrize(("view", "edge"), [(48, 0), (44, 2), (43, 2), (16, 16)])
    def test_is_the_middle(self, view: int, edge: int) -> None:
        images = rng().integers(0, 256, (3, 48, 48), np.uint8)
        middle = center_view(images, view)
        assert middle.dtype == np.float32
        np.testing.assert_array_equal(middle, images[:, edge : edge + view, edge : edge + view])


class TestMixup:
    def test_is_a_permutation_and_the_greater_share(self) -> None:
        shares = []
        for seed in range(300):
            partner, share = mixup_pairs(9, rng(seed), 0.2)
            assert sorted(partner) == list(range(9))
            shares.append(share)
        assert 0.5 <= min(shares) < 0.6
        assert 0.99 < max(shares) <= 1
        # A Beta distribution with a small parameter leaves most pictures nearly alone.
        assert np.median(shares) > 0.9

    def test_switched_off(self) -> None:
        partner, share = mixup_pairs(5, rng(), 0)
        np.testing.assert_array_equal(partner, range(5))
        assert share == 1


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("rotation", 181),
            ("rotation", -1),
            ("scale", 0.95),
            ("shift", 2),
            ("flip", 1.5),
            ("flip", -0.1),
            ("light", 1.1),
            ("erasing", 2),
            ("mixup", -0.2),
            ("mixup", 11),
            ("mixup", float("nan")),
            ("flip", "often"),
        ],
    )
    def test_out_of_range(self, name: str, value: object) -> None:
        with pytest.raises(ValueError, match=f"{name}=.*expected a number"):
            Augmentation(**{name: value})


def test_mild_changes_are_less_of_everything() -> None:
    full = Augmentation(erasing=0.3, corruption=0.4, glasses=0.2)
    mild = full.mild()
    assert (mild.erasing, mild.mixup, mild.flip) == (0, 0, full.flip)
    for name in ("rotation", "scale", "shift", "light", "corruption", "glasses"):
        assert 0 < getattr(mild, name) < getattr(full, name)


class TestFaults:
    def test_are_drawn_at_their_rate(self) -> None:
        images = rng().integers(0, 256, (400, 48, 48), np.uint8)
        plain = center_view(images, 44)
        for name in ("corruption", "glasses"):
            changed = augment(images, rng(1), replace(OFF, **{name: 0.3}), 44)
            share = (np.abs(changed - plain).max(axis=(1, 2)) > 1).mean()
            assert share == pytest.approx(0.3, abs=0.08)

    def test_small_views_show_the_same_part(self) -> None:
        images = dots(5, 12, 30)
        large, small = (centroids(augment(images, rng(), OFF, 44, size)) for size in (44, 22))
        np.testing.assert_allclose(small, large / 2, atol=0.2)
        np.testing.assert_allclose(augment(images, rng(), OFF, 44, 22), center_view(images, 44, 22), atol=2)
