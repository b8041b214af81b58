"""Charts of scores: they show the numbers they are given, and nothing of them is cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from test_charts import assert_nothing_is_cut_off, assert_picture

from mien.evaluation.score_charts import (
    _confusion_figure,
    _faces_figure,
    _groups_figure,
    _per_class_figure,
    _reliability_figure,
    _risk_coverage_figure,
    confusion_matrix_chart,
    faces_chart,
    groups_chart,
    per_class_chart,
    reliability_chart,
    risk_coverage_chart,
)
from mien.labels import LABELS
from mien.output.palette import contrast

MATRIX = np.diag([491, 55, 528, 879, 594, 416, 626]) + np.arange(49).reshape(7, 7)
SAID = np.array([0.9, 0.8, 0.8, 0.6, 0.5])
RIGHT = np.array([True, False, True, True, False])
ODD_LABELS = ("$_$", "радость", "a rather long name of a class")


def test_each_chart_is_a_png(tmp_path: Path):
    confusion_matrix_chart(MATRIX, LABELS, tmp_path / "matrix.png")
    reliability_chart(np.array([0.5, 0.9]), np.array([False, True]), str(tmp_path / "reliability.png"))
    risk_coverage_chart({"mien-s": (SAID, RIGHT)}, tmp_path / "curve.png")
    per_class_chart({"recall": [0.5] * 7}, LABELS, tmp_path / "classes.png")
    for name in ("matrix", "reliability", "curve", "classes"):
        assert_picture(tmp_path / f"{name}.png", 700, 400)
    faces_chart([np.full((48, 48), 90, np.uint8)], ["a face"], tmp_path / "faces.png")
    assert_picture(tmp_path / "faces.png", 400, 300)


def test_labels_of_another_model_are_drawn(tmp_path: Path):
    confusion_matrix_chart(np.eye(3, dtype=int), ODD_LABELS, tmp_path / "matrix.png")
    per_class_chart({"$F_1$": [0, 0.5, 1]}, ODD_LABELS, tmp_path / "classes.png")
    for name in ("matrix", "classes"):
        assert_picture(tmp_path / f"{name}.png", 500, 300)
    figure = _per_class_figure({"$F_1$": [0, 0.5, 1]}, ODD_LABELS)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(ODD_LABELS)
    assert_nothing_is_cut_off(figure)


def test_groups_are_drawn_with_their_intervals(tmp_path: Path):
    groups = {"all (90)": (0.7, (0.65, 0.75)), "$_$ * (3)": (1.0, (0.4, 1.0)), "радость": (0.0, (0.0, 0.2))}
    groups_chart(groups, tmp_path / "groups.png")
    assert_picture(tmp_path / "groups.png", 500, 200)
    figure = _groups_figure(groups)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(groups)
    lines = [list(line.get_xdata()) for line in axes.lines]
    assert lines == [[0.7, 0.7], [0.65, 0.75], [0.7], [0.4, 1.0], [1.0], [0.0, 0.2], [0.0]]
    assert_nothing_is_cut_off(figure)
    with pytest.raises(ValueError, match="expected one or more"):
        groups_chart({}, tmp_path / "none.png")


def test_the_confusion_matrix_has_row_percents_and_counts():
    matrix = np.array([[8, 2], [1500, 0]])
    figure = _confusion_figure(matrix, ["happy", "sad"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["80 %\n8", "20 %\n2", "100 %\n1,500", "0 %\n0"]
    assert [text.get_position() for text in axes.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["happy (10)", "sad (1,500)"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["happy", "sad"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert_nothing_is_cut_off(figure)


def test_the_confusion_matrix_is_readable_everywhere():
    axes = _confusion_figure(np.array([[1, 0], [0, 0]]), ["happy", "sad"]).axes[0]
    assert axes.texts[3].get_text() == "0 %\n0"  # a row without examples
    picture = axes.images[0]
    for percent in range(0, 101, 5):
        cell = tuple(int(c) for c in picture.to_rgba(percent, bytes=True)[:3])
        ink = tuple(round(255 * c) for c in to_rgb(axes.texts[0].get_color()))
        assert contrast(ink, cell) >= 4.5


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (4,)])
def test_a_matrix_that_does_not_fit_its_labels(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="expected 2 rows and columns"):
        _confusion_figure(np.zeros(shape, int), ["happy", "sad"])


def test_reliability_has_the_accuracy_and_mean_confidence_of_each_bin():
    confidences = np.array([0.0, 0.1, 0.1, 0.6, 0.7, 0.95, 1.0])
    correct = np.array([False, False, True, True, False, True, True])
    figure = _reliability_figure(confidences, correct, 4)
    top, bottom = figure.axes
    points = top.lines[1]
    assert points.get_xdata() == pytest.approx([0.2 / 3, 0.65, 0.975])
    assert points.get_ydata() == pytest.approx([1 / 3, 0.5, 1.0])
    assert [bar.get_x() for bar in top.patches] == [0, 0.5, 0.75]
    assert [bar.get_height() for bar in bottom.patches] == [3, 0, 2, 2]
    assert list(top.lines[0].get_xdata()) == list(top.lines[0].get_ydata()) == [0, 1]
    assert top.get_title() == "mean confidence 49.3 %, accuracy 57.1 %"
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize(("said", "right", "bins"), [(0, 0, 15), (3, 2, 15), (3, 3, 0)])
def test_reliability_of_nothing(said: int, right: int, bins: int):
    with pytest.raises(ValueError, match="expected two arrays"):
        _reliability_figure(np.full(said, 0.5), np.ones(right, bool), bins)


def test_the_risk_coverage_curve_is_the_one_by_hand():
    figure = _risk_coverage_figure({"A": (SAID, RIGHT), "B": (SAID, ~RIGHT)})
    axes = figure.axes[0]
    a, a_all, b, b_all = axes.lines
    assert list(a.get_xdata()) == pytest.approx([0.2, 0.6, 0.6, 0.8, 1])
    assert list(a.get_ydata()) == pytest.approx([1, 2 / 3, 2 / 3, 3 / 4, 3 / 5])
    assert list(b.get_ydata()) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 4, 2 / 5])
    assert a_all.get_ydata()[0] == pytest.approx(0.6) and b_all.get_ydata()[0] == pytest.approx(0.4)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["A: area 0.737", "B: area 0.263"]
    assert (a.get_color(), a.get_linestyle()) != (b.get_color(), b.get_linestyle())
    low, high = axes.get_ylim()
    assert low <= 0 and high >= 1
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize("curves", [{}, {"A": (np.empty(0), np.empty(0, bool))}])
def test_no_curve(curves: dict):
    with pytest.raises(ValueError, match="no predictions"):
        _risk_coverage_figure(curves)


def test_bars_by_class_have_the_values_and_the_first_label_on_top():
    figure = _per_class_figure({"recall": [0.1, 1.0], "F1": [0.25, 0.0]}, ("happy", "sad"))
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 1.0, 0.25, 0.0]
    assert [text.get_text() for text in axes.texts] == ["10", "100", "25", "0"]
    bottom, top = axes.get_ylim()
    assert bottom > top, "row 0 is at the top"
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert [round(middle) for middle in middles] == [0, 1, 0, 1]
    assert middles[0] < middles[2], "in the order of the legend"
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize("series", [{}, {"recall": [0.5]}, {str(i): [0.5, 0.5] for i in range(5)}])
def test_bars_that_cannot_be_drawn(series: dict):
    with pytest.raises(ValueError, match="expected one to 4 series"):
        _per_class_figure(series, ("happy", "sad"))


def test_faces_stand_in_rows_with_their_captions():
    faces = [np.full((48, 48), 10 * i, np.uint8) for i in range(8)]
    captions = [f"label: happy\nsaid: sad {i} %\n{'a/long/path/' * 4}{i}.png" for i in range(8)]
    figure = _faces_figure(faces, captions)
    assert len(figure.axes) == 12
    assert [int(axes.images[0].get_array()[0, 0]) for axes in figure.axes[:8]] == [10 * i for i in range(8)]
    assert not any(axes.images or axes.texts for axes in figure.axes[8:])
    for axes, caption in zip(figure.axes, captions, strict=False):
        assert axes.texts[0].get_text().replace("\n", "") == caption.replace("\n", "")
        assert max(map(len, axes.texts[0].get_text().split("\n"))) <= 26
        assert axes.images[0].get_clim() == (0, 255), "the greys are not stretched"
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize(("images", "captions"), [(0, 0), (1, 2)])
def test_no_faces(images: int, captions: int):
    with pytest.raises(ValueError, match="expected one or more"):
        _faces_figure([np.zeros((9, 9), np.uint8)] * images, [""] * captions)
