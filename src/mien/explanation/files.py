"""The files of `mien explain`: one chart per face, a heat map over all faces of a picture, and explanations.json."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_atomically
from mien.explanation.chart import explained_picture, explanation_chart
from mien.explanation.explain import Explanation
from mien.images.read import save_image
from mien.output.decimals import to_json
from mien.output.image_files import FreeStems, in_folder
from mien.results import FrameResult

FILE = "explanations.json"


class ExplanationFiles:
    """Writes what explains pictures into a folder; made by `open_explanations`.

    `photo.jpg` becomes `photo-face1-why.png`, and `photo-why.png` if it has two faces or more; names as in
    `PictureFiles`.
    """

    def __init__(self, folder: Path, paths: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._folder = folder
        self._stems = FreeStems(paths)
        self._items: list[dict[str, Any]] = []

    def write(
        self, result: FrameResult, picture: NDArray[np.uint8] | None, explanations: Sequence[Explanation]
    ) -> list[Path]:
        """Draw one picture's explanations, and take it into the JSON.

        Args:
            result: of the picture.
            picture: (H, W, 3) uint8 RGB; None if it could not be read.
            explanations: of its faces.

        Returns:
            The files that were written.

        Raises:
            OSError: a file cannot be written.
        """
        stem = self._stems.take(result.source)
        written = []
        faces = []
        for number, one in enumerate(explanations, 1):
            path = in_folder(self._folder, f"{stem}-face{number}-why.png")
            explanation_chart(one, path, title=f"{Path(result.source).name}, face {number}")
            written.append(path)
            faces.append(one.to_dict() | {"chart": path.relative_to(self._folder).as_posix()})
        if picture is not None and len(explanations) > 1:
            path = in_folder(self._folder, f"{stem}-why.png")
            save_image(explained_picture(picture, explanations), path)
            written.append(path)
        self._items.append(result.to_dict() | {"faces": faces})
        return written

    def close(self) -> None:
        """Write `explanations.json`: of every picture what `mien image --format json` says, and of every face more."""
        path = in_folder(self._folder, FILE)
        write_atomically(path, to_json(self._items, indent=2) + "\n")


@contextmanager
def open_explanations(
    folder: Path, paths: Iterable[str | os.PathLike[str]] = ()
) -> Iterator[ExplanationFiles]:
    """Files in a folder, which is made when it is missing; the JSON is there when the block ends, also by an error.

    What is below a folder of `paths`, which a person named, keeps its place there.
    """
    files = ExplanationFiles(folder, paths)
    try:
        yield files
    finally:
        files.close()
