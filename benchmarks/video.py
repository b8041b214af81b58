"""Speed and memory of clips, end to end: 720p with one face that moves.

    python benchmarks/video.py [CLIP] [--duration N] [--detector haar]
    python benchmarks/video.py --soak 20000

Without a clip one is made of the astronaut from scikit-image. `read` is decoding alone; the other shares are measured
inside one run, while a thread decodes ahead. `--soak` watches so many frames and prints how memory grows.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mien import EmotionRecognizer
from mien.video.face_tracker import FaceTracker
from mien.video.reader import read_video

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from startup import describe_machine

_FPS = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of clips.")
    parser.add_argument("clip", nargs="?", type=Path, help="default: one that is made, 1280 x 720")
    parser.add_argument(
        "--duration", type=float, default=10.0, help="seconds of the made clip; default: %(default)s"
    )
    parser.add_argument("--detector", default="mien", help="default: %(default)s")
    parser.add_argument("--soak", type=int, metavar="N", help="watch N frames, print memory")
    args = parser.parse_args()

    print(describe_machine())
    recognizer = EmotionRecognizer(detector=args.detector)
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clip or make_clip(Path(folder, "clip.mp4"), args.duration)
        if args.soak:
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


def measure(recognizer: EmotionRecognizer, clip: Path) -> None:
    """Frames a second in all, and where the time of the watching thread goes."""
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

    recognizer.detector.detect = timed("detect", recognizer.detector.detect)  # type: ignore[method-assign]
    recognizer.read_faces = timed("crop and classify", recognizer.read_faces)  # type: ignore[method-assign]
    face_tracker = FaceTracker(recognizer)
    follow = timed("whole", face_tracker.follow)
    begin = time.perf_counter()
    seen = sum(bool(follow(frame.picture, frame.time).faces) for frame in read_video(clip))
    total = time.perf_counter() - begin
    print(f"\n{frames} frames, {seen} with a face: {frames / total:.1f} frames/s end to end")
    print(f"read alone: {frames / read:.1f} frames/s")
    rows = {name: spent[name] for name in ("detect", "crop and classify")}
    rows["follow, track, smooth"] = spent["whole"] - sum(rows.values())
    rows["wait for frames"] = total - spent["whole"]
    for name, seconds in rows.items():
        n = f", {calls[name]} calls" if calls[name] else ""
        print(f"  {name:22} {1000 * seconds / frames:6.2f} ms a frame ({100 * seconds / total:.0f} %{n})")


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
