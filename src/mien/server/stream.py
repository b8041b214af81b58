"""The WebSocket: frames of a camera in, a result each out, and of frames that came meanwhile the newest only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.output.decimals import to_json
from mien.results import FrameResult
from mien.server.guard import SUBPROTOCOL
from mien.server.inference import Reader
from mien.server.metrics import Measured
from mien.server.places import LostPlace, Place, Places, client_of
from mien.server.problems import Problem
from mien.server.worker_pool import Work

_UNSUPPORTED, _TRY_AGAIN = 1003, 1013
_BETWEEN_FRAMES = 5.0  # seconds without a frame after which another stream may have the place


@dataclass(frozen=True)
class Answers:
    """What answers the frames of all streams."""

    reader: Reader
    work: Work
    measured: Measured


async def in_place(
    socket: WebSocket, places: Places, run: Callable[[Place], Coroutine[Any, Any, None]]
) -> None:
    """Run what answers a WebSocket while it has a place; refuse it where there is none, close it when it loses it."""
    try:
        async with places.take(client_of(socket.scope)) as place:
            await run(place)
    except Problem as refusal:
        await socket.send_denial_response(refusal.response())
    except LostPlace:
        with suppress(RuntimeError):  # closed already
            await socket.close(_TRY_AGAIN, "no frame came; open the stream again to go on")


class Stream:
    """One connection. `frame` counts the frames that came, from 0; `time` is in seconds since the first.

    Args:
        socket: not accepted yet.
        answers: what answers its frames.
        place: its place among the streams, which it keeps while frames come.
        idle: seconds without a frame after which it is closed.
    """

    def __init__(self, socket: WebSocket, answers: Answers, place: Place, idle: float) -> None:
        self._socket = socket
        self._reader, self._work, self._measured = answers.reader, answers.work, answers.measured
        self._place, self._idle = place, idle
        self._newest: tuple[int, float, bytes] | None = None
        self._came = asyncio.Event()
        self._open = True

    async def run(self) -> None:
        """Answer until the other side closes."""
        offered = self._socket.scope.get("subprotocols", [])
        await self._socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        self._wait()
        receiving = asyncio.create_task(self._receive())
        try:
            await self._answer()
            await receiving
        except WebSocketDisconnect:
            pass
        finally:
            receiving.cancel()

    async def _receive(self) -> None:
        """Keep the newest frame; an older one that still waits is dropped."""
        number, start = 0, time.monotonic()
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if (frame := message.get("bytes")) is None:
                    await self._socket.close(_UNSUPPORTED, "expected an encoded picture as a binary message")
                    return
                start = start if number else time.monotonic()
                if self._newest is not None:
                    self._measured.dropped.inc()
                self._newest = number, time.monotonic() - start, frame
                number += 1
                self._came.set()
        finally:
            self._open = False
            self._came.set()

    async def _answer(self) -> None:
        answered = -1
        while True:
            await self._came.wait()
            self._came.clear()
            if not self._open:
                return
            if self._newest is None:
                continue
            self._place.keep()
            number, seconds, frame = self._newest
            self._newest = None
            result = await self._read(frame, number, seconds)
            await self._socket.send_text(_to_json(result, dropped=number - answered - 1))
            answered = number
            self._wait()

    def _wait(self) -> None:
        """For the next frame, but not for ever."""
        now = time.monotonic()
        self._place.extend(now + min(_BETWEEN_FRAMES, self._idle), now + self._idle)

    async def _read(self, frame: bytes, number: int, seconds: float) -> FrameResult:
        try:
            with self._work.place():
                return await self._work.run(lambda: self._reader.read_frame(frame, number, seconds))
        except Problem as problem:
            return FrameResult("stream", error=problem.detail, frame=number, time=seconds)


def _to_json(result: FrameResult, dropped: int) -> str:
    more: dict[str, Any] = {"frame": result.frame, "time": result.time, "dropped": dropped}
    return to_json(result.to_dict() | more)
