"""Pictures in: read from a file, bytes, an open file or an array into one form, with limits and clear errors."""

from __future__ import annotations

import io
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien._core.files import is_pipe, read_pipe
from mien._core.opencv import cv2
from mien._core.text import count
from mien.errors import ImageError
from mien.images import heic, pillow_gaps
from mien.images.find import SUFFIXES, walk
from mien.images.pixels import check_array, over_white


class BinaryFile(Protocol):
    """An open binary file, or whatever else has its `read`: `io.BytesIO`, an upload, an HTTP answer."""

    def read(self, size: int, /) -> bytes:
        """At most this many bytes; none at the end."""


Encoded: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile"
"""An encoded picture: a path, the bytes of a file, or an open binary file."""

ImageSource: TypeAlias = "Encoded | NDArray[np.uint8] | Image.Image"
"""What `read_image` reads: a path, an encoded file's bytes, an open binary file, an array or a Pillow image."""

MAX_PIXELS = 210_000_000
"""Pictures with more pixels are refused by their header: telephones make 200 megapixels, 600 MB once decoded."""

MAX_BYTES = 256_000_000
"""Encoded pictures with more bytes are refused."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that are read, and HEIF where `mien[heic]` is installed; some of the others start
programs or hold no photographs."""

_EXIF_ORIENTATION = 0x0112
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION, _SEPARATE = 258, 284, 2  # tags of TIFF, and a value
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a path has lost the second slash; one letter is a drive
_LONGEST_NAME = 300
_PART = 1 << 20
_STRIP = 1 << 17  # pixels
_SMALL = 1 << 21  # pixels: up to here a copy of the whole is no matter
# Filters of warnings are global to the process: without a lock, two threads restore each other's.
_WARNINGS_LOCK = threading.Lock()


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8 RGB, upright.

    Files and bytes may be of any of `FORMATS`. The EXIF orientation is applied; transparency is laid over
    white; of an animation the first frame is taken; 16-bit grey is scaled by its whole range, 0 to 65535.

    Args:
        source: a path; the bytes of a file; a binary file that is open, which is read on from where it stands and
            left open; a Pillow image; or a uint8 array (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA. An
            RGB array comes back without a copy.
        max_pixels: files, bytes and Pillow images with more pixels are refused by their header.

    Raises:
        ImageError: the picture is missing, unreadable, broken, or larger than `max_pixels` or `MAX_BYTES`.
        TypeError: the source is none of the above, as a file opened as text, or an array of another type than uint8.
        ValueError: an array of another shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "Pillow image", max_pixels)
    return decode(*read_encoded(source), max_pixels)


def read_encoded(source: Encoded) -> tuple[bytes, str]:
    """The bytes of an encoded picture, one more than `MAX_BYTES` at most, and what messages call it.

    Raises:
        ImageError, TypeError: as `read_image` raises them.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), f"picture of {count(memoryview(source).nbytes, 'byte')}"
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return _read_path(path), _name(path)
    if hasattr(source, "read"):
        return _read_file(source), "picture of an open file"
    raise TypeError(
        f"cannot read a picture from {type(source).__name__}: "
        "expected a path, bytes, an open binary file, a uint8 array or a Pillow image"
    )


def save_image(image: NDArray[np.uint8], path: Path) -> None:
    """Write an image, (H, W, 3) uint8 RGB, in the format that the path's ending names.

    Raises:
        OSError: the file cannot be written.
    """
    Image.fromarray(image).save(path, quality=92)


def _name(path: Path) -> str:
    """The path on one line, and a short one: what is no path at all can be of any length."""
    text = str(path) if str(path).isprintable() else repr(str(path))
    return text if len(text) <= _LONGEST_NAME else f"{text[:80]}... ({len(text):,} characters)"


def _read_path(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ImageError(_about_folder(path))
        if is_pipe(path):
            return read_pipe(path, MAX_BYTES + 1)
        with path.open("rb") as file:
            # A file's own size where it has one: asking for the most would reserve as much memory each time.
            size = os.fstat(file.fileno()).st_size or MAX_BYTES
            return file.read(min(size, MAX_BYTES) + 1)
    except PermissionError:
        raise ImageError(f"{_name(path)}: permission denied; expected a file you may read") from None
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "no such file" if missing else f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ImageError(f"{_name(path)}: {_about_address(str(path)) or reason}") from None


def _about_address(text: str) -> str:
    """How to read what somebody took for a path; "" for what may be one."""
    if text.startswith("data:"):
        return 'a "data:" address; expected its bytes: base64.b64decode(address.partition(",")[2])'
    if _ADDRESS.match(text):
        return "an address, but mien fetches nothing; expected a path, or the bytes that are there"
    return ""


def _read_file(file: Any) -> bytes:
    """The rest of an open file, and one byte more than may be at most."""
    data = bytearray()
    try:
        # By parts: some files reserve as much memory as they are asked for, and some give less than there is.
        while len(data) <= MAX_BYTES and (part := file.read(_PART)):
            if isinstance(part, str):
                raise TypeError('a file that was opened as text; expected a binary one: open(path, "rb")')
            data += part
    except (OSError, ValueError) as error:
        raise ImageError(f"open file: cannot be read: {' '.join(str(error).split())}") from None
    if not data:
        raise ImageError(
            "open file: nothing left in it; expected a picture (after reading or writing: seek(0))"
        )
    return bytes(data)


def _about_folder(folder: Path) -> str:
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"{_name(folder)}: permission denied; expected a folder you may read"
    if walk(folder, SUFFIXES):
        return f"{_name(folder)}: a folder; expected one picture (find_images lists a folder's pictures)"
    return f"{_name(folder)}: a folder without pictures; expected files such as .jpg, .png or .webp"


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The picture in an encoded file, as `read_image` reads it; messages call it by the name.

    Raises:
        ImageError: as `read_image` raises it.
    """
    if not data:
        raise ImageError(f"{name}: empty; expected a picture")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name}: larger than {MAX_BYTES / 1e6:.0f} MB; expected a smaller file")
    try:
        picture = open_picture(data)
    except Exception:  # Pillow's readers raise what a broken header makes them raise
        if data[:4] in _TIFF:
            raise ImageError(
                f"{name}: a broken TIFF, or one of a kind that is not read; expected 8 or 16 bits a channel"
            ) from None
        if heic.is_heic(data) and not heic.register():
            raise ImageError(f"{name}: HEIC; {heic.INSTALL}, or convert it to JPEG") from None
        raise ImageError(f"{name}: not a picture; expected one of {', '.join(FORMATS)}") from None
    with picture:
        if picture.format not in (*FORMATS, "HEIF"):
            raise ImageError(f"{name}: of type {picture.format}; expected one of {', '.join(FORMATS)}")
        if pillow_gaps.is_bmp_in_runs(picture):
            _check_size(picture, name, max_pixels)
            return _whole(pillow_gaps.read_bmp_in_runs(data), name)
        pillow_gaps.scale_transparent_color(picture)
        return _from_pillow(picture, name, max_pixels)


def _whole(pixels: NDArray[np.uint8] | None, name: str) -> NDArray[np.uint8]:
    if pixels is None:
        raise ImageError(f"{name}: broken picture; expected a whole one")
    return pixels


def _check_size(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: too many pixels ({width:,} x {height:,}); expected at most {max_pixels / 1e6:g} megapixels"
        )
    if not width or not height:
        raise ImageError(f"{name}: {width} x {height} pixels; expected at least one")


def _from_pillow(picture: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    _check_size(picture, name, max_pixels)
    try:
        picture.load()
        orientation = _orientation(picture)
        pixels = _to_rgb(picture, name)
    except ImageError:
        raise
    except Exception as error:  # as above, for what follows the header
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: broken picture ({reason}); expected a whole one") from None
    return _upright(pixels, orientation)


def _orientation(picture: Image.Image) -> object:
    """What EXIF says, 1 to 8; broken EXIF says nothing, for the pixels may be whole."""
    try:
        with _no_warnings():
            return picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # Pillow's readers raise what a broken text makes them raise
        return 1


def _to_rgb(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    tags: Mapping[int, Any] = getattr(picture, "tag_v2", {})
    bits = max(tags.get(_BITS_PER_SAMPLE, (16,)))  # of other formats, Pillow makes 16
    if picture.mode.startswith("I"):
        is_negative, transparent = pillow_gaps.is_negative(picture), picture.info.get("transparency")
        return _by_strips(picture, lambda strip: _from_16_bit(strip, name, bits, is_negative, transparent))
    if bits > 8 and tags.get(_PLANAR_CONFIGURATION) == _SEPARATE:
        # Pillow 13.0 and OpenCV 4.14 read such files, with wrong colours and without a word.
        raise ImageError(
            f"{name}: a TIFF of {bits} bits in separate planes; expected interleaved channels, or 8 bits"
        )
    if picture.mode == "F":
        raise ImageError(f"{name}: floating-point pixels; expected 8 or 16 bits a channel")
    return _by_strips(picture, _over_white if picture.has_transparency_data else _without_alpha)


def _by_strips(
    picture: Image.Image, convert: Callable[[Image.Image], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """The picture's rows converted some at a time: every whole copy of a large photograph is some hundred MB."""
    width, height = picture.size
    if width * height <= _SMALL:
        return np.array(convert(picture))
    rows = max(1, _STRIP // width)
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = convert(picture.crop((0, top, width, bottom)))
    return pixels


def _over_white(strip: Image.Image) -> NDArray[np.uint8]:
    return over_white(np.asarray(strip.convert("RGBA")))


def _without_alpha(strip: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _from_16_bit(
    strip: Image.Image, name: str, bits: int, is_negative: bool, transparent: int | None
) -> NDArray[np.uint8]:
    """Grey of 16 bits, which some versions of Pillow hold in 32; or of 9 to 15, whose values Pillow does not widen."""
    wide, white = np.asarray(strip).astype(np.int64), 2 ** min(bits, 16) - 1
    if wide.min() < 0 or wide.max() > white:
        raise ImageError(f"{name}: 32-bit pixels; expected 8 or 16 bits a channel")
    if transparent is not None:
        wide[wide == transparent] = white
    if is_negative:
        wide = white - wide
    return _grey_to_rgb(((255 * wide + white // 2) // white).astype(np.uint8))


def _from_array(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    check_array(array)
    if array.ndim == 2 or array.shape[2] == 1:
        return _grey_to_rgb(array.reshape(array.shape[:2]))
    return np.ascontiguousarray(array) if array.shape[2] == 3 else over_white(array)


def _grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _upright(pixels: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    """Undoes the EXIF orientation 1 to 8; anything else counts as 1."""
    if orientation not in (2, 3, 4, 5, 6, 7, 8):
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def open_picture(data: bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    """A picture's header as Pillow reads it, silently and of any size: who decodes the picture looks at that first.

    Args:
        data: an encoded file.
        formats: Pillow's names of those that it may be of; None for any.

    Raises:
        Exception: what Pillow's readers make of a file that is no picture, or a broken one.
    """
    if heic.is_heic(data):
        heic.register()
    with _no_warnings():
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        except Image.DecompressionBombError:  # Pillow's own limit is below what telephones make
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(io.BytesIO(data), formats=formats)
            finally:
                Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Silences Pillow's remarks on odd headers, short blocks only."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
