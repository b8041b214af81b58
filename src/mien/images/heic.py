"""HEIC, as telephones of Apple store photographs: read where the extra `mien[heic]` is installed.

pi-heif brings libheif and libde265 (LGPL); pillow-heif, which some have anyway, brings an encoder under the GPL, too.
libheif turns pictures as the file's own boxes say, which count instead of EXIF (ISO/IEC 23008-12): they come upright.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec

SUFFIXES = frozenset((".heic", ".heif", ".hif"))
"""The endings of such files, in lower case; the last is that of some cameras."""

INSTALL = 'to read HEIC: pip install "mien[heic]"'
"""What to do where they are not read."""

_READERS = ("pi_heif", "pillow_heif")
_BRANDS = (
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"mif1",
    b"msf1",
)  # of ISO/IEC 23008-12, annex B


def is_heic(data: bytes) -> bool:
    """Whether a file begins as one."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


def is_installed() -> bool:
    """Whether one of the readers can be imported."""
    return any(map(find_spec, _READERS))


@cache
def register() -> bool:
    """Have Pillow read them; False where no reader is installed."""
    for name in _READERS:
        try:
            importlib.import_module(name).register_heif_opener()
        except ImportError:  # or one that is built for another system
            continue
        return True
    return False
