"""Pictures from open files and buffers; and what people take for a path, which is told how to be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import astronaut, encode

from mien.errors import ImageError
from mien.explanation.explain import explain
from mien.faces.detector import FaceDetector
from mien.images.read import read_image
from mien.recognition import EmotionRecognizer


def touch(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


class Drip(io.RawIOBase):
    """A file that gives a few bytes at a time, as a socket does, and cannot be sought."""

    def __init__(self, data: bytes, step: int) -> None:
        self._rest, self._step, self.taken = data, step, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        part = self._rest[: min(self._step, len(buffer))]
        self._rest = self._rest[len(part) :]
        buffer[: len(part)] = part
        self.taken += len(part)
        return len(part)


class TestOpenFiles:
    def test_whatever_holds_the_bytes_gives_the_same_picture(self, tmp_path: Path) -> None:
        data = encode(astronaut(), "jpeg")
        path = touch(tmp_path / "a.jpg", data)
        expected = read_image(path)
        every_second = memoryview(bytes(b for byte in data for b in (byte, 0)))[::2]
        with path.open("rb") as buffered, path.open("rb", buffering=0) as raw:
            sources = [
                bytearray(data),
                memoryview(data),
                every_second,
                io.BytesIO(data),
                buffered,
                raw,
                Drip(data, 7),
            ]
            for source in sources:
                np.testing.assert_array_equal(read_image(source), expected)
            assert not buffered.closed and buffered.read() == b""

    def test_it_is_read_on_from_where_it_stands(self) -> None:
        data = encode(astronaut(), "png")
        file = io.BytesIO(b"head" + data)
        file.seek(4)
        np.testing.assert_array_equal(read_image(file), read_image(data))
        with pytest.raises(ImageError, match=r"nothing left in it; .*seek\(0\)"):
            read_image(file)

    def test_a_file_without_end_is_left_after_the_largest_picture(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mien.images.read.MAX_BYTES", 3_000_000)
        endless = Drip(bytes(20_000_000), 100_000)
        with pytest.raises(ImageError, match="larger than 3 MB"):
            read_image(endless)
        assert endless.taken < 5_000_000

    def test_bytes_in_any_form_have_the_same_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mien.images.read.MAX_BYTES", 1000)
        for data in (bytes(1001), bytearray(1001), memoryview(np.zeros(251, np.float32))):
            with pytest.raises(ImageError, match="larger than"):
                read_image(data)

    @pytest.mark.parametrize("opened", ["file", "text", "upload"])
    def test_a_text_file_says_how_to_open_it(self, opened: str, tmp_path: Path) -> None:
        path = touch(tmp_path / "a.jpg", b"GIF89a")
        upload = type("Upload", (), {"read": lambda self, size: "text"})()
        with path.open() as file:
            source = {"file": file, "text": io.StringIO("text"), "upload": upload}[opened]
            with pytest.raises(TypeError, match=r'opened as text; .* open\(path, "rb"\)'):
                read_image(source)

    def test_a_closed_file_and_one_that_fails(self) -> None:
        closed = io.BytesIO(b"x")
        closed.close()
        with pytest.raises(ImageError, match=r"open file: cannot be read: .*closed file"):
            read_image(closed)
        failing = type(
            "Failing", (), {"read": lambda self, size: (_ for _ in ()).throw(OSError("gone\naway"))}
        )()
        with pytest.raises(ImageError, match="open file: cannot be read: gone away"):
            read_image(failing)


class TestNoPaths:
    """What people take for a path is told in a short line."""

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("https://example.org/a.jpg", "mien fetches nothing; expected a path, or the bytes"),
            ("s3://bucket/a.jpg", "mien fetches nothing"),
            ("data:image/png;base64," + "A" * 100_000, "expected its bytes: base64.b64decode"),
            ("A" * 100_000, "cannot be read"),
        ],
        ids=["https", "s3", "data", "long"],
    )
    @pytest.mark.parametrize("kind", [str, Path])
    def test_addresses(self, text: str, words: str, kind: type) -> None:
        with pytest.raises(ImageError, match=words) as caught:
            read_image(kind(text))
        assert len(str(caught.value)) < 300
        assert str(caught.value).startswith(text[:3])

    def test_a_file_of_that_name_is_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        touch(tmp_path / "data:a.png", encode(astronaut(), "png"))
        assert read_image("data:a.png").shape == astronaut().shape


def test_every_door_takes_them() -> None:
    data = encode(astronaut(), "jpeg", quality=92)
    recognizer = EmotionRecognizer()
    (expected,) = recognizer.recognize(data)
    assert list(recognizer.recognize(io.BytesIO(data))) == [expected]
    assert list(recognizer.recognize(bytearray(data))) == [expected]
    assert FaceDetector().detect(memoryview(data)) == [expected.face]
    assert FaceDetector().detect_batch([io.BytesIO(data), bytearray(data)]) == [[expected.face]] * 2
    (explanation,) = explain(io.BytesIO(data), recognizer=recognizer)
    assert explanation.face == expected
