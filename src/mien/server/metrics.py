"""What the server counts, in Prometheus' text format. No name of a picture and no address is kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Measured:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("mien_requests", "Requests answered.", ("path", "status"), registry=registry)
        self.seconds = Histogram(
            "mien_request_seconds",
            "Time from a request's header to the end of its answer.",
            ("path",),
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.pictures = Counter("mien_pictures", "Pictures and frames.", ("outcome",), registry=registry)
        self.clips = Counter("mien_clips", "Clips analysed.", ("outcome",), registry=registry)
        self.faces = Counter("mien_faces", "Faces recognised.", registry=registry)
        self.batch = Histogram(
            "mien_batch_faces",
            "Faces in one call of the model.",
            registry=registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        self.dropped = Counter(
            "mien_frames_dropped", "Frames of streams that newer ones replaced.", registry=registry
        )
        self._streams = Gauge("mien_streams", "Open WebSockets.", registry=registry)
        self.work = Gauge("mien_work", "Requests and frames that are worked on or wait.", registry=registry)

    def count_streams(self, count: Callable[[], int]) -> None:
        """Say how many WebSockets are open."""
        self._streams.set_function(count)

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return generate_latest(self._registry)


class CountRequests:
    """Counts every HTTP request by the path of its route: paths that do not exist are one."""

    def __init__(self, app: ASGIApp, measured: Measured) -> None:
        self._app = app
        self._measured = measured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            path = getattr(scope.get("route"), "path", "none")
            self._measured.requests.labels(path, status).inc()
            self._measured.seconds.labels(path).observe(time.perf_counter() - start)
