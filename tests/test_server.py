"""The server, as a real process that is asked over real sockets."""

from __future__ import annotations

import base64
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import typed
from pictures import astronaut, encode, grace_hopper_path, png_bomb
from serving import Server, serving, web_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytest.importorskip("fastapi")

from mien import available_models
from mien.labels import LABELS
from mien.results import FACE_FIELDS
from mien.server.schemas import example_result, result_model
from mien.server.settings import Settings

pytestmark = pytest.mark.everywhere

PORTRAIT = grace_hopper_path().read_bytes()
BLANK = encode(np.full((60, 80, 3), 127, np.uint8))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server with limits that tests can reach, and a token."""
    options = "--workers 1 --queue 1 --max-bytes 300000 --max-pixels 400000 --max-pictures 2 --max-streams 1"
    with serving(*options.split(), "--name", "faces.example", token="s3cret-token") as server:
        yield server


def post(client: httpx.Client, body: bytes, kind: str = "image/jpeg", **headers: str) -> httpx.Response:
    return client.post("/v1/recognize", content=body, headers={"Content-Type": kind, **headers})


def assert_near(face: dict[str, Any], other: dict[str, Any]) -> None:
    """The same face, but for the last digits."""
    assert face.pop("quality_issues") == other["quality_issues"]
    assert face == pytest.approx({k: v for k, v in other.items() if k != "quality_issues"}, abs=1e-5)


def bearer(token: str = "s3cret-token") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(2000):
        if reached():
            return
        time.sleep(0.02)
    pytest.fail("never reached")


def stream(server: Server, **options: Any) -> Any:
    return web_socket(f"ws://127.0.0.1:{server.port}/v1/stream", max_size=None, **options)


def check_problem(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"]
    for word in words:
        assert word in problem["detail"]
    return problem


class TestRecognize:
    def test_raw_bytes_answer_as_the_command_does(self, client: httpx.Client):
        printed = typed.run("image", "-", "--format", "json", stdin=PORTRAIT).stdout
        answer = post(client, PORTRAIT)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        said, expected = answer.json(), json.loads(printed)
        assert [list(face) for face in said[0]["faces"]] == [list(face) for face in expected[0]["faces"]]
        for face, other in zip(said[0].pop("faces"), expected[0].pop("faces"), strict=True):
            assert_near(face, other)
        assert said == expected

    def test_several_files_in_order_one_of_them_no_picture(self, client: httpx.Client):
        files = [("a", ("a.jpg", PORTRAIT)), ("b", ("b.txt", b"text")), ("a", ("ü.png", BLANK))]
        results = client.post("/v1/recognize", files=files).json()
        assert [r["source"] for r in results] == ["a.jpg", "b.txt", "ü.png"]
        assert [len(r["faces"]) for r in results] == [1, 0, 0]
        assert "not a picture" in results[1]["error"]
        assert results[0]["error"] is results[2]["error"] is None

    def test_json_with_base64(self, client: httpx.Client):
        pictures = [{"source": "x", "data": base64.b64encode(PORTRAIT).decode()}]
        result = client.post("/v1/recognize", json={"pictures": pictures}).json()
        assert result[0]["source"] == "x"
        assert len(result[0]["faces"]) == 1

    def test_a_file_larger_than_a_part_that_others_write_to_disk(self, server: Server, client: httpx.Client):
        noise = np.random.default_rng(0).integers(0, 256, (1000, 1100, 3), np.uint8)
        data = encode(noise)
        assert len(data) > 3_000_000
        opened = Path(f"/proc/{server.process.pid}/fd")
        before = {str(entry.readlink()) for entry in opened.iterdir()}
        seen: set[str] = set()
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                for entry in opened.iterdir():
                    try:
                        seen.add(str(entry.readlink()))
                    except OSError:
                        continue

        watching = threading.Thread(target=watch)
        watching.start()
        answer = client.post("/v1/recognize", files={"file": ("noise.png", data)})
        done.set()
        watching.join()
        assert answer.json()[0]["width"] == 1100
        assert seen & before
        own = ("/proc/", sys.prefix, sys.base_prefix)  # a module may be imported at its first use
        assert not [name for name in seen - before if name.startswith("/") and not name.startswith(own)]

    def test_concurrent_answers_are_the_single_ones(self, client: httpx.Client, server: Server):
        pictures = [
            PORTRAIT,
            encode(astronaut()),
            BLANK,
            encode(astronaut()[:400]),
            encode(astronaut()[:, :400]),
        ]
        single = [post(client, picture, "image/png").json() for picture in pictures]
        order = list(itertools.islice(itertools.cycle(range(len(pictures))), 20))
        with ThreadPoolExecutor(8) as pool, server.client() as other:
            answers = list(pool.map(lambda n: post(other, pictures[n], "image/png").json(), order))
        for n, answer in zip(order, answers, strict=True):
            assert len(answer[0]["faces"]) == len(single[n][0]["faces"])
            for face, expected in zip(answer[0]["faces"], single[n][0]["faces"], strict=True):
                assert_near(face, expected)

    @pytest.mark.parametrize(
        ("body", "kind", "status", "word"),
        [
            (b"text", "text/plain", 415, "text/plain"),
            (b"text", "image/jpeg", 422, "no picture"),
            (b"", "image/png", 422, "no picture"),
            (png_bomb(), "image/png", 422, "no picture"),
            (b"{", "application/json", 422, "JSON"),
            (b"[]", "application/json", 422, ""),
            (b'{"pictures": []}', "application/json", 422, "0 pictures"),
            (b'{"pictures": [{"data": "not base64!"}]}', "application/json", 422, "base64"),
            (b'{"pictures": [{"data": 7}]}', "application/json", 422, "pictures.0.data"),
            (b'{"pictures": [{"data": "", "more": 1}]}', "application/json", 422, "more"),
            (b"--x\r\n", "multipart/form-data", 422, "boundary"),
            (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "0 pictures"),
            (b"junk", "multipart/form-data; boundary=x", 422, ""),
            (
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\ntext\r\n--x--\r\n',
                "multipart/form-data; boundary=x",
                422,
                "file",
            ),
        ],
        ids=range(14),
    )
    def test_what_is_wrong_is_said(
        self, client: httpx.Client, body: bytes, kind: str, status: int, word: str
    ):
        check_problem(post(client, body, kind), status, word)

    def test_pictures_that_cannot_be_read_are_told_with_the_reason(self, client: httpx.Client):
        problem = check_problem(post(client, png_bomb()), 422)
        assert problem["pictures"][0]["source"] == "-"
        assert (
            "too many pixels (30,000 x 30,000); expected at most 50 megapixels"
            in problem["pictures"][0]["error"]
        )

    def test_no_type_and_no_body(self, client: httpx.Client):
        check_problem(client.post("/v1/recognize"), 415, "unknown")


class TestOtherPaths:
    def test_health_and_ready(self, client: httpx.Client):
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").json() == {"status": "ready"}

    def test_models(self, client: httpx.Client):
        models = client.get("/v1/models").json()
        assert [m["name"] for m in models] == [c.name for c in available_models()]
        assert [m["name"] for m in models if m["served"]] == ["mien-s-3"]

    def test_a_model_of_ones_own(self, write_model: Any):
        with serving("--model", write_model("own")) as server, server.client() as client:
            served = [m for m in client.get("/v1/models").json() if m["served"]]
            assert [m["name"] for m in served] == ["own"]

    def test_metrics_count(self, server: Server, client: httpx.Client):
        before = server.metrics()
        post(client, PORTRAIT)
        client.get("/no/such/path")
        after = server.metrics()

        def grown(name: str) -> float:
            return after.get(name, 0) - before.get(name, 0)

        assert grown('mien_requests_total{path="/v1/recognize",status="200"}') == 1
        assert grown('mien_requests_total{path="none",status="404"}') == 1
        assert grown('mien_pictures_total{outcome="read"}') == 1
        assert grown("mien_faces_total") == 1
        assert grown("mien_batch_faces_count") == 1
        assert not [name for name in after if "no/such" in name]

    def test_not_found_and_wrong_method(self, client: httpx.Client):
        check_problem(client.get("/nothing"), 404, "/nothing")
        check_problem(client.get("/page/../secret"), 404)
        check_problem(client.get("/page/%2e%2e%2findex.html"), 404)
        answer = client.put("/v1/recognize", content=b"x")
        check_problem(answer, 405, "PUT")
        assert answer.headers["allow"] == "POST"
        check_problem(client.get("/docs"), 404)

    def test_every_answer_has_strict_headers(self, client: httpx.Client):
        for path in ("/", "/health", "/nothing", "/page/page.js"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert not [name for name in headers if name.startswith("access-control")]

    def test_files_of_the_page_are_asked_for_once(self, client: httpx.Client):
        first = client.get("/page/page.css")
        again = client.get("/page/page.css", headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code) == (200, 304)
        assert first.headers["content-type"] == "text/css; charset=utf-8"
        assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"
        assert client.get("/page/page.js").headers["content-type"] == "text/javascript; charset=utf-8"
        assert client.head("/").headers["content-length"] == str(len(client.get("/").content))
        assert client.get("/health").headers["cache-control"] == "no-store"
        assert check_problem(client.post("/page/page.css"), 405, "GET")["status"] == 405

    def test_the_page_names_nothing_from_elsewhere(self, client: httpx.Client):
        text = client.get("/").text
        for name in re.findall(r'(?:src|href)="([^"#]+)"', text):
            assert name.startswith("/")
            assert client.get(name).status_code == 200

    def test_openapi_describes_what_there_is(self, client: httpx.Client):
        document = client.get("/openapi.json").json()
        assert set(document["paths"]) == {
            "/v1/recognize",
            "/v1/clips",
            "/v1/clips/{clip}",
            "/v1/models",
            "/health",
            "/ready",
            "/metrics",
        }
        operation = document["paths"]["/v1/recognize"]["post"]
        assert {"200", "401", "403", "408", "413", "415", "421", "422", "503"} == set(operation["responses"])
        example = operation["requestBody"]["content"]["application/json"]["example"]
        assert client.post("/v1/recognize", json=example).status_code == 200
        assert "securitySchemes" not in document["components"]
        answer = operation["responses"]["200"]["content"]["application/json"]
        assert answer["schema"]["items"] == {"$ref": "#/components/schemas/Result"}
        jsonschema.validate(answer["example"], answer["schema"] | {"components": document["components"]})

    def test_an_answer_is_as_it_is_described(self, client: httpx.Client):
        document = client.get("/openapi.json").json()
        schema = {"$ref": "#/components/schemas/Result", "components": document["components"]}
        face = schema["components"]["schemas"]["Face"]
        assert face["properties"]["emotion"]["enum"] == list(LABELS)
        columns = ["source", "frame", "time", *FACE_FIELDS]
        assert set(face["required"]) == set(face["properties"]) == {*columns, *LABELS}
        saving = client.get("/page/saving.js").text
        (fields,) = re.findall(r"^const FIELDS = (\[.*?\]);", saving, re.MULTILINE)
        assert json.loads(fields) == columns
        jsonschema.validate(post(client, PORTRAIT).json()[0], schema)

    def test_a_label_may_be_any_text(self):
        labels = ["copy", "_x", "not sure", "schema"]
        example = example_result(labels)
        result_model(labels).model_validate(example)
        example["faces"][0]["not sure"] = 2
        with pytest.raises(ValueError, match="not sure"):
            result_model(labels).model_validate(example)


class TestWhoMayAsk:
    @pytest.mark.parametrize(
        "host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "192.168.0.7"]
    )
    def test_names_of_this_machine(self, client: httpx.Client, host: str):
        assert client.get("/health", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "", "[::1", "127.0.0.1.evil.example"]
    )
    def test_a_name_that_was_pointed_here(self, client: httpx.Client, host: str):
        check_problem(client.get("/health", headers={"Host": host}), 421, "--name")

    def test_pages_of_other_sites(self, server: Server, client: httpx.Client):
        own = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}
        assert post(client, BLANK, **own).status_code == 200
        for origin in ("http://evil.example", "null", "http://localhost:3000", "http://[", "file://"):
            check_problem(post(client, BLANK, Host="localhost:8000", Origin=origin), 403)
        with pytest.raises(InvalidStatus) as refused, stream(server, origin="http://evil.example"):
            pass
        assert refused.value.response.status_code == 403
        with stream(server, origin=server.url):
            pass

    def test_a_name_that_was_given(self, small: Server):
        with small.client() as client:
            assert client.get("/health", headers={"Host": "faces.example"}).status_code == 200
            proxied = {"Host": "127.0.0.1", "Origin": "https://faces.example"}
            assert post(client, BLANK, **proxied, **bearer()).status_code == 200

    def test_the_token(self, small: Server):
        with small.client() as client:
            for headers in ({}, bearer("s3cret-toke"), bearer("ü"), {"Authorization": "Basic s3cret-token"}):
                encoded = {name: value.encode() for name, value in headers.items()}
                answer = client.get("/v1/models", headers=encoded)
                check_problem(answer, 401)
                assert answer.headers["www-authenticate"].startswith("Bearer")
            assert client.get("/metrics").status_code == 401
            assert client.get("/v1/models", headers=bearer()).status_code == 200
            assert client.get("/health").status_code == client.get("/").status_code == 200
            document = client.get("/openapi.json").json()
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        assert document["paths"]["/v1/recognize"]["post"]["security"] == [{"token": []}]
        assert "security" not in document["paths"]["/health"]["get"]
        assert "s3cret" not in small.log

    def test_the_token_of_a_stream(self, small: Server):
        with pytest.raises(InvalidStatus) as refused, stream(small):
            pass
        assert refused.value.response.status_code == 401
        encoded = base64.urlsafe_b64encode(b"s3cret-token").decode().rstrip("=")
        with stream(small, subprotocols=["mien", f"mien.bearer.{encoded}"]) as socket:
            assert socket.subprotocol == "mien"
            with pytest.raises(InvalidStatus) as full, stream(small, additional_headers=bearer()):
                pass
            assert full.value.response.status_code == 503
            assert full.value.response.headers["retry-after"] == "1"


@pytest.mark.slow
class TestLimits:
    def test_a_body_that_says_it_is_too_large(self, small: Server):
        with small.client(headers=bearer()) as client:
            check_problem(post(client, bytes(300_001)), 413, "300,000")

    def test_a_body_that_turns_out_too_large(self, small: Server):
        def chunks() -> Iterator[bytes]:
            for _ in range(1000):
                yield bytes(10_000)

        with small.client(headers=bearer()) as client:
            for kind in ("image/jpeg", "application/json", "multipart/form-data; boundary=x"):
                try:
                    answer = client.post("/v1/recognize", content=chunks(), headers={"Content-Type": kind})
                except httpx.WriteError:  # the server has answered and hung up while we still sent
                    continue
                assert answer.status_code in (413, 422)
            assert client.get("/health").status_code == 200

    def test_pixels_and_pictures(self, small: Server):
        with small.client(headers=bearer()) as client:
            problem = check_problem(post(client, encode(np.zeros((640, 640), np.uint8))), 422)
            assert "expected at most 0.4 megapixels" in problem["pictures"][0]["error"]
            files = [("file", (f"{n}.png", BLANK)) for n in range(3)]
            check_problem(client.post("/v1/recognize", files=files), 422, "files")
            data = {"data": base64.b64encode(BLANK).decode()}
            check_problem(client.post("/v1/recognize", json={"pictures": [data] * 3}), 422, "1 to 2")

    def test_the_largest_faces_are_kept(self):
        both = np.concatenate([astronaut(), np.asarray(astronaut()[:, ::-1])], axis=1)
        with serving("--max-faces", "1") as server, server.client() as client:
            assert len(post(client, encode(both)).json()[0]["faces"]) == 1

    def test_more_work_than_places_is_refused_and_later_taken(self, small: Server):
        with small.client(headers=bearer()) as client, ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: post(client, PORTRAIT), range(24)))
            refused = [answer for answer in answers if answer.status_code != 200]
            assert refused
            assert len(refused) < 24
            for answer in refused:
                check_problem(answer, 503, "2 requests")
                assert answer.headers["retry-after"] == "1"
            assert post(client, PORTRAIT).status_code == 200

    def test_a_body_that_comes_too_slowly_and_work_that_takes_too_long(self):
        with serving("--timeout", "1", "--workers", "1") as server, server.client() as client:
            with socket.create_connection(("127.0.0.1", server.port)) as slow:
                slow.sendall(b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\n")
                slow.sendall(b"Content-Type: image/png\r\nContent-Length: 100\r\n\r\nabc")
                assert slow.recv(100).startswith(b"HTTP/1.1 408")
            large = encode(np.zeros((6000, 8000), np.uint8))
            files = [("file", (f"{n}.png", large)) for n in range(16)]
            answer = client.post("/v1/recognize", files=files)
            check_problem(answer, 503, "1 seconds")
            wait_until(lambda: server.metrics()["mien_work"] == 0)  # once the thread is done

    @pytest.mark.parametrize(
        "wrong",
        [
            {"queue": -1},
            {"timeout": 0},
            {"min_quality": 1.5},
            {"min_confidence": 1.5},
            {"min_confidence": -0.5},
            {"min_size": 0},
            {"max_faces": 0},
            {"port": 70000},
            {"detector_size": 16},
            {"token": "ü"},
        ],
    )
    def test_settings_say_what_they_expect(self, wrong: dict[str, Any]):
        with pytest.raises(ValueError, match="expected"):
            Settings(**wrong)
        assert "x" * 5 not in repr(Settings(token="x" * 5))


class TestStream:
    def test_frames_are_answered(self, server: Server):
        with stream(server) as socket:
            for number in range(3):
                socket.send(PORTRAIT)
                result = json.loads(socket.recv())
                assert result["frame"] == number
                assert result["dropped"] == 0
                assert len(result["faces"]) == 1
                assert result["faces"][0]["frame"] == number
                assert result["faces"][0]["time"] == result["time"]
            socket.send(b"no picture")
            assert "not a picture" in json.loads(socket.recv())["error"]
            socket.send(BLANK)
            assert json.loads(socket.recv())["faces"] == []

    def test_stale_frames_are_dropped(self, server: Server):
        with stream(server) as socket:
            for _ in range(30):
                socket.send(PORTRAIT)
            answered, dropped = [], 0
            while not answered or answered[-1] < 29:
                result = json.loads(socket.recv(timeout=60))
                answered.append(result["frame"])
                dropped += result["dropped"]
        assert answered == sorted(answered)
        assert len(answered) < 30
        assert len(answered) + dropped == 30

    def test_text_and_frames_that_are_too_large_close_it(self, small: Server):
        with stream(small, additional_headers=bearer()) as socket:
            socket.send("text")
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=20)
            assert closed.value.rcvd.code == 1003
        with stream(small, additional_headers=bearer()) as socket:
            socket.send(bytes(300_001))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=20)
            assert closed.value.rcvd.code == 1009

    def test_a_closed_stream_is_forgotten(self, server: Server):
        with stream(server) as socket:
            socket.send(PORTRAIT)
        wait_until(lambda: server.metrics()["mien_streams"] == server.metrics()["mien_work"] == 0)


@pytest.mark.slow
class TestProcess:
    @pytest.mark.parametrize("again", range(5))
    def test_it_ends_as_well_when_it_has_only_just_begun(self, again: int) -> None:
        with serving() as server:
            assert server.stop() == 0  # at once: uvicorn may not run yet
        assert server.log.endswith("mien: stopped\n")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_what_runs_is_finished(self, number: int):
        with (
            serving("--workers", "1", "--max-pictures", "64") as server,
            server.client() as client,
            ThreadPoolExecutor(2) as pool,
        ):
            files = [("file", (f"{n}.jpg", PORTRAIT)) for n in range(64)]
            asked = pool.submit(client.post, "/v1/recognize", files=files)
            wait_until(lambda: server.metrics()["mien_work"] > 0)
            server.process.send_signal(number)
            answer = asked.result(60)
            assert answer.status_code == 200
            assert len(answer.json()) == 64
            assert server.process.wait(60) == 0
            server._reading.join(10)
            assert server.log.splitlines()[1:] == ["mien: stopped"]

    def test_a_stream_does_not_hold_it_up(self):
        with serving() as server, stream(server) as socket:
            socket.send(PORTRAIT)
            socket.recv()
            assert server.stop() == 0

    def test_a_port_in_use_is_one_line(self, server: Server):
        done = typed.run("serve", "--port", str(server.port))
        assert done.returncode == 2
        assert re.fullmatch(
            r"mien: port \d+ of 127.0.0.1: .* in use; expected a free one.*--port\n", done.stderr
        )

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (("--host", "no.such.host.invalid"), "127.0.0.1"),
            (("--model", "nothing"), "nothing"),
            (("--detector", "x"), "x"),
        ],
    )
    def test_wrong_options_are_one_line(self, options: tuple[str, str], word: str):
        done = typed.run("serve", *options)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert word in done.stderr

    def test_without_the_extra_it_says_what_to_install(self):
        code = (
            "import sys; sys.modules['fastapi'] = None; sys.argv = ['mien', 'serve']\n"
            "from mien.cli.app import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == 'mien: serving needs optional packages: pip install "mien[serve]"\n'

    def test_no_picture_and_no_name_in_the_log(self, server: Server):
        before = server.log
        with server.client() as client:
            client.post("/v1/recognize", files={"file": ("private-name.jpg", PORTRAIT)})
            client.post("/v1/recognize", files={"file": ("private-name.jpg", b"private-data")})
        assert server.log == before
        assert "private" not in server.log

    def test_all_addresses_without_a_token_are_warned_of(self):
        with serving("--host", "0.0.0.0") as server:
            with server.client() as client:
                assert client.get("/health").status_code == 200
            server.stop()
            assert "set MIEN_TOKEN" in server.log


def test_answers_do_not_wait_for_their_acknowledgement():
    """asyncio sets TCP_NODELAY only where a socket says that it is TCP."""
    from mien.server.serving import _listen

    with _listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
