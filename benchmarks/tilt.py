"""Measures what turning tilted heads upright gains: FER2013's PublicTest, turned by known angles.

    python benchmarks/tilt.py --data $MIEN_DATA

Every picture (enlarged, its border repeated) is turned, mien's detector finds the face in it, and the shipped model
reads the crop as it is and the crop turned upright by the landmarks. Those found at that angle count in both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from face_pictures import in_border
from numpy.typing import NDArray

from mien.faces.align import tilt, upright
from mien.faces.onnx_detector import MienDetector
from mien.images.crop import crop_face
from mien.models.classifier import EmotionClassifier

ANGLES = (0, 5, 10, 15, 20, 30, 45, 60)


def turned(image: NDArray[np.uint8], angle: float) -> NDArray[np.uint8]:
    """A picture turned about its middle, clockwise, by degrees."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def main() -> None:
    """Reads the options and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described in detectors.py")
    parser.add_argument("--mien", type=Path, help="a run of mien train-detector, not the shipped detector")
    parser.add_argument("--count", type=int, default=1000, help="pictures of PublicTest, the first ones")
    options = parser.parse_args()
    table = pq.read_table(options.data / "fer2013" / "public_test.parquet", columns=["image", "label"])
    rows = table.slice(0, options.count).to_pylist()
    detector, classifier = MienDetector(options.mien), EmotionClassifier()
    print("| turned by | found | tilt told: median, 5 % to 95 % | crop as it is | turned upright |")
    print("|---|---|---|---|---|")
    for angle in ANGLES:
        plain, straight, labels, told = [], [], [], []
        for i, row in enumerate(rows):
            image = turned(in_border(row["image"]["bytes"]), angle if i % 2 else -angle)
            faces = detector.detect(image)
            if not faces:
                continue
            face, margin = faces[0], detector.model.margin
            plain.append(crop_face(image, face.box, margin=margin))
            straight.append(crop_face(*upright(image, face, tilt(face)), margin=margin))
            labels.append(row["label"])
            told.append(tilt(face) if i % 2 else -tilt(face))
        right = [
            (classifier.predict_proba(crops, head="fer2013").argmax(axis=1) == labels).mean()
            for crops in (plain, straight)
        ]
        low, middle, high = np.percentile(told, (5, 50, 95))
        print(
            f"| {angle}° | {len(labels)}/{len(rows)} | {middle:.0f}°, {low:.0f}° to {high:.0f}° "
            f"| {right[0]:.1%} | {right[1]:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
