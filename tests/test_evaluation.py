"""`evaluate`: the ONNX model that users get, scored on splits whose right scores are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mien.data.dataset import Dataset, Split
from mien.errors import DatasetError, ModelError
from mien.evaluation.predictions import Predictions, predict_heads, predict_split
from mien.evaluation.result import EvaluationReport
from mien.evaluation.scores import evaluate, score
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.classifier import EmotionClassifier

WriteModel = Callable[..., Path]
STEP = 20  # the brightness model's: a crop of the grey 20 k is label k

# Of four angry faces three are found, of two happy ones one, and the surprised one is.
TARGETS = [0, 0, 0, 0, 3, 3, 5]
ANSWERS = [0, 0, 0, 3, 3, 0, 5]


def split(targets: list[int], answers: list[int], votes: np.ndarray | None = None) -> Split:
    """Faces for which the brightness model gives these answers."""
    images = np.repeat(STEP * np.array(answers, np.uint8), 48 * 48).reshape(-1, 48, 48)
    return Split(images, np.array(targets, np.int64), tuple(f"face:{i}" for i in range(len(targets))), votes)


def dataset(name: str = "faces", labels: tuple[str, ...] = LABELS, **splits: Split) -> Dataset:
    return Dataset(name, labels, splits or {"test": split(TARGETS, ANSWERS)})


@pytest.fixture
def model(write_model: WriteModel) -> EmotionClassifier:
    return EmotionClassifier(write_model())


def test_scores_by_hand(model: EmotionClassifier) -> None:
    report = evaluate(model, dataset())
    assert (report.model, report.data, report.split, report.head) == (
        "brightness",
        "faces",
        "test",
        "expression",
    )
    assert (report.labels, report.n) == (LABELS, 7)
    assert report.accuracy == pytest.approx(5 / 7)
    assert report.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert report.macro_f1 == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    expected = np.zeros((7, 7), int)
    expected[0, 0], expected[0, 3], expected[3, 3], expected[3, 0], expected[5, 5] = 3, 1, 1, 1, 1
    np.testing.assert_array_equal(report.confusion_matrix, expected)
    assert report.per_class["angry"] == {"precision": 0.75, "recall": 0.75, "f1": 0.75, "n": 4}
    assert report.per_class["happy"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "n": 2}
    assert report.per_class["fear"] == {"precision": 0, "recall": 0, "f1": 0, "n": 0}
    assert list(report.per_class) == list(LABELS)
    assert report.interval[0] < 5 / 7 < report.interval[1]


def test_calibration_error_by_hand(model: EmotionClassifier) -> None:
    # Every answer is next to certain, and five of seven are right.
    confidence = model.predict_proba(split(TARGETS, ANSWERS).images).max(axis=1)
    assert confidence.min() > 0.99
    assert evaluate(model, dataset()).calibration_error == pytest.approx(confidence.mean() - 5 / 7, abs=1e-6)


def test_equals_the_classifiers_own_answers() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 48, 48), np.uint8)
    faces = Split(images, rng.integers(0, 7, 90), tuple(map(str, range(90))))
    model = EmotionClassifier()
    for head in ("expression", "fer2013"):
        answers = model.predict_proba(images, head=head).argmax(axis=1)
        report = evaluate(model, dataset(test=faces), head=head)
        assert report.accuracy == pytest.approx((answers == faces.targets).mean())
        assert np.sum(report.confusion_matrix) == report.n == 90
        np.testing.assert_array_equal(
            np.sum(report.confusion_matrix, axis=0), np.bincount(answers, minlength=7)
        )


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("train", "validation", "test"), "validation"),
        (("train", "test"), "test"),
        (("validation", "test"), "validation"),
        (("train",), "train"),
    ],
)
def test_the_split_that_is_scored_unless_one_is_named(
    model: EmotionClassifier, there: tuple[str, ...], chosen: str
) -> None:
    data = dataset(**{name: split(TARGETS, ANSWERS) for name in there})
    assert evaluate(model, data).split == chosen
    for name in there:
        assert evaluate(model, data, split=name).split == name


def test_only_the_named_split_is_scored(model: EmotionClassifier) -> None:
    data = dataset(train=split([0] * 5, [1] * 5), test=split([2] * 3, [2] * 3))
    assert evaluate(model, data, split="train").accuracy == 0
    assert evaluate(model, data, split="test").accuracy == 1


class TestHeads:
    def test_auto_takes_the_head_of_fer2013_on_fer2013_only(self, model: EmotionClassifier) -> None:
        assert evaluate(model, dataset("fer2013")).head == "fer2013"
        assert evaluate(model, dataset("photographs")).head == "expression"

    def test_auto_takes_the_default_where_there_is_no_such_head(self, write_model: WriteModel) -> None:
        model = EmotionClassifier(write_model(outputs={"expression": LABELS}))
        assert evaluate(model, dataset("fer2013")).head == "expression"

    def test_ferplus_is_scored_against_the_majority(self, model: EmotionClassifier) -> None:
        votes = np.zeros((6, 10), np.uint8)
        votes[0, [0, 1]] = 8, 2  # neutral
        votes[1, [1, 3]] = 6, 4  # happy
        votes[2, [7, 0]] = 6, 4  # contempt
        votes[3, [8, 1]] = 6, 4  # unknown
        votes[4, [9, 1]] = 6, 4  # no face; the last has no votes at all
        # FER2013's own labels play no part. The model sees neutral, sad, contempt, then angry.
        faces = split([0, 0, 0, 0, 0, 0], [0, 3, 7, 4, 4, 4], votes)
        report = evaluate(model, dataset("fer2013", test=faces), head="ferplus")
        assert (report.head, report.labels, report.n) == ("ferplus", FERPLUS_LABELS, 3)
        assert report.accuracy == pytest.approx(2 / 3)
        assert report.per_class["contempt"]["recall"] == 1
        assert report.confusion_matrix[1][3] == 1

    def test_no_votes(self, model: EmotionClassifier) -> None:
        with pytest.raises(DatasetError, match="no FER\\+ votes"):
            evaluate(model, dataset("fer2013"), head="ferplus")

    def test_no_image_with_a_majority(self, model: EmotionClassifier) -> None:
        faces = split(TARGETS, ANSWERS, np.zeros((7, 10), np.uint8))
        with pytest.raises(DatasetError, match="no images that can be scored"):
            evaluate(model, dataset(test=faces), head="ferplus")

    @pytest.mark.parametrize("head", ["nonsense", "Blend"])
    def test_no_such_head(self, model: EmotionClassifier, head: str) -> None:
        with pytest.raises(ModelError, match="expression, fer2013, ferplus") as caught:
            evaluate(model, dataset(), head=head)
        assert repr(head) in str(caught.value)

    def test_a_model_without_the_ferplus_head(self, write_model: WriteModel) -> None:
        model = EmotionClassifier(write_model(outputs={"expression": LABELS}))
        faces = split(TARGETS, ANSWERS, np.ones((7, 10), np.uint8))
        with pytest.raises(ModelError, match=r"no head 'ferplus'; expected one of auto, expression$"):
            evaluate(model, dataset(test=faces), head="ferplus")


class TestWrongData:
    def test_no_such_split(self, model: EmotionClassifier) -> None:
        with pytest.raises(DatasetError, match="no split 'train', expected one of test"):
            evaluate(model, dataset(), split="train")

    def test_no_splits(self, model: EmotionClassifier) -> None:
        with pytest.raises(DatasetError):
            evaluate(model, Dataset("faces", LABELS, {}))

    def test_no_images(self, model: EmotionClassifier) -> None:
        with pytest.raises(DatasetError, match="no images"):
            evaluate(model, dataset(test=split([], [])))

    def test_labels_that_the_model_does_not_know(self, model: EmotionClassifier) -> None:
        data = dataset("boredom", ("bored", "engaged"), test=split([0, 1], [0, 1]))
        with pytest.raises(DatasetError, match="bored, engaged") as caught:
            evaluate(model, data)
        assert "angry" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestFurtherScores:
    def test_without_copies(self, model: EmotionClassifier) -> None:
        # The grey 60 is in train: both faces that are answered "happy" are copies, one right and one wrong.
        report = evaluate(
            model, dataset(train=split([3, 1], [3, 1]), test=split(TARGETS, ANSWERS)), split="test"
        )
        rest = report.without_copies
        assert rest is not None
        assert (rest.copies, rest.n) == (2, 5)
        assert rest.accuracy == pytest.approx(4 / 5)
        assert rest.accuracy_on_copies == pytest.approx(1 / 2)
        assert rest.interval is not None and rest.interval[0] < 4 / 5 < rest.interval[1]
        assert report.accuracy == pytest.approx(5 / 7), "the headline is of all images"

    def test_no_copies_and_nothing_but_copies(self, model: EmotionClassifier) -> None:
        none = evaluate(model, dataset(train=split([1], [1]), test=split(TARGETS, ANSWERS)), split="test")
        assert none.without_copies is not None
        assert (none.without_copies.copies, none.without_copies.accuracy_on_copies) == (0, None)
        assert none.without_copies.accuracy == none.accuracy
        same = split(TARGETS, ANSWERS)
        every = evaluate(model, dataset(train=same, test=same), split="test")
        assert every.without_copies is not None
        assert (every.without_copies.n, every.without_copies.accuracy, every.without_copies.interval) == (
            0,
            None,
            None,
        )
        assert "without copies" not in every.to_text()
        json.dumps(every.to_dict(), allow_nan=False)

    def test_copies_are_only_looked_for_in_another_split(self, model: EmotionClassifier) -> None:
        same = split(TARGETS, ANSWERS)
        assert evaluate(model, dataset(train=same, test=same), split="train").without_copies is None
        assert evaluate(model, dataset(test=same)).without_copies is None

    def test_votes(self, model: EmotionClassifier) -> None:
        votes = np.zeros((7, 10), np.uint8)
        votes[:, FERPLUS_LABELS.index("angry")] = 6
        votes[:, FERPLUS_LABELS.index("happy")] = 4
        votes[6] = 0
        ferplus = evaluate(model, dataset(test=split(TARGETS, ANSWERS, votes))).ferplus
        assert ferplus is not None
        # Of six voted on, angry by majority, the model says angry four times and happy twice.
        assert (ferplus.n, ferplus.majority, ferplus.labels) == (
            6,
            pytest.approx(4 / 6),
            pytest.approx(4 / 6),
        )
        assert ferplus.vote_share == pytest.approx((4 * 0.6 + 2 * 0.4) / 6)
        assert ferplus.highest_vote_share == pytest.approx(0.6)
        assert evaluate(model, dataset()).ferplus is None

    def test_votes_do_not_matter_to_other_labels(self, write_model: WriteModel) -> None:
        labels = ("bored", "engaged")
        model = EmotionClassifier(write_model(outputs={"expression": labels}))
        faces = split([0, 1], [0, 1], np.full((2, 10), 1, np.uint8))
        assert evaluate(model, dataset("study", labels, test=faces)).ferplus is None

    def test_risk_coverage(self, write_model: WriteModel) -> None:
        # The nearer to a label's grey, the surer: 60 is surer of "happy" than 66, and 66 than 69.
        model = EmotionClassifier(write_model(sharpness=0.005))
        greys = np.array([60, 66, 69], np.uint8)
        images = np.repeat(greys, 48 * 48).reshape(-1, 48, 48)
        faces = Split(images, np.array([3, 3, 0]), ("a", "b", "c"))
        curve = evaluate(model, dataset(test=faces)).risk_coverage
        assert curve.aurc == pytest.approx((0 + 0 + 1 / 3) / 3)
        assert curve.area == pytest.approx(1 - curve.aurc)
        assert [point["coverage"] for point in curve.points] == pytest.approx([1, 1, 1, 1, 2 / 3, 2 / 3])
        assert [point["accuracy"] for point in curve.points] == pytest.approx([2 / 3] * 4 + [1] * 2)
        said = model.predict_proba(images).max(axis=1)
        assert [point["threshold"] for point in curve.points] == pytest.approx([said[2]] * 4 + [said[1]] * 2)

    def test_more_views_only_where_asked_for(self, write_model: WriteModel) -> None:
        # The model sees the left half: dark, the label 1, where the mirror's is bright, the label 5.
        model = EmotionClassifier(write_model(region=(0, 0, 48, 24)))
        images = np.full((4, 48, 48), 20, np.uint8)
        images[:, :, 24:] = (
            94  # not 100: of the mirror the model is not quite so sure, and the first view wins
        )
        data = dataset(test=Split(images, np.array([1, 1, 5, 1]), tuple("abcd")))
        report = evaluate(model, data, views=True)
        assert report.views is not None
        assert list(report.views) == ["single view", "flip", "ten-crop"]
        assert report.views["single view"].accuracy == report.accuracy == 0.75
        assert report.views["flip"].accuracy == 0.75
        assert report.views["flip"].calibration_error == pytest.approx(0.25, abs=0.01), "half sure"
        assert report.views["single view"].calibration_error == pytest.approx(0.25, abs=0.01), "wholly sure"
        plain = evaluate(model, data)
        assert plain.views is None
        assert plain.summary() == report.summary()

    def test_the_model_that_was_scored_is_named_by_its_hash(self, model: EmotionClassifier) -> None:
        assert evaluate(model, dataset()).sha256 == model.config.sha256


class TestOutput:
    FIELDS = (
        "n", "accuracy", "balanced_accuracy", "macro_f1", "calibration_error", "confusion_matrix", "per_class",
        "interval",
    )  # fmt: skip

    def test_to_dict_is_json_with_the_promised_fields(self, model: EmotionClassifier) -> None:
        report = evaluate(model, dataset())
        values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert set(self.FIELDS) <= set(values)
        assert set(values) == {field.name for field in fields(EvaluationReport)}
        assert values["accuracy"] == report.accuracy
        assert values["confusion_matrix"][0][:4] == [3, 0, 0, 1]
        assert values["interval"] == list(report.interval)

    def test_summary_fits_on_a_line(self, model: EmotionClassifier) -> None:
        summary = json.loads(json.dumps(evaluate(model, dataset()).summary()))
        assert summary["n"] == 7
        assert summary["accuracy"] == pytest.approx(5 / 7)
        assert "confusion_matrix" not in summary

    def test_the_report_for_people(self, model: EmotionClassifier) -> None:
        lines = evaluate(model, dataset()).to_text().split("\n")
        assert lines[0] == "brightness on faces, split test, head expression: 7 images"
        assert "71.4 %" in lines[1]
        angry = [line.split() for line in lines if line.startswith("angry")]
        assert angry[0] == ["angry", "75.0", "%", "75.0", "%", "75.0", "%", "4"]
        assert angry[1] == ["angry", "3", "0", "0", "1", "0", "0", "0"]
        assert all(line == line.rstrip() for line in lines)

    def test_long_labels_stay_in_their_columns(self, write_model: WriteModel) -> None:
        labels = ("bored", "somewhat interested", "deeply concentrated")
        model = EmotionClassifier(write_model(outputs={"expression": labels}))
        data = dataset("study", labels, test=split([0, 1, 2, 2], [0, 1, 2, 1]))
        lines = evaluate(model, data).to_text().split("\n")
        table = lines[lines.index("confusion matrix: rows true, columns predicted") + 1 :]
        assert len(table) == 4
        assert len({len(line) for line in table}) == 1
        scores = [line for line in lines if line.startswith(labels) and line not in table]
        assert len({len(line) for line in scores}) == 1


@pytest.fixture(scope="module")
def by_head(real_fer2013: Dataset) -> dict[str, Predictions]:
    """What the default model predicts on PublicTest, from one pass."""
    return predict_heads(EmotionClassifier(), real_fer2013)


@pytest.fixture(scope="module")
def shipped(by_head: dict[str, Predictions]) -> EvaluationReport:
    """Its head of FER2013's labels."""
    return score(by_head["fer2013"])


@pytest.mark.slow
class TestShippedModel:
    def test_is_right_on_70_percent_of_public_test(self, shipped: EvaluationReport) -> None:
        assert (shipped.data, shipped.split, shipped.n) == ("fer2013", "validation", 3589)
        assert shipped.accuracy >= 0.70

    def test_the_other_head_too(self, by_head: dict[str, Predictions]) -> None:
        ferplus = score(by_head["ferplus"])
        assert (ferplus.n, ferplus.accuracy) == (3553, pytest.approx(0.8410, abs=2e-3))
        assert ferplus.ferplus is not None
        assert ferplus.ferplus.majority == ferplus.accuracy

    def test_its_further_scores(self, shipped: EvaluationReport) -> None:
        assert shipped.accuracy == pytest.approx(0.7186, abs=2e-3)
        assert shipped.ferplus is not None
        assert shipped.ferplus.n == 3529
        assert shipped.ferplus.majority == pytest.approx(0.671, abs=3e-3)
        assert shipped.risk_coverage.aurc == pytest.approx(0.115, abs=3e-3)

    def test_without_the_280_images_that_are_in_training(self, shipped: EvaluationReport) -> None:
        rest = shipped.without_copies
        assert rest is not None
        assert (rest.copies, rest.n) == (280, 3309)
        assert rest.accuracy == pytest.approx(0.703, abs=3e-3)

    def test_is_calibrated(self, shipped: EvaluationReport) -> None:
        assert shipped.calibration_error < 0.03

    def test_its_configuration_says_so(self, shipped: EvaluationReport) -> None:
        recorded = EmotionClassifier().config.metrics["fer2013"]
        assert recorded["n"] == shipped.n
        assert recorded["accuracy"] == pytest.approx(shipped.accuracy, abs=2e-3)


class Counting(EmotionClassifier):
    """A classifier that notes which outputs it was asked for, and of how many crops."""

    def _run(self, crops, heads):
        self.asked = [*getattr(self, "asked", []), (list(heads), len(crops))]
        return super()._run(crops, heads)


class TestAllHeads:
    @staticmethod
    def voted(votes: list[list[int]]) -> Dataset:
        rng = np.random.default_rng(4)
        rows = np.array(votes, np.uint8)
        part = Split(
            rng.integers(0, 256, (len(rows), 48, 48), np.uint8),
            rng.integers(0, 7, len(rows)),
            tuple(map(str, range(len(rows)))),
            rows,
        )
        return dataset("fer2013", validation=part)

    def test_are_those_of_each_by_itself_from_one_pass(self) -> None:
        # Most take the second image for no face: the head "ferplus" is not scored on it.
        data = self.voted([[10, *[0] * 9], [4, *[0] * 8, 6], [0, 10, *[0] * 8]])
        model = Counting("mien-s")
        found = predict_heads(model, data)
        assert model.asked == [(["expression", "fer2013", "ferplus"], 3)]
        assert list(found) == ["fer2013", "expression", "ferplus"]
        for head, answers in found.items():
            alone: Predictions = predict_split(model, data, head=head)
            assert (answers.head, answers.labels, answers.split) == (head, alone.labels, "validation")
            assert answers.part.names == alone.part.names
            np.testing.assert_array_equal(answers.targets, alone.targets)
            np.testing.assert_allclose(answers.probabilities, alone.probabilities, atol=1e-6)
        assert found["ferplus"].part.names == ("0", "2")

    def test_without_a_majority_there_is_no_ferplus_head(self) -> None:
        assert "ferplus" not in predict_heads(EmotionClassifier(), self.voted([[4, *[0] * 8, 6]]))

    def test_nothing_to_score(self) -> None:
        with pytest.raises(DatasetError, match="'test' has no images"):
            predict_heads(EmotionClassifier(), dataset(test=split([], [])))

    def test_a_dataset_is_hashed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = dataset()
        first = data.fingerprint()
        monkeypatch.setattr("mien.data.dataset.hashlib", None)  # there is nothing to hash with any more
        assert data.fingerprint() == first
