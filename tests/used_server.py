"""`mien serve`, started and used over loopback for some seconds: `used_server.py SECONDS PICTURE`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from serving import serving, web_socket


def use(seconds: float, picture: bytes) -> int:
    """Ask for everything once a few seconds; how many faces were found."""
    faces, end = 0, time.monotonic() + seconds
    with serving() as server, server.client() as client:
        while True:
            for path in ("/", "/page/page.js", "/v1/models", "/metrics", "/openapi.json"):
                client.get(path).raise_for_status()
            answer = client.post("/v1/recognize", content=picture, headers={"Content-Type": "image/jpeg"})
            faces += sum(len(result["faces"]) for result in answer.raise_for_status().json())
            with web_socket(f"ws://127.0.0.1:{server.port}/v1/stream", max_size=None) as stream:
                stream.send(picture)
                stream.recv(60)
            if time.monotonic() > end:
                break
            time.sleep(5)
        if server.stop() != 0:
            raise RuntimeError(server.log)
    return faces


if __name__ == "__main__":
    print(use(float(sys.argv[1]), Path(sys.argv[2]).read_bytes()), "faces")
