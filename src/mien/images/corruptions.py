"""What happens to faces outside of datasets: moved crops, blur, noise, JPEG, low resolution, little light, glasses.

Each function takes one grey picture (h, w) uint8 and gives a new one of that shape. Training draws them at random,
`mien.evaluation.robustness` applies them one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2

Image = NDArray[np.uint8]


def move(
    image: Image, *, rotation: float = 0, scale: float = 1, shift: tuple[float, float] = (0, 0)
) -> Image:
    """Turn, zoom about the middle, and shift; what comes in from outside repeats the edge.

    Args:
        image: the picture.
        rotation: degrees, counter-clockwise.
        scale: above 1 the face becomes larger.
        shift: share of width and of height, to the right and down.
    """
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rotation, scale)
    matrix[:, 2] += shift[0] * width, shift[1] * height
    return _uint8(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def blur(image: Image, sigma: float) -> Image:
    """A Gaussian blur, `sigma` in pixels."""
    return _uint8(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma > 0 else image.copy()


def noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Gaussian noise of that standard deviation in grey levels, like a sensor in low light."""
    return _uint8(image + rng.normal(0, sigma, image.shape))


def low_resolution(image: Image, side: int) -> Image:
    """As if the face had been only `side` pixels wide in its photograph, and was enlarged."""
    height, width = image.shape
    if side >= width:
        return image.copy()
    small = cv2.resize(image, (side, max(1, round(height * side / width))), interpolation=cv2.INTER_AREA)
    return _uint8(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def jpeg(image: Image, quality: int) -> Image:
    """Compressed and read again; `quality` from 1 to 100."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def brightness(image: Image, factor: float) -> Image:
    """Every grey level times `factor`: 0.5 is half the light."""
    return _uint8(image * np.float32(factor))


def glasses(image: Image, darkness: float, height: float, rng: np.random.Generator) -> Image:
    """Two dark lenses and a bridge over the upper half, where a face in a crop has its eyes.

    Args:
        image: the picture.
        darkness: 0 for clear lenses with a rim alone, 1 for black ones.
        height: of the middle of the lenses, as a share of the picture's height.
        rng: for size and rim.
    """
    side = image.shape[1]
    lens = rng.uniform(0.1, 0.17) * side
    axes = (round(lens), round(lens * rng.uniform(0.6, 1)))
    rim = int(rng.integers(1, 3))
    y, eyes = round(height * image.shape[0]), (round(0.3 * side), round(0.7 * side))
    out = image.copy()
    if darkness > 0:
        lenses = np.zeros(image.shape, np.uint8)
        for x in eyes:
            cv2.ellipse(lenses, (x, y), axes, 0, 0, 360, 1, -1)
        out = np.where(lenses == 1, _uint8(image * np.float32(1 - darkness)), image)
    shade = int(rng.integers(0, 80))
    for x in eyes:
        cv2.ellipse(out, (x, y), axes, 0, 0, 360, shade, rim)
    cv2.line(out, (eyes[0] + axes[0], y), (eyes[1] - axes[0], y), shade, rim)
    return out


def _uint8(image: NDArray[Any]) -> Image:
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)
