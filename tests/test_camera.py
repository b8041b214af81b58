"""Live: a clip that plays the camera, a folder, streams that drop and come back; and the command as a process."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import typed
from browser import needs_chromium, open_browser
from clips import scene, write_clip
from PIL import Image

from mien._core.parallel import run_ahead
from mien.errors import VideoError
from mien.recognition import EmotionRecognizer
from mien.video import camera as camera_module
from mien.video.camera import Camera
from mien.video.face_tracker import FaceTracker
from mien.video.live import watch_live
from mien.video.sampling import Sampling

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.everywhere


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "clip.mp4"
    return write_clip(path, [scene((0, 200 + k, 90)) for k in range(30)])


def test_a_clip_plays_at_its_own_speed(clip: Path) -> None:
    begin = time.monotonic()
    frames = list(Camera(str(clip)).frames())
    assert time.monotonic() - begin > 1.1
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.time for frame in frames]
    assert times == sorted(times)


def test_who_is_slow_gets_the_newest(clip: Path) -> None:
    times = []
    for frame in Camera(str(clip)).frames():
        times.append(frame.time)
        time.sleep(0.3)
    assert 2 <= len(times) <= 8
    assert times[-1] > 0.8


def test_the_newest_of_a_generator_that_does_not_wait() -> None:
    produced = threading.Event()

    def count() -> Iterator[int]:
        yield from range(1000)
        produced.set()

    numbers = run_ahead((n for n in count()), 1, drop=True)
    first = next(numbers)
    assert produced.wait(20)
    assert first < 1000
    assert len(list(numbers)) <= 2


def test_a_folder_of_pictures_is_a_stream(tmp_path: Path) -> None:
    for k in range(4):
        Image.fromarray(scene((0, 200 + k, 90))).save(tmp_path / f"{k}.png")
    face_tracker = FaceTracker(EmotionRecognizer())
    live = list(watch_live(face_tracker, Camera(str(tmp_path))))
    assert [frame.result.frame for frame in live] == [0, 1, 2, 3]
    assert {face.track for frame in live for face in frame.result.faces} == {1}
    assert live[-1].picture.shape == (360, 640, 3)
    assert live[-1].fps > 0


@pytest.mark.parametrize(
    ("sampling", "frames"),
    [
        (Sampling(every=3), [0, 3, 6, 9]),
        (Sampling(fps=5), [0, 5]),
        (Sampling(start=0.2), [5, 6, 7, 8, 9]),
        (Sampling(end=0.12), [0, 1, 2]),
        (Sampling(every=2, start=0.08, end=0.3), [2, 4, 6]),
    ],
)
def test_a_part_is_said_as_for_a_clip(sampling: Sampling, frames: list[int], tmp_path: Path) -> None:
    for k in range(10):
        Image.fromarray(np.full((40, 60, 3), 20 * k, np.uint8)).save(tmp_path / f"{k}.png")
    seen = list(Camera(str(tmp_path), sampling=sampling).frames())
    assert [frame.index for frame in seen] == frames
    assert [int(frame.picture[0, 0, 0]) for frame in seen] == [20 * k for k in frames]


def test_a_part_of_a_clip_that_plays(clip: Path) -> None:
    whole = [frame.time for frame in Camera(str(clip)).frames()]
    half = whole[-1] / 2
    seen = [frame.time for frame in Camera(str(clip), sampling=Sampling(start=half)).frames()]
    assert seen and min(seen) >= half and max(seen) == whole[-1]


def test_leaving_the_loop_lets_the_camera_go(clip: Path) -> None:
    before = threading.active_count()
    for _ in Camera(str(clip)).frames():
        break
    frames = Camera(str(clip)).frames()
    next(frames)
    frames.close()
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize(
    ("source", "word"),
    [("97", "no camera 97"), ("rtsp://127.0.0.1:9/x", "refused"), ("missing.mp4", "no such file")],
)
def test_what_is_not_there(source: str, word: str) -> None:
    with pytest.raises(VideoError, match=word):
        next(Camera(source).frames())


class Streams:
    """An HTTP server that sends a clip as an endless stream would come, and hangs up, `lives` times."""

    def __init__(self, data: bytes, lives: int) -> None:
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                if outer.asked > lives:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/live"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


def test_a_stream_that_drops_is_reached_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(camera_module, "RECONNECTS", (0.05, 0.05))
    part = io.BytesIO()
    Image.fromarray(scene((0, 200, 90))).save(part, "jpeg")
    jpeg = part.getvalue()
    head = b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
    server = Streams((head + jpeg + b"\r\n") * 5, lives=3)
    said: list[str] = []
    shapes, times = [], []
    with pytest.raises(VideoError):
        for frame in Camera(server.url, said.append).frames():
            shapes.append(frame.picture.shape)
            times.append(frame.time)
    server.http.shutdown()
    server.http.server_close()
    assert set(shapes) == {(360, 640, 3)}
    assert times == sorted(times)
    assert server.asked == 3 + 2, "two more tries, then it is given up"
    assert len(said) == 3 + 1
    assert all("trying again" in line for line in said)


run = partial(typed.run, "camera", text=False)


class TestCommand:
    def test_rows_are_recorded_and_words_go_to_stderr(self, clip: Path, tmp_path: Path) -> None:
        done = run(clip, "--output", tmp_path / "rows.csv")
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
        assert rows[0]["track"] == "1"
        assert rows[0]["smoothed_emotion"]
        assert done.stdout == b""
        assert b"fps" in done.stderr

    def test_a_missing_camera_is_one_line_and_leaves_no_file(self, tmp_path: Path) -> None:
        done = run("97", "--output", tmp_path / "rows.csv")
        assert done.returncode == 1
        assert done.stderr.decode().startswith("mien: no camera 97")
        assert done.stderr.count(b"\n") == 1
        assert not (tmp_path / "rows.csv").exists()

    def test_a_kind_of_file_that_is_not_written(self, clip: Path, tmp_path: Path) -> None:
        done = run(clip, "--output", tmp_path / "rows.xlsx")
        assert done.returncode == 2
        assert b"rows.xlsx" in done.stderr


@pytest.mark.slow
class TestPage:
    """`--web`: the page shows what a camera of this machine sees. A clip plays the camera."""

    @pytest.fixture
    def page(self) -> Iterator[Page]:
        with open_browser() as browser:
            yield browser.new_page(viewport={"width": 1280, "height": 860})

    @pytest.fixture
    def watching(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        pytest.importorskip("fastapi")
        clip = write_clip(tmp_path / "long.mp4", [scene((0, 200 + k % 30, 90)) for k in range(25 * 12)])
        process = subprocess.Popen(
            [sys.executable, "-m", "mien", "camera", str(clip), "--web", "--output", tmp_path / "rows.csv"],
            stderr=subprocess.PIPE,
            text=True,
            # No browser is opened here: the test is the page.
            env={k: v for k, v in os.environ.items() if k != "MIEN_TOKEN"} | {"BROWSER": "true"},
        )
        yield process
        process.kill()
        process.wait()
        process.stderr.close()

    def address(self, process: subprocess.Popen[str]) -> str:
        return re.search(r"http://\S+", process.stderr.readline())[0]

    def test_frames_come_with_their_results_until_the_end(
        self, watching: subprocess.Popen[str], tmp_path: Path
    ) -> None:
        from serving import web_socket
        from websockets.exceptions import ConnectionClosed

        url = self.address(watching).replace("http", "ws", 1).replace("/?watch", "/v1/watch")
        results, pictures = [], []
        with web_socket(url) as socket, pytest.raises(ConnectionClosed):
            while True:
                results.append(json.loads(socket.recv(60)))
                pictures.append(socket.recv(60))
        assert watching.wait(60) == 0, "the end of the clip ends the command"
        assert len(results) == len(pictures) > 3
        assert {face["track"] for result in results for face in result["faces"]} == {1}
        times = [result["time"] for result in results]
        assert times == sorted(times)
        assert {result["scale"] for result in results} == {1}
        assert Image.open(io.BytesIO(pictures[0])).size == (640, 360)
        rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
        assert {int(row["frame"]) for row in rows} >= {result["frame"] for result in results}

    @needs_chromium
    @pytest.mark.once
    def test_the_page_shows_them(self, page: Page, watching: subprocess.Popen[str]) -> None:
        # The browser is there first: the clip plays at its own speed, whoever watches, and then all ends.
        page.goto(self.address(watching))
        page.wait_for_selector("#faces li", timeout=60_000)
        page.wait_for_function("document.getElementById('picture').width > 300", timeout=60_000)
        assert page.inner_text("#status") == "1 face"
        page.wait_for_selector("text=come to their end", timeout=60_000)
        assert watching.wait(60) == 0

    def test_interrupting_keeps_what_was_recorded(
        self, watching: subprocess.Popen[str], tmp_path: Path
    ) -> None:
        self.address(watching)
        time.sleep(1)
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(60) == 0
        assert len((tmp_path / "rows.csv").read_text().splitlines()) > 1
