"""What a dataset holds, in words, next to FER2013's published counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien._core.text import words
from mien.data.dataset import Dataset
from mien.data.rows import PUBLISHED_COUNTS, USAGES
from mien.labels import LABELS


def describe_dataset(dataset: Dataset) -> list[str]:
    """A dataset in lines for people: images and classes by split, FER+ votes, FER2013's published counts."""
    lines = []
    classes = len(dataset.labels)
    for name, split in dataset.splits.items():
        counts = split.class_counts(classes)
        pairs = zip(dataset.labels, counts, strict=True)
        images, kinds = words(len(split), "image"), words(classes, "class", "classes")
        # Keras' own sentence, which has no separators in its numbers.
        lines.append(f"{name}: found {len(split)} {images} belonging to {classes} {kinds}")
        lines.append("  " + ", ".join(f"{label} {count}" for label, count in pairs))
        if split.votes is not None:
            lines.append(
                f"  FER+ votes: {np.count_nonzero(split.votes.any(axis=1))} of {len(split)} {images}"
            )
        elif dataset.is_fer2013:
            lines.append("  FER+ votes: none")
        if dataset.is_fer2013:
            lines.append("  " + _compare(name, counts))
    return lines


def _compare(split: str, counts: npt.NDArray[np.int64]) -> str:
    """How FER2013's counts of a split compare with the published ones."""
    usage = {name: word for word, name in USAGES.items()}[split]
    published = np.array(PUBLISHED_COUNTS[split])
    # Copies without the official file names hold both test splits in one folder.
    both = published + PUBLISHED_COUNTS["validation"]
    if split == "test" and np.array_equal(counts, both):
        return "counts equal those published for FER2013's PublicTest and PrivateTest together"
    if np.array_equal(counts, published):
        return f"counts equal those published for FER2013's {usage}"
    differing = ", ".join(
        f"{label} {expected}"
        for label, count, expected in zip(LABELS, counts, published, strict=True)
        if count != expected
    )
    return f"counts differ from those published for FER2013's {usage}: expected {differing}"
