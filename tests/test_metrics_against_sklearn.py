"""Our metrics, which need numpy alone, against those of scikit-learn and SciPy on drawn answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")
pytest.importorskip("scipy", reason="needs SciPy")

from scipy import optimize, special, stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

from mien.metrics.calibration import (
    area_under_risk_coverage,
    calibration_error,
    fit_temperature,
    selective_accuracy,
    softmax,
    threshold_for_precision,
)
from mien.metrics.classification import balanced_accuracy, confusion_matrix, macro_f1, precision_recall_f1
from mien.metrics.detection import PictureScores, average_precision, recall_at
from mien.metrics.permutation import chance_calibration_error, gap_test
from mien.metrics.significance import (
    accuracy_interval,
    binomial_tail,
    mcnemar_p_value,
    normal_quantile,
    paired_difference_interval,
    rank_correlation,
    wilson_interval,
)

LABELS = 7
SEEDS = range(5)


def drawn(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Targets of unequal classes, and predictions of which about half are right."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(LABELS, n, p=np.arange(1, LABELS + 1) / 28)
    return targets, np.where(rng.random(n) < 0.5, targets, rng.integers(0, LABELS, n))


def drawn_confidences(seed: int, n: int = 600, step: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, rounded to a step if one is given, and whether the predictions are right: rather as often."""
    rng = np.random.default_rng(seed)
    confidences = rng.uniform(0.15, 1, n)
    correct = rng.random(n) < confidences**1.5
    return np.round(confidences / step) * step if step else confidences, correct


@pytest.mark.parametrize("seed", SEEDS)
class TestClassification:
    def test_confusion_matrix(self, seed: int) -> None:
        targets, predictions = drawn(seed)
        expected = metrics.confusion_matrix(targets, predictions, labels=range(LABELS))
        np.testing.assert_array_equal(confusion_matrix(targets, predictions, LABELS), expected)

    def test_precision_recall_f1(self, seed: int) -> None:
        targets, predictions = drawn(seed)
        predictions[predictions == 2] = 3  # never predicted: its precision is undefined
        ours = precision_recall_f1(confusion_matrix(targets, predictions, LABELS))
        theirs = metrics.precision_recall_fscore_support(
            targets, predictions, labels=range(LABELS), zero_division=0
        )
        for our, their in zip(ours, theirs[:3], strict=True):
            np.testing.assert_allclose(our, their, atol=1e-12)
        assert ours[0][2] == 0 < ours[0][3]

    def test_means_over_the_labels(self, seed: int) -> None:
        targets, predictions = drawn(seed)
        targets, predictions = np.where(targets == 0, 1, targets), np.where(predictions == 0, 1, predictions)
        matrix = confusion_matrix(targets, predictions, LABELS)  # label 0 is nowhere
        assert balanced_accuracy(matrix) == pytest.approx(
            metrics.balanced_accuracy_score(targets, predictions)
        )
        assert macro_f1(matrix) == pytest.approx(metrics.f1_score(targets, predictions, average="macro"))


@pytest.mark.parametrize("seed", SEEDS)
class TestCalibration:
    def test_softmax(self, seed: int) -> None:
        logits = np.random.default_rng(seed).normal(0, 8, (200, LABELS))
        np.testing.assert_allclose(softmax(logits, 1.7), special.softmax(logits / 1.7, axis=1), atol=1e-12)

    @pytest.mark.parametrize("bins", [10, 15])
    def test_calibration_error(self, seed: int, bins: int) -> None:
        confidences, correct = drawn_confidences(seed)
        accuracy, confidence = calibration_curve(correct, confidences, n_bins=bins)
        counts, _ = np.histogram(confidences, bins, (0, 1))
        expected = np.average(np.abs(accuracy - confidence), weights=counts[counts > 0])
        assert calibration_error(confidences, correct, bins) == pytest.approx(expected)

    def test_temperature(self, seed: int) -> None:
        logits, targets = np.random.default_rng(seed).normal(0, 3, (400, LABELS)), drawn(seed, 400)[0]
        logits[np.arange(400), targets] += 2

        def loss(temperature: float) -> float:
            return metrics.log_loss(
                targets, special.softmax(logits / temperature, axis=1), labels=range(LABELS)
            )

        expected = optimize.minimize_scalar(loss, bounds=(0.1, 10), method="bounded").x
        assert fit_temperature(logits, np.eye(LABELS)[targets]) == pytest.approx(expected, rel=1e-3)

    def test_threshold_for_precision(self, seed: int) -> None:
        """Chains of exact tests: each from its start down to the first threshold that is not certain."""
        confidences, correct = drawn_confidences(seed, step=0.05)
        certain: list[float] = []
        for start in (0.9, 0.75, 0.6, 0.45):
            for threshold in (k / 100 for k in range(round(100 * start), 0, -1)):
                kept = correct[confidences >= threshold]
                if stats.binom.cdf((~kept).sum(), len(kept), 0.3) > 0.05 / 4:
                    break
                certain.append(threshold)
        assert certain
        assert threshold_for_precision(confidences, correct, 0.7, certainty=0.95) == min(certain)

    def test_selective_accuracy_is_the_precision_of_what_is_kept(self, seed: int) -> None:
        confidences, correct = drawn_confidences(seed, step=0.05)
        coverage, accuracy = selective_accuracy(confidences, correct)
        precision, _, thresholds = metrics.precision_recall_curve(correct, confidences)
        at = np.searchsorted(thresholds, np.sort(confidences)[::-1])
        np.testing.assert_allclose(accuracy, precision[at])
        kept = stats.ecdf(-confidences).cdf.evaluate(-thresholds[at])
        np.testing.assert_allclose(coverage, kept)
        assert area_under_risk_coverage(confidences, correct) == pytest.approx(1 - np.mean(precision[at]))


@pytest.mark.parametrize("seed", SEEDS)
class TestDetection:
    def pictures(self, seed: int) -> tuple[list[PictureScores], np.ndarray, np.ndarray]:
        """Twenty pictures all of whose faces are found, with false boxes; and their scores and hits, together."""
        rng = np.random.default_rng(seed)
        pictures = []
        for n in rng.integers(1, 8, 20):
            hits = rng.random(n) < 0.6
            scores = np.sort(rng.random(n).astype(np.float32) + 0.5 * hits.astype(np.float32))[::-1]
            pictures.append(PictureScores(scores, hits, int(hits.sum())))
        return pictures, *(
            np.concatenate([getattr(p, what) for p in pictures]) for what in ("scores", "hits")
        )

    def test_average_precision(self, seed: int) -> None:
        pictures, scores, hits = self.pictures(seed)
        precision, recall, _ = metrics.precision_recall_curve(hits, scores)
        best = np.maximum.accumulate(precision)  # they come with falling recall
        assert average_precision(pictures) == pytest.approx(-np.sum(np.diff(recall) * best[:-1]))
        # Theirs takes each precision as it is, not the best to come.
        plain = metrics.average_precision_score(hits, scores)
        assert plain <= average_precision(pictures) < plain + 0.1

    def test_recall_at_so_many_false_boxes(self, seed: int) -> None:
        pictures, scores, hits = self.pictures(seed)
        false, true, _ = metrics.roc_curve(hits, scores, drop_intermediate=False)
        for allowed in (0.2, 1.0):
            expected = true[false * (~hits).sum() <= allowed * len(pictures) + 1e-9].max()
            assert recall_at(pictures, allowed) == pytest.approx(expected)


class TestSignificance:
    @pytest.mark.parametrize(
        ("only_first", "only_second"), [(0, 1), (3, 9), (12, 12), (7, 17), (40, 60), (59, 121)]
    )
    def test_mcnemar(self, only_first: int, only_second: int) -> None:
        n = only_first + only_second
        exact = stats.binomtest(only_first, n).pvalue
        if n < 25:
            assert mcnemar_p_value(only_first, only_second) == pytest.approx(exact)
        else:
            chi2 = stats.chi2.sf((abs(only_first - only_second) - 1) ** 2 / n, 1)
            assert mcnemar_p_value(only_first, only_second) == pytest.approx(chi2)
            assert chi2 == pytest.approx(exact, abs=0.003)

    @pytest.mark.parametrize("level", [0.8, 0.95])
    @pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 12), (7, 10), (12, 12), (650, 1000)])
    def test_wilson(self, hits: int, n: int, level: float) -> None:
        expected = stats.binomtest(hits, n).proportion_ci(level, "wilson")
        assert wilson_interval(hits, n, level=level) == pytest.approx((expected.low, expected.high), abs=1e-9)

    def test_normal_quantile(self) -> None:
        for certainty in (0.01, 0.5, 0.9, 0.975):
            assert normal_quantile(certainty) == pytest.approx(stats.norm.ppf(certainty), abs=1e-9)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_rank_correlation_with_and_without_ties(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        first = rng.normal(0, 1, 200)
        second = first + rng.normal(0, 1, 200)
        for one, other in ((first, second), (np.round(first), np.round(second))):
            assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)

    @pytest.mark.parametrize("level", [0.8, 0.95])
    @pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (203, 300)])
    def test_accuracy_interval(self, level: float, hits: int, n: int) -> None:
        theirs = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
        assert accuracy_interval(np.arange(n) < hits, level=level) == pytest.approx((theirs.low, theirs.high))

    @pytest.mark.parametrize(
        ("hits", "n", "rate"), [(0, 1, 0.1), (0, 0, 0.5), (7, 200, 0.1), (60, 100, 0.5), (9000, 90_500, 0.1)]
    )
    def test_binomial_tail(self, hits: int, n: int, rate: float) -> None:
        assert binomial_tail(hits, n, rate) == pytest.approx(stats.binom.cdf(hits, n, rate), rel=1e-6)

    def test_paired_bootstrap(self) -> None:
        first, second = drawn_confidences(1, 300)[1], drawn_confidences(1, 300)[0] > 0.5

        def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
            return a.mean(axis=axis) - b.mean(axis=axis)

        theirs = stats.bootstrap(
            (first.astype(float), second.astype(float)), difference, paired=True, method="percentile",
            n_resamples=4000, rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
        ours = paired_difference_interval(first, second, rounds=4000)
        assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)
        assert ours[1] - ours[0] > 0.05


class TestGaps:
    GROUPS = np.repeat([0, 1, 2], [60, 80, 100])

    @pytest.mark.parametrize("share", [0.5, 0.66])
    def test_of_three_groups_against_a_permutation_test(self, share: float) -> None:
        rng = np.random.default_rng(3)
        correct = rng.random(240) < np.where(self.GROUPS == 0, share, 0.75)
        ours = gap_test(correct, self.GROUPS, np.zeros(240, np.int64))

        def largest(*groups: np.ndarray, axis: int) -> np.ndarray:
            return np.ptp(np.stack([group.mean(axis=axis) for group in groups]), axis=0)

        theirs = stats.permutation_test(
            [correct[group == self.GROUPS].astype(float) for group in range(3)], largest, vectorized=True,
            alternative="greater", n_resamples=4999, rng=np.random.default_rng(0),
        )  # fmt: skip
        assert ours.gap == pytest.approx(theirs.statistic)
        assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.02)
        assert 0 < ours.p_value < 0.7

    def test_of_two_groups_within_labels_against_exact_chances(self) -> None:
        groups, labels = np.repeat([0, 1], [40, 60]), np.tile([0, 0, 1], 34)[:100]
        correct = np.random.default_rng(0).random(100) < 0.5 + 0.2 * labels + 0.15 * groups
        # Of both labels, how many hits are in group 0: hypergeometric, and independent of each other.
        chances = []
        for label in (0, 1):
            here = labels == label
            hits = np.arange(41)
            n, right, drawn_from = here.sum(), correct[here].sum(), (here & (groups == 0)).sum()
            chances.append(stats.hypergeom.pmf(hits, n, right, drawn_from))
        together = np.convolve(*chances)
        rates = np.arange(len(together)) / 40
        gaps = np.abs(rates - (correct.sum() - np.arange(len(together))) / 60)
        ours = gap_test(correct, groups, labels)
        exact = together[gaps >= ours.gap - 1e-9].sum()
        assert ours.p_value_by_label == pytest.approx(exact, abs=0.015)
        assert 0.005 < exact < 0.9

    def test_calibration_error_of_chance(self) -> None:
        n, confidence = 50, 0.7
        expected = stats.binom(n, confidence).expect(lambda hits: np.abs(hits / n - confidence))
        found = chance_calibration_error(np.full(n, confidence), rounds=4000)
        assert found == pytest.approx(expected, rel=0.05)
