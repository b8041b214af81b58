"""What an evaluation says in figures and tables, once; its lines, its page and the model card render them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mien._core.text import Table, percent, percent_range
from mien.metrics.calibration import BINS
from mien.models.tta import SINGLE

if TYPE_CHECKING:
    from mien.evaluation.scores import EvaluationReport

VOTE_SHARE = "FER+ vote share"


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
        found += [Figure("FER+ majority", percent(votes.majority), votes.interval), Figure(VOTE_SHARE, share)]
    return {figure.name: figure for figure in found}


def class_table(report: EvaluationReport) -> Table:
    """Precision, recall and F1 of every label."""
    rows = [
        (label, *(percent(values[key]) for key in ("precision", "recall", "f1")), f"{values['n']:,}")
        for label, values in report.per_class.items()
    ]
    return Table(("class", "precision", "recall", "F1", "n"), rows, "Scores per class")


def coverage_table(report: EvaluationReport) -> Table:
    """How right the predictions are that some thresholds of the confidence keep."""
    rows = [
        (percent(point["coverage"]), percent(point["accuracy"]), percent(point["threshold"]))
        for point in report.risk_coverage.points
    ]
    return Table(("kept", "accuracy of those kept", "minimum confidence"), rows)


def format_report(report: EvaluationReport) -> str:
    """The report as lines for people, percent rounded."""
    # Both tables have the labels in a column of one width.
    first = max(12, *(len(label) + 1 for label in report.labels))
    by_class = class_table(report)._replace(columns=("", "precision", "recall", "F1", "n"))
    matrix = Table(
        ("", *report.labels),
        [(label, *map(str, row)) for label, row in zip(report.labels, report.confusion_matrix, strict=True)],
    )
    count = max(map(len, report.labels))
    return "\n".join(
        [
            f"{report.model} on {report.data}, split {report.split}, head {report.head}: {report.n} images",
            Table((), _lines(report)).text(align="<<", gap=1, widths=(18,)),
            "",
            by_class.text(gap=1, widths=(first, 9, 9, 9, 7)),
            "",
            "confusion matrix: rows true, columns predicted",
            matrix.text(gap=1, widths=(first, *[count] * len(report.labels))),
        ]
    )


def _lines(report: EvaluationReport) -> list[tuple[str, str]]:
    """Every figure with its remark, and how far confidence separates right from wrong."""
    remarks = {}
    if report.without_copies is not None:
        rest = report.without_copies
        remarks["without copies"] = f": {rest.n} images, {rest.copies} have a copy in train"
    if report.ferplus is not None:
        remarks["FER+ majority"] = f": {report.ferplus.n} images with one"
    lines = [
        (name, figure.text + remarks.get(name, ""))
        for name, figure in figures(report).items()
        if name != "AURC"  # stands in a line of its own
    ]
    if (selective := report.selective_prediction) is not None and selective.accuracy is not None:
        right, kept = percent(selective.accuracy), percent(selective.coverage)
        text = f"{right} right: {kept} of the predictions, confidence from {percent(selective.threshold)}"
        lines.append(("not uncertain", text))
    half = report.risk_coverage.points[-1]
    most_confident = f"the most confident {100 * half['coverage']:.0f} %: {percent(half['accuracy'])} right"
    return [*lines, ("risk-coverage", f"AURC {report.risk_coverage.aurc:.3f}; {most_confident}")]
