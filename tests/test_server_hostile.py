"""What a server must survive: requests made from its own description, and thousands of broken pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pictures import astronaut, encode, pattern, png_bomb
from PIL import Image
from serving import Server, serving

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

pytestmark = pytest.mark.slow

BODIES = 2400
PIECES = (
    b"--x\r\n", b"--x--", b'Content-Disposition: form-data; name="f"', b'; filename="\xff"', b"\r\n\r\n", b"\0",
    b'{"pictures":', b"[", b"{", b'"data":', b'"AAAA"', b"]", b"}", b"1e999", b'"\\ud800"', b"Content-Type: ",
)  # fmt: skip
MEMORY = 120  # MB that a server may grow by: workers' buffers, not what came


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--max-pixels", "1000000", "--queue", "64", "--max-clips", "50") as server:
        yield server


def originals() -> list[bytes]:
    """Small pictures of many kinds: of a face, of a pattern, animated, with a palette."""
    face = Image.fromarray(astronaut()).crop((140, 20, 300, 200))
    frames = [face.rotate(angle) for angle in (0, 20, 40)]
    made = [
        encode(picture, kind)
        for picture in (face, pattern(30, 40))
        for kind in ("jpeg", "png", "webp", "gif")
    ]
    made += [
        encode(face, kind, save_all=True, append_images=frames) for kind in ("gif", "webp", "png", "tiff")
    ]
    return [
        *made,
        encode(face.convert("P")),
        encode(face, "bmp"),
        encode(face, "tiff"),
        encode(face, "jpeg2000"),
    ]


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Bytes changed, cut out, doubled or cut off; half the time near the header."""
    body = bytearray(data)
    for _ in range(random.integers(1, 12)):
        near = min(len(body), 64) if random.random() < 0.5 else len(body)
        at = int(random.integers(0, near))
        kind = random.integers(0, 4)
        if kind == 0:
            body[at] = int(random.integers(0, 256))
        elif kind == 1:
            del body[at : at + int(random.integers(1, 40))]
        elif kind == 2:
            body[at:at] = body[at : at + int(random.integers(1, 40))]
        else:
            body[at : at + 4] = random.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        if not body:
            return b""
    return bytes(body[: int(random.integers(1, len(body) + 1))] if random.random() < 0.2 else body)


def malformed(n: int) -> Iterator[bytes]:
    random = np.random.default_rng(7)
    whole = originals()
    bombs = [
        png_bomb(),
        png_bomb(1001, 1000),
        png_bomb(2**31 - 1, 2**31 - 1),
        b"GIF89a\xff\xff\xff\xff\0\0\0",
    ]
    for number in range(n):
        if number % 40 == 0:
            yield bombs[number // 40 % len(bombs)]
        elif number % 8 == 0:
            yield random.bytes(int(random.integers(0, 3000)))
        else:
            yield mutated(whole[number % len(whole)], random)


def test_thousands_of_broken_pictures(server: Server):
    with server.client(limits=httpx.Limits(max_connections=8)) as client, ThreadPoolExecutor(8) as pool:

        def post(body: bytes) -> int:
            answer = client.post("/v1/recognize", content=body, headers={"Content-Type": "image/jpeg"})
            assert answer.json()
            return answer.status_code

        list(pool.map(post, malformed(200)))  # what is loaded once, such as Pillow's plugins
        before = server.memory()
        statuses = list(pool.map(post, malformed(BODIES)))
        assert set(statuses) == {200, 422}  # some still are pictures
        assert statuses.count(422) > BODIES / 4
        assert server.memory() - before < MEMORY
        assert client.get("/ready").status_code == 200
    assert server.process.poll() is None
    assert server.log.count("\n") == 1, server.log


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    kind=st.sampled_from(
        ["multipart/form-data; boundary=x", "application/json", "multipart/form-data", "image/", ""]
    ),
    parts=st.lists(
        st.sampled_from(PIECES),
        max_size=12,
    ),
)
def test_broken_forms_and_json(server: Server, kind: str, parts: list[bytes]):
    with server.client() as client:
        answer = client.post("/v1/recognize", content=b"".join(parts), headers={"Content-Type": kind})
    assert answer.status_code in (200, 415, 422), answer.text
    assert answer.json()


def test_requests_made_from_the_description(server: Server):
    """Every operation, by schemathesis: valid and invalid bodies, wrong methods, headers and types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of schemathesis and what it imports
        from schemathesis.specs.openapi.checks import positive_data_acceptance

        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        asked: dict[str, int] = {}
        for operation in operations:

            @settings(
                max_examples=12,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def check(case: object) -> None:
                # A schema cannot say that bytes are a picture: others are refused, though they are valid by it.
                case.call_and_validate(excluded_checks=[positive_data_acceptance])
                asked[case.path] = asked.get(case.path, 0) + 1

            check()
    assert set(asked) == {
        "/v1/recognize", "/v1/clips", "/v1/clips/{clip}", "/v1/models", "/health", "/ready", "/metrics",
    }  # fmt: skip
