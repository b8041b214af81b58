"""The colours of look.css, for what is no web page: annotated pictures and clips, charts."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from mien.labels import LABELS

Color = tuple[int, int, int]

LOOK = Path(__file__).with_name("look.css")
"""The one file of colours and type, for the app, reports, charts, annotated files and the documentation."""


def _look() -> dict[str, tuple[Color, Color]]:
    """Name -> RGB on a light and on a dark ground."""
    found = re.findall(
        r"--([a-z-]+): (?:light-dark\()?#([0-9a-f]{6})(?:, #([0-9a-f]{6}))?", LOOK.read_text(encoding="utf-8")
    )
    return {name: (_rgb(light), _rgb(dark or light)) for name, light, dark in found}


def _rgb(digits: str) -> Color:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


_LOOK = _look()

COLORS: dict[str, Color] = {label: _LOOK[label][0] for label in LABELS}
"""Label -> RGB: apart for all kinds of colour vision, and from a light and a dark ground."""

INK, LINE = _LOOK["ink"][0], _LOOK["line"][0]
"""Of text and of grids, on a light ground."""

ON_DARK = _LOOK["accent"][1]
"""Of what is marked in a picture."""


DARK: Color = (16, 16, 16)


LIGHT: Color = (255, 255, 255)


def color_of(label: str) -> Color:
    """The RGB colour of a label; a label that is none of the seven gets one of theirs, always the same."""
    palette = tuple(COLORS.values())
    return COLORS.get(label, palette[zlib.crc32(label.encode("utf-8", "replace")) % len(palette)])


def text_color_on(color: Color) -> Color:
    """Dark or light: the text colour with the higher contrast on `color`, WCAG's 4.5 to 1 or better."""
    return max(DARK, LIGHT, key=lambda ink: contrast(ink, color))


def contrast(first: Color, second: Color) -> float:
    """WCAG's contrast ratio of two sRGB colours, 1 (the same) to 21 (black on white)."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
