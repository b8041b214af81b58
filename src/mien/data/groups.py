"""One more column of a dataset: which group every image belongs to. Only who asks for it reads it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien._core.files import refuse_pipe
from mien.data.archive import unpacked
from mien.data.fer2013_csv import read_csv_column
from mien.data.load import pixel_csv
from mien.data.parquet import read_parquet_columns
from mien.data.rows import GROUPS_FILE
from mien.errors import DatasetError, MissingColumnError

MOST_GROUPS = 50
_FILE = "file"


@dataclass(frozen=True)
class GroupColumn:
    """A column of a dataset: from the name of an image to its value.

    Attributes:
        column: its name.
        where: the file or folder that it was read from.
        values: file -> value, as text.
    """

    column: str
    where: Path
    values: Mapping[str, str]

    def groups(self, names: Sequence[str]) -> tuple[str, ...]:
        """The group of every image, "" if there is none.

        Args:
            names: of the images, `Split.names`. Who is not in the column by the whole name is by the file's name alone,
                if it is the only one with that name.

        Raises:
            DatasetError: no image has a group, or there are more than `MOST_GROUPS`.
        """
        last = [PurePosixPath(name).name for name in names]
        count = Counter(last)
        found = tuple(
            self.values.get(name) or (self.values.get(short, "") if count[short] == 1 else "")
            for name, short in zip(names, last, strict=True)
        )
        groups, what = set(found) - {""}, f"{self.where}: column {self.column!r} has"
        if not groups:
            raise DatasetError(
                f"{what} no group for any of the {len(names):,} images, which are called such as {names[0]}"
            )
        if len(groups) > MOST_GROUPS:
            raise DatasetError(
                f"{what} {len(groups):,} different values, expected at most {MOST_GROUPS} groups: "
                "put numbers into ranges first"
            )
        return found


def read_group_column(path: str | Path, column: str, *, table: str | Path | None = None) -> GroupColumn:
    """Read the column that says which group every image of a dataset belongs to.

    Args:
        path: the dataset, as for `load_dataset`. Of CSV and Parquet the column is one of their own. Class folders have
            a table in them, `groups.csv`.
        column: its name.
        table: a CSV or Parquet file to look in instead, with a column "file" that has the names of the images, as
            `Split.names`; of class folders the path from the dataset's folder, or the file's name.

    Raises:
        MissingColumnError: no such column; the message lists those there are.
        DatasetError: no table, or a file that cannot be read.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    where = Path(path if table is None else table)
    try:
        if table is not None:
            return GroupColumn(column, where, _by_file(where, column))
        with unpacked(where, lambda done, total: None) as place:
            return GroupColumn(column, where, _beside(place, column))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{getattr(error, 'filename', None) or where}: cannot be read: {reason}") from None


def _beside(place: Path, column: str) -> dict[str, str]:
    """The column of the dataset's own files, or of the table beside its folders."""
    if place.is_file():
        with place.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1" or place.suffix == ".parquet"
        return _of_parquet([place], column) if is_parquet else read_csv_column(place, column)
    if parquet := sorted(place.glob("*.parquet")):
        return _of_parquet(parquet, column)
    if pixels := pixel_csv(place):
        return read_csv_column(pixels, column)
    if not (place / GROUPS_FILE).is_file():
        raise DatasetError(
            f"{place}: folders have no column {column!r}, expected {GROUPS_FILE} in it, with a header such as "
            f"file,{column}, or another table by its name (--groups)"
        )
    return _by_file(place / GROUPS_FILE, column)


def _of_parquet(paths: list[Path], column: str) -> dict[str, str]:
    return {name: values[0] for name, values in read_parquet_columns(paths, [column]).items()}


def _by_file(table: Path, column: str) -> dict[str, str]:
    """A table with a column "file" -> file -> value."""
    if table.suffix == ".parquet":
        return dict(read_parquet_columns([table], [_FILE, column]).values())  # type: ignore[arg-type]
    refuse_pipe(table)
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        names = list(rows.fieldnames or ())
        missing = [name for name in (_FILE, column) if name not in names]
        if missing:
            raise (DatasetError if _FILE in missing else MissingColumnError)(
                f"{table}: no column {' and '.join(map(repr, missing))}, expected {_FILE!r} and one of "
                f"{', '.join(name for name in names if name != _FILE) or 'none'}"
            )
        return {(row[_FILE] or "").strip(): (row[column] or "").strip() for row in rows}
