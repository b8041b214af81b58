"""A model's predictions on a split of a dataset, from which all scores, comparisons and reports are computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mien.data.dataset import Dataset, Split
from mien.data.duplicates import has_copy
from mien.data.ferplus import majority
from mien.errors import DatasetError
from mien.labels import FERPLUS_LABELS
from mien.models.classifier import EmotionClassifier
from mien.models.registry import DEFAULT_HEAD, DEFAULT_OUTPUT, ModelConfig
from mien.models.tta import SINGLE, predict_views


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of one head on one split.

    Attributes:
        config: of the model.
        dataset: what the split belongs to.
        split, head: of the predictions.
        labels: of the probabilities, in order.
        part: the n images that are scored; with the head "ferplus" those with a majority among the votes.
        targets: (n,) int64, the true labels as indices into `labels`.
        probabilities: (n, labels), one view per image.
        views: name -> (n, labels): probabilities with one and with more views, if requested.
    """

    config: ModelConfig
    dataset: Dataset
    split: str
    head: str
    labels: tuple[str, ...]
    part: Split
    targets: NDArray[np.int64]
    probabilities: NDArray[np.floating]
    views: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) index of the most probable label."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidences(self) -> NDArray[np.floating]:
        """(n,) probability of the prediction."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether the prediction is right."""
        return np.asarray(self.predicted == self.targets)

    @cached_property
    def copied(self) -> NDArray[np.bool_] | None:
        """(n,) whether the image has a copy in the split "train"; None if there is none, or it is scored itself."""
        if self.split == "train" or "train" not in self.dataset.splits:
            return None
        return has_copy(self.part.images, self.dataset.splits["train"].images)

    def mistakes(self, most: int) -> NDArray[np.int64]:
        """The indices of the wrong predictions, the most confident first, at most this many."""
        wrong = np.flatnonzero(~self.correct)
        return wrong[np.argsort(-self.confidences[wrong], kind="stable")][:most]


def predict_split(
    classifier: EmotionClassifier,
    dataset: Dataset,
    *,
    split: str | None = None,
    head: str = "auto",
    views: bool = False,
) -> Predictions:
    """What a model predicts on a split. Arguments and errors as for `mien.evaluate`."""
    name = split or dataset.default_split()
    part = dataset.split(name)
    head = _head(classifier, dataset, head)
    targets, labels = part.targets, dataset.labels
    if head == "ferplus":
        if part.votes is None:
            raise DatasetError(
                f"{dataset.name}: no FER+ votes; the ferplus head is scored against their majority"
            )
        targets, labels = majority(part.votes), FERPLUS_LABELS
        part, targets = part.take(targets >= 0), targets[targets >= 0]
    if len(part) == 0:
        raise DatasetError(f"{dataset.name}: the split {name!r} has no images that can be scored")
    _check_labels(classifier.config, head, labels, dataset.name)
    several = predict_views(classifier, part.images, head=head) if views else {}
    single = several[SINGLE] if views else classifier.predict_proba(part.images, head=head)
    return Predictions(classifier.config, dataset, name, head, labels, part, targets, single, several)


def _head(classifier: EmotionClassifier, dataset: Dataset, head: str) -> str:
    """The output that is scored; "auto": what the classifier was made to answer with, else what has such labels."""
    if head != DEFAULT_HEAD or classifier.head != DEFAULT_OUTPUT:
        return classifier.head if head == DEFAULT_HEAD else classifier.config.output(head)
    return "fer2013" if dataset.is_fer2013 and "fer2013" in classifier.config.outputs else DEFAULT_OUTPUT


def _check_labels(config: ModelConfig, head: str, labels: tuple[str, ...], data: str) -> None:
    """Raise unless the head has these labels."""
    if labels != config.outputs[head]:
        raise DatasetError(
            f"{data}: labelled {', '.join(labels)}; but {config.name} predicts "
            f"{', '.join(config.outputs[head])}"
        )
