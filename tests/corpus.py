"""Odd but valid inputs, made by code, each with its right answer: what went in, or what an independent reader says.

Files are written byte by byte wherever that is short, so that no library is asked about its own work; where a codec
loses something, the answer is OpenCV's. The fuzzer of benchmarks/ begins from the same files.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache

from corpus_case import Case
from corpus_clips import ClipCase, clip_cases
from corpus_data import DataCase, archive_cases, table_cases
from corpus_pictures import bmp_cases, gif_cases, jpeg_cases, modern_cases, orientation_cases, pnm_cases
from corpus_png import png_cases, png_transparency_cases
from corpus_tiff import tiff_cases

_PICTURES: tuple[Callable[[], Iterator[Case]], ...] = (
    png_cases, png_transparency_cases, jpeg_cases, tiff_cases, bmp_cases, gif_cases, pnm_cases, modern_cases,
    orientation_cases,
)  # fmt: skip


@cache
def pictures() -> dict[str, Case]:
    """Every picture, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on what it writes
        return {case.name: case for make in _PICTURES for case in make()}


@cache
def clips() -> dict[str, ClipCase]:
    """Every clip that the installed FFmpeg can write, by name."""
    return {case.name: case for case in clip_cases()}


@cache
def datasets() -> dict[str, DataCase]:
    """Every archive and table, by name."""
    return {case.name: case for make in (archive_cases, table_cases) for case in make()}
