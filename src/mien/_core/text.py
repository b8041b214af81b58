"""Numbers and tables as text, for terminals and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


def count(n: int, what: str, plural: str = "") -> str:
    """A number and what it counts: "1 face", "1,200 faces", "2 people" with a plural of its own."""
    return f"{n:,} {words(n, what, plural)}"


def words(n: int, what: str, plural: str = "") -> str:
    """What is counted, without its number, as `count` has it."""
    return what if n == 1 else plural or f"{what}s"


def is_or_are(n: int) -> str:
    """The verb that goes with `count`."""
    return "is" if n == 1 else "are"


def percent(share: float, interval: tuple[float, float] | None = None) -> str:
    """A share in percent, with its 95 % interval if there is one."""
    text = f"{100 * share:.1f} %"
    return text if interval is None else f"{text}  (95 %: {percent_range(interval)})"


def percent_range(ends: tuple[float, float]) -> str:
    """The ends of an interval of shares, in percent."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


class Table(NamedTuple):
    """What a report says in rows, once: `text` and `markdown` render it, and a page takes its columns and rows.

    Attributes:
        columns: their headings; empty for a table without.
        rows: of as many cells each.
        title: of the table, where it stands among others.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def text(self, *, align: str = "<>", gap: int = 2, widths: Sequence[int] = ()) -> str:
        """Lines in columns, without blanks at their ends; the title is left out.

        Args:
            align: of the first column, and of all others: "<" for left, ">" for right.
            gap: blanks between columns.
            widths: of the first columns, where they are to be wider than their cells.
        """
        lines = [row for row in (self.columns, *self.rows) if row]
        found = [max(map(len, column)) for column in zip(*lines, strict=True)]
        wide = [max(pair) for pair in zip(found, (*widths, *[0] * len(found)), strict=False)]
        kinds = (align[0], *[align[1]] * len(wide))
        return "\n".join(
            (" " * gap)
            .join(f"{cell:{kind}{width}}" for cell, kind, width in zip(row, kinds, wide, strict=False))
            .rstrip()
            for row in lines
        )

    def markdown(self) -> str:
        """Lines of a Markdown table; the title is left out."""
        return "\n".join(map(_markdown_row, (self.columns, ["---"] * len(self.columns), *self.rows)))


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
