"""Scores against values worked by hand, and against other ways to compute them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mien.metrics import (
    balanced_accuracy,
    bootstrap_interval,
    calibration_error,
    confusion_matrix,
    fit_temperature,
    macro_f1,
    precision_recall_f1,
    softmax,
    threshold_for_precision,
)

# Three labels, eight answers: two of three 0s, one of three 1s and both 2s are right.
TARGETS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
ANSWERS = np.array([0, 0, 1, 1, 2, 2, 2, 2])
MATRIX = np.array([[2, 1, 0], [0, 1, 2], [0, 0, 2]])


def drawn(rng: np.random.Generator, labels: int = 5, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and answers that are right half of the time."""
    targets = rng.integers(0, labels, n)
    return targets, np.where(rng.random(n) < 0.5, targets, rng.integers(0, labels, n))


class TestSoftmax:
    def test_worked_by_hand(self) -> None:
        logits = np.log(np.array([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))
        np.testing.assert_allclose(softmax(logits), [[0.125, 0.25, 0.625], [0.375, 0.375, 0.25]])

    def test_temperature_divides_the_logits(self) -> None:
        logits = np.array([[0.3, -1.2, 2.5]], np.float32)
        np.testing.assert_allclose(softmax(logits, 2.0), softmax(logits / 2), atol=1e-7)

    def test_huge_logits_of_single_precision(self) -> None:
        probabilities = softmax(np.array([[1e30, -1e30, 0.0], [1000.0, 1000.0, -1000.0]], np.float32))
        np.testing.assert_allclose(probabilities, [[1, 0, 0], [0.5, 0.5, 0]], atol=1e-12)

    def test_rows_sum_to_one_and_keep_their_order(self) -> None:
        logits = np.random.default_rng(1).normal(0, 20, (500, 7)).astype(np.float32)
        for temperature in (0.1, 1.0, 9.0):
            probabilities = softmax(logits, temperature)
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
            assert probabilities.min() >= 0
            np.testing.assert_array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))


class TestConfusion:
    def test_rows_are_true_and_columns_predicted(self) -> None:
        np.testing.assert_array_equal(confusion_matrix(TARGETS, ANSWERS, 3), MATRIX)

    def test_labels_that_never_occur_have_a_row_and_a_column(self) -> None:
        matrix = confusion_matrix(np.array([1]), np.array([0]), 4)
        assert matrix.shape == (4, 4)
        assert matrix[1, 0] == matrix.sum() == 1

    def test_nothing_scored_is_all_zeros(self) -> None:
        none = np.empty(0, np.int64)
        np.testing.assert_array_equal(confusion_matrix(none, none, 2), np.zeros((2, 2)))

    def test_equals_counting_one_by_one(self) -> None:
        targets, answers = drawn(np.random.default_rng(2))
        counted = np.zeros((5, 5), int)
        for target, answer in zip(targets, answers, strict=True):
            counted[target, answer] += 1
        np.testing.assert_array_equal(confusion_matrix(targets, answers, 5), counted)


class TestScoresOfAMatrix:
    def test_precision_recall_f1_by_hand(self) -> None:
        precision, recall, f1 = precision_recall_f1(MATRIX)
        np.testing.assert_allclose(precision, [1, 1 / 2, 1 / 2])
        np.testing.assert_allclose(recall, [2 / 3, 1 / 3, 1])
        np.testing.assert_allclose(f1, [4 / 5, 2 / 5, 2 / 3])

    def test_means_by_hand(self) -> None:
        assert balanced_accuracy(MATRIX) == pytest.approx(2 / 3)
        assert macro_f1(MATRIX) == pytest.approx((4 / 5 + 2 / 5 + 2 / 3) / 3)

    def test_undefined_is_zero(self) -> None:
        precision, recall, f1 = precision_recall_f1(np.array([[3, 0], [0, 0]]))
        assert (precision[1], recall[1], f1[1]) == (0, 0, 0)

    def test_absent_labels_do_not_lower_the_means(self) -> None:
        padded = np.pad(MATRIX, (0, 4))
        assert balanced_accuracy(padded) == pytest.approx(balanced_accuracy(MATRIX))
        assert macro_f1(padded) == pytest.approx(macro_f1(MATRIX))

    def test_a_label_that_is_only_predicted_lowers_f1_but_is_no_recall(self) -> None:
        matrix = np.array([[3, 1], [0, 0]])
        assert balanced_accuracy(matrix) == pytest.approx(3 / 4)
        assert macro_f1(matrix) == pytest.approx((6 / 7 + 0) / 2)

    def test_equal_another_way_to_compute_them(self) -> None:
        for seed in range(5):
            targets, answers = drawn(np.random.default_rng(seed))
            matrix = confusion_matrix(targets, answers, 5)
            recalls = [np.mean(answers[targets == k] == k) for k in range(5)]
            # F1 as the Dice coefficient of two sets.
            dices = [
                2 * np.sum((targets == k) & (answers == k)) / (np.sum(targets == k) + np.sum(answers == k))
                for k in range(5)
            ]
            assert balanced_accuracy(matrix) == pytest.approx(np.mean(recalls))
            assert macro_f1(matrix) == pytest.approx(np.mean(dices))

    def test_renaming_the_labels_changes_nothing(self) -> None:
        matrix = confusion_matrix(*drawn(np.random.default_rng(3)), 5)
        order = [3, 0, 4, 1, 2]
        renamed = matrix[np.ix_(order, order)]
        assert balanced_accuracy(renamed) == pytest.approx(balanced_accuracy(matrix))
        assert macro_f1(renamed) == pytest.approx(macro_f1(matrix))


class TestCalibrationError:
    def test_zero_where_confidence_is_accuracy(self) -> None:
        confidences = np.repeat([0.25, 0.5, 0.75, 1.0], 4)
        correct = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1], bool)
        assert calibration_error(confidences, correct) == pytest.approx(0, abs=1e-12)

    def test_one_bin_by_hand(self) -> None:
        assert calibration_error(np.full(4, 0.9), np.array([1, 1, 0, 0], bool)) == pytest.approx(0.4)

    def test_bins_weigh_by_their_answers(self) -> None:
        # One answer is off by 0.9, three by 0.05 each: (0.9 + 3 * 0.05) / 4.
        confidences = np.array([0.9, 0.95, 0.95, 0.95])
        correct = np.array([0, 1, 1, 1], bool)
        assert calibration_error(confidences, correct, bins=100) == pytest.approx((0.9 + 3 * 0.05) / 4)

    def test_gaps_cancel_within_a_bin_and_not_between_bins(self) -> None:
        confidences, correct = np.array([0.5, 0.5]), np.array([True, False])
        assert calibration_error(confidences, correct) == pytest.approx(0)
        assert calibration_error(np.array([0.1, 0.9]), np.array([True, False])) == pytest.approx(0.9)

    def test_certainty_belongs_to_the_last_bin(self) -> None:
        assert calibration_error(np.ones(3, np.float32), np.ones(3, bool)) == 0
        assert calibration_error(np.ones(3, np.float32), np.zeros(3, bool)) == 1

    def test_equals_a_loop_over_bins(self) -> None:
        rng = np.random.default_rng(4)
        confidences, correct = rng.uniform(0.2, 1, 1000), rng.random(1000) < 0.6
        edges, expected = np.linspace(0, 1, 16), 0.0
        for low, high in pairwise(edges):
            inside = (confidences >= low) & (confidences < high)
            if inside.any():
                expected += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
        assert calibration_error(confidences, correct) == pytest.approx(expected)


class TestBootstrapInterval:
    def test_lies_around_the_accuracy_and_narrows_with_n(self) -> None:
        widths = []
        for n in (100, 10_000):
            low, high = bootstrap_interval(np.arange(n) % 10 < 7)
            assert 0 < low < 0.7 < high < 1
            widths.append(high - low)
        # The width falls as 1 / sqrt(n).
        assert widths[0] / widths[1] == pytest.approx(10, rel=0.15)

    def test_equals_resampling_the_answers(self) -> None:
        rng = np.random.default_rng(5)
        correct = rng.random(300) < 0.65
        shares = correct[rng.integers(0, 300, (4000, 300))].mean(axis=1)
        resampled = np.quantile(shares, [0.025, 0.975])
        np.testing.assert_allclose(bootstrap_interval(correct), resampled, atol=0.012)

    def test_covers_the_true_rate_at_its_level(self) -> None:
        rng = np.random.default_rng(6)
        repeats = 600
        for level in (0.8, 0.95):
            covered = 0
            for _ in range(repeats):
                low, high = bootstrap_interval(rng.random(400) < 0.7, level=level)
                covered += low <= 0.7 <= high
            assert covered / repeats == pytest.approx(level, abs=0.035)

    def test_the_same_seed_gives_the_same_interval(self) -> None:
        correct = np.random.default_rng(7).random(500) < 0.6
        assert bootstrap_interval(correct) == bootstrap_interval(correct)
        assert bootstrap_interval(correct, seed=1) != bootstrap_interval(correct, seed=2)

    def test_all_right_and_all_wrong(self) -> None:
        assert bootstrap_interval(np.ones(20, bool)) == (1.0, 1.0)
        assert bootstrap_interval(np.zeros(20, bool)) == (0.0, 0.0)


class TestFitTemperature:
    @pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
    def test_recovers_the_temperature_that_the_targets_were_drawn_with(self, temperature: float) -> None:
        rng = np.random.default_rng(8)
        logits = rng.normal(0, 2, (4000, 6))
        draws = (rng.random((4000, 1)) > softmax(logits, temperature).cumsum(axis=1)).sum(axis=1)
        assert fit_temperature(logits, np.eye(6)[draws.clip(max=5)]) == pytest.approx(temperature, rel=0.1)

    def test_exact_on_shares(self) -> None:
        logits = np.random.default_rng(9).normal(0, 2, (200, 5))
        assert fit_temperature(logits, softmax(logits, 3.0)) == pytest.approx(3.0, rel=1e-3)

    def test_no_other_temperature_is_better(self) -> None:
        rng = np.random.default_rng(10)
        logits, targets = rng.normal(0, 3, (300, 4)), np.eye(4)[rng.integers(0, 4, 300)]
        best = fit_temperature(logits, targets)

        def loss(temperature: float) -> float:
            return float(-(targets * np.log(softmax(logits, temperature))).sum())

        assert all(loss(best) <= loss(t) + 1e-3 for t in np.geomspace(0.1, 10, 60))

    def test_rows_of_zeros_do_not_count(self) -> None:
        rng = np.random.default_rng(11)
        logits = rng.normal(0, 2, (300, 5))
        targets = softmax(logits, 2.0)
        more = np.concatenate([logits, rng.normal(0, 9, (50, 5))])
        padded = np.concatenate([targets, np.zeros((50, 5))])
        assert fit_temperature(more, padded) == pytest.approx(fit_temperature(logits, targets), rel=1e-3)

    def test_nothing_to_fit_leaves_the_logits_as_they_are(self) -> None:
        logits = np.random.default_rng(12).normal(0, 2, (10, 5))
        assert fit_temperature(logits, np.zeros((10, 5))) == pytest.approx(1.0)

    def test_calibrates(self) -> None:
        rng = np.random.default_rng(13)
        logits = rng.normal(0, 2, (4000, 6))
        draws = (rng.random((4000, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(max=5)
        sharp = 4 * logits
        errors = []
        for temperature in (1.0, fit_temperature(sharp, np.eye(6)[draws])):
            probabilities = softmax(sharp, temperature)
            right = probabilities.argmax(axis=1) == draws
            errors.append(calibration_error(probabilities.max(axis=1), right))
        assert errors[1] < 0.03 < 0.2 < errors[0]


class TestThresholdForPrecision:
    def test_worked_by_hand(self) -> None:
        confidences = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
        correct = np.array([True, True, False, True, False])
        assert threshold_for_precision(confidences, correct, 1.0) == 0.8
        assert threshold_for_precision(confidences, correct, 0.75) == 0.6
        assert threshold_for_precision(confidences, correct, 0.6) == 0.5

    def test_order_of_the_answers_does_not_matter(self) -> None:
        confidences = np.array([0.5, 0.9, 0.6, 0.8, 0.7])
        correct = np.array([False, True, True, True, False])
        assert threshold_for_precision(confidences, correct, 0.75) == 0.6

    def test_one_where_the_rate_is_never_reached(self) -> None:
        assert threshold_for_precision(np.array([0.9, 0.8]), np.array([False, False]), 0.5) == 1.0

    def test_the_answers_from_the_threshold_on_are_right_at_that_rate(self) -> None:
        rng = np.random.default_rng(14)
        for _ in range(50):
            # Coarse confidences, so that many are equal.
            confidences = rng.integers(1, 11, 60) / 10
            correct = rng.random(60) < confidences
            threshold = threshold_for_precision(confidences, correct, 0.8)
            if threshold < 1.0:
                assert correct[confidences >= threshold].mean() >= 0.8
            for lower in np.unique(confidences[confidences < threshold]):
                assert correct[confidences >= lower].mean() < 0.8
