"""The application: its routes, from the outermost guard to the recognizer."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from starlette.responses import PlainTextResponse, Response

from mien.models.registry import available_models
from mien.output.writers import open_writer
from mien.results import FrameResult
from mien.server import metrics as counters
from mien.server import openapi, page, problems, schemas
from mien.server.clips.analysis import Jobs
from mien.server.clips.kept import LARGEST, Kept
from mien.server.clips.routes import add_clips
from mien.server.drain import Drain
from mien.server.guard import Guard
from mien.server.inference import Reader
from mien.server.memory import Bodies
from mien.server.places import LostPlace, Places, client_of
from mien.server.problems import Problem
from mien.server.request_body import read_body, too_slow
from mien.server.settings import PARTS, Settings
from mien.server.stream import Answers, Stream, in_place
from mien.server.watch import Watched
from mien.server.worker_pool import RETRY_AFTER, Work

_SWEEPS = 60.0  # seconds from one look for old clips to the next
_CLOSING = 1.0  # seconds that a new stream waits for one that is closing


def create_app(settings: Settings, watched: Watched | None = None) -> FastAPI:
    """The server as an ASGI application, its model and detectors loaded.

    Args:
        settings: what is served, and its limits.
        watched: a camera of this machine that pages may watch.

    Raises:
        ModelError, DetectorError: the model or the detector cannot be loaded.
    """
    counts = counters.Measured()
    reader = Reader(settings, counts)
    work = Work(settings.workers, settings.queue, settings.timeout)
    kept = Kept(LARGEST * settings.max_clip_bytes)
    jobs = Jobs(settings, reader, kept, counts)
    streams = Places(settings.max_streams, "streams are open", patience=_CLOSING)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(kept))
        yield
        sweeping.cancel()
        jobs.close()
        kept.close()
        work.close()

    # FastAPI's own pages about the API load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.openapi = cache(  # type: ignore[method-assign]
        partial(openapi.openapi, app, labels=reader.classifier.labels, needs_token=settings.token is not None)
    )
    problems.install(app)
    page.install(app)
    _add_state(app, reader, work, counts)
    _add_api(app, settings, reader, work)
    add_clips(app, settings, jobs, kept)
    _add_streams(app, settings, streams, Answers(reader, work, counts))
    if watched is not None:
        _add_watched(app, watched, streams)
    counts.count_streams(lambda: len(streams))
    # The last is the outermost.
    app.add_middleware(Guard, names=settings.names, token=settings.token)
    app.add_middleware(Drain, max_bytes=settings.max_bytes)
    app.add_middleware(page.SetHeaders)
    app.add_middleware(counters.CountRequests, measured=counts)
    return app


async def _sweep(kept: Kept) -> None:
    """Delete clips that were kept long enough, whether anybody asks or not."""
    while True:
        await asyncio.sleep(_SWEEPS)
        await asyncio.to_thread(kept.sweep)


def _add_state(app: FastAPI, reader: Reader, work: Work, counts: counters.Measured) -> None:
    served = reader.classifier.config
    guarded = (403, 421)

    @app.get("/health", responses=openapi.problems(*guarded))
    async def health() -> schemas.Status:
        """Whether the process lives."""
        return schemas.Status(status="ok")

    @app.get("/ready", responses=openapi.problems(*guarded, 503))
    async def ready() -> schemas.Status:
        """Whether the next picture would be taken."""
        if work.full:
            raise Problem(503, "all places are taken", headers=RETRY_AFTER)
        return schemas.Status(status="ready")

    @app.get("/metrics", response_class=PlainTextResponse, responses=openapi.problems(401, *guarded))
    async def numbers() -> Response:
        """What the server counts, for Prometheus."""
        counts.work.set(work.taken)
        return Response(counts.text(), media_type=counters.MEDIA_TYPE)

    @app.get("/v1/models", responses=openapi.problems(401, *guarded))
    async def models() -> list[schemas.Model]:
        """The shipped models, and the one that is served."""
        configs = {config.sha256: config for config in (*available_models(), served)}
        return [
            schemas.Model(
                name=config.name,
                labels=list(reader.classifier.labels if config is served else config.labels),
                input_size=config.input_size,
                sha256=config.sha256,
                served=config.sha256 == served.sha256,
            )
            for config in configs.values()
        ]


def _add_api(app: FastAPI, settings: Settings, reader: Reader, work: Work) -> None:
    labels = reader.classifier.labels
    receiving = Places(settings.max_bodies, "bodies are being received")
    bodies = Bodies(settings.max_memory // PARTS)
    answers: dict[int | str, Any] = {
        200: {
            "description": "A result for each picture.",
            "model": list[schemas.result_model(labels)],  # type: ignore[misc]
        },
        **openapi.problems(401, 403, 408, 413, 415, 421, 422, 503),
    }

    @app.post(
        "/v1/recognize",
        responses=answers,
        openapi_extra=openapi.recognize_body(),
    )
    async def recognize(request: Request) -> Response:
        """Recognise the expression of every face in one or more pictures."""
        work.check()  # before its body comes
        with bodies.body() as body:
            try:
                async with receiving.take(client_of(request.scope)) as place:
                    decode = await read_body(request, settings, place, body)
            except LostPlace:
                raise too_slow(settings) from None
            with work.place():
                results = await work.run(lambda: reader.read(decode()))
        unread = [{"source": r.source, "error": r.error} for r in results if r.error is not None]
        if len(unread) == len(results):
            raise Problem(422, "no picture could be read", pictures=unread)
        return Response(_to_json(results, labels), media_type="application/json")


def _add_streams(app: FastAPI, settings: Settings, streams: Places, answers: Answers) -> None:
    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await in_place(socket, streams, lambda place: Stream(socket, answers, place, settings.idle).run())


def _add_watched(app: FastAPI, watched: Watched, streams: Places) -> None:
    @app.websocket("/v1/watch")
    async def watch(socket: WebSocket) -> None:
        await in_place(socket, streams, lambda _: watched.show(socket))


def _to_json(results: Sequence[FrameResult], labels: Sequence[str]) -> str:
    """As `mien image --format json` prints it."""
    stream = io.StringIO()
    with open_writer("json", stream, labels) as writer:
        for result in results:
            writer.write(result)
    return stream.getvalue()
