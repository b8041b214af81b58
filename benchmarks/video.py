"""Speed and memory of clips, end to end: 720p with one face that moves.

    python benchmarks/video.py [CLIP] [--duration N] [--detector haar] [--model M]
    python benchmarks/video.py --compare OLD NEW [--rounds N] [--model M] [--annotate]
    python benchmarks/video.py [CLIP] --tracking
    python benchmarks/video.py --soak 20000

Without a clip one is made of the astronaut from scikit-image. The first prints frames a second, and the time of each
step inside one run: steps of different lines run at the same time, in threads. `--compare` runs `mien video` of two
source trees (folders with `src/mien`) as whole processes in turn, old and new in every round, and prints the ratio of
their frames a second and of their processor time. `--tracking` compares the boxes of faces with those of a search in
every frame. `--soak` watches so many frames and prints how memory grows.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien import EmotionRecognizer
from mien.video.face_tracker import FaceTracker, track_frames
from mien.video.reader import read_video

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from startup import describe_machine, spread

_FPS = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of clips.")
    parser.add_argument("clip", nargs="?", type=Path, help="default: one that is made, 1280 x 720")
    parser.add_argument(
        "--duration", type=float, default=10.0, help="seconds of the made clip; default: %(default)s"
    )
    parser.add_argument("--detector", default="mien", help="default: %(default)s")
    parser.add_argument("--model", default="mien-s", help="default: %(default)s")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="two source trees")
    parser.add_argument("--rounds", type=int, default=5, help="of --compare; default: %(default)s")
    parser.add_argument("--annotate", action="store_true", help="with --compare: write annotated clips")
    parser.add_argument("--tracking", action="store_true", help="compare boxes with a search in every frame")
    parser.add_argument("--soak", type=int, metavar="N", help="watch N frames, print memory")
    args = parser.parse_args()

    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clip or make_clip(Path(folder, "clip.mp4"), args.duration)
        if args.compare:
            options = ["--model", args.model, "--detector", args.detector]
            if args.annotate:
                options += ["--annotate", str(Path(folder, "annotated.mp4"))]
            compare(args.compare, clip, args.rounds, options)
            return
        recognizer = EmotionRecognizer(args.model, detector=args.detector)
        if args.tracking:
            measure_tracking(recognizer, clip)
        elif args.soak:
            soak(recognizer, clip, args.soak)
        else:
            measure(recognizer, clip)


def make_clip(path: Path, seconds: float) -> Path:
    """A clip of 1280 x 720 at 30 frames a second: one head that wanders over a smooth background with grain."""
    import cv2
    from clips import write_clip
    from pictures import astronaut, pattern

    head = cv2.resize(astronaut()[0:320, 80:400], (400, 400), interpolation=cv2.INTER_CUBIC)
    room = pattern(720, 1280)
    rng = np.random.default_rng(0)
    grain = rng.integers(-6, 7, (8, 720, 1280, 1), np.int16)

    def pictures() -> Any:
        for k in range(round(seconds * _FPS)):
            picture = room.copy()
            x, y = round(440 + 300 * np.sin(k / 40)), round(160 + 100 * np.sin(k / 23))
            picture[y : y + 400, x : x + 400] = head
            yield np.clip(picture + grain[k % 8], 0, 255).astype(np.uint8)

    return write_clip(path, pictures(), fps=_FPS)


def compare(trees: Sequence[Path], clip: Path, rounds: int, options: Sequence[str]) -> None:
    """Frames a second and processor time of `mien video` by two source trees, old and new in turn."""
    frames = sum(1 for _ in read_video(clip))
    print(f"{clip.name}: {frames} frames; mien video {' '.join(options)}")
    for tree in trees:
        _run(tree, clip, options)  # not counted
    runs = [[_run(tree, clip, options) for tree in trees] for _ in range(rounds)]
    for place, tree in enumerate(trees):
        rates = spread([frames / pair[place][0] for pair in runs], ".1f")
        busy = spread([1000 * pair[place][1] / frames for pair in runs], ".2f")
        print(f"  {tree}: {rates} frames/s; {busy} ms of processor time a frame")
    print(f"  new over old, frames/s: {spread([old[0] / new[0] for old, new in runs], '.2f')}")
    print(f"  old over new, processor time: {spread([old[1] / new[1] for old, new in runs], '.2f')}")


def _run(tree: Path, clip: Path, options: Sequence[str]) -> tuple[float, float]:
    """Seconds of a whole process, and of the processor."""
    command = [sys.executable, "-m", "mien", "video", str(clip), "--format", "csv", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(tree / "src")}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{tree}: mien video ended with {done.returncode}:\n{done.stderr}")
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(recognizer: EmotionRecognizer, clip: Path) -> None:
    """Frames a second in all, and the time of each step."""
    for _ in itertools.islice(recognizer.recognize_video(clip), 10):
        pass
    begin = time.perf_counter()
    frames = sum(1 for _ in read_video(clip))
    read = time.perf_counter() - begin

    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return work(*args, **options)
            finally:
                spent[name] += time.perf_counter() - begin
                calls[name] += 1

        return run

    recognizer.detector.detect = timed("find", recognizer.detector.detect)  # type: ignore[method-assign]
    recognizer.classifier.classify = timed("classify", recognizer.classifier.classify)  # type: ignore[method-assign]
    face_tracker = FaceTracker(recognizer)
    face_tracker.locate = timed("locate", face_tracker.locate)  # type: ignore[method-assign]
    face_tracker.read = timed("read", face_tracker.read)  # type: ignore[method-assign]
    begin = time.perf_counter()
    results = track_frames(face_tracker, read_video(clip), str(clip))
    seen = sum(bool(result.faces) for result, _ in results)
    total = time.perf_counter() - begin
    print(f"\n{frames} frames, {seen} with a face: {frames / total:.1f} frames/s end to end")
    print(f"decode alone: {frames / read:.1f} frames/s")
    rows = {
        "one thread: find faces": (spent["find"], calls["find"]),
        "  convert, follow, cut out": (spent["locate"] - spent["find"], calls["locate"]),
        "another: classify": (spent["classify"], calls["classify"]),
        "  quality, smoothing": (spent["read"] - spent["classify"], calls["read"]),
    }
    for name, (seconds, n) in rows.items():
        print(
            f"  {name:28} {1000 * seconds / frames:6.2f} ms a frame ({100 * seconds / total:.0f} %, {n} calls)"
        )


def measure_tracking(recognizer: EmotionRecognizer, clip: Path) -> None:
    """How well the boxes of a clip's faces agree with those that a search in every frame finds."""
    found = {frame.index: recognizer.detector.detect(frame.picture) for frame in read_video(clip)}
    overlaps: list[float] = []
    tracks = set()
    for result in recognizer.recognize_video(clip):
        for face in result.faces:
            tracks.add(face.track)
            overlaps.append(max((face.box.iou(other.box) for other in found[result.frame or 0]), default=0.0))
    mean, least = np.mean(overlaps), min(overlaps)
    print(
        f"{clip.name}: {len(overlaps)} faces of {len(tracks)} tracks in {len(found)} frames; "
        f"intersection over union {mean:.4f} on average, {least:.4f} at least"
    )


def soak(recognizer: EmotionRecognizer, clip: Path, frames: int) -> None:
    """Watch the clip over and over as one long one, by one face_tracker; memory along the way."""
    face_tracker = FaceTracker(recognizer)
    done = 0
    for turn in itertools.count():
        for frame in read_video(clip):
            face_tracker.follow(frame.picture, frame.time + turn * 3600)
            done += 1
            if done % max(1, frames // 10) == 0:
                # What is held now: the peak would hide all that is less than making the clip took.
                held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
                print(f"{done:7,} frames: {held:.1f} MB", flush=True)
            if done == frames:
                return


if __name__ == "__main__":
    main()
