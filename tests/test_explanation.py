"""Explanations: the heat lies where the answer comes from, and hiding it takes the answer away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, grace_hopper, grace_hopper_path
from PIL import Image
from typed import run

import mien
from mien import EmotionClassifier, EmotionRecognizer, Explanation, FaceDetector, explain
from mien.explanation.chart import _explanation_figure, explained_picture
from mien.explanation.explain import explain_crop, explain_faces
from mien.explanation.occlusion import REGION, elsewhere, heat_map, hide, marked, patches, soft
from mien.faces.align import Square, tilt
from mien.images.crop import crop_face
from mien.labels import LABELS
from mien.output.palette import COLORS
from mien.recognition import keep_crops
from mien.results import Face


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer(detector="haar")


@pytest.fixture(scope="module")
def explanations(recognizer: EmotionRecognizer) -> list[Explanation]:
    crops = [crop_face(grace_hopper(), GRACE_HOPPER_FACE), crop_face(astronaut(), ASTRONAUT_FACE)]
    return [explain_crop(recognizer.classifier, crop) for crop in crops]


class TestMasks:
    @pytest.mark.parametrize("size", [8, 48, 64])
    def test_patches_hide_every_pixel_and_never_much(self, size: int) -> None:
        masks = patches(size)
        assert masks.min() >= 0 and masks.max() <= 1
        assert masks.sum(axis=0).min() > 0.5
        assert masks.mean(axis=(1, 2)).max() < 0.08

    def test_hiding_keeps_what_is_not_hidden(self) -> None:
        crop = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
        region = np.zeros((48, 48), bool)
        region[10:20, 10:20] = True
        hidden = hide(crop, soft(region)[None])[0]
        assert np.array_equal(hidden[30:], crop[30:])
        assert hidden[12:18, 12:18].std() < 0.2 * crop[12:18, 12:18].std()

    def test_the_marked_region_is_the_hottest_tenth(self) -> None:
        heat = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32)
        region = marked(heat)
        assert region.sum() == round(REGION * 48 * 48)
        assert heat[region].min() >= heat[~region].max()
        with pytest.raises(ValueError, match="share 1"):
            marked(heat, 1)

    def test_elsewhere_is_the_same_area_at_other_places(self) -> None:
        region = np.zeros((48, 48), bool)
        region[:6, 3:20] = True
        moved = elsewhere(region)
        assert len(moved) == 15
        assert (moved.sum(axis=(1, 2)) == region.sum()).all()
        assert len({one.tobytes() for one in (region, *moved)}) == 16


class TestHeat:
    def test_it_lies_where_a_model_looks(self, write_model: Callable[..., Path]) -> None:
        """The model sees a corner only: whatever lies outside of it cannot count."""
        classifier = EmotionClassifier(write_model(region=(4, 28, 16, 44)))
        crop = np.full((48, 48), 120, np.uint8)
        crop[4:16, 28:44] = 20
        heat = heat_map(classifier, crop, classifier.predict_proba([crop])[0].argmax())
        assert heat.dtype == np.float32 and heat.shape == (48, 48)
        inside = marked(heat, 0.05)[2:18, 26:46].sum()
        assert inside == round(0.05 * 48 * 48)
        assert np.abs(heat[24:]).max() < 1e-6 < heat.max()

    def test_it_is_what_hiding_takes(self, explanations: list[Explanation]) -> None:
        for one in explanations:
            assert -1 <= one.heat.min() <= one.heat.max() <= 1

    def test_the_marked_region_takes_more_than_as_much_elsewhere(
        self, explanations: list[Explanation]
    ) -> None:
        for one in explanations:
            assert one.hidden_probability < one.elsewhere_probability
        falls = [one.probability - one.hidden_probability for one in explanations]
        others = [one.probability - one.elsewhere_probability for one in explanations]
        assert np.mean(falls) > 2 * np.mean(others) and np.mean(falls) > 0.05

    @pytest.mark.slow
    @pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="needs the data folder that MIEN_DATA names")
    def test_on_real_faces_it_takes_far_more(self, recognizer: EmotionRecognizer) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(Path(os.environ["MIEN_DATA"], "fer2013", "public_test.parquet"))
        encoded = (row["bytes"] for row in table["image"].slice(0, 24).to_pylist())
        crops = [cv2.imdecode(np.frombuffer(e, np.uint8), cv2.IMREAD_GRAYSCALE) for e in encoded]
        reasons = [explain_crop(recognizer.classifier, np.asarray(crop, np.uint8)) for crop in crops]
        here = np.mean([one.probability - one.hidden_probability for one in reasons])
        others = np.mean([one.probability - one.elsewhere_probability for one in reasons])
        assert here > 0.2 and here > 4 * others


class TestExplain:
    def test_every_face_of_a_picture(self, recognizer: EmotionRecognizer) -> None:
        (one,) = explain(grace_hopper_path(), recognizer=recognizer)
        (face,) = recognizer.recognize(grace_hopper_path())
        assert one.face == face
        assert (one.emotion, one.probability) == (face.emotion, pytest.approx(face.confidence, abs=1e-6))
        assert one.crop.shape == one.heat.shape == one.region.shape == one.hidden.shape == (48, 48)

    def test_no_face_is_an_empty_list(self, recognizer: EmotionRecognizer) -> None:
        assert explain(np.full((80, 80, 3), 127, np.uint8), recognizer=recognizer) == []

    def test_another_expression_than_the_answer(self, recognizer: EmotionRecognizer) -> None:
        crop = crop_face(grace_hopper(), GRACE_HOPPER_FACE)
        answer = explain_crop(recognizer.classifier, crop)
        other = explain_crop(recognizer.classifier, crop, emotion="sadness")
        assert (answer.emotion, other.emotion) == (answer.prediction.emotion, "sad") != ("sad", "sad")
        assert other.probability == other.prediction.probabilities["sad"]
        assert not np.array_equal(answer.region, other.region)

    def test_an_unknown_expression_is_named(self, recognizer: EmotionRecognizer) -> None:
        empty = np.zeros((60, 60, 3), np.uint8)
        with pytest.raises(ValueError, match="unknown expression 'joyful': expected one of angry, disgust"):
            explain(empty, recognizer=recognizer, emotion="joyful")

    def test_labels_of_another_model(self, write_model: Callable[..., Path]) -> None:
        classifier = EmotionClassifier(write_model(outputs={"expression": ("bored", "engaged")}, size=32))
        one = explain_crop(classifier, np.full((50, 40, 3), 20, np.uint8), emotion="bored")
        assert one.emotion == "bored" and one.crop.shape == (32, 32)
        with pytest.raises(ValueError, match="'happy': expected one of bored, engaged"):
            explain_crop(classifier, np.full((50, 40, 3), 20, np.uint8), emotion="happy")

    def test_as_json(self, recognizer: EmotionRecognizer) -> None:
        values = explain(grace_hopper(), recognizer=recognizer)[0].to_dict()
        assert json.loads(json.dumps(values)) == values
        assert values["explained"] == values["emotion"]
        assert values["probability"] == pytest.approx(values["confidence"], abs=1e-6)
        assert {
            "x1",
            "quality_score",
            "quality_issues",
            "hidden_probability",
            "elsewhere_probability",
            "hidden_area",
        } <= set(values)


class TestSquare:
    @pytest.mark.parametrize("angle", [0.0, 25.0, -40.0])
    def test_pixels_of_a_crop_are_found_in_the_picture(self, angle: float) -> None:
        """A dot that is drawn in the picture is in the crop where the square says."""
        detector = FaceDetector("haar")
        picture = np.zeros((300, 300, 3), np.uint8)
        x, y = 140.0, 160.0
        turn = np.deg2rad(angle)
        across = 20 * np.array([np.cos(turn), np.sin(turn)])
        eyes = (x - across[0], y - across[1]), (x + across[0], y + across[1])
        box = mien.Box(x - 48, y - 60, x + 48, y + 60)
        face = Face(box, 1.0, (*eyes, (x, y), (x, y), (x, y)))
        assert tilt(face) == pytest.approx(angle)
        cv2.circle(picture, (165, 145), 5, (255, 255, 255), -1)
        crop = detector.crop(picture, face).astype(float)
        rows, columns = np.mgrid[0:48, 0:48] + 0.5
        spot = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
        square = detector.square(face)
        assert square.to_picture(48) @ [*spot, 1] == pytest.approx([165.5, 145.5], abs=1.2)
        assert square.to_picture(48) @ [24, 24, 1] == pytest.approx([x, y])


class TestPictures:
    def test_a_chart_says_what_hiding_does(self, explanations: list[Explanation]) -> None:
        one = explanations[0]
        figure = _explanation_figure(one, "a title")
        saw, looked, without, bar = figure.axes
        assert saw.get_title() == f"{one.emotion} {100 * one.probability:.0f} %".replace(
            " ", "? " if one.prediction.uncertain else " ", 1
        )
        assert without.get_title() == f"without the outlined region: {100 * one.hidden_probability:.0f} %"
        assert f"{100 * one.elsewhere_probability:.0f} %" in without.texts[0].get_text()
        assert bar.get_ylabel() == "points of probability lost when hidden"
        assert bar.get_ylim()[1] == pytest.approx(100 * max(one.heat.max(), 0.02))
        assert looked.images[0].get_array().shape == (384, 384, 3)
        assert_nothing_is_cut_off(figure)

    def test_the_face_shows_through_and_where_nothing_counts_it_is_as_it_was(
        self, explanations: list[Explanation]
    ) -> None:
        one = explanations[0]
        image = _explanation_figure(one, None).axes[1].images[0].get_array()
        cold = cv2.resize(one.heat, (384, 384), interpolation=cv2.INTER_CUBIC) <= 0
        face = cv2.resize(one.crop, (384, 384), interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(image[cold], np.repeat(face[cold][:, None], 3, axis=1))
        hot = np.asarray(image[~cold], float)
        assert np.ptp(hot, axis=1).max() > 60  # colour
        assert abs(np.corrcoef(hot.mean(axis=1), face[~cold])[0, 1]) > 0.5

    def test_a_map_without_anything_in_it_says_so(self, write_model: Callable[..., Path]) -> None:
        classifier = EmotionClassifier(write_model())
        one = explain_crop(classifier, np.full((48, 48), 40, np.uint8))  # blurred, it is the same
        assert one.heat.max() == pytest.approx(0, abs=1e-6)
        figure = _explanation_figure(one, None)
        assert figure.axes[1].get_title() == "no single place decides"
        assert np.ptp(np.asarray(figure.axes[1].images[0].get_array()), axis=2).max() <= 1

    def test_heat_over_a_picture_lies_in_its_faces(self, recognizer: EmotionRecognizer) -> None:
        picture = np.concatenate([grace_hopper()[:512], astronaut()], axis=1)
        reasons = explain_faces(recognizer, keep_crops(recognizer, picture))
        assert len(reasons) == 2
        drawn = explained_picture(picture, reasons)
        assert drawn.shape == picture.shape and drawn.dtype == np.uint8
        colour = np.ptp(drawn.astype(int), axis=2) > 2
        for one in reasons:
            x, y = map(int, one.face.box.center)
            half = int(0.4 * one.face.box.width)
            assert colour[y - half : y + half, x - half : x + half].any()
        assert not colour[400:, :400].any()

    def test_the_label_is_the_expression_that_the_heat_is_of(self, recognizer: EmotionRecognizer) -> None:
        picture = grace_hopper()
        faces = recognizer.recognize(picture)
        (one,) = explain_faces(recognizer, keep_crops(recognizer, picture), emotion="surprise")
        drawn = explained_picture(picture, [one])
        shown = (drawn == np.array(COLORS["surprise"])).all(axis=2).sum()
        assert shown > 500 > (drawn == np.array(COLORS[faces[0].emotion])).all(axis=2).sum()

    def test_crops_of_no_picture_are_left_out(self, explanations: list[Explanation]) -> None:
        assert np.ptp(explained_picture(astronaut(), explanations), axis=2).max() == 0


def assert_nothing_is_cut_off(figure: Figure) -> None:
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@pytest.mark.slow
class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "pictures"
        folder.mkdir()
        both: NDArray[np.uint8] = np.concatenate([grace_hopper()[:512], astronaut()], axis=1)
        Image.fromarray(both).save(folder / "two.png")
        Image.fromarray(np.full((80, 100, 3), 127, np.uint8)).save(folder / "empty.png")
        (folder / "text.jpg").write_text("not a picture")
        return folder

    def test_a_folder(self, folder: Path, tmp_path: Path) -> None:
        done = run("explain", folder, "--output", tmp_path / "a" / "why", "--detector", "haar")
        assert done.returncode == 1
        assert "text.jpg: not a picture" in done.stderr
        assert f"{folder / 'empty.png'}: no face" in done.stdout
        names = {path.name for path in (tmp_path / "a" / "why").iterdir()}
        charts = {"two-face1-why.png", "two-face2-why.png"}
        assert names == charts | {"two-why.png", "explanations.json"}
        items = json.loads((tmp_path / "a" / "why" / "explanations.json").read_text())
        assert [Path(item["source"]).name for item in items] == ["empty.png", "text.jpg", "two.png"]
        assert items[1]["error"] and items[0]["faces"] == []
        assert {face["chart"] for face in items[2]["faces"]} == charts
        for face in items[2]["faces"]:
            assert sum(face[label] for label in LABELS) == pytest.approx(1, abs=1e-5)
            assert f"{face['explained']} {100 * face['probability']:.0f} %" in done.stdout

    def test_an_unknown_expression_is_wrong_usage(self, tmp_path: Path) -> None:
        done = run("explain", grace_hopper_path(), "--emotion", "joyful", "--output", tmp_path / "why")
        assert done.returncode == 2
        assert "joyful" in done.stderr and not (tmp_path / "why").exists()


def test_a_square_that_is_not_turned_is_scaled_and_moved() -> None:
    assert Square((50, 60), 96, 0).to_picture(48) == pytest.approx(np.array([[2, 0, 2], [0, 2, 12]]))
