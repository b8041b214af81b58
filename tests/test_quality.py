"""Why a face should not be trusted: each reason where it holds, none on good pictures."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, grace_hopper

from mien.images import crop_face
from mien.quality import MAX_GREY, MIN_GREY, assess, sharpness
from mien.results import Box

LARGE = Box(0, 0, 100, 120)


def crops() -> list[np.ndarray]:
    return [crop_face(grace_hopper(), GRACE_HOPPER_FACE), crop_face(astronaut(), ASTRONAUT_FACE)]


def test_good_portraits_have_no_fault() -> None:
    assert [assess(crop, LARGE) for crop in crops()] == [None, None]


@pytest.mark.parametrize(
    ("box", "reason"),
    [(Box(0, 0, 23.9, 60), "small"), (Box(0, 0, 60, 23.9), "small"), (Box(-10, 5, 14, 29), None)],
)
def test_small_is_the_shorter_side_in_the_picture(box: Box, reason: str | None) -> None:
    assert assess(crops()[0], box) == reason


@pytest.mark.parametrize("crop", crops())
def test_dark_bright_and_blurred(crop: np.ndarray) -> None:
    dark = (crop * (0.8 * MIN_GREY / crop.mean())).astype(np.uint8)
    bright = (255 - (255 - crop) * (0.8 * (255 - MAX_GREY) / (255 - crop.mean()))).astype(np.uint8)
    assert assess(dark, LARGE) == "dark"
    assert assess(bright, LARGE) == "bright"
    assert assess(cv2.GaussianBlur(crop, (0, 0), 2), LARGE) == "blurred"
    assert assess(cv2.GaussianBlur(crop, (0, 0), 0.6), LARGE) is None


def test_a_crop_without_any_contrast_is_blurred() -> None:
    assert assess(np.full((48, 48), 128, np.uint8), LARGE) == "blurred"
    assert sharpness(np.full((48, 48), 128, np.uint8)) == 0


@pytest.mark.parametrize("crop", crops())
def test_sharpness_does_not_depend_on_light_and_contrast_but_on_detail(crop: np.ndarray) -> None:
    assert sharpness((crop * 0.5 + 60).astype(np.uint8)) == pytest.approx(sharpness(crop), rel=0.1)
    blurred = [sharpness(cv2.GaussianBlur(crop, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)


def test_colour_crops_of_any_size_are_assessed_alike() -> None:
    face = grace_hopper()[118:330, 160:372]
    assert assess(face, LARGE) is None
    assert assess((face * 0.05).astype(np.uint8), LARGE) == "dark"
    with pytest.raises(TypeError):
        assess(np.zeros((48, 48)), LARGE)  # type: ignore[arg-type]


@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="needs the data folder that MIEN_DATA names")
def test_hardly_any_training_picture_is_flagged() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(Path(os.environ["MIEN_DATA"], "fer2013", "train.parquet"), columns=["image"])
    encoded = (np.frombuffer(row["image"]["bytes"], np.uint8) for row in table.slice(0, 4000).to_pylist())
    flagged = [assess(cv2.imdecode(e, cv2.IMREAD_GRAYSCALE), LARGE) is not None for e in encoded]
    assert 0 < np.mean(flagged) < 0.01
