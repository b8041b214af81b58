"""Scores of a model: the ONNX file that users get, on a split of a dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.data.dataset import Dataset
from mien.data.ferplus import VoteAgreement, vote_agreement
from mien.evaluation.predictions import Predictions, predict_split
from mien.evaluation.result import (
    DeduplicatedScores,
    EvaluationReport,
    RiskCoverage,
    SelectiveScores,
    ViewScore,
)
from mien.metrics import calibration, classification, significance
from mien.models.classifier import EmotionClassifier

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


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
        head: "auto" takes the head that was trained on such labels: "fer2013" on FER2013, else "expression".
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
        interval=significance.accuracy_interval(correct),
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
        selective_prediction=_selective_prediction(predictions)
        if predictions.head == predictions.config.default
        else None,
        views=views or None,
    )


def _view_score(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> ViewScore:
    correct = probabilities.argmax(axis=1) == targets
    return ViewScore(
        accuracy=float(correct.mean()),
        interval=significance.accuracy_interval(correct),
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
    threshold, right, confidences = (
        predictions.config.uncertain_below,
        predictions.correct,
        predictions.confidences,
    )
    if (voted := predictions.majority) is not None:
        right, confidences = (predictions.predicted == voted)[voted >= 0], confidences[voted >= 0]
    kept = right[confidences >= threshold]
    return SelectiveScores(
        threshold=threshold,
        coverage=len(kept) / len(right),
        accuracy=float(kept.mean()) if len(kept) else None,
        n=len(right),
        against="label" if voted is None else "FER+ majority",
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
        interval=significance.accuracy_interval(rest) if len(rest) else None,
        accuracy_on_copies=float(copies.mean()) if len(copies) else None,
    )


def _vote_agreement(predictions: Predictions) -> VoteAgreement | None:
    if predictions.part.votes is None:
        return None
    names = [predictions.dataset.labels[target] for target in predictions.part.targets]
    return vote_agreement(predictions.probabilities, predictions.part.votes, predictions.labels, names)
