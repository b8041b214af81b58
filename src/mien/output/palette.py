"""The colours of the expressions, and of text on them, in pictures, charts and reports.

They are Okabe and Ito's palette for all kinds of colour vision, with a light grey for neutral. The server's page has
its own, in look.css, which can be distinguished from a light and from a dark ground.
"""

from __future__ import annotations

import zlib

from mien.labels import Emotion

Color = tuple[int, int, int]


COLORS: dict[str, Color] = {
    Emotion.ANGRY: (213, 94, 0),
    Emotion.DISGUST: (0, 158, 115),
    Emotion.FEAR: (204, 121, 167),
    Emotion.HAPPY: (240, 228, 66),
    Emotion.SAD: (0, 114, 178),
    Emotion.SURPRISE: (86, 180, 233),
    Emotion.NEUTRAL: (208, 208, 208),
}
"""Label -> RGB."""


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
