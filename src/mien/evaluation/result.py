"""The result of an evaluation: its scores, and the figures and tables that text, HTML page and model card render."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from mien._core.text import Table, count, percent, percent_range
from mien.data.ferplus import VoteAgreement
from mien.metrics.calibration import BINS
from mien.models.tta import SINGLE

VOTE_SHARE = "FER+ vote share"


@dataclass(frozen=True)
class ViewScore:
    """Scores of the predictions from one view per image, or from the mean of several.

    Attributes:
        accuracy: share of correct predictions.
        interval: 95 % of it, by Wilson's score.
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
        n: images that count.
        against: what is right: "FER+ majority", where that is one of the labels and there are votes, else "label".
    """

    threshold: float
    coverage: float
    accuracy: float | None
    n: int
    against: str


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
        interval: 95 % of the accuracy, by Wilson's score.
        balanced_accuracy: mean recall over the labels that occur.
        macro_f1: mean F1.
        calibration_error: the expected one.
        confusion_matrix: counts, rows true, columns predicted.
        per_class: label -> precision, recall, f1, n.
        sha256: of the model.
        risk_coverage: accuracy of the confident predictions.
        without_copies: None if there is no split "train", or if it is the scored split.
        ferplus: agreement with the FER+ votes; None without votes, or with other labels.
        selective_prediction: for the default output, which has a threshold; None for other heads.
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
        return _format(self)

    def summary(self) -> dict[str, Any]:
        """The scores that fit on one line."""
        names = ("n", "accuracy", "interval", "balanced_accuracy", "macro_f1", "calibration_error")
        return {name: getattr(self, name) for name in names}


class Figure(NamedTuple):
    """A score as people read it.

    Attributes:
        name: in the lines of the report.
        value: with its unit.
        ends: of its 95 % interval, shares; None where it has none.
        title: in the first table of reports and model cards; "" where it is not one of the main figures.
    """

    name: str
    value: str
    ends: tuple[float, float] | None = None
    title: str = ""

    @property
    def interval(self) -> str:
        """The interval, or ""."""
        return "" if self.ends is None else percent_range(self.ends)

    @property
    def text(self) -> str:
        """The value and its interval."""
        return self.value if self.ends is None else f"{self.value}  (95 %: {self.interval})"


def figures(report: EvaluationReport) -> dict[str, Figure]:
    """Name -> score: those that every report has, then those that only some have."""
    found = [
        Figure("accuracy", percent(report.accuracy), report.interval, "accuracy"),
        Figure(
            "balanced accuracy", percent(report.balanced_accuracy), None, "balanced accuracy: mean recall"
        ),
        Figure("macro F1", percent(report.macro_f1), None, "macro F1"),
        Figure(
            "calibration error",
            f"{report.calibration_error:.3f}",
            None,
            f"calibration error, {BINS} bins",
        ),
        Figure("AURC", f"{report.risk_coverage.aurc:.3f}"),
    ]
    for name, view in (report.views or {}).items():
        if name != SINGLE:  # that is what all else is
            found.append(Figure(name, percent(view.accuracy), view.interval))
    if (rest := report.without_copies) is not None and rest.accuracy is not None:
        found.append(Figure("without copies", percent(rest.accuracy), rest.interval))
    if (votes := report.ferplus) is not None:
        share = f"{percent(votes.vote_share)} of at most {percent(votes.highest_vote_share)}"
        found += [
            Figure("FER+ majority", percent(votes.majority), votes.interval),
            Figure("FER+ calibration error", f"{votes.calibration_error:.3f}"),
            Figure(VOTE_SHARE, share),
        ]
    return {figure.name: figure for figure in found}


def class_table(report: EvaluationReport) -> Table:
    """Precision, recall and F1 of every label."""
    rows = [
        (label, *(percent(values[key]) for key in ("precision", "recall", "f1")), f"{values['n']:,}")
        for label, values in report.per_class.items()
    ]
    return Table(("class", "precision", "recall", "F1", "n"), rows, "Scores per class")


def coverage_table(report: EvaluationReport) -> Table:
    """Accuracy of the predictions that some thresholds of the confidence keep."""
    rows = [
        (percent(point["coverage"]), percent(point["accuracy"]), percent(point["threshold"]))
        for point in report.risk_coverage.points
    ]
    return Table(("coverage", "accuracy", "threshold"), rows)


def _format(report: EvaluationReport) -> str:
    """The report as lines for people, percent rounded."""
    # Both tables have the labels in a column of one width.
    first = max(12, *(len(label) + 1 for label in report.labels))
    by_class = class_table(report)._replace(columns=("", "precision", "recall", "F1", "n"))
    matrix = Table(
        ("", *report.labels),
        [(label, *map(str, row)) for label, row in zip(report.labels, report.confusion_matrix, strict=True)],
    )
    width = max(map(len, report.labels))
    return "\n".join(
        [
            f"{report.model} on {report.data}, split {report.split}, head {report.head}: {count(report.n, 'image')}",
            Table((), _lines(report)).text(align="<<", gap=1, widths=(18,)),
            "",
            by_class.text(gap=1, widths=(first, 9, 9, 9, 7)),
            "",
            "confusion matrix: rows true, columns predicted",
            matrix.text(gap=1, widths=(first, *[width] * len(report.labels))),
        ]
    )


def _lines(report: EvaluationReport) -> list[tuple[str, str]]:
    """Every figure with its remark, and how far confidence separates right from wrong."""
    remarks = {}
    if report.without_copies is not None:
        rest = report.without_copies
        remarks["without copies"] = f": {count(rest.n, 'image')}, {rest.copies} with a copy in train"
    if report.ferplus is not None:
        remarks["FER+ majority"] = f": {count(report.ferplus.n, 'image')} with one"
    lines = [
        (name, figure.text + remarks.get(name, ""))
        for name, figure in figures(report).items()
        if name != "AURC"  # stands in a line of its own
    ]
    if (selective := report.selective_prediction) is not None and selective.accuracy is not None:
        right, kept = percent(selective.accuracy), percent(selective.coverage)
        text = f"{kept} of the predictions, confidence from {percent(selective.threshold)}: {right} right"
        text += f" ({selective.against})"
        lines.append(("not uncertain", text))
    half = report.risk_coverage.points[-1]
    most_confident = f"the most confident {100 * half['coverage']:.0f} %: {percent(half['accuracy'])} right"
    return [*lines, ("risk-coverage", f"AURC {report.risk_coverage.aurc:.3f}; {most_confident}")]
