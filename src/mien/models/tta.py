"""More than one view of a picture: its mirror, and the ten crops. Every figure that is chosen by stays single view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.images.crop import to_crop
from mien.models.classifier import EmotionClassifier
from mien.models.registry import ModelConfig

SINGLE, FLIP, TEN_CROP = "single view", "flip", "ten-crop"

_SHIFT_OF_WHOLE_VIEW = 2


def corner_shift(config: ModelConfig) -> int:
    """The distance of the corner crops from the centre crop, in pixels.

    A model that sees the middle `view` of its `input_size` pixels (`config.training["view"]`) has its corner crops
    (input_size - view) / 2 pixels away, rounded down: those show the picture's very corners. One that sees all of
    its input, or does not say what it sees, gets 2 pixels, with the picture's edge repeated.
    """
    view = config.training.get("view")
    if not isinstance(view, int) or not 0 < view < config.input_size:
        return _SHIFT_OF_WHOLE_VIEW
    return (config.input_size - view) // 2


def shifted(crops: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Pictures moved by whole pixels, the edge repeated: (n, h, w) uint8 -> the same shape."""
    _, height, width = crops.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return crops[:, rows[:, None], columns]


def predict_views(
    classifier: EmotionClassifier, images: NDArray[np.uint8], *, head: str | None = None
) -> dict[str, NDArray[np.float64]]:
    """Probabilities of one view, of two and of ten, each the mean over its views.

    - "single view": the picture as it is.
    - "flip": it and its mirror image.
    - "ten-crop": the four corner crops and the centre crop, and the mirror images of these (Krizhevsky et al.,
      "ImageNet classification with deep convolutional neural networks", NIPS 2012). The model cuts out the middle
      itself, so that a corner crop is the picture shifted by `corner_shift` pixels both ways.

    Args:
        classifier: the model.
        images: (n, h, w) uint8 grey.
        head: an output of the model by its name; None for the classifier's own.

    Returns:
        Name -> (n, labels) float64; every row in [0, 1] and summing to 1.

    Raises:
        ValueError: the model has no such head.
    """
    size, step = classifier.config.input_size, corner_shift(classifier.config)
    crops = np.empty((len(images), size, size), np.uint8)
    for place, image in enumerate(images):
        crops[place] = to_crop(image, size)
    single = classifier.predict_proba(crops, head=head).astype(np.float64)
    flip = (single + classifier.predict_proba(crops[:, :, ::-1], head=head)) / 2
    total = 2 * flip
    for down in (step, -step):
        for right in (step, -step):
            corner = shifted(crops, down, right)
            total += classifier.predict_proba(corner, head=head)
            total += classifier.predict_proba(corner[:, :, ::-1], head=head)
    return {SINGLE: single, FLIP: flip, TEN_CROP: total / 10}
