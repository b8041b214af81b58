"""Charts of a study as PNG files. matplotlib is imported inside the functions, as in output/charts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.labels import Emotion
from mien.output.figures import GRID, INK, SHADES, hex_color, new_figure, save_figure, set_style, shortened
from mien.output.palette import color_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

_MARKS = "osD^vPX*"
_SHADES = (*SHADES, INK)


def conditions_chart(rows: Sequence[Row], path: Path) -> None:
    """Share of time and rate of every expression by condition: points with their 95 % intervals.

    Args:
        rows: of conditions.csv.
        path: the PNG file to write; its folder exists.

    Raises:
        OSError: the file cannot be written.
    """
    save_figure(_conditions_figure(rows), path)


def timeline_chart(people: Sequence[Row], episodes: Sequence[Row], path: Path) -> None:
    """A line a person and clip, with the episodes of all expressions but neutral as bars.

    Args:
        people: rows of people.csv.
        episodes: rows of episodes.csv.
        path: the PNG file to write; its folder exists.

    Raises:
        OSError: the file cannot be written.
    """
    save_figure(_timeline_figure(people, episodes), path)


def _conditions_figure(rows: Sequence[Row]) -> Figure:
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    labels = list(dict.fromkeys(row["expression"] for row in rows))
    figure = new_figure(9, 1.6 + 0.35 * len(labels) * max(1, len(conditions) / 2))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (measure, title) in zip(
        panels, (("share", "share of the observed time"), ("rate", "episodes per minute")), strict=True
    ):
        for k, condition in enumerate(conditions):
            own = [row for row in rows if row["condition"] == condition and row["measure"] == measure]
            heights = [
                labels.index(row["expression"]) + 0.5 * (k + 0.5) / len(conditions) - 0.25 for row in own
            ]
            means = [row["mean"] for row in own]
            spread = [
                [row["mean"] - (row["mean"] if row["low"] is None else row["low"]) for row in own],
                [(row["mean"] if row["high"] is None else row["high"]) - row["mean"] for row in own],
            ]
            axes.errorbar(
                means, heights, xerr=spread, fmt=_MARKS[k % len(_MARKS)], color=_SHADES[k % len(_SHADES)],
                capsize=3, label=_legend_name(condition),
            )  # fmt: skip
        set_style(axes, "x")
        axes.set_xlabel(title, color=INK)
        axes.set_xlim(left=0)
    panels[0].set_yticks(range(len(labels)), labels, parse_math=False)
    panels[0].invert_yaxis()
    handles, names = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _legend_name(condition: str) -> str:
    """A condition's name; matplotlib leaves out of a legend what begins with an underscore."""
    return (
        shortened(condition).replace("_", "\N{NO-BREAK SPACE}_", 1)
        if condition[:1] == "_"
        else shortened(condition)
    )


def _timeline_figure(people: Sequence[Row], episodes: Sequence[Row]) -> Figure:
    from matplotlib.patches import Patch

    figure = new_figure(9, 1.4 + 0.34 * len(people))
    axes = figure.subplots()
    drawn: dict[str, str] = {}
    for place, row in enumerate(people):
        axes.barh(
            place,
            row["last_seen"] - row["first_seen"],
            left=row["first_seen"],
            height=0.8,
            color=GRID,
            alpha=0.5,
        )
        for one in episodes:
            if (one["clip"], one["track"]) != (row["clip"], row["track"]) or one[
                "expression"
            ] == Emotion.NEUTRAL:
                continue
            color = drawn.setdefault(one["expression"], hex_color(color_of(one["expression"])))
            height = 0.8 * one["peak_probability"]
            axes.barh(
                place + 0.4 - height / 2, one["duration"], left=one["onset"], height=height, color=color,
                edgecolor=INK, linewidth=0.4,
            )  # fmt: skip
    axes.set_yticks(range(len(people)), [_named(row) for row in people], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds from the beginning of the clip", color=INK)
    set_style(axes, "x")
    if drawn:
        handles = [Patch(facecolor=color, edgecolor=INK, label=name) for name, color in drawn.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=7, frameon=False)
    return figure


def _named(row: Row) -> str:
    own = row["person"] == f"{row['clip']}:{row['track']}"
    name = row["person"] if own else f"{row['person']} ({row['clip']})"
    return shortened(name if len(name) <= 40 else "…" + name[-39:])
