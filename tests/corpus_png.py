"""PNG (ISO/IEC 15948) of every colour type and depth, written byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from corpus_case import SIZES, Case, Pixels, as_rgb, noise, over_white, pack, to_eight
from numpy.typing import NDArray

PNG_KINDS = {
    0: (1, (1, 2, 4, 8, 16)),
    2: (3, (8, 16)),
    3: (1, (1, 2, 4, 8)),
    4: (2, (8, 16)),
    6: (4, (8, 16)),
}
"""Colour type -> channels and depths."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(
    values: NDArray[np.int64],
    color: int,
    bits: int,
    *,
    interlaced: bool = False,
    palette: bytes = b"",
    transparent: bytes = b"",
    exif: bytes = b"",
) -> bytes:
    """A PNG of values (H, W, channels), its rows filtered by all five filters in turn."""
    height, width, _ = values.shape
    parts = [values[y::dy, x::dx] for x, y, dx, dy in _PASSES] if interlaced else [values]
    step = max(1, bits * values.shape[2] // 8)
    stream = b"".join(_filtered(part, bits, step) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"tRNS", transparent), (b"eXIf", exif)]
    cut = len(zlib.compress(stream)) // 2  # the data may be in any number of chunks
    chunks += [(b"IDAT", zlib.compress(stream)[:cut]), (b"IDAT", zlib.compress(stream)[cut:])]
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*((kind, data) for kind, data in chunks if data), (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _filtered(values: NDArray[np.int64], bits: int, step: int) -> bytes:
    """Rows of one pass, each begun with its filter's number."""
    rows = values.reshape(len(values), -1)
    packed = np.array([list(pack(row[None], bits)) for row in rows])
    above = np.vstack([np.zeros_like(packed[:1]), packed[:-1]])
    left, corner = (
        np.hstack([np.zeros((len(p), step), p.dtype), p])[:, : p.shape[1]] for p in (packed, above)
    )
    guess = left + above - corner
    distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
    paeth = np.choose(distances.argmin(axis=0), (left, above, corner))
    predictions = (0 * packed, left, above, (left + above) // 2, paeth)
    return b"".join(
        bytes([y % 5]) + ((packed[y] - predictions[y % 5][y]) & 255).astype(np.uint8).tobytes()
        for y in range(len(packed))
    )


def png_cases() -> Iterator[Case]:
    """Every colour type and depth, interlaced and not, of every size; the 16 bits of colours lose the lower eight."""
    for color, (channels, depths) in PNG_KINDS.items():
        for bits in depths:
            for interlaced in (False, True):
                for width, height in SIZES:
                    name = f"png-type{color}-{bits}bit-{width}x{height}{'-adam7' * interlaced}"
                    values = noise(width, height, channels, 2**bits)
                    palette = bytes(noise(2**bits, 1, 3, 256).astype(np.uint8)) if color == 3 else b""
                    data = png(values, color, bits, interlaced=interlaced, palette=palette)
                    yield Case(
                        name, data, _png_answer(values, color, bits, palette), most=2 if bits == 16 else 0
                    )


def _png_answer(values: NDArray[np.int64], color: int, bits: int, palette: bytes) -> Pixels:
    if color == 3:
        return np.frombuffer(palette, np.uint8).reshape(-1, 3)[values[..., 0]]
    eight = to_eight(values, 2**bits - 1)
    return over_white(eight[..., :-1], eight[..., -1:]) if color in (4, 6) else as_rgb(eight)


def png_transparency_cases() -> Iterator[Case]:
    """tRNS: one colour of grey and RGB that is transparent, and an alpha for each colour of a palette."""
    for interlaced in (False, True):
        for color, bits in ((0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)):
            channels = PNG_KINDS[color][0]
            values = noise(13, 7, channels, min(2**bits, 4), 1) + 1 - (bits == 1)
            if color == 0 and 1 < bits < 16:
                values = values % 2**bits
            elif color == 2 and bits == 16:
                values = (
                    values * 0x1234
                )  # Pillow keeps the upper eight bits only: they alone tell colours apart
            chosen = [0] if bits == 1 else min(filter(any, values.reshape(-1, channels).tolist()))
            alpha = 255 * (values != np.array(chosen)).any(axis=2, keepdims=True)
            data = png(
                values, color, bits, interlaced=interlaced, transparent=np.array(chosen, ">u2").tobytes()
            )
            answer = over_white(to_eight(values, 2**bits - 1), alpha)
            yield Case(
                f"png-trns-type{color}-{bits}bit{'-adam7' * interlaced}", data, answer, most=bits == 16
            )
        for bits in (1, 2, 4, 8):
            values, n = noise(13, 7, 1, 2**bits, 2), 2**bits
            table, alphas = noise(n, 1, 3, 256, 3)[0], noise(n, 1, 1, 256, 4)[0]
            alphas[: n // 2] = (0, 255)[bits % 2]
            given = alphas[: n - n // 4]  # the others are opaque
            full = np.vstack([given, np.full((n - len(given), 1), 255)])
            data = png(
                values, 3, bits, interlaced=interlaced, palette=bytes(table.astype(np.uint8)),
                transparent=bytes(given.astype(np.uint8)),
            )  # fmt: skip
            answer = over_white(table[values[..., 0]], full[values[..., 0]])
            yield Case(f"png-trns-palette-{bits}bit{'-adam7' * interlaced}", data, answer, most=1)
