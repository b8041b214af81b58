"""Pictures of explanations: one face with its numbers, or all faces in their picture. matplotlib as in charts.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.explanation.occlusion import REGION, Heat, Region
from mien.output.annotate import annotate
from mien.output.figures import hex_color, new_figure, save_figure
from mien.output.palette import ON_DARK
from mien.results import FaceEmotion, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.explanation.explain import Explanation

_COLORS = "inferno"  # perceptually uniform, and readable with any colour vision
_OUTLINE = hex_color(ON_DARK)
_LEAST_EFFECT = 0.05  # of the outlined place, beyond that of as much elsewhere, to say that it counts
_LEAST_SCALE = 0.02  # the colours of a map without anything in it are not spread over noise
_STRONGEST = 0.75  # of the colour, where the heat is highest: the face must show through


def explanation_chart(explanation: Explanation, path: str | PathLike[str], title: str | None = None) -> None:
    """The model's input, the region that decided, and the prediction without that region, side by side.

    Args:
        explanation: of one face.
        path: the PNG file to write; its folder exists.
        title: a line above, such as the file's name.

    Raises:
        OSError: the file cannot be written.
    """
    save_figure(_explanation_figure(explanation, title), path)


def explained_picture(picture: NDArray[np.uint8], explanations: Sequence[Explanation]) -> NDArray[np.uint8]:
    """A copy of the picture with a heat map over every face, each with its own scale, and with boxes and labels.

    Args:
        picture: (H, W, 3) uint8 RGB, that the explanations' faces were found in.
        explanations: of its faces; those of crops without a picture are skipped.
    """
    height, width = picture.shape[:2]
    strength = np.zeros((height, width), np.float32)
    faces = [(one, one.face, one.square) for one in explanations]
    for one, _, square in faces:
        if square is None:
            continue
        # warpAffine counts from the middle of the first pixel.
        turn = square.to_picture(len(one.crop))
        turn[:, 2] += turn[:, :2] @ [0.5, 0.5] - 0.5
        warped = cv2.warpAffine(_strength(one.heat), turn, (width, height), flags=cv2.INTER_LINEAR)
        strength = np.maximum(strength, warped)
    # Colours of the picture would be mistaken for those of the heat.
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    heated = _heated(np.asarray(grey, np.uint8), strength)
    return annotate(heated, [_labelled(face, one) for one, face, _ in faces if face is not None])


def _labelled(face: FaceEmotion, explanation: Explanation) -> FaceEmotion:
    """The face with the explained expression as its label, because the heat belongs to it, not to the prediction."""
    if _answers(explanation):
        return face
    return replace(face, prediction=Prediction({explanation.emotion: explanation.probability}))


def _scale(heat: Heat) -> float:
    """The heat that has the strongest colour."""
    return max(float(heat.max()), _LEAST_SCALE)


def _strength(heat: Heat) -> Heat:
    """0 to 1: 0 where hiding costs nothing."""
    return np.asarray(np.clip(heat / _scale(heat), 0, 1), np.float32)


def _heated(image: NDArray[np.uint8], strength: Heat) -> NDArray[np.uint8]:
    """Colours over a picture (H, W, 3), the more of them the stronger."""
    from matplotlib import colormaps

    colors = 255 * colormaps[_COLORS](strength)[..., :3]
    share = _STRONGEST * np.sqrt(strength)[..., None]
    return np.asarray(np.rint(image * (1 - share) + colors * share), np.uint8)


def _explanation_figure(explanation: Explanation, title: str | None) -> Figure:
    figure = new_figure(10.6, 4.3)
    saw, looked, without = figure.subplots(1, 3)
    word = explanation.emotion + ("?" if explanation.prediction.uncertain and _answers(explanation) else "")
    before, after = 100 * explanation.probability, 100 * explanation.hidden_probability
    _show(saw, explanation.crop, f"{word} {before:.0f} %")
    # Enlarged, for a smooth heat map and outline instead of a staircase of 48 pixels.
    factor = max(1, 384 // len(explanation.crop))
    size = (factor * len(explanation.crop),) * 2
    face = cv2.resize(explanation.crop, size, interpolation=cv2.INTER_CUBIC)
    heat = np.asarray(cv2.resize(explanation.heat, size, interpolation=cv2.INTER_CUBIC), np.float32)
    heated = _heated(np.repeat(np.asarray(face, np.uint8)[..., None], 3, axis=2), _strength(heat))
    decides = explanation.elsewhere_probability - explanation.hidden_probability >= _LEAST_EFFECT
    where = f"where “{explanation.emotion}” was read" if decides else "no single place decides"
    _show(looked, heated, where)
    for axes in (looked, without):
        _outline(axes, explanation.region, factor if axes is looked else 1)
    _show(without, explanation.hidden, f"without the outlined region: {after:.0f} %")
    caption = (
        f"{100 * REGION:.0f} % of the picture hidden; the same area\n"
        f"elsewhere leaves {100 * explanation.elsewhere_probability:.0f} % on average"
    )
    without.text(0.5, -0.04, caption, transform=without.transAxes, ha="center", va="top", fontsize=9)
    _color_bar(figure, looked, _scale(explanation.heat))
    if title is not None:
        from mien.output.figures import shortened

        figure.suptitle(shortened(title), fontsize=10, parse_math=False)
    return figure


def _answers(explanation: Explanation) -> bool:
    """Whether the explained expression is the model's prediction."""
    return explanation.emotion == explanation.prediction.emotion


def _show(axes: Axes, image: NDArray[np.uint8], title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, fontweight="bold", parse_math=False)


def _outline(axes: Axes, region: Region, factor: int) -> None:
    """The border of the region, drawn on an image that is `factor` times as large."""
    padded = np.pad(region.astype(float), 1)  # so that it is also closed at the border
    places = factor * (np.arange(len(padded)) - 0.5) - 0.5
    axes.contour(places, places, padded, levels=[0.5], colors=[_OUTLINE], linewidths=1.6)


def _color_bar(figure: Figure, axes: Axes, highest: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colors: Any = ScalarMappable(Normalize(0, 100 * highest), cmap=_COLORS)
    bar = figure.colorbar(colors, ax=axes, location="right", shrink=0.86, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("points of probability lost when hidden", fontsize=9)
    bar.ax.tick_params(labelsize=8)
