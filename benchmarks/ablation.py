"""What each ingredient of the shipped recipe is worth in a short run: mean and spread over seeds.

    python benchmarks/ablation.py FER2013 OUT [--epochs 12] [--seeds 3] [--soft-labels FILE] [--only NAME ...]

Every variant leaves out, or changes, one thing of the baseline: the recipe `mien-s` with all epochs at 32 pixels, so
that a run takes minutes. Each run is a folder of OUT: a stopped one is resumed, a finished one is not run again. The
figures are those of the last epoch on the validation split, at 32 pixels too. What helps in a long run may cost
something in a short one: regularization above all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

BASE = {"clean_epochs": 2, "low_res_view": 32, "ema_momentum": 0.998, "mixed_precision": "true"}

VARIANTS: dict[str, dict[str, object]] = {
    "baseline": {},
    "no mixup": {"augmentation.mixup": 0},
    "no label smoothing": {"label_smoothing": 0},
    "no FER+ head": {"ferplus_weight": 0},
    "no erasing, faults, glasses": {
        "augmentation.erasing": 0, "augmentation.corruption": 0, "augmentation.glasses": 0,
    },
    "half of the movements": {
        "augmentation.rotation": 6, "augmentation.scale": 0.075, "augmentation.shift": 0.04,
    },
    "no running average": {"ema_momentum": 0},
    "changed to the end": {"clean_epochs": 0},
    "no dropout": {"dropout": 0},
}  # fmt: skip


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="FER2013 with FER+ votes")
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--soft-labels", help="adds a variant that learns from teachers")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="variants to run")
    chosen = parser.parse_args()
    variants = dict(VARIANTS)
    if chosen.soft_labels:
        variants["teachers"] = {"teachers": chosen.soft_labels}
    if unknown := set(chosen.only or ()) - set(variants):
        parser.error(f"unknown variant {', '.join(sorted(unknown))}: expected {', '.join(variants)}")
    # Seed by seed, so that a run that is stopped has something of every variant.
    for seed in range(chosen.seeds):
        for name in chosen.only or variants:
            run_one(chosen, name, variants[name], seed)
    print(table(chosen.out, list(variants), chosen.seeds))


def run_one(chosen: argparse.Namespace, name: str, changes: dict[str, object], seed: int) -> None:
    """Train one variant with one seed, or go on with it."""
    run = folder(chosen.out, name, seed)
    if (run / "metrics.json").exists():
        return
    command = [sys.executable, "-m", "mien", "train", chosen.data, "--output", str(run)]
    if (run / "train.json").exists():
        command.append("--resume")
    else:
        settings = BASE | {"epochs": chosen.epochs, "low_res_epochs": chosen.epochs, "seed": seed} | changes
        command += ["--config", "mien-s"]
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    print(f"{name}, seed {seed}", file=sys.stderr)
    subprocess.run(command, check=True)


def folder(out: Path, name: str, seed: int) -> Path:
    """Of a run."""
    return out / f"{name.replace(' ', '-').replace(',', '').replace('+', '')}-{seed}"


def table(out: Path, names: list[str], seeds: int) -> str:
    """Mean and standard deviation over the seeds that are done, and the difference to the baseline by seed."""
    lines = ["| variant | runs | fer2013 | against the baseline | ferplus |", "|---|---|---|---|---|"]
    base = scores(out, "baseline", seeds, "fer2013")
    for name in names:
        own = scores(out, name, seeds, "fer2013")
        if not own:
            continue
        pairs = [own[seed] - base[seed] for seed in own if seed in base]
        votes = list(scores(out, name, seeds, "ferplus").values())
        cells = (
            name,
            str(len(own)),
            spread(list(own.values())),
            "" if name == "baseline" or not pairs else spread(pairs, sign="+"),
            spread(votes) if votes else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def scores(out: Path, name: str, seeds: int, head: str) -> dict[int, float]:
    """Seed -> accuracy of a head, in percent, of the last epoch at the size that it was trained with."""
    found = {}
    for seed in range(seeds):
        run = folder(out, name, seed)
        if (run / "metrics.json").exists() and head in json.loads((run / "metrics.json").read_text()):
            header, *_, last = (run / "history.csv").read_text().split()
            row = dict(zip(header.split(","), last.split(","), strict=True))
            key = f"val_{head}_accuracy" if f"val_{head}_accuracy" in row else "val_accuracy"
            found[seed] = 100 * float(row[key])
    return found


def spread(values: list[float], sign: str = "") -> str:
    """ "66.1 ± 0.3", the standard deviation where there is more than one."""
    text = f"{statistics.mean(values):{sign}.1f}"
    return f"{text} ± {statistics.stdev(values):.1f}" if len(values) > 1 else text


if __name__ == "__main__":
    main()
