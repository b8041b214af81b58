"""Data augmentation: random changes of the training pictures, drawn anew for every batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien._core.settings import check_limits, check_types
from mien.images import corruptions


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
        corruption: probability of a camera's fault: blur, noise, JPEG or low resolution, one of them (`_corrupt`).
        glasses: probability of drawn glasses, clear to black.
        mixup: parameter of the Beta distribution that pairs of pictures are mixed with
            (Zhang et al., arXiv 1710.09412).
    """

    rotation: float = 12.0
    scale: float = 0.15
    shift: float = 0.08
    flip: float = 0.5
    light: float = 0.3
    erasing: float = 0.0
    corruption: float = 0.0
    glasses: float = 0.0
    mixup: float = 0.2

    def __post_init__(self) -> None:
        check_types(self)
        check_limits(self, _LIMITS)

    def mild(self) -> Augmentation:
        """What the last epochs see: pictures nearly as they are, as the exported model will.

        A fifth of every movement and of the light, half of the faults and glasses, nothing mixed or erased.
        """
        return replace(
            self,
            rotation=self.rotation / 5,
            scale=self.scale / 5,
            shift=self.shift / 5,
            light=self.light / 5,
            corruption=self.corruption / 2,
            glasses=self.glasses / 2,
            erasing=0,
            mixup=0,
        )


_LIMITS = dict.fromkeys(("shift", "flip", "light", "erasing", "corruption", "glasses"), (0, 1)) | {
    "rotation": (0, 180),
    "scale": (0, 0.9),
    "mixup": (0, 10),
}


def augment(
    images: NDArray[np.uint8],
    rng: np.random.Generator,
    settings: Augmentation,
    view: int,
    size: int | None = None,
) -> NDArray[np.float32]:
    """Change every picture at random and cut out the view that the network is trained on.

    Args:
        images: (n, h, w) uint8 grey.
        rng: the only source of randomness, so a batch can be drawn again.
        settings: how far to go.
        view: side of what the network sees of a picture, in the picture's pixels; at most h and w.
        size: side of the result; None for `view`, less shrinks it.

    Returns:
        (n, size, size) float32, 0 to 255.
    """
    size = size or view
    images = _corrupt(images, rng, settings)
    out = np.empty((len(images), size, size), np.float32)
    matrices = _affine_matrices(len(images), images.shape[1:], rng, settings, view, size / view)
    for i, (image, matrix) in enumerate(zip(images, matrices, strict=True)):
        out[i] = cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    _change_light(out, rng, settings.light)
    _erase(out, rng, settings.erasing)
    return out


def center_view(images: NDArray[np.uint8], view: int, size: int | None = None) -> NDArray[np.float32]:
    """The middle of every picture, as the exported model sees it, shrunk to `size` if that is less.

    (n, h, w) uint8 -> (n, size, size) float32.
    """
    top, left = (images.shape[1] - view) // 2, (images.shape[2] - view) // 2
    middle = images[:, top : top + view, left : left + view].astype(np.float32)
    if size is None or size == view:
        return middle
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR) for image in middle])


def mixup_pairs(n: int, rng: np.random.Generator, alpha: float) -> tuple[NDArray[np.int64], float]:
    """Who is mixed with whom, and the share of the first: a permutation (n,) and a number in [0.5, 1]."""
    if alpha == 0:
        return np.arange(n), 1.0
    share = rng.beta(alpha, alpha)
    return rng.permutation(n), float(max(share, 1 - share))


def _affine_matrices(
    n: int,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    settings: Augmentation,
    view: int,
    shrink: float,
) -> NDArray[np.float64]:
    """(n, 2, 3): rotation, zoom, shift and flip about the middle of the picture, and `shrink`, in one step.

    A further draw from `rng` must come after these, or only where its setting is on: the views that teachers were asked
    about (`mien distill`) are drawn again from the same seed.
    """
    height, width = shape
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation, n))
    zoom = rng.uniform(1 - settings.scale, 1 + settings.scale, n)
    mirror = np.where(rng.random(n) < settings.flip, -1.0, 1.0)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.stack([np.stack([cos * mirror, -sin], 1), np.stack([sin * mirror, cos], 1)], 1)
    source = np.array([(width - 1) / 2, (height - 1) / 2])
    target = (view - 1) / 2 + rng.uniform(-settings.shift, settings.shift, (n, 2)) * width
    offset: NDArray[Any] = target - linear @ source
    matrices = np.concatenate([linear, offset[:, :, None]], axis=2) * shrink
    matrices[:, :, 2] += (shrink - 1) / 2  # pixels are squares: the middle of the first one is at 0
    return matrices


def _corrupt(
    images: NDArray[np.uint8], rng: np.random.Generator, settings: Augmentation
) -> NDArray[np.uint8]:
    """Glasses and a camera's faults on some of the pictures; the others are not copied where none is drawn."""
    if not settings.corruption and not settings.glasses:
        return images
    out = images.copy()
    for i in np.flatnonzero(rng.random(len(out)) < settings.glasses):
        out[i] = corruptions.glasses(out[i], max(0.0, rng.uniform(-1, 1)), rng.uniform(0.32, 0.45), rng)
    for i in np.flatnonzero(rng.random(len(out)) < settings.corruption):
        kind = rng.integers(4)
        if kind == 0:
            out[i] = corruptions.blur(out[i], rng.uniform(0.5, 1.5))
        elif kind == 1:
            out[i] = corruptions.noise(out[i], rng.uniform(3, 20), rng)
        elif kind == 2:
            out[i] = corruptions.jpeg(out[i], int(rng.integers(15, 70)))
        else:
            out[i] = corruptions.low_resolution(out[i], int(rng.integers(18, 40)))
    return out


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
