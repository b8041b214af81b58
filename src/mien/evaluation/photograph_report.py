"""The scores of the whole pipeline on photographs: as numbers, as text, and as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from mien._core.files import write_atomically, write_json
from mien._core.text import Table, count, percent
from mien.evaluation.result import SelectiveScores
from mien.output.decimals import decimal

NO_FACE = "no face"
"""The last column of the confusion matrix."""

SCORES, ANSWERS = "scores.json", "photographs.csv"


@dataclass(frozen=True, slots=True)
class PhotographAnswer:
    """What the pipeline says of one photograph.

    Attributes:
        name: of the photograph: its path from the dataset's folder, or its file and row.
        label: the right answer, as the model names it.
        emotion: the answer for its largest face; None where no face was found, or it could not be read.
        confidence: of the answer, 0 to 1; None without one.
        uncertain: whether the answer is below the threshold; None without one.
        faces: how many faces were found.
        error: why the photograph could not be read; None where it could.
    """

    name: str
    label: str
    emotion: str | None = None
    confidence: float | None = None
    uncertain: bool | None = None
    faces: int = 0
    error: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the answer is right; without an answer it is not."""
        return self.emotion == self.label


@dataclass(frozen=True)
class PhotographReport:
    """Scores of the whole pipeline: detector, crop and classifier. A photograph without a face counts as wrong.

    Attributes:
        model: name of the model.
        detector: name of the face detector.
        data: name of the photographs' file or folder.
        split: part of it that was scored.
        head: output that was scored.
        labels: the model's, in the order of the confusion matrix.
        n: number of photographs that could be read; the shares below are of these unless stated otherwise.
        no_face: how many of them have no face that was found.
        unreadable: how many more could not be read; they take no part in the scores.
        accuracy: share of correct answers, 0 to 1.
        interval: 95 % of the accuracy, by Wilson's score.
        balanced_accuracy: mean recall over the labels that occur.
        balanced_interval: 95 % of it, from the Beta distribution of every recall.
        confusion_matrix: counts, rows true; columns predicted, and a last one for no face.
        per_class: label -> precision, recall, f1, n.
        sha256: of the model.
        calibration_error: the expected one, of the answers; None if there are none.
        uncertain: share of the answers that are flagged as uncertain; None if there are none.
        selective_prediction: the answers that are not; None if there are no answers.
        answers: one for every photograph, in order; not in `to_dict`.
    """

    model: str
    detector: str
    data: str
    split: str
    head: str
    labels: tuple[str, ...]
    n: int
    no_face: int
    unreadable: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    balanced_interval: tuple[float, float]
    confusion_matrix: tuple[tuple[int, ...], ...]
    per_class: dict[str, dict[str, float]]
    sha256: str
    calibration_error: float | None = None
    uncertain: float | None = None
    selective_prediction: SelectiveScores | None = None
    answers: tuple[PhotographAnswer, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `errors` says by name why photographs could not be read."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "answers"}
        if self.selective_prediction is not None:
            values["selective_prediction"] = asdict(self.selective_prediction)
        values["errors"] = {one.name: one.error for one in self.answers if one.error is not None}
        return values

    def to_text(self) -> str:
        """Lines for people, percent rounded."""
        return _format(self)


def write_photograph_report(report: PhotographReport, folder: Path) -> Path:
    """Write `scores.json`, and `photographs.csv` with a row for every photograph; files of these names are replaced.

    Args:
        report: the scores.
        folder: created if missing.

    Returns:
        The folder.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SCORES, report.to_dict())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(one.name for one in fields(PhotographAnswer))
    writer.writerows(_cells(astuple(answer)) for answer in report.answers)
    write_atomically(folder / ANSWERS, text.getvalue())
    return folder


def _cells(values: Sequence[Any]) -> list[Any]:
    return [decimal(value) if isinstance(value, float) else value for value in values]


def _format(report: PhotographReport) -> str:
    width = max(12, *(len(label) + 1 for label in report.labels))
    classes = [
        (label, *(percent(values[key]) for key in ("precision", "recall", "f1")), f"{values['n']:,}")
        for label, values in report.per_class.items()
        if values["n"]
    ]
    matrix = [
        (label, *map(str, row)) for label, row in zip(report.labels, report.confusion_matrix, strict=True)
    ]
    columns = (*report.labels, NO_FACE)
    return "\n".join(
        [
            f"{report.model} with the detector {report.detector} on {report.data}, split {report.split}, "
            f"head {report.head}: {count(report.n, 'photograph')}",
            Table((), _lines(report)).text(align="<<", gap=1, widths=(18,)),
            "",
            Table(("", "precision", "recall", "F1", "n"), classes).text(gap=1, widths=(width, 9, 9, 9, 7)),
            "",
            "confusion matrix: rows true, columns predicted",
            Table(("", *columns), matrix).text(
                gap=1, widths=(width, *[max(map(len, columns))] * len(columns))
            ),
        ]
    )


def _lines(report: PhotographReport) -> list[tuple[str, str]]:
    """Every figure with what it is of."""
    present = sum(values["n"] > 0 for values in report.per_class.values())
    faces, missing = report.n - report.no_face, count(report.no_face, "photograph")
    lines = [
        ("accuracy", percent(report.accuracy, report.interval)),
        (
            "balanced accuracy",
            f"{percent(report.balanced_accuracy, report.balanced_interval)}: "
            f"mean recall of {count(present, 'class', 'classes')}",
        ),
        ("no face found", f"{missing}, counted as wrong" if report.no_face else "none"),
    ]
    if report.unreadable:
        lines.append(("unreadable", f"{count(report.unreadable, 'photograph')}, not counted"))
    if report.calibration_error is not None and report.uncertain is not None:
        lines.append(("calibration error", f"{report.calibration_error:.3f}: {count(faces, 'face')}"))
        lines.append(("uncertain", f"{percent(report.uncertain)} of {count(faces, 'face')}"))
    if (selective := report.selective_prediction) is not None and selective.accuracy is not None:
        right, kept = percent(selective.accuracy), percent(selective.coverage)
        text = f"{right} right: {kept} of the faces, confidence from {percent(selective.threshold)}"
        lines.append(("not uncertain", text))
    return lines
