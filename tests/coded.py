"""Codes of clips for the tests: rows of frames as mien writes them, and CSV as people do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mien import LABELS, Box, Face, FrameResult, Prediction, TrackedFace, TrackedFrame
from mien.output.writers import open_writer

Row = tuple[str, float, float, str]
Shown = str | None  # an expression; None where the face is not seen; "?" where the answer is uncertain


def write_codes(path: Path, rows: Iterable[Row], header: str = "clip,start,end,label") -> Path:
    """A CSV of a person's codes."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def prediction(label: str, share: float, uncertain: bool = False) -> Prediction:
    """That probability for the label, and the rest for all others."""
    rest = (1 - share) / (len(LABELS) - 1)
    return Prediction(dict.fromkeys(LABELS, rest) | {label: share}, uncertain=uncertain)


def frames(
    clip: str, shown: Sequence[Shown | dict[int, str]], step: float = 0.1, share: float = 0.9
) -> list[TrackedFrame]:
    """Frames of one person, or of several by their track."""
    found = []
    for k, one in enumerate(shown):
        people = one if isinstance(one, dict) else {} if one is None else {1: one}
        faces = []
        for track, word in people.items():
            answer = prediction("happy", 0.3, True) if word == "?" else prediction(word, share)
            faces.append(TrackedFace(Face(Box(0, 0, 9, 9), 0.9), answer, track=track, smoothed=answer))
        found.append(TrackedFrame(clip, 99, 99, tuple(faces), frame=k, time=k * step, labels=LABELS))
    return found


def write_frames(path: Path, clips: Iterable[Sequence[FrameResult]]) -> Path:
    """What `mien video --output` writes, in the form that the ending says."""
    kind = path.suffix[1:]
    binary = kind == "parquet"
    with (
        path.open("wb") if binary else path.open("w", encoding="utf-8", newline="") as stream,
        open_writer(kind, stream, LABELS, smoothed=True) as writer,
    ):
        for some in clips:
            for frame in some:
                writer.write(frame)
    return path
