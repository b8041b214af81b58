"""Every setting of a server, its limits included, with the defaults."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field

from mien._core.settings import check_limits, check_types
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_HEAD, DEFAULT_MODEL, DETECTOR_SIZE, MIN_SIZE

CORES = os.cpu_count() or 1

COPIES = 3
"""A body is held as it came, joined, and decoded from base64 or a form."""

PARTS = 4
"""The part of `max_memory` that bodies may fill is the first of so many."""

# RFC 6750's characters: any other token could not stand in an Authorization header.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class Settings:
    """What a server serves, to whom, and how much of it.

    Attributes:
        model, head, detector, detector_size, min_size, turns, min_quality, min_confidence: as `EmotionRecognizer`
            takes them.
        host: the address to listen on; only this machine can reach 127.0.0.1.
        port: 0 for one that is free.
        names: host names, besides localhost and IP addresses, by which people reach the server.
        token: what clients of the API must send as `Authorization: Bearer ...`; None for no such check.
        max_bytes: of a request's body, and of a frame.
        max_pixels: of a picture, checked in its header before it is decoded.
        max_pictures: in one request.
        max_faces: of a picture; the largest are kept.
        max_streams: WebSockets at a time.
        max_clip_bytes: of a clip, which lies in a temporary file; 0 to take none.
        max_clip_seconds: of a clip that are analysed; the rest is left out.
        max_clips: analysed at a time.
        max_bodies: requests whose bodies are received at a time.
        max_memory: bytes that the bodies and the decoded pictures of all requests together may take; a quarter is for
            bodies.
        workers: threads that read pictures.
        queue: requests that may wait for a worker; more are refused at once.
        timeout: seconds that reading a body may take, and then the work on it.
        idle: seconds after which a stream without a frame is closed.
        batch_seconds: that a face may wait for faces of other requests, where others have been found.
    """

    model: str = DEFAULT_MODEL
    head: str = DEFAULT_HEAD
    detector: str = DEFAULT_DETECTOR
    detector_size: int = DETECTOR_SIZE
    min_size: int = MIN_SIZE
    turns: bool = False
    min_quality: float = 0.0
    min_confidence: float | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    max_bytes: int = 32_000_000
    max_pixels: int = 50_000_000
    max_pictures: int = 16
    max_faces: int = 100
    max_streams: int = 8
    max_clip_bytes: int = 500_000_000
    max_clip_seconds: float = 1800.0
    max_clips: int = 1
    max_bodies: int = 64
    max_memory: int = 1_500_000_000
    workers: int = CORES
    queue: int = 32
    timeout: float = 30.0
    idle: float = 60.0
    batch_seconds: float = 0.002

    def __post_init__(self) -> None:
        check_types(self)
        check_limits(self, _LIMITS)
        check_limits(self, dict.fromkeys(("timeout", "idle"), (0, math.inf)), inside=True)
        least = self.max_bytes * COPIES * PARTS
        if self.max_memory < least:
            raise ValueError(
                f"max_memory {self.max_memory:,}: expected at least {least:,} bytes, for bodies of {self.max_bytes:,}"
            )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ValueError("token: expected letters, digits and -._~+/ only, and = at the end")


_LIMITS = {
    "port": (0, 65535),
    "queue": (0, math.inf),
    "max_clip_bytes": (0, math.inf),
    "batch_seconds": (0, math.inf),
    "detector_size": (32, math.inf),
    "min_size": (1, math.inf),
    "min_quality": (0, 1),
    "min_confidence": (0, 1),
} | dict.fromkeys(
    (
        "max_bytes",
        "max_pixels",
        "max_pictures",
        "max_faces",
        "max_streams",
        "max_clips",
        "max_clip_seconds",
        "max_bodies",
        "max_memory",
        "workers",
    ),
    (1, math.inf),
)
