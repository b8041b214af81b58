"""What slow clients cost honest ones: p50 and p99 of 8 clients that post a photo, alone and beside 64 that dawdle.

    python benchmarks/slow_clients.py [--slow 64] [--honest 8] [--duration 10]

On loopback (Linux, where all of 127.0.0.0/8 is this machine): honest ones come from 127.0.0.2. Slow ones send a body a
byte a second and begin anew when they are cut off, from 127.0.0.3 and then from the address of the honest ones.
Alone, beside, alone, beside: machines are noisy.
"""

from __future__ import annotations

import argparse
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import numpy as np
from server import running
from startup import describe_machine, sample_portrait

HONEST, SLOW = "127.0.0.2", "127.0.0.3"


def dawdle(port: int, address: str, over: threading.Event, seen: Counter[str]) -> None:
    """Send a body a byte a second, again and again."""
    head = b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n"
    while not over.is_set():
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 30, source_address=(address, 0)) as client,
        ):
            client.sendall(head)
            client.settimeout(1)
            while not over.is_set():
                client.sendall(b"x")
                with suppress(TimeoutError):
                    answer = client.recv(100)
                    seen[answer[9:12].decode() or "closed"] += 1
                    break


@contextmanager
def slow_clients(n: int, port: int, address: str) -> Iterator[Counter[str]]:
    """So many of them; how often they were answered what."""
    over, seen = threading.Event(), Counter[str]()
    threads = [threading.Thread(target=dawdle, args=(port, address, over, seen)) for _ in range(n)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def measure(url: str, clients: int, seconds: float) -> tuple[float, float, Counter[int]]:
    """p50 and p99 in ms of clients that post at once, and their statuses."""
    picture = sample_portrait().read_bytes()
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    def one(_: int) -> list[float]:
        times = []
        transport = httpx.HTTPTransport(local_address=HONEST)
        with httpx.Client(base_url=url, timeout=120, trust_env=False, transport=transport) as client:
            while time.perf_counter() < end:
                start = time.perf_counter()
                answer = client.post("/v1/recognize", content=picture, headers={"Content-Type": "image/jpeg"})
                times.append(time.perf_counter() - start)
                statuses[answer.status_code] += 1
        return times

    with ThreadPoolExecutor(clients) as pool:
        times = [t for own in pool.map(one, range(clients)) for t in own]
    middle, late = 1000 * np.percentile(times, [50, 99])
    return float(middle), float(late), statuses


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description="What slow clients cost honest ones.")
    parser.add_argument("--slow", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--honest", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--duration", type=float, default=10, help="seconds each; default: %(default)s")
    args = parser.parse_args()
    print(describe_machine())
    with running() as url:
        port = urlsplit(url).port or 80
        measure(url, args.honest, 2)
        for address in (SLOW, SLOW, HONEST, HONEST):
            alone = measure(url, args.honest, args.duration)
            with slow_clients(args.slow, port, address) as seen:
                beside = measure(url, args.honest, args.duration)
            for name, (middle, late, statuses) in (
                ("alone", alone),
                (f"beside {args.slow} from {address}", beside),
            ):
                print(f"{name}: p50 {middle:.0f} ms, p99 {late:.0f} ms, {dict(statuses)}")
            print(
                f"  ratio of p99: {beside[1] / alone[1]:.2f}; the slow ones were answered {dict(seen)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
