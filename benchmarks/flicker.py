"""How much a face's being found depends on the size of the search: found at one of them, found at all?

    python benchmarks/flicker.py --data $MIEN_DATA                # the shipped detector
    python benchmarks/flicker.py --data $MIEN_DATA --mien RUN     # that of a run
    python benchmarks/flicker.py --data $MIEN_DATA --tune         # photographs trained on, to choose by

The data folder is described in detectors.py; the truth are the boxes of a YuNet teacher, of 20 pixels and more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import overlaps
from mien._core.text import percent
from mien.faces.onnx_detector import MienDetector
from mien.metrics.detection import OVERLAP
from mien.results import Face
from mien.training.detector.photographs import load_photographs, split_photographs
from mien.training.detector.validation import MIN_SIDE, to_be_found

SIZES = (480, 640, 800, 1024)
_TUNED = 900  # photographs


def hit(
    faces: list[Face], boxes: NDArray[np.float32], ignored: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], int]:
    """Which of the boxes are found, and how many finds are near none of them."""
    found = np.array(
        [
            (f.box.x1, f.box.y1, f.box.x2, f.box.y2)
            for f in faces
            if min(f.box.width, f.box.height) >= MIN_SIDE
        ],
        np.float32,
    ).reshape(-1, 4)
    fit = overlaps(found, boxes)
    near = fit.max(axis=1, initial=0) >= OVERLAP
    forgiven = overlaps(found, ignored).max(axis=1, initial=0) >= OVERLAP
    return fit.max(axis=0, initial=0) >= OVERLAP, int((~near & ~forgiven).sum())


def main() -> None:
    """Reads the options and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described in detectors.py")
    parser.add_argument("--mien", type=Path, help="a run of mien train-detector, not the shipped detector")
    parser.add_argument("--tune", action="store_true", help="photographs of the training part")
    options = parser.parse_args()
    training, validation = split_photographs(
        load_photographs(options.data / "faces" / "faces_in_context.parquet")
    )
    pictures = training[:_TUNED] if options.tune else validation
    detectors = [MienDetector(options.mien, long_side=size) for size in SIZES]
    found: list[NDArray[np.bool_]] = []
    wrong = np.zeros(len(SIZES), int)
    for one in pictures:
        boxes, ignored = to_be_found(one)
        results = [hit(detector.detect(one.image), boxes, ignored) for detector in detectors]
        found.append(np.stack([hits for hits, _ in results]))
        wrong += [false for _, false in results]
    table = np.concatenate(found, axis=1)
    some, every = table.any(axis=0), table.all(axis=0)
    print(f"{len(pictures)} photographs, {table.shape[1]} faces")
    for size, hits, false in zip(SIZES, table, wrong, strict=True):
        print(f"searched at {size}: {hits.sum()} found ({percent(hits.mean())}), {false} false positives")
    print(
        f"found at every size {every.sum()}, at some {some.sum()}: {percent((some & ~every).mean())} flicker"
    )


if __name__ == "__main__":
    main()
