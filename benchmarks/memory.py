"""Bytes of memory a pixel that reading a picture takes at its peak, by format, against what the server reckons with.

    python benchmarks/memory.py [--side 3000]

Linux only: each picture is read in a process of its own, whose peak the kernel counts.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mien.images.memory import reading_bytes
from mien.images.read import read_image


def pictures(side: int) -> Iterator[tuple[str, bytes]]:
    """One of every kind, encoded."""
    grey = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8), np.uint8)
    grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_CUBIC)
    rgb = Image.fromarray(np.stack([grey, grey.T, 255 - grey], 2))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(grey))
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds: list[tuple[str, Image.Image, str, dict[str, object]]] = [
        ("JPEG", rgb, "JPEG", {}),
        ("JPEG, progressive, turned", rgb, "JPEG", {"progressive": True, "exif": turned}),
        ("JPEG, CMYK", rgb.convert("CMYK"), "JPEG", {}),
        ("PNG", rgb, "PNG", {}),
        ("PNG, transparent, turned", rgba, "PNG", {"exif": turned}),
        ("PNG, palette", rgb.convert("P"), "PNG", {}),
        ("PNG, 16-bit grey", wide, "PNG", {}),
        ("WebP", rgb, "WEBP", {}),
        ("WebP, transparent, turned", rgba, "WEBP", {"exif": turned}),
        ("AVIF", rgb, "AVIF", {}),
        ("AVIF, transparent, turned", rgba, "AVIF", {"exif": turned}),
        ("JPEG 2000", rgb, "JPEG2000", {}),
        ("JPEG 2000, transparent", rgba, "JPEG2000", {}),
        ("JPEG 2000, 16-bit grey", wide, "JPEG2000", {}),
        ("TIFF", rgb, "TIFF", {}),
        ("TIFF, LZW, transparent", rgba, "TIFF", {"compression": "tiff_lzw"}),
        ("GIF", rgb.convert("P"), "GIF", {}),
        ("BMP", rgb, "BMP", {}),
        ("PPM", rgb, "PPM", {}),
    ]
    for name, picture, kind, options in kinds:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        yield name, file.getvalue()
    try:
        import pillow_heif
    except ModuleNotFoundError:
        pass
    else:
        for name, picture in (("HEIC", rgb), ("HEIC, transparent", rgba)):
            file = io.BytesIO()
            pillow_heif.from_pillow(picture).save(file, quality=80)
            yield name, file.getvalue()
    for name, ending, channels in (("PNG, 16-bit RGBA", ".png", 4), ("TIFF, 16-bit RGBA", ".tif", 4)):
        yield name, cv2.imencode(ending, np.stack([grey] * channels, 2).astype(np.uint16) * 257)[1].tobytes()


def peak(data: bytes) -> tuple[int, int]:
    """The bytes that reading it takes at most, and its pixels."""
    done = subprocess.run([sys.executable, __file__, "--read"], input=data, capture_output=True, check=True)
    used, pixels = done.stdout.split()
    return int(used), int(pixels)


def read() -> None:
    """The child: read the picture of the standard input."""
    data = sys.stdin.buffer.read()
    small = io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, "PNG")
    read_image(small.getvalue())
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _status("VmRSS")
    pixels = read_image(data)
    print(_status("VmHWM") - before, pixels.shape[0] * pixels.shape[1])


def _status(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=3000)
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        read()
        return
    print(f"{'':28}  {'bytes/pixel':>11}  {'reckoned':>8}")
    for name, data in pictures(given.side):
        used, pixels = peak(data)
        reckoned = reading_bytes(data)
        print(
            f"{name:28}  {used / pixels:11.1f}  {reckoned / pixels:8.1f}{'  MORE' if used > reckoned else ''}"
        )


if __name__ == "__main__":
    main()
