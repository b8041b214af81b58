"""`EmotionRecognizer`: one verb for a picture, many, files and clips; the head that answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pictures import astronaut, grace_hopper, grace_hopper_path

from mien import EmotionClassifier, EmotionRecognizer, FaceDetector, FrameResult, explain
from mien.errors import ImageError, ModelError
from mien.explanation.explain import explain_faces
from mien.images.read import save_image
from mien.labels import FERPLUS_LABELS, LABELS, Emotion
from mien.recognition import recognize_and_keep
from mien.results import Face
from mien.server.batching import BatchingClassifier

BLANK = np.full((80, 100, 3), 127, np.uint8)


class Counting(FaceDetector):
    """A detector that notes how many pictures it searched at once, and how many faces it cut out."""

    def __init__(self) -> None:
        super().__init__()
        self.searched: list[int] = []
        self.cut = 0

    def detect_batch(self, images: Sequence[Any], scales: Sequence[float] | None = None) -> list[list[Face]]:
        self.searched.append(len(images))
        return super().detect_batch(images, scales)

    def crop(self, *args: Any, **options: Any) -> Any:
        self.cut += 1
        return super().crop(*args, **options)


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer()


class TestVerb:
    def test_a_result_is_a_sequence_of_faces_that_knows_its_picture(
        self, recognizer: EmotionRecognizer
    ) -> None:
        result = recognizer.recognize(grace_hopper())
        assert isinstance(result, FrameResult) and isinstance(result, Sequence)
        assert (len(result), list(result), result[0]) == (1, list(result.faces), result.faces[0])
        assert result[-1] in result and result[:1] == result.faces
        assert (result.source, result.width, result.height, result.filtered) == ("", 512, 600, 0)
        assert result.labels == recognizer.labels

    def test_a_picture_without_a_face_is_empty(self, recognizer: EmotionRecognizer) -> None:
        result = recognizer.recognize(BLANK)
        assert not result and len(result) == 0
        assert (result.width, result.height, len(result.rows())) == (100, 80, 1)

    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_path_is_the_name_unless_another_is_given(
        self, recognizer: EmotionRecognizer, kind: Callable[[object], str | Path]
    ) -> None:
        path = kind(grace_hopper_path())
        assert recognizer.recognize(path).source == str(path)
        assert recognizer.recognize(path, source="a name").source == "a name"

    @pytest.mark.slow
    def test_all_ways_give_the_same(self, recognizer: EmotionRecognizer, tmp_path: Path) -> None:
        (tmp_path / "text.jpg").write_text("not a picture")
        one = recognizer.recognize(grace_hopper_path())
        (file, broken) = recognizer.recognize_files([grace_hopper_path(), tmp_path])
        assert file == one
        assert broken.error is not None and "text.jpg" in broken.error and not broken
        batch = list(recognizer.recognize_batch([grace_hopper_path(), BLANK, astronaut()] * 30))
        assert [len(result) for result in batch] == [1, 0, 1] * 30
        assert (batch[0].source, batch[0].width, batch[2].source) == (one.source, one.width, "")
        for result in batch[::3]:
            assert result[0].face == one[0].face and result[0].quality == one[0].quality
            assert result[0].probabilities == pytest.approx(one[0].probabilities, abs=1e-5)

    def test_a_batch_stops_at_what_is_no_picture(self, recognizer: EmotionRecognizer) -> None:
        results = recognizer.recognize_batch([BLANK] * 64 + ["missing.jpg"])
        assert len([next(results) for _ in range(64)]) == 64
        with pytest.raises(ImageError, match=r"missing\.jpg"):
            next(results)

    def test_arguments_are_named_as_the_options_are(self) -> None:
        names = list(inspect.signature(EmotionRecognizer).parameters)
        assert names == [
            "model", "head", "detector", "detector_size", "min_size", "turns", "min_quality", "min_confidence",
        ]  # fmt: skip
        assert EmotionRecognizer(min_size=300).recognize(grace_hopper()).faces == ()
        assert EmotionRecognizer(detector_size=200).recognize(grace_hopper()) != EmotionRecognizer(
            detector_size=640
        ).recognize(grace_hopper())

    @pytest.mark.parametrize("given", [{"detector_size": 320}, {"min_size": 1}, {"turns": True}])
    def test_a_detector_has_its_own_settings(self, given: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=rf"{next(iter(given))}=.* together with a FaceDetector"):
            EmotionRecognizer(detector=FaceDetector("haar"), **given)

    def test_a_classifier_has_its_own_head(self) -> None:
        with pytest.raises(ValueError, match="head='ferplus' together with an EmotionClassifier"):
            EmotionRecognizer(EmotionClassifier(), head="ferplus")


class TestHead:
    def test_the_heads_answers_and_labels_are_the_classifiers(self) -> None:
        crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
        heads = EmotionClassifier().predict_heads(crops)
        for asked, output in (
            ("auto", "expression"),
            ("labels", "fer2013"),
            ("ferplus", "ferplus"),
            ("expression", "expression"),
            ("blend", "expression"),  # its former name
        ):
            classifier = EmotionClassifier(head=asked)
            assert (classifier.head, len(classifier.labels)) == (output, heads[output].shape[1])
            assert np.array_equal(classifier.predict_proba(crops), heads[output])
            assert np.array_equal(classifier.predict_proba(crops, head="ferplus"), heads["ferplus"])
            assert [list(one.probabilities) for one in classifier.classify(crops)] == [
                list(classifier.labels)
            ] * 3

    def test_labels_of_every_head_are_emotions_where_they_are_one_of_the_seven(self) -> None:
        labels = EmotionClassifier(head="ferplus").labels
        assert labels == FERPLUS_LABELS
        assert [type(label) for label in labels] == [Emotion] * 7 + [str]

    def test_faces_have_the_heads_labels(self) -> None:
        recognizer = EmotionRecognizer(head="ferplus")
        (face,) = recognizer.recognize(grace_hopper())
        assert recognizer.labels == tuple(face.probabilities) == FERPLUS_LABELS

    def test_a_model_of_other_labels(self, write_model: Callable[..., Path]) -> None:
        labels = ("bored", "engaged")
        folder = write_model(outputs={"expression": labels, "labels": labels})
        assert EmotionClassifier(folder, head="labels").head == "labels"
        with pytest.raises(ModelError, match=r"no head 'fer2013'; expected one of auto, labels, expression$"):
            EmotionClassifier(folder, head="fer2013")

    def test_a_model_of_an_earlier_version_answers_by_its_blend(
        self, write_model: Callable[..., Path]
    ) -> None:
        folder = write_model(outputs={"blend": LABELS, "fer2013": LABELS})
        assert [EmotionClassifier(folder, head=head).head for head in ("auto", "expression", "blend")] == [
            "blend"
        ] * 3
        crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
        found = EmotionClassifier(folder).predict_heads(crops)
        assert np.array_equal(EmotionClassifier(folder).predict_proba(crops), found["blend"])
        with pytest.raises(
            ModelError, match=r"no head 'ferplus'; expected one of auto, labels, blend, fer2013$"
        ):
            EmotionClassifier(folder, head="ferplus")

    def test_a_model_without_such_a_head(self, write_model: Callable[..., Path]) -> None:
        with pytest.raises(ModelError, match=r"no head 'labels'; expected one of auto, expression$"):
            EmotionClassifier(write_model(outputs={"expression": LABELS}), head="labels")

    def test_faces_of_requests_meet_in_the_head_that_is_served(self) -> None:
        classifier = BatchingClassifier("mien-s-3", head="ferplus", seconds=0.0, coming=lambda: 1)
        crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
        own = EmotionClassifier(head="ferplus").predict_proba(crops)
        assert classifier.predict_proba(crops) == pytest.approx(own, abs=1e-5)


class TestSmallPicturesTogether:
    @staticmethod
    def small(n: int) -> list[np.ndarray]:
        """Portraits of 48 pixels, each moved a little against the others."""
        return [cv2.resize(grace_hopper()[i : i + 300, 100:400], (48, 48)) for i in range(0, 4 * n, 4)]

    def test_are_searched_at_once_and_large_ones_alone(self) -> None:
        detector = Counting()
        recognizer = EmotionRecognizer(detector=detector)
        pictures = [*self.small(10), grace_hopper(), *self.small(3)]
        batch = list(recognizer.recognize_batch(pictures))
        assert detector.searched == [8, 2, 1, 3]
        assert sum(map(len, batch)) >= 10
        for result, picture in zip(batch, pictures, strict=True):
            alone = recognizer.recognize(picture)
            assert [face.emotion for face in result] == [face.emotion for face in alone]
            for ours, theirs in zip(result, alone, strict=True):
                assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
                assert ours.box.iou(theirs.box) > 0.999

    def test_files_keep_their_order_among_broken_ones(self, tmp_path: Path) -> None:
        for number, picture in enumerate(self.small(4)):
            save_image(picture, tmp_path / f"{2 * number}.png")
        (tmp_path / "1.png").write_text("not a picture")
        save_image(grace_hopper(), tmp_path / "3.png")
        detector = Counting()
        results = list(EmotionRecognizer(detector=detector).recognize_files([tmp_path]))
        assert [Path(one.source).name for one in results] == [
            "0.png",
            "1.png",
            "2.png",
            "3.png",
            "4.png",
            "6.png",
        ]
        assert [one.error is not None for one in results] == [False, True, *[False] * 4]
        assert [one.width for one in results] == [48, None, 48, 512, 48, 48]
        assert detector.searched == [2, 1, 2]


class TestCropsAreHandedOn:
    def test_explaining_cuts_every_face_once(self) -> None:
        detector = Counting()
        recognizer = EmotionRecognizer(detector=detector)
        picture = np.concatenate([grace_hopper()[:512], astronaut()], axis=1)
        reasons = explain(picture, recognizer=recognizer)
        assert len(reasons) == detector.cut == 2
        for one in reasons:
            assert one.face is not None and one.prediction == one.face.prediction
            np.testing.assert_array_equal(one.crop, FaceDetector().crop(picture, one.face.face))

    def test_those_of_the_faces_that_are_good_enough(self, tmp_path: Path) -> None:
        picture = np.concatenate([grace_hopper()[:512] // 6, astronaut()], axis=1)
        save_image(picture, tmp_path / "two.png")
        every = EmotionRecognizer().recognize(picture)
        good = max(every, key=lambda face: face.quality.score)
        strict = EmotionRecognizer(min_quality=good.quality.score)
        (kept,) = recognize_and_keep(strict, [tmp_path])
        assert (kept.result.filtered, len(kept.crops)) == (1, 1)
        np.testing.assert_array_equal(kept.picture, picture)
        (one,) = explain_faces(strict, kept)
        assert one.face is not None and one.face.face == good.face
        np.testing.assert_array_equal(one.crop, FaceDetector().crop(picture, good.face))
