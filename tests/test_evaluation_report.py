"""The folders that `mien evaluate --output` writes: pages with what they must have, pictures, scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_evaluation import ANSWERS, TARGETS, dataset, split
from test_report import Page, assert_self_contained

import mien
from mien.data.dataset import Dataset
from mien.evaluation.comparison_report import write_comparison, write_report
from mien.evaluation.predictions import predict_split
from mien.evaluation.provenance import familiarity
from mien.evaluation.report import write_evaluation
from mien.evaluation.scores import score
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.classifier import EmotionClassifier

WriteModel = Callable[..., Path]


def voted() -> Dataset:
    """The seven faces of test_evaluation.py with votes, two of which have a copy in train."""
    votes = np.zeros((7, 10), np.uint8)
    votes[:, FERPLUS_LABELS.index("angry")] = 7
    votes[:, FERPLUS_LABELS.index("happy")] = 3
    return dataset(train=split([3, 1], [3, 1]), test=split(TARGETS, ANSWERS, votes))


def pngs(folder: Path) -> set[str]:
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG" and min(picture.size) > 200
    return {path.stem for path in folder.glob("*.png")}


class TestOneModel:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, write_shared_model: WriteModel) -> EmotionClassifier:
        return EmotionClassifier(write_shared_model())

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, model: EmotionClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
        found = predict_split(model, voted(), split="test", views=True)
        out = tmp_path_factory.mktemp("reports") / "deep" / "report"
        page = write_evaluation(found, out, command="mien evaluate faces --output 'a b'")
        assert page == out / "report.html"
        return page.parent

    def test_the_page_is_self_contained(self, folder: Path) -> None:
        assert_self_contained(folder / "report.html")

    def test_the_charts_are_files_too(self, folder: Path) -> None:
        assert pngs(folder) == {
            "per_class",
            "confusion_matrix",
            "reliability",
            "risk_coverage",
            "mistakes",
            "confusions",
        }

    def test_the_scores_are_those_of_evaluate(self, folder: Path, model: EmotionClassifier) -> None:
        expected = mien.evaluate(model, voted(), split="test", views=True).to_dict()
        assert json.loads((folder / "scores.json").read_text()) == json.loads(json.dumps(expected))

    def test_the_page_has_the_scores(self, folder: Path) -> None:
        text = Page(folder / "report.html").text
        for words in (
            "71.4 %",  # accuracy, 5 of 7
            "single view", "flip", "ten-crop",
            "Train/test leakage", "80.0 %", "50.0 %",  # 4 of 5 without, 1 of 2 among the copies
            "FER+ votes", "vote shares", "predictions equal to the majority",
            "AURC", "coverage", "95 % interval", "balanced accuracy", "macro F1", "calibration error",
        ):  # fmt: skip
            assert words in text, words

    def test_the_page_says_how_it_was_measured(self, folder: Path, model: EmotionClassifier) -> None:
        text = Page(folder / "report.html").text
        for words in (
            model.config.sha256, voted().fingerprint(), "brightness", "faces", "Split test", "head expression",
            "7 images",
            "mien evaluate faces --output 'a b'", f"mien {mien.__version__}", "UTC", "logical processors",
        ):  # fmt: skip
            assert words in text, words

    def test_the_mistakes_are_shown_with_what_was_said(self, folder: Path) -> None:
        page = Page(folder / "report.html")
        captions = [image["alt"] for image in page.images() if not image["class"]]
        assert len(captions) == 3, "the one whose label is the majority is among the confusions, too"
        assert all("FER+: angry 7 of 10" in str(caption) for caption in captions)
        places = {str(caption).split("\n")[-1]: str(caption) for caption in captions}
        assert set(places) == {"face:3", "face:5"}
        assert places["face:3"].startswith("label: angry\npredicted: happy ")
        assert places["face:5"].startswith("label: happy\npredicted: angry ")


def test_mistakes_are_sorted_by_confidence_and_few(write_model: WriteModel) -> None:
    model = EmotionClassifier(write_model(sharpness=0.005))
    images = np.repeat(np.arange(60, 70, dtype=np.uint8), 48 * 48).reshape(-1, 48, 48)
    faces = split([0] * 9 + [3], [0] * 10)
    found = predict_split(model, dataset(test=type(faces)(images, faces.targets, faces.names)))
    assert list(found.mistakes(4)) == [0, 1, 2, 3]
    assert len(found.mistakes(100)) == 9


def test_confusions_are_sorted_by_number_then_by_confidence(write_model: WriteModel) -> None:
    model = EmotionClassifier(write_model(sharpness=0.005))
    images = np.repeat(np.array([10, 12, 250, 251, 252, 30], np.uint8), 48 * 48).reshape(-1, 48, 48)
    faces = split([0] * 6, [0] * 6)
    found = predict_split(model, dataset(test=type(faces)(images, faces.targets, faces.names)))
    predicted = found.predicted.tolist()
    assert predicted[2] == predicted[3] == predicted[4] != 0
    label, answer, places = found.confusions(1)[0]
    assert (label, answer) == (0, predicted[2])
    assert sorted(places) == [2, 3, 4]
    assert (np.diff(found.confidences[places]) <= 0).all()
    assert sum(len(places) for *_, places in found.confusions(100)) == int((~found.correct).sum())


def test_the_confusions_of_an_earlier_report_go(write_model: WriteModel, tmp_path: Path) -> None:
    model = EmotionClassifier(write_model())
    write_evaluation(predict_split(model, dataset()), tmp_path)
    assert "confusions" in pngs(tmp_path)
    votes = np.zeros((7, 10), np.uint8)
    votes[np.arange(7), [FERPLUS_LABELS.index(LABELS[answer]) for answer in ANSWERS]] = 10
    write_evaluation(predict_split(model, dataset(test=split(TARGETS, ANSWERS, votes))), tmp_path)
    assert "confusions" not in pngs(tmp_path) and "mistakes" in pngs(tmp_path)


def test_a_model_without_mistakes_other_labels_and_no_votes(write_model: WriteModel, tmp_path: Path) -> None:
    labels = ("<b>bored</b>", "engaged & awake", "$_$")
    model = EmotionClassifier(write_model(outputs={"expression": labels}))
    data = dataset("a study", labels, test=split([0, 1, 2], [0, 1, 2]))
    (tmp_path / "out").mkdir()
    for name in ("mistakes.png", "confusions.png"):
        (tmp_path / "out" / name).write_bytes(b"of an earlier report")
    page = write_evaluation(predict_split(model, data), tmp_path / "out")
    assert_self_contained(page)
    text = Page(page).text
    assert "every prediction is correct" in text
    assert all(label in text for label in labels)
    assert "not recorded" in text
    for words in ("FER+", "copies", "flip"):
        assert words not in text
    assert not {"mistakes", "confusions"} & pngs(page.parent)


@pytest.mark.slow
class TestTwoModels:
    @pytest.fixture(scope="class")
    @classmethod
    def page(cls, write_shared_model: WriteModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
        faces = split([0] * 6, [0] * 6)
        images = faces.images.copy()
        images[3:, :24], images[:1, 24:] = (
            60,
            20,
        )  # the upper half is wrong on three faces, the lower one on one
        data = dataset(test=type(faces)(images, faces.targets, faces.names))
        halves = {"upper": (0, 0, 24, 48), "lower": (24, 0, 48, 48)}
        models = [
            EmotionClassifier(write_shared_model(name, region=region)) for name, region in halves.items()
        ]
        first, second = (predict_split(model, data, views=True) for model in models)
        return write_report(
            [first, second],
            tmp_path_factory.mktemp("reports") / "both",
            command="mien evaluate faces --compare upper lower",
        )

    def test_the_page(self, page: Path) -> None:
        assert_self_contained(page)
        text = Page(page).text
        for words in (
            "A: upper, B: lower", "50.0 %", "83.3 %", "A minus B: -33.33 points", "only A right on 1, only B on 3",
            "exact binomial", "p = 0.62", "flip", "ten-crop", "mien evaluate faces --compare upper lower",
        ):  # fmt: skip
            assert words in text, words
        scores = json.loads((page.parent / "scores.json").read_text())
        for model in ("first", "second"):
            assert scores[model]["sha256"] in text
        assert scores["p_value"] == pytest.approx(0.625)

    def test_the_faces_on_which_they_differ(self, page: Path) -> None:
        captions = [str(image["alt"]) for image in Page(page).images() if not image["class"]]
        assert captions[0].endswith("\nface:0")
        assert {caption.split("\n")[-1] for caption in captions[1:]} == {"face:3", "face:4", "face:5"}
        assert captions[0].startswith("label: angry\nA: angry ")
        assert "B: disgust" in captions[0]

    def test_the_pictures(self, page: Path) -> None:
        each = {f"{name}_{letter}" for name in ("confusion_matrix", "reliability") for letter in "ab"}
        assert pngs(page.parent) == {"per_class", "risk_coverage", *each}

    def test_a_model_against_itself(self, write_model: WriteModel, tmp_path: Path) -> None:
        found = predict_split(EmotionClassifier(write_model()), dataset())
        page = write_comparison(found, found, tmp_path / "out")
        assert "Nowhere." in Page(page).text
        assert_self_contained(page)


@pytest.mark.parametrize("number", [0, 3])
def test_a_report_of_neither_one_nor_two(write_model: WriteModel, tmp_path: Path, number: int) -> None:
    found = predict_split(EmotionClassifier(write_model()), dataset())
    with pytest.raises(ValueError, match="expected one or two"):
        write_report([found] * number, tmp_path)


class TestFamiliarity:
    """Whether the model knew the images."""

    DATA = dataset("study", train=split([0], [0]), validation=split([1], [1]), test=split(TARGETS, ANSWERS))

    def said(self, write_model: WriteModel, trained_on: dict, part: str, data: Dataset = DATA) -> str:
        return familiarity(predict_split(EmotionClassifier(write_model(data=trained_on)), data, split=part))

    def known(self) -> dict[str, str]:
        return {"name": "study", "sha256": self.DATA.fingerprint()}

    def test_the_split_it_was_trained_on(self, write_model: WriteModel) -> None:
        assert "was trained on this split" in self.said(write_model, self.known(), "train")

    def test_the_split_it_was_calibrated_on(self, write_model: WriteModel) -> None:
        text = self.said(write_model, self.known(), "validation")
        assert "temperatures" in text and "fitted on this split" in text

    def test_a_split_that_took_no_part(self, write_model: WriteModel) -> None:
        assert "took no part in training" in self.said(write_model, self.known(), "test")

    def test_a_part_of_the_same_data(self, write_model: WriteModel) -> None:
        part = dataset("study", validation=self.DATA.splits["validation"])
        text = self.said(write_model, self.known(), "validation", part)
        assert "not known" in text and "a part of the same data" in text

    def test_other_data_and_no_record(self, write_model: WriteModel) -> None:
        text = self.said(write_model, {"name": "other", "sha256": "0" * 64}, "test")
        assert "not known" in text and "named other" in text and "part of the same" not in text

    def test_no_record(self, write_model: WriteModel) -> None:
        assert "does not name its training data" in self.said(write_model, {}, "test")


def test_scoring_is_the_same_with_and_without_a_report(write_model: WriteModel, tmp_path: Path) -> None:
    found = predict_split(EmotionClassifier(write_model()), voted(), split="test")
    before = score(found)
    write_evaluation(found, tmp_path / "out")
    assert score(found) == before
