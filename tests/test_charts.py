from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mien.images.sample import sample_portrait
from mien.labels import LABELS
from mien.output.charts import _emotion_figure, emotion_chart
from mien.output.curves import _training_figure, training_curves
from mien.output.palette import COLORS
from mien.results import Prediction

PREDICTION = Prediction(dict(zip(LABELS, (0.02, 0.01, 0.05, 0.8, 0.04, 0.03, 0.05), strict=True)))


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    with Image.open(sample_portrait()) as picture:
        return np.array(picture.convert("RGB"))[90:290, 160:360]


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "loss": 2 / epoch,
            "fer2013_accuracy": 1 - 0.8 / epoch,
            "ferplus_accuracy": 1 - 0.7 / epoch,
            "val_loss": 2.2 / epoch,
            "val_fer2013_accuracy": 1 - 0.85 / epoch,
            "val_ferplus_accuracy": 1 - 0.75 / epoch,
            "learning_rate": 0.1,
        }
        for epoch in range(1, epochs + 1)
    ]


def assert_picture(path: Path, min_width: int, min_height: int) -> None:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width >= min_width and picture.height >= min_height
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def assert_nothing_is_cut_off(figure: Figure) -> None:
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_each_chart_is_a_png(tmp_path: Path, portrait: np.ndarray):
    emotion_chart(portrait, PREDICTION, tmp_path / "emotion.png", "grace_hopper.jpg")
    training_curves(history(3), tmp_path / "curves.png")
    for name in ("emotion", "curves"):
        assert_picture(tmp_path / f"{name}.png", 700, 500)


def test_the_bar_chart_shows_the_face_and_seven_percents(portrait: np.ndarray):
    figure = _emotion_figure(portrait, PREDICTION, None)
    left, right = figure.axes
    assert np.array_equal(left.images[0].get_array(), portrait)
    assert left.get_title() == "happy 80 %"
    assert [tick.get_text() for tick in right.get_xticklabels()] == list(LABELS)
    assert [bar.get_height() for bar in right.patches] == [100 * p for p in PREDICTION.probabilities.values()]
    assert right.get_ylim() == (0, 100)
    assert right.get_ylabel() == "percent"
    assert [text.get_text() for text in right.texts] == ["2.0", "1.0", "5.0", "80.0", "4.0", "3.0", "5.0"]
    assert_nothing_is_cut_off(figure)


def test_the_highest_bar_is_stressed(portrait: np.ndarray):
    right = _emotion_figure(portrait, PREDICTION, None).axes[1]
    opaque = [bar for bar in right.patches if bar.get_alpha() == 1]
    assert opaque == [right.patches[LABELS.index("happy")]]
    assert opaque[0].get_facecolor()[:3] == pytest.approx([c / 255 for c in COLORS["happy"]])
    assert [text.get_text() for text in right.texts if text.get_fontweight() == "bold"] == ["80.0"]


def test_a_value_of_100_percent_and_a_title_fit(portrait: np.ndarray):
    certain = Prediction(dict.fromkeys(LABELS, 0.0) | {"sad": 1.0}, uncertain=True)
    figure = _emotion_figure(portrait, certain, "a title")
    assert figure.axes[0].get_title() == "sad? 100 %"
    assert figure.get_suptitle() == "a title"
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize(
    "title", ["$_$ 100%.jpg", "日本.jpg", "caf\udce9.jpg", "two\nlines.jpg", "long" * 99]
)
def test_any_file_name_is_a_title(title: str, tmp_path: Path, portrait: np.ndarray):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        emotion_chart(portrait, PREDICTION, tmp_path / "chart.png", title)
    assert_picture(tmp_path / "chart.png", 700, 500)
    figure = _emotion_figure(portrait, PREDICTION, title)
    assert "\n" not in figure.get_suptitle() and len(figure.get_suptitle()) <= 80


def test_labels_of_another_model_are_drawn(tmp_path: Path, portrait: np.ndarray):
    labels = ("$_$", "радость", "contempt")
    prediction = Prediction(dict(zip(labels, (0.5, 0.3, 0.2), strict=True)))
    emotion_chart(portrait, prediction, tmp_path / "emotion.png")
    assert_picture(tmp_path / "emotion.png", 700, 500)
    figure = _emotion_figure(portrait, prediction, None)
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == list(labels)


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (10, 400), (400, 10), (3000, 2000)])
def test_faces_of_any_size(size: tuple[int, int]):
    assert_nothing_is_cut_off(_emotion_figure(np.full((*size, 3), 90, np.uint8), PREDICTION, "title"))


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 4), (0, 9, 3)])
def test_no_face_picture(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"expected \(height, width, 3\)"):
        _emotion_figure(np.zeros(shape, np.uint8), PREDICTION, None)


def test_the_curves_are_the_history():
    rows = history(30)
    figure = _training_figure(rows)
    left, right = figure.axes
    assert {line.get_label() for line in left.lines} == {"training", "validation"}
    assert {line.get_label(): list(line.get_ydata()) for line in right.lines} == {
        "fer2013 training": [row["fer2013_accuracy"] for row in rows],
        "fer2013 validation": [row["val_fer2013_accuracy"] for row in rows],
        "ferplus training": [row["ferplus_accuracy"] for row in rows],
        "ferplus validation": [row["val_ferplus_accuracy"] for row in rows],
    }
    assert list(left.lines[0].get_xdata()) == list(range(1, 31))
    looks = {(line.get_color(), line.get_linestyle()) for line in right.lines}
    assert len(looks) == 4
    assert_nothing_is_cut_off(figure)


def test_one_epoch_of_one_head_is_a_point_on_a_whole_epoch():
    left, right = _training_figure([{"epoch": 1, "loss": 1.5, "accuracy": 0.3}]).axes
    assert [line.get_label() for line in right.lines] == ["training"]
    assert left.lines[0].get_marker() == "o"
    first, last = left.get_xlim()
    assert [tick for tick in left.get_xticks() if first <= tick <= last] == [1]


def test_rows_without_validation_are_left_out_of_its_curve():
    rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5, "val_loss": 1.7}, {"epoch": 3, "loss": 1.2}]
    training, validation = _training_figure(rows).axes[0].lines
    assert list(training.get_xdata()) == [1, 2, 3]
    assert list(validation.get_xdata()) == [2] and list(validation.get_ydata()) == [1.7]


def test_an_empty_history():
    with pytest.raises(ValueError, match="empty history"):
        training_curves([], "never.png")


def test_charts_need_no_display_and_no_pyplot(tmp_path: Path):
    program = (
        "import sys; from mien.output.curves import training_curves\n"
        "assert 'matplotlib' not in sys.modules\n"
        "training_curves([{'epoch': 1, 'loss': 1.0, 'accuracy': 0.5}], sys.argv[1])\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {
        key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    path = tmp_path / "curves.png"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=environment | {"MPLBACKEND": "tkagg"}
    )
    assert done.returncode == 0
    assert_picture(path, 700, 500)
