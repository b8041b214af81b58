"""Print what a real `mien serve` answers to good and bad requests, as JSON: a case of `golden.py`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
from golden_text import digest
from serving import serving

KEPT = (
    "content-type",
    "allow",
    "retry-after",
    "www-authenticate",
    "content-security-policy",
    "x-content-type-options",
)


def answer(response: httpx.Response) -> dict[str, Any]:
    headers = {name: response.headers[name] for name in KEPT if name in response.headers}
    kind = headers.get("content-type", "")
    body: Any = response.json() if "json" in kind else response.text
    if "html" in kind or "script" in kind:
        body = digest(response.content)
    return {"status": response.status_code, **headers, "body": body}


def picture(path: Path, name: str | None = None) -> dict[str, str]:
    return {"source": name or path.name, "data": base64.b64encode(path.read_bytes()).decode()}


def open_server(client: httpx.Client) -> dict[str, httpx.Response]:
    hopper, two, text = (
        Path("input", name) for name in ("pictures/hopper.jpg", "pictures/deep/two.png", "mixed/text.jpg")
    )
    where, jpeg = "/v1/recognize", {"Content-Type": "image/jpeg"}
    files = [("pictures", (path.name, path.read_bytes(), "image/jpeg")) for path in (hopper, two, text)]
    bodies: dict[str, Any] = {
        "batch": {"pictures": [picture(hopper), picture(two, "two people"), picture(text)]},
        "no pictures": {"pictures": []},
        "unknown member": {"pictures": [picture(two)], "more": 1},
        "not base64": {"pictures": [{"source": "a", "data": "%"}]},
    }
    paths = (
        "/",
        "/openapi.json",
        "/docs",
        "/health",
        "/ready",
        "/v1/models",
        "/nowhere",
        "/v1/recognize",
        "/page/page.js",
    )
    return {
        **{f"GET {path}": client.get(path) for path in paths},
        "photo": client.post(where, content=hopper.read_bytes(), headers=jpeg),
        "form": client.post(where, files=files),
        **{name: client.post(where, json=body) for name, body in bodies.items()},
        "broken JSON": client.post(where, content=b"{", headers={"Content-Type": "application/json"}),
        "not a picture": client.post(where, content=text.read_bytes(), headers=jpeg),
        "empty": client.post(where, content=b"", headers=jpeg),
        "another type": client.post(where, content=b"x", headers={"Content-Type": "text/plain"}),
        "another host": client.get("/v1/models", headers={"Host": "example.com"}),
        "another origin": client.get("/v1/models", headers={"Origin": "http://example.com"}),
    }


def guarded_server(client: httpx.Client) -> dict[str, httpx.Response]:
    photo = Path("input/pictures/hopper.jpg").read_bytes()
    right = {"Content-Type": "image/jpeg", "Authorization": "Bearer s3cret-token"}
    body = {"pictures": [picture(Path("input/pictures/deep/two.png"))] * 2}
    return {
        "no token": client.post("/v1/recognize", content=photo),
        "wrong token": client.post("/v1/recognize", content=photo, headers={"Authorization": "Bearer no"}),
        "too large": client.post("/v1/recognize", content=photo + bytes(400_000), headers=right),
        "too many pixels": client.post("/v1/recognize", content=photo, headers=right),
        "too many": client.post(
            "/v1/recognize", json=body, headers={"Authorization": right["Authorization"]}
        ),
        "right token": client.get("/v1/models", headers=right),
    }


def metric_names(client: httpx.Client) -> list[str]:
    return [line for line in client.get("/metrics").text.splitlines() if line.startswith("# HELP mien")]


def main() -> None:
    with serving() as server, server.client() as client:
        answers = open_server(client)
        metrics = metric_names(client)
        code = server.stop()
    limits = ["--max-bytes", "400000", "--max-pixels", "200000", "--max-pictures", "1", "--workers", "1"]
    with serving(*limits, token="s3cret-token") as server, server.client() as client:
        answers |= guarded_server(client)
    shown = {name: answer(response) for name, response in answers.items()}
    print(
        json.dumps({"answers": shown, "metrics": metrics, "exit code": code, "log": server.log.splitlines()})
    )


if __name__ == "__main__":
    main()
