"""Measures the face detectors: what they find, what they cost, and how they frame a face.

    python benchmarks/detectors.py --data $MIEN_DATA            # all tables
    python benchmarks/detectors.py --data $MIEN_DATA --only fit # the weights of Haar's score

The data folder holds fer2013/train.parquet, photos/, faces/faces_in_context.parquet (pictures with the boxes of a
YuNet teacher) and models/ with a YuNet file. One thread; milliseconds are the processor's, not the clock's. The
teacher is YuNet itself, so its own row on the pictures in context means nothing and is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log1p
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from face_pictures import Picture, in_border, pictures_in_context, square, training_pictures
from numpy.typing import NDArray

from mien.faces import haar
from mien.faces.onnx_detector import MienDetector
from mien.faces.yunet import YuNetDetector
from mien.images.crop import crop_face
from mien.images.read import read_image
from mien.models.classifier import EmotionClassifier
from mien.results import Box, Face

Detect = Callable[[NDArray[np.uint8]], list[Face]]

# Fewest and most faces that a person accepts.
PHOTOS = {
    "faceapi_happy.jpg": (1, 1), "faceapi_angry.jpg": (1, 1), "faceapi_bbt3.jpg": (5, 5),
    "facerec_two_people.jpg": (2, 2), "facetorch_test.jpg": (3, 4), "human_group-5.jpg": (6, 7),
    "fer_no-faces.jpg": (0, 0),
}  # fmt: skip


def compare(found: list[Box], picture: Picture) -> tuple[int, int]:
    """How many of a picture's faces were found (overlap of 0.3 or more), and how many boxes are false."""
    rest = list(found)
    hits = 0
    for face in picture.faces:
        best = max(rest, key=face.iou, default=None)
        if best is not None and face.iou(best) >= 0.3:
            rest.remove(best)
            hits += 1
    return hits, sum(all(box.iou(other) < 0.2 for other in picture.ignored) for box in rest)


def measure(detect: Detect, pictures: list[Picture]) -> str:
    """Pictures with exactly the right faces, faces found, false ones in all and in pictures without any."""
    right = found = false = false_empty = 0
    for one in pictures:
        hits, wrong = compare([face.box for face in detect(one.image)], one)
        right += hits == len(one.faces) and not wrong
        found, false = found + hits, false + wrong
        false_empty += 0 if one.faces else wrong
    faces = sum(len(one.faces) for one in pictures)
    return f"{right}/{len(pictures)} | {found}/{faces} | {false} | {false_empty}"


def photos_right(detect: Detect, folder: Path) -> str:
    """On how many of the seven photographs the number of faces is right."""
    counts = {name: len(detect(read_image(folder / name))) for name in PHOTOS}
    return f"{sum(low <= counts[name] <= high for name, (low, high) in PHOTOS.items())}/{len(PHOTOS)}"


def milliseconds(detect: Detect, pictures: list[Picture]) -> float:
    """For a picture of 640 x 480: the median over 15 pictures of the best of three."""
    images = [cv2.resize(p.image, (640, 480)) for p in pictures[:15]]
    return float(np.median([min(seconds(detect, image) for _ in range(3)) for image in images])) * 1e3


def seconds(detect: Detect, image: NDArray[np.uint8]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    detect(image)
    return time.process_time() - start


def plain_cascade(name: str, step: float, neighbours: int) -> Detect:
    """What most programs do: one cascade over the grey picture."""
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_{name}.xml")

    def detect(image: NDArray[np.uint8]) -> list[Face]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        hits = cascade.detectMultiScale(grey, step, neighbours, minSize=(24, 24))
        return [Face(Box(float(x), float(y), float(x + w), float(y + h)), 1.0) for x, y, w, h in hits]

    return detect


@contextmanager
def settings(**values: Any) -> Iterator[None]:
    """mien's Haar detector with other settings."""
    before = {name: getattr(haar, name) for name in values}
    try:
        for name, value in values.items():
            setattr(haar, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(haar, name, value)


def fit_weights(pictures: list[Picture]) -> tuple[float, float, float]:
    """HIT_WEIGHT, VOTE_WEIGHT and BIAS: a logistic regression of "is a face" on the logarithms of both counts."""
    detector = haar.HaarDetector()
    rows, truth = [], []
    for one in pictures:
        for candidate in detector.candidates(cv2.cvtColor(one.image, cv2.COLOR_RGB2GRAY)):
            overlap = max((candidate.box.iou(face) for face in one.faces), default=0.0)
            ignored = any(candidate.box.iou(other) > 0.2 for other in one.ignored)
            if overlap >= 0.4 or (overlap <= 0.15 and not ignored):
                rows.append((log1p(candidate.hits), log1p(candidate.votes), 1.0))
                truth.append(overlap >= 0.4)
    x, y = np.array(rows), np.array(truth, float)
    weights = np.zeros(3)
    for _ in range(30):  # Newton's method
        p = 1 / (1 + np.exp(-x @ weights))
        slope = (x * (p * (1 - p))[:, None]).T @ x + 0.01 * np.eye(3)
        weights -= np.linalg.solve(slope, x.T @ (p - y) + 0.01 * weights)
    print(f"{len(y)} candidates, {int(y.sum())} of them faces: weights {weights.round(2).tolist()}")
    return weights[0], weights[1], weights[2]


def upright() -> tuple[NDArray[np.float64], ...]:
    """No tilts."""
    return (haar._TILTS[1],)


def detection_table(data: Path, own: Detect, yunet: Detect) -> None:
    """Baselines, then mien's own, its Haar detector and variants of that with weights of their own, then YuNet."""
    tune, check = pictures_in_context(data / "faces" / "faces_in_context.parquet")

    def row(name: str, detect: Detect, in_context: bool = True) -> None:
        halves = [measure(detect, half) if in_context else "| | |" for half in (tune, check)]
        cells = (name, photos_right(detect, data / "photos"), *halves, f"{milliseconds(detect, tune):.0f}")
        print("| " + " | ".join(cells) + " |", flush=True)

    print(
        "| detector | photos | tune: right | faces | false | in empty | check: right | faces | false | in empty | ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, step, neighbours in (
        ("default", 1.1, 5),
        ("default", 1.1, 3),
        ("alt", 1.1, 3),
        ("alt2", 1.1, 5),
    ):
        row(f"plain {name}, {step}, {neighbours} neighbours", plain_cascade(name, step, neighbours))
    row("mien", own)
    row("mien haar", haar.HaarDetector().detect)
    variants: dict[str, dict[str, Any]] = {
        "no search for tilted heads": {"TILTED_LONG_SIDE": 24},
        "no tilted close-ups": {"_TILTS": upright()},
        "equalised search": {"_stretch_light": cv2.equalizeHist},
        "light as it is": {"_stretch_light": lambda grey: grey},
        "search step 1.1": {"SEARCH_STEP": 1.1},
        "search step 1.4": {"SEARCH_STEP": 1.4},
        "long side 400": {"LONG_SIDE": 400},
        "long side 640": {"LONG_SIDE": 640},
    }
    for name, values in variants.items():
        with settings(**values):
            hits, votes, bias = fit_weights(tune)
            with settings(HIT_WEIGHT=hits, VOTE_WEIGHT=votes, BIAS=bias):
                row(f"mien haar, {name}", haar.HaarDetector().detect)
    row("YuNet", yunet, in_context=False)


def spread(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The middle of five landmarks, and their root mean square distance from it."""
    middle = points.mean(axis=0)
    return middle, float(np.sqrt(((points - middle) ** 2).sum(axis=1).mean()))


def framing_of_training(detect: Detect, large: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """One row a picture: its side over the box's longer side, the offset of its centre over that side (x, y),
    its side over the landmarks' spread, the landmarks' offset from its centre over that spread (x, y)."""
    rows = []
    for image in large:
        found = detect(image)
        if not found:
            continue
        face = max(found, key=lambda face: face.score)
        side = max(face.box.width, face.box.height)
        offset = (192 - np.array(face.box.center)) / side
        row = [192 / side, *offset, np.nan, np.nan, np.nan]
        if face.landmarks:
            middle, radius = spread(np.array(face.landmarks))
            row[3:] = [192 / radius, *((middle - 192) / radius)]
        rows.append(row)
    return np.array(rows)


def framing_of_photographs(detect: Detect, pictures: list[Picture]) -> NDArray[np.float64]:
    """One row a face: the box's longer side over the landmarks' spread, the landmarks' offset over it (x, y)."""
    rows = []
    for one in pictures:
        for face in detect(one.image):
            side = max(face.box.width, face.box.height)
            for box, points in zip(one.faces, one.landmarks, strict=True):
                if side >= 40 and square(face.box, 1).iou(box) >= 0.4:
                    middle, radius = spread(points)
                    rows.append([side / radius, *((middle - face.box.center) / radius)])
    return np.array(rows)


def framing_table(data: Path, own: Detect, yunet: Detect, count: int = 2500) -> None:
    """How much of each detector's box FER2013's framing is: by its boxes there, and by the landmarks in it."""
    large = training_pictures(data / "fer2013" / "train.parquet", count)
    tune, check = pictures_in_context(data / "faces" / "faces_in_context.parquet")
    marks = framing_of_training(yunet, large)
    print(
        "| detector | boxes in FER2013 | scale, quartiles | offset x, y | faces | scale by landmarks | offset x, y |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, detect in (("mien", own), ("haar", haar.HaarDetector().detect), ("yunet", yunet)):
        direct = marks if detect is yunet else framing_of_training(detect, large)
        scale = np.percentile(direct[:, 0], (50, 25, 75))
        x, y = np.median(direct[:, 1:3], axis=0)
        photographs = framing_of_photographs(detect, [p for p in tune + check if p.faces])
        middle, middle_fer = np.median(photographs, axis=0), np.nanmedian(marks[:, 3:], axis=0)
        shift = (middle[1:] - middle_fer[1:]) / middle[0]
        print(
            f"| {name} | {len(direct)}/{count} | {scale[0]:.3f}, {scale[1]:.3f} to {scale[2]:.3f} "
            f"| {x:+.3f}, {y:+.3f} | {len(photographs)} | {middle_fer[0] / middle[0]:.3f} "
            f"| {shift[0]:+.3f}, {shift[1]:+.3f} |",
            flush=True,
        )


def margin_table(data: Path, own: Detect, yunet: Detect, count: int = 1500) -> None:
    """The model on PublicTest (FER2013's labels) when it gets the crop of a found face, for several margins."""
    table = pq.read_table(data / "fer2013" / "public_test.parquet", columns=["image", "label"])
    rows = table.slice(0, count).to_pylist()
    classifier = EmotionClassifier()
    margins = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3)
    print("| detector | faces | picture itself | " + " | ".join(f"margin {m}" for m in margins) + " |")
    print("|---|---|---|" + "---|" * len(margins))
    for name, detect in (("mien", own), ("haar", haar.HaarDetector().detect), ("yunet", yunet)):
        found = []
        for row in rows:
            image = in_border(row["image"]["bytes"])
            faces = detect(image)
            if faces:
                found.append((image, max(faces, key=lambda face: face.score).box, row["label"]))
        labels = np.array([label for _, _, label in found])
        square_itself = [image[96:288, 96:288] for image, _, _ in found]
        crops = [[crop_face(image, box, margin=m) for image, box, _ in found] for m in margins]
        cells = []
        for some in (square_itself, *crops):
            p = classifier.predict_proba(some, head="fer2013")
            loss = -np.log(p[np.arange(len(labels)), labels]).mean()
            cells.append(f"{(p.argmax(axis=1) == labels).mean():.1%}, {loss:.3f}")
        print(f"| {name} | {len(found)}/{count} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Reads the options and prints what they ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described above")
    parser.add_argument("--only", choices=("framing", "margin", "detection", "fit"), help="one part")
    parser.add_argument("--mien", type=Path, help="a run of mien train-detector, not the shipped detector")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    own = MienDetector(options.mien, threads=1).detect
    yunet = YuNetDetector(next(iter(sorted((options.data / "models").glob("*yunet*.onnx"))))).detect
    if options.only == "fit":
        fit_weights(pictures_in_context(options.data / "faces" / "faces_in_context.parquet")[0])
    if options.only in (None, "framing"):
        framing_table(options.data, own, yunet)
    if options.only in (None, "margin"):
        margin_table(options.data, own, yunet)
    if options.only in (None, "detection"):
        detection_table(options.data, own, yunet)


if __name__ == "__main__":
    main()
