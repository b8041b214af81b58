"""The audit of a model by group: a group that is truly worse is found, and groups that are alike are not."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import CHROMIUM, open_browser
from conftest import BRIGHTNESS_STEP
from pictures import encode
from typed import run

from mien.data.dataset import Dataset, Split
from mien.data.groups import MOST_GROUPS, read_group_column
from mien.data.load import load_dataset
from mien.errors import DatasetError
from mien.evaluation.fairness import FEW, audit_groups, group_places, predictions_of
from mien.evaluation.predictions import Predictions, predict_split
from mien.labels import LABELS
from mien.metrics.calibration import calibration_error
from mien.metrics.permutation import chance_calibration_error, gap_test
from mien.metrics.significance import wilson_interval
from mien.models.classifier import EmotionClassifier


def faces(targets: np.ndarray, damaged: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, 48, 48) grey as bright as the label says; half of the damaged ones as bright as the next label."""
    rng = np.random.default_rng(seed)
    wrong = damaged & (rng.random(len(targets)) < 0.5)
    grey = BRIGHTNESS_STEP * ((targets + wrong) % len(LABELS))
    noise = rng.integers(-6, 7, (len(targets), 48, 48))
    return (grey[:, None, None] + noise).clip(0, 255).astype(np.uint8)


def study(n: int = 600, *, share: float = 0.25, harm: bool = True) -> tuple[Dataset, list[str]]:
    """A dataset of two groups, of which "night" is truly degraded, and the group of every image."""
    rng = np.random.default_rng(1)
    targets, night = rng.integers(0, len(LABELS), n), rng.random(n) < share
    images = faces(targets, night & harm)
    names = tuple(f"a.csv:{k}" for k in range(n))
    dataset = Dataset("study", LABELS, {"test": Split(images, targets, names)})
    return dataset, ["night" if one else "day" for one in night]


@pytest.fixture
def judge(write_model: Callable[..., Path]) -> Callable[[Dataset], Predictions]:
    classifier = EmotionClassifier(write_model())
    return lambda dataset: predict_split(classifier, dataset)


class TestGapTest:
    def test_a_true_difference_is_found(self) -> None:
        rng = np.random.default_rng(0)
        groups = np.repeat([0, 1, 2], 200)
        correct = rng.random(600) < np.array([0.8, 0.6, 0.8])[groups]
        test = gap_test(correct, groups, np.zeros(600, np.int64))
        assert test.low == 1
        assert test.gap == pytest.approx(0.2, abs=0.08)
        assert test.p_value < 0.005
        assert test.p_value_by_label < 0.005

    def test_where_there_is_none_p_values_are_as_often_small_as_they_say(self) -> None:
        # With twelve groups, too: intervals of single groups would differ far more often.
        rng, small = np.random.default_rng(0), 0
        groups = np.repeat(np.arange(12), 40)
        for seed in range(200):
            correct = rng.random(480) < 0.7
            p = gap_test(correct, groups, np.zeros(480, np.int64), rounds=400, seed=seed).p_value
            small += p <= 0.1
        assert 8 <= small <= 34

    def test_other_shares_of_hard_labels_are_told_from_a_true_difference(self) -> None:
        # Label 1 is hard for all; group 1 has more of it.
        rng = np.random.default_rng(2)
        groups = np.repeat([0, 1], 500)
        labels = (rng.random(1000) < np.array([0.2, 0.8])[groups]).astype(np.int64)
        correct = rng.random(1000) < np.array([0.95, 0.5])[labels]
        test = gap_test(correct, groups, labels)
        assert test.p_value < 0.001
        assert test.p_value_by_label > 0.05

    def test_it_agrees_with_exchanging_images(self) -> None:
        rng = np.random.default_rng(3)
        groups, correct = np.repeat([0, 1, 2], [30, 50, 20]), rng.random(100) < 0.6
        correct[:30] = rng.random(30) < 0.75
        test = gap_test(correct, groups, np.zeros(100, np.int64))
        gaps = []
        for _ in range(4000):
            mixed = rng.permutation(correct)
            gaps.append(np.ptp(np.bincount(groups, weights=mixed) / np.bincount(groups)))
        assert test.p_value == pytest.approx((np.array(gaps) >= test.gap - 1e-12).mean(), abs=0.03)

    def test_no_difference_at_all_is_p_1(self) -> None:
        test = gap_test(np.ones(10, bool), np.repeat([0, 1], 5), np.zeros(10, np.int64), rounds=50)
        assert (test.gap, test.p_value) == (0, 1)

    def test_two_groups_are_needed_and_none_empty(self) -> None:
        for groups in (np.zeros(4, np.int64), np.array([0, 0, 2, 2])):
            with pytest.raises(ValueError, match="two or more"):
                gap_test(np.ones(4, bool), groups, np.zeros(4, np.int64))


class TestMetrics:
    def test_wilsons_interval(self) -> None:
        # 81 of 263: Newcombe, Statistics in Medicine 17 (1998), table I.
        assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
        assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
        assert wilson_interval(20, 20)[1] == 1
        for hits, n in ((1, 0), (5, 4), (-1, 4)):
            with pytest.raises(ValueError, match="expected"):
                wilson_interval(hits, n)

    def test_the_calibration_error_by_chance_shrinks_with_the_number_of_answers(self) -> None:
        rng = np.random.default_rng(0)
        confidences = rng.uniform(0.3, 1, 5000)
        few, many = chance_calibration_error(confidences[:50]), chance_calibration_error(confidences)
        assert few > 3 * many > 0
        true = rng.random(5000) < confidences
        assert calibration_error(confidences, true) == pytest.approx(many, abs=0.01)


class TestAudit:
    def test_a_degraded_group_is_found(self, judge: Callable[[Dataset], Predictions]) -> None:
        dataset, groups = study()
        audit = audit_groups(judge(dataset), groups, "light")
        day, night = audit.groups["day"], audit.groups["night"]
        assert day.interval[0] > night.interval[1]
        assert night.accuracy == pytest.approx(0.5, abs=0.15)
        assert day.accuracy > 0.95
        assert audit.largest_gap is not None
        assert (audit.largest_gap.low, audit.largest_gap.high) == ("night", "day")
        assert audit.largest_gap.p_value_by_label < 0.001
        assert "day 4" in audit.to_text() or "day 5" in audit.to_text()
        assert "p below 0.001" in audit.to_text()

    def test_groups_that_are_alike_are_not_told_apart(self, judge: Callable[[Dataset], Predictions]) -> None:
        dataset, groups = study(harm=False)
        rng = np.random.default_rng(5)  # some wrong answers, in both groups alike
        wrong = rng.random(600) < 0.3
        targets = np.where(wrong, (dataset.splits["test"].targets + 1) % 7, dataset.splits["test"].targets)
        split = Split(dataset.splits["test"].images, targets, dataset.splits["test"].names)
        audit = audit_groups(judge(Dataset("study", LABELS, {"test": split})), groups, "light")
        assert audit.largest_gap is not None
        assert audit.largest_gap.p_value > 0.05
        assert "Chance is enough" in audit.to_text()

    def test_small_groups_are_marked_and_not_tested(self, judge: Callable[[Dataset], Predictions]) -> None:
        dataset, groups = study(300, share=0.1)
        groups[0] = ""
        audit = audit_groups(judge(dataset), groups, "light")
        assert 0 < audit.groups["night"].n < FEW
        assert audit.groups["night"].few
        assert audit.largest_gap is None
        text = audit.to_text()
        assert "night *" in text
        assert "No test" in text
        assert '1 image without a group: only in "all".' in text
        assert audit.without_group == 1
        assert sum(one.n for one in audit.groups.values()) == 299
        assert audit.whole.n == 300

    def test_groups_are_one_an_image(self, judge: Callable[[Dataset], Predictions]) -> None:
        answers = judge(study(30)[0])
        with pytest.raises(ValueError, match="2 groups for 30 images"):
            audit_groups(answers, ["a", "b"])
        with pytest.raises(DatasetError, match="no image"):
            audit_groups(answers, [""] * 30)

    def test_predictions_of_a_group(self, judge: Callable[[Dataset], Predictions]) -> None:
        dataset, groups = study(100)
        answers, places = judge(dataset), group_places(groups)
        assert list(places) == ["day", "night"]
        part = predictions_of(answers, places["night"])
        assert part.part.names == tuple(answers.part.names[k] for k in places["night"])
        assert (part.correct == answers.correct[places["night"]]).all()


def write_folders(root: Path, dataset: Dataset, groups: list[str]) -> Path:
    """The test split as class folders, with groups.csv."""
    split = dataset.splits["test"]
    rows = [["file", "light", "age"]]
    for k, (image, target) in enumerate(zip(split.images, split.targets, strict=True)):
        path = root / "test" / LABELS[target] / f"{k:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.repeat(image[:, :, None], 3, axis=2)))
        rows.append([path.relative_to(root).as_posix() if k % 2 else path.name, groups[k], str(k)])
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def write_parquet(path: Path, dataset: Dataset, groups: list[str]) -> Path:
    split = dataset.splits["test"]
    columns = {
        "image": [encode(np.repeat(image[:, :, None], 3, axis=2)) for image in split.images],
        "label": [LABELS[target] for target in split.targets],
        "light": [group or None for group in groups],
    }
    pq.write_table(pa.table(columns), path)
    return path


class TestColumns:
    def test_every_form_of_a_dataset(self, tmp_path: Path) -> None:
        dataset, groups = study(40)
        groups[3] = ""
        pixels = [" ".join(map(str, image.ravel())) for image in dataset.splits["test"].images]
        lines = ["emotion,pixels,light"] + [
            f"{t},{p},{g}" for t, p, g in zip(dataset.splits["test"].targets, pixels, groups, strict=True)
        ]
        (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
        forms = [
            write_folders(tmp_path / "folders", dataset, groups),
            write_parquet(tmp_path / "test.parquet", dataset, groups),
            tmp_path / "test.csv",
        ]
        for form in forms:
            split = load_dataset(form).split("test")
            found = read_group_column(form, "light").groups(split.names)
            # Folders come in the order of their classes: told by the brightness of the image.
            own = {image.tobytes(): g for image, g in zip(dataset.splits["test"].images, groups, strict=True)}
            assert [own[image.tobytes()] for image in split.images] == list(found), form

    def test_an_archive(self, tmp_path: Path) -> None:
        folders = write_folders(tmp_path / "folders", *study(20))
        archive = Path(shutil.make_archive(str(tmp_path / "study"), "zip", folders))
        names = load_dataset(archive).split("test").names
        expected = read_group_column(folders, "light").groups(load_dataset(folders).split("test").names)
        assert read_group_column(archive, "light").groups(names) == expected

    def test_a_table_elsewhere(self, tmp_path: Path) -> None:
        dataset, groups = study(20)
        data = write_parquet(tmp_path / "test.parquet", dataset, groups)
        names = load_dataset(data).split("test").names
        rows = {"file": list(names), "site": ["a", "b"] * 10}
        pq.write_table(pa.table(rows), tmp_path / "sites.parquet")
        with (tmp_path / "sites.csv").open("w", newline="") as file:
            csv.writer(file).writerows([list(rows), *zip(*rows.values(), strict=True)])
        for table in ("sites.csv", "sites.parquet"):
            column = read_group_column(data, "site", table=tmp_path / table)
            assert column.groups(names) == ("a", "b") * 10

    def test_an_unknown_column_names_those_there_are(self, tmp_path: Path) -> None:
        dataset, groups = study(10)
        folders = write_folders(tmp_path / "folders", dataset, groups)
        (tmp_path / "test.csv").write_text("emotion,pixels,Usage,age\n")
        for data, others in (
            (folders, "light, age"),
            (write_parquet(tmp_path / "test.parquet", dataset, groups), "label, light"),
            (tmp_path / "test.csv", "usage, age"),
        ):
            with pytest.raises(DatasetError, match=f"no column 'skin', expected .*{others}"):
                read_group_column(data, "skin")

    def test_what_else_can_be_wrong(self, tmp_path: Path) -> None:
        dataset, groups = study(MOST_GROUPS + 1)
        folders = write_folders(tmp_path / "folders", dataset, groups)
        names = load_dataset(folders).split("test").names
        with pytest.raises(DatasetError, match="51 different values, expected at most 50"):
            read_group_column(folders, "age").groups(names)
        with pytest.raises(DatasetError, match=r"no group for any of the 1 images.*elsewhere/x.png"):
            read_group_column(folders, "age").groups(["elsewhere/x.png"])
        (folders / "groups.csv").write_bytes(b"file,light\n\xff\xfe,a\n")
        with pytest.raises(DatasetError, match="cannot be read"):
            read_group_column(folders, "light")
        (folders / "groups.csv").unlink()
        with pytest.raises(DatasetError, match=r"groups.csv.*file,light.*--groups"):
            read_group_column(folders, "light")
        with pytest.raises(DatasetError, match=r"missing.csv: cannot be read"):
            read_group_column(folders, "light", table=tmp_path / "missing.csv")

    def test_a_name_that_two_images_have_is_no_name(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("file,g\n1.png,a\n2.png,b\n")
        column = read_group_column(tmp_path, "g", table=tmp_path / "t.csv")
        assert column.groups(["test/sad/1.png", "test/happy/1.png", "test/sad/2.png"]) == ("", "", "b")


def check_page(path: Path) -> None:
    """In a real browser, where the machine has one: pictures are there, nothing complains."""
    if CHROMIUM is None:
        return
    with open_browser() as browser:
        page, problems = browser.new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.goto(path.as_uri())
        assert page.locator("h2").first.inner_text() == "Accuracy by group"
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert problems == []


@pytest.mark.slow
class TestCommand:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        return write_folders(tmp_path / "study", *study(200, share=0.4))

    def test_the_report_finds_the_degraded_group(
        self, data: Path, tmp_path: Path, write_model: Callable[..., Path]
    ) -> None:
        out = tmp_path / "out"
        done = run("audit-model", data, "--group", "light", "--model", write_model(), "--output", out)
        assert done.returncode == 0, done.stderr
        page = (out / "report.html").read_text(encoding="utf-8")
        assert "above night" in done.stdout
        assert "above night" in page
        assert "by chance" in page
        assert {path.name for path in out.iterdir()} == {
            "report.html", "audit.json", "groups.png", "reliability.png", "robustness.png",
        }  # fmt: skip
        values = json.loads((out / "audit.json").read_text())
        assert values["largest_gap"]["low"] == "night"
        assert list(values["robustness"]) == ["all", "light day", "light night"]
        uncorrupted = {name: one["uncorrupted"]["accuracy"] for name, one in values["robustness"].items()}
        assert uncorrupted["light night"] == values["groups"]["night"]["accuracy"]
        assert uncorrupted["light night"] < uncorrupted["all"] < uncorrupted["light day"]
        check_page(out / "report.html")

    def test_without_groups(self, data: Path, tmp_path: Path) -> None:
        done = run("audit-model", data, "--output", tmp_path / "plain", "--no-robustness", "--format", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["groups"] == {}
        assert not (tmp_path / "plain" / "groups.png").exists()

    def test_wrong_usage(self, data: Path, tmp_path: Path) -> None:
        unknown = run("audit-model", data, "--group", "skin", "--output", tmp_path / "x")
        assert unknown.returncode == 2
        assert "light, age" in unknown.stderr
        nameless = run("audit-model", data, "--groups", data / "groups.csv", "--output", tmp_path / "x")
        assert nameless.returncode == 2
        assert "--group" in nameless.stderr
        inside = run("audit-model", data, "--output", data)
        assert inside.returncode == 2
