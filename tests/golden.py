"""Golden outputs: record what users see, and prove later that it is the same.

    python tests/golden.py record DIR                  the cases of generated input
    python tests/golden.py record DIR --data FOLDER    those of real data (fer2013/, photos/, videos/); DIR is yours
    python tests/golden.py compare DIR [--data FOLDER] [--only 'video*'] [--tolerance 1e-6]

`compare` runs the cases that DIR has goldens of, prints what differs and returns 1. Both run the `mien` that this
Python imports. `golden_cases.py` is the table of command lines; `golden_text.py` says what is masked. tests/goldens
has the cases of `STABLE`, which pytest compares as well; the others change with words and pages, and are for a
folder of your own: record them before a change that should change nothing, compare after it, on the same machine.
Real faces show in the goldens of real data: keep them outside the repository.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import golden_text
import matplotlib
from golden_cases import GENERATED, NUMBERLESS, REAL, RENAMED_KEYS, RENAMED_OPTIONS
from golden_inputs import make_generated, take_real

import mien

TESTS = Path(__file__).parent
GOLDENS = TESTS / "goldens"
INPUTS = ("input", "real")


class Workshop:
    """A folder with the input, where cases run, each in a folder of its own.

    Args:
        folder: an empty one.
        data: real data, or None.
    """

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        self.folder = folder.resolve()
        make_generated(self.folder / "input")
        if data is not None:
            take_real(self.folder / "real", data)

    def run(self, name: str) -> str:
        """The golden of a case, as text: exit codes, what was printed, and all files that were written."""
        place = self.folder / "cases" / name
        place.mkdir(parents=True)
        for part in INPUTS:
            (place / part).symlink_to(self.folder / part)
        steps = [self._step(number, line, place) for number, line in enumerate((GENERATED | REAL)[name], 1)]
        text = "".join((*steps, *self._files(place)))
        return golden_text.without_numbers(text) if name in NUMBERLESS else text

    def _step(self, number: int, line: str, place: Path) -> str:
        line, _, stdin = line.partition(" < ")
        words = shlex.split(line)
        if words[0] == "python":
            command = [sys.executable, str(TESTS / words[1]), *words[2:]]
        else:
            command = [sys.executable, "-m", "mien", *words]
        with (place / stdin if stdin else Path(os.devnull)).open("rb") as given:
            done = subprocess.run(
                command, stdin=given, capture_output=True, cwd=place, env=_environment(), timeout=900
            )
        stdout, stderr = (
            self._mask(part.decode("utf-8", "backslashreplace"), place) for part in (done.stdout, done.stderr)
        )
        kind, stdout = golden_text.printed(stdout)
        head = f"### step {number}: exit {done.returncode}\n"
        # Older versions of rich end a progress bar that nobody sees with an empty line.
        stderr = stderr if stderr.strip() else ""
        return head + _section(f"stdout, {kind}", stdout) + _section("stderr", stderr)

    def _files(self, place: Path) -> Iterable[str]:
        """A section for every file that was written, by name."""
        written = {
            path.relative_to(place).as_posix(): path
            for path in place.rglob("*")
            if path.is_file() and path.relative_to(place).parts[0] not in INPUTS and not _is_log(path)
        }
        for name, path in sorted(written.items()):
            kind, text = golden_text.written(path)
            yield _section(f"file {name}, {kind}", self._mask(text, place) or "(empty)\n")

    def _mask(self, text: str, place: Path) -> str:
        places = {
            str(place): "HERE",
            str(self.folder): "WORKSHOP",
            matplotlib.get_data_path(): "MATPLOTLIB",
            str(TESTS.parent): "ROOT",
            sys.prefix: "PREFIX",
        }
        return golden_text.mask(text, places)


def _is_log(path: Path) -> bool:
    """A listing that a run keeps: its size and its digest are those of the names of this machine's folders."""
    return path.parent.name == "log" and path.parent.parent.suffix == ".mien"


def _environment() -> dict[str, str]:
    """Ours, with a fixed width and no colours, nothing that steers mien, and the mien that is imported here."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MIEN_", "GITHUB_"))}
    kept.pop("FORCE_COLOR", None)
    kept["PYTHONPATH"] = str(Path(mien.__file__).parents[1])
    return kept | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC", "PYTHONUTF8": "1"}


def _section(title: str, text: str) -> str:
    return f"### {title}\n{text}{'' if text.endswith(chr(10)) else chr(10)}" if text else ""


def difference(name: str, now: str, goldens: Path, tolerance: float) -> str:
    """How a case's output differs from its golden: a unified diff, "" where it does not."""
    path = goldens / f"{name}.txt"
    if not path.exists():
        return f"no golden {path}: record it"
    golden = golden_text.renamed(path.read_text(encoding="utf-8"), RENAMED_OPTIONS, RENAMED_KEYS)
    return golden_text.differences(golden, now, tolerance)


def main() -> int:
    """The command line; how many cases differ decides the exit code."""
    options = _parse()
    names = [n for n in (REAL if options.data else GENERATED) if fnmatch.fnmatchcase(n, options.only)]
    recorded = {path.stem for path in options.dir.glob("*.txt")}
    if options.what == "compare":
        names = [name for name in names if name in recorded]
    if not names:
        print(f"no case for {options.only!r} in {options.dir}: record it first")
        return 2
    print(f"{len(names)} cases of {mien.__file__}", flush=True)
    options.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="golden-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        workshop = Workshop(Path(folder), options.data)
        results = zip(names, pool.map(workshop.run, names), strict=True)
        if options.what == "record":
            for name, text in results:
                (options.dir / f"{name}.txt").write_text(text, encoding="utf-8")
                print(f"{name}: {len(text):,} characters", flush=True)
            return 0
        different = [name for name, text in results if _differs(name, text, options)]
    unknown = sorted(recorded - {*GENERATED, *REAL})
    print(f"{len(names)} cases, {len(different)} differ: {' '.join(different) or 'none'}")
    if unknown:
        print(f"goldens without a case: {' '.join(unknown)}")
    return 1 if different or unknown else 0


def _differs(name: str, text: str, options: argparse.Namespace) -> bool:
    found = difference(name, text, options.dir, options.tolerance)
    if found:
        print(f"=== {name}: " + "; ".join(f"mien {line}" for line in (GENERATED | REAL)[name][:3]))
        print(found, flush=True)
    return bool(found)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["record", "compare"])
    parser.add_argument("dir", type=Path, help="folder of the goldens")
    parser.add_argument("--data", type=Path, help="real data: its cases instead of those of generated input")
    parser.add_argument("--only", default="*", help="names of cases, such as 'video*'")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="by which fractions may differ")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
