"""The style that all charts share."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import TYPE_CHECKING, Literal

from mien.labels import Emotion
from mien.output import palette
from mien.output.palette import COLORS, Color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def hex_color(color: Color) -> str:
    """A colour as matplotlib takes it: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color)


INK, GRID = hex_color(palette.INK), hex_color(palette.LINE)
SHADES = tuple(
    hex_color(COLORS[Emotion(word)])
    for word in ("sad", "happy", "disgust", "fear", "angry", "surprise", "neutral")
)
"""Of series that stand for no expression."""

SERIES = SHADES[:4]
"""Of a chart with few of them."""

VALIDATION, TRAIN = SERIES[:2]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, with a layout that cuts nothing off."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    return figure


def set_style(axes: Axes, grid: Literal["both", "x", "y"]) -> None:
    """The common look: no frame on top and right, a light grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    with warnings.catch_warnings():
        # A file name may hold any characters; those that the font lacks show as boxes, which says enough.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, format="png")


def shortened(text: str) -> str:
    """One line without undecodable characters, of a long path the end."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return line if len(line) <= 80 else "…" + line[-79:]
