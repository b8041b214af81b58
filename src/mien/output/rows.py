"""Rows of plain values as CSV, JSON, JSON Lines or Parquet, with numbers as all of mien's files have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from mien.errors import MissingExtraError
from mien.output.decimals import decimal, to_json

FORMATS = ("csv", "json", "jsonl", "parquet")


def csv_line(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """A line of CSV. Values are written unchanged, even if a spreadsheet sees a formula."""
    # In capitals pandas, DuckDB, Polars, Arrow and R all read booleans; "true" is text for R's read.csv.
    words = {name: str(value).upper() for name, value in row.items() if isinstance(value, bool)}
    words |= {name: decimal(value, name) for name, value in row.items() if isinstance(value, float)}
    line = io.StringIO(newline="")
    # Only with this end of line does the csv module of Python 3.11 quote a lone carriage return.
    csv.DictWriter(line, columns, lineterminator="\r\n").writerow({**row, **words})
    return line.getvalue().removesuffix("\r\n") + "\n"


def check_format(format: str) -> None:
    """Raise unless the packages are there that a format needs.

    Raises:
        MissingExtraError: Parquet without pyarrow.
    """
    if format != "parquet":
        return
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingExtraError("writing Parquet", "parquet") from None


def write_rows(
    stream: IO[Any], format: str, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, type]
) -> None:
    """Write a table.

    Args:
        stream: an open text stream; for Parquet a binary one.
        format: one of `FORMATS`.
        rows: column -> plain value.
        columns: column -> str, int, float or bool, in order.

    Raises:
        MissingExtraError: Parquet without pyarrow.
    """
    if format == "parquet":
        _write_parquet(stream, rows, columns)
    elif format == "json":
        stream.write(to_json([dict(row) for row in rows], indent=2) + "\n")
    elif format == "jsonl":
        stream.writelines(to_json(dict(row)) + "\n" for row in rows)
    else:
        names = list(columns)
        stream.write(csv_line(dict(zip(names, names, strict=True)), names))
        stream.writelines(encodable(csv_line(row, names)) for row in rows)


def encodable(text: str, encoding: str = "utf-8") -> str:
    """Text with what an encoding does not have as escapes, such as the undecodable bytes of a file's name."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _write_parquet(stream: IO[Any], rows: Iterable[Mapping[str, Any]], columns: Mapping[str, type]) -> None:
    check_format("parquet")
    import pyarrow
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema((name, kinds[kind]) for name, kind in columns.items())
    texts = [{n: encodable(v) if isinstance(v, str) else v for n, v in row.items()} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(texts, schema), stream)
