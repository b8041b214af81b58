"""Two models on the same images, whose right answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_evaluation import dataset, split

from mien.data.dataset import Dataset
from mien.errors import DatasetError
from mien.evaluation.comparison import compare, format_comparison
from mien.evaluation.predictions import Predictions, predict_split
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.classifier import EmotionClassifier

WriteModel = Callable[..., Path]


@pytest.fixture
def answers(write_model: WriteModel) -> Callable[[list[int], list[int]], tuple[Predictions, Predictions]]:
    """What the brightness model (A) and one that is always right on top of that (B) answer: made from grey values."""

    def of(a_says: list[int], b_says: list[int]) -> tuple[Predictions, Predictions]:
        """A sees the upper half, B the lower one; every face is truly angry."""
        images = np.zeros((len(a_says), 48, 48), np.uint8)
        images[:, :24] = 20 * np.array(a_says, np.uint8)[:, None, None]
        images[:, 24:] = 20 * np.array(b_says, np.uint8)[:, None, None]
        faces = split([0] * len(a_says), a_says)
        faces = type(faces)(images, faces.targets, faces.names)
        halves = {"upper": (0, 0, 24, 48), "lower": (24, 0, 48, 48)}
        models = [EmotionClassifier(write_model(name, region=region)) for name, region in halves.items()]
        first, second = (predict_split(model, dataset(test=faces)) for model in models)
        return first, second

    return of


def test_few_differing_answers_by_hand(answers: Callable) -> None:
    comparison = compare(*answers([0, 0, 0, 3, 3, 0], [0, 1, 1, 0, 1, 1]))
    assert (comparison.first.model, comparison.second.model) == ("upper", "lower")
    assert (comparison.both_right, comparison.only_first, comparison.only_second, comparison.both_wrong) == (
        1,
        3,
        1,
        1,
    )
    assert comparison.difference == pytest.approx(4 / 6 - 2 / 6)
    assert comparison.interval[0] < 1 / 3 < comparison.interval[1]
    assert comparison.test == "exact binomial"
    assert comparison.p_value == pytest.approx(2 * (1 + 4) / 2**4)


def test_many_differing_answers_by_hand(answers: Callable) -> None:
    comparison = compare(*answers([0] * 30 + [1] * 10 + [0] * 60, [1] * 30 + [0] * 10 + [0] * 60))
    assert (comparison.only_first, comparison.only_second, comparison.both_right) == (30, 10, 60)
    assert comparison.test == "chi-square with continuity correction"
    assert comparison.p_value == pytest.approx(0.00266, rel=1e-2)  # 19^2 / 40 = 9.025
    assert comparison.difference == pytest.approx(0.2)


def test_a_model_against_itself(answers: Callable) -> None:
    first, _ = answers([0, 1, 2], [0, 0, 0])
    comparison = compare(first, first)
    assert (comparison.difference, comparison.interval, comparison.p_value) == (0, (0, 0), 1)


def test_as_json_and_as_lines(answers: Callable) -> None:
    comparison = compare(*answers([0, 0, 0, 3, 3, 0], [0, 1, 1, 0, 1, 1]))
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert values["first"]["accuracy"] == pytest.approx(4 / 6)
    assert values["second"]["model"] == "lower"
    text = format_comparison(comparison)
    lines = text.split("\n")
    assert comparison.to_text() == text
    assert lines[0] == "faces, split test: 6 images"
    assert lines[1].startswith("A: upper, head expression, SHA-256 ")
    (accuracy,) = [line for line in lines if line.startswith("accuracy")]
    assert "66.7 %" in accuracy and "33.3 %" in accuracy
    assert lines[-1].startswith("A minus B: +33.33 points")
    assert lines[-1].endswith("only A right on 3, only B on 1; McNemar, exact binomial: p = 0.62")
    assert "flip" not in text and "FER+" not in text


def test_scores_that_only_some_data_have(write_model: WriteModel) -> None:
    votes = np.zeros((4, 10), np.uint8)
    votes[:, FERPLUS_LABELS.index("angry")] = 9
    data = dataset(train=split([3], [3]), test=split([0, 0, 3, 3], [0, 3, 3, 0], votes))
    model = EmotionClassifier(write_model())
    found = predict_split(model, data, split="test", views=True)
    text = format_comparison(compare(found, found))
    for word in ("flip", "ten-crop", "without copies", "FER+ majority"):
        assert any(line.startswith(word) for line in text.split("\n")), word


def test_two_heads_on_the_same_labels(write_model: WriteModel) -> None:
    data = dataset("fer2013")
    both = EmotionClassifier(write_model("both"))
    one = EmotionClassifier(write_model("one", outputs={"expression": LABELS}))
    comparison = compare(predict_split(both, data), predict_split(one, data))
    assert (comparison.first.head, comparison.second.head) == ("fer2013", "expression")
    assert comparison.p_value == 1


def test_other_images_or_labels_cannot_be_compared(write_model: WriteModel) -> None:
    model = EmotionClassifier(write_model())
    votes = np.ones((2, 10), np.uint8)
    one: Dataset = dataset(test=split([0, 1], [0, 1], votes))
    fewer = dataset(test=split([0], [0]))
    relabelled = dataset(test=split([0, 2], [0, 1]))
    first = predict_split(model, one)
    for second in (
        predict_split(model, fewer),
        predict_split(model, relabelled),
        predict_split(model, one, head="ferplus"),
    ):
        with pytest.raises(DatasetError, match="cannot be compared"):
            compare(first, second)
