"""`mien batch` with folders, and with an S3 server on loopback as source and output: rates as ratios, requests counted.

    python benchmarks/batch_stores.py [--pictures 1000] [--rounds 3] [--wait 0]

The server is moto's, in a process of this script, behind the proxy of the tests that counts: both take time of the same
cores as the run, so the ratio is the least that a store can cost here, and not what a real one costs. `--wait 30` lets
each answer with a picture take so many milliseconds longer, as over a network. Pictures are those of `batch.py`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from batch import make_pictures
from startup import describe_machine, spread

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from object_store import ENVIRONMENT, Proxy, put_all, s3_server


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(description="A folder against an object store.")
    parser.add_argument("--pictures", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--wait", type=float, default=0.0, help="milliseconds; default: %(default)s")
    args = parser.parse_args()

    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="mien-stores-") as temporary, s3_server() as proxy:
        os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=proxy.url)
        source = Path(temporary) / "in"
        make_pictures(source, args.pictures, 320)
        put_all({f"in/{path.relative_to(source)}": path.read_bytes() for path in source.rglob("*.jpg")})
        folder, store = [], []
        for number in range(args.rounds):
            folder.append(args.pictures / run(str(source), f"{temporary}/faces-{number}", args.workers))
            proxy.forget()
            proxy.slow = args.wait / 1000
            store.append(args.pictures / run("s3://bucket/in", f"s3://bucket/faces-{number}", args.workers))
            count(proxy, args.pictures)
        print(f"folder    {spread(folder, '.1f')} pictures/s")
        print(f"S3        {spread(store, '.1f')} pictures/s")
        print(f"ratio     {spread([b / a for a, b in zip(folder, store, strict=True)], '.2f')}")
        proxy.forget()
        run("s3://bucket/in", "s3://bucket/faces-0", args.workers)
        print("again, when all is done:")
        count(proxy, args.pictures)


def run(source: str, output: str, workers: int) -> float:
    """The seconds of a whole command."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "mien", "batch", source, "--output", output, "--workers", str(workers)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def count(proxy: Proxy, pictures: int) -> None:
    """Print the requests by what they were for."""
    kinds: Counter[str] = Counter()
    for (kind, key), number in proxy.keys.items():
        what = (
            "picture"
            if key.startswith("in/")
            else "part"
            if "/part-" in key
            else "lease"
            if "lease" in key
            else "records"
        )
        kinds[f"{kind} {'' if kind == 'LIST' else what}".strip()] += number
    said = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    total = sum(kinds.values())
    print(f"  {total} requests ({total / pictures:.3f} a picture): {said}")
    print(f"  {proxy.received / 1e6:.1f} MB received, {proxy.sent / 1e6:.2f} MB sent")


if __name__ == "__main__":
    main()
