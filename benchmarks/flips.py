"""How often the strongest expression changes from one frame to the next, as told frame by frame and smoothed.

    python benchmarks/flips.py CLIP ... [--detectors mien haar]

One line a clip and detector, of the person who is seen longest.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from startup import describe_machine

from mien import EmotionRecognizer
from mien.results import FaceEmotion


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description="Changes of the expression, before and after smoothing.")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--detectors", nargs="+", default=["mien", "haar"], help="default: %(default)s")
    args = parser.parse_args()
    print(describe_machine())
    print(
        "| clip | detector | frames with the face | changes, frame by frame | smoothed |\n|---|---|---|---|---|"
    )
    for clip in args.clips:
        for detector in args.detectors:
            people: dict[int | None, list[FaceEmotion]] = defaultdict(list)
            frames = 0
            for frame in EmotionRecognizer(detector=detector).recognize_video(clip):
                frames += 1
                for face in frame.faces:
                    people[face.track].append(face)
            longest = max(people.values(), key=len, default=[])
            alone = changes([face.emotion for face in longest])
            smoothed = changes([face.smoothed.emotion for face in longest if face.smoothed])
            print(f"| {clip.name} | {detector} | {len(longest)} of {frames} | {alone} | {smoothed} |")


def changes(labels: list[str]) -> int:
    """How often a label differs from the one before."""
    return sum(a != b for a, b in pairwise(labels))


if __name__ == "__main__":
    main()
