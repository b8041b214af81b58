"""What the API takes and answers, as OpenAPI: schemas, examples, problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from mien._core.version import __version__
from mien.server.guard import PROTECTED
from mien.server.problems import MEDIA_TYPE

DESCRIPTION = """Facial expression recognition: a probability for each expression of every face in a picture.

An expression is what a face shows, not what a person feels. Pictures are read in memory, and never stored or logged.
`WS /v1/stream` takes encoded frames as binary messages and returns a result for each, or drops it for a newer one.
"""

# A white pixel: the smallest body that is a picture.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="

_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
_MAYBE_INTEGER, _MAYBE_TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def recognize_body() -> dict[str, Any]:
    """The request body of `POST /v1/recognize`."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    picture = _object({"source": _TEXT, "data": _TEXT | {"format": "byte"}}, required=["data"])
    pictures = _object({"pictures": {"type": "array", "items": picture, "minItems": 1}})
    example = {"pictures": [{"source": "white.png", "data": _PIXEL}]}
    content = {
        "multipart/form-data": {"schema": _object({"file": files})},
        "application/json": {"schema": pictures, "example": example},
        "image/jpeg": binary,
        "image/png": binary,
        "application/octet-stream": binary,
    }
    return {"requestBody": {"required": True, "content": content}}


def results(labels: Sequence[str]) -> dict[str, Any]:
    """The answer of `POST /v1/recognize`: as `mien image --format json` prints it."""
    face = _object(
        {
            "source": _TEXT,
            "frame": _MAYBE_INTEGER,
            "time": {"type": ["number", "null"]},
            "track": _MAYBE_INTEGER,
            **dict.fromkeys(("x1", "y1", "x2", "y2"), _NUMBER),
            "detection_score": _SHARE,
            "emotion": {"type": "string", "enum": list(labels)},
            "confidence": _SHARE,
            "uncertain": {"type": "boolean"},
            "quality_score": _SHARE,
            "quality_issues": {"type": "array", "items": _TEXT},
            **dict.fromkeys(labels, _SHARE),
        }
    )
    result = _object(
        {
            "source": _TEXT,
            "width": _MAYBE_INTEGER,
            "height": _MAYBE_INTEGER,
            "faces": {"type": "array", "items": face},
            "error": _MAYBE_TEXT,
        }
    )
    shown = dict.fromkeys(labels, 0.01) | {labels[0]: 1 - 0.01 * (len(labels) - 1)}
    place = {"source": "photo.jpg", "frame": None, "time": None, "track": None}
    box = {"x1": 160.0, "y1": 118.0, "x2": 372.0, "y2": 330.0, "detection_score": 0.99}
    quality = {"quality_score": 0.98, "quality_issues": []}
    told = {"emotion": labels[0], "confidence": shown[labels[0]], "uncertain": False}
    picture = {
        "source": "photo.jpg",
        "width": 512,
        "height": 600,
        "faces": [place | box | told | quality | shown],
    }
    content = {"schema": {"type": "array", "items": result}, "example": [picture | {"error": None}]}
    return {"description": "A result for each picture.", "content": {"application/json": content}}


def models() -> dict[str, Any]:
    """The answer of `GET /v1/models`."""
    words = {"type": "array", "items": _TEXT}
    model = {"name": _TEXT, "labels": words, "input_size": {"type": "integer"}, "sha256": _TEXT}
    schema = {"type": "array", "items": _object(model | {"served": {"type": "boolean"}})}
    return {
        "description": "The models of this installation.",
        "content": {"application/json": {"schema": schema}},
    }


def text(description: str, media_type: str) -> dict[str, Any]:
    """An answer that is text."""
    return {"description": description, "content": {media_type: {"schema": _TEXT}}}


def status() -> dict[str, Any]:
    """The answer of `/health` and `/ready`."""
    schema = _object({"status": _TEXT})
    return {
        "description": "As asked.",
        "content": {"application/json": {"schema": schema, "example": {"status": "ok"}}},
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problem details, by status."""
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": retry} if status == 503 else {}),
        }
        for status in statuses
    }


_PROBLEMS = {
    401: "The token is missing or another.",
    403: "A page of another site asked.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is of another type.",
    421: "The Host is none of this server's names.",
    422: "The body is not as described, or none of its pictures can be read: then `pictures` says why.",
    503: "Too much work at a time, or work that took too long.",
}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT},
    "required": ["type", "title", "status", "detail"],
    "example": {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "no picture could be read",
        "pictures": [{"source": "-", "error": "picture of 5 bytes: not a picture; expected one of ..."}],
    },
}


def openapi(app: FastAPI, *, needs_token: bool) -> dict[str, Any]:
    """The document, with what routes cannot say of themselves: the schema of problems, and the token."""
    from fastapi.openapi.utils import get_openapi

    document = get_openapi(title="mien", version=__version__, description=DESCRIPTION, routes=app.routes)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    if needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.startswith(PROTECTED):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return document


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }
