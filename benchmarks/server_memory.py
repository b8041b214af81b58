"""The server's peak memory while many clients send large pictures at a time, by number of workers.

    python benchmarks/server_memory.py [--workers 2 64] [--clients 12] [--side 6000]

Linux only: the kernel counts the peak. Pictures: PNG of 16-bit RGBA, AVIF, JPEG 2000, JPEG, of side x side pixels.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
from PIL import Image
from startup import describe_machine


def pictures(side: int) -> Iterator[tuple[str, bytes]]:
    """Large pictures of small files."""
    row = np.linspace(0, 255, side).astype(np.uint8)
    grey = np.broadcast_to(row, (side, side))
    yield (
        "PNG, 16-bit RGBA",
        cv2.imencode(".png", np.stack([grey] * 4, 2).astype(np.uint16) * 257)[1].tobytes(),
    )
    picture = Image.fromarray(np.stack([grey] * 3, 2))
    for kind in ("AVIF", "JPEG2000", "JPEG"):
        file = io.BytesIO()
        picture.save(file, kind)
        yield kind, file.getvalue()


def peak(process: subprocess.Popen[str]) -> float:
    """Of the process, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1000  # type: ignore[index]


def measure(workers: int, clients: int, sent: list[tuple[str, bytes]]) -> None:
    """A server of its own; print its peak after each kind of picture."""
    command = [
        sys.executable,
        "-m",
        "mien",
        "serve",
        "--port",
        "0",
        "--workers",
        str(workers),
        "--timeout",
        "300",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", process.stderr.readline())[0]  # type: ignore[index, union-attr]
        threading.Thread(target=process.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        # A connection each: a server may close an idle one just as a request comes.
        single = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=url, timeout=600, trust_env=False, limits=single) as client:

            def post(body: bytes) -> int:
                headers = {"Content-Type": "application/octet-stream"}
                return client.post("/v1/recognize", content=body, headers=headers).status_code

            print(f"{workers} workers: {peak(process):.0f} MB at the start", flush=True)
            for name, body in sent:
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
                with ThreadPoolExecutor(clients) as pool:
                    statuses = Counter(pool.map(post, [body] * clients))
                print(
                    f"  {name} ({len(body) / 1e6:.1f} MB): peak {peak(process):,.0f} MB, {dict(statuses)}",
                    flush=True,
                )
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description="The server's peak memory.")
    parser.add_argument("--workers", nargs="*", type=int, default=[2, 64], help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--side", type=int, default=6000, help="pixels; default: %(default)s")
    args = parser.parse_args()
    print(describe_machine())
    sent = list(pictures(args.side))
    for workers in args.workers:
        measure(workers, args.clients, sent)


if __name__ == "__main__":
    main()
