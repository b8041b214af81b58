"""How long the command `mien` takes to start: whole processes, next to a bare Python's.

    python benchmarks/startup.py [PICTURE] [--rounds N]

Every round runs all commands one after the other, and each is compared with the bare Python of its own round.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mien

_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "matplotlib", "pillow", "typer", "rich")


def main() -> None:
    """Time the commands and print them."""
    parser = argparse.ArgumentParser(description="Start-up time of mien, as whole processes.")
    parser.add_argument("picture", nargs="?", type=Path, help="default: the portrait that matplotlib ships")
    parser.add_argument("--rounds", type=int, default=11, help="default: %(default)s")
    args = parser.parse_args()

    picture = args.picture or sample_portrait()
    command = _command()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        'python -c "import mien"': [sys.executable, "-c", "import mien"],
        "mien --version": [*command, "--version"],
        f"mien image {picture.name}": [*command, "image", str(picture)],
    }
    print(describe_machine())
    kind = "the installed command" if len(command) == 1 else "python -m mien"
    print(f"mien is {kind}; {args.rounds} rounds after one that is not counted")
    rounds = [[_seconds(argv) for argv in commands.values()] for _ in range(args.rounds + 1)][1:]

    print(f"\n{'':32}{'seconds':>22}{'times a bare Python':>26}")
    for i, name in enumerate(commands):
        seconds = spread([times[i] for times in rounds], ".3f")
        ratios = spread([times[i] / times[0] for times in rounds], ".1f")
        print(f"{name:32}{seconds:>22}{ratios:>26}")


def describe_machine() -> str:
    """What a figure depends on: processor, load, versions, date; some lines."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    cpu = next(names, platform.processor())
    load = f", load {os.getloadavg()[0]:.1f} (must be near 0)" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return (
        f"{date.today()}: {cpu}, {os.cpu_count()} cores{load}\n"
        f"{platform.system()}, Python {platform.python_version()}, mien {mien.__version__}, {packages}"
    )


def spread(values: Sequence[float], spec: str) -> str:
    """`median (least-greatest)`, each number in the format `spec`."""
    return f"{statistics.median(values):{spec}} ({min(values):{spec}}-{max(values):{spec}})"


def sample_portrait() -> Path:
    """Grace Hopper's portrait, 512 x 600, one face, which matplotlib ships."""
    from matplotlib import cbook

    return Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def _command() -> list[str]:
    """The command as this Python's environment has it, or the module where mien is on the path only."""
    script = shutil.which("mien", path=sysconfig.get_path("scripts"))
    return [script] if script else [sys.executable, "-m", "mien"]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds


if __name__ == "__main__":
    main()
