"""What reading a zip archive raises, whoever reads it: pictures of a collection, a dataset, NumPy's arrays."""

from __future__ import annotations

import zipfile
import zlib
from lzma import LZMAError

ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError,
)  # fmt: skip
"""Of an archive, or a member, that is broken, cut off, encrypted, or packed or named in a way that Python cannot
read."""


def is_folder_member(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder: before Python 3.11.4, `is_dir` fails on a name without a letter."""
    return member.filename.endswith("/")


def zip_reason(error: BaseException) -> str:
    """Why, on one line: some of these errors have no words."""
    return " ".join(str(error).split()) or type(error).__name__
