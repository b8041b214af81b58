"""Measures what the thresholds of mien.quality cost and catch.

    python benchmarks/quality.py --data $MIEN_DATA

How many of FER2013's training pictures are flagged, and how the model's accuracy on PublicTest (FER2013's labels)
falls when every picture is made darker, brighter, more blurred or smaller. The data folder holds
fer2013/train.parquet and fer2013/public_test.parquet.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.faces.quality import assess_quality, sharpness
from mien.models.classifier import EmotionClassifier
from mien.results import Box

Crop = NDArray[np.uint8]


def read(file: Path, count: int) -> tuple[list[Crop], list[int]]:
    """Random rows of FER2013 as (48, 48) uint8 crops, and their labels."""
    table = pq.read_table(file, columns=["image", "label"])
    rows = table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:count])).to_pylist()
    encoded = (np.frombuffer(row["image"]["bytes"], np.uint8) for row in rows)
    return [np.asarray(cv2.imdecode(e, cv2.IMREAD_GRAYSCALE), np.uint8) for e in encoded], [
        row["label"] for row in rows
    ]


def whole(values: NDArray[np.float64]) -> Crop:
    """Rounded and clipped to 0 to 255."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def shrunk(crop: Crop, side: int) -> Crop:
    """As if the face had this side in the picture."""
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (48, 48), interpolation=cv2.INTER_LINEAR), np.uint8)


def changes() -> dict[str, Callable[[Crop], Crop]]:
    """The ways to make a picture worse."""
    result: dict[str, Callable[[Crop], Crop]] = {"as it is": lambda crop: crop}
    for gain in (0.3, 0.2, 0.15, 0.1):
        result[f"darker, times {gain}"] = lambda crop, gain=gain: whole(crop * gain)
    for gain in (0.3, 0.2, 0.15, 0.1):
        result[f"paler, contrast times {gain}"] = lambda crop, gain=gain: whole(255 - (255.0 - crop) * gain)
    for sigma in (0.7, 1.0, 1.25, 1.5, 2.0):
        result[f"blurred, sigma {sigma} pixels"] = lambda crop, sigma=sigma: cv2.GaussianBlur(
            crop, (0, 0), sigma
        )
    for side in (32, 28, 24, 20, 16):
        result[f"from {side} pixels"] = lambda crop, side=side: shrunk(crop, side)
    return result


def main() -> None:
    """Reads the options and prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described above")
    folder = parser.parse_args().data / "fer2013"
    large = Box(0, 0, 100, 100)
    crops, _ = read(folder / "train.parquet", 28_709)
    flags = Counter(next(iter(assess_quality(crop, large).issues), "none") for crop in crops)
    print(
        f"{len(crops)} training pictures:",
        ", ".join(f"{k} {v} ({v / len(crops):.2%})" for k, v in flags.items()),
    )

    crops, labels = read(folder / "public_test.parquet", 3_589)
    classifier = EmotionClassifier()
    print("| change | mean grey | sharpness | flagged | accuracy, percent |")
    print("|---|---|---|---|---|")
    for name, change in changes().items():
        changed = [change(crop) for crop in crops]
        right = classifier.predict_proba(changed, head="fer2013").argmax(axis=1) == np.array(labels)
        grey = np.median([crop.mean() for crop in changed])
        sharp = np.median([sharpness(crop) for crop in changed])
        flagged = np.mean([bool(assess_quality(crop, large).issues) for crop in changed])
        print(f"| {name} | {grey:.0f} | {sharp:.3f} | {flagged:.1%} | {right.mean():.1%} |", flush=True)


if __name__ == "__main__":
    main()
