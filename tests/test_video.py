"""Clips in: real times, upright frames, any kind of file; what is broken says so and keeps what was read."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import FPS, play, scene, story, with_rotation, write_clip, write_sound
from pictures import pattern
from PIL import Image

from mien.errors import VideoError
from mien.video.packets import Skip
from mien.video.reader import Frame, read_video, video_info
from mien.video.sampling import Sampling


def grey_steps(n: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames that tell their number by their brightness, 4 k."""
    return [np.full((height, width, 3), 4 * k, np.uint8) for k in range(n)]


def numbers(frames: list[Frame]) -> list[int]:
    return [round(float(frame.picture.mean()) / 4) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"),
     ("a.avi", "mpeg4"), ("a.gif", "gif"), ("a.ts", "libx264")],
)  # fmt: skip
def test_every_kind_of_clip(tmp_path: Path, name: str, codec: str) -> None:
    path = write_clip(tmp_path / name, [pattern(48, 64)] * 12, codec=codec)
    frames = list(read_video(path))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([k / FPS for k in range(12)], abs=0.011)
    for frame in frames:
        assert frame.picture.shape == (48, 64, 3)
        assert frame.picture.dtype == np.uint8
        assert np.abs(frame.picture.astype(int) - pattern(48, 64)).mean() < 25


def test_odd_sizes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.mkv", [pattern(47, 63)] * 3)
    assert [frame.picture.shape for frame in read_video(path)] == [(47, 63, 3)] * 3


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi"])
def test_a_title_in_another_coding_is_no_reason_to_refuse_the_pictures(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, [pattern(48, 64)] * 3, title="Café à Köln".encode("latin-1"))
    assert len(list(read_video(path))) == 3


@pytest.mark.parametrize(("degrees", "turns"), [(90, -1), (270, 1)])
def test_a_clip_that_was_filmed_sideways_is_upright(tmp_path: Path, degrees: int, turns: int) -> None:
    path = with_rotation(write_clip(tmp_path / "a.mp4", [pattern(48, 64)] * 3), degrees)
    for frame in read_video(path):
        expected = np.rot90(pattern(48, 64), turns)
        assert frame.picture.shape == expected.shape
        assert np.abs(frame.picture.astype(int) - expected).mean() < 8


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 1.3, 1.34]
    path = write_clip(tmp_path / "vfr.mkv", grey_steps(6), times=times)
    assert [frame.time for frame in read_video(path)] == pytest.approx(times, abs=0.002)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(every=3), [0, 3, 6, 9, 12, 15, 18]),
        (Sampling(fps=5), [0, 5, 10, 15]),
        (Sampling(fps=10), [0, 3, 5, 8, 10, 13, 15, 18]),
        (Sampling(fps=1000), list(range(20))),
        (Sampling(start=0.2, end=0.32), [5, 6, 7]),
        (Sampling(every=2, start=0.2, end=0.4), [5, 7, 9]),
    ],
)
def test_sampling(tmp_path: Path, sampling: Sampling, expected: list[int]) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_steps(20))
    frames = list(read_video(path, sampling))
    assert [frame.index for frame in frames] == expected
    assert numbers(frames) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"fps": 0},
        {"fps": float("nan")},
        {"every": 2, "fps": 5},
        {"start": -1},
        {"start": 2, "end": 2},
    ],
)
def test_wrong_sampling(options: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Sampling(**options)


def test_what_the_header_says(tmp_path: Path) -> None:
    info = video_info(write_clip(tmp_path / "a.mp4", grey_steps(20)))
    assert (info.width, info.height, info.fps) == (64, 48, 25)
    assert info.duration == pytest.approx(0.8)


class TestBadInput:
    def test_files_that_are_no_clips(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("not a video\n" * 100)
        (tmp_path / "empty.mp4").write_bytes(b"")
        (tmp_path / "folder").mkdir()
        write_sound(tmp_path / "song.m4a")
        words = {
            "text.mp4": "not a video",
            "empty.mp4": "empty",
            "missing.mp4": "no such file",
            "folder": "folder",
            "song.m4a": "no video",
        }
        for name, word in words.items():
            with pytest.raises(VideoError, match=word) as caught:
                list(read_video(tmp_path / name))
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)

    def test_a_clip_without_frames(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.ts", grey_steps(3))
        whole = path.read_bytes()
        path.write_bytes(whole[: 188 * 3])
        with pytest.raises(VideoError):
            list(read_video(path))

    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
    def test_a_truncated_clip_keeps_what_was_read(self, tmp_path: Path, name: str) -> None:
        rng = np.random.default_rng(0)
        noise = (rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(100))
        options = {"movflags": "faststart"} if name == "a.mp4" else {}
        path = write_clip(tmp_path / name, noise, options=options)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        frames = []
        with pytest.raises(VideoError, match="kept"):
            for frame in read_video(path):
                frames.append(frame)
        assert 20 <= len(frames) <= 60

    def test_an_mp4_whose_index_is_cut_off(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", grey_steps(20))
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(VideoError, match=r"a\.mp4"):
            list(read_video(path))

    def test_damaged_parts_are_left_out(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        noise = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(30)]
        path = write_clip(tmp_path / "a.avi", noise, codec="mjpeg")
        data = bytearray(path.read_bytes())
        begin = len(data) // 2
        data[begin : begin + 300] = bytes(300)
        path.write_bytes(data)
        frames = []
        try:
            for frame in read_video(path):
                frames.append(frame)
        except VideoError as error:
            assert "kept" in str(error)
        assert len(frames) >= 20

    def test_too_many_pixels_are_refused_by_the_header(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_clip(tmp_path / "a.mp4", grey_steps(3))
        monkeypatch.setattr("mien.video.frame_pixels.MAX_PIXELS", 64 * 48 - 1)
        with pytest.raises(VideoError, match="too many pixels"):
            list(read_video(path))

    @pytest.mark.slow
    def test_8k(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "8k.mp4", [np.full((4320, 7680, 3), 90, np.uint8)] * 2, codec="mpeg4")
        assert [frame.picture.shape for frame in read_video(path)] == [(4320, 7680, 3)] * 2

    def test_a_playlist_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "list.m3u8").write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(VideoError):
            list(read_video(tmp_path / "list.m3u8"))


@pytest.mark.parametrize(
    ("aspect", "shape"), [(Fraction(2), (48, 128, 3)), (Fraction(1, 2), (96, 64, 3)), (None, (48, 64, 3))]
)
def test_pixels_are_made_square(tmp_path: Path, aspect: Fraction | None, shape: tuple[int, ...]) -> None:
    path = write_clip(tmp_path / "a.mp4", [pattern(48, 64)] * 3, aspect=aspect)
    assert [frame.picture.shape for frame in read_video(path)] == [shape] * 3


class TestEnding:
    def left_of(self, before: set[threading.Thread]) -> set[threading.Thread]:
        """Threads that were begun since; other tests' libraries may have left some before."""
        deadline = time.monotonic() + 10
        while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def test_closing_early_ends_the_thread(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", story())
        before = set(threading.enumerate())
        frames = read_video(path)
        next(frames), next(frames)
        assert set(threading.enumerate()) - before
        frames.close()
        assert not self.left_of(before)

    def test_an_exception_in_the_callers_loop_does_not_hang(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", story())
        before = set(threading.enumerate())
        with pytest.raises(ZeroDivisionError):
            for frame in read_video(path):
                frame.index / 0
        assert not self.left_of(before)

    def test_the_same_frames_as_without_a_thread(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", [scene((0, 10 * k, 90)) for k in range(15)])
        times, pictures = play(path)
        frames = list(read_video(path))
        assert [frame.time for frame in frames] == times
        assert all(np.array_equal(f.picture, p) for f, p in zip(frames, pictures, strict=True))


CODECS = {
    "a.mp4": ("libx264", {"bf": "3", "g": "10"}),
    "open.mp4": ("libx264", {"bf": "3", "g": "10", "x264-params": "open-gop=1"}),
    "long.mkv": ("libx264", {"g": "999"}),
    "refresh.mkv": ("libx264", {"intra-refresh": "1", "g": "12"}),
    "a.ts": ("mpeg2video", {"bf": "2", "g": "8"}),
    "a.avi": ("mpeg4", {"bf": "2", "g": "9"}),
    "b.avi": ("mjpeg", {}),
    "c.avi": ("libx264", {"bf": "3", "g": "10"}),
    "a.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "8", "g": "10"}),
    "a.gif": ("gif", {}),
}


@pytest.mark.parametrize("name", CODECS)
def test_a_part_has_the_numbers_times_and_pictures_that_it_has_in_the_whole(
    tmp_path: Path, name: str
) -> None:
    """What comes before is passed over, not decoded: whatever frames need of others must still be there."""
    codec, encoder = CODECS[name]
    pictures = [np.roll(pattern(48, 64), 3 * k, axis=1) for k in range(60)]
    path = write_clip(tmp_path / name, pictures, codec=codec, encoder=encoder)
    whole = list(read_video(path))
    assert len(whole) == 60
    for start in (0.3, 1.01, 2.0, 2.3):
        part = list(read_video(path, Sampling(start=start)))
        expected = [frame for frame in whole if frame.time >= start - 5e-4]
        assert [(frame.index, frame.time) for frame in part] == [(f.index, f.time) for f in expected]
        for frame, other in zip(part, expected, strict=True):
            np.testing.assert_array_equal(frame.picture, other.picture)


def test_most_of_what_comes_before_a_part_is_not_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", [pattern(48, 64)] * 200, encoder={"g": "5"})
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        skip = Skip(packets, 190 / FPS, 10**6)
        assert len(list(skip.rest)) < 40


def test_where_there_is_nothing_it_is_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_steps(60))
    for sampling, words in (
        (Sampling(start=99), "no frame at 99 s or later; the clip ends after 2.4 s"),
        (Sampling(start=1.001, end=1.03), "no frame at 1.001 s or later and before 1.03 s; the clip ends"),
    ):
        with pytest.raises(VideoError, match=re.escape(words)):
            list(read_video(path, sampling))
    assert len(list(read_video(path, Sampling(start=1, end=2)))) == 25


def test_a_gif_whose_last_picture_stays_is_whole(tmp_path: Path) -> None:
    first, *more = [Image.fromarray(picture) for picture in grey_steps(4)]
    first.save(tmp_path / "a.gif", save_all=True, append_images=more, duration=[100, 100, 100, 5000])
    assert [frame.time for frame in read_video(tmp_path / "a.gif")] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_clip_of_one_frame_is_whole(tmp_path: Path) -> None:
    for name, codec in (("a.webm", "libvpx-vp9"), ("a.mp4", "libx264"), ("a.gif", "gif")):
        assert len(list(read_video(write_clip(tmp_path / name, grey_steps(1), fps=1, codec=codec)))) == 1


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="needs ffmpeg, whose Theora encoder makes the clip"
)
def test_theora_says_of_a_frame_that_it_is_shown_once_more(tmp_path: Path) -> None:
    made = ["-f", "lavfi", "-i", "color=red:size=64x48:rate=25:duration=2", "-c:v", "libtheora"]
    subprocess.run(["ffmpeg", "-v", "error", *made, tmp_path / "a.ogv"], check=True)
    frames = list(read_video(tmp_path / "a.ogv"))
    # FFmpeg 7 leaves those packets out; 8 hands them on.
    assert [frame.index for frame in frames] == list(range(len(frames)))
    shown = [25 * frame.time for frame in frames]
    assert shown == pytest.approx([round(number) for number in shown])
    assert len(set(map(round, shown))) == len(frames) >= 5
