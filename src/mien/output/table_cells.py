"""The cells of the table for people: names of pictures that stay different, and the characters of bars."""

from __future__ import annotations

from itertools import count, takewhile
from typing import NamedTuple


class Glyphs(NamedTuple):
    """What a stream can encode: bars, and the sign for what was left out."""

    upright: str  # from an empty character cell to a full one, growing upwards
    lying: str  # the same, growing to the right
    ellipsis: str


BLOCKS = Glyphs(" ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉█", "…")
ASCII = Glyphs(" .:-=+*%#", " #", "~")


class Names:
    """Names of pictures in a column: on a terminal cut so that they stay different, elsewhere whole.

    Args:
        width: of the column; elsewhere than on a terminal it grows with the names.
        cut: whether it may not grow.
        ellipsis: for what is left out.
    """

    def __init__(self, width: int, *, cut: bool, ellipsis: str) -> None:
        self.width, self._cut, self._ellipsis = width, cut, ellipsis
        self._shown: dict[str, str] = {}

    def cell(self, name: str, end: str = "") -> str:
        """The name of a picture with what comes behind it, as wide as the column, or wider where it must be."""
        from rich.cells import cell_len

        width = self.width - cell_len(end)
        shown = (self._different(name, width) if self._cut and cell_len(name) > width else name) + end
        if not self._cut:
            self.width = max(self.width, cell_len(shown))
        return fit(shown, max(self.width, cell_len(shown)))

    def _different(self, name: str, width: int) -> str:
        """As much of the name as has room: its end, but what differs where another one ends alike."""
        text = self._ellipsis + _last(name, width - 1)
        while (other := self._shown.setdefault(text, name)) != name:
            start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))
            half = max(1, (width - 2) // 2)
            text = (
                f"{self._ellipsis}{_first(name[start:], half)}{self._ellipsis}{_last(name, width - 2 - half)}"
            )
            if self._shown.get(text, name) != name:
                return name  # better too long than another's
        return text


def fit(text: str, width: int) -> str:
    """`text` cut or filled up to `width` columns of a terminal, where a character may take two."""
    from rich.cells import set_cell_size

    return set_cell_size(text, width)


def _first(text: str, width: int) -> str:
    return fit(text, width).rstrip()


def _last(text: str, width: int) -> str:
    """The end of a text, in at most so many columns."""
    from rich.cells import cell_len

    start = next(n for n in count() if cell_len(text[n:]) <= max(0, width))
    return text[start:]
