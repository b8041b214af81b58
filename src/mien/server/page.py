"""The page: its files in the package, and its browser policy."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.images.sample import sample_portrait
from mien.output.palette import LOOK

_FILES = Path(__file__).parent / "static"
# Windows takes types from its registry, where a program may have made a script plain text, which no browser runs.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

HEADERS = {
    # Nothing from elsewhere, nothing inline, in no frame; a picture is a blob while it is looked at.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer."""


def install(app: FastAPI) -> None:
    """`/`, `/page/...` and `/sample.jpg`: a browser asks each time, and is answered 304 for what it has."""
    for suffix, media_type in _TYPES.items():
        mimetypes.add_type(media_type, suffix)
    portrait = sample_portrait()
    files = StaticFiles(directory=_FILES)
    looks = StaticFiles(directory=LOOK.parent)
    samples = StaticFiles(directory=portrait.parent)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.api_route("/sample.jpg", methods=["GET", "HEAD"], include_in_schema=False)
    async def sample(request: Request) -> Response:
        return await samples.get_response(portrait.name, request.scope)

    @app.api_route("/page/look.css", methods=["GET", "HEAD"], include_in_schema=False)
    async def look(request: Request) -> Response:
        return await looks.get_response(LOOK.name, request.scope)

    app.mount("/page", files)


class SetHeaders:
    """Sets `HEADERS` on every answer that has none of its own.

    Files are asked for each time, and answers of the API are kept by no cache.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = list(message.get("headers", ()))
                own = {name for name, _ in headers}
                headers = [*headers, *((name, value) for name, value in self._headers if name not in own)]
                is_file = any(name == b"etag" for name, _ in headers)
                headers.append((b"cache-control", b"no-cache" if is_file else b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, with_headers)
