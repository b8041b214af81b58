"""Scores of detectors, on pictures small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mien.metrics.detection import (
    PictureScores,
    average_precision,
    choose_min_score,
    counts_at,
    match,
    recall_at,
)


def boxes(*corners: tuple[float, float], side: float = 10) -> np.ndarray:
    return np.array([(x, y, x + side, y + side) for x, y in corners], np.float32).reshape(-1, 4)


def scored(scores: list[float], hits: list[bool], faces: int) -> PictureScores:
    return PictureScores(np.array(scores, np.float32), np.array(hits, bool), faces)


def test_every_face_is_found_once_by_the_best_box() -> None:
    found = boxes((1, 0), (0, 0), (50, 50))
    one = match(np.array([0.5, 0.9, 0.7]), found, boxes((0, 0)), boxes())
    assert one.scores.tolist() == [0.9, 0.7, 0.5]
    assert one.hits.tolist() == [True, False, False]
    assert one.faces == 1


def test_two_faces_side_by_side_are_both_found() -> None:
    one = match(np.array([0.9, 0.8]), boxes((2, 0), (9, 0)), boxes((0, 0), (8, 0)), boxes())
    assert one.hits.all()


def test_ignored_places_count_neither_way() -> None:
    ignored = np.array([[0, 0, 40, 40]], np.float32)
    found = boxes((5, 5), (36, 36), (100, 0))
    one = match(np.array([0.9, 0.8, 0.7]), found, boxes(), ignored)
    assert one.scores.tolist() == pytest.approx([0.8, 0.7])
    assert not one.hits.any()


def test_a_face_on_an_ignored_place_still_counts() -> None:
    one = match(np.array([0.9]), boxes((0, 0)), boxes((0, 0)), boxes((1, 1)))
    assert one.hits.tolist() == [True]


def test_a_box_that_fits_badly_finds_nothing() -> None:
    one = match(np.array([0.9]), boxes((4, 0)), boxes((0, 0)), boxes())
    assert one.hits.tolist() == [False]
    assert match(np.array([0.9]), boxes((4, 0)), boxes((0, 0)), boxes(), overlap=0.4).hits.tolist() == [True]


PICTURES = [scored([0.9, 0.6], [True, False], 2), scored([0.8, 0.7, 0.5], [False, True, True], 2)]


def test_average_precision_by_hand() -> None:
    # By falling score: hit, miss, hit, miss, hit; of four faces. Precision at the hits: 1, 2/3, 3/5.
    assert average_precision(PICTURES) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)


def test_average_precision_takes_the_best_precision_to_come() -> None:
    assert average_precision([scored([0.9, 0.8, 0.7], [False, True, True], 2)]) == pytest.approx(2 / 3)


def test_recall_at_so_many_false_boxes() -> None:
    assert recall_at(PICTURES, 1.0) == 3 / 4
    assert recall_at(PICTURES, 0.5) == 2 / 4
    assert recall_at(PICTURES, 0.0) == 1 / 4


def test_counts_at_a_least_score() -> None:
    assert counts_at(PICTURES, 0.7) == (2, 1)
    assert counts_at(PICTURES, 0.0) == (3, 2)


def test_the_least_score_gets_most_pictures_right() -> None:
    pictures = [
        scored([0.9, 0.3], [True, False], 1),  # right above 0.3 and up to 0.9
        scored([0.8, 0.6], [True, True], 2),  # up to 0.6
        scored([0.5], [False], 0),  # above 0.5
        scored([0.2], [False], 1),  # never
    ]
    assert choose_min_score(pictures) == pytest.approx(0.55)
    # Of the equal 0.9 and 0.8 to 0.3 the one with fewer boxes.
    assert choose_min_score(pictures[:1]) == pytest.approx(0.6)
    assert choose_min_score([scored([0.9], [False], 1)]) == 0.5


def test_without_any_face_there_is_nothing_to_score() -> None:
    with pytest.raises(ValueError, match="no face"):
        average_precision([scored([0.5], [False], 0)])
