"""Scores on corrupted images: the right images, corrupted as they should be, alike in every run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photographs import photographs
from test_charts import assert_nothing_is_cut_off, assert_picture
from test_corruptions import PORTRAITS, centroid, spot
from test_evaluation import dataset, split
from test_report import Page, assert_self_contained

from mien.data.dataset import Dataset, Split
from mien.errors import DatasetError, ModelError
from mien.evaluation.comparison_report import write_report
from mien.evaluation.predictions import predict_split
from mien.evaluation.report import write_evaluation
from mien.evaluation.robustness import (
    CONDITIONS,
    RobustnessReport,
    measure_robustness,
    score_corrupted,
)
from mien.evaluation.robustness_chart import _robustness_figure, robustness_chart
from mien.evaluation.scores import evaluate
from mien.labels import LABELS
from mien.models.classifier import EmotionClassifier

WriteModel = Callable[..., Path]

# All four are of the grey 80: the label 4, at three quarters of the light 3, at half 2, at a quarter 1.
DARKENED = dataset(test=split([4, 2, 1, 1], [4, 4, 4, 4]))


def accuracies(report: RobustnessReport, name: str) -> list[float]:
    return [point.accuracy for point in report.curves[name].points]


@pytest.fixture
def model(write_model: WriteModel) -> EmotionClassifier:
    return EmotionClassifier(write_model())


@pytest.fixture
def report(model: EmotionClassifier) -> RobustnessReport:
    return measure_robustness(model, DARKENED)


@pytest.fixture(scope="module")
def known() -> Dataset:
    """Pictures with the answers that the shipped model gives them for labels."""
    images = np.stack([*PORTRAITS, *photographs(14)])
    targets = EmotionClassifier().predict_proba(images).argmax(axis=1)
    return Dataset("known", LABELS, {"test": Split(images, targets, tuple(map(str, range(16))))})


@pytest.fixture(scope="module")
def shipped(known: Dataset) -> RobustnessReport:
    return measure_robustness(EmotionClassifier(), known)


class TestConditions:
    @pytest.mark.parametrize("name", CONDITIONS)
    def test_the_harder_the_more_a_portrait_changes(self, name: str) -> None:
        condition = CONDITIONS[name]
        errors = {
            level: float(
                np.abs(condition.corrupt(PORTRAITS[0], level, 3) - PORTRAITS[0].astype(float)).mean()
            )
            for level in condition.levels
        }
        harder = [errors[level] for level in condition.levels]
        if name == "scale":  # to both sides
            harder = harder[2:]
            assert errors[0.8] > errors[0.9] > 0
        assert harder == sorted(harder)
        assert len(set(harder)) == len(harder)
        if condition.uncorrupted is not None:
            assert condition.uncorrupted in condition.levels
            assert errors[condition.uncorrupted] == 0

    def test_shifts_are_equally_far_into_all_directions(self) -> None:
        moved = [centroid(CONDITIONS["shift"].corrupt(spot(24, 24), 0.1, place)) for place in range(60)]
        ways = np.array(moved) - 24
        assert np.hypot(*ways.T) == pytest.approx(np.full(60, 4.8), abs=0.15)
        assert ways.mean(axis=0) == pytest.approx([0, 0], abs=0.3)
        angles = np.sort(np.degrees(np.arctan2(*ways.T)))
        assert np.diff(angles).max() < 12

    def test_every_other_picture_is_turned_to_the_other_side(self) -> None:
        heights = [
            centroid(CONDITIONS["rotation"].corrupt(spot(36, 24), 30, place))[1] for place in (0, 1, 2)
        ]
        assert heights[0] == heights[2] < 24 < heights[1]

    def test_noise_differs_from_picture_to_picture_and_is_the_same_again(self) -> None:
        first, second, again = (CONDITIONS["noise"].corrupt(PORTRAITS[0], 10, place) for place in (0, 1, 0))
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(first, again)


class TestScores:
    def test_by_hand(self, report: RobustnessReport) -> None:
        assert (report.model, report.data, report.split, report.head, report.n) == (
            "brightness",
            "faces",
            "test",
            "expression",
            4,
        )
        assert report.uncorrupted.accuracy == 0.25
        assert accuracies(report, "brightness") == [0.25, 0, 0.25, 0.5]
        assert [point.level for point in report.curves["brightness"].points] == [1, 0.75, 0.5, 0.25]

    def test_what_leaves_the_light_alone_changes_no_answer(self, report: RobustnessReport) -> None:
        # The model sees nothing but the mean, and the faces are one grey.
        assert list(report.curves) == list(CONDITIONS)
        for name in set(CONDITIONS) - {"brightness"}:
            assert accuracies(report, name) == [0.25] * len(CONDITIONS[name].levels), name

    def test_the_undamaged_point_is_what_evaluate_says(
        self, known: Dataset, model: EmotionClassifier
    ) -> None:
        pictures = replace(known.splits["test"], targets=np.arange(16) % 7)
        data = Dataset("fer2013", LABELS, {"test": pictures})
        for classifier, head in ((EmotionClassifier(), "expression"), (model, "auto")):
            report = measure_robustness(classifier, data, head=head)
            expected = evaluate(classifier, data, head=head)
            uncorrupted = report.uncorrupted
            assert (uncorrupted.accuracy, uncorrupted.interval, uncorrupted.calibration_error) == (
                expected.accuracy,
                expected.interval,
                expected.calibration_error,
            )
            assert (report.head, report.sha256, report.n) == (expected.head, expected.sha256, 16)
            for name, condition in CONDITIONS.items():
                for point in report.curves[name].points:
                    if point.level == condition.uncorrupted:
                        assert point.accuracy == expected.accuracy

    def test_the_shipped_model_is_harmed_by_what_is_hard(
        self, known: Dataset, shipped: RobustnessReport
    ) -> None:
        assert shipped.uncorrupted.accuracy == 1
        for name in ("blur", "noise", "face size"):
            assert accuracies(shipped, name)[-1] < 0.9, name
        probabilities = EmotionClassifier().predict_proba(
            np.stack([CONDITIONS["blur"].corrupt(image, 2, 0) for image in known.splits["test"].images])
        )
        worst = shipped.curves["blur"].points[-1]
        assert worst.accuracy == (probabilities.argmax(axis=1) == known.splits["test"].targets).mean()
        assert worst.mean_confidence == pytest.approx(probabilities.max(axis=1).mean())
        assert worst.interval[0] <= worst.accuracy <= worst.interval[1] < 1

    @pytest.mark.slow
    def test_two_runs_give_the_same(self, known: Dataset, shipped: RobustnessReport) -> None:
        assert measure_robustness(EmotionClassifier(), known) == shipped
        found = predict_split(EmotionClassifier(), known)
        assert score_corrupted(EmotionClassifier(), found) == shipped

    @pytest.mark.slow
    def test_many_pictures_in_a_file_are_damaged_by_their_place(
        self, write_model: WriteModel, tmp_path: Path
    ) -> None:
        # More than are held at once. The model sees the left edge, which a shift brings something else into.
        model = EmotionClassifier(write_model(region=(0, 0, 48, 4)))
        images = np.tile(photographs(103) // 2, (10, 1, 1))
        images.tofile(tmp_path / "pixels")
        mapped = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=images.shape)
        targets = np.arange(1030) % 7
        data = dataset(test=Split(mapped, targets, tuple(map(str, range(1030)))))
        corrupted = np.stack(
            [CONDITIONS["shift"].corrupt(image, 0.1, place) for place, image in enumerate(images)]
        )
        right = model.predict_proba(corrupted).argmax(axis=1) == targets
        report = measure_robustness(model, data)
        assert accuracies(report, "shift")[-1] == right.mean() != report.uncorrupted.accuracy

    def test_progress_runs_to_its_end(self, model: EmotionClassifier) -> None:
        said: list[tuple[str, int, int]] = []
        measure_robustness(model, DARKENED, progress=lambda *step: said.append(step))
        levels = sum(len(condition.levels) for condition in CONDITIONS.values())
        assert [done for _, done, _ in said] == [4 * i for i in range(levels + 1)]
        assert {total for *_, total in said} == {4 * levels}
        assert tuple(w for w, *_ in said if w in ("noise 20", "face size 24")) == ("noise 20", "face size 24")

    def test_errors_are_those_of_evaluate(self, model: EmotionClassifier) -> None:
        with pytest.raises(DatasetError, match="no split 'train'"):
            measure_robustness(model, DARKENED, split="train")
        with pytest.raises(ModelError, match="no head 'nonsense'"):
            measure_robustness(model, DARKENED, head="nonsense")
        with pytest.raises(DatasetError, match="no FER\\+ votes"):
            measure_robustness(model, DARKENED, head="ferplus")

    @pytest.mark.slow
    def test_fer2013(self, real_fer2013: Dataset) -> None:
        some = real_fer2013.split("validation").take(np.arange(3589) < 80)
        report = measure_robustness(
            EmotionClassifier(), Dataset("fer2013", LABELS, {"validation": some}), head="fer2013"
        )
        assert report.uncorrupted.accuracy > 0.5
        assert min(accuracies(report, "shift")) > report.uncorrupted.accuracy - 0.15
        assert accuracies(report, "blur")[-1] < report.uncorrupted.accuracy


@pytest.mark.slow
class TestOutput:
    def test_json(self, report: RobustnessReport) -> None:
        values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert values["uncorrupted"]["accuracy"] == 0.25
        assert values["curves"]["brightness"]["unit"] == "share of the light"
        point = values["curves"]["brightness"]["points"][-1]
        assert (point["level"], point["accuracy"]) == (0.25, 0.5)
        assert point["interval"] == list(report.curves["brightness"].points[-1].interval)
        assert set(point) == {"level", "accuracy", "interval", "mean_confidence", "calibration_error"}

    def test_the_table(self, report: RobustnessReport) -> None:
        lines = report.to_text().split("\n")
        assert lines[0] == "brightness on faces, split test, head expression: 4 images, corrupted"
        assert lines[2].split() == list(report.table().columns)
        assert lines[3].split()[:3] == ["uncorrupted", "25.0", "%"]
        bright = next(i for i, line in enumerate(lines) if line.startswith("brightness, share"))
        assert "75 %" in lines[bright] and " -25.0 " in lines[bright]
        assert lines[bright + 1].split()[:2] == ["50", "%"] and " +0.0 " in lines[bright + 1]
        assert lines[bright + 2].split()[:4] == ["25", "%", "50.0", "%"] and " +25.0 " in lines[bright + 2]
        assert len({len(line) for line in lines[2:]}) == 1, "columns end together"

    def test_the_undamaged_images_have_one_row(self, report: RobustnessReport) -> None:
        rows = report.table().rows
        corrupted = sum(level != c.uncorrupted for c in CONDITIONS.values() for level in c.levels)
        assert len(rows) == 1 + corrupted
        assert [row[0] for row in rows].count("uncorrupted") == 1

    def test_the_page(self, model: EmotionClassifier, report: RobustnessReport, tmp_path: Path) -> None:
        found = predict_split(model, DARKENED)
        page = write_report([found], tmp_path / "out", robustness=report)
        assert_self_contained(page)
        text = Page(page).text
        assert all(f"{name}, {condition.unit}" in text for name, condition in CONDITIONS.items())
        assert "+25.0" in text
        assert_picture(tmp_path / "out" / "robustness.png", 1000, 800)
        assert json.loads((tmp_path / "out" / "robustness.json").read_text()) == json.loads(
            json.dumps(report.to_dict())
        )
        plain = write_evaluation(found, tmp_path / "plain")
        assert "JPEG" not in Page(plain).text
        assert not (tmp_path / "plain" / "robustness.json").exists()

    def test_not_on_the_page_of_two_models(
        self, model: EmotionClassifier, report: RobustnessReport, tmp_path: Path
    ) -> None:
        found = predict_split(model, DARKENED)
        with pytest.raises(ValueError, match="one model"):
            write_report([found, found], tmp_path, robustness=report)


class TestChart:
    def test_a_panel_a_condition_with_the_scores(self, report: RobustnessReport) -> None:
        figure = _robustness_figure({"brightness": report})
        panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
        assert list(panels) == list(CONDITIONS)
        axes = panels["brightness"]
        uncorrupted, curve = axes.lines
        assert list(uncorrupted.get_ydata()) == [0.25, 0.25]
        assert uncorrupted.get_linestyle() == "--"
        assert list(curve.get_xdata()) == [1, 0.75, 0.5, 0.25]
        assert list(curve.get_ydata()) == [0.25, 0, 0.25, 0.5]
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["100 %", "75 %", "50 %", "25 %"]
        assert axes.get_xlabel() == "share of the light"
        band = axes.collections[0].get_paths()[0].vertices
        assert band[:, 1].max() == max(p.interval[1] for p in report.curves["brightness"].points)
        assert_nothing_is_cut_off(figure)

    def test_hard_is_on_the_right_and_all_panels_have_one_scale(self, report: RobustnessReport) -> None:
        figure = _robustness_figure({"brightness": report})
        panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
        for name, inverted in (("shift", False), ("noise", False), ("face size", True), ("JPEG", True)):
            assert panels[name].xaxis_inverted() == inverted, name
        assert len({axes.get_ylim() for axes in panels.values()}) == 1
        low, high = panels["shift"].get_ylim()
        ends = [end for curve in report.curves.values() for p in curve.points for end in p.interval]
        assert low <= min(ends) and high >= max(ends)

    def test_two_models(self, report: RobustnessReport, shipped: RobustnessReport) -> None:
        figure = _robustness_figure({"$A$": report, "runs/a rather long name of a run": shipped})
        labels = [text.get_text().replace("\n", " ") for text in figure.axes[8].get_legend().get_texts()]
        assert labels[0] == "$A$, 25.0\N{NO-BREAK SPACE}% uncorrupted"
        assert labels[1] == "runs/a rather long name of a run, 100.0\N{NO-BREAK SPACE}% uncorrupted"
        _, first, _, second = figure.axes[0].lines
        assert first.get_color() != second.get_color() and first.get_marker() != second.get_marker()
        assert list(second.get_ydata()) == accuracies(shipped, "shift")
        assert_nothing_is_cut_off(figure)

    def test_what_cannot_be_drawn(self, report: RobustnessReport, tmp_path: Path) -> None:
        fewer = replace(report, curves={"shift": report.curves["shift"]})
        for reports in ({}, {str(i): report for i in range(5)}, {"A": report, "B": fewer}):
            with pytest.raises(ValueError, match="expected one to 4, of the same conditions"):
                robustness_chart(reports, tmp_path / "chart.png")
        robustness_chart({"A": fewer}, tmp_path / "chart.png")
        assert_picture(tmp_path / "chart.png", 700, 300)
