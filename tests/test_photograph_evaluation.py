"""`evaluate_photographs`: detector and classifier together on labelled photographs, with known faces and scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typed
from numpy.typing import NDArray
from pictures import astronaut, encode, grace_hopper, pattern
from PIL import Image

from mien import EmotionRecognizer, FaceDetector, PhotographReport, evaluate_photographs
from mien.data.photographs import open_photographs
from mien.errors import DatasetError
from mien.evaluation.photograph_report import PhotographAnswer
from mien.evaluation.photographs import score_photographs
from mien.labels import LABELS


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer()


@pytest.fixture(scope="module")
def answers(recognizer: EmotionRecognizer) -> dict[str, str]:
    """What the pipeline says of each portrait."""
    return {
        name: str(recognizer.recognize(picture)[0].emotion)
        for name, picture in (("hopper", grace_hopper()), ("astronaut", astronaut()))
    }


def another(label: str) -> str:
    return "sad" if label != "sad" else "angry"


def save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def tree(tmp_path: Path, answers: dict[str, str]) -> Path:
    """One right answer, one wrong one, one photograph without a face, and a broken one, all named by their class."""
    hopper, wrong = answers["hopper"], another(answers["astronaut"])
    save(tmp_path / "photos" / hopper / "hopper.png", encode(grace_hopper()))
    save(tmp_path / "photos" / wrong / "astronaut.png", encode(astronaut()))
    save(tmp_path / "photos" / hopper / "meadow.png", encode(pattern(300, 400)))
    save(tmp_path / "photos" / hopper / "broken.png", encode(pattern(300, 400))[:-400])
    return tmp_path / "photos"


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def row(picture: NDArray[np.uint8] | None, label: object, **more: object) -> dict[str, object]:
    return {
        "image": {"bytes": None if picture is None else encode(picture), "path": "x.png"},
        "label": label,
        **more,
    }


class TestScores:
    def test_by_hand(self, recognizer: EmotionRecognizer, tree: Path, answers: dict[str, str]) -> None:
        report = evaluate_photographs(recognizer, tree)
        hopper, wrong = answers["hopper"], another(answers["astronaut"])
        assert (report.model, report.detector, report.data) == ("mien-s-3", "mien", "photos")
        assert (report.n, report.no_face, report.unreadable) == (3, 1, 1)
        assert report.accuracy == pytest.approx(1 / 3)
        assert report.interval[0] < 1 / 3 < report.interval[1]
        assert report.balanced_accuracy == pytest.approx((1 / 2 + 0) / 2)
        assert report.balanced_interval[0] <= 1 / 4 <= report.balanced_interval[1]
        assert report.labels == LABELS
        expected = np.zeros((7, 8), int)
        expected[LABELS.index(hopper), LABELS.index(hopper)] = 1
        expected[LABELS.index(hopper), -1] = 1
        expected[LABELS.index(wrong), LABELS.index(answers["astronaut"])] += 1
        np.testing.assert_array_equal(report.confusion_matrix, expected)
        assert report.per_class[hopper]["recall"] == 0.5
        assert report.per_class[hopper]["n"] == 2
        assert list(report.per_class) == list(LABELS)

    def test_a_row_a_photograph(self, recognizer: EmotionRecognizer, tree: Path) -> None:
        by_name = {Path(one.name).name: one for one in evaluate_photographs(recognizer, tree).answers}
        assert set(by_name) == {"hopper.png", "astronaut.png", "meadow.png", "broken.png"}
        assert by_name["hopper.png"].correct
        assert by_name["hopper.png"].faces == 1
        assert 0 < (by_name["hopper.png"].confidence or 0) <= 1
        assert not by_name["astronaut.png"].correct
        nothing = by_name["meadow.png"]
        assert (nothing.emotion, nothing.confidence, nothing.uncertain, nothing.faces) == (
            None,
            None,
            None,
            0,
        )
        assert (nothing.error, nothing.correct) == (None, False)
        assert "broken" in str(by_name["broken.png"].error)

    def test_confidence_by_hand(self, recognizer: EmotionRecognizer) -> None:
        right = [PhotographAnswer(str(i), "happy", "happy", 0.9, False, 1) for i in range(8)]
        wrong = [PhotographAnswer(str(i), "sad", "happy", 0.6, True, 1) for i in range(2)]
        missing = [PhotographAnswer("x", "sad"), PhotographAnswer("y", "sad", error="y: empty")]
        report = score_photographs(recognizer, [*right, *wrong, *missing])
        assert (report.n, report.no_face, report.unreadable) == (11, 1, 1)
        assert report.uncertain == pytest.approx(0.2)
        assert report.calibration_error == pytest.approx((8 * 0.1 + 2 * 0.6) / 10)
        kept = report.selective_prediction
        assert kept is not None
        assert (kept.coverage, kept.accuracy) == (pytest.approx(0.8), 1.0)
        assert kept.threshold == recognizer.classifier.config.uncertain_below
        assert report.accuracy == pytest.approx(8 / 11)
        assert report.balanced_accuracy == pytest.approx(1 / 2)

    def test_no_face_at_all(self, recognizer: EmotionRecognizer) -> None:
        report = score_photographs(recognizer, [PhotographAnswer("x", "sad")])
        assert report.accuracy == report.balanced_accuracy == 0
        assert report.calibration_error is report.uncertain is report.selective_prediction is None
        assert "1 photograph, counted as wrong" in report.to_text()

    def test_as_json_and_text(self, recognizer: EmotionRecognizer, tree: Path) -> None:
        report = evaluate_photographs(recognizer, tree)
        values = json.loads(json.dumps(report.to_dict()))
        assert values["n"] == 3
        assert [name.rpartition("/")[2] for name in values["errors"]] == ["broken.png"]
        assert "answers" not in values
        assert values["selective_prediction"].keys() == {
            "threshold", "coverage", "accuracy", "n", "against",
        }  # fmt: skip
        text = report.to_text()
        assert "no face found      1 photograph, counted as wrong" in text
        assert "unreadable         1 photograph, not counted" in text
        assert "mean recall of 2 classes" in text

    def test_progress_to_the_end(self, recognizer: EmotionRecognizer, tree: Path) -> None:
        seen: list[tuple[int, int]] = []
        evaluate_photographs(recognizer, tree, progress=lambda done, total: seen.append((done, total)))
        assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


class TestFaces:
    def test_full_size(self, recognizer: EmotionRecognizer, tmp_path: Path, answers: dict[str, str]) -> None:
        """A face that is a tenth of the picture is there at full size only, not in 48 x 48 pixels of it."""
        scene = np.full((1500, 2000, 3), 120, np.uint8)
        scene[800:1400, 1300:1812] = grace_hopper()
        save(tmp_path / "tree" / answers["hopper"] / "scene.png", encode(scene))
        report = evaluate_photographs(recognizer, tmp_path / "tree")
        assert (report.no_face, report.accuracy) == (0, 1.0)

    def test_the_largest_face_answers(self, recognizer: EmotionRecognizer, tmp_path: Path) -> None:
        scene = np.full((700, 1200, 3), 120, np.uint8)
        scene[50:650, 600:1112] = grace_hopper()
        scene[200:456, 100:356] = np.asarray(Image.fromarray(astronaut()).resize((256, 256)))
        found = recognizer.recognize(scene)
        assert len(found) == 2
        large = max(found, key=lambda face: face.box.area)
        assert large.box.center[0] > 600
        save(tmp_path / "tree" / "happy" / "two.png", encode(scene))
        (answer,) = evaluate_photographs(recognizer, tmp_path / "tree").answers
        assert (answer.faces, answer.emotion) == (2, str(large.emotion))
        assert answer.confidence == pytest.approx(large.confidence)

    def test_the_recognizers_own_settings_hold(self, tree: Path) -> None:
        strict = EmotionRecognizer(detector=FaceDetector(min_size=5000), head="ferplus")
        report = evaluate_photographs(strict, tree)
        assert (report.no_face, report.head) == (3, "ferplus")
        assert "contempt" in report.labels
        assert EmotionRecognizer(min_quality=1.0).min_quality == 1.0


class TestData:
    def test_parquet(self, recognizer: EmotionRecognizer, tmp_path: Path, answers: dict[str, str]) -> None:
        rows = [
            row(grace_hopper(), answers["hopper"]),
            row(None, "sad"),
            row(astronaut(), answers["astronaut"]),
        ]
        report = evaluate_photographs(recognizer, write_rows(tmp_path / "photos.parquet", rows))
        assert (report.data, report.split, report.n, report.unreadable) == ("photos", "train", 2, 1)
        assert report.accuracy == 1.0
        assert [one.name for one in report.answers] == [f"photos.parquet:{i}" for i in range(3)]
        assert report.answers[1].error is not None

    def test_integers_and_splits_of_parquet(self, tmp_path: Path) -> None:
        rows = [row(pattern(), i, split=split) for i, split in enumerate(("train", "test", "test"))]
        path = write_rows(tmp_path / "x.parquet", rows)
        with open_photographs(path) as photographs:
            assert (photographs.split, photographs.labels) == ("test", ("disgust", "fear"))
            assert [one.label for one in photographs] == ["disgust", "fear"]
        with open_photographs(path, split="train") as photographs:
            assert [one.name for one in photographs] == ["x.parquet:0"]
            assert len(photographs) == 1
        no_such_split = pytest.raises(
            DatasetError, match="no split 'validation', expected one of train, test"
        )
        with no_such_split, open_photographs(path, split="validation"):
            pass

    def test_class_folders_with_splits(self, tmp_path: Path) -> None:
        for name in ("train/happy/a.png", "test/happy/b.png", "test/sad/c.png"):
            save(tmp_path / name, encode(pattern()))
        with open_photographs(tmp_path) as photographs:
            assert (photographs.split, photographs.labels) == ("test", ("happy", "sad"))
            assert [one.name for one in photographs] == ["test/happy/b.png", "test/sad/c.png"]
            assert len(list(photographs)) == 2  # again

    def test_other_spellings_of_a_label(self, recognizer: EmotionRecognizer, tmp_path: Path) -> None:
        save(tmp_path / "tree" / "Happiness" / "x.png", encode(pattern(200, 200)))
        (answer,) = evaluate_photographs(recognizer, tmp_path / "tree").answers
        assert answer.label == "happy"

    def test_a_label_that_the_model_does_not_know(
        self, recognizer: EmotionRecognizer, tmp_path: Path
    ) -> None:
        save(tmp_path / "tree" / "bored" / "x.png", encode(pattern()))
        with pytest.raises(
            DatasetError, match=r"tree: labelled bored; but mien-s-3 predicts angry, .*neutral"
        ):
            evaluate_photographs(recognizer, tmp_path / "tree")

    def test_what_is_no_photographs(self, recognizer: EmotionRecognizer, tmp_path: Path) -> None:
        (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n")
        with pytest.raises(
            DatasetError, match=r"fer2013\.csv: no photographs; expected a folder for each class"
        ):
            evaluate_photographs(recognizer, tmp_path / "fer2013.csv")
        with pytest.raises(DatasetError, match=r"missing: cannot be read"):
            evaluate_photographs(recognizer, tmp_path / "missing")
        (tmp_path / "empty").mkdir()
        with pytest.raises(DatasetError, match="empty: no dataset found"):
            evaluate_photographs(recognizer, tmp_path / "empty")
        with pytest.raises(DatasetError, match="no photographs, expected at least one row"):
            write = pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())})
            pq.write_table(write, tmp_path / "none.parquet")
            evaluate_photographs(recognizer, tmp_path / "none.parquet")

    def test_nothing_that_can_be_read(self, recognizer: EmotionRecognizer, tmp_path: Path) -> None:
        save(tmp_path / "tree" / "sad" / "x.png", b"text")
        with pytest.raises(
            DatasetError, match=r"tree: no photograph that can be read, .*x\.png: not a picture"
        ):
            evaluate_photographs(recognizer, tmp_path / "tree")


class TestCommand:
    def test_text_files_and_exit_code(self, tree: Path, tmp_path: Path) -> None:
        done = typed.run("evaluate", tree, "--find-faces", "--output", tmp_path / "report")
        assert done.returncode == 1  # one photograph could not be read
        assert "broken.png" in done.stderr
        assert done.stdout.startswith(
            "mien-s-3 with the detector mien on photos, split train, head expression: 3 photog"
        )
        scores = json.loads((tmp_path / "report" / "scores.json").read_text())
        assert (scores["n"], scores["no_face"]) == (3, 1)
        with (tmp_path / "report" / "photographs.csv").open(newline="") as file:
            rows = {Path(one["name"]).name: one for one in csv.DictReader(file)}
        assert rows["meadow.png"]["emotion"] == rows["meadow.png"]["error"] == ""
        assert rows["meadow.png"]["faces"] == "0"
        assert 0 < float(rows["hopper.png"]["confidence"]) <= 1
        assert "broken" in rows["broken.png"]["error"]

    def test_json_without_errors(self, tree: Path) -> None:
        next(tree.rglob("broken.png")).unlink()
        done = typed.run("evaluate", tree, "--find-faces", "--format", "json", "--min-size", "5000")
        assert done.returncode == 0, done.stderr
        values = json.loads(done.stdout)
        assert (values["no_face"], values["accuracy"], values["errors"]) == (3, 0, {})

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--find-faces", "--robustness"], "--robustness: is for crops"),
            (["--find-faces", "--compare", "mien-s", "mien-s"], "--compare: is for crops"),
            (["--find-faces", "--no-thumbnails"], "--no-thumbnails: is for crops"),
            (["--min-size", "40"], "--min-size: does nothing without --find-faces"),
            (["--detector", "haar"], "--detector: does nothing without --find-faces"),
        ],
    )
    def test_options_that_do_not_go_together(self, tmp_path: Path, words: list[str], told: str) -> None:
        done = typed.run("evaluate", tmp_path, *words)
        assert done.returncode == 2
        assert told in done.stderr


@pytest.mark.slow
def test_faces_in_the_news(real_data: Path, recognizer: EmotionRecognizer) -> None:
    """The shipped model on photographs from outside its data; floors below what was measured."""
    path = real_data / "foreign" / "lfw_dev.parquet"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    report: PhotographReport = evaluate_photographs(recognizer, path)
    assert report.n == 584
    assert report.no_face <= 10
    assert report.balanced_accuracy > 0.7
