"""How much memory a picture takes to read, read from its header: a file of 400 kB can be a picture of 400 MB."""

from __future__ import annotations

from mien.images.read import MAX_PIXELS, open_picture

# Bytes a pixel at the peak of `read_image`, with what its decoder needs: upper bounds of what benchmarks/memory.py
# measures with 8 and 16 bits, with and without transparency, upright and turned.
_BYTES_PER_PIXEL = {"JPEG2000": 28, "HEIF": 13, "WEBP": 24, "AVIF": 20, "TIFF": 20, "JPEG": 13, "MPO": 13}
_OTHERS = 12


def reading_bytes(data: bytes, max_pixels: int = MAX_PIXELS) -> int:
    """An upper bound of the bytes of memory that `read_image` takes besides `data`; 0 for what it refuses."""
    try:
        with open_picture(data) as picture:
            width, height = picture.size
            pixels = width * height
            return 0 if pixels > max_pixels else pixels * _BYTES_PER_PIXEL.get(picture.format or "", _OTHERS)
    except Exception:  # what a broken header makes Pillow raise; `read_image` says what is wrong
        return 0
