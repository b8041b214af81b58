"""The process: a socket, uvicorn, and an end that lets what runs finish."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import webbrowser
from ipaddress import ip_address

import uvicorn

from mien.errors import ServerError
from mien.server.app import create_app
from mien.server.connections import Impatient
from mien.server.memory import bound_what_is_kept
from mien.server.settings import Settings
from mien.server.watch import Watched


def serve(
    settings: Settings, *, open_browser: bool = False, path: str = "/", watched: Watched | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; then take no new request and finish those that run.

    Args:
        settings: what to serve, where, and its limits.
        open_browser: show the page to the person at this machine.
        path: of the page: "/?camera" turns the browser's camera on, "/?watch" shows what is `watched`.
        watched: a camera of this machine; its end ends the server.

    Raises:
        ModelError, DetectorError: the model or the detector cannot be loaded.
        ServerError: the address cannot be listened on.
    """
    bound_what_is_kept(settings.workers)
    app = create_app(settings, watched)
    Impatient.patience = min(Impatient.patience, settings.timeout)
    with _listen(settings.host, settings.port) as listening:
        config = uvicorn.Config(
            app,
            http=Impatient,
            ws="auto",
            ws_max_size=settings.max_bytes,
            ws_max_queue=2,  # what waits here is not seen to be stale
            ws_per_message_deflate=False,  # pictures are compressed already
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=int(settings.timeout) + 1,
        )
        server = uvicorn.Server(config)
        # uvicorn hears signals while it runs, and raises the one that stopped it once more when all is done. One that
        # comes before it runs counts, too.
        earlier = {
            number: signal.signal(number, lambda *_: setattr(server, "should_exit", True))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        address = _url(settings.host, listening.getsockname()[1])
        _say(f"serving on {address}{path if watched else ''} (Ctrl-C stops)")
        if settings.token is None and not _is_local(settings.host):
            _say("anyone who can reach this address can use it: set MIEN_TOKEN to ask for a token")
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address + path,), daemon=True).start()
        # A form that it cannot read is answered with a problem: it is not for the log.
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
        logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
        if watched is not None:
            watched.start(ended=lambda: setattr(server, "should_exit", True))
        try:
            server.run(sockets=[listening])
        finally:
            for number, handler in earlier.items():  # Ctrl-C is the caller's again
                signal.signal(number, handler)
            if watched is not None:
                watched.stop()
    _say("stopped")


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """uvicorn 0.54 takes every refused WebSocket for an application that forgot to answer (its pull request 3138)."""
    return record.msg != "ASGI callable returned without completing handshake."


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, so an address in use is an error before any output."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # By its number: asyncio turns Nagle's algorithm off for sockets that say they are TCP, and it costs 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ServerError(
            f"host {host}: {error.strerror}; expected an address of this machine, such as 127.0.0.1"
        ) from None
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ServerError(
            f"port {port} of {host}: {error.strerror}; expected a free one: name another with --port"
        ) from None
    return listening


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say(text: str) -> None:
    sys.stderr.write(f"mien: {text}\n")
    sys.stderr.flush()
