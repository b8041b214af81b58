"""The pixels of a frame, converted only when somebody needs them: RGB or grey, upright, square, of a screen's range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.errors import VideoError
from mien.images.read import MAX_PIXELS

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane
    from av.video.stream import VideoStream

_HDR = (16, 18)  # transfer functions, as ITU-T H.273 numbers them: PQ and HLG
_SRGB, _BT709 = 13, 1

_FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG
_LUMA = frozenset((
    "nv12", "yuv410p", "yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p",
    "yuvj411p", "yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p",
))  # fmt: skip
"""Pixel formats whose first plane is the brightness of every pixel in a byte."""

_EXPANDED = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
"""Brightness of the limited range of ITU-R BT.601 and BT.709, where 16 is black and 235 white, as 0 to 255."""


class Pixels(Protocol):
    """The pixels of one frame, in the forms that they are needed in."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; the same array at every call, not to be written to."""

    def grey(self, factor: int) -> NDArray[np.uint8]:
        """(H // factor, W // factor) uint8: brightness, 0 for black to 255, reduced by a whole number."""


class ArrayPixels:
    """A picture (H, W, 3) uint8 RGB that is there already."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self._picture = picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self._picture.shape[1], self._picture.shape[0]

    def rgb(self) -> NDArray[np.uint8]:
        """The picture itself."""
        return self._picture

    def grey(self, factor: int) -> NDArray[np.uint8]:
        """Weighed as ITU-R BT.601 does."""
        return np.asarray(cv2.cvtColor(reduced(self._picture, factor), cv2.COLOR_RGB2GRAY), np.uint8)


class FramePixels:
    """A decoded frame of PyAV: upright, its pixels square, HDR brought to sRGB by PyAV 17 and later.

    For one thread at a time.

    Args:
        frame: as it was decoded.
        name: of the clip, for messages.
        aspect: width over height of a pixel as it is shown.
        orientation: of its clip.

    Raises:
        VideoError: it is too large.
    """

    def __init__(self, frame: VideoFrame, name: str, aspect: float, orientation: Orientation) -> None:
        self._frame, self._name = frame, name
        self._stored = round(frame.width * max(aspect, 1.0)), round(frame.height / min(aspect, 1.0))
        check_size(*self._stored, name)
        self._turned, self._across, self._down = orientation.of(frame)
        self._picture: NDArray[np.uint8] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        width, height = self._stored
        return (height, width) if self._turned else (width, height)

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, made at the first call.

        Raises:
            VideoError: FFmpeg cannot convert it.
        """
        if self._picture is None:
            self._picture = self._converted()
        return self._picture

    def grey(self, factor: int) -> NDArray[np.uint8]:
        """The plane of brightness that most codecs have, brought to the full range; of others and HDR made of RGB.

        It is weighed as the file says: by BT.601, BT.709 or BT.2020.

        Raises:
            VideoError: FFmpeg cannot convert it.
        """
        frame, (width, height) = self._frame, self._stored
        plane = frame.planes[0] if frame.format.name in _LUMA and not _is_hdr(frame) else None
        if plane is None or plane.line_size < 0:  # rows are stored from the last one on
            return ArrayPixels(self.rgb()).grey(factor)
        luma = plane_rows(plane)[:, : frame.width]
        if (width, height) != (frame.width, frame.height):
            resized = cv2.resize(luma, (width, height), interpolation=cv2.INTER_LINEAR)
            luma = np.asarray(resized, np.uint8)
        small = reduced(self._upright(luma), factor)
        is_full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
        return small if is_full else np.asarray(cv2.LUT(small, _EXPANDED), np.uint8)

    def _converted(self) -> NDArray[np.uint8]:
        frame, (width, height) = self._frame, self._stored
        try:
            shown = frame
            if _is_hdr(frame):
                shown = frame.reformat(
                    width, height, "rgb24", dst_color_trc=_SRGB, dst_color_primaries=_BT709
                )
            elif (width, height) != (frame.width, frame.height):
                shown = frame.reformat(width, height)
            # PyAV 15 takes the full range for the limited one unless it is told.
            full: dict[str, Any] = (
                {"src_color_range": _FULL_RANGE, "dst_color_range": 0}
                if shown.color_range == _FULL_RANGE
                else {}
            )
            (plane,) = shown.reformat(format="rgb24", **full).planes
            rows = plane_rows(plane)[:, : 3 * width]
        except Exception as error:  # whatever a strange file brings about: the others of a run go on
            raise VideoError(f"{self._name}: cannot be read: {type(error).__name__}: {error}") from error
        # Copied only where rows do not follow each other without a gap: that takes as long as the conversion.
        picture = np.ascontiguousarray(rows).reshape(height, width, 3)
        return np.ascontiguousarray(self._upright(picture))

    def _upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._turned:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self._down else 1, :: -1 if self._across else 1]


def check_size(width: int, height: int, name: str) -> None:
    """Refuse a frame that is too large.

    Raises:
        VideoError: more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{name}: too many pixels ({width:,} x {height:,}); expected at most {MAX_PIXELS / 1e6:.0f} megapixels"
        )


def pixel_aspect(stream: VideoStream) -> float:
    """Width over height of a pixel as it is shown: not 1 in what tapes and some cameras record."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 0.25 <= aspect <= 4 else 1.0  # beyond, the header is wrong


def plane_rows(plane: VideoPlane) -> NDArray[np.uint8]:
    """The bytes of a plane of a frame, (rows, bytes) with what fills the rows up; no copy."""
    memory: Any = plane
    return np.frombuffer(memory, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, -1)


def _is_hdr(frame: VideoFrame) -> bool:
    return getattr(frame, "color_trc", None) in _HDR


class Orientation:
    """How the frames of one clip are turned and mirrored, by their display matrix."""

    def __init__(self) -> None:
        self._known: tuple[int, tuple[bool, bool, bool]] | None = None

    def of(self, frame: VideoFrame) -> tuple[bool, bool, bool]:
        """Whether rows and columns change places, and whether columns and rows are then in reverse."""
        # PyAV ties a frame and its side data together, so that its pixels stay in memory until Python's collector of
        # circles comes by: hundreds of megabytes. So the matrix is read only where the angle in it is a new one.
        if self._known is None or self._known[0] != frame.rotation:
            self._known = frame.rotation, _orientation(frame)
        return self._known[1]


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """As `Orientation.of`: the matrix says that (p, q) is shown at (a p + c q, b p + d q)."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def reduced(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """A picture (H, W) or (H, W, 3), each of whose sides is divided by a whole number, which is fast."""
    height, width = picture.shape[:2]
    size = max(1, width // factor), max(1, height // factor)
    if factor == 1:
        return np.ascontiguousarray(picture)
    whole = np.ascontiguousarray(picture[: size[1] * factor, : size[0] * factor])
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
