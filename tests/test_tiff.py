"""Kinds of TIFF that scanners and microscopes write: read right, or refused in words."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from mien import read_image
from mien.errors import ImageError

WIDTH, HEIGHT = 60, 40


def tiff(bits: int, samples: int, strips: list[bytes], *, planar: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed little-endian TIFF of WIDTH x HEIGHT; several strips are planes."""
    sizes = [len(strip) for strip in strips]
    offsets = [sum(sizes[:k]) for k in range(len(strips))]
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("H", [WIDTH]),
        257: ("H", [HEIGHT]),
        258: ("H", [bits] * samples),
        259: ("H", [1]),
        262: ("H", [2 if samples == 3 else 1]),
        273: ("I", offsets),
        277: ("H", [samples]),
        278: ("H", [HEIGHT]),
        279: ("I", sizes),
        284: ("H", [planar]),
        339: ("H", [sample_format] * samples),
    }
    after = 8 + 2 + 12 * len(tags) + 4
    long = {tag for tag, (kind, values) in tags.items() if struct.calcsize(kind) * len(values) > 4}
    start = after + sum(struct.calcsize(kind) * len(values) for kind, values in (tags[tag] for tag in long))
    fields, rest = b"", b""
    for tag, (kind, values) in tags.items():
        numbers = [value + start for value in values] if tag == 273 else values
        packed = struct.pack(f"<{len(values)}{kind}", *numbers)
        place = struct.pack("<I", after + len(rest)) if tag in long else packed.ljust(4, b"\0")
        rest += packed if tag in long else b""
        fields += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(values)) + place
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + fields + bytes(4) + rest + b"".join(strips)


def colors() -> np.ndarray:
    """(HEIGHT, WIDTH, 3) of 16 bits."""
    across, down = np.linspace(0, 65535, WIDTH), np.linspace(0, 65535, HEIGHT)
    return np.stack(np.broadcast_arrays(across[None], down[:, None], 20_000.0), axis=2).astype("<u2")


def packed(values: np.ndarray) -> bytes:
    """Numbers of 12 bits, two in three bytes."""
    first, second = values.ravel()[::2], values.ravel()[1::2]
    parts = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
    return np.stack(parts, axis=1).astype(np.uint8).tobytes()


def test_grey_of_twelve_bits_is_as_light_as_it_is() -> None:
    grey = np.tile(np.linspace(0, 4095, WIDTH).round().astype(int), (HEIGHT, 1))
    picture = read_image(tiff(12, 1, [packed(grey)]))
    np.testing.assert_allclose(picture[..., 0], grey / 4095 * 255, atol=0.51)


def test_grey_of_sixteen_bits() -> None:
    grey = np.tile(np.linspace(0, 65535, WIDTH).round().astype("<u2"), (HEIGHT, 1))
    np.testing.assert_allclose(read_image(tiff(16, 1, [grey.tobytes()]))[..., 1], grey / 257, atol=0.51)


def test_colors_of_sixteen_bits() -> None:
    picture = read_image(tiff(16, 3, [colors().tobytes()]))
    np.testing.assert_allclose(picture, colors() / 257, atol=1.01)


def test_colors_of_eight_bits_in_separate_planes() -> None:
    eight = (colors() >> 8).astype(np.uint8)
    strips = [eight[..., k].tobytes() for k in range(3)]
    np.testing.assert_array_equal(read_image(tiff(8, 3, strips, planar=2)), eight)


def test_sixteen_bits_in_separate_planes_are_refused_and_not_read_wrong() -> None:
    data = tiff(16, 3, [colors()[..., k].tobytes() for k in range(3)], planar=2)
    with pytest.raises(ImageError, match="16 bits in separate planes; expected interleaved"):
        read_image(data)


def test_floating_point_colors_are_named() -> None:
    floats = (colors() / 65535).astype("<f4")
    with pytest.raises(ImageError, match="TIFF, or one of a kind that is not read; expected 8 or 16 bits"):
        read_image(tiff(32, 3, [floats.tobytes()], sample_format=3))


def test_whole_numbers_of_thirty_two_bits_are_read_where_sixteen_hold_them() -> None:
    for value, fits in ((1000, True), (70_000, False)):
        stream = io.BytesIO()
        Image.fromarray(np.full((HEIGHT, WIDTH), value, np.int32)).save(stream, "TIFF")
        if fits:
            assert read_image(stream.getvalue()).max() == round(value / 257)
        else:
            with pytest.raises(ImageError, match="32-bit pixels"):
                read_image(stream.getvalue())
