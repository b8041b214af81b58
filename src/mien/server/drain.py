"""Answers to bodies that were not read: a client that still sends sees a broken connection instead of the answer.

The rest of the body is read and thrown away first, within limits, as web servers do ("lingering close").
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = 5.0
"""How long the rest of a body is waited for."""

FACTOR = 8
"""How many times the largest allowed body is thrown away at most."""


_TOO_SLOW = 408  # the rest was waited for already


class Drain:
    """Reads the rest of a request's body before its answer begins.

    Args:
        app: what answers.
        max_bytes: the largest allowed body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._most = FACTOR * max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        # Who asks before sending (curl does, for large files) sends nothing after a refusal.
        if scope["type"] != "http" or "expect" in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        whole = False

        async def noted() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or not message.get("more_body", False)
            return message

        async def rest() -> None:
            read = 0
            while not whole and read < self._most:
                read += len((await noted()).get("body", b""))

        async def after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and not whole and message["status"] != _TOO_SLOW:
                with suppress(TimeoutError):
                    await asyncio.wait_for(rest(), SECONDS)
            await send(message)

        await self._app(scope, noted, after_the_body)
