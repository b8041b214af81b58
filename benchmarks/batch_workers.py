"""How far `mien batch` goes with workers: 10 to 1,000 of them and a store that answers so many requests a second.

    python benchmarks/batch_workers.py [--picture 6.5] [--latency 30] [--chart FILE]

**A simulation**, of events: what a worker, the store and the head of a cluster do is taken from measurements on one
machine, given as options; that there are many of them is made up. A worker asks for `AT_ONCE` pictures at a time and is
up to `AHEAD` of those ahead, as `mien.batch.reading` does; its arithmetic takes `--picture` milliseconds each, with a
random factor; after a part it asks for its lease and puts the part. The store takes requests one after the other at its
rate and answers each after `--latency`. The head gives out one part after the other, in `--part` milliseconds each.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from startup import describe_machine

from mien.output.figures import new_figure, save_figure, set_style

WORKERS = (10, 20, 50, 100, 200, 500, 1000)
AT_ONCE, AHEAD = (
    8,
    3,
)  # of mien.batch.reading: pictures that are asked for together, and how many of these wait
STORES = {
    "one prefix: 5,500 GET a second": (5_500, 1),
    "ten prefixes: 55,000": (55_000, 1),
    "one prefix, tars of 1,000 pictures": (5_500, 1000),
}
"""What Amazon promises of a prefix (S3 user guide, "Optimizing performance"); pictures to a request."""


class Queue:
    """What is done one after the other, each in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._free = seconds, 0.0

    def after(self, now: float, number: float = 1) -> float:
        """When so many that come now are done."""
        self._free = max(self._free, now) + number * self._seconds
        return self._free


@dataclass
class Worker:
    """Where a worker is: pictures left of its part, when its arithmetic is free, when what it was given is read."""

    left: int = 0
    free: float = 0.0
    begun: deque[float] = field(default_factory=deque)


def simulate(args: argparse.Namespace, workers: int, rate: float, pictures_a_request: int) -> float:
    """Pictures a second, after a first third that does not count."""
    chance = np.random.default_rng(0)
    store, head = Queue(1 / rate), Queue(args.part / 1000)
    latency, picture = args.latency / 1000, args.picture / 1000
    until = args.duration
    done = 0
    # Each event touches the queues at its own time only, so that they are served in order.
    events: list[tuple[float, int, str]] = [(0.0, number, "take") for number in range(workers)]
    states = [Worker() for _ in range(workers)]
    while events:
        now, number, what = heapq.heappop(events)
        if now > until:
            continue
        one = states[number]
        if what == "take":  # a part, of the head
            one.left, one.begun = args.pictures, deque()
            heapq.heappush(events, (head.after(now), number, "ask"))
        elif what == "put":  # the lease is asked for, and the part put
            heapq.heappush(events, (store.after(now, 2) + 2 * latency, number, "take"))
        else:
            some = min(AT_ONCE, one.left)
            one.left -= some
            read = store.after(now, some / pictures_a_request) + latency
            begin = max(read, one.free)
            one.free = begin + float(some * picture * chance.lognormal(-(args.spread**2) / 2, args.spread))
            one.begun.append(begin)
            if until / 3 < one.free <= until:
                done += some
            # The next ones are asked for once these are here, and the arithmetic has taken up those of `AHEAD` before.
            room = one.begun.popleft() if len(one.begun) >= AHEAD else now
            heapq.heappush(
                events, (max(room, read), number, "ask") if one.left else (one.free, number, "put")
            )
    return done / (until * 2 / 3)


def main() -> None:
    """Simulate, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--picture", type=float, default=6.5, help="ms a picture, one core; default: %(default)s"
    )
    parser.add_argument("--spread", type=float, default=0.3, help="of its logarithm; default: %(default)s")
    parser.add_argument("--latency", type=float, default=30.0, help="ms an answer; default: %(default)s")
    parser.add_argument("--part", type=float, default=0.2, help="ms of the head a part; default: %(default)s")
    parser.add_argument("--pictures", type=int, default=500, help="pictures a part; default: %(default)s")
    parser.add_argument(
        "--duration", type=float, default=60.0, help="seconds, simulated; default: %(default)s"
    )
    parser.add_argument("--chart", type=Path, help="a line chart")
    args = parser.parse_args()
    print(describe_machine())
    print("| workers | " + " | ".join(STORES) + " | no limit |")
    print("|---" * (len(STORES) + 2) + "|")
    rates: dict[str, list[float]] = {name: [] for name in STORES}
    for workers in WORKERS:
        for name, (rate, together) in STORES.items():
            rates[name].append(simulate(args, workers, rate, together))
        ideal = workers / args.picture * 1000
        print(
            f"| {workers:,} | "
            + " | ".join(f"{own[-1]:,.0f}" for own in rates.values())
            + f" | {ideal:,.0f} |"
        )
    if args.chart:
        draw(args, rates)


def draw(args: argparse.Namespace, rates: dict[str, list[float]]) -> None:
    """Write the chart."""
    figure = new_figure(7, 3.4)
    axes = figure.add_subplot()
    set_style(axes, "y")
    axes.loglog(WORKERS, [n / args.picture * 1000 for n in WORKERS], ":", color="0.6", label="no limit")
    for (name, own), marker in zip(rates.items(), "osD", strict=True):
        axes.loglog(WORKERS, own, marker=marker, markersize=4, label=name)
    axes.set_xlabel("workers (simulated)")
    axes.set_ylabel("pictures a second")
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, args.chart)


if __name__ == "__main__":
    main()
