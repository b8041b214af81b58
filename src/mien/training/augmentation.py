"""Random changes of the training pictures, drawn anew for every batch while training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """How far a training picture may be changed; every amount is drawn uniformly, 0 switches it off.

    Attributes:
        rotation: degrees to either side.
        scale: zoom in or out by this share, 0.15 is 0.85 to 1.15.
        shift: share of the side, to each direction.
        flip: probability of a mirrored picture.
        light: change of brightness (share of 255) and of contrast (share), applied to half of the pictures.
        erasing: probability that a rectangle of 2 to 20 % of the area is overwritten with noise
            (Zhong et al., arXiv 1708.04896).
        mixup: parameter of the Beta distribution that pairs of pictures are mixed with
            (Zhang et al., arXiv 1710.09412).
    """

    rotation: float = 12.0
    scale: float = 0.15
    shift: float = 0.08
    flip: float = 0.5
    light: float = 0.3
    erasing: float = 0.0
    mixup: float = 0.2

    def __post_init__(self) -> None:
        for name, top in _LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= top:
                raise ValueError(f"{name}={value!r}: expected a number from 0 to {top}")


_LIMITS = {"rotation": 180, "scale": 0.9, "shift": 1, "flip": 1, "light": 1, "erasing": 1, "mixup": 10}


def augment(
    images: NDArray[np.uint8], rng: np.random.Generator, settings: Augmentation, view: int
) -> NDArray[np.float32]:
    """Change every picture at random and cut out the view that the network is trained on.

    Args:
        images: (n, h, w) uint8 grey.
        rng: the source of all chance, so that a batch can be drawn again.
        settings: how far to go.
        view: side of the result in pixels, at most h and w.

    Returns:
        (n, view, view) float32, 0 to 255.
    """
    out = np.empty((len(images), view, view), np.float32)
    matrices = _affine_matrices(len(images), images.shape[1:], rng, settings, view)
    for i, (image, matrix) in enumerate(zip(images, matrices, strict=True)):
        out[i] = cv2.warpAffine(
            image, matrix, (view, view), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    _change_light(out, rng, settings.light)
    _erase(out, rng, settings.erasing)
    return out


def center_view(images: NDArray[np.uint8], view: int) -> NDArray[np.float32]:
    """The middle of every picture, as the exported model sees it: (n, h, w) -> (n, view, view) float32."""
    top, left = (images.shape[1] - view) // 2, (images.shape[2] - view) // 2
    return images[:, top : top + view, left : left + view].astype(np.float32)


def mixup_pairs(n: int, rng: np.random.Generator, alpha: float) -> tuple[NDArray[np.int64], float]:
    """Who is mixed with whom, and the share of the first: a permutation (n,) and a number in [0.5, 1]."""
    if alpha == 0:
        return np.arange(n), 1.0
    share = rng.beta(alpha, alpha)
    return rng.permutation(n), float(max(share, 1 - share))


def _affine_matrices(
    n: int, shape: tuple[int, ...], rng: np.random.Generator, settings: Augmentation, view: int
) -> NDArray[np.float64]:
    """(n, 2, 3): rotation, zoom, shift and flip about the middle of the picture, in one step."""
    height, width = shape
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation, n))
    zoom = rng.uniform(1 - settings.scale, 1 + settings.scale, n)
    mirror = np.where(rng.random(n) < settings.flip, -1.0, 1.0)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([np.stack([cos * mirror, -sin], 1), np.stack([sin * mirror, cos], 1)], 1)
    source = np.array([(width - 1) / 2, (height - 1) / 2])
    target = (view - 1) / 2 + rng.uniform(-settings.shift, settings.shift, (n, 2)) * width
    offset: NDArray[Any] = target - linear @ source
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _change_light(images: NDArray[np.float32], rng: np.random.Generator, amount: float) -> None:
    changed = rng.random(len(images)) < 0.5
    contrast = np.where(changed, rng.uniform(1 - amount, 1 + amount, len(images)), 1)[:, None, None]
    brightness = np.where(changed, rng.uniform(-amount, amount, len(images)) * 255, 0)[:, None, None]
    mean = images.mean(axis=(1, 2), keepdims=True)
    np.clip((images - mean) * contrast + mean + brightness, 0, 255, out=images)


def _erase(images: NDArray[np.float32], rng: np.random.Generator, probability: float) -> None:
    side = images.shape[1]
    # One by one: indexing with a mask would give a copy, and the pictures themselves would stay whole.
    for image in (images[i] for i in np.flatnonzero(rng.random(len(images)) < probability)):
        area, aspect = rng.uniform(0.02, 0.2) * side * side, np.exp(rng.uniform(-1, 1))
        height = int(np.clip(np.sqrt(area * aspect), 1, side))
        width = int(np.clip(np.sqrt(area / aspect), 1, side))
        top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        image[top : top + height, left : left + width] = rng.uniform(0, 255, (height, width))
