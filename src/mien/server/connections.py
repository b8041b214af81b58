"""Connections whose request does not come: uvicorn waits for a request's header as long as the client likes."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

MAX_CONNECTIONS = 500
"""At a time: below what systems allow a process in open files, 1,024."""


class Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol for one connection, closed where no header comes in time, or another client needs it."""

    # Of the whole process, as uvicorn makes these from the class alone.
    patience = 10.0  # seconds that a client may take for a request's header
    waiting: dict[Impatient, str] = {}  # noqa: RUF012 the addresses, the oldest first
    open_connections = 0

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """As uvicorn; where there are too many, one that waits is closed, of the address with most of them."""
        super().connection_made(transport)
        Impatient.open_connections += 1
        if Impatient.open_connections > MAX_CONNECTIONS:
            self._make_room()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """As uvicorn; a header that is not whole yet has its time."""
        super().data_received(data)
        if self._in_request():
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn."""
        Impatient.open_connections -= 1
        self._stop_waiting()
        super().connection_lost(exc)

    def _in_request(self) -> bool:
        upgraded = self.transport.get_protocol() is not self
        return upgraded or not (self.cycle is None or self.cycle.response_complete)

    def _wait(self) -> None:
        address = (self.transport.get_extra_info("peername") or ("",))[0]
        Impatient.waiting[self] = address
        self._deadline = asyncio.get_running_loop().call_later(Impatient.patience, self._give_up)

    def _stop_waiting(self) -> None:
        Impatient.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._stop_waiting()
        if not self._in_request():
            self.transport.abort()

    def _make_room(self) -> None:
        held = Counter(Impatient.waiting.values())
        # `max` takes the first of equals: the oldest of that address.
        oldest = max(Impatient.waiting, key=lambda one: held[Impatient.waiting[one]], default=self)
        oldest._give_up()
