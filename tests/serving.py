"""A real `mien serve` for tests: its own process, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import websockets


class Server:
    """A running server: its address, what it wrote to stderr, and the process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._started = threading.Event()
        self._reading.start()
        if not self._started.wait(240) or process.poll() is not None:
            process.kill()
            raise RuntimeError(f"the server did not start: {self.log}")
        self.port = int(re.search(r"http://\S+:(\d+)", self.log)[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self) -> None:
        for line in self.process.stderr:
            self.log += line
            if "serving on" in line:
                self._started.set()
        self._started.set()

    def client(self, **options: Any) -> httpx.Client:
        # Without the environment's proxies.
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def metrics(self) -> dict[str, float]:
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def memory(self) -> float:
        """Resident, in MB."""
        return self.metrics()["process_resident_memory_bytes"] / 1e6

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reading.join(10)
        return code


@contextmanager
def serving(*options: str | Path, token: str | None = None) -> Iterator[Server]:
    environment = {k: v for k, v in os.environ.items() if k != "MIEN_TOKEN"}
    environment |= {"PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS") or "error"} | (
        {"MIEN_TOKEN": token} if token else {}
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", "--port", "0", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield Server(process)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


def web_socket(url: str, **options: Any) -> Any:
    """A connection to a server of this machine, as `websockets.sync.client.connect` makes it, past any proxy."""
    from websockets.sync.client import connect

    if int(websockets.__version__.partition(".")[0]) >= 15:  # those before know no proxies
        options["proxy"] = None
    return connect(url, **options)
