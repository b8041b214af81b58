"""Boxes, predictions and what becomes of them in JSON and tables."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from mien.labels import LABELS, Emotion
from mien.results import FACE_FIELDS, Box, Face, FaceEmotion, FrameResult, Prediction, Quality

PROBABILITIES = dict(zip(LABELS, (0.05, 0.0, 0.05, 0.7, 0.1, 0.05, 0.05), strict=True))


def face(**changes: object) -> FaceEmotion:
    return replace(FaceEmotion(Face(Box(10, 20, 40, 60), 0.9), Prediction(PROBABILITIES)), **changes)


class TestBox:
    def test_size_and_center(self) -> None:
        box = Box(10, 20, 40, 60)
        assert (box.width, box.height, box.center) == (30, 40, (25, 40))

    def test_may_reach_beyond_the_border(self) -> None:
        assert Box(-5, -5, 5, 5).center == (0, 0)

    @pytest.mark.parametrize("corners", [(5, 0, 5, 9), (6, 0, 5, 9), (0, 9, 5, 9), (0, 10, 5, 9)])
    def test_empty_is_refused(self, corners: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match="x1 < x2 and y1 < y2"):
            Box(*corners)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("place", range(4))
    def test_must_be_finite(self, place: int, value: float) -> None:
        corners = [0.0, 0.0, 5.0, 5.0]
        corners[place] = value
        with pytest.raises(ValueError, match="finite"):
            Box(*corners)

    def test_is_frozen_and_has_no_other_fields(self) -> None:
        box = Box(0, 0, 1, 1)
        with pytest.raises(FrozenInstanceError):
            box.x1 = 3  # type: ignore[misc]
        assert not hasattr(box, "__dict__")

    def test_iou_by_hand(self) -> None:
        box = Box(0, 0, 10, 10)
        assert box.iou(box) == 1
        assert box.iou(Box(5, 0, 15, 10)) == pytest.approx(50 / 150)
        assert box.iou(Box(2, 2, 4, 4)) == pytest.approx(4 / 100)
        assert box.iou(Box(10, 0, 20, 10)) == 0  # they touch
        assert box.iou(Box(30, 30, 40, 40)) == 0  # apart both ways: no positive product of two negatives

    def test_iou_is_symmetric_and_counts_pixels(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            boxes = []
            for _ in range(2):
                x, y, width, height = map(int, rng.integers(1, 12, 4))
                boxes.append(Box(x, y, x + width, y + height))
            masks = np.zeros((2, 24, 24), bool)
            for mask, box in zip(masks, boxes, strict=True):
                mask[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = True
            counted = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
            assert boxes[0].iou(boxes[1]) == pytest.approx(counted)
            assert boxes[1].iou(boxes[0]) == pytest.approx(counted)


class TestPrediction:
    def test_the_most_probable_label(self) -> None:
        prediction = Prediction(PROBABILITIES)
        assert (prediction.emotion, prediction.confidence) == ("happy", 0.7)
        assert not prediction.uncertain

    def test_the_first_of_equals(self) -> None:
        assert Prediction({"sad": 0.5, "happy": 0.5}).emotion == "sad"

    def test_any_labels_will_do(self) -> None:
        assert Prediction({"bored": 0.2, "engaged": 0.8}).emotion == "engaged"

    def test_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one label"):
            Prediction({})

    def test_keeps_its_own_copy(self) -> None:
        given = dict(PROBABILITIES)
        prediction = Prediction(given)
        given["happy"] = 0.0
        assert prediction.confidence == 0.7

    def test_survives_pickle_and_copy(self) -> None:
        for again in (pickle.loads(pickle.dumps(face())), copy.deepcopy(face())):
            assert again == face()


class TestFaceEmotion:
    def test_passes_on_what_its_parts_know(self) -> None:
        one = face()
        assert one.box == Box(10, 20, 40, 60)
        assert (one.emotion, one.confidence) == ("happy", 0.7)
        assert one.probabilities == PROBABILITIES

    def test_to_dict_holds_the_contract_in_its_order(self) -> None:
        values = face(quality=Quality(0.4, ("dark", "blurred")), track=3).to_dict()
        assert tuple(values) == (*FACE_FIELDS, *LABELS)
        assert values["track"] == 3
        assert [values[k] for k in ("x1", "y1", "x2", "y2")] == [10, 20, 40, 60]
        assert (values["detection_score"], values["uncertain"]) == (0.9, False)
        assert (values["quality_score"], values["quality_issues"]) == (0.4, ["dark", "blurred"])
        assert {label: values[label] for label in LABELS} == PROBABILITIES

    def test_probabilities_are_not_rounded(self) -> None:
        exact = {"a": 1 / 3, "b": 2 / 3}
        values = json.loads(json.dumps(face(prediction=Prediction(exact)).to_dict()))
        assert {label: values[label] for label in exact} == exact

    def test_labels_may_be_emotions(self) -> None:
        values = face(prediction=Prediction({Emotion.SAD: 0.25, Emotion.HAPPY: 0.75})).to_dict()
        assert type(values["emotion"]) is str
        assert all(type(key) is str for key in values)
        assert '"emotion": "happy"' in json.dumps(values)

    def test_numbers_of_numpy_become_plain_ones(self) -> None:
        box = Box(*np.array([10, 20, 40, 60], np.float32))
        prediction = Prediction({"a": np.float32(0.25), "b": np.float32(0.75)})
        values = FaceEmotion(Face(box, np.float32(0.5)), prediction).to_dict()
        assert json.loads(json.dumps(values))["x2"] == 40


class TestFrameResult:
    def test_to_dict_has_the_fields_of_the_contract(self) -> None:
        values = FrameResult("a.jpg", 640, 480, (face(), face(track=1))).to_dict()
        assert tuple(values) == ("source", "width", "height", "faces", "error")
        assert (values["source"], values["width"], values["height"], values["error"]) == (
            "a.jpg",
            640,
            480,
            None,
        )
        assert tuple(values["faces"][0]) == ("source", "frame", "time", *FACE_FIELDS, *LABELS)
        assert [one["source"] for one in values["faces"]] == ["a.jpg", "a.jpg"]
        assert json.loads(json.dumps(values)) == values

    def test_no_face_is_an_empty_list(self) -> None:
        assert FrameResult("a.jpg", 640, 480).to_dict()["faces"] == []

    def test_a_broken_picture_has_an_error_and_no_size(self) -> None:
        values = FrameResult("a.jpg", error="a.jpg: no such file").to_dict()
        assert (values["width"], values["height"], values["error"]) == (None, None, "a.jpg: no such file")

    def test_rows_one_a_face(self) -> None:
        rows = FrameResult("clip.mp4", 640, 480, (face(), face()), frame=25, time=1.0).rows()
        assert len(rows) == 2
        assert tuple(rows[0]) == ("source", "frame", "time", *FACE_FIELDS, *LABELS, "error")
        assert (rows[1]["source"], rows[1]["frame"], rows[1]["time"]) == ("clip.mp4", 25, 1.0)

    @pytest.mark.parametrize("error", [None, "a.jpg: empty; expected a picture"])
    def test_a_picture_without_faces_is_one_row_of_the_same_columns(self, error: str | None) -> None:
        (row,) = FrameResult("a.jpg", error=error, labels=LABELS).rows()
        (with_face,) = FrameResult("a.jpg", 9, 9, (face(),), labels=LABELS).rows()
        assert list(row) == list(with_face)
        assert row["source"] == "a.jpg"
        assert row["error"] == error
        assert {row[name] for name in (*FACE_FIELDS, *LABELS)} == {None}
