"""Clips and streams in: frames as RGB pictures, upright, with the seconds at which they are shown."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien._core.files import refuse_pipe
from mien._core.parallel import run_ahead
from mien.errors import VideoError
from mien.video.frame_pixels import FramePixels, Orientation, Pixels, check_size, pixel_aspect
from mien.video.packets import Clock, Skip, time_of
from mien.video.sampling import EVERY_FRAME, Sampling

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = frozenset((
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265",
    ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m",
))  # fmt: skip
"""The file names that count as clips inside a folder, in lower case."""

_LISTS = {"concat", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "webm_dash_manifest"}
"""What FFmpeg reads that names other files, streams or filters."""

AHEAD_BYTES = 64_000_000
"""Frames that are decoded ahead take at most about this much memory; one is always allowed."""

NETWORK_TIMEOUT = 10.0
"""Seconds without data after which a stream counts as broken."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: `index` in the clip from 0, `time` in seconds, and its pixels."""

    index: int
    time: float
    pixels: Pixels

    @property
    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, converted when it is asked for."""
        return self.pixels.rgb()


class VideoInfo(NamedTuple):
    """What a clip's header says: pixels as stored, seconds or None, frames a second or None."""

    width: int
    height: int
    duration: float | None
    fps: float | None


def video_info(path: str | os.PathLike[str]) -> VideoInfo:
    """What a clip's header says, without decoding it.

    Raises:
        VideoError: as `read_video`.
    """
    with closing(_open_file(Path(path))) as container:
        stream = _video_stream(container, str(path))
        rate = stream.average_rate
        return VideoInfo(
            stream.width, stream.height, _duration(container, stream), float(rate) if rate else None
        )


def read_video(
    path: str | os.PathLike[str],
    sampling: Sampling = EVERY_FRAME,
) -> Generator[Frame, None, None]:
    """The frames of a clip, decoded ahead in a thread; memory does not grow with the clip's length.

    Time 0 is the beginning of the file, as players show it. The rotation that a telephone notes is applied, and so is
    a mirror; HDR (PQ and HLG) is brought to the range of sRGB, with PyAV 17 or later. A frame without a time stamp
    follows the one before at the clip's rate.

    Args:
        path: a file of any kind that FFmpeg reads; an animated GIF too. Never a network address.
        sampling: which frames.

    Raises:
        VideoError: missing, unreadable, not a video, without frames, too large; or, after the frames that could be
            read, truncated or damaged.
    """
    frames = _read_file(Path(path), sampling)
    try:
        first = next(frames, None)
        if first is None:
            return
        yield first
        yield from run_ahead(frames, frames_ahead(first.pixels))
    finally:
        frames.close()


def frames_ahead(pixels: Pixels) -> int:
    """How many frames of that size may wait for a step of the work: 1 to 8, as `AHEAD_BYTES` has room for."""
    width, height = pixels.size
    return max(1, min(8, AHEAD_BYTES // (3 * width * height)))


def read_stream(url: str) -> Generator[Frame, None, None]:
    """The frames of a stream such as rtsp:// or http://, until it ends; times count from its first frame.

    Raises:
        VideoError: it cannot be opened, or breaks.
    """
    options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
    with closing(_open(url, url, options, timeout=NETWORK_TIMEOUT)) as container:
        aspect, orientation = pixel_aspect(_video_stream(container, url)), Orientation()
        start: float | None = None
        for _, frame, time in _decoded(container, url, _Damage()):
            start = time if start is None else start
            yield Frame(-1, max(0.0, time - start), FramePixels(frame, url, aspect, orientation))
        if container.duration is None:  # not a clip that somebody serves, which may end
            raise VideoError(f"{url}: the stream has ended")


def _read_file(path: Path, sampling: Sampling) -> Generator[Frame, None, None]:
    try:
        yield from _read_frames(path, sampling)
    except VideoError:
        raise
    except Exception as error:  # whatever a strange file brings about: the others of a run go on
        raise VideoError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error


def _read_frames(path: Path, sampling: Sampling) -> Generator[Frame, None, None]:
    name = str(path)
    damage = _Damage()
    chooser = sampling.chooser()
    last: float | None = None
    with closing(_open_file(path)) as container:
        stream = _video_stream(container, name)
        claimed = _duration(container, stream)
        aspect, orientation = pixel_aspect(stream), Orientation()
        taken = False
        for index, frame, time in _decoded(container, name, damage, sampling.start):
            last = time + _seconds(frame)
            if chooser.is_over(time):
                break
            if chooser.takes(time):
                taken = True
                yield Frame(index, time, FramePixels(frame, name, aspect, orientation))
        if last is None:
            raise VideoError(f"{name}: no frame in it could be read; expected a whole video")
        if not taken:
            raise VideoError(
                f"{name}: no frame {_part(sampling)}; the clip ends after {claimed or last:.1f} s"
            )
        if chooser.is_over(time):
            return
        cut_off = _cut_off(stream, index + 1, last, claimed)
        if cut_off is not None:
            raise VideoError(f"{name}: truncated: ends after {cut_off}; what was read is kept")
        if damage.reason is not None:
            raise VideoError(
                f"{name}: {damage.parts} damaged parts were skipped ({damage.reason}); what was read is kept"
            )


def _part(sampling: Sampling) -> str:
    until = "" if sampling.end is None else f" and before {sampling.end:g} s"
    return f"at {sampling.start:g} s or later{until}"


def _seconds(frame: VideoFrame) -> float:
    """How long a frame is shown, as far as its file says so."""
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0


def _cut_off(stream: VideoStream, frames: int, seconds: float, claimed: float | None) -> str | None:
    """What there is of what the header promises, in words, or None where all of it is there."""
    if claimed is None:
        return None
    missing = stream.frames - frames
    # Cut by an editor, a file may hold frames that are not shown: they alone are no proof, nor is a slow last frame.
    slack = 0.1 if missing > max(2, 0.05 * stream.frames) else max(0.5, 0.05 * claimed)
    return f"{seconds:.1f} s of {claimed:.1f} s" if seconds < claimed - slack else None


class _Damage:
    """What could not be decoded."""

    parts = 0
    reason: str | None = None


def _open_file(path: Path) -> InputContainer:
    name = str(path)
    try:
        if path.is_dir():
            raise VideoError(f"{name}: a folder without clips; expected files such as .mp4, .mov or .webm")
        refuse_pipe(path)
        with path.open("rb") as file:
            if not file.read(1):
                raise VideoError(f"{name}: empty; expected a video")
    except FileNotFoundError:
        raise VideoError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    # "file:" and the first whitelist: no name and no playlist inside a file may lead to the network. The second: none
    # to other files either, which it could name without end.
    options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
    return _open(f"file:{path}", name, options, timeout=None)


@cache
def _formats() -> str:
    """The forms of files that FFmpeg reads, but for lists of other files and streams."""
    import av

    return ",".join(sorted(av.formats_available - _LISTS))


def _open(address: str, name: str, options: dict[str, str], timeout: float | None) -> InputContainer:
    import av

    try:
        return open_container(address, options, timeout)
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
            raise VideoError(
                f"{name}: not a video; expected a file that FFmpeg reads, such as .mp4"
            ) from None
        raise VideoError(f"{name}: cannot be opened as a video: {_reason(error)}") from None


def open_container(address: str, options: dict[str, str], timeout: float | None = None) -> InputContainer:
    """A clip or stream to read from, by any supported version of PyAV.

    Raises:
        av.error.FFmpegError, OSError: it cannot be opened.
    """
    import av

    # A text that some other coding wrote is no reason to refuse the pictures. PyAV 19 never refuses it, and has lost
    # the argument that tells earlier versions so.
    lenient: Any = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
    container: InputContainer = av.open(address, options=options, timeout=timeout, **lenient)
    return container


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    # A picture attached to a song is no film.
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        raise VideoError(f"{name}: no video in it; expected a clip with pictures, not sound alone")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{name}: FFmpeg does not know its codec; expected another, such as H.264")
    check_size(stream.width, stream.height, name)
    # Several frames at a time; but a frame of Theora must be there when the next packet says to show it once more.
    stream.thread_type = "SLICE" if stream.codec_context.name == "theora" else "AUTO"
    return stream


def _decoded(
    container: InputContainer, name: str, damage: _Damage, start: float = 0.0
) -> Iterator[tuple[int, VideoFrame, float]]:
    """Frames with their number and seconds; parts that cannot be decoded are skipped and noted in `damage`.

    Frames that are neither shown at `start` or later nor needed for those are not decoded, but counted.
    """
    import av

    stream = _video_stream(container, name)
    begin = (container.start_time or 0) / av.time_base
    step = 1 / float(stream.average_rate) if stream.average_rate else 1 / 25
    time: float | None = None
    shown: VideoFrame | None = None
    skip = Skip(_packets(container, stream, name), start + begin if start else 0.0, AHEAD_BYTES)
    index: int | None = None
    clock = Clock(container, stream.codec_context.name)
    for packet in skip.rest:
        if packet.size == 0 and packet.dts is not None:  # Theora's way to show the frame before once more
            if shown is not None and index is not None and (shown_at := time_of(packet)) is not None:
                index, time = index + 1, max(time or 0.0, shown_at - begin)
                yield index, shown, time
            continue
        clock.add(packet)
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError) as error:
            clock.lose()
            damage.parts += 1
            damage.reason = _reason(error)
            continue
        for frame in frames:
            seconds = clock.time(frame)
            stamped = None if seconds is None else max(0.0, seconds - begin)
            if stamped is None or (time is not None and stamped < time):
                stamped = 0.0 if time is None else time + step
            shown, time = frame, stamped
            index = skip.first_number(frame.pts) if index is None else index + 1
            yield index, frame, time


def _packets(container: InputContainer, stream: VideoStream, name: str) -> Iterator[Packet[Any]]:
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"{name}: broken off: {_reason(error)}; what was read is kept") from None
        if packet is None:
            return
        yield packet


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of the video that the header claims; None if it says nothing about the video itself."""
    import av

    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _reason(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error)
