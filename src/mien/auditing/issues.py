"""What an audit can find in an image, and the rules by which copies become issues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

REASONS = {
    "constant": "every pixel is the same",
    "not-a-face": "more than half of the FER+ votes say so",
    "few-greys": "less than 4 bits of entropy, and no votes: most likely a drawing or a blank image",
    "contradiction": "an identical copy has another label",
    "copy-of-held-out": "a training image with an identical copy in validation or test",
    "near-copy-of-held-out": "a training image with a near-duplicate in validation or test",
    "duplicate": "an identical copy comes earlier in the same split",
    "also-in-train": "a validation or test image with an identical copy in train",
    "nearly-in-train": "a validation or test image with another version of it in train",
    "near-contradiction": "another version of it has another label",
    "near-duplicate": "another version of it comes earlier in the same split",
    "outvoted": "suspected label error: more than half of the FER+ votes name one other label, a tenth at most "
    "this one",
    "doubted": "suspected label error: a model that was fitted without this label is sure of another one",
}
"""Reason -> meaning, in the order of the output."""

DROPPED = frozenset(
    ("constant", "not-a-face", "contradiction", "copy-of-held-out", "near-copy-of-held-out", "duplicate")
)
"""The reasons for which cleaning drops an image of train."""

LABEL_ERRORS = frozenset(("outvoted", "doubted"))
"""The reasons for which it does so when asked to."""


@dataclass(frozen=True)
class Item:
    """One image of the dataset: its split, its place there, its `Split.names` and its label."""

    split: str
    index: int
    name: str
    label: str


@dataclass(frozen=True)
class Group:
    """Identical images (`exact`), or near-duplicates."""

    exact: bool
    items: tuple[Item, ...]

    @property
    def contradicting(self) -> bool:
        """Whether there is more than one label."""
        return len({item.label for item in self.items}) > 1

    def first_in(self, *splits: str) -> Item | None:
        """The first of its images that is in one of the splits."""
        return next((item for item in self.items if item.split in splits), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "contradicting": self.contradicting,
            "items": [{"split": i.split, "name": i.name, "label": i.label} for i in self.items],
        }


@dataclass(frozen=True)
class Issue:
    """One image and one thing that is wrong with it.

    Attributes:
        item: the image.
        reason: a key of `REASONS`.
        detail: the other image, or what the voters or the model say.
        suggested: the label that is likely right, if this is about the label.
    """

    item: Item
    reason: str
    detail: str = ""
    suggested: str | None = None

    @property
    def dropped(self) -> bool:
        """Whether cleaning drops the image for this reason: only ever from train."""
        return self.item.split == "train" and self.reason in DROPPED

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON and CSV."""
        return {
            "split": self.item.split,
            "name": self.item.name,
            "label": self.item.label,
            "reason": self.reason,
            "detail": self.detail,
            "suggested": self.suggested,
            "dropped": self.dropped,
        }


def copy_issues(exact: Sequence[Group], near: Sequence[Group]) -> Iterator[Issue]:
    """What the groups mean for each of their images."""
    for group in exact:
        if group.contradicting:
            for item in group.items:
                yield Issue(item, "contradiction", _other_label(item, group))
        yield from _leaks(group, "copy-of-held-out", "also-in-train")
        yield from _repeats(group, "duplicate")
    twin = {item: group for group in exact for item in group.items}
    for group in near:
        if group.contradicting:
            for item in group.items:
                yield Issue(item, "near-contradiction", _other_label(item, group))
        leaks = {f.item: f for f in _leaks(group, "near-copy-of-held-out", "nearly-in-train")}
        # An image with an identical copy there is listed as that.
        yield from (leak for item, leak in leaks.items() if not _leaks_exactly(twin.get(item)))
        for repeat in _repeats(group, "near-duplicate"):
            same = twin.get(repeat.item)
            if same is None or same.first_in(repeat.item.split) == repeat.item:
                yield repeat


def _leaks(group: Group, in_train: str, held_out: str) -> Iterator[Issue]:
    train, other = group.first_in("train"), group.first_in("validation", "test")
    if train is not None and other is not None:
        for item in group.items:
            if item.split == "train":
                yield Issue(item, in_train, f"{other.split} {other.name}")
            else:
                yield Issue(item, held_out, f"train {train.name}")


def _leaks_exactly(group: Group | None) -> bool:
    return group is not None and next(_leaks(group, "", ""), None) is not None


def _repeats(group: Group, reason: str) -> Iterator[Issue]:
    for item in group.items:
        first = group.first_in(item.split)
        if first is not None and first != item:
            yield Issue(item, reason, f"{first.split} {first.name}")


def _other_label(item: Item, group: Group) -> str:
    other = next(i for i in group.items if i.label != item.label)
    return f"{other.label} in {other.split} {other.name}"
