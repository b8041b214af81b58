"""What a camera at this machine sees, for pages that watch: of every frame the result and the picture.

One thread reads the camera, however many pages watch; a page that is slow gets the newest frame and misses others.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from starlette.websockets import WebSocket, WebSocketDisconnect

from mien._core.opencv import cv2
from mien.output.decimals import to_json
from mien.results import FrameResult
from mien.server.guard import SUBPROTOCOL
from mien.video.live import LiveFrame, steady

LONG_SIDE = 960
"""Pixels of the longer side of the pictures that are sent; larger ones are shrunk to it."""

_QUALITY = 80  # of JPEG
_PATIENCE = 15.0  # seconds for a camera to give or to refuse the frame that is waited for
_FAREWELL = 5.0  # seconds for pages to take the last picture and to hear why there are no more


class Watched:
    """The frames of a camera, and the pages that watch them.

    Args:
        live: from `watch_live`; the caller closes it, after `stop`.
        write: called with every frame's result, whether a page watches or not.
    """

    def __init__(
        self, live: Iterator[LiveFrame], write: Callable[[FrameResult], None] = lambda result: None
    ) -> None:
        self._live, self._write = live, write
        self._newest: tuple[int, LiveFrame] | None = None
        self._watchers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._all_gone = threading.Condition(self._lock)
        self._over = self._stopped = False
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        """The error that ended the camera, or None at its normal end."""

    def start(self, ended: Callable[[], None]) -> None:
        """Read the camera in a thread; `ended` is called, in it, when there are no more frames."""
        self._thread = threading.Thread(target=self._read, args=(ended,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the camera go."""
        self._over = self._stopped = True
        with self._lock:
            self._all_gone.notify_all()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _read(self, ended: Callable[[], None]) -> None:
        try:
            for number, frame in enumerate(self._live):
                self._write(frame.result)
                self._newest = number, frame
                self._wake()
                if self._over:
                    break
        except Exception as error:
            self.error = error
        finally:
            self._over = True
            self._wake()
            # A server that ends first would tell the pages that it restarts, and not why the pictures end.
            with self._lock:
                self._all_gone.wait_for(lambda: self._stopped or not self._watchers, _FAREWELL)
            ended()

    def _wake(self) -> None:
        with self._lock:
            for event, loop in self._watchers.items():
                with suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(event.set)

    async def show(self, socket: WebSocket) -> None:
        """Send to one page, until it closes or the camera ends: JSON as text, then the picture as JPEG."""
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        came = asyncio.Event()
        with self._lock:
            self._watchers[came] = asyncio.get_running_loop()
        tasks = {asyncio.create_task(self._send(socket, came)), asyncio.create_task(_until_closed(socket))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                del self._watchers[came]
                self._all_gone.notify_all()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, socket: WebSocket, came: asyncio.Event) -> None:
        sent = -1
        while not self._over:
            if self._newest is not None and self._newest[0] > sent:
                sent, frame = self._newest
                picture, scale = await asyncio.to_thread(_jpeg, frame.picture)
                result = frame.result
                more = {"frame": result.frame, "time": result.time, "fps": frame.fps, "scale": scale}
                await socket.send_text(to_json(steady(result).to_dict() | more))
                await socket.send_bytes(picture)
            await came.wait()
            came.clear()
        await socket.close(
            1000, str(self.error)[:100] if self.error else "The pictures have come to their end."
        )


async def _until_closed(socket: WebSocket) -> None:
    """What the page says does not matter."""
    with suppress(WebSocketDisconnect):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


def _jpeg(picture: NDArray[np.uint8]) -> tuple[bytes, float]:
    """The picture encoded, and what its sides were multiplied by."""
    factor = min(1.0, LONG_SIDE / max(picture.shape[:2]))
    if factor < 1:
        picture = np.asarray(
            cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
        )
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]), factor
