"""Breaks small valid inputs at random and feeds them to mien's readers: does any of them end in anything but an answer?

    python benchmarks/fuzz.py --minutes 10 [--seed N] [--kinds pictures clips zips csv parquet onnx requests]
        [--keep DIR]

An input is accepted, or refused with a `MienError` on one line. A fault is: another exception, the end of the process,
more than 10 seconds of the processor a reading, memory that grows by more than 1.5 GB, or two readings of one input
that differ. The readers run in a child process, which is started anew after a fault. The seed is today's date unless it
is given.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_inputs import KINDS, Input
from fuzz_readers import Outcome, serve

_SLOWEST = 20.0  # seconds of the processor for one input, which is read twice
_LONGEST = 120.0  # seconds by the clock, which run on while others use the machine
_START = 60.0  # seconds until a child is ready
_MOST = 1_500_000_000  # bytes that a child may grow by
_LOOK = 0.25  # seconds between two looks at its memory


def main() -> int:
    """Run and print; 1 if there were faults."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of all kinds together; default: %(default)s"
    )
    parser.add_argument(
        "--seed", type=int, default=int(f"{datetime.date.today():%Y%m%d}"), help="default: the date"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that are faults")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.minutes:g} minutes", flush=True)
    shares = sum(KINDS[kind][1] for kind in args.kinds)
    tallies = []
    for kind in args.kinds:
        seconds = 60 * args.minutes * KINDS[kind][1] / shares
        tallies.append(explore(kind, seconds, args.seed, args.keep))
        print(tallies[-1], flush=True)
    faults = sum(sum(tally.faults.values()) for tally in tallies)
    print(f"{sum(tally.inputs for tally in tallies):,} inputs, {faults} faults")
    return int(faults > 0)


@dataclass
class Tally:
    """What came of one kind's inputs."""

    kind: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    peak: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.inputs += 1
        self.accepted += outcome.kind == "accepted"
        self.refused += outcome.kind == "refused"
        self.slowest = max(self.slowest, outcome.seconds)
        self.peak = max(self.peak, outcome.peak)
        if outcome.kind == "fault":
            self.faults[outcome.text] += 1

    def __str__(self) -> str:
        line = (
            f"{self.kind:9} {self.inputs:>8,} inputs {self.accepted:>8,} accepted {self.refused:>8,} refused "
            f"{sum(self.faults.values()):>4} faults  slowest {self.slowest:.2f} s  peak {self.peak / 1e6:,.0f} MB"
        )
        return "\n".join([line, *(f"    {count} x {text}" for text, count in self.faults.most_common())])


def explore(kind: str, seconds: float, seed: int, keep: Path | None) -> Tally:
    """Feed inputs of a kind for so many seconds."""
    tally, inputs = Tally(kind), KINDS[kind][0](random.Random(f"{seed} {kind}"))
    child = Child(kind)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        given = next(inputs)
        outcome = child.ask(given)
        tally.add(outcome)
        if outcome.kind == "fault":
            if keep is not None:
                _save(keep, f"{kind}-{tally.inputs}", given, outcome.text)
            child.stop()
            child = Child(kind)
    child.stop()
    return tally


class Child:
    """A process that reads inputs of one kind."""

    def __init__(self, kind: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(kind, other), daemon=True)
        self._process.start()
        other.close()
        ready = self._wait(_START, sys.maxsize)
        if ready.kind != "accepted":
            raise RuntimeError(f"{kind}: the child does not start: {ready.text}")
        self._begin = ready.peak

    def ask(self, given: Input) -> Outcome:
        """What comes of an input; it may be the end of the child."""
        self._pipe.send(given)
        outcome = self._wait(_LONGEST, self._begin + _MOST)
        if outcome.peak - self._begin > _MOST:
            return outcome._replace(kind="fault", text=f"memory: {outcome.text or outcome.kind}"[:80])
        if outcome.kind != "fault" and outcome.seconds > _SLOWEST:
            return outcome._replace(kind="fault", text=f"more than {_SLOWEST / 2:g} s")
        return outcome

    def _wait(self, seconds: float, most: int) -> Outcome:
        start, peak = time.monotonic(), 0
        while (waited := time.monotonic() - start) < seconds:
            try:
                if self._pipe.poll(_LOOK):
                    outcome: Outcome = self._pipe.recv()
                    return outcome
            except (EOFError, ConnectionError):
                self._process.join()
                return Outcome("fault", f"the process ended: {self._process.exitcode}", waited, peak)
            if (peak := _memory(self._process.pid)) > most:
                return Outcome("fault", "memory, while it was read", waited, peak)
        return Outcome("fault", f"more than {seconds:g} s", seconds, peak)

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _memory(pid: int | None) -> int:
    """Bytes that a process holds now; 0 where the system does not tell."""
    try:
        found = re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def _save(keep: Path, name: str, given: Input, text: str) -> None:
    folder = keep / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fault.txt").write_text(text + "\n")
    for part, data in given.items():
        (folder / part).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
