"""Charts as PNG files of how good a model is. matplotlib is imported inside the functions, as in charts.py."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien._core.text import percent
from mien.metrics.calibration import BINS, in_bins, selective_accuracy
from mien.output.figures import GRID, INK, SERIES, SHADES, VALIDATION, new_figure, save_figure, set_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = ("-", "--", ":", "-.")


def confusion_matrix_chart(
    matrix: NDArray[np.integer[Any]], labels: Sequence[str], path: str | PathLike[str]
) -> None:
    """The confusion matrix with the percent of each row and the counts.

    Args:
        matrix: (k, k) counts; rows are the true labels, columns the predicted ones.
        labels: the k labels in the matrix's order.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: the matrix is not (k, k).
        OSError: the file cannot be written.
    """
    save_figure(_confusion_figure(matrix, labels), path)


def reliability_chart(
    confidences: NDArray[np.floating[Any]],
    correct: NDArray[np.bool_],
    path: str | PathLike[str],
    bins: int = BINS,
) -> None:
    """Reliability diagram: accuracy against confidence; on the diagonal a model is calibrated; below: the counts.

    Args:
        confidences: (n,) the highest probability of each prediction, 0 to 1.
        correct: (n,) bool, whether that prediction was right.
        path: the PNG file to write; its folder exists.
        bins: how many intervals of equal width.

    Raises:
        ValueError: no predictions, unequal lengths, or fewer than one bin.
        OSError: the file cannot be written.
    """
    save_figure(_reliability_figure(confidences, correct, bins), path)


def risk_coverage_chart(
    curves: Mapping[str, tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]], path: str | PathLike[str]
) -> None:
    """Accuracy of the predictions that are kept, against the share that is kept, the most confident first.

    Args:
        curves: name -> ((n,) confidences from 0 to 1, (n,) bool whether each prediction was right).
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no curve, or one without predictions.
        OSError: the file cannot be written.
    """
    save_figure(_risk_coverage_figure(curves), path)


def per_class_chart(
    series: Mapping[str, Sequence[float]], labels: Sequence[str], path: str | PathLike[str]
) -> None:
    """Scores by label, as bars beside each other.

    Args:
        series: name of a score, such as "recall" -> its value for every label, 0 to 1; up to four.
        labels: of the groups of bars, in order.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no series, more than four, or one that is not as long as the labels.
        OSError: the file cannot be written.
    """
    save_figure(_per_class_figure(series, labels), path)


def groups_chart(groups: Mapping[str, tuple[float, tuple[float, float]]], path: str | PathLike[str]) -> None:
    """Accuracy by group: a point with its interval a line, the first as the dashed line that others are held to.

    Args:
        groups: name -> (accuracy, (low, high)), 0 to 1 each.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no group.
        OSError: the file cannot be written.
    """
    save_figure(_groups_figure(groups), path)


def faces_chart(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], path: str | PathLike[str]
) -> None:
    """Faces in rows, each with its caption below.

    Args:
        images: (h, w) uint8 grey, one or more.
        captions: one an image; a line of at most 60 characters is wrapped.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no images, or not as many captions.
        OSError: the file cannot be written.
    """
    save_figure(_faces_figure(images, captions), path)


def _confusion_figure(matrix: NDArray[np.integer[Any]], labels: Sequence[str]) -> Figure:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    counts = np.asarray(matrix)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"confusion matrix of shape {counts.shape}: expected {len(labels)} rows and columns")
    totals = counts.sum(axis=1, keepdims=True)
    percents = 100 * counts / np.maximum(totals, 1)
    side = 1.6 + 0.8 * max(3, len(labels))
    figure = new_figure(side + 0.6, side)
    axes = figure.subplots()
    # The light end of the map only: dark text is readable on all of it.
    axes.imshow(percents, cmap=ListedColormap(colormaps["Blues"](np.linspace(0, 0.6, 256))), vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(percents):
        weight = "bold" if row == column else "normal"
        text = f"{share:.0f} %\n{counts[row, column]:,}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=INK, fontweight=weight)
    names = [f"{label} ({total:,})" for label, total in zip(labels, totals[:, 0], strict=True)]
    axes.set_yticks(range(len(labels)), names, parse_math=False)
    axes.set_xticks(range(len(labels)), labels, parse_math=False)
    axes.tick_params(length=0)
    axes.tick_params("x", labelrotation=20)
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    return figure


def _reliability_figure(
    confidences: NDArray[np.floating[Any]], correct: NDArray[np.bool_], bins: int
) -> Figure:
    from matplotlib.ticker import PercentFormatter

    each, right = np.asarray(confidences, np.float64), np.asarray(correct, np.bool_)
    if each.ndim != 1 or each.shape != right.shape or each.size == 0 or bins < 1:
        raise ValueError(
            f"confidences of shape {each.shape}, correct of shape {right.shape}, {bins} bins: "
            "expected two arrays of one equal length above 0, and at least one bin"
        )
    starts = np.arange(bins) / bins
    counts, hits, sums = in_bins(each, right, bins)
    filled = counts > 0
    accuracy, confidence = hits[filled] / counts[filled], sums[filled] / counts[filled]
    figure = new_figure(5.4, 6.0)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    top.plot([0, 1], [0, 1], "--", color=INK, linewidth=1, label="perfectly calibrated")
    top.bar(starts[filled], accuracy, 1 / bins, align="edge", color=SERIES[0], alpha=0.5, edgecolor="white")
    top.plot(confidence, accuracy, "o-", color=VALIDATION, markersize=4, label="accuracy in each bin")
    bottom.bar(starts, counts, 1 / bins, align="edge", color=SHADES[-1], alpha=0.6, edgecolor="white")
    for axes in (top, bottom):
        set_style(axes, "y")
        axes.set(xlim=(0, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    top.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    top.set(ylim=(0, 1), ylabel="accuracy")
    top.set_title(f"mean confidence {percent(each.mean())}, accuracy {percent(right.mean())}", fontsize=11)
    top.legend(frameon=False, loc="upper left")
    bottom.set(xlabel="confidence", ylabel="predictions")
    return figure


def _risk_coverage_figure(
    curves: Mapping[str, tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]],
) -> Figure:
    from matplotlib.ticker import PercentFormatter

    if not curves or any(len(confidence) == 0 for confidence, _ in curves.values()):
        raise ValueError("no predictions: expected one curve or more, each with at least one prediction")
    figure = new_figure(5.4, 4.4)
    axes = figure.subplots()
    set_style(axes, "both")
    lowest = 1.0
    for place, (name, (confidences, correct)) in enumerate(curves.items()):
        coverage, accuracy = selective_accuracy(np.asarray(confidences), np.asarray(correct))
        color, line = SERIES[place % len(SERIES)], _LINES[place % len(_LINES)]
        # No threshold keeps fewer predictions than the first does: the curve starts there.
        label = f"{name}: area {accuracy.mean():.3f}"
        axes.plot(coverage, accuracy, line, color=color, label=label, linewidth=1.8)
        axes.axhline(accuracy[-1], color=color, linewidth=0.8, alpha=0.5)
        lowest = min(lowest, float(accuracy[-1]), float(accuracy[coverage >= 0.05].min()))
    axes.set(xlim=(0, 1), ylim=(max(0.0, np.floor(10 * lowest - 0.5) / 10), 1.005))
    axes.set(xlabel="coverage: share of predictions kept, the most confident first", ylabel="accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    legend = axes.legend(frameon=False, loc="lower left")
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _per_class_figure(series: Mapping[str, Sequence[float]], labels: Sequence[str]) -> Figure:
    from matplotlib.ticker import PercentFormatter

    if not 1 <= len(series) <= len(SERIES) or any(len(values) != len(labels) for values in series.values()):
        raise ValueError(
            f"series of {[len(values) for values in series.values()]} values for {len(labels)} labels: "
            f"expected one to {len(SERIES)} series, with a value a label"
        )
    # Horizontal bars: labels of any length stay readable.
    figure = new_figure(6.0, 1.3 + 0.22 * (len(series) + 1) * len(labels))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    height = 0.84 / len(series)
    for place, (name, values) in enumerate(series.items()):
        rows = np.arange(len(labels)) - 0.42 + (place + 0.5) * height
        axes.barh(rows, values, 0.92 * height, color=SERIES[place], label=name)
        for row, value in zip(rows, values, strict=True):
            axes.text(value + 0.01, row, f"{100 * value:.0f}", va="center", fontsize=7.5, color=INK)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set(xlim=(0, 1.04), ylim=(len(labels) - 0.4, -0.6))  # the first label on top
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    legend = axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(series))
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _groups_figure(groups: Mapping[str, tuple[float, tuple[float, float]]]) -> Figure:
    from matplotlib.ticker import PercentFormatter

    if not groups:
        raise ValueError("no groups: expected one or more")
    figure = new_figure(6.4, 0.9 + 0.32 * len(groups))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    first = next(iter(groups.values()))[0]
    axes.axvline(first, color=INK, linewidth=1, linestyle="--")
    for row, (share, (low, high)) in enumerate(groups.values()):
        axes.plot([low, high], [row, row], color=SERIES[0], linewidth=2.2, solid_capstyle="round")
        axes.plot([share], [row], "o", color=SERIES[0], markersize=6)
    axes.set_yticks(range(len(groups)), list(groups), parse_math=False)
    axes.set_ylim(len(groups) - 0.5, -0.5)  # the first on top
    ends = [end for _, interval in groups.values() for end in interval]
    axes.set_xlim(max(-0.01, min(ends) - 0.03), min(1.01, max(ends) + 0.03))
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("accuracy")
    return figure


def _faces_figure(images: Sequence[NDArray[np.uint8]], captions: Sequence[str]) -> Figure:
    if len(images) == 0 or len(images) != len(captions):
        raise ValueError(
            f"{len(images)} images, {len(captions)} captions: expected one or more, as many of each"
        )
    columns = min(6, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(max(3.0, 1.6 * columns), 2.3 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        lines = [part for line in caption.split("\n") for part in textwrap.wrap(line, 26) or [""]]
        axes.text(
            0.5, -0.05, "\n".join(lines), transform=axes.transAxes, ha="center", va="top", fontsize=6.5,
            parse_math=False,
        )  # fmt: skip
    return figure
