"""The report of one model on one split: a self-contained `report.html`, PNGs and `scores.json`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien._core.text import count, percent, percent_range
from mien.evaluation.predictions import Predictions
from mien.evaluation.provenance import data_facts, familiarity, model_facts
from mien.evaluation.result import EvaluationReport, class_table, coverage_table, figures
from mien.evaluation.robustness import RobustnessReport
from mien.evaluation.robustness_chart import robustness_chart
from mien.evaluation.score_charts import (
    confusion_matrix_chart,
    faces_chart,
    per_class_chart,
    reliability_chart,
    risk_coverage_chart,
)
from mien.evaluation.scores import score
from mien.labels import FERPLUS_LABELS
from mien.metrics.calibration import BINS
from mien.output.html import Report

PAGE, SCORES = "report.html", "scores.json"
SHOWN_FACES = 24
SHOWN_CONFUSIONS, FACES_OF_EACH = 8, 6


def write_evaluation(
    predictions: Predictions,
    folder: Path,
    *,
    command: str = "",
    robustness: RobustnessReport | None = None,
    thumbnails: bool = True,
) -> Path:
    """Write the report of one model.

    Besides `report.html` and `scores.json`: `per_class.png`, `confusion_matrix.png`, `reliability.png`,
    `risk_coverage.png`, `mistakes.png` and `confusions.png` where there are any, and with `robustness`
    `robustness.png` and `robustness.json`. Files of these names are replaced.

    Args:
        predictions: of the model; flip and ten-crop are in the report if they were requested.
        folder: created if missing.
        command: the command line, for the record.
        robustness: of the same model on the same images, for a separate section.
        thumbnails: whether pictures of the dataset are shown; without, `mistakes.png` and `confusions.png` are missing.

    Returns:
        The page.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores = score(predictions)
    page = Report(
        f"{scores.model} on {scores.data}",
        f"Split {scores.split}, head {scores.head}, {count(scores.n, 'image')}, "
        "one view per image unless stated otherwise.",
        thumbnails=thumbnails,
    )
    _add_scores(page, predictions, scores)
    _add_classes(page, scores, folder)
    _add_confidence(page, predictions, scores, folder)
    if robustness is not None:
        _add_robustness(page, robustness, folder)
    if thumbnails:
        _add_confusions(page, predictions, folder / "confusions.png")
    _add_mistakes(page, predictions, folder, thumbnails)
    page.heading("Measurement record")
    page.facts([*model_facts(predictions), *data_facts(predictions, command)])
    page.write(folder / PAGE)
    write_json(folder / SCORES, scores.to_dict())
    return folder / PAGE


def _add_scores(page: Report, predictions: Predictions, scores: EvaluationReport) -> None:
    page.table(
        ("score", "value", "95 % interval"),
        [(found.title, found.value, found.interval) for found in figures(scores).values() if found.title],
    )
    page.paragraph(familiarity(predictions))
    if scores.views:
        _add_views(page, scores)
    if scores.without_copies is not None:
        _add_copies(page, scores)
    if scores.ferplus is not None:
        _add_votes(page, scores)


def _add_views(page: Report, scores: EvaluationReport) -> None:
    page.heading("Test-time augmentation")
    page.table(
        ("views", "accuracy", "95 % interval", "calibration error"),
        [
            (name, percent(view.accuracy), percent_range(view.interval), f"{view.calibration_error:.3f}")
            for name, view in (scores.views or {}).items()
        ],
    )
    page.paragraph(
        "Flip: the mean of the probabilities of the image and its mirror image. Ten-crop: of the four corner crops, "
        "the centre crop and their mirror images. Everything else here uses a single view, as users get it."
    )


def _add_copies(page: Report, scores: EvaluationReport) -> None:
    rest = scores.without_copies
    if rest is None:
        return
    page.heading("Train/test leakage: accuracy without copies of training images")
    groups = [
        ("all images", scores.n, scores.accuracy, scores.interval),
        ("without copies of training images", rest.n, rest.accuracy, rest.interval),
        ("only copies of training images", rest.copies, rest.accuracy_on_copies, None),
    ]
    page.table(
        ("images", "n", "accuracy", "95 % interval"),
        [
            (
                name,
                f"{n:,}",
                "" if share is None else percent(share),
                "" if ends is None else percent_range(ends),
            )
            for name, n, share, ends in groups
        ],
    )
    page.paragraph("A copy is identical pixel for pixel; its label in train may differ.")


def _add_votes(page: Report, scores: EvaluationReport) -> None:
    votes = scores.ferplus
    if votes is None:
        return
    page.heading("Agreement with the FER+ votes")
    page.table(
        ("agreement", "value"),
        [
            ("predictions equal to the majority", percent(votes.majority, votes.interval)),
            ("the dataset's own labels equal to the majority", percent(votes.labels)),
            ("mean share of votes for the prediction", percent(votes.vote_share)),
            ("... the highest possible", percent(votes.highest_vote_share)),
            ("correlation of probabilities and vote shares", f"{votes.correlation:.3f}"),
            (
                "rank correlation of the model's uncertainty and the voters' disagreement",
                f"{votes.ambiguity:.3f}",
            ),
        ],
    )
    page.paragraph(
        f"On the {count(votes.n, 'image')} whose majority is one of the model's labels. The share of votes is how "
        "often a random voter would agree with the prediction."
    )


def _add_classes(page: Report, scores: EvaluationReport, folder: Path) -> None:
    table = class_table(scores)
    page.heading(table.title)
    series = {
        name: [values[key] for values in scores.per_class.values()]
        for name, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1"))
    }
    per_class_chart(series, scores.labels, folder / "per_class.png")
    page.chart(folder / "per_class.png", "Precision, recall and F1 of every class as bars")
    page.table(table.columns, table.rows)
    matrix = np.array(scores.confusion_matrix)
    confusion_matrix_chart(matrix, scores.labels, folder / "confusion_matrix.png")
    page.heading("Confusion matrix")
    page.chart(
        folder / "confusion_matrix.png",
        "Confusion matrix with percent of each row and counts",
        "Rows are the true label, columns the prediction; percent of the row, and number of images.",
    )


def _add_confidence(page: Report, predictions: Predictions, scores: EvaluationReport, folder: Path) -> None:
    reliability_chart(predictions.confidences, predictions.correct, folder / "reliability.png")
    page.heading("Calibration")
    page.chart(
        folder / "reliability.png",
        "Reliability diagram: accuracy against confidence",
        "Below the diagonal the model is overconfident; above it, underconfident.",
    )
    curve = {scores.model: (predictions.confidences, predictions.correct)}
    risk_coverage_chart(curve, folder / "risk_coverage.png")
    page.heading("Selective prediction")
    page.chart(
        folder / "risk_coverage.png",
        "Accuracy against coverage",
        "Coverage: share of predictions kept, the most confident first. The faint line is the accuracy of all.",
    )
    page.add(coverage_table(scores))
    page.paragraph(
        f"Area under this curve {scores.risk_coverage.area:.3f}, so the area under the risk-coverage curve "
        f"(AURC) is {scores.risk_coverage.aurc:.3f}; with predictions kept at random, it would be about "
        f"{1 - scores.accuracy:.3f}."
    )


def _add_robustness(page: Report, robustness: RobustnessReport, folder: Path) -> None:
    robustness_chart({robustness.model: robustness}, folder / "robustness.png")
    write_json(folder / "robustness.json", robustness.to_dict())
    page.heading("Faces that are moved, blurred, noisy, small, dark or compressed")
    page.chart(
        folder / "robustness.png",
        "Accuracy against the level of corruption, one panel per corruption",
        "The same images, corrupted. The dashed line is the accuracy without corruption, the band the 95 % interval.",
    )
    page.add(robustness.table())
    page.paragraph(
        "Shifts go into a direction and turns to a side that differ from image to image; shift, scale and rotation "
        "repeat the edge of the image where nothing is left of it. Points: difference to the accuracy on the "
        "uncorrupted images. "
        f"Confidence: the mean one. Calibration: the calibration error, {BINS} bins."
    )


def _add_confusions(page: Report, predictions: Predictions, path: Path) -> None:
    """What is most often taken for what, as pictures: they show why."""
    shown = predictions.confusions(SHOWN_CONFUSIONS)
    if not shown:
        path.unlink(missing_ok=True)  # of an earlier report
        return
    names = predictions.labels
    page.heading("Most frequent confusions")
    among = (
        "" if predictions.majority is None else ", among the images whose label is the majority of the votes"
    )
    page.paragraph(f"The {FACES_OF_EACH} most confident images of each{among}.")
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for label, predicted, places in shown:
        page.paragraph(f"{names[label]} predicted as {names[predicted]}: {count(len(places), 'image')}")
        some = places[:FACES_OF_EACH]
        found, words = list(predictions.part.images[some]), [caption(predictions, int(k)) for k in some]
        page.faces(found, words)
        images += found
        captions += words
    faces_chart(images, captions, path)


def _add_mistakes(page: Report, predictions: Predictions, folder: Path, thumbnails: bool) -> None:
    places = predictions.mistakes(SHOWN_FACES)
    if len(places) == 0 or not thumbnails:
        for name in ("mistakes.png", "confusions.png"):
            (folder / name).unlink(missing_ok=True)  # of an earlier report
    page.heading("Most confident mistakes")
    if len(places) == 0:
        page.paragraph("There are none: every prediction is correct.")
        return
    images = list(predictions.part.images[places])
    captions = [caption(predictions, int(place)) for place in places]
    if thumbnails:
        faces_chart(images, captions, folder / "mistakes.png")
    page.faces(images, captions)


def caption(predictions: Predictions, place: int) -> str:
    """The caption of a face: label, prediction, majority of the votes, and the image's name."""
    word = predictions.labels[predictions.predicted[place]]
    lines = [
        f"label: {predictions.labels[predictions.targets[place]]}",
        f"predicted: {word} {percent(float(predictions.confidences[place]))}",
    ]
    votes = predictions.part.votes
    if votes is not None and votes[place].any():
        lines.append(f"FER+: {_vote_words(votes[place])}")
    return "\n".join([*lines, predictions.part.names[place]])


def _vote_words(votes: NDArray[np.uint8]) -> str:
    names = (*FERPLUS_LABELS, "unknown", "no face")
    most = int(votes.argmax())
    return f"{names[most]} {votes[most]} of {votes.sum()}"
