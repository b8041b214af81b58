"""How well `mien video --episodes` finds episodes of known times, and which settings find them best.

    python benchmarks/episodes.py FER2013 [--clips 40] [--duration 20] [--model mien-s]

Clips with known times are made of stills: a face with a neutral expression and one with another take turns, for 0.4
to 4 seconds each, at 25 frames per second, every frame a little shifted, lit and noisy. The stills are images of
Training that were held out of training and whose label is the majority of the votes. Settings are chosen on the clips
of one half of the faces, and scored on those of the other half.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien import LABELS, Box, EmotionClassifier, Face, Prediction, TrackedFace, TrackedFrame, load_dataset
from mien._core.text import Table, percent
from mien.data.dataset import Split
from mien.data.ferplus import majority_among
from mien.training import TrainConfig
from mien.training.splits import split_up
from mien.video.episodes import Episode, EpisodeSettings, find_episodes
from mien.video.smoothing import TIME_CONSTANT, Smoother

FPS = 25
NEUTRAL = LABELS.index("neutral")
GRID = {
    "upper_threshold": (0.35, 0.4, 0.5, 0.6),
    "lower_threshold": (0.25, 0.3, 0.35, 0.4),
    "min_duration": (0.2, 0.3, 0.5, 0.7),
    "max_gap": (0.0, 0.2, 0.4),
}


@dataclass(frozen=True)
class Made:
    """A clip: its frames, and the true episodes as (emotion, onset, offset)."""

    frames: list[TrackedFrame]
    truth: list[tuple[str, float, float]]


@dataclass(frozen=True)
class Scores:
    """Of the episodes found in some clips: counts, and the errors in seconds of those that are right."""

    found: int
    right: int
    true: int
    onset: float
    offset: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(1, self.found + self.true)


def make_clip(
    faces: Split, classifier: EmotionClassifier, seconds: float, number: int, rng: np.random.Generator
) -> Made:
    """A clip of stills of these faces, as the tracker would give it."""
    calm, moved = np.flatnonzero(faces.targets == NEUTRAL), np.flatnonzero(faces.targets != NEUTRAL)
    labels = np.unique(faces.targets[moved])
    images, truth, frame = [], [], 0
    for turn in itertools.count():
        length = round(FPS * rng.uniform(0.4, 4))
        shown = moved[faces.targets[moved] == rng.choice(labels)] if turn % 2 else calm
        place = rng.choice(shown)
        truth.append((LABELS[faces.targets[place]], frame / FPS, (frame + length) / FPS))
        images += [jittered(faces.images[place], rng) for _ in range(length)]
        frame += length
        if frame >= seconds * FPS:
            break
    smoother, frames = Smoother(TIME_CONSTANT, classifier.min_confidence), []
    for k, row in enumerate(classifier.predict_proba(images)):
        now = Prediction(dict(zip(LABELS, row.tolist(), strict=True)))
        face = TrackedFace(Face(Box(0, 0, 48, 48), 1.0), now, track=1, smoothed=smoother.add(now, k / FPS))
        frames.append(TrackedFrame(f"clip {number}", 48, 48, (face,), frame=k, time=k / FPS, labels=LABELS))
    return Made(frames, truth)


def jittered(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A face as the next frame of a clip shows it: moved by a pixel, a little lighter or darker, noisy."""
    moved = np.roll(image, rng.integers(-1, 2, 2), axis=(0, 1)).astype(np.float32)
    lit = moved * rng.uniform(0.95, 1.05) + rng.normal(0, 4, image.shape)
    return np.rint(lit.clip(0, 255)).astype(np.uint8)


def score(clips: Sequence[Made], settings: EpisodeSettings) -> Scores:
    """Episodes are right if they have the expression of a true one and half of their union in common with it."""
    found = right = true = 0
    onsets, offsets = [], []
    for clip in clips:
        episodes, free = find_episodes(clip.frames, settings), set(range(len(clip.truth)))
        found, true = found + len(episodes), true + len(clip.truth)
        for one in episodes:
            best = max(free, key=lambda k: shared(one, clip.truth[k]), default=None)
            if best is not None and shared(one, clip.truth[best]) >= 0.5:
                free.remove(best)
                right += 1
                onsets.append(one.onset - clip.truth[best][1])
                offsets.append(one.offset - clip.truth[best][2])
    return Scores(found, right, true, statistics.median(onsets or [0]), statistics.median(offsets or [0]))


def shared(one: Episode, other: tuple[str, float, float]) -> float:
    """Intersection over union in time with a true episode; 0 of another expression."""
    emotion, onset, offset = other
    both = min(one.offset, offset) - max(one.onset, onset)
    return (
        both / (max(one.offset, offset) - min(one.onset, onset))
        if one.emotion == emotion and both > 0
        else 0.0
    )


def main() -> None:
    """Make the clips, choose settings on one half, print the scores on the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=40, help="of each half; default: %(default)s")
    parser.add_argument(
        "--duration", type=float, default=20.0, help="of a clip in seconds; default: %(default)s"
    )
    parser.add_argument("--model", default="mien-s")
    args = parser.parse_args()
    classifier = EmotionClassifier(args.model)
    held = split_up(load_dataset(args.data), TrainConfig(calibration_fraction=0.05)).split("calibration")
    held = held.take(majority_among(held.votes, LABELS) == held.targets)
    rng = np.random.default_rng(0)
    first = rng.permutation(len(held)) % 2 == 0
    halves = [
        [make_clip(held.take(part), classifier, args.duration, k, rng) for k in range(args.clips)]
        for part in (first, ~first)
    ]
    print(
        f"{len(held)} faces, {args.clips} clips of about {args.duration:g} s of each half, {classifier.config.name}"
    )
    tried = [
        EpisodeSettings(*values) for values in itertools.product(*GRID.values()) if values[1] <= values[0]
    ]
    best = max(tried, key=lambda one: score(halves[0], one).f1)
    rows = []
    for name, settings in (("best", best), ("default", EpisodeSettings())):
        shown = ", ".join(f"{value:g}" for value in vars(settings).values())
        for half, clips in zip(("chosen on", "others"), halves, strict=True):
            found = score(clips, settings)
            precision, recall = found.right / max(1, found.found), found.right / found.true
            shares = (percent(precision), percent(recall), percent(found.f1))
            rows.append(
                (
                    f"{name}: {shown}",
                    half,
                    str(found.true),
                    *shares,
                    f"{found.onset:+.2f}",
                    f"{found.offset:+.2f}",
                )
            )
    columns = ("settings", "clips of", "episodes", "precision", "recall", "F1", "onset, s", "offset, s")
    print(Table(columns, rows).text())


if __name__ == "__main__":
    main()
