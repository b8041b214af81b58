"""Where live frames are shown: in a window, where this OpenCV has one, or as a line in the terminal."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mien._core.opencv import cv2
from mien.output.annotate import annotate
from mien.video.live import LiveFrame, steady

_EVERY = 0.5  # seconds from one line in the terminal to the next


class View(Protocol):
    """Shows live frames."""

    def show(self, frame: LiveFrame) -> bool:
        """Show a frame; False once the user wants no more."""


def has_window() -> bool:
    """Whether this OpenCV can open windows here: opencv-python-headless cannot, nor can any without a display."""
    title = "mien"
    try:
        cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        cv2.destroyWindow(title)
    except cv2.error:
        return False
    return True


@contextmanager
def open_display() -> Iterator[View]:
    """A window if possible, else the terminal; closed at the end of the block."""
    if not has_window():
        with _keys() as keys:
            yield _Terminal(keys)
        return
    title = "mien - q quits"
    cv2.namedWindow(title, cv2.WINDOW_NORMAL)
    try:
        yield _Window(title)
    finally:
        cv2.destroyWindow(title)


class _Window:
    def __init__(self, title: str) -> None:
        self._title = title

    def show(self, frame: LiveFrame) -> bool:
        bgr = cv2.cvtColor(annotate(frame.picture, steady(frame.result).faces), cv2.COLOR_RGB2BGR)
        cv2.putText(bgr, f"{frame.fps:.0f} fps", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
        cv2.imshow(self._title, bgr)
        closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        return not closed and cv2.waitKey(1) & 0xFF != ord("q")


class _Terminal:
    """A line twice a second; it is written over where a person watches."""

    def __init__(self, keys: bool) -> None:
        self._keys = keys
        self._next = 0.0

    def show(self, frame: LiveFrame) -> bool:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            line = f"{frame.result.time or 0:.1f} s  {frame.fps:.0f} fps  {_words(frame)}"
            sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
            sys.stderr.flush()
        return not (self._keys and select.select([sys.stdin], [], [], 0)[0] and sys.stdin.read(1) == "q")


def _words(frame: LiveFrame) -> str:
    shown = [(face.track, face.prediction) for face in steady(frame.result).faces]
    words = (f"{n}: {p.emotion}{'?' if p.uncertain else ''} {p.confidence:.0%}" for n, p in shown)
    return ", ".join(words) or "no face"


@contextmanager
def _keys() -> Iterator[bool]:
    """Whether single keys can be read from the terminal, for the length of the block, without Enter."""
    try:
        import termios
        import tty

        settings = termios.tcgetattr(sys.stdin)
    except (ImportError, OSError, ValueError, AttributeError):  # Windows, or not a terminal
        yield False
        return
    except termios.error:
        yield False
        return
    try:
        tty.setcbreak(sys.stdin)
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
