"""OpenCV, as all of mien imports it: one that is broken is named, and how to mend it."""

from __future__ import annotations

from mien.errors import BrokenInstallError

_MEND = "pip install --force-reinstall opencv-python-headless"

try:
    import cv2
except ImportError as error:  # it is missing, or a library of the system that its other wheels need
    raise BrokenInstallError(f"OpenCV cannot be loaded ({error}): {_MEND}") from None

# Several of its wheels share a folder: who removes one of them leaves an empty package behind.
if not hasattr(cv2, "cvtColor"):
    raise BrokenInstallError(f"OpenCV is not whole, as after one of its packages was removed: {_MEND}")

__all__ = ["cv2"]
