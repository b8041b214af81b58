"""Pictures for the tests: portraits that packages bring along, generated patterns, odd files and bad ones."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien import Box

GRACE_HOPPER_FACE = Box(160, 118, 372, 330)
"""The face in `grace_hopper()`: forehead to chin, drawn by hand."""

ASTRONAUT_FACE = Box(172, 62, 276, 172)
"""The face in `astronaut()`: forehead to chin, drawn by hand."""


def grace_hopper() -> NDArray[np.uint8]:
    """A portrait in the public domain that matplotlib ships: (600, 512, 3) uint8 RGB, one face."""
    return np.array(Image.open(grace_hopper_path()).convert("RGB"))


def grace_hopper_path() -> Path:
    """The file of `grace_hopper()`."""
    return Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")


def astronaut() -> NDArray[np.uint8]:
    """Eileen Collins, from scikit-image: (512, 512, 3) uint8 RGB, one face."""
    from skimage import data

    return np.asarray(data.astronaut(), np.uint8)


def pattern(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """A smooth picture without symmetry, (height, width, 3) uint8 RGB: compression changes it little."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1)
    return np.stack([red, green, (red + green) / 2], axis=2).astype(np.uint8)


def encode(image: NDArray[np.uint8] | Image.Image, kind: str = "png", **options: object) -> bytes:
    """The bytes of a picture file, by Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of some hundred bytes whose header promises width x height pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def write_bad_files(folder: Path) -> dict[str, Path]:
    """What must fail with an ImageError, by name. One path does not exist, one is an empty folder."""
    jpeg = encode(pattern(200, 300), "jpeg")
    contents = {
        "text.jpg": b"this is a text that somebody renamed\n",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": encode(pattern(200, 300))[:-400],
        "empty.png": b"",
        "header_only.jpg": jpeg[:4],
        "bomb.png": png_bomb(),
        "float.tif": encode(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "tiff"),
        "drawing.eps": encode(pattern(), "eps"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "no pictures").mkdir()
    return {name: folder / name for name in (*contents, "no pictures", "missing.jpg")}


def write_odd_files(folder: Path) -> dict[str, Path]:
    """Unusual files that must be read, by name; all but `one_pixel.png` show `pattern()` in some form."""
    picture = Image.fromarray(pattern())
    grey = picture.convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    alpha = picture.copy()
    alpha.putalpha(Image.new("L", picture.size, 255))
    contents = {
        "plain.png": encode(picture),
        "plain.bmp": encode(picture, "bmp"),
        "plain.jpg": encode(picture, "jpeg", quality=95),
        "progressive.jpg": encode(picture, "jpeg", quality=95, progressive=True),
        "cmyk.jpg": encode(picture.convert("CMYK"), "jpeg", quality=95),
        "grey.png": encode(grey),
        "grey16.png": encode(wide),
        "grey16.tif": encode(wide, "tiff"),
        "one_bit.png": encode(grey.convert("1")),
        "palette.png": encode(picture.quantize(256)),
        "alpha.png": encode(alpha),
        "grey_alpha.png": encode(alpha.convert("LA")),
        "plain.webp": encode(picture, "webp", lossless=True),
        "plain.ppm": encode(picture, "ppm"),
        "animated.gif": encode(picture, "gif", save_all=True, append_images=[Image.new("RGB", (60, 40))]),
        "animated.png": encode(picture, "png", save_all=True, append_images=[Image.new("RGB", (60, 40))]),
        "one_pixel.png": encode(np.full((1, 1, 3), 7, np.uint8)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def rotated_jpeg(orientation: int) -> bytes:
    """`pattern()` stored sideways or mirrored, with the EXIF orientation (1 to 8) that puts it right.

    The table is Pillow's own inverse of each orientation, not ours.
    """
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = Image.fromarray(pattern())
    if orientation in stored:
        picture = picture.transpose(stored[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture, "jpeg", quality=95, exif=exif)
