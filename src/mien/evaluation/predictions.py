"""A model's predictions on a split of a dataset, from which all scores, comparisons and reports are computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mien.data.dataset import Dataset, Split
from mien.data.duplicates import has_copy
from mien.data.ferplus import majority, majority_among
from mien.errors import DatasetError
from mien.labels import FERPLUS_LABELS
from mien.models.classifier import EmotionClassifier
from mien.models.registry import DEFAULT_HEAD, ModelConfig
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
    def majority(self) -> NDArray[np.int64] | None:
        """(n,) the label that most of the FER+ votes are for, -1 where that is none of `labels`; None without votes."""
        if self.part.votes is None or not set(self.labels) <= set(FERPLUS_LABELS):
            return None
        found = majority_among(self.part.votes, self.labels)
        return found if (found >= 0).any() else None

    @cached_property
    def copied(self) -> NDArray[np.bool_] | None:
        """(n,) whether the image has a copy in the split "train"; None if there is none, or it is scored itself."""
        if self.split == "train" or "train" not in self.dataset.splits:
            return None
        return has_copy(self.part.images, self.dataset.splits["train"].images)

    def mistakes(self, most: int) -> NDArray[np.int64]:
        """The indices of the wrong predictions, the most confident first, at most this many."""
        return self._most_confident(~self.correct)[:most]

    def confusions(self, most: int) -> list[tuple[int, int, NDArray[np.int64]]]:
        """The most frequent confusions, at most this many: (label, prediction, indices), the most confident first.

        With FER+ votes only of images whose majority is the label: elsewhere it may be the label that is wrong.
        """
        wrong = ~self.correct
        if self.majority is not None:
            wrong &= self.majority == self.targets
        pairs = Counter(zip(self.targets[wrong].tolist(), self.predicted[wrong].tolist(), strict=True))
        return [
            (
                label,
                predicted,
                self._most_confident(wrong & (self.targets == label) & (self.predicted == predicted)),
            )
            for (label, predicted), _ in pairs.most_common(most)
        ]

    def _most_confident(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        places = np.flatnonzero(chosen)
        return places[np.argsort(-self.confidences[places], kind="stable")]


def predict_split(
    classifier: EmotionClassifier,
    dataset: Dataset,
    *,
    split: str | None = None,
    head: str = "auto",
    views: bool = False,
) -> Predictions:
    """What one head of a model predicts on a split. Arguments and errors as for `mien.evaluate`."""
    name = split or dataset.default_split()
    whole = dataset.split(name)
    head = _head(classifier, dataset, head)
    scored, targets, labels = _targets(dataset, whole, head)
    if not scored.any():
        raise DatasetError(f"{dataset.name}: the split {name!r} has no images that can be scored")
    _check_labels(classifier.config, head, labels, dataset.name)
    part = whole if scored.all() else whole.take(scored)
    several = predict_views(classifier, part.images, head=head) if views else {}
    single = several[SINGLE] if views else classifier.predict_proba(part.images, head=head)
    return Predictions(classifier.config, dataset, name, head, labels, part, targets[scored], single, several)


def predict_heads(
    classifier: EmotionClassifier, dataset: Dataset, *, split: str | None = None
) -> dict[str, Predictions]:
    """What every head of a model that can be scored predicts on a split, in one pass through the network.

    Args:
        classifier, dataset, split: as for `mien.evaluate`.

    Returns:
        Head -> its predictions; first the head that "auto" means. "ferplus" is left out where no image has a majority
        of FER+ votes.

    Raises:
        DatasetError: no such split, none of its images can be scored, or other labels than the model's.
    """
    name = split or dataset.default_split()
    whole, config = dataset.split(name), classifier.config
    if len(whole) == 0:
        raise DatasetError(f"{dataset.name}: the split {name!r} has no images that can be scored")
    asked = {}
    for head in dict.fromkeys([main_head(config, dataset), *config.outputs]):
        if head != "ferplus" or has_majority(whole):
            asked[head] = _targets(dataset, whole, head)
            _check_labels(config, head, asked[head][2], dataset.name)
    shares = classifier.predict_heads(whole.images)
    return {
        head: Predictions(
            config,
            dataset,
            name,
            head,
            labels,
            whole if scored.all() else whole.take(scored),
            targets[scored],
            shares[head][scored],
        )
        for head, (scored, targets, labels) in asked.items()
    }


def main_head(config: ModelConfig, dataset: Dataset) -> str:
    """The head that was trained on such labels: "fer2013" on FER2013, else the default."""
    return "fer2013" if dataset.is_fer2013 and "fer2013" in config.outputs else config.default


def has_majority(split: Split) -> bool:
    """Whether there is an image with a majority among its FER+ votes: something to score the head "ferplus" by."""
    return split.votes is not None and bool((majority(split.votes) >= 0).any())


def _targets(
    dataset: Dataset, split: Split, head: str
) -> tuple[NDArray[np.bool_], NDArray[np.int64], tuple[str, ...]]:
    """Which images a head is scored on, (n,); the right answers, (n,), where it is; the labels they mean."""
    if head != "ferplus":
        return np.ones(len(split), np.bool_), split.targets, dataset.labels
    if split.votes is None:
        raise DatasetError(
            f"{dataset.name}: no FER+ votes; the ferplus head is scored against their majority"
        )
    voted = majority(split.votes)
    return voted >= 0, voted, FERPLUS_LABELS


def _head(classifier: EmotionClassifier, dataset: Dataset, head: str) -> str:
    """The output that is scored; "auto": what the classifier was made to answer with, else what has such labels."""
    if head != DEFAULT_HEAD or classifier.head != classifier.config.default:
        return classifier.head if head == DEFAULT_HEAD else classifier.config.output(head)
    return main_head(classifier.config, dataset)


def _check_labels(config: ModelConfig, head: str, labels: tuple[str, ...], data: str) -> None:
    """Raise unless the head has these labels."""
    if labels != config.outputs[head]:
        raise DatasetError(
            f"{data}: labelled {', '.join(labels)}; but {config.name} predicts "
            f"{', '.join(config.outputs[head])}"
        )
