"""Boxes and labels on a copy of the picture, in the colours of `palette.py`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien._core.boxes import shared
from mien.output.palette import DARK, LIGHT, Color, color_of, text_color_on
from mien.results import Box, FaceEmotion

Area = tuple[int, int, int, int]
"""`(x1, y1, x2, y2)` in whole pixels; `x2` and `y2` are exclusive."""


def annotate(image: NDArray[np.uint8], faces: Sequence[FaceEmotion]) -> NDArray[np.uint8]:
    """A copy of the picture with a box around each face and its label: "happy 97 %", "sad? 34 %".

    In a clip the track's number stands before it: "2: happy 97 %".

    Lines and text scale with the picture and the face. A label is inside the picture, and clear of other
    labels and faces if there is room. "?" marks an uncertain prediction. A picture too small for any
    text gets boxes only.

    Args:
        image: (H, W, 3) uint8 RGB; left as it is.
        faces: the faces of this picture; parts of boxes outside the picture are not drawn.

    Raises:
        TypeError: the image is not an array of uint8.
        ValueError: the image is not (H, W, 3).
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise TypeError(f"image of {kind}: expected a numpy array of uint8")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image of shape {image.shape}: expected (height, width, 3), RGB")
    canvas = image.copy()
    draw_faces(canvas, faces)
    return canvas


def draw_faces(canvas: NDArray[np.uint8], faces: Sequence[FaceEmotion]) -> None:
    """What `annotate` draws, on the picture itself: (H, W, 3) uint8 RGB."""
    height, width = canvas.shape[:2]
    seen = [(face, area) for face in faces if (area := _area(face.box, width, height)) is not None]
    for face, area in seen:
        _draw_box(canvas, area, color_of(face.emotion))
    labels: list[Area] = []
    for face, area in seen:
        label = _label_image(face, area, width, height)
        if label is not None:
            others = [other for _, other in seen if other is not area]
            x1, y1, x2, y2 = _place(label, (0, 0, width, height), area, others, labels)
            canvas[y1:y2, x1:x2] = label
            labels.append((x1, y1, x2, y2))


def _area(box: Box, width: int, height: int) -> Area | None:
    """The pixels of `box` inside the picture, or None."""
    x1, y1 = max(0, round(box.x1)), max(0, round(box.y1))
    x2, y2 = min(width, round(box.x2)), min(height, round(box.y2))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _draw_box(canvas: NDArray[np.uint8], area: Area, color: Color) -> None:
    """Dark, colour, light from outside in: one of them stands out on any background."""
    x1, y1, x2, y2 = area
    height, width = canvas.shape[:2]
    middle = max(1, round(min(0.002 * (width + height), 0.03 * min(x2 - x1, y2 - y1))))
    edge = max(1, round(0.4 * middle))
    for ink, thickness in ((DARK, edge), (color, middle), (LIGHT, edge)):
        for strip in (
            canvas[y1 : y1 + thickness, x1:x2],
            canvas[max(y1, y2 - thickness) : y2, x1:x2],
            canvas[y1:y2, x1 : x1 + thickness],
            canvas[y1:y2, max(x1, x2 - thickness) : x2],
        ):
            strip[:] = ink
        x1, y1, x2, y2 = x1 + thickness, y1 + thickness, x2 - thickness, y2 - thickness
        if x1 >= x2 or y1 >= y2:
            return


def _label_image(face: FaceEmotion, area: Area, width: int, height: int) -> NDArray[np.uint8] | None:
    """The text on a filled rectangle, (h, w, 3), as large as fits the picture; None where no text fits."""
    who = "" if face.track is None else f"{face.track}: "
    word = who + face.emotion + ("?" if face.prediction.uncertain else "")
    longer = max(width, height)
    preferred = (area[2] - area[0]) / 7
    preferred = round(min(max(preferred, longer / 90, 11), max(longer / 40, 14)))
    percent = f"{100 * face.confidence:.0f} %"
    for text in (f"{word} {percent}", f"{word}\n{percent}", word):
        for size in range(preferred, _SMALLEST_TEXT - 1, -1):
            label = _render(text, size, color_of(face.emotion))
            if label.shape[1] <= width and label.shape[0] <= 0.4 * height:
                return label
    return None


_SMALLEST_TEXT = 8
"""In pixels: below it letters cannot be read."""


@lru_cache(maxsize=128)
def _render(text: str, size: int, color: Color) -> NDArray[np.uint8]:
    """A label, (h, w, 3) uint8, not to be written to; in a clip most of a frame's labels were in the one before."""
    font = _font(size)
    pad, rim = max(2, round(size / 4)), max(1, round(size / 16))
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, _, right, _ = measure.multiline_textbbox((0, 0), text, font=font, spacing=size // 8)
    tall = "\n".join("Áy" for _ in text.split("\n"))  # so all labels of a size have the same height
    _, top, _, bottom = measure.multiline_textbbox((0, 0), tall, font=font, spacing=size // 8)
    width, height = round(right - left) + 2 * (pad + rim), round(bottom - top) + 2 * (pad // 2 + rim)
    label = Image.new("RGB", (width, height), DARK)
    draw = ImageDraw.Draw(label)
    draw.rectangle((rim, rim, width - rim - 1, height - rim - 1), fill=color)
    start = (pad + rim - left, pad // 2 + rim - top)
    draw.multiline_text(start, text, fill=text_color_on(color), font=font, align="center", spacing=size // 8)
    return np.asarray(label)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans Bold, which matplotlib brings: Pillow's own font has ASCII only, and labels may be any."""
    spec = find_spec("matplotlib")  # finds the folder without the second that an import takes
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)


def _place(label: NDArray[np.uint8], frame: Area, face: Area, others: list[Area], labels: list[Area]) -> Area:
    """The place in `frame` where the label hides least: clear of labels first, of other faces, then of its own face."""
    height, width = label.shape[:2]
    x1, y1, x2, y2 = face
    lefts, tops = (x1, x2 - width), (y1 - height, y2, y1, y2 - height)
    beside = ((x2, y1), (x1 - width, y1), (x2, y2 - height), (x1 - width, y2 - height))

    def at(corner: tuple[int, int]) -> Area:
        x = min(max(corner[0], 0), frame[2] - width)
        y = min(max(corner[1], 0), frame[3] - height)
        return x, y, x + width, y + height

    places = np.array([at(corner) for corner in (*((x, y) for y in tops for x in lefts), *beside)])
    hidden = sum(
        weight * shared(places, np.array(areas).reshape(-1, 4)).sum(axis=1)
        for weight, areas in ((20, labels), (3, others), (1, [face]))
    )
    return tuple(places[np.argmin(hidden)].tolist())
