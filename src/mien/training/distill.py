"""What teachers think of the training pictures, kept in a small file that a student learns from.

Knowledge distillation (Hinton et al., arXiv 1503.02531) with the teachers' answers written down: every training
picture is shown to them in some fixed, randomly changed views. The views are not stored but drawn again from a seed,
so a few megabytes are enough to train a student without its teachers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien._core.files import atomic_file
from mien._core.zips import ZIP_ERRORS
from mien.data.dataset import Split
from mien.data.duplicates import digests
from mien.data.pixel_store import store_like, take_images
from mien.errors import TrainingError
from mien.models.classifier import EmotionClassifier
from mien.training.augmentation import Augmentation, augment
from mien.training.targets import EXPRESSION, mixed

VIEWS_BY_TEACHERS = Augmentation(rotation=12, scale=0.15, shift=0.08, light=0.3, corruption=0.2, glasses=0.04)
"""How the fixed views are changed."""

_CHUNK = 512
_SAME_GREY = 0.5  # grey levels by which the mean of a picture may differ from machine to machine

Targets = dict[str, NDArray[np.float32]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """Mean probabilities of the teachers for fixed views of the training pictures.

    Attributes:
        pictures: (n,) uint64, digests of the pictures that the teachers saw, in their order (`duplicates.digests`).
        seed: that the views are drawn from.
        heads: head -> (views, n, labels) uint8, 255 for a probability of 1.
        labels: head -> its labels.
        greys: (views, up to 512) float32, mean grey of the first pictures: whether the views are drawn as they were.
        teachers: SHA-256 of the teachers' ONNX files.
    """

    pictures: NDArray[np.uint64]
    seed: int
    heads: dict[str, NDArray[np.uint8]]
    labels: dict[str, tuple[str, ...]]
    greys: NDArray[np.float32]
    teachers: tuple[str, ...] = ()

    @property
    def views(self) -> int:
        """How many views a picture has."""
        return len(next(iter(self.heads.values())))

    def targets(self, view: int, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """The teachers' probabilities of some pictures in a view: head -> (rows, labels), each summing to 1."""
        shares = {head: levels[view, rows].astype(np.float32) for head, levels in self.heads.items()}
        return {head: s / np.maximum(s.sum(axis=1, keepdims=True), 1) for head, s in shares.items()}

    def order(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Where each of these pictures (n, h, w) stands in the file: (n,).

        So it does not matter in which order, or form, a dataset comes.

        Raises:
            ValueError: they are not the pictures that the teachers saw.
        """
        own = digests(images)
        here, there = np.argsort(own, kind="stable"), np.argsort(self.pictures, kind="stable")
        if not np.array_equal(own[here], self.pictures[there]):
            raise ValueError("other pictures")
        order = np.empty(len(own), np.int64)
        order[here] = there
        return order

    def check(self, split: Split, heads: Mapping[str, tuple[str, ...]], source: str) -> None:
        """Raise unless they belong to these pictures, in the views that are drawn here, and to these heads.

        Raises:
            TrainingError: they do not; the message starts with `source`.
        """
        try:
            first = np.argsort(self.order(split.images))[:_CHUNK]
        except ValueError:
            raise TrainingError(
                f"{source}: the teachers were asked about other pictures ({len(self.pictures)}) than are trained on "
                f"here ({len(split)}); expected the same data, and the same calibration_fraction, limit and unlabelled"
            ) from None
        if self.labels != _asked(heads):
            raise TrainingError(
                f"{source}: has the heads {_words(self.labels)}; expected {_words(_asked(heads))}"
            )
        if np.abs(self.greys - _greys(split.images[first], self.views, self.seed)).max() > _SAME_GREY:
            raise TrainingError(
                f"{source}: the teachers saw other views; expected it made by this version of mien"
            )

    def save(self, path: Path) -> None:
        """Write everything into one compressed file."""
        arrays: dict[str, Any] = {f"head_{head}": levels for head, levels in self.heads.items()}
        arrays |= {f"labels_{head}": np.array(names) for head, names in self.labels.items()}
        arrays |= {"pictures": self.pictures, "seed": self.seed, "greys": self.greys}
        arrays["teachers"] = np.array(self.teachers)
        with atomic_file(path) as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> SoftLabels:
        """Read what `save` wrote.

        Raises:
            TrainingError: it is not such a file.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                heads = {n.removeprefix("head_"): found[n] for n in found.files if n.startswith("head_")}
                labels = {head: tuple(map(str, found[f"labels_{head}"])) for head in heads}
                for head, levels in heads.items():
                    if levels.dtype != np.uint8 or levels.shape[2:] != (len(labels[head]),):
                        raise ValueError(f"head {head} is {levels.dtype} {levels.shape}")
                if len({levels.shape[:2] for levels in heads.values()}) != 1:
                    raise ValueError("no heads of one length")
                teachers = tuple(map(str, found["teachers"]))
                pictures = found["pictures"].astype(np.uint64)
                if any(levels.shape[1:2] != pictures.shape for levels in heads.values()):
                    raise ValueError(f"{pictures.shape} pictures")
                greys = found["greys"].astype(np.float32)
                return cls(pictures, int(found["seed"]), heads, labels, greys, teachers)
        except FileNotFoundError:
            raise TrainingError(f"{path}: no such file; mien distill writes one") from None
        except (OSError, ValueError, KeyError, TypeError, IndexError, *ZIP_ERRORS) as error:
            raise TrainingError(f"{path}: not what mien distill writes ({error})") from error


def distill(
    models: Sequence[EmotionClassifier],
    split: Split,
    heads: Mapping[str, tuple[str, ...]],
    *,
    views: int = 8,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SoftLabels:
    """Ask the teachers about every training picture in some views, and average their answers.

    Args:
        models: the teachers, exported.
        split: the n pictures that the student will be trained on.
        heads: head -> labels, those of the student; every teacher has them, but for `EXPRESSION`, which learns the
            teachers' mix of label and votes.
        views: how many a picture; the first is the picture as it is.
        seed: of the views.
        progress: called with (what, done, total).

    Raises:
        TrainingError: a teacher has no such head, or other labels.
    """
    heads = _asked(heads)
    for model in models:
        own = {head: model.config.outputs[head] for head in heads if head in model.config.outputs}
        if own != dict(heads):
            raise TrainingError(
                f"{model.config.name}: teaches the heads {_words(own)}; expected {_words(heads)}"
            )
    levels = {head: np.empty((views, len(split), len(labels)), np.uint8) for head, labels in heads.items()}
    for view in range(views):
        for start in range(0, len(split), _CHUNK):
            chunk = _view_of_chunk(split.images, view, seed, start)
            answers = [model.predict_heads(chunk) for model in models]
            for head, found in levels.items():
                mean = np.mean([answer[head] for answer in answers], axis=0)
                found[view, start : start + _CHUNK] = np.rint(255 * mean)
            progress("asking teachers", view * len(split) + start, views * len(split))
    return SoftLabels(
        digests(split.images),
        seed,
        levels,
        dict(heads),
        _greys(split.images, views, seed),
        tuple(model.config.sha256 for model in models),
    )


def _asked(heads: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The heads that teachers are asked by."""
    return {head: labels for head, labels in heads.items() if head != EXPRESSION}


def _words(heads: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{head} ({', '.join(labels)})" for head, labels in heads.items()) or "none"


def _greys(images: NDArray[np.uint8], views: int, seed: int) -> NDArray[np.float32]:
    """Mean grey of the first pictures in every view: (views, up to 512)."""
    first = images[:_CHUNK]  # drawn by themselves they are the same as among all
    means = [fixed_view(first, view, seed).mean(axis=(1, 2)) for view in range(views)]
    return np.array(means, np.float32)


def fixed_view(images: NDArray[np.uint8], view: int, seed: int) -> NDArray[np.uint8]:
    """The pictures in a view: (n, h, w) uint8, always the same, in a file if they are in one; view 0 is as they are."""
    if view == 0:
        return images
    starts = range(0, len(images), _CHUNK)
    return store_like(images, (_view_of_chunk(images, view, seed, start) for start in starts))


def _view_of_chunk(images: NDArray[np.uint8], view: int, seed: int, start: int) -> NDArray[np.uint8]:
    chunk = np.asarray(images[start : start + _CHUNK])
    if view == 0:
        return chunk
    rng = np.random.default_rng([seed, view, start])
    return np.rint(augment(chunk, rng, VIEWS_BY_TEACHERS, images.shape[1])).astype(np.uint8)


class FixedViews:
    """The pictures in the views that teachers saw; the last two views asked for are kept.

    Args:
        images: (n, h, w) uint8.
        seed: of the views.
    """

    def __init__(self, images: NDArray[np.uint8], seed: int) -> None:
        self._draw = lru_cache(maxsize=2)(lambda view: fixed_view(images, view, seed))
        self._lock = threading.Lock()

    def __getitem__(self, view: int) -> NDArray[np.uint8]:
        """All pictures in that view, (n, h, w)."""
        with self._lock:  # batches are made in threads, all of which want the same view at first
            return self._draw(view)


class DistillationTargets:
    """The distillation targets of a student: the teachers' views and predictions.

    Args:
        soft: the teachers' probabilities.
        images: (n, h, w) uint8, the pictures they belong to.
        share: of the teachers in the targets; the rest are the dataset's own.
        label_share: of the label in the target of `EXPRESSION`; the rest is the votes'.
        confidence: of the teachers, below which a picture without a label teaches nothing (arXiv 2001.07685).
    """

    def __init__(
        self,
        soft: SoftLabels,
        images: NDArray[np.uint8],
        share: float,
        label_share: float,
        confidence: float = 0.0,
    ) -> None:
        self._soft, self._share, self._label_share = soft, share, label_share
        self._confidence = confidence
        self._order = soft.order(images)
        if np.any(np.diff(self._order) != 1):  # else a copy, which may not fit into memory, would be the same
            images = take_images(images, np.argsort(self._order))
        self._views = FixedViews(images, soft.seed)

    @property
    def views(self) -> int:
        """How many there are; the first is the picture as it is."""
        return self._soft.views

    def apply(
        self, view: int, rows: NDArray[np.int64], targets: Targets
    ) -> tuple[NDArray[np.uint8], Targets]:
        """Some pictures in a view, and targets that are partly the teachers'.

        Args:
            view: its number.
            rows: (n,) of the pictures.
            targets: head -> (n, labels) the dataset's own; where they are zeros only the teachers count.

        Returns:
            (n, h, w) uint8, and head -> (n, labels).
        """
        places = self._order[rows]
        taught = self._soft.targets(view, places)
        if EXPRESSION in targets:
            taught[EXPRESSION] = mixed(next(iter(taught.values())), taught["ferplus"], self._label_share)
        both = {}
        first, labels = next(iter(targets.items()))
        sure = self._soft.targets(0, places)[first].max(axis=1, keepdims=True) >= self._confidence
        for head, own in targets.items():
            weight = own.sum(axis=1, keepdims=True)
            share = np.where(weight > 0, self._share, 1)
            whole = (1 - share) * own + share * np.where(weight > 0, weight, 1) * taught[head]
            both[head] = (whole * (labels.any(axis=1, keepdims=True) | sure)).astype(np.float32)
        return self._views[view][places], both
