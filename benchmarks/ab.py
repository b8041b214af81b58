"""Two builds of mien side by side: the same pictures through the old and the new one, A B A B, as ratios.

    python benchmarks/ab.py OLD/src NEW/src                        # every row
    python benchmarks/ab.py OLD/src NEW/src --rows photo batch     # some of them
    python benchmarks/ab.py OLD/src NEW/src --pictures FOLDER      # real pictures for photo and photos

Every measurement is a process of its own that imports `mien` from the folder it is given; both builds use one
expression model, so that the cost of a new one does not count. A ratio is formed inside a round, new over old: of times
and memory less than 1 is better, of rates more. The numbers of faces found are printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from startup import describe_machine, sample_portrait, spread

MODEL = "mien-s"

RECOGNIZE = """
import json, sys, time
from pathlib import Path
from mien import EmotionRecognizer
pictures = [path.read_bytes() for path in map(Path, sys.argv[3:])]
recognizer = EmotionRecognizer(sys.argv[1])
faces = sum(len(recognizer.recognize(data)) for data in pictures)
times = []
for _ in range(int(sys.argv[2])):
    for data in pictures:
        start = time.perf_counter()
        recognizer.recognize(data)
        times.append(time.perf_counter() - start)
print(json.dumps([sum(times) / len(times) * 1e3, faces]))
"""


@dataclass(frozen=True)
class Row:
    """A line of the table: what is measured, its unit, and how: of a build's sources, a figure and a count of faces."""

    title: str
    unit: str
    measure: Callable[[Path], tuple[float, int]]


def main() -> None:
    """Measure, and print a line a row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, help="the folder `src` of one build")
    parser.add_argument("new", type=Path, help="that of the other")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--rows", nargs="+", help="some of: photo photos batch large image folder memory server"
    )
    parser.add_argument(
        "--pictures", type=Path, help="photographs for photo (350 x 350) and photos (0.3 to 2 MP)"
    )
    parser.add_argument(
        "--number", type=int, default=300, help="pictures of a collection; default: %(default)s"
    )
    args = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="mien-ab-") as temporary:
        rows = make_rows(Path(temporary), args.pictures, args.number)
        for name in args.rows or rows:
            compare(rows[name], args.old.resolve(), args.new.resolve(), args.rounds)


def compare(row: Row, old: Path, new: Path, rounds: int) -> None:
    """Print old, new and their ratio."""
    found: dict[Path, list[tuple[float, int]]] = {old: [], new: []}
    for _ in range(rounds):
        for source in (old, new):
            found[source].append(row.measure(source))
    before, after = ([value for value, _ in found[source]] for source in (old, new))
    faces = " and ".join(str(found[source][0][1]) for source in (old, new))
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    print(
        f"{row.title}: old {spread(before, '.1f')}, new {spread(after, '.1f')} {row.unit}; "
        f"ratio {spread(ratios, '.2f')}; {faces} faces",
        flush=True,
    )


def make_rows(place: Path, pictures: Path | None, number: int) -> dict[str, Row]:
    """The rows, with their pictures written into a folder."""
    files = (
        sorted(path for path in pictures.rglob("*") if path.is_file()) if pictures else [sample_portrait()]
    )
    photo = list(resized(files[:100], place / "photo", lambda image: fit(image, 350 * 350, square=True)))
    areas = (3e5, 6e5, 1e6, 2e6)
    photos = [
        path
        for i, area in enumerate(areas)
        for path in resized(files[:25], place / f"photos{i}", lambda image, area=area: fit(image, area))
    ]
    return {
        "photo": Row("one photo of 350 x 350, recognize", "ms", lambda s: recognize(s, photo)),
        "photos": Row("photos of 0.3 to 2 megapixels, recognize", "ms", lambda s: recognize(s, photos)),
        "batch": Row(
            "mien batch, JPEGs of 320 x 375, two processes", "pictures/s",
            lambda s: batch(s, collection(place, (320, 375), number), 2),
        ),
        "large": Row(
            "mien batch, JPEGs of 4000 x 3000", "pictures/s",
            lambda s: batch(s, collection(place, (4000, 3000), number // 10), None),
        ),
        "folder": Row(
            "mien image FOLDER, JPEGs of 320 x 375", "pictures/s",
            lambda s: image_folder(s, collection(place, (320, 375), number)),
        ),
        "one": Row(
            "mien batch --workers 1 of the same", "pictures/s",
            lambda s: batch(s, collection(place, (320, 375), number), 1),
        ),
        "memory": Row(
            "peak memory of mien image, 12 megapixels", "MB",
            lambda s: memory(s, next(collection(place, (4000, 3000), number // 10).iterdir())),
        ),
        "memory-small": Row("peak memory of mien image, 350 x 350", "MB", lambda s: memory(s, photo[0])),
        "server": Row("server, 8 clients", "pictures/s", lambda s: server(s, photos)),
    }  # fmt: skip


def fit(image: Image.Image, area: float, *, square: bool = False) -> Image.Image:
    """A picture scaled to so many pixels; cut to a square if wanted."""
    if square:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 3
        image = image.crop((left, top, left + side, top + side))
    factor = (area / (image.width * image.height)) ** 0.5
    return image.resize((round(image.width * factor), round(image.height * factor)))


def resized(files: list[Path], folder: Path, change: Callable[[Image.Image], Image.Image]) -> Iterator[Path]:
    """The pictures among some files, changed, as JPEGs in a folder."""
    folder.mkdir()
    for number, file in enumerate(files):
        try:
            with Image.open(file) as image:
                changed = change(image.convert("RGB"))
        except OSError:  # no picture
            continue
        changed.save(folder / f"{number:04}.jpg", quality=92)
        yield folder / f"{number:04}.jpg"


def collection(place: Path, size: tuple[int, int], number: int) -> Path:
    """A folder of JPEGs of one size, each a portrait with other noise, made at first use."""
    folder = place / f"{size[0]}x{size[1]}"
    if not folder.exists():
        folder.mkdir()
        width, height = size
        with Image.open(sample_portrait()) as portrait:
            scale = max(width / portrait.width, height / portrait.height)
            large = portrait.convert("RGB").resize(
                (round(portrait.width * scale), round(portrait.height * scale))
            )
        pixels = np.asarray(large, np.int16)[:height, :width]
        for i in range(max(1, number)):
            noise = np.random.default_rng(i).integers(-8, 9, pixels.shape, np.int16)
            Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(
                folder / f"{i:06}.jpg", quality=90
            )
    return folder


def environment(source: Path) -> dict[str, str]:
    """That of a process which imports mien from there."""
    return os.environ | {"PYTHONPATH": str(source)}


def mien(source: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """A run of the command of a build."""
    command = [sys.executable, "-m", "mien", *map(str, options)]
    return subprocess.run(command, env=environment(source), capture_output=True, text=True, check=True)


@cache
def output_option(source: Path) -> str:
    """What a build calls the option for the folder that `mien batch` writes."""
    return "--output" if "--output" in mien(source, "batch", "--help").stdout else "--to"


def recognize(source: Path, files: list[Path]) -> tuple[float, int]:
    """Milliseconds a picture, of encoded pictures in a process that has warmed up; and the faces."""
    repeats = max(1, 100 // len(files))
    command = [sys.executable, "-c", RECOGNIZE, MODEL, str(repeats), *map(str, files)]
    done = subprocess.run(command, env=environment(source), capture_output=True, text=True, check=True)
    milliseconds, faces = json.loads(done.stdout)
    return milliseconds, faces


def batch(source: Path, folder: Path, workers: int | None) -> tuple[float, int]:
    """Pictures a second of a run into a new folder, and the faces."""
    output = output_option(source)
    with tempfile.TemporaryDirectory() as temporary:
        options = [] if workers is None else ["--workers", workers]
        start = time.perf_counter()
        done = mien(source, "batch", folder, output, f"{temporary}/out", "--model", MODEL, *options)
        seconds = time.perf_counter() - start
    return len(list(folder.iterdir())) / seconds, int(
        re.search(r"([\d,]+) faces?", done.stderr)[1].replace(",", "")
    )


def image_folder(source: Path, folder: Path) -> tuple[float, int]:
    """The same of `mien image`."""
    start = time.perf_counter()
    done = mien(source, "image", folder, "--format", "csv", "--model", MODEL)
    return len(list(folder.iterdir())) / (time.perf_counter() - start), done.stdout.count("\n") - 1


def memory(source: Path, picture: Path) -> tuple[float, int]:
    """The most megabytes that a run holds, as the system counts them, and the faces."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'mien', *sys.argv[1:]], capture_output=True, text=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.stdout.count(chr(10)) - 1)"
    )
    options = ["image", str(picture), "--format", "csv", "--model", MODEL]
    command = [sys.executable, "-c", code, *options]
    done = subprocess.run(command, env=environment(source), capture_output=True, text=True, check=True)
    kilobytes, faces = map(int, done.stdout.split())
    return kilobytes / 1024, faces


def server(source: Path, files: list[Path], clients: int = 8, seconds: float = 8.0) -> tuple[float, int]:
    """Pictures a second of a server with so many clients; prints the latency that 99 % of the answers keep."""
    bodies = [file.read_bytes() for file in files]
    with running(source) as url:

        def post(body: bytes) -> int:
            headers = {"Content-Type": "image/jpeg"}
            with urllib.request.urlopen(
                urllib.request.Request(f"{url}/v1/recognize", body, headers)
            ) as answer:
                (picture,) = json.load(answer)
                return len(picture["faces"])

        faces = sum(map(post, bodies))

        def client(number: int) -> list[float]:
            times = []
            while time.perf_counter() < end:
                start = time.perf_counter()
                post(bodies[(number + len(times)) % len(bodies)])
                times.append(time.perf_counter() - start)
            return times

        begun = time.perf_counter()
        end = begun + seconds
        with ThreadPoolExecutor(clients) as pool:
            times = [one for own in pool.map(client, range(clients)) for one in own]
        took = time.perf_counter() - begun
    print(f"  99 % of the answers within {1000 * np.percentile(times, 99):.0f} ms")
    return len(times) / took, faces


@contextmanager
def running(source: Path) -> Iterator[str]:
    """The address of a server that runs for the length of the block."""
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--model", MODEL]
    process = subprocess.Popen(command, env=environment(source), stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield re.search(r"http://\S+", line)[0].rstrip("/")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
