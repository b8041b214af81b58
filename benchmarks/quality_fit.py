"""Fits the numbers of the quality gate: what tells a face from other things, and what each fault costs.

    python benchmarks/quality_fit.py --data $MIEN_DATA              # prints figures, writes nothing
    python benchmarks/quality_fit.py --data $MIEN_DATA --write      # writes src/mien/faces/face_likeness.json

The data folder holds fer2013/train.parquet and public_test.parquet with FER+ votes, and faces/faces_in_context.parquet:
photographs with and without faces, of which half are fitted to and half are checked on, by picture.

Faces: FER2013's Training without the images that most voters of FER+ called no face, and those of the photographs.
Other things: those images of Training, random squares of photographs without a face, and what the detectors took for
faces there. All of them also mirrored, and a part blurred, shrunk or darkened, so that a poor face is still one.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.faces.detector import YUNET_MARGIN, FaceDetector
from mien.faces.likeness import FILE, SIDE, gradients
from mien.faces.quality import MIN_LIKENESS, WEIGHTS, faults
from mien.images.corruptions import blur, brightness, low_resolution, move
from mien.images.crop import crop_face
from mien.images.read import read_image
from mien.models.classifier import EmotionClassifier
from mien.results import Box

Crops = NDArray[np.uint8]
Floats = NDArray[np.floating]

SQUARES, FACES, TRAINING = 6, 4, 10_000
HARD = 5.0  # weight of a thing that was taken for a face, over that of a random square
COPIES = 3  # damaged ones of every image that the score is fitted to


@dataclass(frozen=True)
class Photographs:
    """Crops of the photographs, each with the half, 0 or 1, of its picture, and faces with their `turn`."""

    faces: Crops
    face_halves: NDArray[np.int64]
    turns: Floats
    squares: Crops
    square_halves: NDArray[np.int64]
    hits: Crops
    hit_halves: NDArray[np.int64]


def read_fer(file: Path) -> tuple[Crops, NDArray[np.int64], NDArray[np.int64]]:
    """Images (n, 48, 48), labels (n,) and votes (n, 10)."""
    table = pq.read_table(file, columns=["image", "label", "votes"])
    encoded = (np.frombuffer(row["bytes"], np.uint8) for row in table["image"].to_pylist())
    images = np.stack([np.asarray(cv2.imdecode(e, cv2.IMREAD_GRAYSCALE), np.uint8) for e in encoded])
    return images, np.array(table["label"]), np.array(table["votes"].to_pylist())


def read_photographs(file: Path) -> Photographs:
    """Faces, random squares without a face, and false hits of mien's detector and Haar, of every photograph."""
    table = pq.read_table(file)
    halves = np.random.default_rng(0).permutation(len(table)) % 2
    rng = np.random.default_rng(1)
    detectors = [FaceDetector("mien"), FaceDetector("haar")]
    found: dict[str, list[Any]] = {kind: [] for kind in ("faces", "squares", "hits")}
    turns: list[float] = []
    where: dict[str, list[int]] = {kind: [] for kind in found}
    for row, half in zip(table.to_pylist(), halves, strict=True):
        crops: dict[str, list[Crops]] = {kind: [] for kind in found}
        picture = read_image(row["image"]["bytes"])
        if row["is_negative"]:
            crops["squares"] = [crop_face(picture, random_square(picture, rng)) for _ in range(SQUARES)]
            crops["hits"] = [d.crop(picture, face) for d in detectors for face in d.detect(picture)]
        else:
            seen = sure(row)
            crops["faces"] = [crop_face(picture, box, margin=YUNET_MARGIN) for box, _ in seen]
            turns += [turn(points) for _, points in seen]
        for kind, some in crops.items():
            found[kind] += some
            where[kind] += [int(half)] * len(some)
    parts = [(np.stack(found[kind]), np.array(where[kind])) for kind in found]
    (faces, face_halves), *others = parts
    return Photographs(faces, face_halves, np.array(turns), *(value for part in others for value in part))


def sure(row: dict[str, Any]) -> list[tuple[Box, Floats]]:
    """Of the first faces of a photograph those that the teacher is sure of and that are not small, and five points."""
    columns = (row["teacher_boxes"], row["teacher_landmarks"], row["teacher_scores"])
    faces = [(Box(*box), np.reshape(p, (5, 2)), s) for box, p, s in list(zip(*columns, strict=True))[:FACES]]
    return [(box, p) for box, p, score in faces if score >= 0.8 and min(box.width, box.height) >= 20]


def turn(points: Floats) -> float:
    """How far the nose is from the middle of the eyes, along their line and over their distance: 0 from the front."""
    right, left, nose = points[:3]
    eyes = left - right
    return float(abs((nose - (right + left) / 2) @ eyes) / max(eyes @ eyes, 1e-6))


def random_square(picture: Crops, rng: np.random.Generator) -> Box:
    """From 24 pixels to the whole picture, every size as often."""
    height, width = picture.shape[:2]
    side = np.exp(rng.uniform(np.log(24), np.log(min(height, width))))
    x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return Box(x, y, x + side, y + side)


class Likeness:
    """A linear function of gradients, fitted by logistic regression; faces and other things weigh the same together."""

    def __init__(self, faces: Crops, others: Crops, hard: NDArray[np.bool_]) -> None:
        rng = np.random.default_rng(0)
        both = [np.concatenate([crops, crops[..., ::-1]]) for crops in (faces, others)]
        crops = [poorer(crop, rng) for part in both for crop in part]
        values = np.stack([gradients(crop) for crop in crops])
        right = np.repeat([1.0, 0.0], [len(part) for part in both])
        weights = np.concatenate(
            [np.ones(len(both[0])) / len(both[0]), np.tile(np.where(hard, HARD, 1.0), 2) / len(both[1])]
        )
        middle, spread = values.mean(axis=0), values.std(axis=0) + 1e-3
        scaled = np.column_stack([(values - middle) / spread, np.ones(len(values))])
        ridge = np.r_[np.full(scaled.shape[1] - 1, 1e-3), 0]

        def slope(fitted: Floats) -> Floats:
            error = logistic(scaled @ fitted) - right
            return scaled.T @ (error * weights / weights.sum()) + ridge * fitted

        fitted = descend(slope, np.zeros(scaled.shape[1]), 400)
        # Rounded as they will be written, so that what is measured is what is shipped.
        self.weights = np.round(fitted[:-1] / spread, 4).astype(np.float32)
        self.bias = round(float(fitted[-1] - middle @ (fitted[:-1] / spread)), 4)

    def __call__(self, crops: Crops) -> Floats:
        """(n,) log odds of crops (n, 48, 48)."""
        return np.array([gradients(crop) @ self.weights + self.bias for crop in crops])


def logistic(values: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-values))


def descend(slope: Any, start: Floats, steps: int, rate: float = 0.02) -> Floats:
    """Where Adam (Kingma and Ba, 2015) ends, on all examples at once."""
    place, mean, square = start.astype(float), np.zeros(len(start)), np.zeros(len(start))
    for step in range(1, steps + 1):
        now = slope(place)
        mean, square = 0.9 * mean + 0.1 * now, 0.99 * square + 0.01 * now**2
        place -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return place


def poorer(crop: Crops, rng: np.random.Generator) -> Crops:
    """As it is, blurred, of low resolution, or dark and noisy, each as often."""
    kind = rng.integers(0, 4)
    if kind == 1:
        return blur(crop, rng.uniform(0.5, 2.5))
    if kind == 2:
        return low_resolution(crop, int(rng.integers(12, 40)))
    if kind == 3:
        return brightness(crop, rng.uniform(0.1, 0.7))
    return crop


def whole(values: Floats) -> Crops:
    """Rounded and clipped to 0 to 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def damage(crop: Crops, kind: str, rng: np.random.Generator) -> tuple[Crops, float]:
    """A damaged crop, and the side that the face would have in its photograph."""
    light = np.exp(rng.uniform(np.log(0.05), np.log(0.8)))
    side = int(rng.integers(8, 44)) if "low resolution" in kind else SIDE
    if "blurred" in kind:
        crop = blur(crop, rng.uniform(0.4, 3))
    crop = low_resolution(crop, side)
    if kind == "dark":
        crop = brightness(crop, light)
    elif kind == "bright":
        crop = whole(255 - (255.0 - crop) * light)
    elif kind == "pale":
        crop = whole(127 + (crop - 127.0) * light)
    elif kind == "moved":
        rotation, scale = rng.uniform(-45, 45), np.exp(rng.uniform(-0.5, 0.5))
        crop = move(crop, rotation=rotation, scale=scale, shift=tuple(rng.uniform(-0.25, 0.25, 2)))
    return crop, float(side)


KINDS = ("blurred", "low resolution", "dark", "bright", "blurred, low resolution", "moved", "pale")


@dataclass(frozen=True)
class Damaged:
    """PublicTest's images with a majority among the votes, and copies that were damaged at random."""

    kinds: NDArray[np.str_]
    halves: NDArray[np.int64]
    faults: Floats
    right: NDArray[np.bool_]
    right_fer2013: NDArray[np.bool_]


def damaged(images: Crops, labels: NDArray[np.int64], votes: NDArray[np.int64], like: Likeness) -> Damaged:
    """Every image as it is and `COPIES` times damaged; whether each head of the shipped model is right."""
    rng = np.random.default_rng(4)
    halves = np.random.default_rng(3).permutation(len(images)) % 2
    rows, kinds, crops, sides = [], [], [], []
    for row in np.flatnonzero(votes.argmax(axis=1) < 8):
        for kind in ("as it is", *rng.choice(KINDS, COPIES, replace=False)):
            crop, side = damage(images[row], kind, rng)
            rows.append(row)
            kinds.append(kind)
            crops.append(crop)
            sides.append(side)
    stacked = np.stack(crops)
    heads = EmotionClassifier().predict_heads(stacked)
    boxes = [Box(0, 0, side, side) for side in sides]
    found = [
        list(faults(crop, box, value).values())
        for crop, box, value in zip(stacked, boxes, like(stacked), strict=True)
    ]
    return Damaged(
        np.array(kinds),
        halves[rows],
        np.array(found),
        heads["ferplus"].argmax(axis=1) == votes[:, :8].argmax(axis=1)[rows],
        heads["fer2013"].argmax(axis=1) == labels[rows],
    )


def fit_weights(some: Damaged) -> tuple[Floats, float]:
    """Weights of the faults, 0 or more, and the accuracy without any, by maximum likelihood on half 0.

    Accuracy is 1/7, as by guessing, plus what is known beyond, times the score.
    """
    part = some.halves == 0
    values, right = some.faults[part], some.right[part].astype(float)

    def slope(place: Floats) -> Floats:
        # softplus keeps weights above 0, the logistic function the accuracy between 0.6 and 1.
        costs, best = np.logaddexp(0, place[:-1]), 0.6 + 0.4 * logistic(place[-1])
        score = np.exp(-values @ costs)
        chance = np.clip(1 / 7 + (best - 1 / 7) * score, 1e-4, 1 - 1e-4)
        error = -(right / chance - (1 - right) / (1 - chance)) / len(right)
        by_costs = -values.T @ (error * (best - 1 / 7) * score) * logistic(place[:-1])
        by_best = (error * score).sum() * 0.4 * logistic(place[-1]) * (1 - logistic(place[-1]))
        return np.r_[by_costs, by_best]

    place = descend(slope, np.r_[np.full(values.shape[1], -2.0), 0.0], 3000)
    return np.round(np.logaddexp(0, place[:-1]), 3), 0.6 + 0.4 * float(logistic(place[-1]))


def auc(higher: Floats, lower: Floats) -> float:
    """How often a value of the first is above one of the second."""
    ranks = np.argsort(np.argsort(np.r_[higher, lower])) + 1
    n, m = len(higher), len(lower)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def report_likeness(like: Likeness, faces: dict[str, Crops], others: dict[str, Crops]) -> None:
    """Prints how well faces are told from other things, and what a threshold of 'no face' would do."""
    seen, things = ({k: like(v) for k, v in some.items()} for some in (faces, others))
    print("| against | n |", " | ".join(f"AUC, {k} ({len(v)})" for k, v in seen.items()), "|")
    print("|---|---|---|---|")
    for name, values in things.items():
        print(f"| {name} | {len(values)} |", " | ".join(f"{auc(v, values):.3f}" for v in seen.values()), "|")
    every = seen | things
    print("\n| flagged below |", " | ".join(f"{name} ({len(v)})" for name, v in every.items()), "|")
    print("|---" * (len(every) + 1) + "|")
    for least in (-6, MIN_LIKENESS, -2, 0):
        shares = " | ".join(f"{(v < least).mean():.1%}" for v in every.values())
        print(f"| {least:g} | {shares} |")
    hits, real = things["false hits of the detectors"], seen["photographs"]
    for least in (-2, 0):
        caught, wrong = int((hits < least).sum()), int((real < least).sum())
        print(
            f"\nAs a flag 'no face' below {least} on what detectors find: recall {caught / len(hits):.0%} of "
            f"{len(hits)} false hits; precision {caught / max(caught + wrong, 1):.0%} "
            f"({caught} of {caught + wrong} flagged)"
        )


def report_turns(like: Likeness, faces: Crops, turns: Floats) -> None:
    """Prints how likeness falls as heads are turned."""
    values = like(faces)
    print("\n| turned by | faces | median log odds | unclear |\n|---|---|---|---|")
    for low, high in ((0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 0.8), (0.8, np.inf)):
        part = values[(turns >= low) & (turns < high)]
        print(
            f"| {low} to {high} | {len(part)} | {np.median(part):.1f} | {(part < MIN_LIKENESS).mean():.1%} |"
        )


def report_score(some: Damaged, weights: Floats, best: float) -> None:
    """Prints accuracy by fifths of the score on half 1."""
    scores = np.exp(-some.faults @ weights)
    print("\n| images | n |", " | ".join(f"fifth {k}: score, FER+, FER2013" for k in range(1, 6)), "|")
    print("|---|---|---|---|---|---|---|")
    alone = np.exp(-some.faults[:, -1] * weights[-1])
    scores_of = {"all": scores, "as it is": scores, "as it is, by likeness alone": alone}
    for name, kind_scores in (scores_of | dict.fromkeys(KINDS, scores)).items():
        kind = name.partition(", by")[0]
        part = np.flatnonzero((some.halves == 1) & ((some.kinds == kind) | (kind == "all")))
        fifths = np.array_split(part[np.argsort(kind_scores[part], kind="stable")], 5)
        cells = " | ".join(
            f"{np.median(kind_scores[f]):.2f}, {some.right[f].mean():.1%}, {some.right_fer2013[f].mean():.1%}"
            for f in fifths
        )
        print(f"| {name} | {len(part)} | {cells} |")
    print("\n| score | n | of the uncorrupted | accuracy, FER+ | as the score says |\n|---|---|---|---|---|")
    check, plain = some.halves == 1, some.kinds == "as it is"
    for low in (0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        high = 0.4 if low == 0 else low + 0.1
        part = check & (scores >= low) & (scores < high + (low == 0.9))
        share = (part & plain).sum() / (check & plain).sum()
        says = 1 / 7 + (best - 1 / 7) * scores[part].mean()
        print(
            f"| {low:.1f} to {high:.1f} | {part.sum()} | {share:.1%} | {some.right[part].mean():.1%} | {says:.1%} |"
        )


def main() -> None:
    """Reads the options, fits, and prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder described above")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args()
    train, _, train_votes = read_fer(options.data / "fer2013" / "train.parquet")
    public, labels, votes = read_fer(options.data / "fer2013" / "public_test.parquet")
    photographs = read_photographs(options.data / "faces" / "faces_in_context.parquet")
    no_face, public_no_face = (v.argmax(axis=1) == 9 for v in (train_votes, votes))
    fit = [part == 0 for part in (photographs.face_halves, photographs.square_halves, photographs.hit_halves)]
    some = np.random.default_rng(0).permutation(np.flatnonzero(~no_face))[:TRAINING]
    parts = [photographs.squares[fit[1]], train[no_face], photographs.hits[fit[2]]]
    faces, others = np.concatenate([train[some], photographs.faces[fit[0]]]), np.concatenate(parts)
    print(
        f"fitted to {len(faces)} faces and {', '.join(str(len(p)) for p in parts)} squares, images, false hits\n"
    )
    like = Likeness(faces, others, np.arange(len(others)) >= len(parts[0]))
    if options.write:
        fitted = {"weights": [float(f"{w:.4f}") for w in like.weights], "bias": like.bias}
        FILE.write_text(json.dumps(fitted) + "\n", encoding="utf-8")
    report_likeness(
        like,
        {"PublicTest": public[~public_no_face], "photographs": photographs.faces[~fit[0]]},
        {
            "random squares": photographs.squares[~fit[1]],
            "PublicTest, no face by the votes": public[public_no_face],
            "false hits of the detectors": photographs.hits[~fit[2]],
        },
    )
    report_turns(like, photographs.faces[~fit[0]], photographs.turns[~fit[0]])
    copies = damaged(public, labels, votes, like)
    weights, best = fit_weights(copies)
    names = dict(zip(WEIGHTS, weights.tolist(), strict=True))
    print(f"\nWEIGHTS = {names}; accuracy without any fault {best:.1%}")
    report_score(copies, weights, best)


if __name__ == "__main__":
    main()
