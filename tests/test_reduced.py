"""Large JPEGs decoded smaller: which scale, what size, and boxes in pixels of the whole picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mien.errors import ImageError
from mien.images.jpeg_draft import DraftScale, read_draft
from mien.images.read import read_image
from mien.results import Box, Face, FaceEmotion, Prediction, Quality

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


class TestRead:
    @pytest.mark.parametrize(
        ("side", "scale"), [(0, 1), (100, 8), (101, 4), (200, 4), (201, 2), (401, 2), (402, 1), (5000, 1)]
    )
    def test_the_least_that_leaves_so_many_pixels(self, side: int, scale: int):
        pixels, reduction = read_draft(encoded(gradient()), side)
        assert reduction == DraftScale(WIDTH, HEIGHT, scale)
        assert pixels.shape == (-(-HEIGHT // scale), -(-WIDTH // scale), 3)

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_shows_what_the_whole_one_shows(self, mode: str, progressive: bool):
        data = encoded(gradient(mode), quality=95, progressive=progressive)
        pixels, reduction = read_draft(data, 200)
        whole = read_image(data)[:600, :800].reshape(150, 4, 200, 4, 3).mean(axis=(1, 3))
        assert reduction.scale == 4
        assert np.abs(pixels[:150, :200] - whole).max() < 4

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_upright(self, orientation: int):
        data = encoded(gradient(), orientation=orientation, quality=95)
        whole = read_image(data)
        pixels, reduction = read_draft(data, 400)
        assert (reduction.height, reduction.width) == whole.shape[:2]
        assert pixels.shape[:2] == tuple(-(-side // 2) for side in whole.shape[:2])
        corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
        assert [pixels[at].tolist() for at in corners] == [
            pytest.approx(whole[at].tolist(), abs=6) for at in corners
        ]

    @pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
    def test_other_forms_are_whole(self, form: str):
        data = encoded(gradient(), form)
        pixels, reduction = read_draft(data, 100)
        assert reduction == DraftScale(WIDTH, HEIGHT)
        assert np.array_equal(pixels, read_image(data))

    @pytest.mark.parametrize("data", [b"", b"no picture", encoded(gradient())[:3000]])
    def test_what_is_broken_is_refused(self, data: bytes):
        with pytest.raises(ImageError):
            read_draft(data, 100)

    def test_only_what_comes_out_counts_as_pixels(self, monkeypatch: pytest.MonkeyPatch):
        data = encoded(gradient())
        monkeypatch.setattr("mien.images.read.read_image.__kwdefaults__", {"max_pixels": WIDTH * HEIGHT // 4})
        with pytest.raises(ImageError, match="megapixels"):
            read_image(data)
        assert read_draft(data, WIDTH // 4)[1] == DraftScale(WIDTH, HEIGHT, 4)
        monkeypatch.setattr("mien.images.jpeg_draft._MOST", WIDTH * HEIGHT - 1)
        with pytest.raises(ImageError, match="megapixels"):
            read_draft(data, WIDTH // 4)

    def test_a_jpeg_that_cannot_be_read_smaller_is_read_whole(self, monkeypatch: pytest.MonkeyPatch):
        """As lossless ones: here every smaller one fails."""
        data, read = encoded(gradient()), read_image

        def fails(source: object) -> np.ndarray:
            if isinstance(source, Image.Image):
                raise ImageError("no smaller picture")
            return read(source)

        monkeypatch.setattr("mien.images.jpeg_draft.read_image", fails)
        pixels, reduction = read_draft(data, WIDTH // 4)
        assert reduction == DraftScale(WIDTH, HEIGHT)
        assert np.array_equal(pixels, read(data))

    def test_too_many_bytes_are_refused(self, monkeypatch: pytest.MonkeyPatch):
        data = encoded(gradient())
        for module in ("images.read", "images.jpeg_draft"):
            monkeypatch.setattr(f"mien.{module}.MAX_BYTES", len(data) - 1)
        with pytest.raises(ImageError, match="expected a smaller file"):
            read_draft(data, 100)


class TestEnlarge:
    face = FaceEmotion(
        Face(Box(10, 20, 40, 60.5), 0.9, tuple((x, 30.0) for x in range(5))),
        Prediction({"happy": 1.0}),
        Quality(0.5, ("small",)),
    )

    def test_box_and_landmarks_and_nothing_else(self):
        large = DraftScale(400, 400, 4).enlarge(self.face)
        assert large.box == Box(40, 80, 160, 242)
        assert large.face.landmarks == tuple((4.0 * x, 120.0) for x in range(5))
        assert (large.face.score, large.prediction, large.quality) == (
            0.9,
            self.face.prediction,
            self.face.quality,
        )

    def test_without_landmarks(self):
        bare = FaceEmotion(Face(Box(1, 2, 3, 4), 1.0), Prediction({"happy": 1.0}))
        assert DraftScale(9, 9, 2).enlarge(bare).face == Face(Box(2, 4, 6, 8), 1.0)

    @pytest.mark.parametrize(("scale", "least", "stays"), [(1, 30, 1), (1, 31, 0), (2, 60, 1), (2, 61, 0)])
    def test_size_counts_in_the_whole_picture(self, scale: int, least: int, stays: int):
        assert len(DraftScale(400, 400, scale).large([self.face], least)) == stays
