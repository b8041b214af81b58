"""TIFF (6.0, and BigTIFF) of every depth, order and layout, written byte by byte; LZW by libtiff."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from corpus_case import Case, Pixels, as_rgb, noise, over_white, pack, to_eight
from numpy.typing import NDArray
from pictures import encode
from PIL import Image

_SHORT, _LONG = 3, 4
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_WIDTH, _HEIGHT = 13, 7


def packbits(data: bytes) -> bytes:
    """Runs and literals, as TIFF and PICT have them."""
    packed = b""
    at = 0
    while at < len(data):
        run = 1
        while run < 128 and data[at : at + run + 1] == data[at : at + 1] * (run + 1):
            run += 1
        if run > 1:
            packed += bytes([257 - run]) + data[at : at + 1]
        else:
            packed += b"\0" + data[at : at + 1]
        at += run
    return packed


PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "raw": (1, bytes), "deflate": (8, zlib.compress), "old-deflate": (32946, zlib.compress),
    "packbits": (32773, packbits),
}  # fmt: skip


def tiff(
    values: NDArray[np.int64],
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    packing: str = "raw",
    rows: int | None = None,
    tile: int = 0,
    planar: bool = False,
    predictor: bool = False,
    big: bool = False,
    **extra: list[int],
) -> bytes:
    """A TIFF of values (H, W, channels), in strips of `rows` or in tiles; `extra` are tags, "t274" the orientation."""
    height, width, channels = values.shape
    code, packer = PACKERS[packing]
    planes = [values[..., k : k + 1] for k in range(channels)] if planar else [values]
    parts = [part for plane in planes for part in _parts(plane, rows or height, tile)]
    blocks = [packer(_bytes(part, bits, order, predictor)) for part in parts]
    tags = {
        256: [width], 257: [height], 258: [bits] * channels, 259: [code], 262: [photometric], 277: [channels],
        284: [2 if planar else 1], 317: [2 if predictor else 1],
        (324 if tile else 273): [0] * len(blocks), (325 if tile else 279): [len(block) for block in blocks],
        **({322: [tile], 323: [tile]} if tile else {278: [rows or height]}),
        **{int(name[1:]): given for name, given in extra.items()},
    }  # fmt: skip
    return _layout(dict(sorted(tags.items())), blocks, order, big)


def _parts(plane: NDArray[np.int64], rows: int, tile: int) -> list[NDArray[np.int64]]:
    height, width, channels = plane.shape
    if not tile:
        return [plane[top : top + rows] for top in range(0, height, rows)]
    whole = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, channels), plane.dtype)
    whole[:height, :width] = plane
    return [
        whole[top : top + tile, left : left + tile]
        for top in range(0, len(whole), tile)
        for left in range(0, whole.shape[1], tile)
    ]


def _bytes(part: NDArray[np.int64], bits: int, order: str, predictor: bool) -> bytes:
    if predictor:
        part = np.concatenate([part[:, :1], np.diff(part, axis=1) % 2**bits], axis=1)
    return pack(part.reshape(len(part), -1), bits, order)


def _layout(tags: dict[int, list[int]], blocks: list[bytes], order: str, big: bool) -> bytes:
    """Header, directory, long values, blocks."""
    head, count, entry, place = (16, "Q", 20, "Q") if big else (8, "H", 12, "I")
    inside = struct.calcsize(place)
    after = head + struct.calcsize(count) + entry * len(tags) + inside
    kinds = {tag: "I" if tag in (273, 279, 324, 325) else "H" for tag in tags}
    sizes = {tag: struct.calcsize(kinds[tag]) * len(given) for tag, given in tags.items()}
    start = after + sum(size + size % 2 for size in sizes.values() if size > inside)
    offsets = [start + sum(map(len, blocks[:k])) for k in range(len(blocks))]
    fields = rest = b""
    for tag, given in tags.items():
        packed = struct.pack(f"{order}{len(given)}{kinds[tag]}", *(offsets if tag in (273, 324) else given))
        field = packed.ljust(inside, b"\0")
        if len(packed) > inside:
            field = struct.pack(order + place, after + len(rest))
            rest += packed + b"\0" * (len(packed) % 2)
        kind = {"H": _SHORT, "I": _LONG}[kinds[tag]]
        fields += struct.pack(order + "HH" + place, tag, kind, len(given)) + field
    mark = b"II" if order == "<" else b"MM"
    header = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    directory = struct.pack(order + count, len(tags)) + fields + bytes(inside)
    return mark + header + directory + rest + b"".join(blocks)


_LAYOUTS = {
    "one-strip": {}, "strips": {"rows": 2}, "tiles": {"tile": 16}, "big": {"big": True, "rows": 3},
}  # fmt: skip


def tiff_cases() -> Iterator[Case]:
    """Depths and kinds of colour by byte order, packing and layout."""
    yield from _grey_and_color()
    yield from _alpha_and_palette()
    for bits, channels in ((8, 1), (8, 3), (16, 1)):
        values = noise(_WIDTH, _HEIGHT, channels, 2**bits, 5)
        answer = as_rgb(to_eight(values, 2**bits - 1))
        for order in "<>":
            data = tiff(
                values, bits, _RGB if channels == 3 else 1, order=order, packing="deflate", predictor=True
            )
            yield Case(f"tiff-predictor-{bits}bit-{channels}{_word(order)}", data, answer)
    values = noise(_WIDTH, _HEIGHT, 3, 256, 6)
    for packing in PACKERS:
        data = tiff(values, 8, _RGB, planar=True, packing=packing, rows=3)
        yield Case(f"tiff-planes-{packing}", data, as_rgb(values))
    for mode, channels in (("L", 1), ("RGB", 3), ("1", 1)):
        pixels = noise(_WIDTH, _HEIGHT, channels, 256, 7).astype(np.uint8)
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels).convert(mode)
        answer = np.asarray(picture.convert("RGB"))
        for kind in (
            "tiff_lzw",
            "tiff_adobe_deflate",
            "packbits",
            *(("group3", "group4") if mode == "1" else ()),
        ):
            yield Case(f"tiff-libtiff-{kind}-{mode}", encode(picture, "tiff", compression=kind), answer)


def _word(order: str) -> str:
    return "-little" if order == "<" else "-big"


def _grey_and_color() -> Iterator[Case]:
    for bits, channels in ((1, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)):
        values = noise(_WIDTH, _HEIGHT, channels, 2**bits)
        answer = as_rgb(to_eight(values, 2**bits - 1))
        most = 1 if (bits, channels) == (16, 3) else 0
        for order in "<>":
            for packing in PACKERS:
                for layout, options in _LAYOUTS.items():
                    if (layout == "tiles" and bits < 8) or (layout == "big" and order == ">"):
                        continue  # Pillow 13.0 takes no BigTIFF whose numbers begin with the high byte
                    data = tiff(
                        values,
                        bits,
                        _RGB if channels == 3 else _BLACK_IS_ZERO,
                        order=order,
                        packing=packing,
                        **options,
                    )
                    name = f"tiff-{bits}bit-{channels}{_word(order)}-{packing}-{layout}"
                    yield Case(name, data, answer, most)
        if channels == 1:
            data = tiff(2**bits - 1 - values, bits, _WHITE_IS_ZERO)
            yield Case(f"tiff-white-is-zero-{bits}bit", data, answer)


def _alpha_and_palette() -> Iterator[Case]:
    values = noise(_WIDTH, _HEIGHT, 4, 256, 8)
    colors, alpha = values[..., :3], values[..., 3:]
    straight, dimmed = over_white(colors, alpha), (colors * alpha + 127) // 255
    for order in "<>":
        yield Case(f"tiff-alpha{_word(order)}", tiff(values, 8, _RGB, order=order, t338=[2]), straight)
        # Dark transparent colours lose levels when they are dimmed, but none that show over white.
        data = tiff(np.concatenate([dimmed, alpha], axis=2), 8, _RGB, order=order, t338=[1])
        yield Case(f"tiff-alpha-dimmed{_word(order)}", data, straight, most=2)
        grey = np.concatenate([values[..., :1], alpha], axis=2)
        data = tiff(grey, 8, _BLACK_IS_ZERO, order=order, t338=[2])
        yield Case(f"tiff-grey-alpha{_word(order)}", data, over_white(values[..., :1], alpha))
        yield Case(
            f"tiff-extra-channel{_word(order)}", tiff(values, 8, _RGB, order=order, t338=[0]), as_rgb(colors)
        )
    for bits in (1, 2, 4, 8):
        places, table = noise(_WIDTH, _HEIGHT, 1, 2**bits, 9), noise(2**bits, 1, 3, 256, 10)[0]
        numbers = (table.T * 257).ravel().tolist()
        answer: Pixels = table[places[..., 0]].astype(np.uint8)
        for order in "<>":
            if bits in (4, 8) or order == "<":
                data = tiff(places, bits, _PALETTE, order=order, t320=numbers)
                yield Case(f"tiff-palette-{bits}bit{_word(order)}", data, answer)
