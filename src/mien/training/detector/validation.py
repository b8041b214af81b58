"""Scores of a detector on validation photographs, while it is trained and after."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mien.faces.multiscale import Network, search
from mien.metrics.detection import PictureScores, average_precision, match, recall_at
from mien.models.registry import DETECTOR_SIZE
from mien.training.callbacks import ProgressBar
from mien.training.detector.photographs import Photograph

MIN_SIDE = 20
"""Faces with a shorter side, in pixels of the picture, are ignored, and such boxes dropped, as for users."""

_ALL_SCORES = 1e-3  # average precision wants the uncertain boxes too


def scores_of(network: Network, pictures: list[Photograph]) -> list[PictureScores]:
    """What a network finds on each of the pictures, against their boxes."""
    found = []
    for one in pictures:  # one by one, so not all views are in memory
        ((scores, boxes, _),) = search(network, [one.image], DETECTOR_SIZE, _ALL_SCORES)
        large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= MIN_SIDE
        found.append(match(scores[large], boxes[large], *to_be_found(one)))
    return found


def to_be_found(one: Photograph) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The boxes of a photograph's faces that a detector is to find, and of those that do not count."""
    boxes = one.faces.boxes.astype(np.float32)
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= MIN_SIDE
    return boxes[large], np.concatenate([boxes[~large], one.faces.ignored.astype(np.float32)])


class Validation(keras.callbacks.Callback):  # type: ignore[misc]
    """Average precision and recall at one false positive per picture, every few epochs, by the averaged weights.

    Args:
        pictures: to score on.
        every: interval in epochs; also after the last one.
        epochs: of the run.
        bar: shows the scores.
    """

    def __init__(self, pictures: list[Photograph], every: int, epochs: int, bar: ProgressBar) -> None:
        super().__init__()
        self.pictures, self.every, self.epochs, self.bar = pictures, every, epochs, bar

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the scores to the epoch's figures; NaN where this epoch is not validated."""
        logs = {} if logs is None else logs
        precision = recall = float("nan")
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            swap = keras.callbacks.SwapEMAWeights() if self.model.optimizer.use_ema else None
            if swap:
                swap.set_model(self.model)
                swap.on_test_begin()
            found = scores_of(self._network, self.pictures)
            if swap:
                swap.on_test_end()
            precision, recall = average_precision(found), recall_at(found, 1.0)
            self.bar.say(
                f"validation: average precision {precision:.3f}, recall at 1 false box a picture {recall:.3f}"
            )
        logs |= {"val_average_precision": precision, "val_recall": recall}

    def _network(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = self.model(views.astype(np.float32), training=False)
        return np.asarray(keras.ops.convert_to_numpy(answers))
