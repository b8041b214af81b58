"""Labels that are likely wrong, on votes and probabilities whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from mien.auditing.label_errors import (
    is_no_face,
    label_errors_by_model,
    label_errors_by_votes,
    out_of_fold_probabilities,
)
from mien.labels import FERPLUS_LABELS, LABELS

ANGRY, HAPPY, NEUTRAL = (LABELS.index(label) for label in ("angry", "happy", "neutral"))


def votes(**counts: int) -> np.ndarray:
    columns = [*FERPLUS_LABELS, "unknown", "no_face"]
    return np.array([[counts.get(column, 0) for column in columns]], np.uint8)


@pytest.mark.parametrize(
    ("given", "counts", "expected"),
    [
        (ANGRY, {"happy": 6, "neutral": 4}, HAPPY),
        (ANGRY, {"happy": 6, "neutral": 3, "angry": 1}, HAPPY),
        (ANGRY, {"happy": 8, "angry": 2}, -1),  # two of ten people do see it
        (ANGRY, {"happy": 5, "neutral": 5}, -1),  # half is not more than half
        (HAPPY, {"happy": 10}, -1),
        (NEUTRAL, {"contempt": 10}, -1),  # no label of the dataset
        (ANGRY, {}, -1),
        (ANGRY, {"happy": 255, "neutral": 200}, HAPPY),  # more than a byte holds
    ],
)
def test_outvoted_by_more_than_half_with_a_tenth_at_most_for_the_label(
    given: int, counts: dict[str, int], expected: int
) -> None:
    assert label_errors_by_votes(votes(**counts), np.array([given]), LABELS).tolist() == [expected]


def test_outvoted_knows_the_order_of_the_datasets_labels() -> None:
    assert label_errors_by_votes(votes(sad=9, happy=1), np.array([0]), ("happy", "sad")).tolist() == [1]
    with pytest.raises(ValueError, match="bored"):
        label_errors_by_votes(votes(sad=9), np.array([0]), ("bored", "sad"))


def test_no_face_is_what_more_than_half_say() -> None:
    assert is_no_face(votes(no_face=6, happy=4)).tolist() == [True]
    assert is_no_face(votes(no_face=5, happy=5)).tolist() == [False]
    assert is_no_face(votes()).tolist() == [False]


def clusters(n: int, flipped: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of three classes far apart, their true labels, and labels of which some were changed."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    features = 4 * np.eye(3)[truth] + rng.normal(0, 1, (n, 3))
    given = truth.copy()
    given[:flipped] = (given[:flipped] + 1) % 3
    return features, truth, given


def test_changed_labels_are_doubted_and_the_right_ones_suggested() -> None:
    features, truth, given = clusters(600, flipped=60)
    answers = out_of_fold_probabilities(features, given, np.arange(600), 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    other = label_errors_by_model(answers, given)
    found = other >= 0
    # Those of which the model is less sure than on average are let pass: it finds most, and little else.
    assert found[:60].mean() > 0.7
    assert found[:60].sum() > 20 * found[60:].sum()
    np.testing.assert_array_equal(other[:60][found[:60]], truth[:60][found[:60]])


def test_nobody_answers_for_an_image_whose_copy_it_was_fitted_to() -> None:
    # The features only say who the image is: a copy in the fit would betray the label.
    rng = np.random.default_rng(0)
    targets = np.repeat(rng.integers(0, 2, 50), 4)
    features = np.repeat(np.eye(50), 4, axis=0)
    person = np.repeat(np.arange(50), 4)
    fair = out_of_fold_probabilities(features, targets, person, 2).argmax(axis=1)
    leaking = out_of_fold_probabilities(features, targets, np.arange(200), 2).argmax(axis=1)
    assert (leaking == targets).mean() > 0.95
    assert (fair == targets).mean() < 0.75


def test_the_fit_is_that_of_a_long_descent() -> None:
    features, _, given = clusters(200, flipped=20, seed=1)
    # Two halves that hold the same images: what answers for one was fitted to the other.
    twice, labels = np.tile(features, (2, 1)), np.tile(given, 2)
    answers = out_of_fold_probabilities(twice, labels, np.repeat([0, 1], 200), 3, folds=2)
    x = np.hstack([(features - features.mean(axis=0)) / features.std(axis=0), np.ones((200, 1))])
    weights = np.zeros((4, 3))
    for _ in range(20000):
        powers = np.exp(x @ weights)
        shares = powers / powers.sum(axis=1, keepdims=True)
        weights -= 0.005 * (x.T @ (shares - np.eye(3)[given]) + weights)
    np.testing.assert_allclose(answers[:200], shares, atol=1e-3)


def test_doubted_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.75, 0.25], [0.45, 0.55]])
    # Sure of 0 from (0.9 + 0.7 + 0.2) / 3 = 0.6 on, of 1 from (0.6 + 0.25 + 0.55) / 3 = 0.467 on.
    other = label_errors_by_model(probabilities, np.array([0, 0, 0, 1, 1, 1]))
    assert other.tolist() == [-1, -1, 1, -1, 0, -1]


def test_a_label_that_nobody_has_is_never_suggested() -> None:
    probabilities = np.array([[0.2, 0.1, 0.7], [0.1, 0.2, 0.7]])
    assert label_errors_by_model(probabilities, np.array([0, 1])).tolist() == [-1, -1]


def test_too_few_images_for_the_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="3 different images, expected 5"):
        out_of_fold_probabilities(np.zeros((6, 2)), np.zeros(6, np.int64), np.arange(6) // 2, 2)
