"""The pictures that a run draws: boxes and labels on a copy, and a bar chart a face."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.faces.anonymize import Hide
from mien.images.read import save_image
from mien.output.annotate import annotate
from mien.results import Box, FrameResult

_FACE_SURROUNDINGS = 0.25  # of the box's side, around the face on its chart


class FreeStems:
    """Names for what is made of pictures: the picture's own; of two with one name, the second's is `photo-2`."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, source: str) -> str:
        """A name without ending that none got before."""
        stem = "stdin" if source == "-" else Path(source).stem
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        # In lower case: some file systems take photo.png and Photo.png for one.
        free = next(name for name in names if name.lower() not in self._taken)
        self._taken.add(free.lower())
        return free


class PictureFiles:
    """Writes drawings into one or two folders, made when first needed.

    `photo.jpg` becomes `photo-annotated.jpg` and `photo-face1.png`, so a drawing never overwrites its source; of
    two sources with one name, the second becomes `photo-2-…`.

    Args:
        annotate: folder for the pictures with boxes and labels; None for none.
        chart: folder for the bar charts; None for none.
        hide: makes the faces unrecognisable on all that is drawn, such as `FaceAnonymizer.hide`; None: they are shown.
    """

    def __init__(
        self, annotate: Path | None = None, chart: Path | None = None, *, hide: Hide | None = None
    ) -> None:
        self._annotated, self._charts, self._hide = annotate, chart, hide
        self._stems = FreeStems()

    def draw(self, picture: NDArray[np.uint8], result: FrameResult) -> list[Path]:
        """Draw one result.

        Args:
            picture: (H, W, 3) uint8 RGB, which the result is of.
            result: its faces.

        Returns:
            The files that were written.

        Raises:
            OSError: a file cannot be written.
        """
        if self._hide is not None and (self._annotated or self._charts):
            picture = self._hide(picture, result)
        source = Path(result.source)
        stem = self._stems.take(result.source)
        written: list[Path] = []
        if self._annotated is not None:
            suffix = ".jpg" if source.suffix.lower() in (".jpg", ".jpeg") else ".png"
            path = in_folder(self._annotated, f"{stem}-annotated{suffix}")
            save_image(annotate(picture, result.faces), path)
            written.append(path)
        if self._charts is not None:
            from mien.output.charts import emotion_chart  # matplotlib is slow to load

            for number, face in enumerate(result.faces, 1):
                path = in_folder(self._charts, f"{stem}-face{number}.png")
                emotion_chart(_surroundings(picture, face.box), face.prediction, path)
                written.append(path)
        return written


def in_folder(folder: Path, name: str) -> Path:
    """A file's path in a folder, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _surroundings(picture: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    reach = _FACE_SURROUNDINGS * max(box.width, box.height)
    x1, y1 = max(0, int(box.x1 - reach)), max(0, int(box.y1 - reach))
    return picture[y1 : min(height, int(box.y2 + reach)), x1 : min(width, int(box.x2 + reach))]
