"""What teachers think of the training pictures, kept in a small file that a student learns from.

Knowledge distillation (Hinton et al., arXiv 1503.02531) with the teachers' answers written down: every training
picture is shown to them in some fixed, randomly changed views. The views are not stored but drawn again from a seed,
so that a few megabytes are enough to train a student without its teachers.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.classification import EmotionClassifier
from mien.datasets import Dataset, Split
from mien.errors import TrainingError
from mien.training.augmentation import Augmentation, augment

VIEWS_BY_TEACHERS = Augmentation(rotation=12, scale=0.15, shift=0.08, light=0.3, degrading=0.2, glasses=0.04)
"""How the fixed views are changed."""

_CHUNK = 512

Targets = dict[str, NDArray[np.float32]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """Mean probabilities of the teachers for fixed views of the training pictures.

    Attributes:
        fingerprint: of the n pictures, see `fingerprint`.
        seed: that the views are drawn from.
        heads: head -> (views, n, labels) uint8, 255 for a probability of 1.
        teachers: SHA-256 of the teachers' ONNX files.
    """

    fingerprint: str
    seed: int
    heads: dict[str, NDArray[np.uint8]]
    teachers: tuple[str, ...] = ()

    @property
    def views(self) -> int:
        """How many views a picture has."""
        return len(next(iter(self.heads.values())))

    def targets(self, view: int, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """The teachers' probabilities of some pictures in a view: head -> (rows, labels), each summing to 1."""
        shares = {head: levels[view, rows].astype(np.float32) for head, levels in self.heads.items()}
        return {head: s / np.maximum(s.sum(axis=1, keepdims=True), 1) for head, s in shares.items()}

    def check(self, split: Split, heads: Mapping[str, int], source: str) -> None:
        """Raise unless they belong to these pictures, and to heads with so many labels.

        Raises:
            TrainingError: they do not; the message begins with `source`.
        """
        if self.fingerprint != fingerprint(split):
            raise TrainingError(
                f"{source}: the teachers were asked about other training pictures than these {len(split)}; "
                "expected the same data and the same held_back"
            )
        have = {head: levels.shape[2] for head, levels in self.heads.items()}
        if have != dict(heads):
            raise TrainingError(f"{source}: has the heads {have}; expected {dict(heads)}")

    def save(self, path: Path) -> None:
        """Write everything into one compressed file."""
        new = path.with_suffix(".tmp.npz")
        arrays: dict[str, Any] = {f"head_{head}": levels for head, levels in self.heads.items()}
        arrays |= {"fingerprint": self.fingerprint, "seed": self.seed, "teachers": np.array(self.teachers)}
        np.savez_compressed(new, **arrays)
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> SoftLabels:
        """Read what `save` wrote.

        Raises:
            TrainingError: it is not such a file.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                heads = {n.removeprefix("head_"): found[n] for n in found.files if n.startswith("head_")}
                shapes = {levels.shape[:2] for levels in heads.values()}
                if len(shapes) != 1 or any(h.dtype != np.uint8 or h.ndim != 3 for h in heads.values()):
                    raise ValueError("no heads of one length")
                teachers = tuple(map(str, found["teachers"]))
                return cls(str(found["fingerprint"]), int(found["seed"]), heads, teachers)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{path}: not what mien distill writes ({error})") from error


def distill(
    models: Sequence[EmotionClassifier],
    split: Split,
    *,
    views: int = 8,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SoftLabels:
    """Ask the teachers about every training picture in some views, and average their answers.

    Args:
        models: the teachers, exported; of each all heads but "blend" are asked. They have the same heads.
        split: the n pictures that the student will be trained on.
        views: how many a picture; the first is the picture as it is.
        seed: of the views.
        progress: called with (what, done, total).

    Raises:
        TrainingError: the teachers have different heads.
    """
    heads = {name: labels for name, labels in models[0].config.outputs.items() if name != "blend"}
    for model in models:
        if {name: model.config.outputs.get(name) for name in heads} != heads:
            raise TrainingError(
                f"{model.config.name}: other heads than {models[0].config.name}; expected the same"
            )
    levels = {head: np.empty((views, len(split), len(labels)), np.uint8) for head, labels in heads.items()}
    for view in range(views):
        images = fixed_view(split.images, view, seed)
        for start in range(0, len(images), _CHUNK):
            answers = [model.predict_heads(images[start : start + _CHUNK]) for model in models]
            for head, found in levels.items():
                mean = np.mean([answer[head] for answer in answers], axis=0)
                found[view, start : start + _CHUNK] = np.rint(255 * mean)
            progress("asking teachers", view * len(images) + start, views * len(images))
    return SoftLabels(fingerprint(split), seed, levels, tuple(model.config.sha256 for model in models))


def fixed_view(images: NDArray[np.uint8], view: int, seed: int) -> NDArray[np.uint8]:
    """The pictures in a view: (n, h, w) uint8, always the same; view 0 leaves them as they are."""
    if view == 0:
        return np.asarray(images)
    out = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _CHUNK):
        rng = np.random.default_rng([seed, view, start])
        chunk = images[start : start + _CHUNK]
        out[start : start + _CHUNK] = np.rint(augment(chunk, rng, VIEWS_BY_TEACHERS, images.shape[1]))
    return out


def fingerprint(split: Split) -> str:
    """SHA-256 over the pictures and their order: soft labels fit these pictures alone."""
    return Dataset("", (), {"train": split}).fingerprint()


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


class Lesson:
    """What a student learns from its teachers: the views they saw, and what they thought of them.

    Args:
        soft: the teachers' probabilities.
        images: (n, h, w) uint8, the pictures they belong to.
        share: of the teachers in the targets; the rest are the dataset's own.
    """

    def __init__(self, soft: SoftLabels, images: NDArray[np.uint8], share: float) -> None:
        self._soft, self._views, self._share = soft, FixedViews(images, soft.seed), share

    def apply(
        self, epoch: int, rows: NDArray[np.int64], targets: Targets
    ) -> tuple[NDArray[np.uint8], Targets]:
        """Some pictures in the epoch's view, and targets that are partly the teachers'.

        Args:
            epoch: from 0; each epoch shows another view, in turn.
            rows: (n,) of the pictures.
            targets: head -> (n, labels) the dataset's own; where they are zeros the teachers alone count.

        Returns:
            (n, h, w) uint8, and head -> (n, labels).
        """
        view = epoch % self._soft.views
        taught = self._soft.targets(view, rows)
        mixed = {}
        for head, own in targets.items():
            weight = own.sum(axis=1, keepdims=True)
            share = np.where(weight > 0, self._share, 1)
            whole = (1 - share) * own + share * np.where(weight > 0, weight, 1) * taught[head]
            mixed[head] = whole.astype(np.float32)
        return self._views[view][rows], mixed
