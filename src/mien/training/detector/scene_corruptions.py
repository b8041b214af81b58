"""Corruptions of a scene's pixels: light, colour, blur, noise, JPEG; its geometry is unchanged."""

from __future__ import annotations

import numpy as np

from mien._core.opencv import cv2
from mien.training.detector.geometry import Image


def corrupt(image: Image, rng: np.random.Generator, *, grey: bool = False) -> Image:
    """A scene (H, W, 3) uint8 RGB with faults drawn at random.

    Args:
        image: the scene.
        rng: the source of the random numbers.
        grey: take the colours away for certain, not just now and then.
    """
    if grey or rng.random() < 0.12:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    elif rng.random() < 0.3:
        image = _saturate(image, rng.uniform(0.2, 1.5))
    image = _relight(image, rng, tinted=rng.random() < 0.35)
    if rng.random() < 0.25:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), np.exp(rng.uniform(np.log(0.4), np.log(2)))), np.uint8
        )
    if rng.random() < 0.1:
        image = _few_pixels(image, rng.uniform(0.4, 0.9))
    if rng.random() < 0.2:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 18))
        image = (image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        image = _jpeg(image, int(rng.integers(20, 90)))
    return image


def _relight(image: Image, rng: np.random.Generator, *, tinted: bool) -> Image:
    """Another exposure: gamma, contrast, brightness, and a colour of the light where `tinted`."""
    if rng.random() < 0.25 and not tinted:
        return image
    values = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))
    values = (values - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.08)
    light = np.exp(rng.normal(0, 0.12, 3)) if tinted else np.ones(3)
    table = (255 * values[:, None] * light).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def _saturate(image: Image, amount: float) -> Image:
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return np.asarray(cv2.addWeighted(image, amount, grey, 1 - amount, 0), np.uint8)


def _few_pixels(image: Image, share: float) -> Image:
    height, width = image.shape[:2]
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _jpeg(image: Image, quality: int) -> Image:
    # The order of channels only decides which is coarser: a corruption like others.
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
