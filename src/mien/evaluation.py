"""How right a model is: the ONNX file that users get, on a split of a dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import metrics
from mien.classification import EmotionClassifier
from mien.datasets import Dataset
from mien.emotions import FERPLUS_LABELS
from mien.errors import DatasetError, ModelError
from mien.ferplus import majority

_AT_ONCE = 4096


@dataclass(frozen=True)
class EvaluationReport:
    """Scores of one head on one split, one view an image.

    Attributes:
        model, data, split, head: what was scored on what.
        labels: in the order of the confusion matrix.
        n: number of images.
        accuracy: share of right answers.
        interval: 95 % of the accuracy, by bootstrap over the images.
        balanced_accuracy: mean recall over the labels that occur.
        macro_f1: mean F1.
        calibration_error: expected, 15 bins.
        confusion_matrix: counts, rows true, columns predicted.
        per_class: label -> precision, recall, f1, n.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """The scores that fit on a line."""
        names = ("n", "accuracy", "interval", "balanced_accuracy", "macro_f1", "calibration_error")
        return {name: getattr(self, name) for name in names}


def evaluate(
    classifier: EmotionClassifier, dataset: Dataset, *, split: str | None = None, head: str = "auto"
) -> EvaluationReport:
    """Score a model on a split.

    Args:
        classifier: the model.
        dataset: the data; its labels must be the model's.
        split: "train", "validation" or "test"; without one the validation split, else the test split, else
            the only one.
        head: "auto" takes the head that was trained on such labels: "fer2013" on FER2013, else "blend".
            "ferplus" is scored against the majority of the FER+ votes, eight labels, where there is one.

    Raises:
        DatasetError: no such split, other labels than the model's, or no FER+ votes to score against.
        ModelError: the model has no such head.
    """
    name = split or dataset.default_split()
    part = dataset.split(name)
    if head == "auto":
        head = "fer2013" if dataset.is_fer2013 and "fer2013" in classifier.config.outputs else "blend"
    rows, targets, labels = np.arange(len(part)), part.targets, dataset.labels
    if head == "ferplus":
        if part.votes is None:
            raise DatasetError(
                f"{dataset.name}: no FER+ votes; the ferplus head is scored against their majority"
            )
        targets, labels = majority(part.votes), FERPLUS_LABELS
        rows = np.flatnonzero(targets >= 0)
        targets = targets[rows]
    if len(rows) == 0:
        raise DatasetError(f"{dataset.name}: the split {name!r} has no images that can be scored")
    if head not in classifier.config.outputs:
        raise ModelError(
            f"{classifier.config.name}: no head {head!r}; it has {', '.join(classifier.config.outputs)}"
        )
    if labels != classifier.config.outputs[head]:
        raise DatasetError(
            f"{dataset.name}: labelled {', '.join(labels)}; but {classifier.config.name} tells apart "
            f"{', '.join(classifier.config.outputs[head])}"
        )
    # Some at a time: images in a file are more than fit into memory.
    parts = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    probabilities = np.concatenate([classifier.predict_proba(part.images[some], head=head) for some in parts])
    return _report(probabilities, targets, (classifier.config.name, dataset.name, name, head), labels)


def _report(
    probabilities: NDArray[np.float32],
    targets: NDArray[np.int64],
    names: tuple[str, str, str, str],
    labels: tuple[str, ...],
) -> EvaluationReport:
    predictions = probabilities.argmax(axis=1)
    correct = predictions == targets
    matrix = metrics.confusion_matrix(targets, predictions, len(labels))
    scores = zip(*metrics.precision_recall_f1(matrix), matrix.sum(axis=1), strict=True)
    return EvaluationReport(
        *names,
        labels=labels,
        n=len(targets),
        accuracy=float(correct.mean()),
        interval=metrics.bootstrap_interval(correct),
        balanced_accuracy=metrics.balanced_accuracy(matrix),
        macro_f1=metrics.macro_f1(matrix),
        calibration_error=metrics.calibration_error(probabilities.max(axis=1), correct),
        confusion_matrix=tuple(tuple(map(int, row)) for row in matrix),
        per_class={
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
            for label, (p, r, f, n) in zip(labels, scores, strict=True)
        },
    )


def format_report(report: EvaluationReport) -> str:
    """The report as lines for people, percent rounded."""
    low, high = report.interval
    first = max(12, *(len(label) + 1 for label in report.labels))
    lines = [
        f"{report.model} on {report.data}, split {report.split}, head {report.head}: {report.n} images",
        f"accuracy           {100 * report.accuracy:.1f} %  (95 %: {100 * low:.1f} to {100 * high:.1f} %)",
        f"balanced accuracy  {100 * report.balanced_accuracy:.1f} %",
        f"macro F1           {100 * report.macro_f1:.1f} %",
        f"calibration error  {report.calibration_error:.3f}",
        "",
        f"{'':{first}}{'precision':>10}{'recall':>10}{'F1':>10}{'n':>8}",
    ]
    for label, scores in report.per_class.items():
        percent = "".join(f"{100 * scores[key]:>8.1f} %" for key in ("precision", "recall", "f1"))
        lines.append(f"{label:{first}}{percent}{scores['n']:>8}")
    width = max(map(len, report.labels)) + 1
    lines += ["", "confusion matrix: rows true, columns predicted"]
    lines.append(" " * first + "".join(f"{label:>{width}}" for label in report.labels))
    for label, row in zip(report.labels, report.confusion_matrix, strict=True):
        lines.append(f"{label:{first}}" + "".join(f"{count:>{width}}" for count in row))
    return "\n".join(lines)
