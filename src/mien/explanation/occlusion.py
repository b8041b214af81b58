"""Where in a crop its expression was read: parts are hidden one by one, and the model is asked again.

Occlusion sensitivity (Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014). A part is
hidden by the blurred crop, as grey squares are things of their own to a network. Size and step of the patches were
chosen by benchmarks/explain.py among these, larger ones, Gaussian ones and random masks (RISE):
docs/explanation/explain.md.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.models.classifier import EmotionClassifier

Heat = NDArray[np.float32]
Region = NDArray[np.bool_]

PATCH = 1 / 6
"""Side of the patch over the crop's: 8 of 48 pixels."""

STEP = 1 / 12
"""From one patch to the next, over the crop's side."""

BLUR = 1 / 8
"""Standard deviation of the Gaussian that hides, over the crop's side."""

REGION = 0.1
"""Share of the crop's area that is marked as the place that counts."""

_SHIFTS = tuple((y, x) for y in (0.0, 0.25, 0.5, 0.75) for x in (0.0, 0.25, 0.5, 0.75) if (y, x) != (0, 0))


def heat_map(
    classifier: EmotionClassifier,
    crop: NDArray[np.uint8],
    label: int,
    masks: NDArray[np.float32] | None = None,
) -> Heat:
    """What hiding each place takes from a label's probability, by patches in one batch.

    Args:
        classifier: whose predictions are explained.
        crop: (size, size) uint8 grey, of the model's own size.
        label: index into the classifier's labels.
        masks: (n, size, size), 0 to 1: what is hidden, one after the other; None for `patches`.

    Returns:
        (size, size) float32, -1 to 1: the mean fall of the probability over the masks that hide a pixel, weighted
        by how much they hide of it; negative where hiding raises it.
    """
    masks = patches(len(crop)) if masks is None else masks
    whole, *parts = classifier.predict_proba([crop, *hide(crop, masks)])
    falls = whole[label] - np.array(parts)[:, label]
    return np.asarray(np.tensordot(falls, masks, 1) / masks.sum(axis=0), np.float32)


def marked(heat: Heat, share: float = REGION) -> Region:
    """The pixels with the highest heat that make up that share of the crop, (size, size) bool.

    Raises:
        ValueError: a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share {share}: expected more than 0 and less than 1")
    count = max(1, round(share * heat.size))
    region = np.zeros(heat.size, np.bool_)
    region[np.argsort(-heat.ravel(), kind="stable")[:count]] = True
    return region.reshape(heat.shape)


def hide(crop: NDArray[np.uint8], masks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The crop with parts replaced by its blurred self.

    Args:
        crop: (size, size) uint8 grey.
        masks: (n, size, size), 1 for hidden, 0 for visible, soft in between.

    Returns:
        (n, size, size) uint8.
    """
    sharp = crop.astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), BLUR * len(crop))
    return np.asarray(np.rint(sharp + masks * (blurred - sharp)), np.uint8)


def soft(region: Region) -> NDArray[np.float32]:
    """A region as a mask without hard edges, which would be features themselves: (size, size), 0 to 1."""
    return np.asarray(cv2.GaussianBlur(region.astype(np.float32), (0, 0), len(region) / 48), np.float32)


def elsewhere(region: Region) -> NDArray[np.bool_]:
    """The same region moved over the whole crop by quarters of its side, (15, size, size).

    What leaves on one side enters on the other, so area and shape stay.
    """
    size = len(region)
    return np.stack([np.roll(region, (round(y * size), round(x * size)), (0, 1)) for y, x in _SHIFTS])


@lru_cache(maxsize=4)
def patches(size: int, patch: float = PATCH, step: float = STEP) -> NDArray[np.float32]:
    """A square at every place of the crop, as masks; its edge is soft over two pixels of 48.

    Args:
        size: side of the crop in pixels.
        patch: side of the square over the crop's.
        step: from one place to the next over the crop's side, at most `patch`.

    Returns:
        (n, size, size) float32, 0 to 1, read-only; every pixel is in one or more.
    """
    half, edge = size * patch / 2, size / 24
    # They start half a patch outside, so the border is hidden about as often as any other place.
    centers = np.arange(half / 2, size - half / 2 + 1e-6, size * step)
    pixels = np.arange(size) + 0.5
    along = np.clip((half - np.abs(pixels - centers[:, None])) / edge + 0.5, 0, 1)
    masks: NDArray[np.float32]
    masks = np.einsum("ay,bx->abyx", along, along).reshape(-1, size, size).astype(np.float32)
    masks.flags.writeable = False  # shared by all callers
    return masks
