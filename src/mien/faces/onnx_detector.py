"""mien's own face detector: a small network in ONNX, for faces from 20 pixels to the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import Floats
from mien._core.per_process import PerProcess
from mien._core.settings import check_limits, check_types
from mien.errors import DetectorError
from mien.faces.grid import OUTPUTS
from mien.faces.multiscale import SURE, search
from mien.models.files import NetworkFiles
from mien.models.onnx_runtime import Session, Sessions, open_session
from mien.models.registry import DETECTOR_SIZE
from mien.results import Box, Face

SHIPPED = Path(__file__).parent / "weights"
MODEL_FILE, CONFIG_FILE = "mien.onnx", "mien.json"

MAX_BYTES = 64 * 2**20

_FILES = NetworkFiles(
    "detector",
    DetectorError,
    MODEL_FILE,
    CONFIG_FILE,
    expected="expected the folder of a detector, or a run of mien train-detector",
)


@dataclass(frozen=True)
class DetectorModel:
    """What the JSON beside a detector's ONNX file says.

    Attributes:
        sha256: of the ONNX file.
        min_score: boxes with a lower score are dropped; of the shipped detector `weights/mien.json` says it.
        margin: of `crop_face`, so the crop is framed like the training pictures of the expressions.
        data: what it was trained on.
        metrics: scores on the validation pictures.
        training: the settings it was trained with.
        created_with: version of mien.
        same_as: SHA-256 of earlier files of this network, which give the same answers to the last bit.
    """

    sha256: str
    min_score: float = 0.5
    margin: float = 1.0
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    created_with: str = ""
    same_as: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "same_as", tuple(self.same_as))
        check_types(self)
        check_limits(self, {"min_score": (0, 1), "margin": (0, 10)}, inside=True)

    @classmethod
    def load(cls, folder: Path) -> DetectorModel:
        """Read a folder's `mien.json`.

        Raises:
            DetectorError: it is missing, or not what `save` writes.
        """
        return _FILES.load_config(cls, folder)

    def save(self, folder: Path) -> None:
        """Write `mien.json`."""
        _FILES.save_config(self, folder)


def detector_folder(folder: Path | None) -> Path:
    """The paths of the two files: of the shipped detector for None, of a run in its `export`."""
    folder = folder or SHIPPED
    return folder / "export" if (folder / "export" / CONFIG_FILE).is_file() else folder


def read_detector(folder: Path | None) -> bytes:
    """The ONNX file of a detector, whose place is said as for `MienDetector`.

    Raises:
        DetectorError: it is missing, or not the one that its JSON describes.
    """
    folder = detector_folder(folder)
    return _FILES.read_network(folder, DetectorModel.load(folder).sha256, MAX_BYTES)


class MienDetector:
    """Faces with five landmarks; threads and, by pickles, processes may share it.

    Args:
        folder: with `mien.onnx` and `mien.json`, or a run of `mien train-detector`; None for the shipped detector.
        long_side: pictures are scaled to this long side at most before the search, in pixels: less is faster and misses
            small faces.
        threads: of one call; None for as many as the machine has cores, or one where several calls run at a time.
        score_factor: on the minimum score that a box must have: below 1 finds more faces, and more that are none.

    Raises:
        DetectorError: the files are missing, damaged, or not such a network.
        ValueError: a long side below 32 pixels.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        long_side: int = DETECTOR_SIZE,
        threads: int | None = None,
        score_factor: float = 1.0,
    ) -> None:
        if long_side < 32:
            raise ValueError(f"detector size {long_side}: expected at least 32 pixels")
        folder = detector_folder(folder)
        # The shipped one without its path: another machine may have it elsewhere.
        place = None if folder == SHIPPED else str(folder.absolute())
        self.model = DetectorModel.load(folder)
        self.long_side, self._min_score = long_side, score_factor * self.model.min_score
        self._sessions = PerProcess(_open, place, self.model.sha256, threads)
        self._input = _check_shapes(self._sessions().alone, folder / MODEL_FILE)

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces of an image (H, W, 3) uint8 RGB, boxes and landmarks in its pixels, best first."""
        return self.detect_batch([image])[0]

    def detect_batch(
        self, images: Sequence[NDArray[np.uint8]], min_sizes: Sequence[float] | None = None
    ) -> list[list[Face]]:
        """The faces of several images, each as from `detect`; images of one size go in one batch.

        The search of an image is scaled so that faces of its `min_sizes`, the shorter side in its pixels, are found;
        smaller ones may come as well. None for `MIN_SIZE` of all.
        """
        found = search(
            self.answers, images, self.long_side, self._min_score, min_sizes, SURE * self.model.min_score
        )
        return [
            [
                Face(Box(*box.tolist()), float(score), tuple((x, y) for x, y in points.tolist()))
                for score, box, points in zip(*parts, strict=True)
            ]
            for parts in found
        ]

    def answers(self, pictures: NDArray[np.uint8]) -> Floats:
        """What the network answers: (n, height, width, 3) uint8, multiples of 32 -> (n, cells, 15)."""
        return np.asarray(self._sessions().run(None, {self._input: pictures})[0], np.float32)


def _open(folder: str | None, sha256: str, threads: int | None) -> Sessions:
    """The sessions of a detector with this SHA-256; of the shipped one for None."""
    path = SHIPPED if folder is None else Path(folder)

    def open_one(threads: int | None) -> Session:
        network = _FILES.read_network(path, sha256, MAX_BYTES)
        return open_session(network, path / MODEL_FILE, DetectorError, threads=threads)

    return Sessions(open_one, threads)


def _check_shapes(session: Session, path: Path) -> str:
    """The name of the input, if the network takes pictures of any size and answers in cells."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    came = ", ".join(f"{value.name} {value.type} {value.shape}" for value in (*inputs, *outputs))
    fits = (
        len(inputs) == len(outputs) == 1
        and inputs[0].type == "tensor(uint8)"
        and len(inputs[0].shape) == 4
        and inputs[0].shape[3] == 3
        and not any(isinstance(side, int) for side in inputs[0].shape[:3])
        and outputs[0].shape[-1] == OUTPUTS
    )
    if not fits:
        raise DetectorError(
            f"{path}: has {came}; expected tensor(uint8) [n, height, width, 3] and {OUTPUTS} numbers a cell"
        )
    return str(inputs[0].name)
