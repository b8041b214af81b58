"""An S3 server on loopback (moto's), and a proxy before it that counts requests and makes the faults of stores."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Fault = Callable[["Request"], "Answer | str | None"]
"""Called with every request; an answer in place of the server's, "drop" (no answer), "lose" (done, but no answer),
"hang" (no answer for a while), or None."""


class Request:
    """A request as the proxy sees it."""

    def __init__(self, method: str, target: str) -> None:
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        self.key = unquote(parts.path).lstrip("/").partition("/")[2]
        self.method = method
        self.kind = "LIST" if method == "GET" and "list-type" in query else method


class Answer:
    """What the proxy says itself, as S3 says it."""

    def __init__(self, status: int, code: str, words: str = "") -> None:
        self.status = status
        self.body = f"<Error><Code>{code}</Code><Message>{words or code}</Message></Error>".encode()


SLOW_DOWN = Answer(503, "SlowDown", "Please reduce your request rate.")
EXPIRED = Answer(400, "ExpiredToken", "The provided token has expired.")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed are part of the tests."""


class Proxy:
    """Requests go through here to the server.

    Attributes:
        url: what clients are given as the endpoint.
        seen: how many requests there were, by kind: GET, HEAD, PUT, DELETE, LIST.
        sent, received: bytes of bodies, from the clients and to them.
        fault: see `Fault`.
        lag: seconds for which a listing does not have what was put.
        slow: seconds that a picture's bytes take.
    """

    def __init__(self, server: str) -> None:
        self.seen: Counter[str] = Counter()
        self.keys: Counter[tuple[str, str]] = Counter()
        self.sent = self.received = 0
        self.fault: Fault = lambda request: None
        self.lag = self.slow = 0.0
        self._when: dict[str, float] = {}
        self._server = urlsplit(server)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy._answer(self)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

            def log_message(self, *words: Any) -> None:
                pass

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def forget(self) -> None:
        """Count from nothing, without faults."""
        self.seen.clear()
        self.keys.clear()
        self.sent = self.received = 0
        self.fault, self.lag, self.slow = lambda request: None, 0.0, 0.0

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.command, handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        with self._lock:
            self.seen[request.kind] += 1
            self.keys[request.kind, request.key] += 1
            self.sent += len(body)
            fault = self.fault(request)
        if isinstance(fault, Answer):
            self._say(handler, fault.status, {"Content-Type": "application/xml"}, fault.body)
        elif fault in ("drop", "hang"):
            time.sleep(2.0 if fault == "hang" else 0)
            handler.close_connection = True
        else:
            self._forward(handler, request, body, lose=fault == "lose")

    def _forward(self, handler: BaseHTTPRequestHandler, request: Request, body: bytes, *, lose: bool) -> None:
        time.sleep(self.slow if request.kind == "GET" and request.key.endswith(".jpg") else 0)
        server = http.client.HTTPConnection(self._server.hostname or "", self._server.port or 80, timeout=60)
        try:
            server.request(handler.command, handler.path, body, dict(handler.headers))
            got = server.getresponse()
            data = got.read()
        finally:
            server.close()
        if request.method == "PUT":
            self._when[request.key] = time.monotonic()
        if request.kind == "LIST" and self.lag:
            data = re.sub(rb"<Contents>.*?</Contents>", self._late, data, flags=re.DOTALL)
        if lose:
            handler.close_connection = True
            return
        headers = {
            name: value
            for name, value in got.getheaders()
            if name.lower() not in ("content-length", "connection", "transfer-encoding")
        }
        length = int(got.getheader("Content-Length") or 0) if request.method == "HEAD" else len(data)
        self._say(handler, got.status, headers, data, length)

    def _late(self, match: re.Match[bytes]) -> bytes:
        key = re.search(rb"<Key>(.*?)</Key>", match[0])
        when = self._when.get(unquote(key[1].decode()), 0.0) if key else 0.0
        return b"" if time.monotonic() - when < self.lag else match[0]

    def _say(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        data: bytes,
        length: int | None = None,
    ) -> None:
        self.received += len(data)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data)


@contextmanager
def s3_server() -> Iterator[Proxy]:
    """A server with the bucket "bucket", behind a proxy."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    proxy = Proxy(f"http://{host}:{port}")
    try:
        make = http.client.HTTPConnection(host, port)
        make.request("PUT", "/bucket")
        assert make.getresponse().status == 200
        make.close()
        yield proxy
    finally:
        proxy.close()
        server.stop()


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # what the library repeats takes longer
    # AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE: not those of who runs the tests.
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


def put_all(objects: dict[str, bytes]) -> None:
    """Put objects into the bucket, without a request for each: the server is in this process."""
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    for name, data in objects.items():
        backend.put_object("bucket", name, data)
