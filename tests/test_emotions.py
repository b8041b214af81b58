"""The seven expressions, their other names and the orders of the datasets."""

from __future__ import annotations

import json

import pytest

from mien.errors import DatasetError, UnknownLabelError
from mien.labels import FERPLUS_LABELS, LABELS, ORDERS, Emotion


def test_labels_are_fer2013s_in_fer2013s_order() -> None:
    assert LABELS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert tuple(Emotion) == LABELS
    assert ORDERS["fer2013"] == LABELS


def test_ferplus_has_the_order_of_its_vote_columns() -> None:
    # The header of fer2013new.csv, after "Usage" and "Image name".
    header = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
    assert [*map(Emotion.parse, header[:-1]), "contempt"] == list(FERPLUS_LABELS)
    assert ORDERS["ferplus"] == FERPLUS_LABELS


def test_affectnet_has_the_order_of_its_annotation() -> None:
    # Neutral 0, Happiness 1, Sadness 2, Surprise 3, Fear 4, Disgust 5, Anger 6, Contempt 7.
    words = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"]
    assert [*map(Emotion.parse, words), "contempt"] == list(ORDERS["affectnet"])


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_every_order_holds_the_seven_once(order: tuple[str, ...]) -> None:
    assert len(set(order)) == len(order)
    assert set(LABELS) <= set(order)


def test_an_expression_is_its_label() -> None:
    assert Emotion.HAPPY == "happy"
    assert f"{Emotion.HAPPY}" == "happy"
    assert json.dumps({Emotion.HAPPY: Emotion.SAD}) == '{"happy": "sad"}'
    assert {"happy": 1}[Emotion.HAPPY] == 1


@pytest.mark.parametrize("label", LABELS)
def test_parse_knows_every_label_in_any_writing(label: str) -> None:
    for word in (label, label.upper(), f"  {label.title()}\n"):
        assert Emotion.parse(word) is Emotion(label)


@pytest.mark.parametrize(
    ("word", "emotion"),
    [
        ("Anger", Emotion.ANGRY),
        ("disgusted", Emotion.DISGUST),
        ("Fearful", Emotion.FEAR),
        ("afraid", Emotion.FEAR),
        ("HAPPINESS", Emotion.HAPPY),
        ("joy", Emotion.HAPPY),
        ("sadness", Emotion.SAD),
        (" surprised ", Emotion.SURPRISE),
    ],
)
def test_parse_knows_other_names(word: str, emotion: Emotion) -> None:
    assert Emotion.parse(word) is emotion


@pytest.mark.parametrize("word", ["", "contempt", "bored", "3", "hap py", "none"])
def test_parse_names_what_it_expected(word: str) -> None:
    with pytest.raises(
        UnknownLabelError, match="angry, disgust, fear, happy, sad, surprise, neutral"
    ) as caught:
        Emotion.parse(word)
    assert repr(word) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DatasetError)
