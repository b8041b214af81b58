"""The child process of benchmarks/fuzz.py: gives inputs to mien's readers one at a time, and says what came of them."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fuzz_inputs import Input

from mien.errors import MienError

_FRAMES = 40  # of a clip; a broken header may promise any number


class Outcome(NamedTuple):
    """What came of an input.

    Attributes:
        kind: "accepted", "refused" or "fault".
        text: the error's type and place, of a fault.
        seconds: of the processor, of both readings.
        peak: bytes of memory that the process has had at most.
    """

    kind: str
    text: str
    seconds: float
    peak: int


def serve(kind: str, pipe: Connection) -> None:
    """Read inputs from the pipe and answer each with an `Outcome`, the first one when ready."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libraries write there what they think of their input
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="mien-fuzz-") as folder:
        read = _READERS[kind](Path(folder))
        pipe.send(Outcome("accepted", "", 0.0, _peak()))
        while True:
            try:
                given = pipe.recv()
            except EOFError:
                return
            start = time.process_time()
            first, again = _once(read, given), _once(read, given)
            kind, text, _ = first
            if first != again:
                kind, text = "fault", f"disagreement: {first[:2]} and {again[:2]}"[:300]
            pipe.send(Outcome(kind, text, time.process_time() - start, _peak()))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _once(read: Callable[[Input], int], given: Input) -> tuple[str, str, int]:
    """What one reading says, and a sum of what it read."""
    try:
        return "accepted", "", read(given)
    except MienError as error:
        several = "\n" in str(error)
        return (
            ("fault", f"{type(error).__name__} of several lines", 0)
            if several
            else ("refused", str(error), 0)
        )
    except Exception as error:
        place = traceback.extract_tb(sys.exc_info()[2])[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return "fault", f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:150]}", 0


def _sum(*arrays: object) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array), total)
    return total


def _pictures(_: Path) -> Callable[[Input], int]:
    from mien.images.read import read_image

    return lambda given: _sum(read_image(given["picture"]))


def _clips(folder: Path) -> Callable[[Input], int]:
    from itertools import islice

    from mien.video.reader import read_video

    def read(given: Input) -> int:
        frames = read_video(_write(folder, given))
        try:
            for frame in islice(frames, _FRAMES):
                assert frame.time >= 0 and frame.picture.ndim == 3
        finally:
            frames.close()
        return 0  # damaged pictures depend on which thread of FFmpeg came first

    return read


def _datasets(folder: Path) -> Callable[[Input], int]:
    from mien.data.load import load_dataset

    def read(given: Input) -> int:
        data = load_dataset(_write(folder, given))
        parts = [part for split in data.splits.values() for part in (split.images, split.targets)]
        return _sum(*parts, np.frombuffer(repr(data.labels).encode(), np.uint8))

    return read


def _collections(folder: Path) -> Callable[[Input], int]:
    """As a dataset, and as a collection for `mien batch`; accepted if one of both is."""
    from mien.batch.reading import read_entries
    from mien.batch.sources import list_entries

    dataset = _datasets(folder)

    def read(given: Input) -> int:
        total = 0
        with suppress(MienError):
            total = dataset(given)
        for _, data in read_entries(list(list_entries([str(_write(folder, given))]))):
            total = zlib.crc32(data if isinstance(data, bytes) else str(data).encode(), total)
        return total

    return read


def _models(folder: Path) -> Callable[[Input], int]:
    from mien.models.classifier import EmotionClassifier

    crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)

    def read(given: Input) -> int:
        _write(folder, given)
        return _sum(EmotionClassifier(folder, threads=1).predict_proba(crops))

    return read


def _requests(_: Path) -> Callable[[Input], int]:
    import httpx

    from mien.server.app import create_app
    from mien.server.settings import Settings

    app = create_app(Settings(detector_size=64, max_pixels=1_000_000, max_bytes=1_000_000, workers=1))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    loop = asyncio.new_event_loop()

    async def ask(given: Input) -> int:
        head = json.loads(given["head"])
        method, path = head.pop("method"), head.pop("path")
        try:
            request = client.build_request(
                method, "/" + path.lstrip("/"), content=given["body"],
                headers={name: value.encode("latin-1") for name, value in head.items()},
            )  # fmt: skip
        except (httpx.InvalidURL, ValueError):
            return 0  # no client can send it
        answer = await client.send(request)
        assert answer.status_code not in (500, 501, 502), answer.text
        if answer.status_code >= 400:
            raise MienError(f"{answer.status_code}")
        return answer.status_code

    return lambda given: loop.run_until_complete(ask(given))


def _write(folder: Path, given: Input) -> Path:
    """Write the parts as files; the path of the last."""
    for name, data in given.items():
        path = folder / name
        path.write_bytes(data)
    return path


_READERS = {
    "pictures": _pictures, "clips": _clips, "zips": _collections, "csv": _datasets, "parquet": _collections,
    "onnx": _models, "requests": _requests,
}  # fmt: skip
