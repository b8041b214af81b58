"""Faces that are made unrecognisable on what is shown: a mosaic so coarse that no feature is left.

Fine mosaics and blur can be seen through: McPherson, Shokri & Shmatikov, "Defeating Image Obfuscation with Deep
Learning", arXiv 1609.00408, named people behind mosaics and blur that people could not see through. Here a whole head
is 4 by 5 cells. What a detector does not find is not hidden: somebody has to look before such a picture is passed on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien._core.opencv import cv2
from mien.results import Box, Face, FrameResult

CELLS = (4, 5)
"""Columns and rows of the mosaic of a head."""

REACH = 0.35
"""How far beyond a face's box is hidden, on each side, in widths and heights of the box: hair, ears, chin."""

HOLD = 0.5
"""Seconds for which a place in a clip stays hidden after the face there was seen last, in case it was only missed."""

SAME_HEAD = 0.3
"""Boxes that share at least this much of the smaller one are one head, and get one mosaic."""

Hide: TypeAlias = Callable[[NDArray[np.uint8], FrameResult], NDArray[np.uint8]]
"""A picture (H, W, 3) uint8 RGB and its result -> the picture as it may be shown."""


def anonymize_faces(picture: NDArray[np.uint8], boxes: Iterable[Box]) -> NDArray[np.uint8]:
    """A copy of the picture, (H, W, 3) uint8 RGB, with a coarse mosaic over every box and its surroundings.

    Args:
        picture: left as it is.
        boxes: faces in pixels; parts outside the picture are ignored.
    """
    shown = picture.copy()
    height, width = picture.shape[:2]
    for x1, y1, x2, y2 in anonymized_areas(boxes, width, height):
        cells = cv2.resize(picture[y1:y2, x1:x2], CELLS, interpolation=cv2.INTER_AREA)
        shown[y1:y2, x1:x2] = cv2.resize(cells, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
    return shown


def anonymized_areas(boxes: Iterable[Box], width: int, height: int) -> list[tuple[int, int, int, int]]:
    """What is hidden for boxes in a picture of that size: `x1 y1 x2 y2` in whole pixels, the largest last."""
    areas = []
    for box in sorted(_heads(boxes), key=lambda box: box.area):
        across, down = REACH * box.width, REACH * box.height
        x1, y1 = max(0, int(box.x1 - across)), max(0, int(box.y1 - down))
        x2, y2 = min(width, int(box.x2 + across) + 1), min(height, int(box.y2 + down) + 1)
        if x1 < x2 and y1 < y2:
            areas.append((x1, y1, x2, y2))
    return areas


def _heads(boxes: Iterable[Box]) -> list[Box]:
    """Boxes of the same head as one: overlapping mosaics from different grids would reveal more."""
    heads: list[Box] = []
    for box in boxes:
        while (other := next((head for head in heads if _is_same(head, box)), None)) is not None:
            heads.remove(other)
            box = Box(
                min(box.x1, other.x1), min(box.y1, other.y1), max(box.x2, other.x2), max(box.y2, other.y2)
            )
        heads.append(box)
    return heads


def _is_same(first: Box, second: Box) -> bool:
    return first.intersection(second) > SAME_HEAD * min(first.area, second.area)


class FaceAnonymizer:
    """Hides the faces of a picture, or of one clip frame by frame.

    Besides the faces of a result it hides those of its own detection, in every frame, and in a clip the places where
    a face was seen up to `HOLD` seconds before.

    Args:
        find: the search, such as `FaceDetector.detect`: a picture (H, W, 3) uint8 RGB -> its faces.
    """

    def __init__(self, find: Callable[[NDArray[np.uint8]], Sequence[Face]]) -> None:
        self._find = find
        self._before: deque[tuple[float, list[Box]]] = deque()

    def hide(self, picture: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
        """A copy of the picture without a recognisable face; frames of a clip come in order.

        Args:
            picture: (H, W, 3) uint8 RGB, which the result is of.
            result: its faces, and in a clip its time.
        """
        boxes = [face.box for face in result.faces] + [face.box for face in self._find(picture)]
        held: list[Box] = []
        if result.time is not None:
            while self._before and not 0 <= result.time - self._before[0][0] <= HOLD:
                self._before.popleft()
            held = [box for _, earlier in self._before for box in earlier]
            self._before.append((result.time, boxes))
        return anonymize_faces(picture, [*held, *boxes])
