"""Programs written for deepface and fer: the forms of the answers are held to what these packages printed."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pictures import encode, grace_hopper, grace_hopper_path, pattern

from mien.compat import FER, DeepFace, _region
from mien.faces.detector import FaceDetector
from mien.labels import LABELS
from mien.recognition import EmotionRecognizer
from mien.results import Box, Face

PEERS: dict[str, Any] = json.loads((Path(__file__).parent / "peers.json").read_text(encoding="utf-8"))
OWN = ("quality_score", "quality_issues")
"""What mien's answers have besides."""
BLACK = np.zeros((100, 120, 3), np.uint8)


def near(box: list[int], other: list[int]) -> bool:
    (x, y, w, h), (x2, y2, w2, h2) = box, other
    return Box(x, y, x + w, y + h).iou(Box(x2, y2, x2 + w2, y2 + h2)) > 0.7


class TestDeepFace:
    def test_the_form_is_deepfaces(self) -> None:
        (face,) = DeepFace.analyze(str(grace_hopper_path()), ["emotion"], detector_backend="opencv")
        recorded = PEERS["deepface"]
        assert list(face) == [*recorded["keys"], *OWN]
        assert list(face["emotion"]) == recorded["labels"]
        assert list(face["region"]) == list(recorded["region"])
        corners = ("x", "y", "w", "h")
        assert all(type(face["region"][key]) is int for key in corners)
        assert near([face["region"][k] for k in corners], [recorded["region"][k] for k in corners])
        assert sum(face["emotion"].values()) == pytest.approx(100, abs=1e-3)
        assert face["dominant_emotion"] == max(face["emotion"], key=face["emotion"].__getitem__)
        assert face["face_confidence"] == round(face["face_confidence"], 2) > 0
        assert json.loads(json.dumps(face)) == face

    def test_the_numbers_are_those_of_mien(self) -> None:
        (face,) = DeepFace.analyze(grace_hopper_path(), "emotion", detector_backend="haar")
        (expected,) = EmotionRecognizer(detector="haar").recognize(grace_hopper_path())
        for label in LABELS:
            assert face["emotion"][label] == pytest.approx(100 * expected.probabilities[label])

    def test_arrays_are_bgr(self) -> None:
        # A red and a blue picture differ in grey, and so in the answer to the whole of it.
        red_in_bgr = np.zeros((60, 60, 3), np.uint8)
        red_in_bgr[..., 2] = pattern(60, 60)[..., 0]
        as_file = io.BytesIO(encode(np.ascontiguousarray(red_in_bgr[..., ::-1])))
        by_array = DeepFace.analyze(red_in_bgr, detector_backend="skip")
        assert by_array == DeepFace.analyze(as_file, detector_backend="skip")
        assert by_array != DeepFace.analyze(red_in_bgr[..., ::-1], detector_backend="skip")

    def test_every_way_to_name_a_picture(self) -> None:
        path = grace_hopper_path()
        text = "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
        alpha = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2BGRA)
        expected = DeepFace.analyze(path)
        with path.open("rb") as file:
            answers = DeepFace.analyze([str(path), text, file, cv2.imread(str(path)), alpha])
        for answer in answers:
            assert answer[0]["region"] == expected[0]["region"]
            assert answer[0]["dominant_emotion"] == expected[0]["dominant_emotion"]

    def test_an_array_of_four_dimensions_is_a_batch(self) -> None:
        batch = np.stack([BLACK, BLACK])
        assert [len(one) for one in DeepFace.analyze(batch, enforce_detection=False)] == [1, 1]

    def test_without_a_face(self) -> None:
        with pytest.raises(ValueError, match=r"no face found.*enforce_detection=False"):
            DeepFace.analyze(BLACK)
        (face,) = DeepFace.analyze(BLACK, enforce_detection=False)
        recorded = PEERS["deepface"]["without_a_face"]
        assert face["region"] == recorded["region"]
        assert face["face_confidence"] == recorded["face_confidence"]
        assert sum(face["emotion"].values()) == pytest.approx(100, abs=1e-3)

    def test_skip_takes_the_picture_for_a_face(self) -> None:
        (face,) = DeepFace.analyze(grace_hopper_path(), detector_backend="skip")
        assert (face["region"]["w"], face["region"]["h"]) == (511, 599)

    def test_landmarks_as_the_persons_own(self) -> None:
        (face,) = DeepFace.analyze(grace_hopper_path(), detector_backend="mien")
        region = face["region"]
        assert list(region)[4:] == ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]
        assert region["left_eye"][0] > region["nose"][0] > region["right_eye"][0]
        assert region["mouth_left"][0] > region["mouth_right"][0]

    def test_a_region_stays_inside(self) -> None:
        points = ((5.0, 5.0), (-3.0, 5.0), (5.0, 8.0), (99.0, 9.0), (100.0, 9.0))
        region = _region(Face(Box(-10, -4, 130, 60), 0.5, points), 100, 80)
        assert {k: region[k] for k in "xywh"} == {"x": 0, "y": 0, "w": 99, "h": 64}
        assert (region["right_eye"], region["left_eye"]) == ((5, 5), None)
        assert (region["mouth_right"], region["mouth_left"]) == ((99, 9), None)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"actions": ["age", "emotion"]}, "expressions only"),
            ({"actions": "race"}, "expressions only"),
            ({"actions": []}, "expressions only"),
            ({"detector_backend": "retinaface"}, "retinaface.*mien, haar, opencv, yunet, skip"),
            ({"anti_spoofing": True}, "anti_spoofing"),
            ({"expand_percentage": 10}, "expand_percentage"),
        ],
    )
    def test_what_mien_has_not_is_said(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            DeepFace.analyze(BLACK, **options)

    @pytest.mark.parametrize(
        ("picture", "message"),
        [
            ("missing.jpg", "no such file"),
            ("https://example.org/a.jpg", "fetches nothing"),
            ("data:image/png;base64,!!!", "base64|Only base64 data"),
            ("data:image/png;base64,AAAA", "not a picture"),
            (io.BytesIO(b"text"), "not a picture"),
        ],
    )
    def test_a_bad_picture_is_a_value_error_as_in_deepface(self, picture: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            DeepFace.analyze(picture)  # type: ignore[arg-type]

    @pytest.mark.parametrize("picture", [np.zeros((9, 9, 3)), 7, None])
    def test_no_picture_at_all_is_a_type_error(self, picture: object) -> None:
        with pytest.raises(TypeError, match="expected"):
            DeepFace.analyze(picture)  # type: ignore[arg-type]


class TestFer:
    def test_the_form_is_fers(self) -> None:
        (face,) = FER(mtcnn=False).detect_emotions(cv2.imread(str(grace_hopper_path())))
        (recorded,) = PEERS["fer"]["detect_emotions"]
        assert list(face) == [*recorded, *OWN]
        assert list(face["emotions"]) == list(recorded["emotions"])
        assert near(face["box"], recorded["box"])
        assert sum(face["emotions"].values()) == pytest.approx(1, abs=1e-5)
        assert json.loads(json.dumps(face)) == face

    def test_top_emotion(self) -> None:
        fer = FER()
        (face,) = fer.detect_emotions(grace_hopper_path())
        name, score = fer.top_emotion(grace_hopper_path())
        assert name == PEERS["fer"]["top_emotion"][0]
        assert score == face["emotions"][name] == max(face["emotions"].values())

    def test_without_a_face(self) -> None:
        recorded = PEERS["fer"]["without_a_face"]
        assert FER().detect_emotions(BLACK) == recorded["detect_emotions"]
        assert list(FER().top_emotion(BLACK)) == recorded["top_emotion"]

    def test_mtcnn_means_miens_detector(self) -> None:
        (face,) = FER(mtcnn=True).detect_emotions(grace_hopper_path())
        same = FaceDetector("mien", min_size=50)  # fer's own default
        (expected,) = EmotionRecognizer(detector=same).recognize(grace_hopper_path())
        assert face["emotions"] == dict(expected.probabilities)

    def test_small_faces_are_left_out(self) -> None:
        small = cv2.resize(grace_hopper()[..., ::-1], (64, 75), interpolation=cv2.INTER_AREA)
        assert len(FER(min_face_size=20).detect_emotions(small)) == 1
        assert FER().detect_emotions(small) == []

    def test_given_rectangles_are_read_where_they_lie(self) -> None:
        (face,) = FER().detect_emotions(grace_hopper_path(), [[155, 105, 222, 222]])
        assert face["box"] == [155, 105, 222, 222]
        assert face["emotions"]["neutral"] == max(face["emotions"].values())
        with pytest.raises(ValueError, match="x1 < x2"):
            FER().detect_emotions(grace_hopper_path(), [[155, 105, 0, 222]])
        with pytest.raises(ValueError, match="outside"):
            FER().detect_emotions(grace_hopper_path(), [[900, 900, 50, 50]])
