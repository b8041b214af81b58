"""Scores mien's detector, Haar and YuNet on photographs that mien's was not trained on, and measures their time.

    python benchmarks/detector_scores.py --data $MIEN_DATA               # the shipped detector
    python benchmarks/detector_scores.py --data $MIEN_DATA --mien RUN    # that of a run
    python benchmarks/detector_scores.py --data $MIEN_DATA --times       # mien and YuNet in turn

The data folder is described in detectors.py. The validation part is told by the pictures' own bytes, as in training;
its truth are the boxes of a YuNet teacher. Haar's squares are brought to that convention first.
Milliseconds are the clock's, on two threads: run it on an idle machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from detectors import photos_right
from face_pictures import SQUARE
from numpy.typing import NDArray

from mien._core.text import percent
from mien.faces import haar, yunet
from mien.faces.align import ASPECT
from mien.faces.haar import HaarDetector
from mien.faces.onnx_detector import MienDetector
from mien.faces.yunet import YuNetDetector
from mien.metrics.detection import PictureScores, average_precision, counts_at, match, recall_at
from mien.results import Box, Face
from mien.training.detector.photographs import Photograph, load_photographs, split_photographs
from mien.training.detector.validation import MIN_SIDE, to_be_found

Image = NDArray[np.uint8]
Detect = Callable[[Image], list[Face]]

LEAST = 0.01
"""Boxes down to this score make the curves."""


def large(faces: list[Face]) -> list[Face]:
    """Those that users get to see: no side below `MIN_SIDE`."""
    return [face for face in faces if min(face.box.width, face.box.height) >= MIN_SIDE]


def tall(box: Box) -> Box:
    """The teacher's box of a face whose square Haar found."""
    (x, y), half = box.center, max(box.width, box.height) / SQUARE / 2
    return Box(x - ASPECT * half, y - half, x + ASPECT * half, y + half)


def score(detect: Detect, pictures: list[Photograph]) -> list[PictureScores]:
    """What a detector finds on each of the pictures, against their boxes."""
    found = []
    for one in pictures:
        faces = large(detect(one.image))
        boxes = np.array([(f.box.x1, f.box.y1, f.box.x2, f.box.y2) for f in faces], np.float32).reshape(-1, 4)
        found.append(match(np.array([f.score for f in faces], np.float32), boxes, *to_be_found(one)))
    return found


@dataclass(frozen=True)
class Contender:
    """A detector: as users have it; with all its boxes down to the least sure, in the teacher's shape; the least
    score that users get; and as users have it for pictures of 320 pixels."""

    name: str
    detect: Detect
    all_boxes: Detect
    least: float
    small: Detect


def of_mien(run: Path | None) -> Contender:
    """The shipped detector, or that of a run."""
    own = MienDetector(run, threads=2)
    every = MienDetector(run, threads=2, score_factor=LEAST / own.model.min_score)
    small = MienDetector(run, long_side=320, threads=2)
    return Contender("mien", own.detect, every.detect, own.model.min_score, small.detect)


def of_haar() -> Contender:
    """OpenCV's cascades, as mien uses them."""
    detect = HaarDetector().detect

    def all_boxes(image: Image) -> list[Face]:
        before, haar.MIN_SCORE = haar.MIN_SCORE, LEAST
        try:
            return [Face(tall(face.box), face.score) for face in detect(image)]
        finally:
            haar.MIN_SCORE = before

    return Contender("haar", detect, all_boxes, haar.MIN_SCORE, detect)


def of_yunet(file: Path) -> Contender:
    """OpenCV Zoo's network."""
    own = YuNetDetector(file)
    before, yunet.MIN_SCORE = yunet.MIN_SCORE, LEAST
    every = YuNetDetector(file)
    yunet.MIN_SCORE = before
    return Contender("yunet", own.detect, every.detect, yunet.MIN_SCORE, own.detect)


def face_free(pictures: list[Photograph], count: int = 1000) -> list[Image]:
    """So many pictures without a face: those of the validation part, then their quarters."""
    images = [one.image for one in pictures if one.empty]
    for part in range(4):
        for image in [one.image for one in pictures if one.empty]:
            height, width = (side // 2 for side in image.shape[:2])
            y, x = part // 2 * height, part % 2 * width
            images.append(np.ascontiguousarray(image[y : y + height, x : x + width]))
    return images[:count]


def milliseconds(detect: Detect, pictures: list[Photograph], long_side: int) -> float:
    """The clock's, for a picture of 4 to 3: the median over 20 pictures of the best of five."""
    images = [cv2.resize(p.image, (long_side, long_side * 3 // 4)) for p in pictures[:20]]
    return float(np.median([min(seconds(detect, image) for _ in range(5)) for image in images])) * 1e3


def seconds(detect: Detect, image: Image) -> float:
    """One call."""
    start = time.perf_counter()
    detect(image)
    return time.perf_counter() - start


def row(one: Contender, check: list[Photograph], empty: list[Image], photos: Path) -> str:
    """A detector's line of the table."""
    scores = score(one.all_boxes, check)
    faces = sum(p.faces for p in scores)
    found, false = counts_at(scores, one.least)
    right = sum(counts_at([p], one.least) == (p.faces, 0) for p in scores)
    cells = (
        one.name,
        percent(average_precision(scores)),
        percent(recall_at(scores, 1.0)),
        percent(found / faces),
        f"{false}",
        f"{right}/{len(scores)}",
        f"{sum(len(large(one.detect(image))) for image in empty)}",
        photos_right(lambda image: large(one.detect(image)), photos),
        f"{milliseconds(one.small, check, 320):.1f}",
        f"{milliseconds(one.detect, check, 640):.1f}",
    )
    return "| " + " | ".join(cells) + " |"


def compare_times(file: Path, run: Path | None, pictures: list[Photograph]) -> None:
    """Prints mien's time over YuNet's: both search every picture in turn, and a ratio is formed inside a round."""
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        for side in (320, 640):
            images = [cv2.resize(one.image, (side, side * 3 // 4)) for one in pictures]
            contenders = (
                MienDetector(run, long_side=side, threads=threads).detect,
                YuNetDetector(file).detect,
            )
            rounds = [
                [sum(min(seconds(detect, i) for _ in range(3)) for i in images) for detect in contenders]
                for _ in range(5)
            ]
            mien, yunet = (np.median(times) / len(images) * 1e3 for times in zip(*rounds, strict=True))
            ratios = [own / other for own, other in rounds]
            print(
                f"{side} pixels, threads {threads}: mien {mien:.1f} ms, yunet {yunet:.1f} ms, "
                f"ratio {np.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
                flush=True,
            )


def main() -> None:
    """Reads the options and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described in detectors.py")
    parser.add_argument("--mien", type=Path, help="a run of mien train-detector, not the shipped detector")
    parser.add_argument("--times", action="store_true", help="only the times of mien and YuNet, in turn")
    options = parser.parse_args()
    cv2.setNumThreads(2)
    photographs = load_photographs(options.data / "faces" / "faces_in_context.parquet")
    validation = split_photographs(photographs)[1]
    file = next(iter(sorted((options.data / "models").glob("*yunet*.onnx"))))
    if options.times:
        compare_times(file, options.mien, validation[:30])
        return
    check, empty = validation[1::2], face_free(validation)
    faces = sum(len(to_be_found(one)[0]) for one in check)
    print(f"{len(check)} pictures, {faces} faces; {len(empty)} pictures without a face\n")
    print(
        "| detector | AP | recall at 1 false | found | false | right | in empty | photos | ms 320 | ms 640 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for one in (of_mien(options.mien), of_haar(), of_yunet(file)):
        print(row(one, check, empty, options.data / "photos"), flush=True)


if __name__ == "__main__":
    main()
