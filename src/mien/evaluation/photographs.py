"""Evaluation of the whole pipeline on labelled photographs: the face is found first, then its expression."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.parallel import run_ahead
from mien.data.photographs import Photograph, Photographs, open_photographs
from mien.data.rows import Progress
from mien.errors import DatasetError, ImageError, UnknownLabelError
from mien.evaluation.photograph_report import PhotographAnswer, PhotographReport
from mien.evaluation.result import SelectiveScores
from mien.images.read import read_image
from mien.labels import Emotion
from mien.metrics import calibration, classification, significance
from mien.recognition import EmotionRecognizer
from mien.results import FaceEmotion, FrameResult

_READ_AHEAD = 1  # photographs


def evaluate_photographs(
    recognizer: EmotionRecognizer,
    data: str | PathLike[str],
    *,
    split: str | None = None,
    progress: Progress | None = None,
) -> PhotographReport:
    """Score the whole pipeline on labelled photographs: detector, crop and classifier, as `recognize` uses them.

    The answer of a photograph is that of its largest face. One without a face that is found counts as wrong; one that
    cannot be read is an answer with its error, and takes no part in the scores. Photographs are read at full size and
    one by one: memory does not grow with their number, but for a row each. Of Parquet, a page of the file is in memory,
    which may be a thousand encoded photographs.

    Args:
        recognizer: detector and model, with the head that is scored and the least quality of a face.
        data: class folders (`train/<class>/*` and `test/<class>/*`, or `<class>/*`); a Parquet file with the columns
            `image` (bytes, or a struct with `bytes`) and `label`, or a folder of them; or an archive of one of these.
            The labels are some or all of the head's; an answer that is another one of the head's is wrong.
        split: "train", "validation" or "test"; None for the validation split, else the test split, else the only one.
        progress: called with (done, total) photographs.

    Raises:
        DatasetError: no photographs of that form, no such split, a label that is none of the head's, or no photograph
            that can be read.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    answers = []
    with open_photographs(Path(data), split=split) as photographs:
        labels = _names(recognizer, photographs)
        pictures = run_ahead(_read(photographs), _READ_AHEAD)
        with closing(pictures):
            for photograph, picture in pictures:
                answers.append(_answer(recognizer, labels[photograph.label], photograph, picture))
                if progress is not None:
                    progress(len(answers), len(photographs))
        return score_photographs(recognizer, answers, data=photographs.name, split=photographs.split)


def score_photographs(
    recognizer: EmotionRecognizer, answers: Sequence[PhotographAnswer], *, data: str = "", split: str = ""
) -> PhotographReport:
    """The scores of existing answers, or of some of them.

    Args:
        recognizer: whose answers these are.
        answers: at least one of a photograph that could be read.
        data, split: where the photographs are from, for the record.

    Raises:
        DatasetError: no photograph could be read.
    """
    read = [answer for answer in answers if answer.error is None]
    if not read:
        errors = [f", {answer.error}" for answer in answers[:1]]
        raise DatasetError(f"{data}: no photograph that can be read{''.join(errors)}")
    classifier, labels = recognizer.classifier, recognizer.labels
    found = [answer for answer in read if answer.emotion is not None]
    matrix, correct = _confusion_matrix(read, labels), np.array([answer.correct for answer in read])
    counts, hits = matrix.sum(axis=1), np.diag(matrix)
    present = counts > 0
    return PhotographReport(
        model=classifier.config.name,
        detector=recognizer.detector.backend,
        data=data,
        split=split,
        head=classifier.head,
        labels=labels,
        n=len(read),
        no_face=len(read) - len(found),
        unreadable=len(answers) - len(read),
        accuracy=float(correct.mean()),
        interval=significance.accuracy_interval(correct),
        balanced_accuracy=classification.balanced_accuracy(matrix),
        balanced_interval=significance.mean_recall_interval(hits[present], counts[present]),
        confusion_matrix=tuple(tuple(map(int, row)) for row in matrix[:-1]),
        per_class=_per_class(matrix, labels),
        sha256=classifier.config.sha256,
        answers=tuple(answers),
        **_confidence_scores(recognizer, found),
    )


def largest_face(result: FrameResult) -> FaceEmotion | None:
    """The face of the largest box, the first of equals; None without one."""
    return max(result.faces, key=lambda face: face.box.area, default=None)


def _names(recognizer: EmotionRecognizer, photographs: Photographs) -> dict[str, str]:
    """Label of the data -> how the model names it; an error before any photograph is read."""
    names = {}
    for word in dict.fromkeys(photographs.labels):
        name = _name(word, recognizer.labels)
        if name is None:
            raise DatasetError(
                f"{photographs.name}: labelled {word}; but {recognizer.classifier.config.name} predicts "
                f"{', '.join(recognizer.labels)}"
            )
        names[word] = name
    return names


def _name(word: str, labels: Sequence[str]) -> str | None:
    if word in labels:
        return word
    try:
        emotion = Emotion.parse(word)
    except UnknownLabelError:
        return None
    return emotion if emotion in labels else None


def _read(
    photographs: Photographs,
) -> Generator[tuple[Photograph, NDArray[np.uint8] | ImageError], None, None]:
    """Every photograph decoded, or why it cannot be read."""
    for photograph in photographs:
        try:
            picture: NDArray[np.uint8] | ImageError = read_image(photograph.content)
        except ImageError as error:
            picture = error
        # Once it is decoded nobody needs the file's bytes any more.
        yield photograph._replace(content=b""), picture


def _answer(
    recognizer: EmotionRecognizer, label: str, photograph: Photograph, picture: NDArray[np.uint8] | ImageError
) -> PhotographAnswer:
    answer = PhotographAnswer(photograph.name, str(label))
    if isinstance(picture, ImageError):
        return replace(answer, error=str(picture))
    result = recognizer.recognize(picture)
    if (face := largest_face(result)) is None:
        return answer
    return replace(
        answer,
        emotion=str(face.emotion),
        confidence=face.confidence,
        uncertain=face.prediction.uncertain,
        faces=len(result.faces),
    )


def _confusion_matrix(answers: Sequence[PhotographAnswer], labels: Sequence[str]) -> NDArray[np.int64]:
    """(labels + 1, labels + 1): the last column is for no face, the last row is empty."""
    places = {str(label): place for place, label in enumerate(labels)}
    targets = np.array([places[answer.label] for answer in answers])
    predicted = np.array([places.get(answer.emotion or "", len(labels)) for answer in answers])
    return np.asarray(classification.confusion_matrix(targets, predicted, len(labels) + 1))


def _per_class(matrix: NDArray[np.int64], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    scores = zip(*classification.precision_recall_f1(matrix), matrix.sum(axis=1), strict=True)
    return {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
        for label, (p, r, f, n) in zip(labels, scores, strict=False)  # the last row is that of no face
    }


def _confidence_scores(recognizer: EmotionRecognizer, found: Sequence[PhotographAnswer]) -> dict[str, Any]:
    """What the confidences of answers are worth; nothing without an answer."""
    if not found:
        return {}
    confidences = np.array([answer.confidence for answer in found], np.float64)
    correct, uncertain = (
        np.array([getattr(answer, name) for answer in found], np.bool_) for name in ("correct", "uncertain")
    )
    kept = correct[~uncertain]
    return {
        "calibration_error": calibration.calibration_error(confidences, correct),
        "uncertain": float(uncertain.mean()),
        "selective_prediction": SelectiveScores(
            threshold=recognizer.classifier.min_confidence,
            coverage=len(kept) / len(found),
            accuracy=float(kept.mean()) if len(kept) else None,
            n=len(found),
            against="label",
        ),
    }
