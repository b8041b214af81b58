"""How fast the server is: requests a second and latency on loopback, next to the library; memory after many requests.

    python benchmarks/server.py [--clients 1 8 32] [--duration S] [--requests N]

The server is a process of its own; clients are threads of this one, and share the machine's cores with it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
from startup import describe_machine, sample_portrait

from mien import EmotionRecognizer


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description="Speed and memory of the server.")
    parser.add_argument("--clients", nargs="*", type=int, default=[1, 8, 32], help="default: %(default)s")
    parser.add_argument(
        "--duration", type=float, default=10, help="seconds of a measurement; default: %(default)s"
    )
    parser.add_argument(
        "--requests", type=int, default=10_000, help="before memory is read; default: %(default)s"
    )
    args = parser.parse_args()

    print(describe_machine())
    picture = sample_portrait().read_bytes()
    recognizer = EmotionRecognizer()
    recognizer.recognize(picture)
    show("library, one thread", [timed(lambda: recognizer.recognize(picture)) for _ in during(args.duration)])
    with running() as url, httpx.Client(base_url=url, timeout=120, trust_env=False) as client:

        def post(body: bytes = picture) -> None:
            answer = client.post("/v1/recognize", content=body, headers={"Content-Type": "image/jpeg"})
            answer.raise_for_status()

        post()
        for clients in args.clients:
            with ThreadPoolExecutor(clients) as pool:
                end = time.perf_counter() + args.duration

                def many(_: int, end: float = end) -> list[float]:
                    return [timed(post) for _ in iter(lambda: time.perf_counter() < end, False)]

                times = [t for own in pool.map(many, range(clients)) for t in own]
            show(f"server, {clients} clients", times, clients)
        before = memory(client)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: post(), range(args.requests)))
        print(
            f"memory: {before:.0f} MB before, {memory(client):.0f} MB after {args.requests:,} requests more"
        )


def during(seconds: float) -> Iterator[int]:
    """0, 1, 2 ... for so long."""
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        yield number
        number += 1


def timed(work: object) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


def show(name: str, times: list[float], clients: int = 1) -> None:
    """Print requests a second, and latency in milliseconds."""
    middle, late = 1000 * np.percentile(times, [50, 99])
    rate = clients / np.mean(times)
    print(
        f"{name}: {rate:.1f} pictures/s, p50 {middle:.0f} ms, p99 {late:.0f} ms (n = {len(times):,})",
        flush=True,
    )


def memory(client: httpx.Client) -> float:
    """Resident memory of the server, in MB."""
    text = client.get("/metrics").text
    return float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)[1]) / 1e6


@contextmanager
def running() -> Iterator[str]:
    """The address of a server that runs for the length of the block."""
    command = [sys.executable, "-m", "mien", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield re.search(r"http://\S+", line)[0]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
