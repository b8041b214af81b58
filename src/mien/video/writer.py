"""A clip with boxes and labels: H.264 in MP4 that browsers play, with the sound of its source."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import VideoError
from mien.output.annotate import draw_faces
from mien.results import FrameResult
from mien.video.frame_pixels import plane_rows
from mien.video.reader import AHEAD_BYTES, open_container

if TYPE_CHECKING:
    from av import AudioFrame, Packet, VideoFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

    SoundPacket: TypeAlias = Packet[AudioStream]
    AnyPacket: TypeAlias = Packet[AudioStream] | Packet[VideoStream]

_CLOCK = 90_000
"""Ticks a second of the time stamps, as MPEG has them: fine enough for any rate of frames."""

_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
"""Codecs of sound that MP4 holds as they are; others become AAC."""

_WAITING = 4  # frames that wait to be written, fewer where they are large

_MUXER = {"movflags": "+hybrid_fragmented+frag_keyframe+default_base_moof", "flush_packets": "1"}
"""Fragments first, so that a file that is never finished plays; one index, as players like it best, at the end.

Without flushing, what is written would wait in memory, where a killed process leaves it."""


class ClipWriter:
    """Writes annotated frames into an MP4 file, for the length of a `with` block.

    Frames are drawn and encoded in a thread, while the next ones are analysed.

    Ended by an error or an interruption, the file holds what was written; a killed process loses at most the last
    seconds. An odd width or height is filled up by one pixel, as the colours of H.264 need.

    Args:
        path: the file to write; its folder exists.
        source: the clip that the frames are from: its sound is taken over.
        fps: about how many frames a second will be written, for the encoder.
        start: seconds of the source at which the new clip starts.
        sound: whether the sound of the source is taken over.

    Raises:
        OSError: the file cannot be written, as on a full disk.
    """

    def __init__(
        self, path: Path, source: Path, *, fps: float = 30.0, start: float = 0.0, sound: bool = True
    ) -> None:
        self._path, self._source, self._start, self._with_sound = path, source, start, sound
        self._rate = min(max(fps, 1.0), 240.0)
        self._stack = ExitStack()
        self._output: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._sound: _Sound | None = None
        self._last = -1
        self._size: tuple[int, int] | None = None
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        with self._path.open("wb"):  # says at once if it cannot be written
            return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not isinstance(error, OSError):
                self._wait(0)
            if self._output is None or self._video is None:
                self._path.unlink(missing_ok=True)
            elif not isinstance(error, OSError):
                self._finish(self._output, self._video)
        finally:
            self._thread.shutdown(cancel_futures=True)
            self._close()

    def write(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        """Draw a frame's faces, by their smoothed expressions, and write it at its time; a few frames later at most.

        Args:
            picture: (H, W, 3) uint8 RGB; all frames have the size of the first. Not to be changed from now on.
            result: its faces and its time.

        Raises:
            VideoError: it has another size.
            OSError: one of the frames so far cannot be written.
        """
        height, width = picture.shape[:2]
        if self._size not in (None, (width, height)):
            raise VideoError(
                f"{result.source}: the size of its frames changes; an annotated clip has one size"
            )
        self._size = width, height
        self._wait(max(1, min(_WAITING, AHEAD_BYTES // picture.nbytes)) - 1)
        self._waiting.append(self._thread.submit(self._write, picture, result))

    def _wait(self, most: int) -> None:
        """Until no more than so many frames wait to be written."""
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def _write(self, picture: NDArray[np.uint8], result: FrameResult) -> None:
        frame = _drawn(picture, result)
        if self._output is None:
            self._open(frame.width, frame.height)
        if self._output is None or self._video is None:
            raise ValueError("a clip that was not opened")
        time = max(0.0, (result.time or 0.0) - self._start)
        self._last = frame.pts = max(self._last + 1, round(time * _CLOCK))
        frame.time_base = Fraction(1, _CLOCK)
        self._mux(self._output, self._video.encode(frame))
        if self._sound is not None:
            self._mux(self._output, self._sound.until(time))

    def _open(self, width: int, height: int) -> None:
        import av

        output = av.open(f"file:{self._path}", "w", format="mp4", options=_MUXER)
        self._output = self._stack.enter_context(output)
        video = output.add_stream("libx264", rate=Fraction(self._rate).limit_denominator(1001))
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = Fraction(1, _CLOCK)
        video.codec_context.gop_size = math.ceil(self._rate)  # a second: what a killed process may lose
        # Without frames that wait for later ones pictures begin at 0, in step with the sound, in fragments as well.
        video.options = {"preset": "veryfast", "crf": "20", "bf": "0"}
        self._video = video
        if self._with_sound:
            self._sound = _Sound.of(self._source, output, self._start, self._stack)

    def _finish(self, output: OutputContainer, video: VideoStream) -> None:
        self._mux(output, video.encode(None))
        if self._sound is not None:
            self._mux(output, self._sound.until(self._last / _CLOCK + 1 / self._rate))
            self._mux(output, self._sound.rest())

    def _mux(self, output: OutputContainer, packets: Iterable[AnyPacket]) -> None:
        import av

        try:
            for packet in packets:
                output.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def _close(self) -> None:
        import av

        try:
            self._stack.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> OSError:
        reason = getattr(error, "strerror", None) or str(error)
        return OSError(f"{self._path}: cannot be written: {reason}; what was written is kept")


class _Sound:
    """The sound of a clip, packet by packet in step with its pictures."""

    def __init__(
        self, source: InputContainer, stream: AudioStream, target: AudioStream, start: float
    ) -> None:
        import av

        self._stream, self._target = stream, target
        self._begin = (source.start_time or 0) / av.time_base + start
        self._packets = source.demux(stream)
        self._copied = stream.codec.canonical_name in _COPIED
        self._waiting: SoundPacket | None = None
        self._resampler = None if self._copied else av.AudioResampler(
            format="fltp", layout=target.layout, rate=target.rate, frame_size=1024
        )  # fmt: skip

    @classmethod
    def of(cls, path: Path, output: OutputContainer, start: float, stack: ExitStack) -> _Sound | None:
        """A stream of the output for the first sound of a clip; None without readable sound."""
        import av

        try:
            source = stack.enter_context(open_container(f"file:{path}", {"protocol_whitelist": "file"}))
        except (av.error.FFmpegError, OSError):
            return None
        if not source.streams.audio:
            return None
        stream = source.streams.audio[0]
        if stream.codec.canonical_name in _COPIED:
            return cls(source, stream, output.add_stream_from_template(stream), start)
        target = output.add_stream("aac", rate=stream.rate or 48_000)
        target.layout = "stereo" if stream.channels > 1 else "mono"
        return cls(source, stream, target, start)

    def until(self, time: float) -> Iterator[SoundPacket]:
        """What sounds before `time`, in seconds of the new clip."""
        import av

        while True:
            if self._waiting is None:
                try:
                    self._waiting = next(self._packets, None)
                except (av.error.FFmpegError, OSError):
                    return  # a truncated source: as for its pictures, what could be read is kept
            packet = self._waiting
            if packet is None or packet.pts is None or packet.time_base is None:
                return
            at = float(packet.pts * packet.time_base) - self._begin
            if at >= time:
                return
            self._waiting = None
            if at >= 0:
                yield from self._taken_over(packet)

    def rest(self) -> Iterator[SoundPacket]:
        """What the encoder still holds."""
        if self._resampler is not None:
            yield from self._encoded(None)

    def _taken_over(self, packet: SoundPacket) -> Iterator[SoundPacket]:
        import av

        if not self._copied:
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, OSError):
                return
            for frame in frames:
                yield from self._encoded(frame)
            return
        shift = round(self._begin / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = self._target
        yield packet

    def _encoded(self, frame: AudioFrame | None) -> Iterator[SoundPacket]:
        if self._resampler is None:
            return
        if frame is not None and frame.pts is not None and frame.time_base is not None:
            frame.pts -= round(self._begin / frame.time_base)
        for piece in self._resampler.resample(frame):
            yield from self._target.encode(piece)
        if frame is None:
            yield from self._target.encode(None)


def _drawn(picture: NDArray[np.uint8], result: FrameResult) -> VideoFrame:
    """A frame for the encoder, with its faces; an odd side is filled up by repeating the last pixel."""
    import av

    height, width = picture.shape[:2]
    frame = av.VideoFrame(width + width % 2, height + height % 2, "rgb24")
    canvas = plane_rows(frame.planes[0])[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)
    canvas[:height, :width] = picture
    canvas[height:, :width] = canvas[height - 1 : height, :width]
    canvas[:, width:] = canvas[:, width - 1 : width]
    faces = [replace(face, prediction=face.smoothed or face.prediction) for face in result.faces]
    draw_faces(canvas[:height, :width], faces)
    return frame
