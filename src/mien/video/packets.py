"""What a clip's packets tell: where to begin, so that an hour before `start` need not be decoded, and times."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer

_GROUPS = 3  # of pictures, each from one key frame to the next


class Skip:
    """Passes over packets that `start` does not need, and counts the frames in them: seeking would tell no numbers.

    Frames may need those before the last key frame, so two more groups of pictures are kept ("open" groups).

    Args:
        packets: of one stream, from its beginning.
        start: seconds, as time stamps of the file count them.
        most: bytes that are held; where groups are longer, what is held is decoded.
    """

    def __init__(self, packets: Iterator[Packet[Any]], start: float, most: int) -> None:
        self._groups: deque[list[Packet[Any]]] = deque([[]])
        self._passed = held = 0
        for packet in packets if start > 0 else ():
            if packet.is_keyframe:
                self._groups.append([])
            self._groups[-1].append(packet)
            held += packet.size
            time = time_of(packet)
            if time is None or time >= start or held > most:
                break
            while len(self._groups) > _GROUPS:
                group = self._groups.popleft()
                self._passed += len(_shown(group))
                held -= sum(packet.size for packet in group)
        kept = chain.from_iterable(self._groups) if self._passed else ()
        self._stamps = sorted(packet.pts for packet in _shown(kept) if packet.pts is not None)
        self.rest = chain(chain.from_iterable(self._groups), packets)
        """The packets from there on."""

    def first_number(self, stamp: int | None) -> int:
        """The number in the clip of the first frame that is decoded: what comes before may not be decodable from here.

        Args:
            stamp: its time stamp.
        """
        return self._passed + (0 if stamp is None else bisect_left(self._stamps, stamp))


class Clock:
    """Seconds of decoded frames, as the file counts them.

    An AVI file has stamps of decoding only, from which FFmpeg guesses others: of these codecs, wrong ones where frames
    need later ones. The first frame shown has the earliest of them, and so on.

    Args:
        container: the clip.
        codec: FFmpeg's name of its codec.
    """

    def __init__(self, container: InputContainer, codec: str) -> None:
        self._by_order = container.format.name == "avi" and codec in ("h264", "hevc")
        self._waiting: list[float] = []

    def add(self, packet: Packet[Any]) -> None:
        """A packet is decoded next."""
        if self._by_order and packet.size and packet.dts is not None and packet.time_base is not None:
            heapq.heappush(self._waiting, float(packet.dts * packet.time_base))

    def lose(self) -> None:
        """It could not be decoded."""
        if self._waiting:
            heapq.heappop(self._waiting)

    def time(self, frame: VideoFrame) -> float | None:
        """Of the next frame to be shown; None where nothing tells."""
        return heapq.heappop(self._waiting) if self._waiting else frame.time


def _shown(packets: Iterable[Packet[Any]]) -> list[Packet[Any]]:
    """Without those that an editor cut off."""
    return [packet for packet in packets if not packet.is_discard]


def time_of(packet: Packet[Any]) -> float | None:
    """Seconds, as the file counts them; None where the packet has no time stamp."""
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)
