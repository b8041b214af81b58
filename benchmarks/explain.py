"""Checks that what `mien explain` marks is what the model reads.

    python benchmarks/explain.py fer2013/              # the check, on 600 images of PublicTest
    python benchmarks/explain.py fer2013/ --choose     # other patches and masks, on 150 others

Of every image the marked region is hidden, and in turn a region of the same area and shape at a random place, and the
region of the next image in the sample, which knows where faces have their features, but not this face. What each takes
from the probability of the answer is compared in pairs. Hidden is done in two ways: by the blurred picture, as the map
itself was made, and by the picture's mean grey, which the map knows nothing of.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data.load import load_dataset
from mien.explanation.occlusion import heat_map, hide, marked, patches, soft
from mien.models.classifier import EmotionClassifier

Floats = NDArray[np.floating]
SIDE = 48


def grey(crop: NDArray[np.uint8], masks: Floats) -> NDArray[np.uint8]:
    """As `hide`, by the mean grey."""
    return np.rint(crop + masks * (crop.mean() - crop.astype(np.float32))).astype(np.uint8)


WAYS: dict[str, Callable[[NDArray[np.uint8], Floats], NDArray[np.uint8]]] = {
    "blurred": hide,
    "mean grey": grey,
}


class Check:
    """What hiding regions takes from the answers on some images, (n, 48, 48) uint8."""

    def __init__(self, classifier: EmotionClassifier, images: NDArray[np.uint8]) -> None:
        self.classifier, self.images = classifier, images
        probabilities = classifier.predict_proba(images)
        self.answers, self.before = probabilities.argmax(axis=1), probabilities.max(axis=1)
        self.shifts = np.random.default_rng(0).integers(0, SIDE, (len(images), 2))

    def heats(self, masks: Floats) -> list[Floats]:
        """The map of every image."""
        pairs = zip(self.images, self.answers, strict=True)
        return [heat_map(self.classifier, image, int(label), masks) for image, label in pairs]

    def falls(self, regions: list[NDArray[np.bool_]], way: str) -> tuple[Floats, NDArray[np.bool_]]:
        """How far each answer's probability falls, and whether the answer becomes another one."""
        pairs = zip(self.images, regions, strict=True)
        hidden = np.stack([WAYS[way](image, soft(region)[None])[0] for image, region in pairs])
        after = self.classifier.predict_proba(hidden)
        rows = np.arange(len(after))
        return self.before - after[rows, self.answers], after.argmax(axis=1) != self.answers

    def compare(
        self, heats: list[Floats], share: float, way: str
    ) -> dict[str, tuple[Floats, NDArray[np.bool_]]]:
        """Falls by the marked region, the same elsewhere, and that of the next image."""
        regions = [marked(heat, share) for heat in heats]
        moved = [np.roll(region, shift, (0, 1)) for region, shift in zip(regions, self.shifts, strict=True)]
        kinds = {"marked": regions, "random": moved, "next": regions[1:] + regions[:1]}
        return {kind: self.falls(kind_regions, way) for kind, kind_regions in kinds.items()}


def mean_interval(values: Floats, rounds: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean by the percentile bootstrap: of differences within images, so that it is paired."""
    drawn = np.random.default_rng(0).integers(0, len(values), (rounds, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def gaussians(sigma: float, step: int) -> Floats:
    """Gaussian bumps at every place."""
    places, pixels = np.arange(step / 2, SIDE, step), np.arange(SIDE) + 0.5
    along = np.exp(-((pixels - places[:, None]) ** 2) / (2 * sigma**2))
    return np.einsum("ay,bx->abyx", along, along).reshape(-1, SIDE, SIDE).astype(np.float32)


def random_masks(count: int, cells: int, hidden: float) -> Floats:
    """RISE (Petsiuk et al., BMVC 2018): coarse random grids, enlarged and shifted at random."""
    rng, side = np.random.default_rng(0), SIDE + SIDE // cells
    masks = []
    for _ in range(count):
        grid = (rng.random((cells + 1, cells + 1)) < hidden).astype(np.float32)
        y, x = rng.integers(0, SIDE // cells + 1, 2)
        masks.append(
            cv2.resize(grid, (side, side), interpolation=cv2.INTER_LINEAR)[y : y + SIDE, x : x + SIDE]
        )
    return np.stack(masks)


def choose(check: Check) -> None:
    """Prints how far answers fall by what other masks mark."""
    masks = {
        f"squares of {patch}, step {step}": patches(SIDE, patch / SIDE, step / SIDE)
        for patch, step in ((6, 3), (6, 4), (8, 3), (8, 4), (12, 4), (16, 4))
    }
    masks |= {"Gaussians, sigma 3, step 4": gaussians(3, 4), "Gaussians, sigma 5, step 4": gaussians(5, 4)}
    masks |= {"RISE, 8 x 8, 20 % hidden": random_masks(256, 8, 0.2)}
    masks |= {"RISE, 12 x 12, 15 % hidden": random_masks(256, 12, 0.15)}
    print("| masks | number | 10 % blurred | 20 % blurred | 10 % mean grey | 20 % mean grey |")
    print("|---|---|---|---|---|---|")
    for name, some in masks.items():
        heats = check.heats(some)
        falls = [check.falls([marked(h, s) for h in heats], w)[0].mean() for w in WAYS for s in (0.1, 0.2)]
        cells = " | ".join(f"{100 * fall:.1f}" for fall in falls)
        print(f"| {name} | {len(some)} | {cells} |", flush=True)


def report(check: Check) -> None:
    """Prints the check, and where the heat lies by expression."""
    heats = check.heats(patches(SIDE))
    print(
        "| hidden | by | marked | same shape elsewhere | the next image's | marked - elsewhere | marked - next |",
        end="",
    )
    print(" marked takes more than elsewhere | other answer: marked, elsewhere |")
    print("|---|---|---|---|---|---|---|---|---|")
    for share in (0.1, 0.2):
        for way in WAYS:
            falls = check.compare(heats, share, way)
            means = " | ".join(f"{100 * fall.mean():.1f}" for fall, _ in falls.values())
            cells = []
            for other in ("random", "next"):
                difference = falls["marked"][0] - falls[other][0]
                low, high = mean_interval(difference)
                cells.append(f"{100 * difference.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})")
            more = (falls["marked"][0] > falls["random"][0]).mean()
            changed = ", ".join(f"{falls[kind][1].mean():.0%}" for kind in ("marked", "random"))
            print(f"| {share:.0%} | {way} | {means} | {' | '.join(cells)} | {more:.0%} | {changed} |")
    print("\n| answer | images | upper third | middle third | lower third |\n|---|---|---|---|---|")
    for label, word in enumerate(check.classifier.labels):
        regions = [marked(h) for h, a in zip(heats, check.answers, strict=True) if a == label]
        thirds = np.mean([[part.sum() for part in np.split(region, 3)] for region in regions], axis=0)
        cells = " | ".join(f"{share:.0%}" for share in thirds / thirds.sum())
        print(f"| {word} | {len(regions)} | {cells} |")


def main() -> None:
    """Reads the options and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="FER2013 in any form that has PublicTest")
    parser.add_argument("--choose", action="store_true", help="compare masks")
    parser.add_argument("--images", type=int, default=None, help="how many; default 600, or 150 to choose")
    parser.add_argument("--model", default="mien-s")
    options = parser.parse_args()
    images = load_dataset(options.data).splits["validation"].images
    order = np.random.default_rng(0).permutation(len(images))
    # From both ends of one order: what was chosen on some images is checked on others.
    count = options.images or (150 if options.choose else 600)
    rows = order[-count:] if options.choose else order[:count]
    check = Check(EmotionClassifier(options.model), np.asarray(images[np.sort(rows)]))
    print(f"{len(rows)} images of PublicTest; falls in points of probability, 95 % by paired bootstrap\n")
    (choose if options.choose else report)(check)


if __name__ == "__main__":
    main()
