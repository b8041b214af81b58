"""Bodies of requests -> (name, encoded bytes) of every picture: in memory only, and never more than allowed."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Callable

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien.server.problems import Problem
from mien.server.schemas import STDIN, EncodedPictures
from mien.server.settings import Settings

Pictures = list[tuple[str, bytes]]

_EXPECTED = "expected multipart/form-data, application/json, image/* or application/octet-stream"


async def read_body(request: Request, settings: Settings) -> Callable[[], Pictures]:
    """Read a body; what is returned decodes it, which may take a while: to be called in a worker.

    Raises:
        Problem: 408 too slow, 413 too large, 415 of another type; what is returned raises 422.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(settings.timeout):
            if kind == "multipart/form-data":
                pictures = await _multipart(request, settings)
            elif kind == "application/json":
                body = b"".join([chunk async for chunk in _chunks(request, settings.max_bytes)])
                return lambda: _check(_from_json(body), settings.max_pictures)
            elif kind.startswith("image/") or kind == "application/octet-stream":
                pictures = [(STDIN, b"".join([c async for c in _chunks(request, settings.max_bytes)]))]
            else:
                raise Problem(415, f"a body of type {kind or 'unknown'}; {_EXPECTED}")
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {settings.timeout:g} seconds") from None
    return lambda: _check(pictures, settings.max_pictures)


async def _chunks(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    too_large = Problem(413, f"a body of more than {max_bytes:,} bytes; send a smaller picture")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > max_bytes:
            raise too_large
        yield chunk


async def _multipart(request: Request, settings: Settings) -> Pictures:
    parser = MultiPartParser(
        request.headers,
        _chunks(request, settings.max_bytes),
        max_files=settings.max_pictures,
        max_fields=0,
    )
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
        return [(p.source, base64.b64decode(p.data, validate=True)) for p in pictures]
    except (binascii.Error, ValueError) as error:
        raise Problem(422, f"data: not base64 ({error})") from None


def _check(pictures: Pictures, most: int) -> Pictures:
    if not 1 <= len(pictures) <= most:
        raise Problem(422, f"{len(pictures)} pictures; expected 1 to {most}")
    return pictures
