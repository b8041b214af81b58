"""mien next to other libraries, each in an environment of its own: one command, one table.

    python benchmarks/peers/compare.py FER2013 --mien VENV --fer VENV --facex VENV --face-api FOLDER --human FOLDER
        --shapes FOLDER --photographs MARKS [--rounds N] [--limit N]

FER2013 is any form of it that `mien data` reads. A VENV is a folder made by `python -m venv`, with nothing but the
library in it, and the FOLDER of face-api and human one that `npm install` filled; README.md has the commands. MARKS is
a CSV file beside photographs, with a row for each marked face: `file,x1,y1,x2,y2,expressions`, the accepted expressions
separated by spaces. Every round asks all systems in turn, and a ratio is formed inside of a
round, so that other work on the machine, or its changing speed, falls on all alike. Seconds from a busy machine mean
nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien import LABELS, load_dataset
from mien.data.ferplus import majority
from mien.labels import FERPLUS_LABELS
from mien.metrics.significance import accuracy_interval
from mien.models.registry import DEFAULT_DETECTOR

sys.path.insert(0, str(Path(__file__).parents[1]))
from startup import describe_machine, sample_portrait, spread

WORKER = Path(__file__).parent / "worker.py"
NODE = ("face-api", "human")  # systems of JavaScript, in worker.mjs
OWN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # each its own packages
BATCH = 64
MEASURES = {"one": "one face", "batch": f"{BATCH} faces", "picture": "picture", "start": "start"}


class Worker:
    """A system in its own process, which waits for requests."""

    def __init__(self, name: str, environment: Path, system: str) -> None:
        self.name, self.environment, self.system = name, environment, system
        if system in NODE:
            needed, made = "node_modules", "npm install"
            self.command = ["node", str(WORKER.with_suffix(".mjs")), system]
        else:
            needed, made = "bin/python", "python -m venv"
            self.command = [str((environment / needed).absolute()), str(WORKER), system]
        if not (environment / needed).exists():
            raise SystemExit(f"{environment} has no {needed}: expected a folder made by {made}")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=OWN,
            cwd=self.folder,
        )
        self._read()

    @property
    def folder(self) -> Path | None:
        """Where it is started: Node.js finds its packages there."""
        return self.environment if self.system in NODE else None

    @property
    def packages(self) -> Path:
        """The folder of its packages."""
        if self.system in NODE:
            return self.environment / "node_modules"
        return next((self.environment / "lib").glob("python*/site-packages"))

    @property
    def is_shape(self) -> bool:
        """Is it a network of random weights, whose answers mean nothing?"""
        return self.system.endswith(".onnx")

    def ask(self, do: str, **what: Any) -> Any:
        """Send a request that worker.py knows, and wait for its answer."""
        print(json.dumps({"do": do} | what), file=self.process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self.name} ended: run {' '.join(self.command)} in {self.folder or '.'} to see why"
            )
        return json.loads(line)

    def start_again(self, picture: Path) -> tuple[float, float]:
        """Seconds of a whole new process up to its first answer, and its peak memory in MB."""
        begin = time.perf_counter()
        done = subprocess.run(
            [*self.command, picture], capture_output=True, text=True, check=True, env=OWN, cwd=self.folder
        )
        return time.perf_counter() - begin, json.loads(done.stdout)["peak"]

    def close(self) -> None:
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait(60)


def main() -> None:
    """Ask all of them, and print."""
    parser = argparse.ArgumentParser(description="mien next to other libraries.")
    parser.add_argument("data", type=Path, help="FER2013 in any form, with FER+ votes or without")
    parser.add_argument("--mien", type=Path, required=True, help="environment with mien")
    parser.add_argument("--fer", type=Path, help="environment with fer")
    parser.add_argument("--facex", type=Path, help="environment with facex")
    for name in NODE:
        parser.add_argument(
            f"--{name}", type=Path, help=f"folder of npm with {name}, TensorFlow.js and @canvas/image"
        )
    parser.add_argument(
        "--photographs", type=Path, help="CSV file that marks the faces of photographs beside it"
    )
    parser.add_argument("--shapes", type=Path, help="folder that shapes.py wrote")
    parser.add_argument("--split", default="validation", help="default: %(default)s, PublicTest")
    parser.add_argument("--limit", type=int, help="every k-th image, so that about so many are scored")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument(
        "--duration", type=float, default=0.3, help="seconds of a measurement; default: %(default)s"
    )
    args = parser.parse_args()

    split = load_dataset(args.data).split(args.split)
    rows = np.arange(len(split.names))
    if args.limit:
        rows = rows[:: max(1, len(rows) // args.limit)]
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        faces, pictures = write_inputs(Path(folder), split.images[rows])
        workers = start(args)
        for worker in workers:
            stack.callback(worker.close)
        show_answers(workers, faces, pictures, split, rows)
        if args.photographs:
            show_photographs(workers, read_marks(args.photographs))
        show_times(workers, faces, pictures[0], args.rounds, args.duration)


def start(args: argparse.Namespace) -> list[Worker]:
    """The systems that were named; mien is the first, to which the others are compared."""
    workers = [Worker("mien", args.mien, "mien")]
    workers += [
        Worker(f"mien, {name}", args.mien, f"mien:{name}")
        for name in ("haar", "mien")
        if name != DEFAULT_DETECTOR
    ]
    if args.fer:
        workers += [Worker(name, args.fer, name) for name in ("fer", "fer-keras")]
    for name in ("facex", *NODE):
        environment = getattr(args, name.replace("-", "_"))
        if environment:
            workers.append(Worker(name, environment, name))
    if args.shapes:
        found = sorted(args.shapes.glob("*.onnx"))
        workers += [Worker(path.stem, args.mien, str(path.resolve())) for path in found]
    return workers


def write_inputs(folder: Path, images: Any) -> tuple[Path, list[Path]]:
    """What every system is given: the faces as an array, and two photographs."""
    from skimage import data

    np.save(folder / "faces.npy", images)
    Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    return folder / "faces.npy", [folder / "astronaut.png", sample_portrait()]


def show_answers(
    workers: Sequence[Worker], faces: Path, pictures: Sequence[Path], split: Any, rows: Any
) -> None:
    """How right they are on the same rows, and what they say of the two photographs."""
    print(f"\n{'right':24}{'of the labels':>26}{'FER+ majority':>36}")
    for worker in workers:
        if worker.is_shape or ":" in worker.system:
            continue
        for head, answers in worker.ask("answers", faces=str(faces)).items():
            given = np.array(answers)
            right = share(given == split.targets[rows])
            title = worker.name + (f" ({head})" if head else "")
            print(f"{title:24}{right:>26}{agreement(given, split, rows):>36}")
    print(f"n {len(rows)}; what the others were trained on is not told: perhaps on these rows, too\n")
    for worker in workers:
        if not worker.is_shape:
            told = (brief(worker.ask("picture", path=str(path))) for path in pictures)
            print(
                f"{worker.name:24}"
                + "".join(f"{path.name}: {what:20}" for path, what in zip(pictures, told, strict=True))
            )


def brief(told: Sequence[dict[str, Any]]) -> str:
    """What was said of a photograph."""
    return "; ".join(f"{face['label']} {face['score']:.2f}" for face in told) or "no face"


def read_marks(path: Path) -> dict[Path, list[dict[str, str]]]:
    """The marked faces of each photograph; a row without a box names a photograph without any."""
    marks: dict[Path, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            faces = marks.setdefault(path.absolute().parent / row["file"], [])
            if row["x1"]:
                faces.append(row)
    return marks


def show_photographs(workers: Sequence[Worker], marks: dict[Path, list[dict[str, str]]]) -> None:
    """How many of the marked faces each finds, and reads as a person accepts, with its own detector."""
    print(f"\n{'photographs':24}{'marked faces found':>20}{'expression accepted':>36}{'found elsewhere':>18}")
    for worker in workers:
        if worker.is_shape:
            continue
        hits: list[bool] = []
        accepted: list[bool] = []
        others = 0
        for path, faces in marks.items():
            told = worker.ask("picture", path=str(path))
            others += sum(not any(is_same(face["box"], mark) for mark in faces) for face in told)
            for mark in faces:
                labels = [face["label"] for face in told if is_same(face["box"], mark)]
                hits.append(bool(labels))
                if mark["expressions"]:
                    accepted.append(bool(labels) and labels[0] in mark["expressions"].split())
        found, right = (
            f"{sum(hits)} of {len(hits)}",
            f"{sum(accepted)} of {len(accepted)}, {share(np.array(accepted))}",
        )
        print(f"{worker.name:24}{found:>20}{right:>36}{others:>18}")


def is_same(box: Sequence[float], mark: dict[str, str]) -> bool:
    """Is it the marked face? Each box has the other's centre in it: detectors draw the same face in different sizes."""
    own = [float(mark[name]) for name in ("x1", "y1", "x2", "y2")]
    return holds(box, own) and holds(own, box)


def holds(box: Sequence[float], other: Sequence[float]) -> bool:
    """Is the other's centre in the box?"""
    return all(box[i] <= (other[i] + other[i + 2]) / 2 <= box[i + 2] for i in (0, 1))


def share(correct: Any) -> str:
    """Percent that is right, with its 95 % interval by Wilson's score."""
    low, high = accuracy_interval(correct)
    return f"{100 * correct.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def agreement(answers: Any, split: Any, rows: Any) -> str:
    """Share of answers that are the majority of the FER+ votes, where that is one of the seven; "" without votes."""
    if split.votes is None:
        return ""
    winners = majority(split.votes[rows])
    numbers = [LABELS.index(label) if label in LABELS else -1 for label in FERPLUS_LABELS]
    wanted = np.array([numbers[w] if w >= 0 else -1 for w in winners])
    counted = wanted >= 0
    return f"{share(answers[counted] == wanted[counted])}, n {counted.sum()}" if counted.any() else ""


def show_times(workers: Sequence[Worker], faces: Path, picture: Path, rounds: int, seconds: float) -> None:
    """Times over mien's of the same round, and what they take of the machine."""
    times: dict[str, dict[str, list[float]]] = {w.name: {kind: [] for kind in MEASURES} for w in workers}
    peaks: dict[str, list[float]] = {w.name: [] for w in workers}
    for _ in range(rounds):
        for kind in MEASURES:
            for worker in workers:
                measure(worker, kind, faces, picture, seconds, times[worker.name][kind], peaks[worker.name])
    print(f"\ntime over mien's, of {rounds} rounds: median (least-greatest)")
    print(
        f"{'':24}"
        + "".join(f"{title:>24}" for title in MEASURES.values())
        + f"{'MB memory':>12}{'MB on disk':>12}"
    )
    for worker in workers:
        cells = [ratios(times[worker.name][kind], times["mien"][kind]) for kind in MEASURES]
        memory = f"{statistics.median(peaks[worker.name]):,.0f}" if peaks[worker.name] else ""
        disk = "" if worker.is_shape else f"{size_on_disk(worker.packages):,.0f}"
        print(f"{worker.name:24}" + "".join(f"{cell:>24}" for cell in cells) + f"{memory:>12}{disk:>12}")
    own = times["mien"]
    print(
        f"mien: {1000 * statistics.median(own['one']):.2f} ms one face,"
        f" {BATCH / statistics.median(own['batch']):,.0f} faces/s in {BATCH}s,"
        f" {1000 * statistics.median(own['picture']):.1f} ms the picture, {statistics.median(own['start']):.2f} s start"
    )


def measure(
    worker: Worker,
    kind: str,
    faces: Path,
    picture: Path,
    seconds: float,
    times: list[float],
    peaks: list[float],
) -> None:
    """One measurement of one system; of a network alone only its faces are timed."""
    if kind in ("one", "batch"):
        n = 1 if kind == "one" else BATCH
        times.append(worker.ask("time", faces=str(faces), n=n, seconds=seconds))
    elif not worker.is_shape and kind == "picture":
        times.append(worker.ask("time picture", path=str(picture), seconds=seconds))
    elif not worker.is_shape:
        took, peak = worker.start_again(picture)
        times.append(took)
        peaks.append(peak)


def ratios(times: Sequence[float], mien: Sequence[float]) -> str:
    """Times over mien's of the same rounds."""
    return spread([a / b for a, b in zip(times, mien, strict=True)], ".2f") if times else ""


def size_on_disk(packages: Path) -> float:
    """The environment's packages in MB, of 10^6 bytes, without compiled Python files and pip itself."""
    left_out = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    return (
        sum(
            path.stat().st_size
            for path in packages.rglob("*")
            if path.is_file()
            and not path.is_symlink()
            and path.suffix != ".pyc"
            and path.relative_to(packages).parts[0].partition("-")[0] not in left_out
        )
        / 1e6
    )


if __name__ == "__main__":
    main()
