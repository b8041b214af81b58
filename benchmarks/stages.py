"""Where the time of a picture goes, and how it grows: with its pixels, its faces, and the cores that work on it.

    python benchmarks/stages.py [--chart stages.png] [--rounds N]

The pictures are JPEG files in memory that show the demo's portrait once or several times. A stage is timed inside the
whole, round after round; beside them stand the machine's own limits, measured in the same rounds: a matrix product
(sgemm) and a copy of memory.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from startup import describe_machine, sample_portrait

from mien import EmotionClassifier, EmotionRecognizer, FaceDetector
from mien.images.jpeg_draft import read_draft
from mien.output.figures import SHADES, new_figure, save_figure, set_style
from mien.recognition import recognize_draft

SIZES = ((350, 350), (1024, 768), (1920, 1080), (4000, 3000))
FACES = (1, 4, 16, 36)
CROWD = (1920, 1080)
STAGES = ("decode", "network", "rest of the search", "crop", "classify", "rest")
_SGEMM = 1024


def main() -> None:
    """Measure, print a table, and draw it if asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mien-s", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--chart", type=Path, help="a PNG to write")
    args = parser.parse_args()
    print(describe_machine())
    cores = os.cpu_count() or 1
    cases = [(f"{w:,} x {h:,}", picture(w, h, 1), cores) for w, h in SIZES]
    cases += [(f"the same, one thread: {w:,} x {h:,}", picture(w, h, 1), 1) for w, h in SIZES]
    cases += [(f"{n} faces in {CROWD[0]:,} x {CROWD[1]:,}", picture(*CROWD, n), cores) for n in FACES[1:]]
    watches = {threads: Stopwatch(args.model, threads) for threads in {1, cores}}
    times: dict[str, list[dict[str, float]]] = defaultdict(list)
    limits: dict[str, list[float]] = defaultdict(list)
    for _ in range(args.rounds + 1):
        for name, value in machine_limits().items():
            limits[name].append(value)
        for name, data, threads in cases:
            times[name].append(watches[threads].measure(data))
    for name, values in limits.items():
        print(f"{name}: {statistics.median(values[1:]):.0f}")
    table = {name: medians(rounds[1:]) for name, rounds in times.items()}
    faces = {name: watches[threads].faces(data) for name, data, threads in cases}
    print(f"{'milliseconds':42}{'faces':>6}{'whole':>8}" + "".join(f"{stage:>20}" for stage in STAGES))
    for name, row in table.items():
        whole = sum(row.values())
        print(f"{name:42}{faces[name]:6}{whole:8.2f}" + "".join(f"{row[stage]:20.2f}" for stage in STAGES))
    if args.chart:
        draw(table, args.chart)


class Stopwatch:
    """A recognizer whose stages are timed."""

    def __init__(self, model: str, threads: int) -> None:
        detector = FaceDetector(threads=threads)
        classifier = EmotionClassifier(model, threads=threads)
        self._recognizer = EmotionRecognizer(classifier, detector=detector)
        self._took: dict[str, float] = defaultdict(float)
        self._wrap(detector._mien, "answers", "network")
        self._wrap(detector, "detect_batch", "search")
        self._wrap(detector, "crop", "crop")
        self._wrap(classifier, "classify", "classify")

    def _wrap(self, owner: Any, name: str, stage: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            with self._timing(stage):
                return call(*args, **options)

        setattr(owner, name, timed)

    @contextmanager
    def _timing(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._took[stage] += time.perf_counter() - start

    def measure(self, data: bytes) -> dict[str, float]:
        """Milliseconds of every stage of one picture."""
        self._took.clear()
        start = time.perf_counter()
        with self._timing("decode"):
            draft = read_draft(data, self._recognizer.detector.enough)
        recognize_draft(self._recognizer, draft, "")
        whole = time.perf_counter() - start
        took = dict(self._took)
        took["rest of the search"] = took.pop("search") - took["network"]
        took["rest"] = whole - sum(took.values())
        return {stage: 1000 * took.get(stage, 0.0) for stage in STAGES}

    def faces(self, data: bytes) -> int:
        """How many are found."""
        return len(self._recognizer.recognize(data))


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Of every stage."""
    return {stage: statistics.median(one[stage] for one in rounds) for stage in STAGES}


def machine_limits() -> dict[str, float]:
    """GFLOP/s of a matrix product and GB/s of a copy (read and written), by all cores."""
    left, right = np.ones((2, _SGEMM, _SGEMM), np.float32)
    block = np.ones(2**25, np.float32)
    start = time.perf_counter()
    left @ right
    middle = time.perf_counter()
    block.copy()
    end = time.perf_counter()
    return {
        "sgemm, GFLOP/s": 2 * _SGEMM**3 / (middle - start) / 1e9,
        "copy of memory, GB/s": 2 * block.nbytes / (end - middle) / 1e9,
    }


def picture(width: int, height: int, faces: int) -> bytes:
    """A JPEG file that shows the portrait so many times, in rows."""
    with Image.open(sample_portrait()) as portrait:
        rows = round(faces**0.5)
        columns = -(-faces // rows)
        scale = min(width / columns / portrait.width, height / rows / portrait.height)
        one = portrait.convert("RGB").resize((int(scale * portrait.width), int(scale * portrait.height)))
    scene = Image.new("RGB", (width, height), (120, 130, 140))
    for i in range(faces):
        x = round((i % columns + 0.5) * width / columns - one.width / 2)
        y = round((i // columns + 0.5) * height / rows - one.height / 2)
        scene.paste(one, (x, y))
    data = io.BytesIO()
    scene.save(data, "JPEG", quality=90)
    return data.getvalue()


def draw(table: dict[str, dict[str, float]], path: Path) -> None:
    """A bar for every picture, of its stages one after the other."""
    figure = new_figure(9, 0.42 * len(table) + 1.4)
    axes = figure.add_subplot()
    names = list(table)
    left = np.zeros(len(names))
    for stage, color in zip(STAGES, SHADES, strict=False):
        values = np.array([table[name][stage] for name in names])
        axes.barh(names, values, left=left, label=stage, color=color)
        left += values
    set_style(axes, "x")
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds")
    axes.legend(ncols=3, loc="upper right")
    save_figure(figure, path)


if __name__ == "__main__":
    main()
