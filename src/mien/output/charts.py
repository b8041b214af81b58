"""Charts as PNG files: the expression of one face, and how a model was trained; score_charts.py has the others.

matplotlib is imported inside the functions and used without pyplot, which would keep every figure and might
look for a display.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.output.figures import INK, hex_color, new_figure, save_figure, set_style, shortened
from mien.output.palette import color_of
from mien.results import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    save_figure(_emotion_figure(face_picture, prediction, title), path)


def emotion_shares(shares: Mapping[str, Mapping[str, float]], path: str | PathLike[str]) -> None:
    """One bar per group, divided by the shares of its expressions.

    Args:
        shares: group -> label -> share of its faces, in [0, 1].
        path: the PNG file to write; its folder exists.

    Raises:
        ValueError: no group.
        OSError: the file cannot be written.
    """
    save_figure(_shares_figure(shares), path)


def _emotion_figure(face_picture: NDArray[np.uint8], prediction: Prediction, title: str | None) -> Figure:
    if face_picture.ndim != 3 or face_picture.shape[2] != 3 or face_picture.size == 0:
        raise ValueError(f"face picture of shape {face_picture.shape}: expected (height, width, 3), RGB")
    labels = list(prediction.probabilities)
    percents = [100 * p for p in prediction.probabilities.values()]
    figure = new_figure(3.2 + 0.85 * max(5, len(labels)), 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[3.0, 0.85 * max(5, len(labels))])
    left.imshow(face_picture, interpolation="antialiased")
    left.set_axis_off()
    word = prediction.emotion + ("?" if prediction.uncertain else "")
    left.set_title(f"{word} {100 * prediction.confidence:.0f} %", fontweight="bold", parse_math=False)
    set_style(right, "y")
    bars = right.bar(
        range(len(labels)),
        percents,
        color=[hex_color(color_of(label)) for label in labels],
        edgecolor=INK,
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
        figure.suptitle(shortened(title), fontsize=10, parse_math=False)
    return figure


def _shares_figure(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    if not shares:
        raise ValueError("no groups: expected one or more")
    figure = new_figure(9.0, 1.4 + 0.42 * len(shares))
    axes = figure.subplots()
    set_style(axes, "x")
    names = [shortened(name) for name in shares]
    left = np.zeros(len(shares))
    for label in next(iter(shares.values())):
        widths = np.array([100 * group[label] for group in shares.values()])
        axes.barh(
            range(len(shares)),
            widths,
            left=left,
            color=hex_color(color_of(label)),
            label=label,
            edgecolor="white",
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
