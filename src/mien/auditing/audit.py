"""What is wrong with a dataset: copies, contradictions, images without a face, labels that are likely wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.auditing.issues import REASONS, Group, Issue, Item, copy_issues
from mien.auditing.label_errors import (
    is_no_face,
    label_errors_by_model,
    label_errors_by_votes,
    out_of_fold_probabilities,
)
from mien.data.dataset import Dataset, Split
from mien.data.duplicates import JoinedImages, exact_groups, near_groups
from mien.data.pixel_store import SIDE
from mien.data.rows import VOTE_COLUMNS
from mien.labels import FERPLUS_LABELS
from mien.models.classifier import EmotionClassifier

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

FOLDS = 5
_FEWEST = 50  # images of a split for which fitting a classifier means anything
_LEAST_ENTROPY = 4.0
_BLOCK = 512


@dataclass(frozen=True)
class Overlap:
    """How many images of a split are also in another one: identical, and further ones as a version."""

    split: str
    other: str
    identical: int
    near: int


@dataclass(frozen=True)
class AuditReport:
    """All that an audit found.

    Attributes:
        data: name of the dataset.
        labels: its labels.
        class_counts: split -> label -> images.
        exact, near: the groups of identical images, and of versions of one photograph.
        overlaps: of every two splits of which one has an image of the other.
        label_checks: what the labels were checked by, a sentence each; empty if by nothing.
        issues: by reason in the order of `REASONS`, the worst or the first images first.
    """

    data: str
    labels: tuple[str, ...]
    class_counts: dict[str, dict[str, int]]
    exact: tuple[Group, ...]
    near: tuple[Group, ...]
    overlaps: tuple[Overlap, ...]
    label_checks: tuple[str, ...]
    issues: tuple[Issue, ...]

    def sizes(self) -> dict[str, int]:
        """Split -> images."""
        return {split: sum(counts.values()) for split, counts in self.class_counts.items()}

    def counts(self) -> dict[str, dict[str, int]]:
        """Reason -> split -> images; the reasons that occur."""
        table: dict[str, dict[str, int]] = {}
        for issue in self.issues:
            row = table.setdefault(issue.reason, dict.fromkeys(self.class_counts, 0))
            row[issue.item.split] += 1
        return table

    def dropped(self, *, reasons: frozenset[str] = frozenset()) -> set[Item]:
        """The images of train that cleaning drops: by its policy, and for these further reasons."""
        return {f.item for f in self.issues if f.dropped or (f.item.split == "train" and f.reason in reasons)}

    def summary(self) -> dict[str, Any]:
        """The figures, without the images."""
        return {
            "data": self.data,
            "labels": list(self.labels),
            "class_counts": self.class_counts,
            "exact": _group_counts(self.exact),
            "near": _group_counts(self.near),
            "overlaps": [vars(overlap) for overlap in self.overlaps],
            "label_checks": list(self.label_checks),
            "counts": self.counts(),
            "dropped": len(self.dropped()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: the summary, the groups and the issues."""
        return self.summary() | {
            "exact_groups": [group.to_dict() for group in self.exact],
            "near_groups": [group.to_dict() for group in self.near],
            "findings": [issue.to_dict() for issue in self.issues],
        }


def audit(
    dataset: Dataset, *, classifier: EmotionClassifier | None = None, progress: Progress | None = None
) -> AuditReport:
    """Look at every image and every label of a dataset.

    Args:
        dataset: any; FER+ votes are used if present.
        classifier: also find label errors with this model: a logistic regression on the logarithms of its
            probabilities, fitted to the dataset's own labels in five folds, predicts the images of the fold left
            out. Its labels need not be the dataset's. Splits below 50 images are skipped.
        progress: called with (what is being done, done, total).
    """
    report = progress or (lambda what, done, total: None)
    items = _items(dataset)
    all_items = [item for part in items.values() for item in part]
    images = JoinedImages([split.images for split in dataset.splits.values()])
    exact = _groups(exact_groups(images), all_items, exact=True)
    near = _groups(
        near_groups(images, progress=lambda done, total: report("comparing images", done, total)),
        all_items,
        exact=False,
    )
    issues = [f for name, split in dataset.splits.items() for f in _image_issues(split, items[name])]
    issues += copy_issues(exact, near)
    checks, doubts = _label_issues(dataset, items, (*exact, *near), classifier, report)
    order = list(REASONS)
    return AuditReport(
        data=dataset.name,
        labels=dataset.labels,
        class_counts={
            name: dict(zip(dataset.labels, map(int, split.class_counts(len(dataset.labels))), strict=True))
            for name, split in dataset.splits.items()
        },
        exact=exact,
        near=near,
        overlaps=tuple(_overlaps(list(dataset.splits), exact, near)),
        label_checks=tuple(checks),
        issues=tuple(sorted([*issues, *doubts], key=lambda issue: order.index(issue.reason))),
    )


def _items(dataset: Dataset) -> dict[str, list[Item]]:
    return {
        name: [
            Item(name, index, split.names[index], dataset.labels[target])
            for index, target in enumerate(split.targets.tolist())
        ]
        for name, split in dataset.splits.items()
    }


def _groups(places: Sequence[NDArray[np.int64]], items: list[Item], *, exact: bool) -> tuple[Group, ...]:
    return tuple(Group(exact, tuple(items[place] for place in group)) for group in places)


def _group_counts(groups: Sequence[Group]) -> dict[str, int]:
    return {
        "groups": len(groups),
        "images": sum(len(group.items) for group in groups),
        "contradicting": sum(group.contradicting for group in groups),
    }


def _overlaps(splits: list[str], exact: Sequence[Group], near: Sequence[Group]) -> Iterator[Overlap]:
    for split in splits:
        for other in splits:
            if other != split:
                identical = _shared(exact, split, other)
                further = _shared(near, split, other) - identical
                if identical or further:
                    yield Overlap(split, other, len(identical), len(further))


def _shared(groups: Sequence[Group], split: str, other: str) -> set[Item]:
    """The images of a split in whose group there is one of the other split."""
    return {i for group in groups if group.first_in(other) for i in group.items if i.split == split}


def _image_issues(split: Split, items: Sequence[Item]) -> Iterator[Issue]:
    """What an image alone, or its votes, tell."""
    pixels = split.images.reshape(len(split), SIDE * SIDE)
    votes = np.zeros((len(split), VOTE_COLUMNS), np.uint8) if split.votes is None else split.votes
    constant = pixels.min(axis=1) == pixels.max(axis=1)
    no_face, voted = is_no_face(votes), np.asarray(votes.any(axis=1))
    for i, item in enumerate(items):
        if constant[i]:
            yield Issue(item, "constant", f"grey {pixels[i, 0]}")
        if no_face[i]:
            yield Issue(item, "not-a-face", _share(votes[i], -1))
        if not voted[i] and not constant[i] and (bits := _entropy(pixels[i])) < _LEAST_ENTROPY:
            yield Issue(item, "few-greys", f"{bits:.1f} bits")


def _entropy(pixels: NDArray[np.uint8]) -> float:
    """Entropy of the grey values in bits, 0 to 8."""
    shares = np.bincount(pixels, minlength=256) / len(pixels)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _share(votes: NDArray[np.uint8], column: int) -> str:
    return f"{votes[column]} of {votes.sum(dtype=np.int64)} votes"


def _errors_by_votes(split: Split, items: Sequence[Item], labels: Sequence[str]) -> list[tuple[float, Issue]]:
    """The labels that votes speak against, each with how clearly they do."""
    if split.votes is None or not set(labels) <= set(FERPLUS_LABELS):
        return []
    found = []
    other = label_errors_by_votes(split.votes, split.targets, labels)
    for i in np.flatnonzero(other >= 0).tolist():
        suggested, row = labels[other[i]], split.votes[i]
        column, given = FERPLUS_LABELS.index(suggested), FERPLUS_LABELS.index(items[i].label)
        lead = (int(row[column]) - int(row[given])) / int(row.sum(dtype=np.int64))
        found.append((lead, Issue(items[i], "outvoted", f"{_share(row, column)}", suggested)))
    return found


def _errors_by_model(
    split: Split, items: Sequence[Item], labels: Sequence[str], features: Floats, copies: Ints
) -> list[tuple[float, Issue]]:
    """The labels that a model doubts, each with how much more probable the other one is."""
    probabilities = out_of_fold_probabilities(features, split.targets, copies, len(labels), folds=FOLDS)
    found = []
    other = label_errors_by_model(probabilities, split.targets)
    for i in np.flatnonzero(other >= 0).tolist():
        p, given = float(probabilities[i, other[i]]), float(probabilities[i, split.targets[i]])
        detail = f"{100 * p:.0f} % against {100 * given:.0f} %"
        found.append((p - given, Issue(items[i], "doubted", detail, labels[other[i]])))
    return found


def _label_issues(
    dataset: Dataset,
    items: dict[str, list[Item]],
    groups: Sequence[Group],
    classifier: EmotionClassifier | None,
    progress: Progress,
) -> tuple[list[str], list[Issue]]:
    """What the labels were checked by, and those that are likely wrong, the clearest first."""
    found: list[tuple[float, Issue]] = []
    voted, checked = [], []
    for name, split in dataset.splits.items():
        if split.votes is not None and set(dataset.labels) <= set(FERPLUS_LABELS):
            voted.append(name)
            found += _errors_by_votes(split, items[name], dataset.labels)
        copies = _copies(items[name], groups)
        if classifier is not None and len(np.unique(copies)) >= _FEWEST:
            checked.append(name)
            features = _features(
                classifier, split, lambda done, total: progress("checking labels", done, total)
            )
            found += _errors_by_model(split, items[name], dataset.labels, features, copies)
    checks = [f"FER+ votes ({', '.join(voted)})"] if voted else []
    if classifier is not None and checked:
        checks.append(_describe_check(classifier, dataset, checked))
    return checks, [issue for _, issue in sorted(found, key=lambda pair: -pair[0])]


def _copies(items: Sequence[Item], groups: Sequence[Group]) -> Ints:
    """A number for each image, the same for copies and versions: (n,)."""
    numbers = np.arange(len(items))
    for group in groups:
        inside = [item.index for item in group.items if item.split == items[0].split] if items else []
        numbers[inside] = min(inside, default=0)
    return numbers


def _features(classifier: EmotionClassifier, split: Split, progress: Callable[[int, int], None]) -> Floats:
    """The logarithms of the probabilities of all heads: (n, d)."""
    parts = []
    for start in range(0, len(split), _BLOCK):
        heads = classifier.predict_heads(split.images[start : start + _BLOCK])
        # A default output that is no head of its own adds nothing.
        own = classifier.config.heads or heads
        parts.append(np.hstack([p for head, p in heads.items() if head in own]))
        progress(min(start + _BLOCK, len(split)), len(split))
    return np.log(np.maximum(np.concatenate(parts).astype(np.float64), 1e-6))


def _describe_check(classifier: EmotionClassifier, dataset: Dataset, splits: Sequence[str]) -> str:
    name = classifier.config.name
    sentence = f"what {name} sees, by a logistic regression in {FOLDS} folds ({', '.join(splits)})"
    if origin := " and ".join(
        str(recipe["init"]) for recipe in classifier.config.recipes if recipe.get("init")
    ):
        sentence += f"; its training started from the weights of {origin}, which may know these images"
    if classifier.config.data.get("name") == dataset.name:
        # The folds keep labels from the regression, not from the network below it.
        sentence += f"; {name} was trained on {dataset.name}: it finds too few label errors in its own images"
    return sentence
