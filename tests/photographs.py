"""Made-up photographs of 48x48 pixels, no two alike, and other versions of them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def photographs(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """(n, 48, 48): shades as wide as a face, with edges, lines and grain."""
    rng = np.random.default_rng(seed)
    shades = [
        cv2.resize(rng.normal(0, 1, (size, size)), (64, 64), interpolation=cv2.INTER_CUBIC)
        for _ in range(n)
        for size in (4, 12, 32)
    ]
    mixed = np.array(shades).reshape(n, 3, 64, 64) * np.array([50, 15, 8])[:, None, None]
    return (128 + mixed.sum(axis=1)).clip(0, 255).astype(np.uint8)[:, 8:56, 8:56]


def brighter(image: Image) -> Image:
    return (40 + 0.8 * image).clip(0, 255).astype(np.uint8)


def shifted(image: Image, pixels: int = 1) -> Image:
    """To the right and down; the border is repeated."""
    padded = np.pad(image, ((pixels, 0), (pixels, 0)), mode="edge")
    return padded[:48, :48]


def compressed(image: Image) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def mirrored(image: Image) -> Image:
    return np.ascontiguousarray(image[:, ::-1])


def marked(image: Image) -> Image:
    """With a watermark."""
    return cv2.putText(image.copy(), "photo", (8, 44), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 150)
