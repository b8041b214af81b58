"""Hard negatives: what a detector takes for a face in photographs that hold none.

They are mined once, of the detector that a run starts with (Shrivastava et al., arXiv 1604.03540, mine in each step).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien._core.boxes import as_array, suppress
from mien._core.files import write_json
from mien.errors import TrainingError
from mien.faces.onnx_detector import MienDetector
from mien.training.detector.geometry import Floats, Image
from mien.training.detector.photographs import Photograph

FILE = "hard_negatives.json"
"""In the folder of a run: digest of a photograph -> boxes."""

LONG_SIDES = (320, 640)
"""Each photograph is searched at these sizes, as it is and mirrored."""

_ONE_PLACE = 0.5
"""Boxes with a higher intersection over union are one."""


def mine(detector: Path | None, photographs: Sequence[Photograph], least: float, run: Path) -> None:
    """Search the photographs without a face, and keep what was found in the folder of a run.

    Args:
        detector: as for `MienDetector`.
        photographs: to train on.
        least: the score from which a box is a hard negative, 0 to 1.
        run: the folder.

    Raises:
        DetectorError: no detector.
    """
    own = MienDetector(detector).model.min_score
    searches = [MienDetector(detector, long_side=side, score_factor=least / own) for side in LONG_SIDES]
    found = {one.digest: _boxes(searches, one.image) for one in photographs if one.empty}
    write_json(run / FILE, {digest: boxes.round(1).tolist() for digest, boxes in found.items() if len(boxes)})


def with_mined(photographs: Sequence[Photograph], run: Path) -> list[Photograph]:
    """The photographs, with what `mine` found in them among the rejected boxes; each place once.

    Raises:
        TrainingError: the folder does not hold what `mine` wrote.
    """
    try:
        found = json.loads((run / FILE).read_bytes())
        mined = [np.array(found.get(one.digest, []), float).reshape(-1, 4) for one in photographs]
    except (OSError, ValueError, AttributeError) as error:
        raise TrainingError(
            f"{run / FILE}: not the hard negatives of a run ({error}); start it anew"
        ) from None
    return [
        replace(one, rejected=_once(np.concatenate([one.rejected, boxes])))
        for one, boxes in zip(photographs, mined, strict=True)
    ]


def _boxes(searches: Sequence[MienDetector], image: Image) -> Floats:
    mirrored, width = np.ascontiguousarray(image[:, ::-1]), image.shape[1]
    found = []
    for search in searches:
        found.append(as_array(face.box for face in search.detect(image)))
        x1, y1, x2, y2 = as_array(face.box for face in search.detect(mirrored)).T
        found.append(np.column_stack([width - x2, y1, width - x1, y2]))
    return _once(np.concatenate(found))


def _once(boxes: Floats) -> Floats:
    """Without those that overlap an earlier one."""
    return np.asarray(boxes[suppress(-np.arange(len(boxes), dtype=float), boxes, _ONE_PLACE)])
