"""Clips for the tests, made of two portraits: people who cross, leave, and are cut to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from pictures import astronaut, grace_hopper, pattern

Picture = NDArray[np.uint8]
FPS = 25


@cache
def heads() -> tuple[Picture, Picture]:
    """The astronaut's head and Grace Hopper's, each with a face of about 80 pixels."""
    first = cv2.resize(astronaut()[20:220, 125:325], (150, 150), interpolation=cv2.INTER_AREA)
    second = cv2.resize(grace_hopper()[40:400, 86:446], (140, 140), interpolation=cv2.INTER_AREA)
    return first, second


@cache
def rooms() -> tuple[Picture, Picture]:
    """Two backgrounds that look nothing like each other."""
    return pattern(360, 640), np.ascontiguousarray(255 - pattern(360, 640)[::-1, ::-1] // 2)


def scene(*places: tuple[int, int, int], room: int = 0) -> Picture:
    """(360, 640, 3): heads by their number on a background, each at (head, x, y), the last in front."""
    picture = rooms()[room].copy()
    for number, x, y in places:
        head = heads()[number]
        height, width = head.shape[:2]
        left, right = max(0, x), min(640, x + width)
        if left < right:
            picture[y : y + height, left:right] = head[:, left - x : right - x]
    return picture


def story() -> Iterator[Picture]:
    """Six seconds: two cross (0 to 3 s), nobody (3 to 4 s), one again; at 5 s a cut to the other, elsewhere."""
    for i in range(75):
        yield scene((0, 460 - 6 * i, 90), (1, 20 + 6 * i, 110))
    for _ in range(25):
        yield scene()
    for i in range(25):
        yield scene((0, 200 + i, 90))
    for i in range(25):
        yield scene((1, 230 + i, 100), room=1)


def write_clip(
    path: Path,
    pictures: Iterable[Picture],
    *,
    fps: int = FPS,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    sound: str | None = None,
    format: str | None = None,
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    title: bytes | None = None,
    encoder: dict[str, str] | None = None,
) -> Path:
    """Write pictures (H, W, 3) RGB as a clip, at `times` in seconds where given, with a beep in codec `sound`; pixels
    are `aspect` times as wide as high. `title` may be of any coding; `options` are of the file, `encoder`
    of the codec."""
    pictures = iter(pictures)
    first = next(pictures)
    pixels = {"gif": "rgb8", "rawvideo": "bgr24", "mjpeg": "yuvj420p", "libx264": "yuv420p"}.get(
        codec, "yuv420p"
    )
    if first.shape[0] % 2 or first.shape[1] % 2:
        pixels = {"yuv420p": "yuv444p"}.get(pixels, pixels)
    stand_in = "@" * len(title or b"")
    with av.open(str(path), "w", format=format, options=options or {}) as output:
        if title:
            output.metadata["title"] = stand_in
        video = output.add_stream(codec, rate=fps)
        video.height, video.width = first.shape[:2]
        video.pix_fmt = pixels
        video.options = encoder or {}
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        beep = output.add_stream(sound, rate=44_100, layout="stereo") if sound else None
        count = 0
        for count, picture in enumerate([first, *pictures]):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[count]), Fraction(1, 1000)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if beep is not None:
            _beep(output, beep, (count + 1) / fps)
    if title:
        path.write_bytes(path.read_bytes().replace(stand_in.encode(), title))
    return path


def _beep(output: av.container.OutputContainer, stream: av.audio.AudioStream, seconds: float) -> None:
    n = round(44_100 * seconds)
    wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(n) / 44_100)).astype(np.int16)
    for begin in range(0, n - 1024, 1024):
        samples = np.repeat(wave[begin : begin + 1024], 2)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, begin, Fraction(1, 44_100)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A clip with sound alone."""
    with av.open(str(path), "w") as output:
        _beep(output, output.add_stream("aac", rate=44_100, layout="stereo"), seconds)
    return path


def with_rotation(path: Path, degrees: int) -> Path:
    """Note in an MP4 file's first track that players turn it clockwise by 90 or 270 degrees, as telephones do."""
    return with_matrix(path, *{90: (0, 1, -1, 0), 270: (0, -1, 1, 0)}[degrees])


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Note in an MP4 file's first track where players show (p, q): at (a p + c q, b p + d q)."""
    data = bytearray(path.read_bytes())
    matrix = [value << 16 for value in (a, b, 0, c, d, 0, 0, 0)] + [0x40000000]
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in matrix)
    path.write_bytes(data)
    return path


def play(path: Path) -> tuple[list[float], list[Picture]]:
    """Seconds and pictures of a clip, as PyAV alone decodes it."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(frame.time)
            pictures.append(frame.to_ndarray(format="rgb24"))
    return times, pictures
