"""One run at a time writes to an object store: a lease with an expiry, and a number that only grows.

A store has no locks that a killed run would let go of. So each owner adds an object with the next number, which the
store grants to one alone, and renews its expiry while it lives. The largest number owns the output: whoever finds a
larger one than its own is *fenced*, and stops (Gray and Cheriton, "Leases", SOSP 1989; the number is a fencing token as
in Kleppmann, "Designing Data-Intensive Applications", chapter 8). Objects of earlier owners stay: they are the numbers
that are used up, so that a listing that lags, or an owner that slept, cannot bring one back.

Expiry compares the clocks of two machines. Clocks that differ can only let two runs work for a while: a part has the
same name and the same pictures in both, and the first one stays.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from mien.batch.storage.stores import ObjectStore, Store
from mien.errors import MienError, SettingsError, StoreError

SECONDS = 60.0
"""How long a lease holds if it is not renewed; it is renewed three times as often."""


@dataclass(frozen=True)
class Fence:
    """Lets the owner with a number through, until there is one with a larger number.

    Attributes:
        store: of the records.
        token: the owner's number, from 1.
        where: the output's URL, for messages.
    """

    store: Store
    token: int
    where: str

    def is_lost(self) -> bool:
        """Whether another run has taken over: one request."""
        return self.store.read(_name(self.token + 1)) is not None

    def check(self) -> None:
        """Raise if another run has taken over.

        Raises:
            StoreError: it has.
        """
        if self.is_lost():
            raise StoreError(
                f"{self.where}: another run has taken over, since this one did not renew its lease; "
                "expected one run at a time: let the other one finish"
            )


@contextmanager
def leased(store: ObjectStore, where: str) -> Iterator[Fence]:
    """Own an output while the block runs.

    Raises:
        SettingsError: another run owns it.
        StoreError: the store does not answer, or does not grant a name to one alone.
    """
    fence, content = _acquire(store, where)
    stop = threading.Event()
    # What cannot be renewed in time expires, and is the run's to tell, which waits for longer.
    brief = replace(fence, store=replace(store, patience=SECONDS / 20))
    thread = threading.Thread(target=_renew, args=(brief, content, stop), daemon=True)
    thread.start()
    try:
        yield fence
    finally:
        stop.set()
        thread.join()
        with suppress(MienError, OSError):
            if not brief.is_lost():
                brief.store.write(_name(fence.token), _bytes(content | {"released": True}))


def _acquire(store: Store, where: str) -> tuple[Fence, dict[str, Any]]:
    token, held = _latest(store)
    if held is not None:
        _check_free(held, where)
    content = {"owner": f"{socket.gethostname()}, process {os.getpid()}", "id": secrets.token_hex(8)}
    data = _bytes(content)
    if not store.create(_name(token + 1), data):
        _, held = _latest(store)
        _check_free(held or {}, where)
        raise SettingsError(_taken(where, held or {}))
    if store.create(_name(token + 1), b"{}"):
        store.write(_name(token + 1), data)
        raise StoreError(
            f"{where}: the store overwrites what was to be written only where nothing is; expected one with "
            "conditional writes (If-None-Match), without which two runs could not be kept apart"
        )
    return Fence(store, token + 1, where), content


def _latest(store: Store) -> tuple[int, dict[str, Any] | None]:
    """The largest number and what it says; a listing only tells where to begin to look."""
    token = max((int(name.partition("-")[2].partition(".")[0]) for name in store.names("lease-")), default=0)
    data = store.read(_name(token)) if token else None
    while (later := store.read(_name(token + 1))) is not None:
        token, data = token + 1, later
    return token, None if data is None else json.loads(data)


def _check_free(held: dict[str, Any], where: str) -> None:
    if not held.get("released") and held.get("expires", 0) > time.time():
        raise SettingsError(_taken(where, held))


def _taken(where: str, held: dict[str, Any]) -> str:
    until = time.strftime("%H:%M:%S", time.localtime(held.get("expires", time.time() + SECONDS)))
    return (
        f"{where}: another run writes here now ({held.get('owner', 'unknown')}); wait for its end, or if it was "
        f"killed, for its lease to expire at {until}, or choose another"
    )


def _renew(fence: Fence, content: dict[str, Any], stop: threading.Event) -> None:
    """While the run lives, until another one has taken over."""
    while not stop.wait(SECONDS / 3):
        with suppress(MienError, OSError):
            if fence.is_lost():
                return
            fence.store.write(_name(fence.token), _bytes(content))


def _bytes(content: dict[str, Any]) -> bytes:
    return json.dumps(content | {"expires": time.time() + SECONDS}).encode()


def _name(token: int) -> str:
    return f"lease-{token:08d}.json"
