"""Slow clients, idle ones, and what all requests may take together: a server for which two bodies are many."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from pictures import encode, grace_hopper_path
from PIL import Image

pytest.importorskip("fastapi")

from serving import Server, serving, web_socket
from websockets.exceptions import ConnectionClosed

from mien.images.memory import reading_bytes
from mien.images.read import read_image
from mien.server.memory import Bodies, Budget
from mien.server.places import LostPlace, Places
from mien.server.problems import Problem

PORTRAIT = grace_hopper_path().read_bytes()
LIMITS = "--timeout 10 --idle 5 --max-bodies 2 --max-streams 1 --max-bytes 300000 --max-memory 16000000 --workers 2"
TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(*LIMITS.split()) as server:
        yield server


def begin(server: Server, sent: bytes, address: str = "127.0.0.1") -> socket.socket:
    """A client that has sent so much, and waits."""
    client = socket.create_connection(("127.0.0.1", server.port), 30, source_address=(address, 0))
    client.sendall(sent)
    return client


def body_begins(size: int = 200_000, more: str = "") -> bytes:
    head = f"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n{more}"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + PORTRAIT[:100]


def status(client: socket.socket) -> int:
    """Of the answer, once it comes."""
    return int(client.makefile("rb").readline().split()[1])


def post(server: Server, body: bytes = PORTRAIT, kind: str = "image/jpeg") -> tuple[int, list[dict] | dict]:
    with server.client() as client:
        answer = client.post("/v1/recognize", content=body, headers={"Content-Type": kind})
    return answer.status_code, answer.json()


@pytest.mark.slow
class TestSlowClients:
    def test_a_header_that_never_comes(self, server: Server) -> None:
        health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with (
            begin(server, b"") as silent,
            begin(server, health[:20]) as halfway,
            begin(server, health + health[:9]) as second,
        ):
            for client in (silent, halfway, second):
                while client.recv(1000):  # empty at the end; one that stays open is an error after 30 s
                    pass

    def test_a_body_that_hardly_comes_is_not_waited_for(self, server: Server) -> None:
        with begin(server, body_begins()) as client:
            assert status(client) == 408

    def test_slow_ones_lose_their_places_to_others(self, server: Server) -> None:
        with (
            begin(server, body_begins(), "127.0.0.3") as first,
            begin(server, body_begins(), "127.0.0.3") as second,
        ):
            time.sleep(1.2)  # what a new one may take to begin
            assert post(server)[0] == 200
            # Nobody is refused because of them, and they are told why they were.
            assert {status(first), status(second)} == {408}

    def test_who_asks_before_sending_sends_nothing(self, server: Server) -> None:
        with begin(
            server, body_begins(900_000, "Expect: 100-continue\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        ) as client:
            assert status(client) == 413


class TestRefusalsAreHeard:
    """A client that sends its body first sees the answer, not a broken connection."""

    @pytest.mark.parametrize(
        ("kind", "size", "expected"), [("image/jpeg", 2_000_000, 413), ("text/plain", 250_000, 415)]
    )
    def test_by_one_that_reads_late(self, server: Server, kind: str, size: int, expected: int) -> None:
        request = urllib.request.Request(
            f"{server.url}/v1/recognize", bytes(size), {"Content-Type": kind}, method="POST"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(request, timeout=30)
        with refused.value as answer:
            assert answer.code == expected
            assert json.load(answer)["status"] == expected

    def test_by_one_without_the_token(self) -> None:
        with serving(token=TOKEN) as server:
            with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
                client.request("POST", "/v1/recognize", bytes(5_000_000), {"Content-Type": "image/jpeg"})
                assert client.getresponse().status == 401
            with pytest.raises(Exception, match="401"), web_socket(f"ws://127.0.0.1:{server.port}/v1/stream"):
                pass
            assert server.stop() == 0
            assert server.log.splitlines()[1:] == ["mien: stopped"]


class TestGone:
    def test_a_client_that_leaves_in_the_middle_is_counted_and_not_logged(self, server: Server) -> None:
        name = 'mien_requests_total{path="/v1/recognize",status="499"}'
        before, log = server.metrics().get(name, 0), server.log
        with begin(server, body_begins()):
            pass
        for _ in range(500):
            if server.metrics().get(name, 0) > before:
                break
            time.sleep(0.02)
        assert server.metrics()[name] == before + 1
        assert server.log == log


class TestStreams:
    def address(self, server: Server) -> str:
        return f"ws://127.0.0.1:{server.port}/v1/stream"

    @pytest.mark.slow
    def test_one_without_frames_is_closed(self, server: Server) -> None:
        with web_socket(self.address(server)) as socket:
            socket.send(PORTRAIT)
            assert len(json.loads(socket.recv(30))["faces"]) == 1
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(30)
        assert closed.value.rcvd.code == 1013
        assert "no frame" in closed.value.rcvd.reason

    def test_a_page_that_is_loaded_anew_finds_its_place(self, server: Server) -> None:
        for _ in range(5):
            with web_socket(self.address(server)) as socket:
                socket.send(PORTRAIT)
                socket.recv(30)

    def test_one_too_many_is_refused_and_not_logged(self, server: Server) -> None:
        log = server.log
        with web_socket(self.address(server)) as busy:
            going = threading.Event()

            def send() -> None:
                while not going.is_set():
                    busy.send(PORTRAIT)
                    busy.recv(30)

            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(send)
                try:
                    with pytest.raises(Exception, match="503"), web_socket(self.address(server)):
                        pass
                finally:
                    going.set()
                sending.result(30)
        assert server.log == log


class TestForms:
    def form(self, *parts: bytes) -> tuple[bytes, str]:
        return b"".join(
            b"--x\r\n" + part + b"\r\n" for part in parts
        ) + b"--x--\r\n", "multipart/form-data; boundary=x"

    def test_text_beside_a_file_is_read_over(self, server: Server) -> None:
        text = b'Content-Disposition: form-data; name="user"\r\n\r\n17'
        file = b'Content-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n' + PORTRAIT
        code, results = post(server, *self.form(text, file))
        assert code == 200
        assert [result["source"] for result in results] == ["a.jpg"]

    @pytest.mark.parametrize("head", ["data:image/jpeg;base64,", "DATA:;BASE64,", ""])
    def test_a_data_address_is_its_picture(self, server: Server, head: str) -> None:
        picture = {"data": head + b64encode(PORTRAIT).decode()}
        code, results = post(server, json.dumps({"pictures": [picture]}).encode(), "application/json")
        assert code == 200
        assert len(results[0]["faces"]) == 1

    def test_one_without_base64(self, server: Server) -> None:
        body = json.dumps({"pictures": [{"data": "data:text/plain,hello"}]}).encode()
        code, problem = post(server, body, "application/json")
        assert code == 422
        assert "expected data:image/...;base64" in problem["detail"]


class TestMemory:
    def test_a_picture_that_takes_more_than_there_is(self, server: Server) -> None:
        wide = encode(np.zeros((1000, 1200, 3), np.uint8))
        code, problem = post(server, wide)
        assert code == 422
        assert "decoding takes 14 MB; expected at most 12 MB" in problem["pictures"][0]["error"]

    def test_many_pictures_at_a_time_wait_for_it(self, server: Server) -> None:
        nearly_all = encode(np.zeros((900, 1000, 3), np.uint8))  # no two at a time
        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(lambda _: post(server, nearly_all)[0], range(8)))
        assert set(codes) == {200}

    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "avif", "jpeg2000", "tiff", "gif", "bmp", "ppm"])
    def test_what_a_header_promises_is_counted(self, kind: str) -> None:
        if kind.upper() not in Image.registered_extensions().values():
            pytest.skip(f"this Pillow reads no {kind}")
        data = encode(Image.new("RGB", (300, 200)), kind)
        assert 4 * 60_000 <= reading_bytes(data) <= 30 * 60_000
        assert reading_bytes(data, max_pixels=50_000) == 0
        assert read_image(data).shape == (200, 300, 3)

    def test_of_no_picture_nothing_is_counted(self) -> None:
        assert reading_bytes(b"no picture") == 0

    def test_the_budget_is_never_passed_and_who_waits_gets_it(self) -> None:
        budget, most, lock = Budget(100), 0, threading.Lock()

        def hold(size: int) -> None:
            nonlocal most
            with budget.hold(size, time.monotonic() + 60):
                with lock:
                    most = max(most, budget.held)
                time.sleep(0.002)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(hold, [30, 100, 10, 60] * 20))
        assert 60 <= most <= 100
        assert budget.held == 0
        with pytest.raises(ValueError, match="at most 100"), budget.hold(101, 0):
            pass
        with budget.hold(60, 0), pytest.raises(TimeoutError), budget.hold(60, time.monotonic() + 0.01):
            pass
        with budget.hold(100, 0):
            assert budget.held == 100

    def test_bodies_count_their_copies(self) -> None:
        bodies = Bodies(300)
        with bodies.body() as first, bodies.body() as second:
            first.grow(60)
            with pytest.raises(Problem, match="memory"):
                second.grow(60)
            second.grow(40)
            assert bodies.held == 300
        assert bodies.held == 0


class TestPlaces:
    def test_the_slowest_of_the_address_with_most_loses_its_place(self) -> None:
        """a has one slow client, b two and a fast one: of b's, the slowest goes."""
        lost: list[str] = []

        async def client(places: Places, name: str, slow_from: float, end: asyncio.Event) -> None:
            try:
                async with places.take(name[0]) as place:
                    place.extend(time.monotonic() + slow_from, time.monotonic() + 60)
                    await end.wait()
            except LostPlace:
                lost.append(name)

        async def run() -> None:
            places, end = Places(4, "places are taken"), asyncio.Event()
            known = [("a1", -9), ("b1", -1), ("b2", -2), ("b3", 50)]
            tasks = [asyncio.create_task(client(places, *one, end)) for one in known]
            await asyncio.sleep(0)
            for _ in range(3):
                async with places.take("c") as place:
                    place.keep()
                    assert len(places) == 4
                    await asyncio.sleep(0)
                tasks.append(asyncio.create_task(client(places, "d1", 50, end)))
                await asyncio.sleep(0)
            with pytest.raises(Problem, match="4 places are taken already"):
                async with places.take("e"):
                    pass
            end.set()
            await asyncio.gather(*tasks)
            assert len(places) == 0

        asyncio.run(run())
        assert lost == ["b2", "b1", "a1"]

    def test_an_end_of_the_clients_own_is_no_lost_place(self) -> None:
        async def run() -> None:
            with pytest.raises(TimeoutError):
                async with Places(1, "").take("a"):
                    raise TimeoutError

        asyncio.run(run())


def test_a_large_picture_is_read_within_its_bound() -> None:
    """By strips: the same pixels as whole."""
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1100, 4), np.uint8)
    for mode in ("RGB", "RGBA", "L", "P", "CMYK"):
        picture = (
            Image.fromarray(noise).convert("RGB").convert(mode) if mode != "RGBA" else Image.fromarray(noise)
        )
        file = io.BytesIO()
        picture.save(file, "TIFF")
        whole = Image.open(file)
        if mode == "RGBA":
            alpha = noise[..., 3:].astype(np.uint32)
            expected = ((noise[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        else:
            expected = np.asarray(whole.convert("RGB"))
        np.testing.assert_array_equal(read_image(file.getvalue()), expected)
