"""Large JPEGs decoded smaller: which scale, what size, and boxes in pixels of the whole picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import astronaut
from PIL import Image

from mien._core.boxes import scaled
from mien.errors import ImageError
from mien.faces.detector import FaceDetector
from mien.images.jpeg_draft import Draft, read_draft
from mien.images.read import read_image, save_image
from mien.recognition import EmotionRecognizer
from mien.results import Box, Face

WIDTH, HEIGHT = 803, 602


def gradient(mode: str = "RGB") -> Image.Image:
    """Darker to the left, darkest at the top left."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return Image.fromarray((x / WIDTH * 155 + y / HEIGHT * 100).astype(np.uint8)).convert(mode)


def encoded(picture: Image.Image, form: str = "JPEG", orientation: int = 1, **options) -> bytes:
    out = io.BytesIO()
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(out, form, exif=exif, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer()


def told(draft: Draft) -> tuple[int, int, int]:
    return draft.width, draft.height, draft.scale


class TestRead:
    @pytest.mark.parametrize(
        ("side", "scale"), [(0, 1), (100, 8), (101, 4), (200, 4), (201, 2), (401, 2), (402, 1), (5000, 1)]
    )
    def test_the_least_that_leaves_so_many_pixels(self, side: int, scale: int):
        draft = read_draft(encoded(gradient()), side)
        assert told(draft) == (WIDTH, HEIGHT, scale)
        assert draft.pixels.shape == (-(-HEIGHT // scale), -(-WIDTH // scale), 3)

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_shows_what_the_whole_one_shows(self, mode: str, progressive: bool):
        data = encoded(gradient(mode), quality=95, progressive=progressive)
        draft = read_draft(data, 200)
        whole = read_image(data)[:600, :800].reshape(150, 4, 200, 4, 3).mean(axis=(1, 3))
        assert draft.scale == 4
        assert np.abs(draft.pixels[:150, :200] - whole).max() < 4
        np.testing.assert_array_equal(draft.at(1), read_image(data))
        assert draft.at(2).shape == (301, 402, 3) and draft.at(4) is draft.pixels

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_upright(self, orientation: int):
        data = encoded(gradient(), orientation=orientation, quality=95)
        whole = read_image(data)
        draft = read_draft(data, 400)
        pixels = draft.pixels
        assert (draft.height, draft.width) == whole.shape[:2]
        assert pixels.shape[:2] == tuple(-(-side // 2) for side in whole.shape[:2])
        corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
        assert [pixels[at].tolist() for at in corners] == [
            pytest.approx(whole[at].tolist(), abs=6) for at in corners
        ]

    @pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
    def test_other_forms_are_whole(self, form: str):
        data = encoded(gradient(), form)
        draft = read_draft(data, 100)
        assert told(draft) == (WIDTH, HEIGHT, 1)
        assert np.array_equal(draft.pixels, read_image(data))

    @pytest.mark.parametrize("data", [b"", b"no picture", encoded(gradient())[:3000]])
    def test_what_is_broken_is_refused(self, data: bytes):
        with pytest.raises(ImageError):
            read_draft(data, 100)

    def test_only_what_comes_out_counts_as_pixels(self):
        data, limit = encoded(gradient()), WIDTH * HEIGHT // 4
        with pytest.raises(ImageError, match="megapixels"):
            read_draft(data, 0, max_pixels=limit)
        draft = read_draft(data, WIDTH // 4, max_pixels=limit)
        assert (told(draft), draft.finest) == ((WIDTH, HEIGHT, 4), 4)
        with pytest.raises(ImageError, match="megapixels"):
            read_draft(data, WIDTH // 4, max_pixels=limit, most=WIDTH * HEIGHT - 1)

    def test_a_jpeg_that_cannot_be_read_smaller_is_read_whole(self, monkeypatch: pytest.MonkeyPatch):
        """As lossless ones: here every smaller one fails."""
        data, read = encoded(gradient()), read_image

        def fails(source: object) -> np.ndarray:
            if isinstance(source, Image.Image):
                raise ImageError("no smaller picture")
            return read(source)

        monkeypatch.setattr("mien.images.jpeg_draft.read_image", fails)
        draft = read_draft(data, WIDTH // 4)
        assert told(draft) == (WIDTH, HEIGHT, 1)
        assert np.array_equal(draft.pixels, read(data))

    def test_too_many_bytes_are_refused(self, monkeypatch: pytest.MonkeyPatch):
        data = encoded(gradient())
        for module in ("images.read", "images.jpeg_draft"):
            monkeypatch.setattr(f"mien.{module}.MAX_BYTES", len(data) - 1)
        with pytest.raises(ImageError, match="expected a smaller file"):
            read_draft(data, 100)


class TestScaled:
    face = Face(Box(10, 20, 40, 60.5), 0.9, tuple((x, 30.0) for x in range(5)))

    def test_box_and_landmarks_and_nothing_else(self):
        large = scaled(self.face, 4)
        assert large == Face(Box(40, 80, 160, 242), 0.9, tuple((4.0 * x, 120.0) for x in range(5)))
        assert scaled(self.face, 1) is self.face

    def test_without_landmarks(self):
        assert scaled(Face(Box(1, 2, 3, 4), 1.0), 2) == Face(Box(2, 4, 6, 8), 1.0)


class TestPhotographs:
    """What is found in a smaller copy is told, and read, as if it had been the whole picture."""

    @staticmethod
    def photograph(side: int) -> np.ndarray:
        """A portrait whose face is about 0.24 of its side wide, in a large plain picture."""
        picture = np.full((2400, 3200, 3), 128, np.uint8)
        picture[300 : 300 + side, 400 : 400 + side] = np.asarray(
            Image.fromarray(astronaut()).resize((side, side))
        )
        return picture

    @pytest.mark.parametrize("side", [500, 900, 1800])
    def test_the_same_face_whatever_was_decoded(self, recognizer, tmp_path: Path, side: int):
        save_image(self.photograph(side), tmp_path / "photo.jpg")
        (small,) = recognizer.recognize(tmp_path / "photo.jpg")
        (whole,) = recognizer.recognize(read_image(tmp_path / "photo.jpg"))
        assert small.box.iou(whole.box) > 0.85
        assert small.quality.score == pytest.approx(whole.quality.score, abs=0.03)
        assert small.emotion == whole.emotion

    def test_a_small_face_is_cut_out_of_more_pixels(self, recognizer, tmp_path: Path, monkeypatch):
        """What the model sees of a face has twice its own pixels, where the picture has them."""
        seen: list[tuple[int, float]] = []
        crop = FaceDetector.crop

        def noting(self, image, face, *, size):
            seen.append((image.shape[1], self.square(face).side / size))
            return crop(self, image, face, size=size)

        monkeypatch.setattr(FaceDetector, "crop", noting)
        for side in (500, 900, 1800):
            save_image(self.photograph(side), tmp_path / "photo.jpg")
            recognizer.recognize(tmp_path / "photo.jpg")
        assert [width for width, _ in seen] == [3200, 1600, 800]
        assert all(2 <= pixels < 5 for _, pixels in seen[1:])

    def test_min_size_counts_in_the_whole_picture(self, tmp_path: Path):
        save_image(self.photograph(900), tmp_path / "photo.jpg")
        (face,) = FaceDetector().detect(read_image(tmp_path / "photo.jpg"))
        shorter = min(face.box.width, face.box.height)
        for least, faces in ((0.8, 1), (1.25, 0)):
            recognizer = EmotionRecognizer(min_size=round(least * shorter))
            assert len(recognizer.recognize(tmp_path / "photo.jpg")) == faces
