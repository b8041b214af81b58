"""A folder for people about two models on the same images: `report.html`, PNGs, `scores.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien._core.text import count, percent
from mien.evaluation.comparison import Comparison, compare, difference_line, score_table
from mien.evaluation.predictions import Predictions
from mien.evaluation.provenance import data_facts, familiarity, model_facts
from mien.evaluation.report import PAGE, SCORES, SHOWN_FACES, write_evaluation
from mien.evaluation.robustness import RobustnessReport
from mien.evaluation.score_charts import (
    confusion_matrix_chart,
    per_class_chart,
    reliability_chart,
    risk_coverage_chart,
)
from mien.output.html import Report


def write_report(
    found: Sequence[Predictions],
    folder: Path,
    *,
    command: str = "",
    robustness: RobustnessReport | None = None,
    thumbnails: bool = True,
) -> Path:
    """Write the report of one model, by `write_evaluation`, or of two, by `write_comparison`; the same arguments.

    Raises:
        ValueError: not one or two models, or the robustness of two.
    """
    if len(found) == 1:
        return write_evaluation(
            found[0], folder, command=command, robustness=robustness, thumbnails=thumbnails
        )
    if robustness is not None:
        raise ValueError("robustness belongs in the report of one model")
    if len(found) == 2:
        return write_comparison(found[0], found[1], folder, command=command, thumbnails=thumbnails)
    raise ValueError(f"predictions of {len(found)} models: expected one or two")


def write_comparison(
    first: Predictions, second: Predictions, folder: Path, *, command: str = "", thumbnails: bool = True
) -> Path:
    """Write the report of two models, A and B.

    Besides `report.html` and `scores.json`: `per_class.png`, `risk_coverage.png`, and for both models
    `confusion_matrix_a.png`, `reliability_a.png` and the same with `_b`. Files of these names are replaced.

    Args:
        first, second: the predictions of A and B on the same images.
        folder: created if missing.
        command: the command line, for the record.
        thumbnails: whether pictures of the dataset are shown.

    Returns:
        The page.

    Raises:
        DatasetError: the predictions are not on the same images.
        OSError: a file cannot be written.
    """
    comparison = compare(first, second)
    folder.mkdir(parents=True, exist_ok=True)
    scores = comparison.first
    page = Report(
        f"A: {scores.model}, B: {comparison.second.model}",
        f"On {scores.data}, split {scores.split}, {count(scores.n, 'image')}, "
        "one view per image unless stated otherwise.",
        thumbnails=thumbnails,
    )
    _add_test(page, comparison)
    _add_classes(page, comparison, folder)
    _add_confidence(page, (first, second), folder)
    _add_faces(page, "only A is right", first, second, first.correct & ~second.correct)
    _add_faces(page, "only B is right", first, second, second.correct & ~first.correct)
    _add_facts(page, (first, second), command)
    page.write(folder / PAGE)
    write_json(folder / SCORES, comparison.to_dict())
    return folder / PAGE


def _add_test(page: Report, comparison: Comparison) -> None:
    page.add(score_table(comparison))
    page.heading("Is the difference more than chance?")
    page.paragraph(difference_line(comparison) + ".")
    page.table(
        ("images", "B right", "B wrong"),
        [
            ("A right", f"{comparison.both_right:,}", f"{comparison.only_first:,}"),
            ("A wrong", f"{comparison.only_second:,}", f"{comparison.both_wrong:,}"),
        ],
    )
    page.paragraph(
        "The p-value is how often a difference at least this large would occur if both models had the same accuracy. "
        "It uses only the images on which exactly one model is right, and assumes independent images. "
        "It says nothing about another training run of the same recipe."
    )


def _add_classes(page: Report, comparison: Comparison, folder: Path) -> None:
    first, second = comparison.first.per_class, comparison.second.per_class
    page.heading("Scores per class")
    series = {
        f"F1 of {letter}": [values["f1"] for values in scores.values()]
        for letter, scores in (("A", first), ("B", second))
    }
    per_class_chart(series, comparison.first.labels, folder / "per_class.png")
    page.chart(folder / "per_class.png", "F1 of every class for both models as bars")
    page.table(
        ("class", "n", "recall of A", "of B", "F1 of A", "of B"),
        [
            (label, f"{a['n']:,}", *(percent(x[key]) for key in ("recall", "f1") for x in (a, second[label])))
            for label, a in first.items()
        ],
    )
    page.heading("Confusion matrices")
    for letter, scores in (("a", comparison.first), ("b", comparison.second)):
        path = folder / f"confusion_matrix_{letter}.png"
        confusion_matrix_chart(np.array(scores.confusion_matrix), scores.labels, path)
        name = f"{letter.upper()}: {scores.model}"
        page.chart(
            path, f"Confusion matrix of {name}", f"{name}; rows are the true label, columns the prediction."
        )


def _add_confidence(page: Report, pair: tuple[Predictions, Predictions], folder: Path) -> None:
    page.heading("Selective prediction")
    curves = {
        f"{letter} {predictions.config.name}": (predictions.confidences, predictions.correct)
        for letter, predictions in zip("AB", pair, strict=True)
    }
    risk_coverage_chart(curves, folder / "risk_coverage.png")
    page.chart(folder / "risk_coverage.png", "Accuracy against coverage, for both models")
    page.heading("Calibration")
    for letter, predictions in zip("ab", pair, strict=True):
        path = folder / f"reliability_{letter}.png"
        reliability_chart(predictions.confidences, predictions.correct, path)
        name = f"{letter.upper()}: {predictions.config.name}"
        page.chart(path, f"Reliability diagram of {name}", name)


def _add_faces(
    page: Report, title: str, first: Predictions, second: Predictions, chosen: NDArray[np.bool_]
) -> None:
    """Faces on which the models differ, the highest joint confidence first."""
    places = np.flatnonzero(chosen)
    sure = (first.confidences + second.confidences)[places]
    places = places[np.argsort(-sure, kind="stable")][:SHOWN_FACES]
    page.heading(f"Where {title}")
    if len(places) == 0:
        page.paragraph("Nowhere.")
        return
    page.faces(list(first.part.images[places]), [_caption(first, second, int(place)) for place in places])


def _caption(first: Predictions, second: Predictions, place: int) -> str:
    lines = [f"label: {first.labels[first.targets[place]]}"]
    for letter, predictions in (("A", first), ("B", second)):
        word = predictions.labels[predictions.predicted[place]]
        lines.append(f"{letter}: {word} {percent(float(predictions.confidences[place]))}")
    return "\n".join([*lines, first.part.names[place]])


def _add_facts(page: Report, pair: tuple[Predictions, Predictions], command: str) -> None:
    page.heading("Measurement record")
    for letter, predictions in zip("AB", pair, strict=True):
        page.facts([(f"{letter}: {name}", value) for name, value in model_facts(predictions)])
        page.paragraph(familiarity(predictions))
    page.facts(data_facts(pair[0], command))
