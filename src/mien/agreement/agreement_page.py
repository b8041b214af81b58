"""The report of an agreement: one page with all figures, and the places where the coders disagree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien._core.text import count
from mien.agreement.agreement import Agreement, Disagreement
from mien.agreement.agreement_tables import short
from mien.agreement.codes import stem
from mien.agreement.pairing import find_clip_files
from mien.errors import VideoError
from mien.output.html import Report
from mien.video.reader import read_video
from mien.video.sampling import Sampling

LISTED = 500
"""Places of disagreement in the table, the longest ones; all are in the JSON."""

PICTURED = 60
"""Of these the longest have a picture."""

_WIDTH = 320  # pixels of a picture


def write_agreement_page(
    found: Agreement,
    path: Path,
    *,
    clips: str | os.PathLike[str] | None = None,
    command: str = "",
    thumbnails: bool = True,
) -> None:
    """Write the page.

    Args:
        found: the figures.
        path: of the page.
        clips: a folder of the clips, for a picture of each place.
        command: the command line, for the record.
        thumbnails: whether the page has pictures.

    Raises:
        DatasetError: `clips` is no folder.
        OSError: it cannot be written.
    """
    names = " and ".join(short(name) for name in found.coders)
    page = Report(f"Agreement of {names}", found.lines()[0], thumbnails=thumbnails)
    for line in found.lines()[1:]:
        page.paragraph(line)
    for table in found.tables():
        page.add(table)
        for title, words in _EXPLAINED.items():
            if table.title.startswith(title):
                page.paragraph(words)
    _add_places(page, found, clips, thumbnails)
    page.heading("Measurement record")
    page.facts(
        [
            *((f"coder {k}", name) for k, name in enumerate(found.coders, 1)),
            ("step", f"{found.step:g} s"),
            ("intervals", f"95 %, percentile bootstrap over {found.resampled}"),
            *([("command", command)] if command else []),
        ]
    )
    page.write(path)


_EXPLAINED = {
    "Agreement": "Kappa is agreement beyond chance: 1 is all, 0 is what chance gives. Agreement is the share of the "
    "time with the same label. Time in which mien saw no face, or was uncertain, is not compared.",
    "By label": "Each label as a yes or no for each step: does it cover at least half of it? Precision, recall and "
    "F1 take the first coder to be right.",
    "Confusion": "Rows are the first coder, columns the second. A step has the label that covers most of it.",
    "Episodes": "Episodes of one label that overlap, in pairs; differences are second minus first.",
}


def _add_places(
    page: Report, found: Agreement, clips: str | os.PathLike[str] | None, thumbnails: bool
) -> None:
    places = sorted(found.disagreements, key=lambda one: (one.start - one.end, one.clip, one.start))[:LISTED]
    page.heading("Where they disagree")
    if not places:
        page.paragraph("Nowhere.")
        return
    every = len(found.disagreements)
    page.paragraph(
        f"{count(every, 'place')}, the longest first"
        + (f"; {LISTED} of them are listed, and all are in the JSON." if every > LISTED else ".")
    )
    files = find_clip_files(clips)
    if files and thumbnails:
        shown = [(one, picture) for one in places[:PICTURED] if (picture := _picture(one, files)) is not None]
        page.pictures([picture for _, picture in shown], [_caption(one, found.coders) for one, _ in shown])
        if len(shown) < min(len(places), PICTURED):
            page.paragraph(
                "Places without a picture: the clip is not in the folder of --clips, or cannot be read there."
            )
    people = any(one.person for one in places)
    page.table(
        ("clip", *(["person"] if people else []), "from", "to", *map(short, found.coders)),
        [
            (one.clip, *([one.person] if people else []), _clock(one.start), _clock(one.end), *one.labels)
            for one in places
        ],
    )


def _caption(one: Disagreement, coders: Sequence[str]) -> str:
    said = [f"{short(coder)}: {label}" for coder, label in zip(coders, one.labels, strict=True)]
    who = f", {one.person}" if one.person else ""
    return "\n".join([f"{one.clip}{who}", f"{_clock(one.start)} to {_clock(one.end)}", *said])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}:{rest:06.3f}"


def _picture(one: Disagreement, files: dict[str, Path]) -> NDArray[np.uint8] | None:
    """The frame in the middle of the place; None where the clip is not there, cannot be read or is shorter."""
    file = files.get(stem(one.clip).casefold())
    if file is None:
        return None
    try:
        with closing(read_video(file, Sampling(start=(one.start + one.end) / 2))) as frames:
            frame = next(frames, None)
    except VideoError:
        return None
    if frame is None:
        return None
    height, width = frame.picture.shape[:2]
    size = (_WIDTH, max(1, round(height * _WIDTH / width)))
    if width <= _WIDTH:
        return frame.picture
    return np.asarray(cv2.resize(frame.picture, size, interpolation=cv2.INTER_AREA), np.uint8)
