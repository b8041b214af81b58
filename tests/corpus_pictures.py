"""JPEG, GIF, BMP, PNM, WebP, AVIF and JPEG 2000, and the EXIF orientation of every kind that has one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import product

import cv2
import numpy as np
from corpus_case import SIZES, Case, Pixels, as_rgb, by_opencv, noise, over_white, pack, to_eight
from corpus_png import png
from corpus_tiff import tiff
from numpy.typing import NDArray
from pictures import encode, pattern
from PIL import Image, features

_OPENCV_READS_GIF = tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 11)

UPRIGHT = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, -1), 7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}  # fmt: skip
"""EXIF orientation -> what a viewer does with the stored pixels (EXIF 2.3, table 6)."""


def jpeg_cases() -> Iterator[Case]:
    """Grey, colour and CMYK; baseline and progressive, every subsampling, restart markers; answers by OpenCV."""
    markers = ({}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1})
    for size, sampling, progressive, restart in product(
        SIZES, ("4:4:4", "4:2:2", "4:2:0"), (False, True), markers
    ):
        picture = pattern(size[1] * 3, size[0] * 3)
        data = encode(picture, "jpeg", subsampling=sampling, progressive=progressive, quality=90, **restart)
        name = (
            f"jpeg-{sampling}-{size[0] * 3}x{size[1] * 3}{'-progressive' * progressive}{''.join(restart)[7:]}"
        )
        yield Case(name, data, by_opencv(data), most=2)
    for mode, optimize, restart in product(("L", "CMYK"), (False, True), markers):
        data = encode(
            Image.fromarray(pattern(21, 35)).convert(mode), "jpeg", optimize=optimize, quality=90, **restart
        )
        name = f"jpeg-{mode}{'-optimized' * optimize}{''.join(restart)[7:]}"
        # CMYK has no one answer without its profile: readers round in different places.
        yield Case(name, data, by_opencv(data), most=3)
    for keep in (False, True):
        data = encode(pattern(21, 35), "jpeg", keep_rgb=keep, quality=98, subsampling="4:4:4")
        yield Case(f"jpeg-{'rgb' if keep else 'ycc'}", data, by_opencv(data), most=2)


def orientation_cases() -> Iterator[Case]:
    """All eight, for every kind of file that has an EXIF block or a tag of its own for it."""
    pixels = pattern(14, 26)
    for orientation, turn in UPRIGHT.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        # A viewer's turn undone: what a camera stores.
        inverse = UPRIGHT[{6: 8, 8: 6}.get(orientation, orientation)]
        stored = np.ascontiguousarray(inverse(pixels))
        assert (turn(stored) == pixels).all()
        files = {
            "png": encode(stored, "png", exif=exif),
            "png-adam7": png(stored.astype(np.int64), 2, 8, interlaced=True, exif=exif.tobytes()[6:]),
            "webp": encode(stored, "webp", lossless=True, exif=exif),
            "tiff": tiff(stored.astype(np.int64), 8, 2, t274=[orientation]),
            "tiff-big-endian": tiff(
                stored.astype(np.int64), 8, 2, order=">", packing="deflate", t274=[orientation]
            ),
        }
        for kind, data in files.items():
            yield Case(f"exif-{kind}-{orientation}", data, pixels)
        data = encode(stored, "jpeg", quality=95, exif=exif)
        yield Case(f"exif-jpeg-{orientation}", data, by_opencv(data), most=2)
        if features.check("avif"):
            data = encode(stored, "avif", quality=100, subsampling="4:4:4", exif=exif)
            yield Case(f"exif-avif-{orientation}", data, pixels, most=8, mean=2)


def bmp(
    values: NDArray[np.int64],
    bits: int,
    table: bytes = b"",
    *,
    upside_down: bool = False,
    masks: tuple[int, ...] = (),
) -> bytes:
    """A BMP of values (H, W, channels): places in a table of colours, or blue, green and red; 16 bits as one value."""
    height, width, _channels = values.shape
    rows = values.reshape(height, -1)
    if bits in (24, 32):
        lines = [row.astype(np.uint8).tobytes() for row in rows]
    else:
        lines = [pack(row[None], bits, "<") for row in rows]
    lines = [line + bytes(-len(line) % 4) for line in lines]
    body = b"".join(lines if upside_down else lines[::-1])
    extra = struct.pack(f"<{len(masks)}I", *masks)
    at = 14 + 40 + len(extra) + len(table)
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, -height if upside_down else height, 1, bits, 3 if masks else 0, len(body), 2835,
        2835, len(table) // 4, 0,
    )  # fmt: skip
    return b"BM" + struct.pack("<IHHI", at + len(body), 0, 0, at) + header + extra + table + body


def bmp_in_runs() -> Case:
    """8 bits packed in runs: each a number and a colour, each line ended by two zeros, the file by 0 and 1."""
    lengths, places = noise(5, 7, 1, 9)[..., 0] + 1, noise(5, 7, 1, 256)[..., 0]
    lengths[:, -1] += 50 - lengths.sum(axis=1)
    packed = b"".join(
        np.stack([runs, colors], axis=1).astype(np.uint8).tobytes() + b"\0\0"
        for runs, colors in zip(lengths[::-1], places[::-1], strict=True)
    )
    packed += b"\0\1"
    colors = noise(256, 1, 3, 256)[0]
    table = np.hstack([colors[:, ::-1], 0 * colors[:, :1]]).astype(np.uint8).tobytes()
    at = 54 + len(table)
    header = struct.pack("<IiiHHIIiiII", 40, 50, 7, 1, 8, 1, len(packed), 2835, 2835, 256, 0)
    data = b"BM" + struct.pack("<IHHI", at + len(packed), 0, 0, at) + header + table + packed
    rows = [np.repeat(row, runs) for row, runs in zip(places, lengths, strict=True)]
    return Case("bmp-runs", data, colors[np.stack(rows)].astype(np.uint8))


def bmp_cases() -> Iterator[Case]:
    """1, 4 and 8 bits with a table, 16 with masks, 24 and 32; from the bottom up and from the top down."""
    yield bmp_in_runs()
    for upside_down, (width, height) in product((False, True), SIZES):
        name = f"{width}x{height}{'-top-down' * upside_down}"
        for bits in (1, 4, 8):
            values, colors = noise(width, height, 1, 2**bits), noise(2**bits, 1, 3, 256)[0]
            table = np.hstack([colors[:, ::-1], 0 * colors[:, :1]]).astype(np.uint8).tobytes()
            data = bmp(values, bits, table, upside_down=upside_down)
            yield Case(f"bmp-{bits}bit-{name}", data, colors[values[..., 0]].astype(np.uint8))
        for channels in (3, 4):  # the fourth byte says nothing
            values = noise(width, height, channels, 256)
            data = bmp(values, 8 * channels, upside_down=upside_down)
            yield Case(f"bmp-{8 * channels}bit-{name}", data, as_rgb(values[..., 2::-1]))
        parts = noise(width, height, 3, 32)
        values = (parts * np.array([1 << 11, 1 << 6, 1])).sum(axis=2, keepdims=True)
        data = bmp(values, 16, upside_down=upside_down, masks=(0xF800, 0x07E0, 0x001F))
        wide = parts * np.array([1, 2, 1])
        answer = as_rgb(np.stack([to_eight(wide[..., k], (31, 63, 31)[k]) for k in range(3)], axis=2))
        yield Case(f"bmp-565-{name}", data, answer, most=1)


def pnm_cases() -> Iterator[Case]:
    """Bits, grey and colour, as text and raw, of several depths, with remarks in the header."""
    for width, height in SIZES:
        for channels, white, text in product((1, 3), (1, 15, 255, 1000, 65535), (False, True)):
            values = noise(width, height, channels, white + 1)
            number = {1: 5, 3: 6}[channels] - 3 * text
            body = " ".join(map(str, values.ravel())).encode() if text else pack(
                values.reshape(height, -1), 8 if white < 256 else 16
            )  # fmt: skip
            data = b"P%d\n# a remark\n%d %d\n%d\n" % (number, width, height, white) + body
            name = f"pnm-P{number}-{white}-{width}x{height}"
            yield Case(
                name, data, as_rgb(to_eight(values, white)), most=1 if white > 255 and channels == 3 else 0
            )
        bits = noise(width, height, 1, 2)
        for number in (1, 4):
            body = " ".join(map(str, bits.ravel())).encode() if number == 1 else pack(bits[..., 0], 1)
            data = b"P%d %d %d\n" % (number, width, height) + body
            yield Case(f"pnm-P{number}-{width}x{height}", data, as_rgb(255 - 255 * bits))


def gif_cases() -> Iterator[Case]:
    """Interlaced or not, of 2 to 256 colours, transparent, animated, and a first frame that fills a part only."""
    for colors, interlace, (width, height) in product((2, 4, 16, 256), (0, 1), SIZES):
        table, places = noise(colors, 1, 3, 256)[0], noise(width, height, 1, colors)[..., 0]
        picture = Image.fromarray(places.astype(np.uint8), "P")
        picture.putpalette(table.astype(np.uint8).tobytes())
        name = f"gif-{colors}-{width}x{height}{'-interlaced' * interlace}"
        yield Case(name, encode(picture, "gif", interlace=interlace), table[places].astype(np.uint8))
        if (width, height) == SIZES[-1]:
            alpha = 255 * (places[..., None] != 1)
            data = encode(picture, "gif", interlace=interlace, transparency=1)
            yield Case(f"{name}-transparent", data, over_white(table[places], alpha))
            others = [Image.fromarray(((places + k) % colors).astype(np.uint8), "P") for k in (1, 2)]
            for other in others:
                other.putpalette(table.astype(np.uint8).tobytes())
            data = encode(picture, "gif", interlace=interlace, save_all=True, append_images=others, loop=0)
            yield Case(f"{name}-animated", data, table[places].astype(np.uint8))
            part = bytearray(encode(picture, "gif", interlace=interlace))
            part[6:10] = struct.pack(
                "<HH", width + 4, height + 3
            )  # the screen; around the frame is background
            if _OPENCV_READS_GIF:
                yield Case(f"{name}-part", bytes(part), by_opencv(bytes(part)))


def modern_cases() -> Iterator[Case]:
    """WebP, AVIF and JPEG 2000: with and without loss, with alpha, animated, of 16 bits."""
    for width, height in SIZES:
        color = noise(width, height, 3, 256).astype(np.uint8)
        rgba = noise(width, height, 4, 256)
        transparent = over_white(rgba[..., :3], rgba[..., 3:])
        exact = rgba.astype(np.uint8)
        size = f"{width}x{height}"
        yield Case(f"webp-lossless-{size}", encode(color, "webp", lossless=True), color)
        yield Case(f"webp-alpha-{size}", encode(exact, "webp", lossless=True, exact=True), transparent)
        data = encode(pattern(height * 3, width * 3), "webp", quality=90)
        yield Case(f"webp-lossy-{size}", data, by_opencv(data), most=3)
        for kind in ("jp2", "j2k"):
            options = {"irreversible": False, "num_resolutions": 1, "no_jp2": kind == "j2k"}
            yield Case(f"{kind}-{size}", encode(color, "jpeg2000", **options), color)
            grey = noise(width, height, 1, 65536)
            data = encode(Image.fromarray(grey[..., 0].astype(np.uint16)), "jpeg2000", **options)
            yield Case(f"{kind}-grey16-{size}", data, as_rgb(to_eight(grey, 65535)))
        yield Case(
            f"jp2-alpha-{size}", encode(exact, "jpeg2000", irreversible=False, num_resolutions=1), transparent
        )
        greys = Image.fromarray(exact[..., 0])
        greys.putalpha(Image.fromarray(exact[..., 3]))
        data = encode(greys, "jpeg2000", irreversible=False, num_resolutions=1)
        yield Case(f"jp2-grey-alpha-{size}", data, over_white(rgba[..., :1], rgba[..., 3:]))
    yield from _animated()
    if features.check("avif"):
        yield from _avif()


def _animated() -> Iterator[Case]:
    first, second = (noise(13, 7, 3, 256, seed).astype(np.uint8) for seed in (1, 2))
    for kind, options in (("webp", {"lossless": True}), ("png", {}), ("tiff", {})):
        data = encode(first, kind, save_all=True, append_images=[Image.fromarray(second)], **options)
        yield Case(f"{kind}-animated", data, first)


def _avif() -> Iterator[Case]:
    for (width, height), sampling in product(
        ((8, 8), (39, 21), (1, 1)), ("4:4:4", "4:2:2", "4:2:0", "4:0:0")
    ):
        pixels: Pixels = pattern(height, width)
        if sampling == "4:0:0":
            pixels = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
        data = encode(pixels, "avif", quality=95, subsampling=sampling, speed=10)
        yield Case(f"avif-{sampling}-{width}x{height}", data, pixels, most=40, mean=4)
    alpha = np.dstack([pattern(21, 39), pattern(21, 39)[..., 0]]).astype(np.int64)
    data = encode(alpha.astype(np.uint8), "avif", quality=100, subsampling="4:4:4", speed=10)
    yield Case("avif-alpha", data, over_white(alpha[..., :3], alpha[..., 3:]), most=8, mean=2)
