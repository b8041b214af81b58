"""A decoded frame of PyAV as a picture: RGB, upright, its pixels square, its range that of a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import VideoError
from mien.images.read import MAX_PIXELS

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

_HDR = (16, 18)  # transfer functions, as ITU-T H.273 numbers them: PQ and HLG
_SRGB, _BT709 = 13, 1


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


def to_picture(frame: VideoFrame, name: str, aspect: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, upright, its pixels square.

    HDR is brought to sRGB, by PyAV 17 and later; earlier ones leave it flat and dark.

    Raises:
        VideoError: it is too large.
    """
    width, height = round(frame.width * max(aspect, 1.0)), round(frame.height / min(aspect, 1.0))
    check_size(width, height, name)
    shown = frame
    if getattr(frame, "color_trc", None) in _HDR:
        shown = frame.reformat(width, height, "rgb24", dst_color_trc=_SRGB, dst_color_primaries=_BT709)
    elif (width, height) != (frame.width, frame.height):
        shown = frame.reformat(width, height)
    # A reformatted frame may have lost its matrix.
    return _upright(np.asarray(shown.to_ndarray(format="rgb24"), np.uint8), frame)


def _upright(picture: NDArray[np.uint8], frame: VideoFrame) -> NDArray[np.uint8]:
    """Turned and mirrored as the frame's display matrix says: (p, q) is shown at (a p + c q, b p + d q)."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return picture
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        across, down = a < 0, d < 0
    else:
        picture, across, down = picture.swapaxes(0, 1), c < 0, b < 0
    return np.ascontiguousarray(picture[:: -1 if down else 1, :: -1 if across else 1])
