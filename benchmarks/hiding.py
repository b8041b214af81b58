"""How many faces `--blur-faces` hides, by the search that it makes, and how much else of the pictures.

    python benchmarks/hiding.py faces.parquet --limit 1500

Of photographs with boxes of their faces (as `mien train-detector` takes them) those that the shipped detector was not
trained on. A face counts as hidden where 95 % of its box is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mien._core.text import percent
from mien.faces.anonymize import anonymized_areas
from mien.faces.detector import FaceDetector, search_to_anonymize
from mien.results import Face
from mien.training.detector.photographs import Photograph, load_photographs, split_photographs

Search = Callable[[np.ndarray], list[Face]]


def hidden(search: Search, picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: what is under a mosaic."""
    mask = np.zeros(picture.shape[:2], bool)
    boxes = [face.box for face in search(picture)]
    for x1, y1, x2, y2 in anonymized_areas(boxes, picture.shape[1], picture.shape[0]):
        mask[y1:y2, x1:x2] = True
    return mask


def measure(search: Search, photographs: list[Photograph]) -> str:
    """A line about a search: faces hidden, other area hidden, time."""
    faces = found = 0
    empty, start = [], time.perf_counter()
    for one in photographs:
        mask = hidden(search, one.image)
        if one.empty:
            empty.append(mask.mean())
        for x1, y1, x2, y2 in one.faces.boxes.astype(int):
            part = mask[max(0, y1) : y2, max(0, x1) : x2]
            if min(x2 - x1, y2 - y1) >= 12 and part.size:
                faces += 1
                found += part.mean() >= 0.95
    seconds = (time.perf_counter() - start) / len(photographs)
    return (
        f"{found:,} of {faces:,} faces hidden ({percent(found / faces)}); of {len(empty)} pictures without a face "
        f"{percent(np.mean(empty))} of the area; {1000 * seconds:.0f} ms a picture"
    )


def main() -> None:
    """A line a search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="read so many pictures; 0 for all")
    options = parser.parse_args()
    _, photographs = split_photographs(load_photographs(options.photographs, limit=options.limit))
    print(f"{len(photographs)} photographs")
    haar, mien = FaceDetector("haar", min_size=8), FaceDetector("mien", min_size=8)
    searches: dict[str, Search] = {
        "haar": haar.detect,
        "mien": mien.detect,
        "--blur-faces": search_to_anonymize(),
    }
    for name, search in searches.items():
        print(f"{name}: {measure(search, photographs)}")


if __name__ == "__main__":
    main()
