"""Reading codes: which files there are, and which reader each is for."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from mien.agreement.code_files import FORMS
from mien.agreement.code_tables import TABLES
from mien.agreement.codes import Codes
from mien.errors import DatasetError
from mien.output.rows import encodable

ENDINGS = (*TABLES, *FORMS)
"""Of the files that hold codes, in lower case."""


def read_codes(path: str | os.PathLike[str], tiers: Sequence[str] = ()) -> Codes:
    """Read the codes of a file, or of the files of a folder.

    Args:
        path: a .csv, .tsv, .json, .jsonl, .parquet, .eaf, .TextGrid, .vtt or .srt file, or a folder of them.
        tiers: of ELAN and Praat, the only ones that are read, by patterns such as "Emotion*"; empty for all.

    Raises:
        DatasetError: missing, or not as expected; the message says where and what.
        MissingExtraError: subtitles without mien[study], Parquet without pyarrow.
    """
    where = Path(path)
    codes = Codes(encodable(str(where)))
    for file in _files(where):
        codes.join(_read(file, tiers))
    if not codes.clips:
        raise DatasetError(f"{where}: holds no codes: expected at least one row or annotation")
    return codes


def _read(file: Path, tiers: Sequence[str]) -> Codes:
    ending = file.suffix.lower()
    try:
        codes = FORMS[ending](file, tiers) if ending in FORMS else TABLES[ending](file)
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{file}: is not UTF-8 text: save it as UTF-8") from None
    except csv.Error as error:
        raise DatasetError(f"{file}: is no table: {error}") from None
    codes.files.append(file)
    return codes


def _files(where: Path) -> list[Path]:
    expected = ", ".join(ENDINGS)
    try:
        if not where.exists():
            raise DatasetError(f"{where}: no such file or folder")
        if not where.is_dir():
            if where.suffix.lower() in ENDINGS:
                return [where]
            raise DatasetError(f"{where}: expected a folder, or a file that ends in {expected}")
        files = [
            file
            for file in sorted(where.iterdir())
            if file.suffix.lower() in ENDINGS and file.is_file() and not file.name.startswith(".")
        ]
    except OSError as error:
        raise DatasetError(f"{where}: cannot be read: {error.strerror or error}") from None
    if not files:
        raise DatasetError(f"{where}: no file of codes in it, expected one that ends in {expected}")
    return files
