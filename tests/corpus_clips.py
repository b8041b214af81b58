"""Clips of every codec and container that PyAV writes, at every rhythm; the answer is what went in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import with_matrix
from corpus_case import Pixels
from pictures import pattern

_LENGTH = 6  # pictures

_TURNS = {
    "as-it-is": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda p: p[::-1]),
    "180": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "90": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "270": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "90-mirrored": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "270-mirrored": ((0, -1, -1, 0), lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
}

_KINDS = {
    # codec, pixels, containers
    "h264": ("libx264", "yuv420p", "mp4 mov mkv ts flv avi 3gp m4v nut mpg"),
    "h264-444": ("libx264", "yuv444p", "mp4 mkv"),
    "h264-10bit": ("libx264", "yuv420p10le", "mp4 mkv"),
    "h265": ("libx265", "yuv420p", "mp4 mkv ts"),
    "h265-10bit": ("libx265", "yuv420p10le", "mp4 mov"),
    "vp8": ("libvpx", "yuv420p", "webm mkv ivf"),
    "vp9": ("libvpx-vp9", "yuv420p", "webm mkv mp4 ivf"),
    "av1": ("libsvtav1", "yuv420p", "mp4 mkv webm"),
    "av1-10bit": ("libsvtav1", "yuv420p10le", "mp4"),
    "mpeg4": ("mpeg4", "yuv420p", "mp4 avi mkv mov"),
    "mjpeg": ("mjpeg", "yuvj420p", "avi mov mkv"),
    "ffv1": ("ffv1", "yuv420p", "mkv avi"),
    "ffv1-10bit": ("ffv1", "yuv422p10le", "mkv"),
    "ffv1-16bit-grey": ("ffv1", "gray16le", "mkv"),
    "huffyuv": ("huffyuv", "rgb24", "avi"),
    "utvideo": ("utvideo", "gbrp", "avi"),
    "raw": ("rawvideo", "bgr24", "avi nut"),
    "prores": ("prores_ks", "yuv422p10le", "mov"),
    "png": ("png", "rgb24", "mov avi"),
    "qtrle": ("qtrle", "rgb24", "mov"),
    "flv1": ("flv", "yuv420p", "flv avi"),
    "wmv2": ("wmv2", "yuv420p", "wmv asf"),
    "msmpeg4": ("msmpeg4", "yuv420p", "avi"),
    "y4m": ("wrapped_avframe", "yuv420p", "y4m"),
}  # fmt: skip
_SILENT = {"libx265": {"x265-params": "log-level=none"}}
_LOSSLESS = frozenset({"huffyuv", "utvideo", "raw", "png", "qtrle"})
_ROUGH = frozenset({"vp8", "mpeg4", "av1", "av1-10bit"})


@dataclass(frozen=True)
class ClipCase:
    """A clip to be written, and what it shows.

    Attributes:
        name: unique; the kind comes first, its last part is the file's ending.
        codec, pixels: names of FFmpeg's.
        given: seconds of its pictures; none for even ones.
        rate: pictures a second, where they come evenly.
        size: height and width.
        mean: the largest mean difference of a picture, in grey levels.
        options: of the encoder.
        turn: the name of one of `_TURNS`.
    """

    name: str
    codec: str
    pixels: str
    given: tuple[float, ...] = ()
    rate: int = 10
    size: tuple[int, int] = (96, 176)
    mean: float = 4.0
    options: dict[str, str] = field(default_factory=dict)
    turn: str = "as-it-is"

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds of its pictures."""
        return self.given or tuple(k / self.rate for k in range(_LENGTH))

    def stored(self) -> list[Pixels]:
        """The pictures that go in, each lighter than the one before, (H, W, 3) uint8 RGB."""
        base = pattern(*self.size) // 2
        pictures = [base + np.uint8(20 * k) for k in range(len(self.times))]
        if self.pixels.startswith("gray"):
            pictures = [np.repeat(picture[..., 2:], 3, axis=2) for picture in pictures]
        return pictures

    def shown(self) -> list[Pixels]:
        """The pictures as a player shows them."""
        return [_TURNS[self.turn][1](picture) for picture in self.stored()]

    def write(self, folder: Path) -> Path:
        """Write the clip, named after its ending."""
        path = folder / f"clip.{self.name.rpartition('-')[2]}"
        with av.open(str(path), "w") as output:
            stream = output.add_stream(self.codec, rate=self.rate)
            stream.height, stream.width, stream.pix_fmt = *self.size, self.pixels
            stream.options = self.options | _SILENT.get(self.codec, {})
            base = Fraction(1, 1000 if self.given else self.rate)
            stream.codec_context.time_base = base
            for time, picture in zip(self.times, self.stored(), strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=self.pixels)
                frame.pts, frame.time_base = round(time / base), base
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path if self.turn == "as-it-is" else with_matrix(path, *_TURNS[self.turn][0])


def clip_cases() -> Iterator[ClipCase]:
    """Codecs by containers, rhythms, odd sizes, pictures that need later ones, every turn; what is not built in is not
    listed."""
    for kind, (codec, pixels, endings) in _KINDS.items():
        if codec not in av.codecs_available:
            continue
        mean = 1.0 if kind in _LOSSLESS else 8.0 if kind in _ROUGH else 4.0
        for ending in endings.split():
            yield ClipCase(f"{kind}-{ending}", codec, pixels, mean=mean, **_needs(kind))
    for name in _TURNS:
        yield ClipCase(f"turn-{name}-mp4", "libx264", "yuv420p", turn=name)
        yield ClipCase(f"turn-{name}-mov", "mjpeg", "yuvj420p", turn=name)
    yield from _rhythms()
    for height, width in ((95, 175), (33, 17), (16, 2), (17, 300)):
        for kind, codec, ending in (
            ("h264", "libx264", "mp4"),
            ("ffv1", "ffv1", "mkv"),
            ("png", "png", "mov"),
        ):
            pixels = "rgb24" if kind == "png" else "yuv444p"
            yield ClipCase(f"odd-{kind}-{height}x{width}-{ending}", codec, pixels, size=(height, width))


def _rhythms() -> Iterator[ClipCase]:
    uneven = (0.0, 0.04, 0.5, 0.54, 2.0, 2.001)
    for name, times in (("uneven", uneven), ("one", (0.0,)), ("slow", (0.0, 7.0, 30.0))):
        for ending, codec in (
            ("mp4", "libx264"),
            ("mkv", "libx264"),
            ("mov", "mjpeg"),
            ("webm", "libvpx-vp9"),
        ):
            pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if codec in av.codecs_available:
                yield ClipCase(f"rhythm-{name}-{ending}", codec, pixels, times)
    for frames in ("0", "1", "3"):
        for ending in ("mp4", "mkv", "ts", "avi"):
            options = {"bf": frames, "g": "4", "b_strategy": "0", "x264-params": "open-gop=1"}
            yield ClipCase(f"between-{frames}-{ending}", "libx264", "yuv420p", options=options)
    for ending in ("mpg", "ts", "mkv"):
        yield ClipCase(f"mpeg2-{ending}", "mpeg2video", "yuv420p", rate=25, options={"bf": "2"})


def _needs(kind: str) -> dict[str, object]:
    """What some codecs insist on."""
    if kind.startswith("av1"):
        return {"options": {"preset": "8", "crf": "10"}}
    if kind.startswith("vp9"):
        return {"options": {"deadline": "realtime", "cpu-used": "8"}}
    return {}
