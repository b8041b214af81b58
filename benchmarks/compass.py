"""The figures by which models are chosen, for any model, in about a minute: faces like those of its training data, and
photographs from elsewhere.

    python benchmarks/compass.py --model mien-s --json compass.json            # data below $MIEN_DATA
    python benchmarks/compass.py --model runs/first FER2013 PHOTOGRAPHS

FER2013 is a folder with public_test.parquet, or FER2013 in any form, with its validation split and FER+ votes; without
it $MIEN_DATA/fer2013. PHOTOGRAPHS are labelled photographs, as `mien evaluate --find-faces` takes them; without them
$MIEN_DATA/foreign/lfw_dev.parquet. There, figures without the label `surprise` stand next to those of all labels: that
label of the set is nearly "open mouth".

Every output is compared over the seven expressions: an eighth one, as contempt of `ferplus`, is left out, and the rest
add up to 1 again. The majority of the FER+ votes counts where it is one of the seven. Intervals are 95 %: of shares
Wilson's, of mean recalls from the Beta distribution of each recall, of calibration errors 1.96 standard deviations of
the bootstrap. A photograph without a face that is found is wrong.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien._core.text import Table
from mien.data.dataset import Split
from mien.data.ferplus import majority
from mien.data.load import load_dataset
from mien.errors import MienError
from mien.evaluation.photograph_report import PhotographAnswer, PhotographReport
from mien.evaluation.photographs import evaluate_photographs, score_photographs
from mien.labels import FERPLUS_LABELS, LABELS
from mien.metrics.arrays import Bools, Floats, Ints
from mien.metrics.calibration import calibration_error
from mien.metrics.classification import balanced_accuracy, confusion_matrix
from mien.metrics.significance import accuracy_interval, mean_recall_interval
from mien.models.classifier import EmotionClassifier
from mien.recognition import EmotionRecognizer

LEFT_OUT = "surprise"
HEADS = ("fer2013", "ferplus")
ROUNDS = 400
Figures = dict[str, dict[str, Any]]


def figure(value: float | None, n: int, ends: tuple[float, float] | None) -> dict[str, Any]:
    """A value with its interval, None without images."""
    return {"value": value, "interval": None if ends is None else list(ends), "n": n}


def share(hits: Bools) -> dict[str, Any]:
    """How often it is so."""
    return (
        figure(float(hits.mean()), len(hits), accuracy_interval(hits)) if len(hits) else figure(None, 0, None)
    )


def mean_recall(targets: Ints, predicted: Ints) -> dict[str, Any]:
    """Over the labels that occur."""
    if not len(targets):
        return figure(None, 0, None)
    matrix = confusion_matrix(targets, predicted, len(LABELS))
    counts = matrix.sum(axis=1)
    ends = mean_recall_interval(np.diag(matrix)[counts > 0], counts[counts > 0])
    return figure(balanced_accuracy(matrix), len(targets), ends)


def calibration(confidences: Floats, correct: Bools) -> dict[str, Any]:
    """The expected calibration error."""
    n = len(correct)
    if not n:
        return figure(None, 0, None)
    rng, error = np.random.default_rng(0), calibration_error(confidences, correct)
    drawn = (rng.integers(0, n, n) for _ in range(ROUNDS))
    spread = 1.96 * float(np.std([calibration_error(confidences[d], correct[d]) for d in drawn]))
    return figure(error, n, (max(0.0, error - spread), min(1.0, error + spread)))


def over_seven(probabilities: Floats, labels: tuple[str, ...]) -> Floats:
    """(n, 7) in the order of `LABELS`, each row summing to 1."""
    some = probabilities[:, [labels.index(label) for label in LABELS]].astype(np.float64)
    return np.asarray(some / np.maximum(some.sum(axis=1, keepdims=True), 1e-12))


def majority_of_seven(votes: NDArray[np.uint8]) -> Ints:
    """The expression with the most votes as an index into `LABELS`; -1 where it is none of them."""
    places = np.array([LABELS.index(label) if label in LABELS else -1 for label in FERPLUS_LABELS] + [-1])
    return np.asarray(places[majority(votes)], np.int64)


def output_figures(shares: Floats, labels: Ints, votes: Ints) -> Figures:
    """What one output is worth on crops: (n, 7) probabilities, the labels, and the majorities or -1."""
    predicted, confidences = shares.argmax(axis=1), shares.max(axis=1)
    voted, agreed = votes >= 0, votes == labels
    return {
        "accuracy, label": share(predicted == labels),
        "accuracy, majority": share((predicted == votes)[voted]),
        "mean recall, label": mean_recall(labels, predicted),
        "mean recall, label = majority": mean_recall(labels[agreed], predicted[agreed]),
        "calibration error, label": calibration(confidences, predicted == labels),
        "calibration error, majority": calibration(confidences[voted], (predicted == votes)[voted]),
    }


def on_crops(classifier: EmotionClassifier, split: Split, votes: Ints) -> dict[str, Any]:
    """Figures of every output on FER2013's crops, and of the flag `uncertain` of the default one."""
    config = classifier.config
    found = classifier.predict_heads(split.images)
    names = [name for name in dict.fromkeys((classifier.head, *HEADS)) if name in config.outputs]
    seven = {name: over_seven(found[name], config.outputs[name]) for name in names}
    answer, threshold = seven[classifier.head], config.uncertain_below
    uncertain = found[classifier.head].max(axis=1) < threshold
    kept = ~uncertain & (votes >= 0)
    return {
        "n": len(split),
        "outputs": {name: output_figures(some, split.targets, votes) for name, some in seven.items()},
        "default output": {
            "uncertain": share(uncertain),
            "accuracy of the others, majority": share((answer.argmax(axis=1) == votes)[kept]),
        },
    }


def on_photographs(recognizer: EmotionRecognizer, report: PhotographReport) -> dict[str, Any]:
    """Figures of all labels there are, and without the one that is left out."""
    some = [answer for answer in report.answers if answer.label != LEFT_OUT]
    rest = score_photographs(recognizer, some, data=report.data, split=report.split)
    return {
        "all labels": photograph_figures(report),
        f"without {LEFT_OUT}": photograph_figures(rest),
        "labels": [*map(str, report.labels), "no face"],
        "confusion matrix": {
            label: row for label, row in zip(report.labels, report.confusion_matrix, strict=True) if sum(row)
        },
        "no face": report.no_face,
        "unreadable": report.unreadable,
    }


def photograph_figures(report: PhotographReport) -> Figures:
    """The scores of a report, with the intervals that it leaves out."""
    found: list[PhotographAnswer] = [one for one in report.answers if one.emotion is not None]
    confidences = np.array([one.confidence for one in found], np.float64)
    correct = np.array([one.correct for one in found], np.bool_)
    uncertain = np.array([one.uncertain for one in found], np.bool_)
    return {
        "mean recall": figure(report.balanced_accuracy, report.n, report.balanced_interval),
        "accuracy": figure(report.accuracy, report.n, report.interval),
        "uncertain": share(uncertain),
        "accuracy of the others": share(correct[~uncertain]),
        "calibration error": calibration(confidences, correct),
    }


def public_test(path: Path) -> tuple[Split, Ints]:
    """FER2013's PublicTest, and the majorities of its votes."""
    file = path / "public_test.parquet"
    split = load_dataset(file if file.is_file() else path).split("validation")
    if split.votes is None:
        raise MienError(f"{path}: no FER+ votes, expected a column votes or fer2013new.csv beside the data")
    return split, majority_of_seven(split.votes)


def text(name: str, one: dict[str, Any]) -> tuple[str, str, str, str]:
    """A line of a table: shares in percent, calibration errors as they are."""
    if one["value"] is None:
        return name, "-", "", f"{one['n']:,}"
    scale, digits = (1, 3) if name.startswith("calibration") else (100, 1)
    low, high = (f"{scale * end:.{digits}f}" for end in one["interval"])
    return name, f"{scale * one['value']:.{digits}f}", f"{low} to {high}", f"{one['n']:,}"


def show(title: str, figures: Figures) -> None:
    """A table of figures."""
    rows = [text(name, one) for name, one in figures.items()]
    print(f"\n{title}\n" + Table(("", "", "95 %", "n"), rows).text(widths=(34, 6, 15, 6)), flush=True)


def main() -> None:
    """Measure, print, and write."""
    data = Path(os.environ.get("MIEN_DATA", "."))
    parser = argparse.ArgumentParser(description="The figures by which models are chosen.")
    parser.add_argument("fer2013", type=Path, nargs="?", default=data / "fer2013")
    parser.add_argument("photographs", type=Path, nargs="?", default=data / "foreign" / "lfw_dev.parquet")
    parser.add_argument("--model", default="mien-s", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures, too")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        recognizer = EmotionRecognizer(args.model)
        classifier = recognizer.classifier
        if set(LABELS) - set(classifier.labels):
            raise MienError(f"{args.model}: predicts {', '.join(classifier.labels)}; expected the seven")
        crops = on_crops(classifier, *public_test(args.fer2013))
        photographs = on_photographs(recognizer, report := evaluate_photographs(recognizer, args.photographs))
    except MienError as error:
        parser.error(str(error))
    config = classifier.config
    print(f"{config.name} {config.sha256[:12]}, default output {classifier.head}; shares in percent")
    for name, figures in crops["outputs"].items():
        show(f"PublicTest, {name}", figures)
    show(f"PublicTest, {classifier.head}, from {config.uncertain_below:g} on", crops["default output"])
    for name in ("all labels", f"without {LEFT_OUT}"):
        show(f"{report.data}, {name}, {classifier.head}", photographs[name])
    matrix = [(label, *map(str, row)) for label, row in photographs["confusion matrix"].items()]
    print(f"\n{report.data}: rows true, columns predicted")
    print(Table(("", *photographs["labels"]), matrix).text())
    print(f"\nno face {report.no_face}, unreadable {report.unreadable}; {time.monotonic() - started:.0f} s")
    if args.json is not None:
        model = {"name": config.name, "sha256": config.sha256, "default output": classifier.head} | {
            "uncertain_below": config.uncertain_below
        }
        write_json(args.json, {"model": model, "PublicTest": crops, report.data: photographs})


if __name__ == "__main__":
    main()
