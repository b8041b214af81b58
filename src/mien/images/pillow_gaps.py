"""What Pillow 13.0 leaves to do about valid files: transparent colours of PNG, and TIFF of 16 bits with white as 0."""

from __future__ import annotations

from PIL import Image

_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262  # a value and a tag of TIFF


def scale_transparent_color(picture: Image.Image) -> None:
    """Bring the transparent colour of a PNG, which has the file's depth, to that of its pixels.

    Of colours of 16 bits Pillow keeps the upper eight, so those that differ below become transparent together.

    Args:
        picture: a file that is open and not yet decoded: only until then Pillow tells its depth.
    """
    color, tiles = picture.info.get("transparency"), getattr(picture, "tile", ())
    if picture.format != "PNG" or color is None or not tiles:
        return
    mode = tiles[0][3]
    if mode in ("L;2", "L;4"):
        picture.info["transparency"] = color * {"L;2": 85, "L;4": 17}[mode]
    elif mode == "RGB;16B":
        picture.info["transparency"] = tuple(value >> 8 for value in color)


def is_negative(picture: Image.Image) -> bool:
    """Whether a TIFF's zero is white and Pillow has not turned it round: it does so below 16 bits only."""
    tags = getattr(picture, "tag_v2", {})
    return picture.mode.startswith("I") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
