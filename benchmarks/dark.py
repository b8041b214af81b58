"""How many faces are found in photographs with less and less light.

    python benchmarks/dark.py PHOTOS [--detectors mien haar]

PHOTOS is a folder of pictures; their grey levels are multiplied by each share of the light.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mien import FaceDetector, read_image
from mien.images.find import find_images

LIGHT = (1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07)


def main() -> None:
    """Reads the options and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--detectors", nargs="+", default=["mien", "haar"])
    options = parser.parse_args()
    pictures = [read_image(path) for path in find_images([options.photos])]
    print(f"{len(pictures)} pictures; faces found\n")
    print("| detector |", " | ".join(f"{light:.0%} of the light" for light in LIGHT), "|")
    print("|---" * (len(LIGHT) + 1) + "|")
    for name in options.detectors:
        detector = FaceDetector(name)
        found = [sum(len(detector.detect((p * s).astype(np.uint8))) for p in pictures) for s in LIGHT]
        print(f"| {name} |", " | ".join(map(str, found)), "|", flush=True)


if __name__ == "__main__":
    main()
