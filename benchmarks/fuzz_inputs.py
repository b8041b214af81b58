"""What benchmarks/fuzz.py feeds to mien: small files of the tests' corpus, and how they are broken.

An input is a dict of named parts, bytes each: the file under its name, or a model's two, or a request's head and body.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

Input = dict[str, bytes]

_NUMBERS = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
    b"\0\0\x01\0",
)
_WORDS = (
    b'"', b"\n", b"\r\n", b",", b",,", b" ", b"\0", b"-1", b"256", b"1e9", b"nan", b"\xff", b"\xef\xbb\xbf", b"{", b"[",
    b"]", b"null", b"[]", b"1e999", b'"\\ud800"', b"--x\r\n", b"--x--", b"\r\n\r\n", b'; filename="a"',
    b"data:image/png;base64,", b"/", b"../", b"9" * 25, b"\xc2\xa0", b"true", b"-0", b"0.5",
)  # fmt: skip
_PNG = b"\x89PNG\r\n\x1a\n"


def mutated(data: bytes, rng: random.Random, words: tuple[bytes, ...] = ()) -> bytes:
    """Bytes changed, cut out, doubled, numbers of headers replaced, words put in; one in eight is cut off."""
    body = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not body:
            return b""
        at = rng.randrange(min(len(body), 64) if rng.random() < 0.4 else len(body))
        kind = rng.randrange(7 if words else 6)
        if kind == 0:
            body[at] = rng.randrange(256)
        elif kind == 1:
            body[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del body[at : at + rng.randint(1, 40)]
        elif kind == 3:
            body[at:at] = body[at : at + rng.randint(1, 40)]
        elif kind == 4:
            number = rng.choice(_NUMBERS)[: rng.choice((2, 4))]
            body[at : at + len(number)] = number
        elif kind == 5:
            body[at : at + 4] = struct.pack(rng.choice("<>") + "i", rng.randint(-5, 70_000))
        else:
            body[at : at + rng.randrange(3)] = rng.choice(words)
    return bytes(body[: rng.randint(1, len(body))]) if body and rng.random() < 0.125 else bytes(body)


def summed(data: bytes) -> bytes:
    """A PNG's check sums put right as far as its chunks reach, so that a reader comes to what is broken inside."""
    if data[:8] != _PNG:
        return data
    body, at = bytearray(data), 8
    while at + 12 <= len(body):
        end = at + 8 + int.from_bytes(body[at : at + 4], "big")
        if end + 4 > len(body):
            break
        body[end : end + 4] = zlib.crc32(body[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(body)


def pictures(rng: random.Random) -> Iterator[Input]:
    """Pictures of every kind."""
    import corpus

    seeds = [case.data for case in corpus.pictures().values()]
    while True:
        data = mutated(rng.choice(seeds), rng)
        yield {"picture": summed(data) if rng.random() < 0.7 else data}


def clips(rng: random.Random) -> Iterator[Input]:
    """Clips of every codec, three small pictures long."""
    import corpus

    seeds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in corpus.clips().items():
            if not name.startswith(("odd", "rhythm", "between")):
                small = replace(case, size=(64, 80), given=tuple(k / case.rate for k in range(3)))
                small = case if case.codec.startswith(("mpeg2", "libsvtav1")) else small
                seeds[name] = small.write(Path(folder)).read_bytes()
    names = list(seeds)
    while True:
        name = rng.choice(names)
        yield {f"clip.{name.rpartition('-')[2]}": mutated(seeds[name], rng)}


def archives(rng: random.Random) -> Iterator[Input]:
    """Zip and tar: half of them broken as a whole, half of them whole with broken members and odd names."""
    import corpus
    from corpus_data import members

    cases = [case for case in corpus.datasets().values() if case.name.startswith(("zip", "tar"))]
    whole = list(members().items())
    while True:
        if rng.random() < 0.5:
            case = rng.choice(cases)
            yield {case.file: mutated(case.data, rng)}
            continue
        chosen = {
            mutated(name.encode(), rng, _WORDS).decode("latin-1") if rng.random() < 0.4 else name: (
                summed(mutated(data, rng)) if rng.random() < 0.5 else data
            )
            for name, data in rng.sample(whole, rng.randint(0, len(whole)))
        }
        yield {"a.zip": _zip(chosen, rng)} if rng.random() < 0.6 else {"a.tar": _tar(chosen, rng)}


def _zip(members: Input, rng: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((0, 8, 12, 14))) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name or "0")
            info.external_attr = rng.choice((0, 0, 0, 0o120777 << 16, 0o40755 << 16))
            archive.writestr(info, data)
    return stream.getvalue()


def _tar(members: Input, rng: random.Random) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = (
                len(data),
                rng.choice((tarfile.REGTYPE,) * 5 + (tarfile.SYMTYPE, tarfile.DIRTYPE)),
            )
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def tables(rng: random.Random) -> Iterator[Input]:
    """CSV of FER2013's form, of one or two rows."""
    import corpus

    cases = [
        case
        for case in corpus.datasets().values()
        if case.name.startswith("csv") and case.file.endswith("csv")
    ]
    seeds = [b"".join(case.data.splitlines(keepends=True)[: rng.choice((2, 2, 3))]) for case in cases]
    while True:
        yield {"fer2013.csv": mutated(rng.choice(seeds), rng, _WORDS)}


def parquet(rng: random.Random) -> Iterator[Input]:
    """Parquet of two rows, of every way to pack it."""
    import pyarrow as pa
    from corpus_data import members
    from pyarrow import parquet as pq

    seeds, data = [], list(members().values())[:2]
    for packing in ("none", "snappy", "gzip", "zstd"):
        for column in (data, [{"bytes": each, "path": "a.png"} for each in data]):
            for more in ({"label": [0, 3]}, {"label": ["happy", "sad"], "usage": ["Training", "PublicTest"]}):
                stream = io.BytesIO()
                pq.write_table(pa.table({"image": column, **more}), stream, compression=packing)
                seeds.append(stream.getvalue())
    while True:
        yield {"train.parquet": mutated(rng.choice(seeds), rng)}


def models(rng: random.Random) -> Iterator[Input]:
    """A model's two files: one broken, the other right; the SHA-256 is that of the broken one most of the time."""
    from conftest import HEADS, brightness_model

    import mien.models

    network = brightness_model(HEADS, "n", 48, "UINT8", "FLOAT", 0.02)
    shipped = Path(mien.models.__file__).parent / "mien-s"
    config = json.loads((shipped / "config.json").read_text())
    config |= {"outputs": HEADS, "labels": HEADS["expression"]}
    real = (shipped / "model.onnx").read_bytes(), json.loads((shipped / "config.json").read_text())
    while True:
        data, described = real if rng.random() < 0.05 else (network, config)
        if rng.random() < 0.6:
            data = mutated(data, rng)
        sha256 = hashlib.sha256(data).hexdigest()
        text = json.dumps(described | ({"sha256": sha256} if rng.random() < 0.95 else {})).encode()
        if rng.random() < 0.45:
            head = {
                key: value for key, value in described.items() if key not in ("training", "metrics", "data")
            }
            text = mutated(json.dumps(head | {"sha256": sha256}).encode(), rng, _WORDS)
        yield {"model.onnx": data, "config.json": text}


def requests(rng: random.Random) -> Iterator[Input]:
    """Requests to every address, their heads and bodies broken: pictures, forms, JSON."""
    import base64

    import corpus

    files = [case.data for case in corpus.pictures().values() if len(case.data) < 400]
    types = (
        "image/jpeg",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "",
    )
    paths = ("/v1/recognize",) * 12 + (
        "/v1/models",
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/",
        "/v1/stream",
    )
    while True:
        data = rng.choice(files)
        data = summed(mutated(data, rng)) if rng.random() < 0.5 else data
        kind = rng.choice(types)
        if "json" in kind:
            encoded = base64.b64encode(data).decode()
            body = json.dumps({"pictures": [{"source": "a", "data": encoded}] * rng.randint(0, 3)}).encode()
        elif "form" in kind:
            part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n'
            part += b"Content-Type: image/png\r\n\r\n"
            body = (part + data + b"\r\n") * rng.randint(0, 3) + b"--x--\r\n"
        else:
            body = data
        head = {"method": "POST", "path": rng.choice(paths), "content-type": kind, "accept": "*/*"}
        if rng.random() < 0.3:
            head["method"] = rng.choice(("GET", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"))
        if rng.random() < 0.3:
            name = rng.choice(
                ("path", "content-type", "accept", "host", "origin", "content-length", "content-encoding")
            )
            head[name] = mutated(head.get(name, "localhost").encode() or b"x", rng, _WORDS).decode("latin-1")
        broken = rng.random() < 0.7
        yield {
            "head": json.dumps(head).encode(),
            "body": mutated(body, rng, _WORDS) if broken and body else body,
        }


KINDS: dict[str, tuple[Callable[[random.Random], Iterator[Input]], float]] = {
    "pictures": (pictures, 0.24), "clips": (clips, 0.2), "zips": (archives, 0.14), "csv": (tables, 0.1),
    "parquet": (parquet, 0.08), "onnx": (models, 0.1), "requests": (requests, 0.14),
}  # fmt: skip
"""Kind -> what makes its inputs, and its share of the time."""
