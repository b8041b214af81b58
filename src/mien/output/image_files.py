"""The pictures that a run draws: boxes and labels on a copy, and a bar chart a face."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.faces.anonymize import Hide
from mien.images.find import find_images
from mien.images.read import save_image
from mien.output.annotate import annotate
from mien.results import Box, FrameResult

_FACE_SURROUNDINGS = 0.25  # of the box's side, around the face on its chart


_LONGEST_STEM = 200  # bytes


class FreeStems:
    """Names for what is made of pictures or clips: each its own, in folders as below the folder that was named.

    Of two with one name and no such folder, the second's is `photo-2`.

    Args:
        paths: what a person named; what is found in a folder of these keeps its place there, `P01/clip`.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._taken: set[str] = set()
        # The innermost folder first.
        folders = (Path(path) for path in paths if os.path.isdir(path))  # noqa: PTH112 never raises
        self._folders = sorted(folders, key=lambda folder: -len(folder.parts))

    def take(self, source: str) -> str:
        """A name without ending that none got before; with "/" where it lies in a folder."""
        stem = "stdin" if source == "-" else self._place(Path(source)).as_posix()
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        # In lower case: some file systems take photo.png and Photo.png for one.
        free = next(name for name in names if name.lower() not in self._taken)
        self._taken.add(free.lower())
        return free

    def _place(self, source: Path) -> Path:
        for folder in self._folders:
            if source.is_relative_to(folder):
                place = source.relative_to(folder)
                return place.parent / _short(place.stem)
        return Path(_short(source.stem))


def _short(stem: str) -> str:
    """The stem, or as much of it as leaves room for what is put behind it: file systems take names of 255 bytes."""
    while len(os.fsencode(stem)) > _LONGEST_STEM:
        stem = stem[:-1]
    return stem


class PictureFiles:
    """Writes drawings into one or two folders, made when first needed.

    `photo.jpg` becomes `photo-annotated.jpg` and `photo-face1.png`, so a drawing never overwrites its source. What is
    below a folder of `paths` keeps its place there; of two others with one name, the second becomes `photo-2-…`.

    Args:
        annotate: folder for the pictures with boxes and labels; None for none.
        chart: folder for the bar charts; None for none.
        hide: makes the faces unrecognisable on all that is drawn, such as `FaceAnonymizer.hide`; None: they are shown.
        paths: the files, folders and patterns that were named, as for `recognize_files`.

    Attributes:
        pictures, charts: how many it has written.
    """

    def __init__(
        self,
        annotate: Path | None = None,
        chart: Path | None = None,
        *,
        hide: Hide | None = None,
        paths: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        self._annotated, self._charts, self._hide = annotate, chart, hide
        self._stems = FreeStems(paths)
        self.pictures = self.charts = 0
        self._inputs = {os.path.realpath(path) for path in find_images(paths)} if annotate or chart else set()

    @property
    def wanted(self) -> bool:
        """Whether anything is drawn."""
        return self._annotated is not None or self._charts is not None

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
            path = self._path(self._annotated, f"{stem}-annotated", suffix)
            save_image(annotate(picture, result.faces), path)
            written.append(path)
            self.pictures += 1
        if self._charts is not None:
            from mien.output.charts import emotion_chart  # matplotlib is slow to load

            for number, face in enumerate(result.faces, 1):
                path = self._path(self._charts, f"{stem}-face{number}", ".png")
                emotion_chart(_surroundings(picture, face.box), face.prediction, path)
                written.append(path)
                self.charts += 1
        return written

    def _path(self, folder: Path, name: str, suffix: str) -> Path:
        """A place for a drawing: never that of an input, such as the drawing of an earlier run in the same folder."""
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        paths = (in_folder(folder, one + suffix) for one in names)
        return next(path for path in paths if os.path.realpath(path) not in self._inputs)


def in_folder(folder: Path, name: str) -> Path:
    """A file's path in a folder; the folder that it lies in is made when it is missing."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _surroundings(picture: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    reach = _FACE_SURROUNDINGS * max(box.width, box.height)
    x1, y1 = max(0, int(box.x1 - reach)), max(0, int(box.y1 - reach))
    return picture[y1 : min(height, int(box.y2 + reach)), x1 : min(width, int(box.x2 + reach))]
