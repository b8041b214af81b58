"""The chart of accuracy under corruptions, as a PNG file. matplotlib is imported inside, as in charts.py."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from mien._core.text import percent
from mien.output.figures import INK, SERIES, new_figure, save_figure, set_style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.evaluation.robustness import RobustnessReport

_COLUMNS = 3
_MARKERS = ("o", "s", "^", "D")


def robustness_chart(reports: Mapping[str, RobustnessReport], path: str | PathLike[str]) -> None:
    """Accuracy against the level of corruption, one panel per condition; bands are 95 % intervals.

    Args:
        reports: name of a model -> its report; one to four of the same conditions.
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no report, more than four, or of different conditions.
        OSError: the file cannot be written.
    """
    save_figure(_robustness_figure(reports), path)


def _robustness_figure(reports: Mapping[str, RobustnessReport]) -> Figure:
    from matplotlib.ticker import PercentFormatter

    measured = [
        {name: [point.level for point in curve.points] for name, curve in report.curves.items()}
        for report in reports.values()
    ]
    if not 1 <= len(reports) <= len(SERIES) or any(levels != measured[0] for levels in measured):
        raise ValueError(f"{len(reports)} reports: expected one to {len(SERIES)}, of the same conditions")
    names = list(measured[0])
    rows = -(-(len(names) + 1) // _COLUMNS)  # the legend has its own panel
    figure = new_figure(8.6, 0.4 + 2.4 * rows)
    grid = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        _draw_condition(axes, name, reports)
    for axes in grid[::_COLUMNS]:
        axes.set_ylabel("accuracy")
    grid[0].set_ylim(_limits(reports))
    grid[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    _add_legend(grid[len(names)], grid[0].get_legend_handles_labels())
    return figure


def _add_legend(axes: Axes, curves: tuple[list[Artist], list[str]]) -> None:
    """The models by their curves, then what is drawn of each of them."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        *curves[0],
        Line2D([], [], color=INK, linestyle="--", linewidth=1),
        Patch(color=INK, alpha=0.18),
    ]
    labels = [*("\n".join(wrap(name, 26)) for name in curves[1]), "uncorrupted", "95 % interval"]
    legend = axes.legend(handles, labels, loc="center left", frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_condition(axes: Axes, name: str, reports: Mapping[str, RobustnessReport]) -> None:
    """One panel: the curve of every model, and its accuracy without corruption as a dashed line."""
    set_style(axes, "y")
    for place, (model, report) in enumerate(reports.items()):
        points, color = report.curves[name].points, SERIES[place]
        levels = [point.level for point in points]
        low, high = zip(*(point.interval for point in points), strict=True)
        axes.fill_between(levels, low, high, color=color, alpha=0.18, linewidth=0)
        whole = percent(report.uncorrupted.accuracy).replace(" ", "\N{NO-BREAK SPACE}")
        axes.axhline(report.uncorrupted.accuracy, color=color, linewidth=1, linestyle="--")
        axes.plot(
            levels, [point.accuracy for point in points], color=color, marker=_MARKERS[place], markersize=4,
            linewidth=1.6, label=f"{model}, {whole} uncorrupted",
        )  # fmt: skip
    curve = next(iter(reports.values())).curves[name]
    ticks = [point.level for point in curve.points]
    axes.set_xticks(ticks, [curve.level_text(level) for level in ticks])
    if ticks[0] > ticks[-1]:
        axes.invert_xaxis()  # what is hard is on the right
    axes.set_title(name, fontsize=11)
    axes.set_xlabel(curve.unit)
    axes.tick_params(labelsize=8.5)


def _limits(reports: Mapping[str, RobustnessReport]) -> tuple[float, float]:
    """Limits of the common axis: tenths that enclose all intervals, with room for the line width at 0 and 1."""
    ends = np.array(
        [
            point.interval
            for report in reports.values()
            for curve in report.curves.values()
            for point in curve.points
        ]
    )
    low, high = np.floor(10 * ends.min() - 0.1) / 10, np.ceil(10 * ends.max() + 0.1) / 10
    return max(-0.01, float(low)), min(1.01, float(high))
