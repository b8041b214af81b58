"""The detector's cells, targets and losses, by values worked out by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import keras
import numpy as np

from mien._core.boxes import overlaps, suppress
from mien.faces.grid import OUTPUTS, cell_grid, decode, vote
from mien.training.detector.geometry import Faces
from mien.training.detector.targets import box_overlap, detection_loss, encode, mean_overlap


def faces(*boxes: tuple[float, ...], ignored: tuple[tuple[float, ...], ...] = ()) -> Faces:
    b = np.array(boxes, float).reshape(-1, 4)
    points = b[:, None, :2] + np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * (
        b[:, None, 2:] - b[:, None, :2]
    )
    return Faces(b, points, np.array(ignored, float).reshape(-1, 4))


def as_answers(targets: np.ndarray, sure: float = 20.0) -> np.ndarray:
    """What a network would say that knows the targets."""
    answers = np.zeros((len(targets), OUTPUTS), np.float32)
    answers[:, 0] = np.where(targets[:, 0] > 0, sure, -sure)
    answers[:, 1:] = targets[:, 2:16]
    return answers


def loss(targets: np.ndarray, answers: np.ndarray) -> float:
    return float(
        detection_loss(keras.ops.convert_to_tensor(targets[None]), keras.ops.convert_to_tensor(answers[None]))
    )


def test_the_cells_of_a_picture() -> None:
    centers, sides = cell_grid(64, 96)
    assert len(centers) == len(sides) == 8 * 12 + 4 * 6 + 2 * 3
    assert (
        centers[0].tolist() == [4, 4] and centers[1].tolist() == [12, 4] and centers[12].tolist() == [4, 12]
    )
    assert centers[96].tolist() == [8, 8] and centers[-1].tolist() == [80, 48]
    assert sorted(set(sides.tolist())) == [8, 16, 32]


@pytest.mark.parametrize("box", [(40, 40, 52, 54), (100, 60, 150, 120), (20, 30, 250, 300), (0, 0, 60, 70)])
def test_what_is_encoded_is_decoded_to_the_same_face(box: tuple[float, ...]) -> None:
    face = faces(box)
    targets = encode(face, 320, 320)
    cells = np.flatnonzero(targets[:, 0])
    assert 1 <= len(cells) <= 18
    scores, boxes, points = decode(as_answers(targets)[cells], *(part[cells] for part in cell_grid(320, 320)))
    np.testing.assert_allclose(boxes, np.repeat(face.boxes, len(cells), axis=0), atol=1e-3)
    np.testing.assert_allclose(points, np.repeat(face.landmarks, len(cells), axis=0), atol=1e-3)
    assert (scores > 0.99).all()
    assert (targets[cells, 0] ** 2).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("side", "strides"), [(12, {8}), (46, {8, 16}), (70, {16}), (100, {16, 32}), (200, {32})]
)
def test_the_size_of_a_face_tells_the_grids_that_answer_for_it(side: int, strides: set[int]) -> None:
    targets = encode(faces((60, 60, 60 + side, 60 + side)), 320, 320)
    assert set(cell_grid(320, 320)[1][targets[:, 0] > 0].tolist()) == strides


def test_the_smaller_of_two_faces_has_the_cell() -> None:
    targets = encode(faces((80, 80, 120, 120), (92, 92, 108, 108)), 320, 320)
    centers, sides = cell_grid(320, 320)
    (cell,) = np.flatnonzero((centers == (100, 100)).all(axis=1) & (sides == 8))
    assert np.exp(targets[cell, 4]) * 8 == pytest.approx(16)


def test_ignored_places_count_neither_way_but_a_face_on_them_does() -> None:
    targets = encode(faces((100, 100, 130, 130), ignored=((90, 90, 200, 200),)), 320, 320)
    centers, _ = cell_grid(320, 320)
    inside = ((centers >= 90) & (centers <= 200)).all(axis=1)
    assert (targets[inside & (targets[:, 0] == 0), 1] == 0).all()
    assert (targets[~inside, 1] == 1).all()
    assert (targets[targets[:, 0] > 0, 1] == 1).all()


def test_unknown_landmarks_are_zero_and_marked() -> None:
    face = faces((100, 100, 130, 130))
    targets = encode(Faces(face.boxes, np.full((1, 5, 2), np.nan), face.ignored), 320, 320)
    assert np.isfinite(targets).all()
    assert (targets[:, 16] == 0).all() and encode(face, 320, 320)[:, 16].any()


def test_overlap_of_boxes_and_the_generalised_one() -> None:
    # Squares of side 2, one a side further: a third overlaps; two sides further: nothing, hull of 6 for 8 in all.
    a = np.array([[0, 0, np.log(2), np.log(2)]] * 3, np.float32)
    b = a + np.array([[0, 0, 0, 0], [1, 0, 0, 0], [4, 0, 0, 0]], np.float32)
    overlap, general = (keras.ops.convert_to_numpy(x) for x in box_overlap(a, b))
    np.testing.assert_allclose(overlap, [1, 1 / 3, 0], atol=1e-5)
    np.testing.assert_allclose(general, [1, 1 / 3, -1 / 3], atol=1e-5)


def test_the_loss_of_a_right_answer_is_zero_and_every_mistake_costs() -> None:
    targets = encode(faces((100, 100, 160, 170)), 320, 320)
    right = as_answers(targets)
    assert loss(targets, right) == pytest.approx(0, abs=1e-3)
    cells = targets[:, 0] > 0
    for column, change in ((0, -20), (1, 1.0), (3, 0.5), (5, 0.5), (14, -0.5)):
        wrong = right.copy()
        wrong[cells, column] += change
        assert loss(targets, wrong) > 0.01, column
    false = right.copy()
    false[np.flatnonzero(~cells)[0], 0] = 5
    assert loss(targets, false) == pytest.approx(0.75 * 5.0067 / (1 + np.exp(-5)) ** 2, rel=1e-3)


def test_what_is_ignored_or_unknown_costs_nothing() -> None:
    targets = encode(faces(ignored=((0, 0, 320, 320),)), 320, 320)
    answers = as_answers(targets)
    answers[:, 0] = 5
    assert loss(targets, answers) == 0
    face = faces((100, 100, 160, 170))
    targets = encode(Faces(face.boxes, np.full((1, 5, 2), np.nan), face.ignored), 320, 320)
    answers = as_answers(targets)
    answers[:, 5:] = 3
    assert loss(targets, answers) == pytest.approx(0, abs=1e-3)


def test_the_score_is_to_tell_how_well_the_box_fits() -> None:
    targets = encode(faces((100, 100, 160, 160)), 320, 320)
    answers = as_answers(targets)
    cells = targets[:, 0] > 0
    answers[cells, 1] += (
        60 / cell_grid(320, 320)[1][cells] / 3
    )  # a third of the side: half of the union is shared
    assert float(mean_overlap(targets[None], answers[None])) == pytest.approx(0.5, abs=1e-4)
    costs = {}
    for logit in (-2.0, 0.0, 2.0):
        answers[cells, 0] = logit
        costs[logit] = loss(targets, answers)
    assert costs[0.0] < costs[-2.0] and costs[0.0] < costs[2.0]


def test_all_boxes_of_a_face_say_where_it_lies() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 0, 60, 10]], np.float32)
    landmarks = np.repeat(boxes[:, None, :2], 5, axis=1)
    scores = np.array([0.6, 0.2, 0.5], np.float32)
    means, points = vote(scores, boxes, landmarks, np.array([0, 2]), 0.4)
    assert means == pytest.approx(np.array([[0.5, 0, 10.5, 10], [50, 0, 60, 10]]))
    assert points[:, 0] == pytest.approx(means[:, :2])
    assert (means.dtype, points.dtype) == (np.float32, np.float32)
    none = vote(scores, boxes, landmarks, np.array([], np.intp), 0.4)
    assert [part.shape for part in none] == [(0, 4), (0, 5, 2)]


def test_suppression_keeps_the_best_of_those_that_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 0, 10, 4]], np.float32)
    scores = np.array([0.6, 0.9, 0.3, 0.5], np.float32)
    assert suppress(scores, boxes, 0.5).tolist() == [1, 3, 2]
    assert suppress(scores, boxes, 0.3).tolist() == [1, 2]
    assert suppress(scores, boxes, 0.5, inside=0.95).tolist() == [1, 3, 2]
    assert suppress(scores, boxes, 0.5, inside=0.85).tolist() == [1, 2]
    assert suppress(scores[:0], boxes[:0], 0.5).tolist() == []
    np.testing.assert_allclose(overlaps(boxes[:1], boxes), [[1, 90 / 110, 0, 0.4]], rtol=1e-6)
