"""Photographs on their side: faces found in the held-out ones as they are and turned, without and with `turns`.

    python benchmarks/turns.py --data $MIEN_DATA                # the shipped detector
    python benchmarks/turns.py --data $MIEN_DATA --mien RUN     # that of a run
    python benchmarks/turns.py --data $MIEN_DATA --tune         # photographs trained on, to choose by

The data folder is described in detectors.py; the truth are the boxes of a YuNet teacher, of 20 pixels and more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from flicker import hit

from mien.faces.detector import FaceDetector
from mien.faces.turns import turned_back
from mien.training.detector.photographs import Photograph, load_photographs, split_photographs
from mien.training.detector.validation import to_be_found

_TUNED = 1200  # photographs


def score(detector: FaceDetector, pictures: list[Photograph], degrees: int) -> tuple[int, int]:
    """The faces found, and the false positives, in photographs turned to the left by so many degrees."""
    found = false = 0
    for one in pictures:
        faces = detector.detect(np.rot90(one.image, degrees // 90))
        back = [turned_back(face, degrees // 90, *one.image.shape[1::-1]) for face in faces]
        hits, wrong = hit(back, *to_be_found(one))
        found += int(hits.sum())
        false += wrong
    return found, false


def main() -> None:
    """Reads the options and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described in detectors.py")
    parser.add_argument(
        "--mien", default="mien", help="a run of mien train-detector, not the shipped detector"
    )
    parser.add_argument("--tune", action="store_true", help="photographs of the training part")
    options = parser.parse_args()
    training, validation = split_photographs(
        load_photographs(options.data / "faces" / "faces_in_context.parquet")
    )
    pictures = training[:: max(1, len(training) // _TUNED)] if options.tune else validation
    faces = sum(len(to_be_found(one)[0]) for one in pictures)
    print(f"{len(pictures)} photographs, {faces} faces")
    print("| turned by | found, false positives | with turns |")
    print("|---|---|---|")
    detectors = [FaceDetector(options.mien, turns=turns) for turns in (False, True)]
    for degrees in (0, 90, 180, 270):
        cells = ["{}, {}".format(*score(detector, pictures, degrees)) for detector in detectors]
        print(f"| {degrees}° | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
