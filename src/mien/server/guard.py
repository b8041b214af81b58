"""Who may ask: the token, and guards against pages of other sites that a browser on this machine has open.

A page of another site can point its own name at 127.0.0.1 (DNS rebinding): the Host header then has that name.
It can also open a WebSocket to any address, which no same-origin policy stops: the Origin header then has its name.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from mien.server.problems import Problem

PROTECTED = ("/v1/", "/metrics")
"""Paths that need the token, if there is one."""

SUBPROTOCOL = "mien"
TOKEN_PROTOCOL = "mien.bearer."  # noqa: S105 only the beginning of it
"""A browser cannot set a WebSocket's headers: the token comes as a subprotocol, this and its base64url."""


class Guard:
    """Lets through what comes by a known name, from the server's own page or no page, with the token."""

    def __init__(self, app: ASGIApp, names: Sequence[str], token: str | None) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}
        self._extra = {name.lower() for name in names}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; answer the rest with a problem."""
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except Problem as problem:
                response = problem.response()
                if scope["type"] == "http":
                    await response(scope, receive, send)
                else:
                    await WebSocket(scope, receive, send).send_denial_response(response)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = _name_of(host)
        if name not in self._names and not _is_address(name):
            raise Problem(
                421, f"Host {host!r}; expected localhost or an IP address, or start with --name {name}"
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, host):
            raise Problem(403, f"a page of {origin!r} may not ask; expected no page, or the server's own")
        if self._token is not None and scope["path"].startswith(PROTECTED):
            sent = _token_of(headers)
            if not hmac.compare_digest(sent.encode(), self._token.encode()):
                received = "another token" if sent else "no token"
                raise Problem(
                    401,
                    f"{received}; expected the server's as Authorization: Bearer TOKEN",
                    headers={"WWW-Authenticate": 'Bearer realm="mien"'},
                )

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            # Behind a proxy the Host may be the inner one; the page's name is then one that was named.
            return parts.scheme in ("http", "https") and (
                parts.netloc.lower() == host.lower() or parts.hostname in self._extra
            )
        except ValueError:
            return False


def _name_of(host: str) -> str:
    """The name or address in a Host header, without its port and IPv6's brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _token_of(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        encoded = protocol.strip()
        if encoded.startswith(TOKEN_PROTOCOL):
            encoded = encoded.removeprefix(TOKEN_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except ValueError:
                return ""
    return ""
