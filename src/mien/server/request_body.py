"""Bodies of requests -> (name, encoded bytes) of every picture: in memory only, and never more than allowed."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import AsyncGenerator, Callable

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien._core.text import count
from mien.server.memory import Body
from mien.server.places import Place
from mien.server.problems import Problem
from mien.server.schemas import STDIN, EncodedPictures
from mien.server.settings import Settings

Pictures = list[tuple[str, bytes]]

_MAX_FIELDS = 100
_LONGEST_HEAD = 200  # characters of a data: address before its comma
_EXPECTED = "expected multipart/form-data, application/json, image/* or application/octet-stream"


_RATE = 64_000  # bytes a second; a client that is slower may lose its place to another
_SLOWEST = 8_000  # bytes a second; a slower one is not waited for
_GRACE = 1.0, 5.0  # seconds before the one and the other is asked for


async def read_body(request: Request, settings: Settings, place: Place, body: Body) -> Callable[[], Pictures]:
    """Read a body; what is returned decodes it, which may take a while: to be called in a worker.

    Args:
        request: whose body it is.
        settings: the limits.
        place: is kept while the bytes come fast enough.
        body: counts them.

    Raises:
        Problem: 413 too large, 415 of another type, 503 no memory; what is returned raises 422.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    chunks = _chunks(request, settings, place, body)
    if kind == "multipart/form-data":
        pictures = await _multipart(request, chunks, settings)
    elif kind == "application/json":
        encoded = b"".join([chunk async for chunk in chunks])
        return lambda: _check(_from_json(encoded), settings.max_pictures)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        pictures = [(STDIN, b"".join([chunk async for chunk in chunks]))]
    else:
        raise Problem(415, f"a body of type {kind or 'unknown'}; {_EXPECTED}")
    return lambda: _check(pictures, settings.max_pictures)


def too_slow(settings: Settings) -> Problem:
    """The answer to a body that lost its place."""
    return Problem(
        408,
        f"the body did not arrive in time; expected {_SLOWEST // 1000} kB a second, or {_RATE // 1000} where others "
        f"wait, and all of it within {settings.timeout:g} seconds",
    )


async def _chunks(
    request: Request, settings: Settings, place: Place, body: Body
) -> AsyncGenerator[bytes, None]:
    too_large = Problem(413, f"a body of more than {settings.max_bytes:,} bytes; send a smaller picture")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_bytes:
        raise too_large
    start, read = time.monotonic(), 0
    latest = start + settings.timeout
    place.extend(start + _GRACE[0], min(latest, start + _GRACE[1]))
    async for chunk in request.stream():
        read += len(chunk)
        if read > settings.max_bytes:
            raise too_large
        body.grow(len(chunk))
        ends = min(latest, start + _GRACE[1] + read / _SLOWEST)
        place.extend(start + _GRACE[0] + read / _RATE, ends)
        yield chunk
    place.keep()


async def _multipart(request: Request, chunks: AsyncGenerator[bytes, None], settings: Settings) -> Pictures:
    # Text fields, which programs send beside their files, are read over.
    parser = MultiPartParser(request.headers, chunks, max_files=settings.max_pictures, max_fields=_MAX_FIELDS)
    # A file stays in memory, never on disk: the limit's name in newer Starlette, and the one before 0.46.
    parser.spool_max_size = parser.max_file_size = settings.max_bytes + 1  # type: ignore[attr-defined]
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(422, f"{error.message} Expected pictures as files, each with a file name.") from None
    except (LookupError, ValueError) as error:  # a charset or a length that the parser cannot take
        raise Problem(422, f"broken multipart ({type(error).__name__}); expected pictures as files") from None
    try:
        files = [file for _, file in form.multi_items() if isinstance(file, UploadFile)]
        if len(form) and not files:
            raise Problem(
                422,
                f"a form without a file (of {count(len(form), 'field')}); expected pictures with file names",
            )
        return [(file.filename or STDIN, await file.read()) for file in files]
    finally:
        await form.close()


def _from_json(body: bytes) -> Pictures:
    try:
        pictures = EncodedPictures.model_validate_json(body).pictures
    except ValidationError as error:
        # Neither the input nor its context, which may hold a picture.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Problem(422, f"{place}: {first['msg']}" if place else first["msg"]) from None
    try:
        return [(p.source, base64.b64decode(_after_address(p.data), validate=True)) for p in pictures]
    except (binascii.Error, ValueError) as error:
        raise Problem(422, f"data: not base64 ({error})") from None


def _after_address(data: str) -> str:
    """Pages have pictures as data: addresses, `data:image/jpeg;base64,...`, from a canvas or a file that was read."""
    if data[:5].lower() != "data:":
        return data
    head, comma, _ = data[:_LONGEST_HEAD].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise Problem(
            422, "data: an address without base64; expected data:image/...;base64,... or base64 alone"
        )
    return data[len(head) + 1 :]


def _check(pictures: Pictures, most: int) -> Pictures:
    if not 1 <= len(pictures) <= most:
        raise Problem(422, f"{count(len(pictures), 'picture')}; expected 1 to {most}")
    return pictures
