"""Curves of a training run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from mien.output.figures import TRAIN, VALIDATION, new_figure, save_figure, set_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def training_curves(history: Sequence[Mapping[str, float]], path: str | PathLike[str]) -> None:
    """Loss and accuracy against the epoch, for training and validation.

    Args:
        history: one row per epoch with `epoch`, `loss`, `accuracy` or one `<head>_accuracy` per head, and each of
            these with `val_` before it; accuracies are fractions. A row may lack any but `epoch`.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: the history is empty.
        OSError: the file cannot be written.
    """
    save_figure(_training_figure(history), path)


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
    figure = new_figure(10, 4.0)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], color=TRAIN, label="training")
    scored = [row for row in history if math.isfinite(row["val_average_precision"])]
    for key, name, line in (
        ("val_average_precision", "average precision", "-"),
        ("val_recall", "recall", "--"),
    ):
        values = [row[key] for row in scored]
        right.plot([row["epoch"] for row in scored], values, line, color=VALIDATION, marker="o", label=name)
    for axes, name in ((left, "loss"), (right, "validation")):
        set_style(axes, "both")
        axes.set(xlabel="epoch", ylabel=name, xlim=(min(epochs) - 0.5, max(epochs) + 0.5))
        axes.legend(frameon=False)
    save_figure(figure, path)


def _training_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    if not history:
        raise ValueError("an empty history: expected one row an epoch")
    heads = sorted({key.removeprefix("val_") for row in history for key in row if key.endswith("accuracy")})
    figure = new_figure(10, 4.0)
    left, right = figure.subplots(1, 2)
    _plot_column(left, history, "loss", "-")
    for head, line in zip(heads, itertools.cycle(("-", "--", ":", "-.")), strict=False):
        _plot_column(right, history, head, line)
    epochs = [row["epoch"] for row in history]
    for axes, name in ((left, "loss"), (right, "accuracy")):
        set_style(axes, "both")
        axes.set(xlabel="epoch", ylabel=name, xlim=(min(epochs) - 0.5, max(epochs) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if axes.lines:
            axes.legend(frameon=False)
    right.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


def _plot_column(axes: Axes, history: Sequence[Mapping[str, float]], key: str, line: str) -> None:
    head = key.removesuffix("loss").removesuffix("accuracy").replace("_", " ")
    for column, color, part in ((key, TRAIN, "training"), (f"val_{key}", VALIDATION, "validation")):
        points = [(row["epoch"], row[column]) for row in history if column in row]
        if points:
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) <= 20 else None
            axes.plot(epochs, values, line, color=color, marker=marker, markersize=4, label=head + part)
