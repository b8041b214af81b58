"""Scores of a model: the ONNX file that users get, on a split of a dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.dataset import Dataset
from mien.data.ferplus import VoteAgreement, vote_agreement
from mien.evaluation.predictions import Predictions, predict_split
from mien.evaluation.tables import format_report
from mien.metrics import calibration, classification, significance
from mien.models.classifier import EmotionClassifier

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class ViewScore:
    """Scores of the predictions from one view per image, or from the mean of several.

    Attributes:
        accuracy: share of correct predictions.
        interval: 95 % of it, by bootstrap over the images.
        calibration_error: the expected one.
    """

    accuracy: float
    interval: tuple[float, float]
    calibration_error: float


@dataclass(frozen=True)
class DeduplicatedScores:
    """Scores without the images that have a copy, pixel for pixel, in the split "train".

    Attributes:
        copies: number of images removed.
        n: how many are left.
        accuracy: of those that are left; None where none is.
        interval: 95 % of it; None where none is.
        accuracy_on_copies: on the removed images; None if there are none.
    """

    copies: int
    n: int
    accuracy: float | None
    interval: tuple[float, float] | None
    accuracy_on_copies: float | None


@dataclass(frozen=True)
class RiskCoverage:
    """Selective prediction: accuracy against coverage (Geifman & El-Yaniv, arXiv 1705.08500).

    Attributes:
        area: under the curve of accuracy against coverage, 1 - aurc; 1 is best.
        aurc: mean error of the predictions kept, over all thresholds; 0 is best.
        points: for some coverages, the threshold of the confidence that keeps at least as many predictions, how many
            it keeps, and their accuracy.
    """

    area: float
    aurc: float
    points: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class SelectiveScores:
    """Selective prediction at the model's own threshold: the predictions that are not flagged as uncertain.

    Attributes:
        threshold: of the confidence, from the model's configuration.
        coverage: share of the predictions that reach it.
        accuracy: of these predictions; None if there are none.
    """

    threshold: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True)
class EvaluationReport:
    """Scores of one head on one split, one view per image unless stated otherwise.

    Attributes:
        model: name of the model.
        data: name of the dataset.
        split: part of it that was scored.
        head: output that was scored.
        labels: in the order of the confusion matrix.
        n: number of images.
        accuracy: share of correct predictions.
        interval: 95 % of the accuracy, by bootstrap over the images.
        balanced_accuracy: mean recall over the labels that occur.
        macro_f1: mean F1.
        calibration_error: the expected one.
        confusion_matrix: counts, rows true, columns predicted.
        per_class: label -> precision, recall, f1, n.
        sha256: of the model.
        risk_coverage: accuracy of the confident predictions.
        without_copies: None if there is no split "train", or if it is the scored split.
        ferplus: agreement with the FER+ votes; None without votes, or with other labels.
        selective_prediction: for the head "blend", which has a threshold; None for other heads.
        views: "single view", "flip", "ten-crop" -> scores; None unless asked for.
    """

    model: str
    data: str
    split: str
    head: str
    labels: tuple[str, ...]
    n: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    macro_f1: float
    calibration_error: float
    confusion_matrix: tuple[tuple[int, ...], ...]
    per_class: dict[str, dict[str, float]]
    sha256: str
    risk_coverage: RiskCoverage
    without_copies: DeduplicatedScores | None = None
    ferplus: VoteAgreement | None = None
    selective_prediction: SelectiveScores | None = None
    views: dict[str, ViewScore] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """Lines for people, percent rounded."""
        return format_report(self)

    def summary(self) -> dict[str, Any]:
        """The scores that fit on one line."""
        names = ("n", "accuracy", "interval", "balanced_accuracy", "macro_f1", "calibration_error")
        return {name: getattr(self, name) for name in names}


def evaluate(
    classifier: EmotionClassifier,
    dataset: Dataset,
    *,
    split: str | None = None,
    head: str = "auto",
    views: bool = False,
) -> EvaluationReport:
    """Score a model on a split.

    Args:
        classifier: the model.
        dataset: the data; its labels must be the model's.
        split: "train", "validation" or "test"; without one the validation split, else the test split, else
            the only one.
        head: "auto" takes the head that was trained on such labels: "fer2013" on FER2013, else "blend".
            "ferplus" is scored against the majority of the FER+ votes, eight labels, if there is one.
        views: score flip and ten-crop too, which takes ten times as long; all else stays single view.

    Raises:
        DatasetError: no such split, other labels than the model's, or no FER+ votes to score against.
        ModelError: the model has no such head.
    """
    return score(predict_split(classifier, dataset, split=split, head=head, views=views))


def score(predictions: Predictions) -> EvaluationReport:
    """The scores of existing predictions."""
    labels, correct, confidences = predictions.labels, predictions.correct, predictions.confidences
    matrix = classification.confusion_matrix(predictions.targets, predictions.predicted, len(labels))
    scores = zip(*classification.precision_recall_f1(matrix), matrix.sum(axis=1), strict=True)
    views = {name: _view_score(part, predictions.targets) for name, part in predictions.views.items()}
    return EvaluationReport(
        model=predictions.config.name,
        data=predictions.dataset.name,
        split=predictions.split,
        head=predictions.head,
        labels=labels,
        n=len(correct),
        accuracy=float(correct.mean()),
        interval=significance.bootstrap_interval(correct),
        balanced_accuracy=classification.balanced_accuracy(matrix),
        macro_f1=classification.macro_f1(matrix),
        calibration_error=calibration.calibration_error(confidences, correct),
        confusion_matrix=tuple(tuple(map(int, row)) for row in matrix),
        per_class={
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
            for label, (p, r, f, n) in zip(labels, scores, strict=True)
        },
        sha256=predictions.config.sha256,
        risk_coverage=_risk_coverage(confidences, correct),
        without_copies=_without_copies(predictions),
        ferplus=_vote_agreement(predictions),
        selective_prediction=_selective_prediction(predictions) if predictions.head == "blend" else None,
        views=views or None,
    )


def _view_score(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> ViewScore:
    correct = probabilities.argmax(axis=1) == targets
    return ViewScore(
        accuracy=float(correct.mean()),
        interval=significance.bootstrap_interval(correct),
        calibration_error=calibration.calibration_error(probabilities.max(axis=1), correct),
    )


def _risk_coverage(confidences: NDArray[np.floating], correct: NDArray[np.bool_]) -> RiskCoverage:
    coverage, accuracy = calibration.selective_accuracy(confidences, correct)
    ranked = np.sort(confidences)[::-1]
    # The rounding of a share must not ask for one prediction more than it means.
    places = [int(np.searchsorted(coverage, wanted - 1e-9)) for wanted in COVERAGES]
    aurc = calibration.area_under_risk_coverage(confidences, correct)
    return RiskCoverage(
        area=1 - aurc,
        aurc=aurc,
        points=tuple(
            {
                "coverage": float(coverage[place]),
                "accuracy": float(accuracy[place]),
                "threshold": float(ranked[place]),
            }
            for place in places
        ),
    )


def _selective_prediction(predictions: Predictions) -> SelectiveScores:
    threshold = predictions.config.uncertain_below
    kept = predictions.correct[predictions.confidences >= threshold]
    return SelectiveScores(
        threshold=threshold,
        coverage=len(kept) / len(predictions.correct),
        accuracy=float(kept.mean()) if len(kept) else None,
    )


def _without_copies(predictions: Predictions) -> DeduplicatedScores | None:
    copied = predictions.copied
    if copied is None:
        return None
    rest, copies = predictions.correct[~copied], predictions.correct[copied]
    return DeduplicatedScores(
        copies=len(copies),
        n=len(rest),
        accuracy=float(rest.mean()) if len(rest) else None,
        interval=significance.bootstrap_interval(rest) if len(rest) else None,
        accuracy_on_copies=float(copies.mean()) if len(copies) else None,
    )


def _vote_agreement(predictions: Predictions) -> VoteAgreement | None:
    if predictions.part.votes is None:
        return None
    names = [predictions.dataset.labels[target] for target in predictions.part.targets]
    return vote_agreement(predictions.probabilities, predictions.part.votes, predictions.labels, names)
