"""Results to a stream: a table for people; JSON, JSON Lines, CSV and Parquet for programs.

    with open_writer("csv", stream, labels) as writer:
        writer.write(result)

Table, JSON Lines and CSV are complete after every picture, so an interrupt, even a kill, loses nothing that
was written. JSON and Parquet are completed when the `with` block ends, also when it ends by an error.

File names that are not valid Unicode come through everywhere: JSON escapes their undecodable bytes in the way
that `json.loads` gives back the same string; CSV, Parquet and the table show them as `\\udcff`.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import indent
from typing import IO, Any

from mien.output.decimals import to_json
from mien.output.palette import color_of
from mien.output.rows import check_format, csv_line, encodable
from mien.output.table_cells import ASCII, BLOCKS, Names, fit
from mien.results import FACE_FIELDS, FaceEmotion, FrameResult, smoothed_columns


class Writer(ABC):
    """Writes results to a stream, which stays the caller's to close; made by `open_writer`."""

    def __init__(self, stream: IO[Any], labels: Sequence[str], columns: Sequence[str]) -> None:
        """Write what comes before the first result, as CSV's header of these columns."""
        self._stream = stream
        self._labels = tuple(str(label) for label in labels)
        self._columns = tuple(columns)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    @abstractmethod
    def write(self, result: FrameResult) -> None:
        """Write one picture, or one frame of a clip, with all its faces.

        Raises:
            ValueError: a face's labels are not those the writer was opened with.
        """

    def close(self) -> None:
        """Complete the output; `open_writer` does this at the end of its block."""
        self._stream.flush()

    def _check(self, result: FrameResult) -> None:
        for face in result.faces:
            if set(face.probabilities) != set(self._labels):
                came, expected = ", ".join(face.probabilities), ", ".join(self._labels)
                raise ValueError(f"{result.source}: a face with labels {came}: expected {expected}")

    def _put(self, text: str) -> None:
        self._stream.write(encodable(text, self._encoding))
        self._stream.flush()


@contextmanager
def open_writer(
    format: str, stream: IO[Any], labels: Sequence[str], *, smoothed: bool = False
) -> Iterator[Writer]:
    """A writer of `format` (one of `FORMATS`), for the length of a `with` block.

    Args:
        format: "table", "json", "jsonl", "csv" or "parquet".
        stream: an open text stream; for Parquet a binary one, or a text stream over one, as `sys.stdout`.
        labels: the model's labels in its order: the columns of the table, of CSV and of Parquet.
        smoothed: whether CSV and Parquet have the columns of a clip, `smoothed_columns`, too.

    Raises:
        ValueError: an unknown format, labels that are not distinct column names, or Parquet to a terminal.
        TypeError: Parquet to a text stream without a binary buffer.
        MissingExtraError: Parquet without pyarrow.
    """
    if format not in _WRITERS:
        raise ValueError(f"unknown format {format!r}: expected one of {', '.join(FORMATS)}")
    columns = _columns(labels, smoothed)
    if len(set(columns)) != len(columns):
        raise ValueError(f"labels {', '.join(labels)}: expected distinct names that are no other column's")
    writer = _WRITERS[format](stream, labels, columns)
    try:
        yield writer
    finally:
        writer.close()


def _columns(labels: Sequence[str], smoothed: bool) -> list[str]:
    """The columns of CSV and Parquet: the same keys, in the same order, as `FrameResult.rows`."""
    names = [str(label) for label in labels]
    return [
        "source",
        "frame",
        "time",
        *FACE_FIELDS,
        *names,
        *(smoothed_columns(names) if smoothed else ()),
        "error",
    ]


class _JsonWriter(Writer):
    """One list, one item per picture. ASCII only, so no encoding of a terminal or pipe can break it."""

    _empty = True

    def write(self, result: FrameResult) -> None:
        item = indent(to_json(result.to_dict(), indent=2), "  ")
        self._put(("[\n" if self._empty else ",\n") + item)
        self._empty = False

    def close(self) -> None:
        self._put("[]\n" if self._empty else "\n]\n")


class _JsonLinesWriter(Writer):
    def write(self, result: FrameResult) -> None:
        self._put(to_json(result.to_dict()) + "\n")


class _CsvWriter(Writer):
    """One line per face."""

    def __init__(self, stream: IO[Any], labels: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__(stream, labels, columns)
        self._put_row(dict(zip(columns, columns, strict=True)))

    def write(self, result: FrameResult) -> None:
        self._check(result)
        for row in result.rows():
            self._put_row(row)

    def _put_row(self, row: Mapping[str, Any]) -> None:
        self._put(csv_line(row, self._columns))


class _ParquetWriter(Writer):
    """Typed columns, also when there are no rows; rows wait in memory until a row group is full."""

    _ROW_GROUP = 8192

    def __init__(self, stream: IO[Any], labels: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__(stream, labels, columns)
        if stream.isatty():
            raise ValueError("Parquet is binary, not for a terminal: write it to a file")
        check_format("parquet")
        import pyarrow
        from pyarrow import parquet

        binary = getattr(stream, "buffer", stream)
        if isinstance(binary, io.TextIOBase):
            raise TypeError(f"Parquet needs a binary stream, got {type(stream).__name__}")
        types = {"string": pyarrow.string(), "int": pyarrow.int64(), "bool": pyarrow.bool_()}
        self._schema = pyarrow.schema(
            (name, types.get(_PARQUET_TYPES.get(name, ""), pyarrow.float64())) for name in columns
        )
        self._table = pyarrow.Table
        self._file = parquet.ParquetWriter(binary, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, result: FrameResult) -> None:
        self._check(result)
        for row in result.rows():
            texts = {name: encodable(text) for name, text in row.items() if isinstance(text, str)}
            self._rows.append(row | texts)
        if len(self._rows) >= self._ROW_GROUP:
            self._put_rows()

    def close(self) -> None:
        self._put_rows()
        self._file.close()
        super().close()

    def _put_rows(self) -> None:
        if self._rows:
            self._file.write_table(self._table.from_pylist(self._rows, self._schema))
            self._rows = []


_LEGEND = "? uncertain: take this answer with care, its confidence is low"

_PARQUET_TYPES = {
    **dict.fromkeys(("source", "emotion", "smoothed_emotion", "quality_issues", "error"), "string"),
    **dict.fromkeys(("frame", "track"), "int"),
    **dict.fromkeys(("uncertain", "smoothed_uncertain"), "bool"),
}
"""The columns that are not 64-bit floats."""


class _TableWriter(Writer):
    """A line a face: picture, number or track, expression, a bar and percent for each label, quality, worst issue."""

    def __init__(self, stream: IO[Any], labels: Sequence[str], columns: Sequence[str]) -> None:
        from rich.console import Console

        super().__init__(stream, labels, columns)
        self._console = Console(file=stream)
        self._glyphs = BLOCKS if encodable(BLOCKS.upright, self._encoding) == BLOCKS.upright else ASCII
        self._heads = [self._clean(label) for label in self._labels]
        self._word_width = max(map(len, self._heads), default=0) + len("? 100%")
        room = self._console.width - len("  99 ") - self._word_width - len(" 62 unclear")
        # A label's cell holds "100" and a bar of one to seven characters, once the picture's name has its 26.
        self._cell = min(10, max(4, (room - 26) // max(1, len(labels)) - 1))
        width = min(40, max(12, room - len(labels) * (self._cell + 1)))
        self._names = Names(width, cut=stream.isatty(), ellipsis=self._glyphs.ellipsis)
        self._header_due, self._doubted = True, False

    def write(self, result: FrameResult) -> None:
        self._check(result)
        end = "" if result.time is None else f" {result.time:.2f}s"
        name = self._names.cell(self._clean(result.source), end)
        if self._header_due:
            self._print_header()
            self._header_due = False
        if result.error is not None:
            self._print((f"{name}    error: {self._clean(result.error)}", "red"))
        elif not result.faces:
            self._print((f"{name}    no face found", "dim"))
        for number, face in enumerate(result.faces, 1):
            self._print((name, ""), *self._face(number if face.track is None else face.track, face))
            self._doubted = self._doubted or face.prediction.uncertain

    def close(self) -> None:
        if self._doubted:
            self._print((_LEGEND, "dim"))
        super().close()

    def _print_header(self) -> None:
        cells = "".join(" " + fit(name, self._cell) for name in self._heads)
        start = f"{fit('picture', self._names.width)}  # {fit('emotion', self._word_width)}"
        self._print((f"{start}{cells} quality", "bold"))

    def _face(self, number: int, face: FaceEmotion) -> Iterator[tuple[str, str]]:
        word = self._clean(face.emotion) + ("?" if face.prediction.uncertain else "")
        percent = f"{face.confidence:.0%}"
        yield f" {number:>2} ", ""
        yield fit(word, self._word_width - len(percent)) + percent, "bold"
        for label in self._labels:
            share = face.probabilities[label]
            red, green, blue = color_of(label)
            yield " " + self._bar(share), f"rgb({red},{green},{blue})"
            yield f"{100 * share:3.0f}", "bold" if label == face.emotion else ""
        yield f" {100 * face.quality.score:.0f} {self._clean(next(iter(face.quality.issues), ''))}", "yellow"

    def _bar(self, share: float) -> str:
        """A horizontal bar if there is room, else one upright character."""
        cells = self._cell - len("100")
        steps = self._glyphs.upright if cells == 1 else self._glyphs.lying
        full, rest = divmod(round(share * cells * (len(steps) - 1)), len(steps) - 1)
        return (steps[-1] * full + (steps[rest] if rest else "")).ljust(cells)

    def _print(self, *parts: tuple[str, str]) -> None:
        from rich.text import Text

        line = Text.assemble(*parts)
        line.rstrip()
        self._console.print(line, soft_wrap=True)
        self._stream.flush()

    def _clean(self, text: str) -> str:
        """`text` on one line: what a terminal would obey, or the stream cannot encode, becomes an escape."""
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return encodable(shown, self._encoding)


_WRITERS: dict[str, type[Writer]] = {
    "table": _TableWriter,
    "json": _JsonWriter,
    "jsonl": _JsonLinesWriter,
    "csv": _CsvWriter,
    "parquet": _ParquetWriter,
}

FORMATS: tuple[str, ...] = tuple(_WRITERS)
"""The names of the formats."""
