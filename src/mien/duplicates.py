"""Images that occur more than once, byte for byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def has_copy(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which images are among others, pixel for pixel.

    Args:
        images: (n, h, w) uint8.
        others: (m, h, w) uint8.

    Returns:
        (n,) bool.
    """
    known = {image.tobytes() for image in others}
    return np.fromiter((image.tobytes() in known for image in images), np.bool_, len(images))
