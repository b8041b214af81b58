"""What befalls faces: each function does what it says, to a copy."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from photographs import photographs
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, grace_hopper

from mien.images import corruptions
from mien.images.crop import crop_face

Image = np.ndarray


def grey(crop: Image) -> Image:
    return cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) if crop.ndim == 3 else crop


PORTRAITS = [
    grey(crop_face(grace_hopper(), GRACE_HOPPER_FACE)),
    grey(crop_face(astronaut(), ASTRONAUT_FACE)),
]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


ALL: dict[str, Callable[[Image], Image]] = {
    "move": lambda i: corruptions.move(i, rotation=10, scale=1.1, shift=(0.1, 0.05)),
    "blur": lambda i: corruptions.blur(i, 1),
    "noise": lambda i: corruptions.noise(i, 10, rng()),
    "low_resolution": lambda i: corruptions.low_resolution(i, 24),
    "jpeg": lambda i: corruptions.jpeg(i, 20),
    "brightness": lambda i: corruptions.brightness(i, 0.5),
    "glasses": lambda i: corruptions.glasses(i, 0.8, 0.4, rng()),
}
NOTHING: dict[str, Callable[[Image], Image]] = {
    "move": corruptions.move,
    "blur": lambda i: corruptions.blur(i, 0),
    "noise": lambda i: corruptions.noise(i, 0, rng()),
    "low_resolution": lambda i: corruptions.low_resolution(i, i.shape[1]),
    "brightness": lambda i: corruptions.brightness(i, 1),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(48, 48), (60, 40)])
def test_a_new_picture_of_the_same_form(name: str, shape: tuple[int, int]) -> None:
    source = cv2.resize(PORTRAITS[0], shape[::-1])
    before = source.copy()
    out = ALL[name](source)
    assert (out.shape, out.dtype) == (shape, np.uint8)
    assert not np.array_equal(out, source)
    assert not np.shares_memory(out, source)
    np.testing.assert_array_equal(source, before)
    np.testing.assert_array_equal(ALL[name](source), out)


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_changes_nothing_but_is_a_copy(name: str) -> None:
    out = NOTHING[name](PORTRAITS[0])
    np.testing.assert_array_equal(out, PORTRAITS[0])
    assert not np.shares_memory(out, PORTRAITS[0])


def spot(x: int, y: int) -> Image:
    image = np.zeros((48, 48), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 200
    return image


def centroid(image: Image) -> tuple[float, float]:
    """x, y of the light."""
    rows, columns = np.indices(image.shape)
    return float((columns * image.astype(float)).sum() / image.sum()), float(
        (rows * image.astype(float)).sum() / image.sum()
    )


class TestMove:
    def test_shift_is_a_share_of_the_sides_to_the_right_and_down(self) -> None:
        out = corruptions.move(spot(20, 20), shift=(0.125, -0.0625))
        assert centroid(out) == pytest.approx((26, 17), abs=0.1)

    def test_rotation_is_counter_clockwise_about_the_middle(self) -> None:
        x, y = centroid(corruptions.move(spot(37, 24), rotation=90))
        assert (x, y) == pytest.approx((24, 10), abs=0.6)

    def test_scale_is_about_the_middle(self) -> None:
        small, large = (corruptions.move(spot(34, 34), scale=scale) for scale in (0.5, 1.25))
        assert centroid(small) == pytest.approx((23.5 + 0.5 * 10.5,) * 2, abs=0.2)
        assert centroid(large) == pytest.approx((23.5 + 1.25 * 10.5,) * 2, abs=0.2)
        assert small.sum() < spot(34, 34).sum() < large.sum()

    def test_the_edge_is_repeated(self) -> None:
        image = np.zeros((48, 48), np.uint8)
        image[:, 0] = 90
        assert (corruptions.move(image, shift=(0.125, 0))[:, :7] == 90).all()


@pytest.mark.parametrize("portrait", PORTRAITS)
def test_more_blur_leaves_less_contrast_and_the_same_light(portrait: Image) -> None:
    blurred = [corruptions.blur(portrait, sigma) for sigma in (0, 0.5, 1, 2, 4)]
    spread = [float(image.std()) for image in blurred]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.9 * spread[0]
    assert blurred[-1].mean() == pytest.approx(portrait.mean(), abs=4)


@pytest.mark.parametrize("sigma", [5, 20])
def test_noise_has_the_spread_it_is_asked_for(sigma: float) -> None:
    plain = np.full((200, 200), 128, np.uint8)
    out = corruptions.noise(plain, sigma, rng()).astype(float)
    assert out.std() == pytest.approx(sigma, rel=0.03)
    assert out.mean() == pytest.approx(128, abs=0.5)
    other = corruptions.noise(plain, sigma, np.random.default_rng(1))
    assert not np.array_equal(out, other)


def test_noise_ends_at_black_and_white() -> None:
    black = corruptions.noise(np.zeros((48, 48), np.uint8), 20, rng())
    assert black.max() < 128, "nothing wraps around"
    assert (black == 0).mean() > 0.4


def test_low_resolution_takes_detail_finer_than_its_pixels_and_leaves_the_rest() -> None:
    columns = np.arange(48)
    fine = np.tile(np.where(columns % 2, 200, 50), (48, 1)).astype(np.uint8)
    coarse = np.tile(np.where(columns < 24, 50, 200), (48, 1)).astype(np.uint8)
    assert corruptions.low_resolution(fine, 24).std() < 1
    assert corruptions.low_resolution(coarse, 24).std() > 0.95 * coarse.std()
    errors = [
        np.abs(corruptions.low_resolution(PORTRAITS[0], side) - PORTRAITS[0].astype(float)).mean()
        for side in (48, 40, 32, 24, 16, 8)
    ]
    assert errors == sorted(errors) and errors[0] == 0 < errors[1]


def test_jpeg_of_less_quality_differs_more() -> None:
    picture = photographs(1)[0]
    errors = [
        np.abs(corruptions.jpeg(picture, quality) - picture.astype(float)).mean()
        for quality in (100, 75, 25, 5)
    ]
    assert errors == sorted(errors)
    assert errors[0] < 1 < errors[-1]


def test_brightness_is_a_factor_of_every_grey_level() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    half = corruptions.brightness(image, 0.5)
    assert np.abs(half - image / 2).max() <= 0.5
    np.testing.assert_array_equal(corruptions.brightness(image, 2), np.minimum(2 * image.astype(int), 255))


class TestGlasses:
    def test_black_ones_darken_the_upper_half_alone(self) -> None:
        image = np.full((48, 48), 200, np.uint8)
        out = corruptions.glasses(image, 1, 0.3, rng())
        assert (out[28:] == 200).all()
        assert (out <= image).all()
        assert out[14, 14] == out[14, 34] == 0, "both eyes"
        assert out[:28].mean() < 190
        assert (out[:, [0, -1]] == 200).all(), "not all of the face"

    def test_clear_ones_have_a_rim_alone(self) -> None:
        image = np.full((48, 48), 200, np.uint8)
        clear, dark = (corruptions.glasses(image, darkness, 0.3, rng()) for darkness in (0, 0.7))
        assert clear[14, 14] == clear[14, 34] == 200
        assert dark[14, 14] == 60
        assert 0 < (clear < 200).sum() < (dark < 200).sum()
