"""Scenes of the face detector's training: what is drawn lands where its box and landmarks say."""

from __future__ import annotations

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import cv2
import numpy as np

from mien.training.detector.geometry import MIRRORED, Faces, affine, warp
from mien.training.detector.occlusion import occlude
from mien.training.detector.pasting import cut_out, cutting_of_fer, paste
from mien.training.detector.photographs import Photograph
from mien.training.detector.scene_corruptions import corrupt
from mien.training.detector.scenes import SMALLEST, SceneSynthesizer

MARKS = np.array([[60.0, 50], [100, 52], [80, 70], [64, 90], [97, 91]])
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def marked(width: int = 200, height: int = 160) -> np.ndarray:
    """A black picture with a soft dot of its own colour at every landmark."""
    y, x = np.mgrid[:height, :width] + 0.5
    image = np.zeros((height, width, 3))
    for (u, v), color in zip(MARKS, COLORS, strict=True):
        image += np.exp(-((x - u) ** 2 + (y - v) ** 2) / 18)[..., None] * color
    return image.clip(0, 255).astype(np.uint8)


def face(box: tuple[float, ...] = (50, 35, 110, 105)) -> Faces:
    return Faces(np.array([box], float), MARKS[None].copy(), np.empty((0, 4)))


def photograph(source: str = "group", *, empty: bool = False, digest: str = "ff") -> Photograph:
    image = np.full((160, 200, 3), 90, np.uint8) if empty else marked()
    return Photograph(image, Faces.none() if empty else face(), np.empty((0, 4)), source, empty, digest)


def place_of(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """The middle of the pixels that are more of this colour than of others."""
    wanted = np.array(color) > 0
    weight = image[..., wanted].min(axis=2).astype(float) - image[..., ~wanted].max(axis=2)
    weight = np.where(weight > 60, weight, 0)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [-30.0, 0.0, 17.0])
@pytest.mark.parametrize("scale", [0.4, 0.7, 1.0, 2.2])
def test_every_mark_lands_where_its_landmark_says(scale: float, angle: float, mirror: bool) -> None:
    matrix = affine((80, 70), (161.3, 158.9), scale, angle, mirror=mirror)
    image = warp(marked(), matrix, 320, 320)
    points = face().moved(matrix).landmarks[0]
    for i, color in enumerate(COLORS):
        expected = points[MIRRORED.index(i)] if mirror else points[i]
        assert np.abs(place_of(image, color) - expected).max() < 0.6, i


def test_a_turned_box_is_the_box_around_the_turned_ellipse() -> None:
    quarter = affine((80, 70), (80, 70), 1, 90, mirror=False)
    (box,) = face().moved(quarter).boxes
    np.testing.assert_allclose(box, (45, 40, 115, 100), atol=1e-9)
    slanted = affine((80, 70), (80, 70), 2, 30, mirror=False)
    (box,) = face().moved(slanted).boxes
    t = np.linspace(0, 2 * np.pi, 100_000)
    ellipse = np.stack([80 + 30 * np.cos(t), 70 + 35 * np.sin(t)], axis=1) @ slanted[:, :2].T + slanted[:, 2]
    np.testing.assert_allclose(box, (*ellipse.min(axis=0), *ellipse.max(axis=0)), atol=1e-4)


def test_what_is_cut_or_small_is_ignored_and_what_is_outside_is_gone() -> None:
    boxes = np.array(
        [[10, 10, 40, 50], [-12, 0, 20, 40], [95, 0, 130, 40], [300, 0, 340, 40], [50, 50, 57, 60]]
    )
    faces = Faces(boxes.astype(float), np.zeros((5, 5, 2)), np.array([[90.0, 90, 120, 120]]))
    seen = faces.seen((0, 0, 100, 100), 9)
    assert seen.boxes.tolist() == [[10, 10, 40, 50]]
    assert sorted(seen.ignored.tolist()) == [
        [0, 0, 20, 40],
        [50, 50, 57, 60],
        [90, 90, 100, 100],
        [95, 0, 100, 40],
    ]


def test_a_pasted_face_lies_where_it_is_said_to() -> None:
    scene = np.zeros((320, 320, 3), np.uint8)
    cutting = cut_out(photograph(), 0)
    faces = paste(scene, cutting, (200, 120), 100, 20, mirror=False, softness=0.05)
    (box,) = faces.boxes
    assert ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) == pytest.approx((200, 120))
    for color, point in zip(COLORS, faces.landmarks[0], strict=True):
        assert np.abs(place_of(scene, color) - point).max() < 0.8


def test_a_pasted_face_fades_at_its_border_and_leaves_the_rest_alone() -> None:
    scene = np.full((200, 200, 3), 100, np.uint8)
    bright = cutting_of_fer(np.full((48, 48), 220, np.uint8))
    paste(scene, bright, (100, 100), 48 * 1.0044, 0, mirror=False, softness=0.25)
    row = scene[100, :, 0].astype(int)
    assert (row[:60] == 100).all() and (row[140:] == 100).all()
    assert row[100] == 220
    rising = row[76:90]
    assert (np.diff(rising) >= 0).all() and 100 < rising[3] < 220


def test_a_face_of_fer2013_has_a_box_and_no_landmarks() -> None:
    faces = cutting_of_fer(np.zeros((48, 48), np.uint8)).faces
    assert np.isnan(faces.landmarks).all()
    x1, y1, x2, y2 = faces.boxes[0]
    assert 0 < x1 < x2 < 48
    assert y2 - y1 == pytest.approx(48, abs=1)


def maker() -> SceneSynthesizer:
    trap = Photograph(marked(), Faces.none(), np.array([[10.0, 10, 60, 70]]), "things", True, "ff")
    photographs = [photograph(), photograph("other"), photograph(empty=True), trap]
    fer = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
    return SceneSynthesizer(photographs, fer, 160)


def test_scenes_can_be_drawn_again_and_differ() -> None:
    first, again, other = maker().draw(1, 2, 3), maker().draw(1, 2, 3), maker().draw(1, 2, 4)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.faces.boxes, again.faces.boxes)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.slow
def test_scenes_have_faces_of_all_sizes_inside_and_some_have_none() -> None:
    scenes = [maker().draw(0, 0, i) for i in range(150)]
    assert all(scene.image.shape == (160, 160, 3) and scene.image.dtype == np.uint8 for scene in scenes)
    boxes = np.concatenate([scene.faces.boxes for scene in scenes])
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    assert sides.min() >= SMALLEST and sides.min() < 20 and sides.max() > 80
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert middles.min() >= 0 and middles.max() <= 160
    assert 10 < sum(len(scene.faces) == 0 for scene in scenes) < 75
    known = [np.isfinite(scene.faces.landmarks).all(axis=(1, 2)) for scene in scenes]
    assert 0 < np.concatenate(known).mean() < 1


@pytest.mark.parametrize("number", range(12))
def test_a_large_face_alone_has_its_own_border_or_a_colour_around_it(number: int) -> None:
    scene, _ = maker()._alone(np.random.default_rng(number))
    (box,) = scene.faces.boxes
    assert 0.12 * 160 - 1 <= (box[2:] - box[:2]).max() <= 1.5 * 160  # a turned box is larger
    assert 0 < box[:2].mean() + 1e-9 < 160 and scene.image.shape == (160, 160, 3)
    middle = ((box[:2] + box[2:]) / 2).clip(0, 159).astype(int)
    assert scene.image[middle[1], middle[0]].any()  # nothing is left black


def test_without_empty_pictures_and_faces_to_paste_there_are_scenes_too() -> None:
    alone = SceneSynthesizer([photograph()], np.empty((0, 48, 48), np.uint8), 96)
    assert any(len(alone.draw(0, 0, i).faces) for i in range(10))


def test_something_before_a_face_hides_a_part_of_it_alone() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (160, 200, 3), np.uint8)
    faces, changed = photograph().faces, []
    (x1, y1, x2, y2) = faces.boxes[0].round().astype(int)
    room = int(0.34 * max(x2 - x1, y2 - y1))
    for _ in range(60):
        different = (occlude(noise.copy(), faces, 1.0, rng) != noise).any(axis=2)
        changed.append(different[y1:y2, x1:x2].mean())
        different[max(0, y1 - room) : y2 + room, max(0, x1 - room) : x2 + room] = False
        assert not different.any()
    assert min(changed) > 0.005
    assert 0.1 < np.median(changed) < 0.5
    assert max(changed) < 0.8
    assert np.array_equal(occlude(noise.copy(), faces, 0.0, rng), noise)
    small = faces.moved(np.array([[0.2, 0, 0], [0, 0.2, 0]]))
    assert np.array_equal(occlude(noise.copy(), small, 1.0, rng), noise)


def test_faults_change_pixels_and_keep_the_place() -> None:
    image = cv2.resize(marked(), (320, 256))
    rng = np.random.default_rng(0)
    spoiled = [corrupt(image, rng) for _ in range(20)]
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in spoiled)
    assert sum(not np.array_equal(one, image) for one in spoiled) > 15
    grey = corrupt(image, rng, grey=True)
    assert np.ptp(grey.astype(int).mean(axis=(0, 1))) < 40


def test_photographs_are_split_by_their_bytes() -> None:
    low, high = photograph(digest="00" * 32), photograph(digest="ff" * 32)
    assert low.in_validation and not high.in_validation
