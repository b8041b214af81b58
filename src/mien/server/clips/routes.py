"""The routes about clips: one takes them, one tells how far they are, one shows the page."""

from __future__ import annotations

import re
import time
from pathlib import Path, PurePosixPath, PureWindowsPath

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, Response

from mien.server import openapi, schemas
from mien.server.clips.analysis import Job, Jobs
from mien.server.clips.kept import PAGE, Kept
from mien.server.places import LostPlace, Place, Places, client_of
from mien.server.problems import Problem
from mien.server.settings import Settings
from mien.video.reader import VIDEO_SUFFIXES

_RATE = 256_000  # bytes a second; a client that is slower may lose its place to another
_SLOWEST = 64_000  # bytes a second; a slower one is not waited for
_GRACE = 1.0, 10.0  # seconds before the one and the other is asked for
_RECEIVED = 4  # more clips on their way than are analysed at a time
_LONGEST_NAME = 120
_DEVICES = r"(?!(?:con|prn|aux|nul|com\d|lpt\d)\b)"  # of Windows, with any ending
_PLAIN = re.compile(rf"{_DEVICES}\w[\w .()+-]*", re.ASCII | re.IGNORECASE)

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of a clip's page, which allows its own scripts only, by their hashes, in a policy of its own."""


def add_clips(app: FastAPI, settings: Settings, jobs: Jobs, kept: Kept) -> None:
    """`/v1/clips` for programs and the page; `/clips/NAME/`, which needs no token, for who knows the name."""
    receiving = Places(settings.max_clips + _RECEIVED, "clips are being received")

    @app.post(
        "/v1/clips",
        status_code=202,
        responses=openapi.problems(401, 403, 408, 413, 415, 421, 422, 503),
        openapi_extra=openapi.clip_body(),
    )
    async def analyse(request: Request, response: Response, name: str = "clip") -> schemas.ClipState:
        """Take a clip, and begin to analyse it; its `href` tells how far it is."""
        _check(request, settings)
        jobs.check()
        job = await _take(request, name, settings, receiving, jobs, kept)
        response.headers["Location"] = f"/v1/clips/{job.folder.name}"
        return _state(job)

    @app.get("/v1/clips/{clip}", responses=openapi.problems(401, 403, 404, 421))
    async def state(clip: str) -> schemas.ClipState:
        """How far a clip is. One that nobody asks for is stopped after a while, and deleted."""
        return _state(_found(jobs, clip))

    @app.delete(
        "/v1/clips/{clip}",
        status_code=204,
        response_class=Response,
        responses=openapi.problems(401, 403, 404, 421),
    )
    async def stop(clip: str) -> Response:
        """Stop analysing a clip, and delete it and its page."""
        jobs.stop(_found(jobs, clip))
        return Response(status_code=204)

    @app.get("/clips/{clip}/{file:path}", include_in_schema=False)
    async def page(clip: str, file: str) -> Response:
        folder = kept.find(clip)
        # Of the names in the folder, which nobody else chose: no part of a request becomes a path.
        names = (
            {path.name: path for path in folder.iterdir()} if folder is not None and folder.is_dir() else {}
        )
        found = names.get(file or PAGE)
        if found is None:
            raise Problem(404, "no such clip; it may have been kept long enough: analyse it again")
        return FileResponse(found, headers={"Content-Security-Policy": POLICY} if found.name == PAGE else {})


async def _take(
    request: Request, name: str, settings: Settings, receiving: Places, jobs: Jobs, kept: Kept
) -> Job:
    """Receive a clip into a folder of its own, and begin to analyse it; nothing stays of one that is refused."""
    folder = Path()
    try:
        folder = kept.new()
        shown = _name(name)
        clip = folder / _file_name(shown)
        async with receiving.take(client_of(request.scope)) as place:
            await _receive(request, settings, place, clip)
        return jobs.start(folder, clip, shown)
    except BaseException as error:
        if folder.name:
            kept.drop(folder)
        if isinstance(error, LostPlace):
            raise Problem(
                408,
                f"the clip came too slowly; expected {_SLOWEST // 1000} kB a second, or {_RATE // 1000} where "
                "others wait",
            ) from None
        if isinstance(error, OSError):
            raise Problem(503, f"no room for the clip ({error.strerror or error})") from None
        raise


def _check(request: Request, settings: Settings) -> None:
    """Refuse what is known before the body comes."""
    if not settings.max_clip_bytes:
        raise Problem(403, "this server takes no clips: it was started with --max-clip-bytes 0")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("video/") and kind not in ("application/octet-stream", "image/gif"):
        raise Problem(
            415,
            f"a body of type {kind or 'unknown'}; expected a clip, as video/* or application/octet-stream",
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_clip_bytes:
        raise _too_large(settings)


def _too_large(settings: Settings) -> Problem:
    return Problem(
        413,
        f"a clip of more than {settings.max_clip_bytes:,} bytes; mien video takes any: mien video CLIP --report",
    )


async def _receive(request: Request, settings: Settings, place: Place, clip: Path) -> None:
    """Write the body into a file, while its bytes come fast enough."""
    start, read = time.monotonic(), 0
    place.extend(start + _GRACE[0], start + _GRACE[1])
    with clip.open("wb") as file:
        async for chunk in request.stream():
            read += len(chunk)
            if read > settings.max_clip_bytes:
                raise _too_large(settings)
            file.write(chunk)
            place.extend(start + _GRACE[0] + read / _RATE, start + _GRACE[1] + read / _SLOWEST)
    if not read:
        raise Problem(422, "an empty body; expected a clip")


def _name(given: str) -> str:
    """The last part of a name, as a page shows it."""
    last = PureWindowsPath(PurePosixPath(given).name).name
    return "".join(c for c in last if c.isprintable())[-_LONGEST_NAME:].strip() or "clip"


def _file_name(name: str) -> str:
    """The clip's own name, if it is plain: so a page that is saved finds the clip beside it."""
    suffix = Path(name).suffix.lower()
    plain = _PLAIN.fullmatch(name) is not None and suffix in VIDEO_SUFFIXES
    return name if plain else f"clip{suffix if suffix in VIDEO_SUFFIXES else ''}"


def _found(jobs: Jobs, clip: str) -> Job:
    job = jobs.find(clip)
    if job is None:
        raise Problem(404, "no such clip; expected the href of POST /v1/clips, within the hour")
    return job


def _state(job: Job) -> schemas.ClipState:
    name = job.folder.name
    return schemas.ClipState(
        href=f"/v1/clips/{name}",
        name=job.name,
        state=job.state,
        done=job.done,
        total=job.total,
        frames=job.frames,
        people=len(job.people),
        page=f"/clips/{name}/" if job.state == "done" else None,
        error=job.error,
    )
