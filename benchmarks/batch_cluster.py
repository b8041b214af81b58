"""`mien batch --engine ray` on a cluster of several nodes, with an object store and no folder that all of them see.

    python benchmarks/batch_cluster.py [--nodes 3] [--pictures 1500] [--kills 20] [--seed 0]
    python benchmarks/batch_cluster.py --kills 0 --rounds 3      # the rates of Ray and of `--engine local`, in turn

The nodes are Ray's own processes on this machine (`ray.cluster_utils.Cluster`), each with its own object store; the S3
server is moto's, behind the proxy of the tests. At random moments a worker, or a node with all its processes, is
killed with SIGKILL; a node that was killed is replaced. In the end every picture has to have one row. The run must not
fail: what is printed is the log.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from batch import make_pictures
from startup import describe_machine, spread

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from object_store import ENVIRONMENT, put_all, s3_server
from ray_cluster import Nodes, rows_of


def main() -> None:
    """Run, kill, check, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=1500, help="default: %(default)s")
    parser.add_argument("--part-size", type=int, default=16, help="pictures a part; default: %(default)s")
    parser.add_argument("--kills", type=int, default=20, help="default: %(default)s")
    parser.add_argument(
        "--pause", type=float, default=6.0, help="most seconds between two; default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="without kills; default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the moments and the victims; default: %(default)s"
    )
    args = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="mien-cluster-") as temporary, s3_server() as proxy:
        os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=proxy.url)
        source = Path(temporary) / "in"
        make_pictures(source, args.pictures, 320)
        put_all({f"in/{path.relative_to(source)}": path.read_bytes() for path in source.rglob("*.jpg")})
        with Nodes(args.nodes) as nodes:
            if args.kills:
                killed(args, nodes)
            else:
                rates(args, nodes)


def killed(args: argparse.Namespace, nodes: Nodes) -> None:
    """One run, in which processes are killed."""
    chance, begun = random.Random(args.seed), time.monotonic()
    run = begin("s3://bucket/killed", args, "--engine", "ray", "--address", nodes.address)
    kills: Counter[str] = Counter()
    while sum(kills.values()) < args.kills and run.poll() is None:
        time.sleep(chance.uniform(0.3, 1.0) * args.pause)
        if run.poll() is not None:
            break
        what = "node" if chance.random() < 0.35 else "worker"
        victim = nodes.kill_a_node(chance) if what == "node" else nodes.kill_a_worker(chance)
        if victim:
            kills[what] += 1
            print(
                f"{time.monotonic() - begun:6.1f} s  killed {victim}; {len(rows_of('bucket/killed'))} pictures done",
                flush=True,
            )
    said, words = run.communicate()
    rows = rows_of("bucket/killed")
    told = [line for line in words.splitlines() if not line.startswith("reading faces: ")]
    print(
        f"{time.monotonic() - begun:6.1f} s  ended with {run.returncode}\n",
        *(f"          {line}\n" for line in told),
        f"{sum(kills.values())} kills ({dict(kills)}); {len(rows)} of {args.pictures} pictures have rows, "
        f"{sum(number > 1 for number in rows.values())} of them in more than one part",
        sep="",
    )
    if said:
        print(f"on stdout, where nothing should be: {said}")
    if run.returncode or len(rows) != args.pictures or max(rows.values()) > 1:
        raise SystemExit("not whole")


def rates(args: argparse.Namespace, nodes: Nodes) -> None:
    """Whole runs in turn: one machine's processes, and the cluster; the ratio is Ray's cost."""
    measured: dict[str, list[float]] = {"local": [], "ray": []}
    for number in range(args.rounds):
        for engine, own in measured.items():
            options = ["--address", nodes.address] if engine == "ray" else []
            start = time.perf_counter()
            run = begin(f"s3://bucket/{engine}-{number}", args, "--engine", engine, *options)
            _, words = run.communicate()
            assert run.returncode == 0, words
            own.append(args.pictures / (time.perf_counter() - start))
    for engine, own in measured.items():
        print(f"{engine:6} {spread(own, '.1f')} pictures/s")
    ratios = [ray / local for local, ray in zip(*measured.values(), strict=True)]
    print(f"ratio  {spread(ratios, '.2f')}")


def begin(output: str, args: argparse.Namespace, *options: str) -> subprocess.Popen[Any]:
    """A whole command in a process of its own."""
    command = [
        sys.executable, "-m", "mien", "batch", "s3://bucket/in", "--output", output,
        "--workers", str(min(args.nodes, os.cpu_count() or 1)) if "local" in options else str(args.nodes),
        "--part-size", str(args.part_size), *options,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main()
