"""How often a threshold of `uncertain` misses its rate, and what it keeps, by simulation.

    python benchmarks/threshold.py [--rounds 2000]

Images are drawn from known distributions of the confidence and of what is right, so the true rate from a threshold on
is known. Asked for is a rate of 90 % with a certainty of 95 %: at most 5 % of the thresholds may miss it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.metrics.calibration import threshold_for_precision

WANTED = 0.9
Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
CURVES: dict[str, Curve] = {
    "88 % at every confidence": lambda c: np.full(len(c), 0.88),
    "89.5 % at every confidence": lambda c: np.full(len(c), 0.895),
    "as the confidence says": lambda c: c,
    "5 points less than it says": lambda c: c - 0.05,
    "flat above 0.6 at 89 %": lambda c: np.where(c > 0.6, 0.89, 0.5),
}


def confidences(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Like those of `mien-s`: 0.2 to 1, most in the middle."""
    return np.asarray(0.2 + 0.8 * rng.beta(2.5, 1.7, n))


def measure(curve: Curve, n: int, rounds: int) -> tuple[float, float, float]:
    """The share of thresholds that miss the rate; of the images, the share that is kept, and the most that may be."""
    rng = np.random.default_rng(n)
    many = np.sort(confidences(rng, 400_000))
    # The true rate of all from each confidence on.
    rates = np.cumsum(curve(many)[::-1])[::-1] / np.arange(len(many), 0, -1)
    missed, kept = 0, []
    for _ in range(rounds):
        said = confidences(rng, n)
        threshold = threshold_for_precision(said, rng.random(n) < curve(said), WANTED)
        place = int(np.searchsorted(many, threshold))
        missed += place < len(many) and rates[place] < WANTED
        kept.append(1 - place / len(many))
    good = np.flatnonzero(rates >= WANTED)
    return missed / rounds, float(np.mean(kept)), 1 - good[0] / len(many) if len(good) else 0.0


def main() -> None:
    """Simulate, and print a line each."""
    parser = argparse.ArgumentParser(description="How often a threshold of uncertain misses its rate.")
    parser.add_argument("--rounds", type=int, default=2000, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    print(f"| {'predictions are right':28} | n | missed | kept | most that may be kept |")
    for name, curve in CURVES.items():
        for n in (300, 1258, 5000):
            missed, kept, most = measure(curve, n, rounds)
            print(
                f"| {name:28} | {n:,} | {100 * missed:.1f} % | {100 * kept:.0f} % | {100 * most:.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
