"""How fast a collection becomes Parquet: one process next to all cores, and as the collection grows.

    python benchmarks/batch.py [--pictures 1000] [--rounds 3]          # processes, in turn, as ratios
    python benchmarks/batch.py --scaling 1000 5000 50000               # rate and memory against the number

Pictures are the portrait that matplotlib brings, scaled to 320 pixels and changed a little each, as JPEG files in
folders of 1,000. Every run is a process of its own, `mien batch`; memory is the largest sum over it and its children,
asked every five seconds, and not at all where rates are compared: asking takes time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from startup import describe_machine, sample_portrait, spread

from mien.images.jpeg_draft import read_draft

_FOLDER = 1000
_ASK = 5.0  # seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rate of mien batch.")
    parser.add_argument("--pictures", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--side", type=int, default=320, help="width in pixels; default: %(default)s")
    parser.add_argument("--scaling", type=int, nargs="+", help="numbers of pictures instead of ratios")
    parser.add_argument("--decode-side", type=int, default=0, help="as of mien batch; default: %(default)s")
    parser.add_argument("--engine", default="local", help="default: %(default)s")
    parser.add_argument("--detector", default="mien", help="default: %(default)s")
    args = parser.parse_args()

    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="mien-batch-") as temporary:
        source = Path(temporary) / "in"
        options = ["--detector", args.detector, "--engine", args.engine]
        options += ["--decode-side", str(args.decode_side)]
        if args.scaling:
            measure_scaling(source, args.scaling, args.side, options)
        else:
            measure_processes(source, args, options)


def measure_processes(source: Path, args: argparse.Namespace, options: list[str]) -> None:
    """Print the rate of one process and of two, and their ratio inside each round."""
    make_pictures(source, args.pictures, args.side)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for workers, found in rates.items():
            seconds, _ = run(source, [*options, "--workers", str(workers), "--part-size", "100"], watch=False)
            found.append(args.pictures / seconds)
    for workers, found in rates.items():
        print(f"{workers} process{'es' if workers > 1 else '  '}  {spread(found, '.1f')} pictures/s")
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"ratio         {spread(ratios, '.2f')}")
    ideal = measure_ideal(sorted(source.rglob("*.jpg"))[:300], args.detector, args.decode_side)
    shares = [two / (2 * ideal) for two in rates[2]]
    print(
        f"ideal         {2 * ideal:.1f} pictures/s for two; reached {spread(shares, '.2f')} of it, start included"
    )


def measure_ideal(paths: list[Path], detector: str, decode_side: int) -> float:
    """Pictures a second of one thread that does nothing but decode, find, crop and classify; prints the parts."""
    from mien.faces.detector import FaceDetector
    from mien.models.classifier import EmotionClassifier

    cv2.setNumThreads(1)
    finder, classifier = FaceDetector(detector, threads=1), EmotionClassifier(threads=1)
    finder.detect(paths[0])
    parts: dict[str, float] = dict.fromkeys(("decode", "find", "crop", "classify"), 0.0)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        done = work()
        parts[name] += (time.perf_counter() - start) / len(paths)
        return done

    crops: list[NDArray[np.uint8]] = []
    for path in paths:
        picture, _ = timed("decode", lambda path=path: read_draft(path.read_bytes(), decode_side))
        faces = timed("find", lambda picture=picture: finder.detect(picture))
        crops += timed("crop", lambda picture=picture, faces=faces: [finder.crop(picture, f) for f in faces])
    timed("classify", lambda: [classifier.classify(crops[i : i + 64]) for i in range(0, len(crops), 64)])
    print(", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in parts.items()) + " a picture")
    return 1 / sum(parts.values())


def measure_scaling(source: Path, numbers: list[int], side: int, options: list[str]) -> None:
    """Print rate and memory for more and more pictures."""
    print(f"{'pictures':>10}{'seconds':>10}{'pictures/s':>12}{'memory, MB':>12}")
    for number in sorted(numbers):
        make_pictures(source, number, side)
        seconds, megabytes = run(source, options)
        print(f"{number:>10,}{seconds:>10.1f}{number / seconds:>12.1f}{megabytes:>12.0f}", flush=True)


def make_pictures(source: Path, number: int, side: int) -> None:
    """Write those that are not there yet."""
    with Image.open(sample_portrait()) as portrait:
        small = portrait.resize((side, round(side * portrait.height / portrait.width)))
    pixels = np.asarray(small, np.int16)
    for i in range(number):
        path = source / f"{i // _FOLDER:04}" / f"{i:07}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(i).integers(-8, 9, pixels.shape, np.int16)
            Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def run(source: Path, options: list[str], *, watch: bool = True) -> tuple[float, float]:
    """Seconds from start to end of a run into a new folder, and the most megabytes it took, if they are watched."""
    out = source.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    start, most = time.perf_counter(), 0.0
    command = [sys.executable, "-m", "mien", "batch", str(source), "--output", str(out), *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if watch:
                most = max(most, memory(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ASK)
    seconds = time.perf_counter() - start
    if (
        process.returncode
        or not json.loads((out.with_name("out.mien") / "manifest.json").read_text())["complete"]
    ):
        sys.exit(f"mien batch ended with {process.returncode}")
    return seconds, most


def memory(pid: int) -> float:
    """Megabytes that a process and its children hold for themselves (proportional set size), on Linux."""
    total = 0.0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1000
    except OSError:
        return total
    return total + sum(memory(int(child)) for child in children)


if __name__ == "__main__":
    main()
