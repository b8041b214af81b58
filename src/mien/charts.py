"""Charts as PNG files: the expression of one face, and how a model was trained; score_charts.py has the others.

matplotlib is imported inside the functions and used without pyplot, which would keep every figure and might
look for a display.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mien.annotation import Color, color_of
from mien.results import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#202020"
_GRID = "#d8d8d8"
_TRAIN = "#d55e00"
_VALIDATION = "#0072b2"


def emotion_chart(
    face_picture: NDArray[np.uint8],
    prediction: Prediction,
    path: str | PathLike[str],
    title: str | None = None,
) -> None:
    """The face on the left, and on the right a bar in percent for each expression, the highest stressed.

    Args:
        face_picture: (h, w, 3) uint8 RGB.
        prediction: its labels go along the x axis in their order.
        path: the PNG file to write; its folder exists.
        title: a line above both, such as the file's name.

    Raises:
        ValueError: the picture is empty or not (h, w, 3).
        OSError: the file cannot be written.
    """
    _save(_emotion_figure(face_picture, prediction, title), path)


def training_curves(history: Sequence[Mapping[str, float]], path: str | PathLike[str]) -> None:
    """Loss and accuracy against the epoch, for training and validation.

    Args:
        history: a row an epoch with `epoch`, `loss`, `accuracy` or one `<head>_accuracy` a head, and each of
            these with `val_` before it; accuracies are fractions. A row may lack any but `epoch`.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: the history is empty.
        OSError: the file cannot be written.
    """
    _save(_training_figure(history), path)


def emotion_shares(shares: Mapping[str, Mapping[str, float]], path: str | PathLike[str]) -> None:
    """A bar a group, divided by the shares of its expressions.

    Args:
        shares: group -> label -> share of its faces, in [0, 1].
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no group.
        OSError: the file cannot be written.
    """
    _save(_shares_figure(shares), path)


def detector_curves(history: Sequence[Mapping[str, float]], path: str | PathLike[str]) -> None:
    """Draw a face detector's loss, average precision and recall against the epoch into a PNG file.

    Args:
        history: one row an epoch, as the run's `history.csv` has it.
        path: of the PNG file.

    Raises:
        ValueError: the history is empty.
        OSError: the file cannot be written.
    """
    if not history:
        raise ValueError("an empty history: expected one row an epoch")
    figure = _figure(10, 4.0)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], color=_TRAIN, label="training")
    scored = [row for row in history if math.isfinite(row["val_average_precision"])]
    for key, name, line in (
        ("val_average_precision", "average precision", "-"),
        ("val_recall", "recall", "--"),
    ):
        values = [row[key] for row in scored]
        right.plot([row["epoch"] for row in scored], values, line, color=_VALIDATION, marker="o", label=name)
    for axes, name in ((left, "loss"), (right, "validation")):
        _style(axes, "both")
        axes.set(xlabel="epoch", ylabel=name, xlim=(min(epochs) - 0.5, max(epochs) + 0.5))
        axes.legend(frameon=False)
    _save(figure, path)


def sample_portrait() -> Path:
    """The public-domain portrait of Grace Hopper that matplotlib brings: (600, 512, 3), one face."""
    spec = find_spec(
        "matplotlib"
    )  # found, not loaded: that takes a while, and makes a folder in the user's home
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("mien needs matplotlib: pip install matplotlib")
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def _emotion_figure(face_picture: NDArray[np.uint8], prediction: Prediction, title: str | None) -> Figure:
    if face_picture.ndim != 3 or face_picture.shape[2] != 3 or face_picture.size == 0:
        raise ValueError(f"face picture of shape {face_picture.shape}: expected (height, width, 3), RGB")
    labels = list(prediction.probabilities)
    percents = [100 * p for p in prediction.probabilities.values()]
    figure = _figure(3.2 + 0.85 * max(5, len(labels)), 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[3.0, 0.85 * max(5, len(labels))])
    left.imshow(face_picture, interpolation="antialiased")
    left.set_axis_off()
    word = prediction.emotion + ("?" if prediction.uncertain else "")
    left.set_title(f"{word} {100 * prediction.confidence:.0f} %", fontweight="bold", parse_math=False)
    _style(right, "y")
    bars = right.bar(
        range(len(labels)),
        percents,
        color=[_hex(color_of(label)) for label in labels],
        edgecolor=_INK,
        linewidth=[1.6 if label == prediction.emotion else 0.5 for label in labels],
        width=0.72,
    )
    for label, bar in zip(labels, bars, strict=True):
        bar.set_alpha(1.0 if label == prediction.emotion else 0.45)
    for place, (label, percent) in enumerate(zip(labels, percents, strict=True)):
        weight = "bold" if label == prediction.emotion else "normal"
        right.text(place, percent + 1.5, f"{percent:.1f}", ha="center", va="bottom", fontweight=weight)
    right.set_xticks(range(len(labels)), labels, parse_math=False)
    right.set(ylim=(0, 100), yticks=range(0, 101, 20), ylabel="percent")
    if title is not None:
        figure.suptitle(_short(title), fontsize=10, parse_math=False)
    return figure


def _shares_figure(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    if not shares:
        raise ValueError("no groups: expected one or more")
    figure = _figure(9.0, 1.4 + 0.42 * len(shares))
    axes = figure.subplots()
    _style(axes, "x")
    names = [_short(name) for name in shares]
    left = np.zeros(len(shares))
    for label in next(iter(shares.values())):
        widths = np.array([100 * group[label] for group in shares.values()])
        axes.barh(
            range(len(shares)), widths, left=left, color=_hex(color_of(label)), label=label, edgecolor="white"
        )
        for place, (start, width) in enumerate(zip(left, widths, strict=True)):
            if width >= 6:  # narrower pieces have no room for a number
                axes.text(start + width / 2, place, f"{width:.0f}", ha="center", va="center", fontsize=8)
        left += widths
    axes.set_yticks(range(len(shares)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="percent of the faces")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=7, frameon=False, fontsize=8)
    return figure


def _training_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    if not history:
        raise ValueError("an empty history: expected one row an epoch")
    heads = sorted({key.removeprefix("val_") for row in history for key in row if key.endswith("accuracy")})
    figure = _figure(10, 4.0)
    left, right = figure.subplots(1, 2)
    _plot_column(left, history, "loss", "-")
    for head, line in zip(heads, itertools.cycle(("-", "--", ":", "-.")), strict=False):
        _plot_column(right, history, head, line)
    epochs = [row["epoch"] for row in history]
    for axes, name in ((left, "loss"), (right, "accuracy")):
        _style(axes, "both")
        axes.set(xlabel="epoch", ylabel=name, xlim=(min(epochs) - 0.5, max(epochs) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if axes.lines:
            axes.legend(frameon=False)
    right.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


def _plot_column(axes: Axes, history: Sequence[Mapping[str, float]], key: str, line: str) -> None:
    head = key.removesuffix("loss").removesuffix("accuracy").replace("_", " ")
    for column, color, part in ((key, _TRAIN, "training"), (f"val_{key}", _VALIDATION, "validation")):
        points = [(row["epoch"], row[column]) for row in history if column in row]
        if points:
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 20 else None
            axes.plot(epochs, values, line, color=color, marker=marker, markersize=4, label=head + part)


def _figure(width: float, height: float) -> Figure:
    """An empty figure, inches, on which everything is laid out so that nothing is cut off."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    return figure


def _style(axes: Axes, grid: Literal["both", "x", "y"]) -> None:
    """The common look: no frame on top and right, a light grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _save(figure: Figure, path: str | PathLike[str]) -> None:
    with warnings.catch_warnings():
        # A file name may hold any characters; those that the font lacks show as boxes, which says enough.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, format="png")


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _short(text: str) -> str:
    """One line without undecodable characters, of a long path the end."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return line if len(line) <= 80 else "…" + line[-79:]
