"""The document about the API, where it says more than the routes and their models: bodies, problems, the token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from mien._core.version import __version__
from mien.server.guard import PROTECTED
from mien.server.problems import MEDIA_TYPE
from mien.server.schemas import EncodedPictures, ProblemDetails, example_result

DESCRIPTION = """Facial expression recognition: a probability for each expression of every face in a picture.

An expression is what a face shows, not what a person feels. Pictures are read in memory, and never stored or logged;
a clip lies in a temporary file while it is analysed, and for an hour beside its page.
`WS /v1/stream` takes encoded frames as binary messages and returns a result for each, or drops it for a newer one.
"""

# A white pixel: the smallest body that is a picture.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="


def recognize_body() -> dict[str, Any]:
    """The request body of `POST /v1/recognize`, which FastAPI cannot see: it is read as it comes, by its type."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    form = {
        "type": "object",
        "properties": {"file": files},
        "required": ["file"],
        "additionalProperties": False,
    }
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {
            "schema": _reference("EncodedPictures"),
            "example": {"pictures": [{"source": "white.png", "data": _PIXEL}]},
        },
        "image/jpeg": binary,
        "image/png": binary,
        "application/octet-stream": binary,
    }
    return {"requestBody": {"required": True, "content": content}}


def clip_body() -> dict[str, Any]:
    """The request body of `POST /v1/clips`, which goes into a file as it comes."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "requestBody": {
            "required": True,
            "content": {"video/mp4": binary, "application/octet-stream": binary},
        }
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problem details, by status."""
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": _reference("ProblemDetails")}},
            **({"headers": retry} if status == 503 else {}),
        }
        for status in statuses
    }


_PROBLEMS = {
    401: "The token is missing or another.",
    403: "A page of another site asked.",
    404: "No such clip, or not any more.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is of another type.",
    421: "The Host is none of this server's names.",
    422: "The body is not as described, or none of its pictures can be read: then `pictures` says why.",
    503: "Too much work at a time, or work that took too long.",
}


def openapi(app: FastAPI, *, labels: Sequence[str], needs_token: bool) -> dict[str, Any]:
    """The document, with what routes cannot say of themselves: bodies and problems, and the token."""
    from fastapi.openapi.utils import get_openapi

    document = get_openapi(title="mien", version=__version__, description=DESCRIPTION, routes=app.routes)
    components = document.setdefault("components", {})
    _, definitions = models_json_schema(
        [(EncodedPictures, "validation"), (ProblemDetails, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    components.setdefault("schemas", {}).update(definitions["$defs"])
    # FastAPI would leave out the example's null values, without which it would not be what its schema asks for.
    answer = document["paths"]["/v1/recognize"]["post"]["responses"]["200"]
    answer["content"]["application/json"]["example"] = [example_result(labels)]
    if needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.startswith(PROTECTED):
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return document


def _reference(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}
