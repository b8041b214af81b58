"""The pixels of a clip as a player shows them: turned, mirrored, HDR; every frame, and no clip that ends a run."""

from __future__ import annotations

import gc
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import typed
from clips import scene, with_matrix, write_clip
from pictures import pattern

from mien.errors import VideoError
from mien.video.frame_pixels import ArrayPixels, FramePixels, Orientation
from mien.video.reader import read_video
from mien.video.sampling import Sampling

ORIENTATIONS = {
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down and mirrored": ((1, 0, 0, -1), lambda p: p[::-1]),
    "180": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "90": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "270": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "90 and mirrored": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "270 and mirrored": ((0, -1, -1, 0), lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "plain.mp4", [pattern(48, 64)] * 2)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_all_eight_orientations(name: str, clip: Path, tmp_path: Path) -> None:
    matrix, turn = ORIENTATIONS[name]
    path = with_matrix(Path(shutil.copy(clip, tmp_path)), *matrix)
    plain = next(read_video(clip))
    for frame in read_video(path):
        np.testing.assert_array_equal(frame.pixels.grey(1), turn(plain.pixels.grey(1)))
        np.testing.assert_array_equal(frame.picture, turn(plain.picture))
        assert frame.pixels.size == frame.picture.shape[1::-1]
    if shutil.which("ffmpeg"):  # which reads the matrix by itself
        command = [
            "ffmpeg",
            "-loglevel",
            "error",
            "-i",
            path,
            "-frames:v",
            "1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ]
        shown = subprocess.run(command, capture_output=True, check=True).stdout
        np.testing.assert_array_equal(np.frombuffer(shown, np.uint8), turn(plain.picture).ravel())


def perceptual_quantizer(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    y = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hybrid_log_gamma(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, for a screen of 1,000 nits."""
    e = (nits / 1000) ** (1 / 1.2)
    high = 0.17883277 * np.log(np.maximum(12 * e - 0.28466892, 1e-9)) + 0.55991073
    return np.where(e <= 1 / 12, np.sqrt(3 * e), high)


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 17, reason="PyAV before 17 cannot convert it")
@pytest.mark.parametrize(("transfer", "encode"), [(16, perceptual_quantizer), (18, hybrid_log_gamma)])
def test_hdr_has_the_grey_levels_of_a_screen(transfer: int, encode: object, tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 160).round()
    linear = np.where(grey <= 10, grey / 255 / 12.92, ((grey / 255 + 0.055) / 1.055) ** 2.4)
    luma = (64 + 876 * encode(203 * linear)).round().astype("<u2")  # type: ignore[operator]
    path = write_hdr(tmp_path / "hdr.mkv", np.tile(luma, (96, 1)), transfer)
    for frame in read_video(path):
        assert np.abs(frame.picture - grey[None, :, None]).mean() < 1.5


def write_hdr(path: Path, luma: np.ndarray, transfer: int) -> Path:
    """Grey of 10 bits in BT.2020, without loss."""
    height, width = luma.shape
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        context, no_color = stream.codec_context, np.full((height // 2, width // 2), 512, "<u2")
        context.color_trc, context.color_primaries = transfer, 9
        context.colorspace, context.color_range = 9, 1
        for _ in range(2):
            frame = av.VideoFrame(width, height, "yuv420p10le")
            for plane, values in zip(frame.planes, (luma, no_color, no_color), strict=True):
                padded = np.zeros((values.shape[0], plane.line_size // 2), "<u2")
                padded[:, : values.shape[1]] = values
                plane.update(padded.tobytes())
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("first", range(9))
def test_the_first_frame_is_read_wherever_the_clip_begins(first: int, tmp_path: Path) -> None:
    """A header's microseconds may be rounded above the first time stamp."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        for k in range(5):
            frame = av.VideoFrame.from_ndarray(pattern(48, 64), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = 90_000 + first + 3600 * k, Fraction(1, 90_000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        expected = sum(1 for _ in container.decode(video=0))
    times = [frame.time for frame in read_video(path)]
    assert len(times) == expected == 5
    assert times[0] == pytest.approx(0, abs=1e-3) and min(times) >= 0
    assert len(list(read_video(path, Sampling(start=0.04)))) == 4


def planar(luma: np.ndarray, format: str, color_range: int) -> av.VideoFrame:
    """A frame of grey, whatever the rest of its format is; its rows may be longer than the picture."""
    height, width = luma.shape
    frame = av.VideoFrame(width, height, format)
    frame.color_range = color_range
    for number, plane in enumerate(frame.planes):
        values = np.full((plane.height, plane.line_size), 128, np.uint8)
        if number == 0:
            values[:, :width] = luma
        plane.update(values.tobytes())
    return frame


LIMITED, FULL = 1, 2


class TestGrey:
    @pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1), (33, 641)])
    @pytest.mark.parametrize("format", ["yuv420p", "yuv422p", "yuv444p", "yuv410p", "nv12", "yuvj420p"])
    @pytest.mark.parametrize("color_range", [0, LIMITED, FULL])
    def test_it_is_that_of_the_picture(self, size: tuple[int, int], format: str, color_range: int) -> None:
        pixels = FramePixels(planar(pattern(*size)[..., 0], format, color_range), "a.mp4", 1.0, Orientation())
        for factor in (1, 2, 3):
            grey = pixels.grey(factor)
            expected = ArrayPixels(pixels.rgb()).grey(factor)
            assert grey.shape == expected.shape and grey.dtype == np.uint8
            assert np.abs(grey.astype(int) - expected).max() <= 3

    @pytest.mark.parametrize(
        ("format", "color_range", "expected"),
        [
            ("yuv420p", 0, [0, 0, 0, 130, 255, 255, 255]),
            ("yuv420p", LIMITED, [0, 0, 0, 130, 255, 255, 255]),
            ("yuv420p", FULL, [0, 10, 16, 128, 235, 245, 255]),
            ("yuvj420p", 0, [0, 10, 16, 128, 235, 245, 255]),
        ],
    )
    def test_black_and_white_of_each_range(self, format: str, color_range: int, expected: list[int]) -> None:
        luma = np.array([[0, 10, 16, 128, 235, 245, 255]] * 3, np.uint8)
        grey = FramePixels(planar(luma, format, color_range), "a.mp4", 1.0, Orientation()).grey(1)
        assert grey.tolist() == [expected] * 3

    @pytest.mark.parametrize("color_range", [LIMITED, FULL])
    @pytest.mark.parametrize("size", [(48, 64), (47, 63)])
    def test_of_a_file(self, color_range: int, size: tuple[int, int], tmp_path: Path) -> None:
        height, width = size
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("ffv1", rate=5)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.color_range = color_range
            luma = np.tile(np.linspace(16, 235, width).round().astype(np.uint8), (height, 1))
            for k in range(2):
                frame = planar(luma, "yuv420p", color_range)
                frame.pts = k
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        expected = np.linspace(0, 255, width).round() if color_range == LIMITED else luma
        for frame in read_video(path):
            assert frame.pixels.size == (width, height)
            assert np.abs(frame.pixels.grey(1) - expected).max() <= 1
            assert np.abs(frame.picture.mean(axis=2) - expected).max() <= 3

    @pytest.mark.parametrize("format", ["rgb24", "bgra", "gray", "yuv420p10le", "yuyv422", "rgb8"])
    def test_what_has_no_plane_of_bytes_for_it_is_converted(self, format: str) -> None:
        frame = av.VideoFrame.from_ndarray(pattern(48, 64), format="rgb24").reformat(format=format)
        pixels = FramePixels(frame, "a.mkv", 1.0, Orientation())
        np.testing.assert_array_equal(pixels.grey(2), ArrayPixels(pixels.rgb()).grey(2))

    def test_pixels_that_are_no_squares(self) -> None:
        pixels = FramePixels(planar(pattern(48, 64)[..., 0], "yuv420p", LIMITED), "a.mp4", 1.5, Orientation())
        assert pixels.size == (96, 48)
        assert pixels.rgb().shape == (48, 96, 3)
        assert np.abs(pixels.grey(1).astype(int) - ArrayPixels(pixels.rgb()).grey(1)).mean() < 3


def test_a_frame_is_freed_as_soon_as_nobody_needs_it(tmp_path: Path) -> None:
    long = write_clip(tmp_path / "long.mp4", [pattern(48, 64)] * 30)
    gc.collect()
    gc.disable()  # which would free circles of objects in the end, and until then their memory is lost
    try:
        for frame in read_video(long):
            assert frame.picture.shape == frame.pixels.rgb().shape
            assert frame.pixels.grey(1).shape == (48, 64)
        kept = sum(type(one) is FramePixels for one in gc.get_objects())
        in_circles = sum(type(one) is av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert kept <= 2 and in_circles <= 5  # of 30


class TestOneBadClip:
    @pytest.fixture
    def unknown(self, clip: Path, tmp_path: Path) -> Path:
        """A clip whose codec nobody knows."""
        path = tmp_path / "a.mp4"
        data = clip.read_bytes()
        assert data.count(b"avc1") >= 1
        path.write_bytes(data.replace(b"avc1", b"zzz9"))
        return path

    def test_a_codec_that_nobody_knows(self, unknown: Path) -> None:
        with pytest.raises(VideoError, match=r"a\.mp4: FFmpeg does not know its codec"):
            list(read_video(unknown))

    def test_the_others_are_read(self, unknown: Path) -> None:
        write_clip(unknown.with_name("b.mp4"), [scene((0, 200, 90))] * 2)
        done = typed.run("video", unknown.parent, "--format", "csv")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 4 and "does not know its codec" in lines[1] and "b.mp4,1," in lines[3]

    def test_whatever_goes_wrong_is_of_this_clip(self, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise IndexError("of a library")

        monkeypatch.setattr("mien.video.reader.FramePixels", fail)
        with pytest.raises(VideoError, match=r"plain\.mp4: cannot be read: IndexError: of a library"):
            list(read_video(clip))

    def test_and_so_does_what_fails_when_pixels_are_needed(
        self, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise IndexError("of a library")

        monkeypatch.setattr("mien.video.frame_pixels.plane_rows", fail)
        for frame in read_video(clip):
            with pytest.raises(VideoError, match=r"plain\.mp4: cannot be read: IndexError: of a library"):
                frame.pixels.rgb()
