"""Faces: found at every size and in any light, nothing seen in noise; YuNet fetched only when its hash is right."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, grace_hopper, grace_hopper_path, pattern

from mien.errors import DetectorError
from mien.faces import yunet as yunet_file
from mien.faces.detector import FaceDetector
from mien.faces.yunet import YUNET_FILE, fetch_yunet
from mien.images.crop import crop_face
from mien.images.read import read_image
from mien.results import Box

DATA = os.environ.get("MIEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="needs the data folder that MIEN_DATA names")


@pytest.fixture(scope="module")
def haar() -> FaceDetector:
    return FaceDetector("haar")


@pytest.fixture(scope="module")
def yunet() -> FaceDetector:
    return FaceDetector(str(Path(DATA or "", "models", YUNET_FILE)))


def scene(*places: tuple[int, int, int]) -> tuple[np.ndarray, list[Box]]:
    """The astronaut's head on a smooth picture of 640 x 480, once a place (x, y, side of the face)."""
    image = pattern(480, 640)
    head, left, top = astronaut()[30:205, 140:310], 140, 30
    faces = []
    for x, y, side in places:
        scale = side / ASTRONAUT_FACE.width
        small = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image[y : y + small.shape[0], x : x + small.shape[1]] = small
        face = ASTRONAUT_FACE
        faces.append(
            Box(*(v * scale for v in (face.x1 - left, face.y1 - top, face.x2 - left, face.y2 - top)))
        )
        b = faces[-1]
        faces[-1] = Box(b.x1 + x, b.y1 + y, b.x2 + x, b.y2 + y)
    return image, faces


def test_a_folder_of_that_name_is_not_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("haar", "mien"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert [FaceDetector(name).backend for name in ("haar", "mien")] == ["haar", "mien"]
    with pytest.raises(DetectorError, match="haar"):
        FaceDetector("./haar")


@pytest.mark.parametrize(
    ("picture", "face"), [(grace_hopper(), GRACE_HOPPER_FACE), (astronaut(), ASTRONAUT_FACE)]
)
@pytest.mark.parametrize("change", ["none", "dark", "pale", "bright", "grey", "mirrored", "large", "small"])
def test_the_one_face_of_a_portrait(haar: FaceDetector, picture: np.ndarray, face: Box, change: str) -> None:
    factor = {"large": 4.0, "small": 0.4}.get(change, 1.0)
    changed = {
        "dark": lambda: (picture * 0.15).astype(np.uint8),
        "pale": lambda: (picture * 0.2 + 100).astype(np.uint8),
        "bright": lambda: (picture * 0.2 + 200).astype(np.uint8),
        "grey": lambda: np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2),
        "mirrored": lambda: picture[:, ::-1],
    }.get(change, lambda: cv2.resize(picture, None, fx=factor, fy=factor))()
    if change == "mirrored":
        face = Box(512 - face.x2, face.y1, 512 - face.x1, face.y2)
    (found,) = haar.detect(changed)
    assert found.box.iou(Box(*(v * factor for v in (face.x1, face.y1, face.x2, face.y2)))) > 0.6
    assert 0.5 <= found.score <= 1
    assert found.landmarks is None


@pytest.mark.parametrize("angle", [-15, 15])
def test_a_tilted_head(haar: FaceDetector, angle: int) -> None:
    turn = cv2.getRotationMatrix2D(GRACE_HOPPER_FACE.center, angle, 1)
    tilted = cv2.warpAffine(grace_hopper(), turn, (512, 600), borderMode=cv2.BORDER_REPLICATE)
    (found,) = haar.detect(tilted)
    assert found.box.iou(GRACE_HOPPER_FACE) > 0.6


@pytest.mark.parametrize("side", [30, 40, 60, 100, 160, 240])
def test_faces_of_every_size(haar: FaceDetector, side: int) -> None:
    image, faces = scene((150, 40, side))
    (found,) = haar.detect(image)
    assert found.box.iou(faces[0]) > 0.5


def test_several_faces_come_largest_first(haar: FaceDetector) -> None:
    image, faces = scene((30, 30, 60), (300, 50, 160), (100, 300, 90))
    found = haar.detect(image)
    assert [max(range(3), key=lambda i: f.box.iou(faces[i])) for f in found] == [1, 2, 0]
    assert all(max(f.box.iou(face) for face in faces) > 0.5 for f in found)


@pytest.mark.parametrize("size", [48, 96, 400])
def test_a_tight_crop_is_a_face(haar: FaceDetector, size: int) -> None:
    crop = crop_face(astronaut(), ASTRONAUT_FACE, margin=0.95, size=size)
    (found,) = haar.detect(crop)
    assert found.box.iou(Box(0, 0, size, size)) > 0.6


def test_a_face_cut_by_the_border_is_found(haar: FaceDetector) -> None:
    cut = astronaut()[75:200, 150:300]
    (found,) = haar.detect(cut)
    face = Box(22, -13, 126, 97)
    assert found.box.iou(face) > 0.5


def test_no_face_where_there_is_none(haar: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    coarse = cv2.resize(
        rng.integers(0, 256, (30, 40, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
    )
    pictures = [
        rng.integers(0, 256, (240, 320, 3), np.uint8),
        coarse,
        pattern(300, 400),
        *(np.full((200, 300, 3), value, np.uint8) for value in (0, 128, 255)),
        np.tile(pattern(20, 20), (12, 16, 1)),
        astronaut()[300:, :300],
    ]
    assert [haar.detect(picture) for picture in pictures] == [[]] * len(pictures)


TINY = [(1, 1), (1, 3), (2, 2), (10, 10), (23, 23), (1, 500), (500, 1), (3, 20_000), (24, 24)]


@pytest.mark.parametrize("shape", TINY)
def test_tiny_and_narrow_pictures_have_no_face(haar: FaceDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert haar.detect(noise) == []
    assert haar.detect(np.zeros_like(noise)) == []


def test_min_size_leaves_small_faces_out() -> None:
    image, _ = scene((30, 30, 60), (300, 50, 160))
    assert len(FaceDetector("haar", min_size=20).detect(image)) == 2
    assert len(FaceDetector("haar", min_size=100).detect(image)) == 1
    assert FaceDetector("haar", min_size=300).detect(image) == []
    with pytest.raises(ValueError, match="min_size"):
        FaceDetector("haar", min_size=0)


def test_whatever_read_image_takes_is_detected(haar: FaceDetector) -> None:
    faces = haar.detect(grace_hopper())
    assert len(faces) == 1
    assert haar.detect(grace_hopper_path()) == faces
    assert haar.detect(grace_hopper_path().read_bytes()) == faces
    with pytest.raises(TypeError):
        haar.detect(np.zeros((4, 4, 3)))


def test_detection_leaves_the_picture_alone(haar: FaceDetector) -> None:
    image = astronaut()
    haar.detect(image)
    assert np.array_equal(image, astronaut())


def test_one_detector_in_many_threads(haar: FaceDetector) -> None:
    pictures = [grace_hopper(), astronaut(), scene((150, 40, 100))[0]] * 2
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(haar.detect, pictures)) == [haar.detect(picture) for picture in pictures]


def test_an_unknown_detector_and_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="unknown detector 'retina': expected mien, haar, yunet, a run"):
        FaceDetector("retina")
    with pytest.raises(DetectorError, match="no such file"):
        FaceDetector(str(tmp_path / "missing.onnx"))
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    with pytest.raises(DetectorError, match="not a YuNet model") as caught:
        FaceDetector(str(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["CascadeClassifier", "data"])
def test_an_opencv_without_haar_says_which_one_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, missing)
    with pytest.raises(DetectorError, match="opencv-python-headless<5"):
        FaceDetector("haar")


# Fetching YuNet, from a real server on this machine.


class Server:
    """Serves `content`, counts the requests."""

    def __init__(self) -> None:
        self.content = b"the net"
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(200 if self.path == f"/{YUNET_FILE}" else 404)
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{YUNET_FILE}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(yunet_file, "YUNET_URL", server.url)
    monkeypatch.setattr(yunet_file, "YUNET_SHA256", hashlib.sha256(server.content).hexdigest())
    yield server
    server.close()


def test_yunet_is_fetched_once(server: Server, cache: Path) -> None:
    path = fetch_yunet()
    assert path == cache / YUNET_FILE
    assert path.read_bytes() == server.content
    assert fetch_yunet() == path
    assert server.requests == 1
    assert list(cache.iterdir()) == [path]


def test_a_damaged_copy_is_fetched_again(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / YUNET_FILE).write_bytes(b"the n")
    assert fetch_yunet().read_bytes() == server.content


def test_a_file_with_the_wrong_hash_is_not_kept(server: Server, cache: Path) -> None:
    server.content = b"something else"
    with pytest.raises(DetectorError, match="SHA-256") as caught:
        fetch_yunet()
    assert str(cache / YUNET_FILE) in str(caught.value)
    assert not cache.exists()


def test_a_download_without_end_is_given_up(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yunet_file, "MAX_DOWNLOAD", 3)
    with pytest.raises(DetectorError, match="more than"):
        fetch_yunet()
    assert not cache.exists()


def test_a_missing_page_is_one_line(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yunet_file, "YUNET_URL", server.url + ".gone")
    with pytest.raises(DetectorError, match="404") as caught:
        fetch_yunet()
    assert "\n" not in str(caught.value)


def test_a_server_of_another_kind_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(yunet_file, "YUNET_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/net")

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail server\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DetectorError, match="cannot fetch") as caught:
            fetch_yunet()
        thread.join()
    assert "\n" not in str(caught.value)


def test_offline_the_message_says_which_file_to_bring_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:  # bound, but not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(
            yunet_file, "YUNET_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}/{YUNET_FILE}"
        )
        with pytest.raises(DetectorError, match="refused") as caught:
            FaceDetector("yunet")
    assert f"bring {YUNET_FILE} from OpenCV Zoo to {cache / YUNET_FILE}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written(server: Server, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(DetectorError, match="cannot write"):
        fetch_yunet()


def test_the_cache_is_in_the_home_folder_by_default(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIEN_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch_yunet() == tmp_path / ".cache" / "mien" / YUNET_FILE


# With the real net, and on real photographs.


@needs_data
def test_yunet_is_fetched_checked_and_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    server.content = Path(DATA or "", "models", YUNET_FILE).read_bytes()
    monkeypatch.setattr(yunet_file, "YUNET_URL", server.url)
    (face,) = FaceDetector("yunet").detect(astronaut())
    server.close()
    assert face.box.iou(ASTRONAUT_FACE) > 0.6
    assert len(FaceDetector("yunet").detect(grace_hopper())) == 1  # from the cache


@needs_data
@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_yunet_gives_boxes_and_landmarks_in_pixels_of_the_picture(yunet: FaceDetector, factor: float) -> None:
    picture = cv2.resize(grace_hopper(), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    (face,) = yunet.detect(picture)
    expected = (GRACE_HOPPER_FACE.x1, GRACE_HOPPER_FACE.y1, GRACE_HOPPER_FACE.x2, GRACE_HOPPER_FACE.y2)
    assert face.box.iou(Box(*(v * factor for v in expected))) > 0.6
    assert 0.8 <= face.score <= 1
    assert face.landmarks is not None
    by_hand = np.array([(227, 194), (306, 192), (266, 240), (228, 268), (305, 268)]) * factor
    assert np.abs(np.array(face.landmarks) - by_hand).max() < 10 * factor


@needs_data
@pytest.mark.parametrize("shape", TINY)
def test_yunet_sees_nothing_in_tiny_and_narrow_pictures(yunet: FaceDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert yunet.detect(noise) == []
    assert yunet.detect(np.zeros_like(noise)) == []


@needs_data
@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_the_number_of_faces_on_real_photographs(
    detector: str, haar: FaceDetector, yunet: FaceDetector
) -> None:
    expected = {
        "faceapi_happy.jpg": (1, 1), "faceapi_angry.jpg": (1, 1), "faceapi_bbt3.jpg": (5, 5),
        "facerec_two_people.jpg": (2, 2), "facetorch_test.jpg": (3, 4), "human_group-5.jpg": (6, 7),
        "fer_no-faces.jpg": (0, 0),
    }  # fmt: skip
    chosen = {"haar": haar, "yunet": yunet}[detector]
    for name, (fewest, most) in expected.items():
        count = len(chosen.detect(Path(DATA or "", "photos", name)))
        assert fewest <= count <= most, (name, count)


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_the_margin_frames_a_face_as_fer2013_does(
    detector: str, haar: FaceDetector, yunet: FaceDetector
) -> None:
    """The crop of a training picture in a wide border is the training picture, give or take."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(Path(DATA or "", "fer2013", "train.parquet"), columns=["image"])
    chosen = {"haar": haar, "yunet": yunet}[detector]
    sides = []
    for row in table.slice(1000, 120).to_pylist():
        face = read_image(row["image"]["bytes"])
        wide = cv2.copyMakeBorder(cv2.resize(face, (192, 192)), 96, 96, 96, 96, cv2.BORDER_REPLICATE)
        found = chosen.detect(wide)
        if found:
            sides.append(chosen.margin * max(found[0].box.width, found[0].box.height) / 192)
    assert len(sides) > 70
    assert np.median(sides) == pytest.approx(1, abs=0.08)
