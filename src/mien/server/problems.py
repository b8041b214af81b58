"""Errors as problem details (RFC 9457): every answer that is no success has this one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """What is answered instead of a result.

    Args:
        status: HTTP status.
        detail: what was given, what was expected, how to fix it.
        headers: of the answer, such as Retry-After.
        more: further members, such as the pictures that could not be read.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """The answer: `{type, title, status, detail}` and what else it has."""
        body = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        return Response(json.dumps(body | self.more), self.status, self.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Return the framework's own errors, and our unexpected ones, as problems too."""
    handlers: dict[Any, Any] = {
        Problem: _own,
        HTTPException: _of_the_framework,
        RequestValidationError: _invalid,
        ClientDisconnect: _gone,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _own(_: Request, error: Problem) -> Response:
    return error.response()


async def _of_the_framework(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers.setdefault("Allow", "GET, HEAD")  # which Starlette does not say of files
    details = {
        404: f"no {request.url.path} here; /openapi.json lists what there is",
        405: f"{request.url.path} does not take {request.method}; expected {headers.get('Allow')}",
    }
    detail = details.get(error.status_code, str(error.detail))
    return Problem(error.status_code, detail, headers=headers).response()


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    # Without the input itself, which may be a picture.
    reasons = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return Problem(422, "; ".join(reasons)).response()


async def _gone(_: Request, __: ClientDisconnect) -> Response:
    # Nobody hears it; for the metrics, the status that nginx made usual.
    return Response(status_code=499)


async def _unexpected(_: Request, __: Exception) -> Response:
    return Problem(500, "an error of the server's own; its log has the details").response()
