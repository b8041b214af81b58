"""Scores against values worked by hand, and against other ways to compute them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from mien.metrics.calibration import (
    area_under_risk_coverage,
    calibration_error,
    fit_temperature,
    selective_accuracy,
    softmax,
    threshold_for_precision,
)
from mien.metrics.classification import balanced_accuracy, confusion_matrix, macro_f1, precision_recall_f1
from mien.metrics.significance import (
    EXACT_BELOW,
    accuracy_interval,
    mcnemar_p_value,
    mean_recall_interval,
    paired_difference_interval,
    rank_correlation,
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


class TestAccuracyInterval:
    def test_lies_around_the_accuracy_and_narrows_with_n(self) -> None:
        widths = []
        for n in (100, 10_000):
            low, high = accuracy_interval(np.arange(n) % 10 < 7)
            assert 0 < low < 0.7 < high < 1
            widths.append(high - low)
        # The width falls as 1 / sqrt(n).
        assert widths[0] / widths[1] == pytest.approx(10, rel=0.15)

    @pytest.mark.parametrize(("n", "rate"), [(400, 0.7), (100, 0.9)])
    def test_covers_the_true_rate_at_its_level(self, n: int, rate: float) -> None:
        rng = np.random.default_rng(6)
        repeats = 600
        for level in (0.8, 0.95):
            covered = 0
            for _ in range(repeats):
                low, high = accuracy_interval(rng.random(n) < rate, level=level)
                covered += low <= rate <= high
            assert covered / repeats == pytest.approx(level, abs=0.05)

    def test_of_few_that_are_all_right_it_is_not_certain(self) -> None:
        low, high = accuracy_interval(np.ones(20, bool))
        assert (low, high) == (pytest.approx(0.839, abs=1e-3), 1.0)
        low, high = accuracy_interval(np.zeros(20, bool))
        assert (low, high) == (pytest.approx(0, abs=1e-12), pytest.approx(0.161, abs=1e-3))


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

    def test_certain_that_it_is_not_too_low(self) -> None:
        rng = np.random.default_rng(16)
        fitted: dict[float, list[float]] = {0.5: [], 0.95: []}
        for _ in range(100):
            logits = rng.normal(0, 2, (150, 5))
            draws = (rng.random((150, 1)) > softmax(logits, 1.5).cumsum(axis=1)).sum(axis=1).clip(max=4)
            for certainty, found in fitted.items():
                found.append(fit_temperature(logits, np.eye(5)[draws], certainty=certainty))
        assert 0.35 < np.mean(np.array(fitted[0.5]) >= 1.5) < 0.65
        assert 0.88 < np.mean(np.array(fitted[0.95]) >= 1.5) <= 1

    def test_more_images_need_less_caution(self) -> None:
        rng = np.random.default_rng(17)
        logits = rng.normal(0, 2, (100, 5))
        draws = (rng.random((100, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(max=4)
        targets = np.eye(5)[draws]
        few, many = (
            fit_temperature(np.tile(logits, (k, 1)), np.tile(targets, (k, 1)), certainty=0.95)
            for k in (1, 25)
        )
        assert few > many > fit_temperature(logits, targets)
        # Shares say more than a draw from them does.
        assert fit_temperature(logits, softmax(logits), certainty=0.95) < few


class TestThresholdForPrecision:
    def test_the_order_of_the_answers_does_not_matter(self) -> None:
        rng = np.random.default_rng(14)
        confidences, mixed = rng.random(500), rng.permutation(500)
        correct = rng.random(500) < 0.5 + confidences / 2
        found = threshold_for_precision(confidences, correct, 0.8)
        assert found == threshold_for_precision(confidences[mixed], correct[mixed], 0.8)
        assert 0.2 < found < 1

    def test_too_few_to_be_certain(self) -> None:
        # Of the right alone as many are needed as make 0.9 ** n smaller than a quarter of 0.05.
        assert threshold_for_precision(np.full(41, 0.95), np.ones(41, bool), 0.9) == 1.0
        assert threshold_for_precision(np.full(42, 0.95), np.ones(42, bool), 0.9) == 0.01
        assert threshold_for_precision(np.array([0.9, 0.8]), np.array([False, False]), 0.5) == 1.0

    @pytest.mark.parametrize("n", [300, 1258, 5000])
    @pytest.mark.parametrize("rate", [0.895, 0.88])
    def test_of_answers_that_are_not_good_enough_it_is_seldom_certain(self, n: int, rate: float) -> None:
        """All confidences mean the same rate, just below the wanted one: the hardest case for many thresholds."""
        rng = np.random.default_rng(n)
        rounds = 400
        misses = sum(
            threshold_for_precision(rng.beta(4, 2, n), rng.random(n) < rate, 0.9) < 1.0 for _ in range(rounds)
        )
        assert misses / rounds < 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)

    def test_certain_that_the_rate_is_reached_elsewhere(self) -> None:
        rng = np.random.default_rng(18)
        found, reached = [], []
        for _ in range(300):
            confidences = rng.random(2000)
            correct = rng.random(2000) < confidences  # from t on, (1 + t) / 2 of all answers are right
            threshold = threshold_for_precision(confidences, correct, 0.8)
            found.append(threshold)
            reached.append((1 + threshold) / 2 >= 0.8)
        assert np.mean(found) < 0.7, "far more than certain is of no use"
        assert np.mean(reached) > 0.95 - 2 * math.sqrt(0.05 * 0.95 / 300)

    @pytest.mark.parametrize("wrong", [{"precision": 1.0}, {"precision": 0.9, "certainty": 1.0}])
    def test_what_cannot_be_reached_is_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            threshold_for_precision(np.ones(3), np.ones(3, bool), **wrong)


class TestRiskCoverage:
    SAID = np.array([0.5, 0.8, 0.9, 0.8, 0.6])
    RIGHT = np.array([False, False, True, True, True])

    def test_by_hand(self) -> None:
        # The most confident is right; of the next two, equally confident, one; then a right and a wrong one.
        coverage, accuracy = selective_accuracy(self.SAID, self.RIGHT)
        np.testing.assert_allclose(coverage, [0.2, 0.6, 0.6, 0.8, 1])
        np.testing.assert_allclose(accuracy, [1, 2 / 3, 2 / 3, 3 / 4, 3 / 5])
        expected = (0 + 1 / 3 + 1 / 3 + 1 / 4 + 2 / 5) / 5
        assert area_under_risk_coverage(self.SAID, self.RIGHT) == pytest.approx(expected)

    def test_the_order_of_the_answers_does_not_matter(self) -> None:
        rng = np.random.default_rng(3)
        said, right = rng.integers(0, 20, 300) / 20, rng.random(300) < 0.6
        mixed = rng.permutation(300)
        for one, other in zip(
            selective_accuracy(said, right), selective_accuracy(said[mixed], right[mixed]), strict=True
        ):
            np.testing.assert_array_equal(one, other)

    def test_every_point_is_what_its_threshold_keeps(self) -> None:
        rng = np.random.default_rng(4)
        said, right = rng.integers(0, 20, 200) / 20, rng.random(200) < 0.6
        coverage, accuracy = selective_accuracy(said, right)
        for place, threshold in enumerate(sorted(said, reverse=True)):
            kept = said >= threshold
            assert coverage[place] == pytest.approx(kept.mean())
            assert accuracy[place] == pytest.approx(right[kept].mean())

    def test_best_worst_and_no_order(self) -> None:
        right = np.array([True, True, False, False])
        said = np.array([0.9, 0.8, 0.7, 0.6])
        assert area_under_risk_coverage(said, right) == pytest.approx((1 / 3 + 1 / 2) / 4)
        assert area_under_risk_coverage(said, ~right) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
        assert area_under_risk_coverage(np.full(4, 0.5), right) == 0.5
        assert area_under_risk_coverage(said, np.ones(4, bool)) == 0


class TestMcNemar:
    @pytest.mark.parametrize(
        ("only_first", "only_second", "expected"),
        [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 0, 2 / 2**5),
            (1, 8, 2 * (1 + 9) / 2**9),
            (2, 8, 2 * (1 + 10 + 45) / 2**10),
            (5, 5, 1.0),
        ],
    )
    def test_few_pairs_by_hand(self, only_first: int, only_second: int, expected: float) -> None:
        assert mcnemar_p_value(only_first, only_second) == pytest.approx(expected)
        assert mcnemar_p_value(only_second, only_first) == pytest.approx(expected)

    def test_many_pairs_by_hand(self) -> None:
        # (|59 - 121| - 1)^2 / 180 = 20.672; chi-square's 5 % point with one degree of freedom is 3.841.
        assert mcnemar_p_value(59, 121) == pytest.approx(5.45e-6, rel=1e-2)
        # (|d| - 1)^2 / 100 passes 3.841 between the differences of 20 and 21.
        assert mcnemar_p_value(40, 60) > 0.05 > mcnemar_p_value(39, 61)
        assert mcnemar_p_value(50, 50) == 1

    def test_agrees_with_another_implementation(self) -> None:
        stats = pytest.importorskip("scipy.stats")
        for first in range(0, 60, 7):
            for second in range(0, 60, 5):
                n = first + second
                if n == 0:
                    continue
                if n < EXACT_BELOW:
                    expected = stats.binomtest(first, n).pvalue
                else:
                    expected = stats.chi2.sf(max(abs(first - second) - 1, 0) ** 2 / n, 1)
                assert mcnemar_p_value(first, second) == pytest.approx(expected, rel=1e-9)

    def test_both_tests_nearly_agree_where_they_meet(self) -> None:
        exact, approximate = mcnemar_p_value(7, EXACT_BELOW - 8), mcnemar_p_value(7, EXACT_BELOW - 7)
        assert exact == pytest.approx(approximate, abs=0.03)

    def test_it_is_right_as_often_as_it_says(self) -> None:
        # Two models that are right equally often differ "significantly" in at most 5 % of all samples.
        firsts = np.random.default_rng(0).binomial(60, 0.5, 4000)
        rejected = np.mean([mcnemar_p_value(int(k), 60 - int(k)) < 0.05 for k in firsts])
        assert 0.01 < rejected <= 0.055

    def test_negative_counts(self) -> None:
        with pytest.raises(ValueError, match="expected 0 or more"):
            mcnemar_p_value(-1, 3)


class TestPairedDifference:
    def test_is_narrower_than_unpaired_where_models_agree(self) -> None:
        first = np.arange(1000) < 700
        second = np.arange(1000) < 680
        low, high = paired_difference_interval(first, second)
        # 20 of 1000 differ, all for the first: binomial, standard deviation sqrt(0.02 * 0.98 / 1000) = 0.0044.
        assert low == pytest.approx(0.02 - 1.96 * 0.0044, abs=0.002)
        assert high == pytest.approx(0.02 + 1.96 * 0.0044, abs=0.002)

    def test_the_same_answers_do_not_differ(self) -> None:
        same = np.array([True, False, True])
        assert paired_difference_interval(same, same) == (0, 0)

    def test_turns_with_its_arguments(self) -> None:
        rng = np.random.default_rng(1)
        first, second = rng.random(500) < 0.7, rng.random(500) < 0.6
        low, high = paired_difference_interval(first, second)
        again_low, again_high = paired_difference_interval(second, first)
        assert low < (first.mean() - second.mean()) < high
        assert (again_low, again_high) == pytest.approx((-high, -low), abs=0.01)


class TestRankCorrelation:
    def test_of_an_example_with_ties(self) -> None:
        # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4.
        expected = np.corrcoef([1, 2.5, 2.5, 4], [1, 3, 2, 4])[0, 1]
        got = rank_correlation(np.array([0.1, 7, 7, 9]), np.array([-3.0, 5, 4, 100]))
        assert got == pytest.approx(expected)

    def test_that_cannot_be_told(self) -> None:
        assert rank_correlation(np.ones(4), np.arange(4.0)) == 0


class TestMeanRecallInterval:
    def test_covers_the_true_mean_at_its_level(self) -> None:
        rng = np.random.default_rng(0)
        rates, counts = np.array([0.9, 0.7, 0.5, 0.95]), np.array([40, 12, 80, 25])
        covered = 0
        for _ in range(400):
            low, high = mean_recall_interval(list(rng.binomial(counts, rates)), list(counts), rounds=1000)
            covered += low <= rates.mean() <= high
        assert 0.92 <= covered / 400 <= 0.98

    def test_one_class_is_as_wide_as_wilsons(self) -> None:
        low, high = mean_recall_interval([70], [100])
        assert (low, high) == pytest.approx(accuracy_interval(np.arange(100) < 70), abs=0.01)

    def test_holds_the_mean_itself_and_stays_within_0_and_1(self) -> None:
        for hits in (0, 1):
            low, high = mean_recall_interval([hits] * 5, [1] * 5)
            assert 0 <= low <= hits <= high <= 1
            assert high - low > 0.2

    @pytest.mark.parametrize(
        ("hits", "counts"), [([], []), ([1], [0]), ([2], [1]), ([-1], [1]), ([1], [1, 1])]
    )
    def test_what_is_no_recall(self, hits: list[int], counts: list[int]) -> None:
        with pytest.raises(ValueError, match="expected 1 image or more, and hits among them"):
            mean_recall_interval(hits, counts)
