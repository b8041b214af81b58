"""Golden outputs as text: every file in a form that people can read and compare, without what changes by itself."""

from __future__ import annotations

import base64
import csv
import difflib
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

_FLOAT = re.compile(r"(?<![\w.])-?\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)(?!\w)")
_ANY_NUMBER = re.compile(r"\d[\d.,]*")
_DATA_URI = re.compile(r"data:(\w+)/\w+;base64,([A-Za-z0-9+/=]+)")
_STYLE = re.compile(r"(?<=<style>).*?(?=</style>)", re.DOTALL)

_MASKS = (
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?: ?UTC|Z|[+-]\d\d:\d\d)?)?"), "DATE"),
    (re.compile(r"\b(mien|onnxruntime|Python|keras|tensorflow|numpy|Lavf|Lavc)([ /,])v?\d+(?:\.\d+)+"), r"\1\2VERSION"),
    (re.compile(r'("version": )"[\d.]+"'), r'\1"VERSION"'),
    (re.compile(r"\b(?:[0-9a-f]{64}\b|[0-9a-f]{12}(?:…|(?=\))))"), "SHA-256"),
    (re.compile(r"[^\n<>|\" ][^\n<>|\"]*, \d+ logical processors?, [^\n<>|\"]+"), "MACHINE"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d{4,5}"), r"\1:PORT"),
    (re.compile(r"[\d.,]+ ?((?:faces|pictures|frames|images)/s)"), r"RATE \1"),
    # A line twice a second, as `mien camera` writes them: how many there are depends on the machine.
    (re.compile(r"(?:^\d+\.\d s  \d+ fps  .*\n)+", re.MULTILINE), "SECONDS s  RATE fps  FACES\n"),
)  # fmt: skip


def mask(text: str, places: Mapping[str, str]) -> str:
    """Text without dates, versions, machines, ports and rates, and with names for the absolute paths `places`."""
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    for pattern, name in _MASKS:
        text = pattern.sub(name, text)
    return text


def without_numbers(text: str) -> str:
    """Text with one sign for every number."""
    return _ANY_NUMBER.sub("#", text)


def printed(text: str) -> tuple[str, str]:
    """What a command printed -> kind, and text to compare: JSON and CSV are taken apart."""
    for kind, parse in (("json", json.loads), ("jsonl", _json_lines)):
        try:
            return kind, _pretty(parse(text)) if text.strip() else ""
        except ValueError:
            continue
    if re.match(r"source(,\w+){5,}\n", text):
        return "csv", _csv(text)
    return "text", text


def written(path: Path) -> tuple[str, str]:
    """A file -> kind, and text to compare."""
    kind = path.suffix.lower().removeprefix(".")
    if kind in _READERS:
        return kind, _READERS[kind](path)
    data = path.read_bytes()
    try:
        return kind or "text", data.decode()
    except UnicodeDecodeError:
        return kind, f"{len(data)} bytes\n"


def _json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _pretty(value: Any) -> str:
    """As JSON, a value a line and no commas; short things of plain values share a line, however long their names."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> list[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    nested = any(isinstance(one, dict | list) for one in inner)
    if not inner or (not nested and (isinstance(value, list) or len(value) <= 3)):
        return [indent + json.dumps(value, ensure_ascii=False, default=str)]
    names = (
        (f"{json.dumps(name, ensure_ascii=False)}: " for name in value)
        if isinstance(value, dict)
        else repeat("")
    )
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    lines = [indent + opening]
    for name, one in zip(names, inner, strict=False):
        first, *rest = _lines(one, indent + " ")
        lines += [f"{indent} {name}{first.lstrip()}", *rest]
    return [*lines, indent + closing]


def _csv(text: str) -> str:
    columns, *rows = csv.reader(io.StringIO(text, newline=""))
    return _pretty({"columns": columns, "rows": [dict(zip(columns, row, strict=True)) for row in rows]})


def _parquet(path: Path) -> str:
    table = pq.ParquetFile(path).read()
    # What processes write side by side has no order of its own.
    rows = sorted(table.to_pylist(), key=lambda row: [str(row.get(k)) for k in ("source", "frame", "x1")])
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
                row[name] = picture_text(value["bytes"], cells=2)
    return _pretty({"columns": {field.name: str(field.type) for field in table.schema}, "rows": rows})


def _html(path: Path) -> str:
    text = _STYLE.sub(lambda found: digest(found[0].encode()), path.read_text(encoding="utf-8"))
    return _DATA_URI.sub(_embedded, text.replace("><", ">\n<"))


def _embedded(found: re.Match[str]) -> str:
    """What a page carries in itself: a picture, or a table."""
    data = base64.b64decode(found[2])
    return picture_text(data, cells=2) if found[1] == "image" else f"\n{data.decode()}"


def digest(data: bytes) -> str:
    """A name for bytes that nobody compares by eye."""
    return f"sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def picture_text(data: bytes, cells: int = 6) -> str:
    """An encoded picture: its kind and size, and how bright its cells are, 0 to 255."""
    with Image.open(io.BytesIO(data)) as picture:
        kind, mode = picture.format, picture.mode
        return f"{kind} {mode} {_cells(np.asarray(picture.convert('RGB')), cells)}"


def _cells(pixels: NDArray[np.uint8], cells: int) -> str:
    """The mean of each colour, and of the cells of a grid over the picture: any other pixel changes one of them."""
    height, width = pixels.shape[:2]
    rows, columns = (np.linspace(0, side, cells + 1).astype(int) for side in (height, width))
    grid = [
        float(pixels[top:bottom, left:right].mean()) if top < bottom and left < right else 0.0
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    colours = [float(pixels[..., k].mean()) for k in range(3)]
    return f"{width}x{height} " + " ".join(f"{value:.4f}" for value in (*colours, *grid))


def _clip(path: Path) -> str:
    """A clip: its tracks, and of every tenth frame the time and the picture."""
    with av.open(str(path)) as container:
        lines = [f"{one.type} {one.codec_context.name}" for one in container.streams]
        count = 0
        for count, frame in enumerate(container.decode(video=0), 1):
            if count % 10 == 1:
                lines.append(f"{frame.time:.4f} s {_cells(frame.to_ndarray(format='rgb24'), 4)}")
    return "\n".join((*lines, f"{count} frames", ""))


_READERS: dict[str, Callable[[Path], str]] = {
    "json": lambda path: _pretty(json.loads(path.read_text(encoding="utf-8"))),
    "jsonl": lambda path: _pretty(_json_lines(path.read_text(encoding="utf-8"))),
    "csv": lambda path: _csv(path.read_text(encoding="utf-8")),
    "parquet": _parquet,
    "html": _html,
    "png": lambda path: picture_text(path.read_bytes()) + "\n",
    "jpg": lambda path: picture_text(path.read_bytes()) + "\n",
    "mp4": _clip,
}


def differences(golden: str, now: str, tolerance: float) -> str:
    """A unified diff of two texts, "" where they agree: fractions may differ by `tolerance`, of 1 or of themselves.

    Whole numbers, words, and the order of keys and columns must be the same.
    """
    old, new = golden.splitlines(), now.splitlines()
    shapes = [[_FLOAT.sub("#", line) for line in lines] for lines in (old, new)]
    forgiven = list(new)
    if shapes[0] == shapes[1]:
        blocks = [(0, 0, len(old))]
    else:
        blocks = difflib.SequenceMatcher(None, *shapes, autojunk=False).get_matching_blocks()  # type: ignore[assignment]
    for a, b, length in blocks:
        for k in range(length):
            forgiven[b + k] = _forgive(old[a + k], new[b + k], tolerance)
    return "\n".join(difflib.unified_diff(old, forgiven, "golden", "now", lineterm="", n=2))


def _forgive(old: str, new: str, tolerance: float) -> str:
    """The new line, with the old one's numbers where they are near enough."""
    if old == new:
        return new
    before = iter(_FLOAT.findall(old))

    def nearest(found: re.Match[str]) -> str:
        was = next(before)
        near = math.isclose(float(was), float(found[0]), rel_tol=tolerance, abs_tol=tolerance)
        return was if near else found[0]

    return _FLOAT.sub(nearest, new)


def renamed(golden: str, options: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """A golden in today's words."""
    for old, new in keys.items():
        golden = golden.replace(f'"{old}"', f'"{new}"')
    for old, new in options.items():
        golden = re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", new, golden)
    return golden
