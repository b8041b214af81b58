"""The findings of an audit, and the rules that turn duplicates into findings."""

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
    "nearly-in-train": "a validation or test image with a near-duplicate in train",
    "near-contradiction": "a near-duplicate has another label",
    "near-duplicate": "a near-duplicate comes earlier in the same split",
    "outvoted": "more than half of the FER+ votes name one other label, and at most a tenth name this one",
    "doubted": "a model fitted without this label is confident of another one",
}
"""Reason -> meaning, in the order of the output."""

DROPPED = frozenset(
    ("constant", "not-a-face", "contradiction", "copy-of-held-out", "near-copy-of-held-out", "duplicate")
)
"""The reasons for which cleaning drops an image of train."""

WRONG_LABEL = frozenset(("outvoted", "doubted"))
"""The reasons for which it does so on request."""


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
class Finding:
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


def copy_findings(exact: Sequence[Group], near: Sequence[Group]) -> Iterator[Finding]:
    """What the groups mean for each of their images."""
    for group in exact:
        if group.contradicting:
            for item in group.items:
                yield Finding(item, "contradiction", _other_label(item, group))
        yield from _leaks(group, "copy-of-held-out", "also-in-train")
        yield from _repeats(group, "duplicate")
    twin = {item: group for group in exact for item in group.items}
    for group in near:
        if group.contradicting:
            for item in group.items:
                yield Finding(item, "near-contradiction", _other_label(item, group))
        leaks = {f.item: f for f in _leaks(group, "near-copy-of-held-out", "nearly-in-train")}
        # An image with an identical copy there is listed as that.
        yield from (leak for item, leak in leaks.items() if not _leaks_exactly(twin.get(item)))
        for repeat in _repeats(group, "near-duplicate"):
            same = twin.get(repeat.item)
            if same is None or same.first_in(repeat.item.split) == repeat.item:
                yield repeat


def _leaks(group: Group, in_train: str, held_out: str) -> Iterator[Finding]:
    train, other = group.first_in("train"), group.first_in("validation", "test")
    if train is not None and other is not None:
        for item in group.items:
            if item.split == "train":
                yield Finding(item, in_train, f"{other.split} {other.name}")
            else:
                yield Finding(item, held_out, f"train {train.name}")


def _leaks_exactly(group: Group | None) -> bool:
    return group is not None and next(_leaks(group, "", ""), None) is not None


def _repeats(group: Group, reason: str) -> Iterator[Finding]:
    for item in group.items:
        first = group.first_in(item.split)
        if first is not None and first != item:
            yield Finding(item, reason, f"{first.split} {first.name}")


def _other_label(item: Item, group: Group) -> str:
    other = next(i for i in group.items if i.label != item.label)
    return f"{other.label} in {other.split} {other.name}"
