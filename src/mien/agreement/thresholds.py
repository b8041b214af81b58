"""The upper threshold of mien's episodes that agrees best with people, chosen on half of the clips."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien._core.text import count
from mien.agreement.codes import stem
from mien.agreement.pairing import Coded, make_units
from mien.errors import DatasetError
from mien.metrics.agreement import cohen_kappa
from mien.metrics.classification import confusion_matrix
from mien.video.episodes import EpisodeSettings

CANDIDATES = tuple(k / 100 for k in range(20, 95, 5))
"""Upper thresholds that are tried."""

_USUAL = EpisodeSettings()
_BELOW = (
    _USUAL.upper_threshold - _USUAL.lower_threshold
)  # the lower one stays as far below as in the defaults


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold that was chosen, and how.

    Attributes:
        upper_threshold, lower_threshold: of `EpisodeSettings`, 0 to 1.
        chosen_on: the clips that it was chosen on; all figures are of the others.
        kappa: Cohen's with it on these clips: too good to be true of others.
        usual_kappa: with the default there; None where it is not defined.
    """

    upper_threshold: float
    lower_threshold: float
    chosen_on: tuple[str, ...]
    kappa: float
    usual_kappa: float | None

    def settings(self) -> EpisodeSettings:
        """The settings of episodes with it."""
        return _settings(self.upper_threshold)

    def sentence(self) -> str:
        """What was done."""
        usual = "" if self.usual_kappa is None else f", {self.usual_kappa:.3f} with the default"
        return (
            f"--upper-threshold {self.upper_threshold:g} --lower-threshold {self.lower_threshold:g} chosen on "
            f"{count(len(self.chosen_on), 'clip')}, half of them by the hash of their names (kappa {self.kappa:.3f} "
            f"there{usual}); all other figures are of the other half, with episodes of these thresholds"
        )


def _settings(upper: float) -> EpisodeSettings:
    return replace(_USUAL, upper_threshold=upper, lower_threshold=max(0.0, round(upper - _BELOW, 6)))


def choose_threshold(
    coded: Coded, labels: Sequence[str], step: float, seconds: Callable[[str], float]
) -> tuple[ThresholdChoice, Coded]:
    """Choose the threshold with the highest kappa on half of the clips; the other half is returned with it.

    Of equal ones the nearest to the default is taken.

    Raises:
        ValueError: not two coders, of whom the second is mien with rows of frames.
        DatasetError: fewer than two clips, or kappa is not defined with any threshold.
    """
    if len(coded.coders) != 2 or coded.coders[1].kind != "frames":
        raise ValueError(
            "a threshold is chosen for two coders, of whom the second is mien with rows of frames"
        )
    if len(coded.clips) < 2:
        raise DatasetError(
            "one clip: a threshold is chosen on half of the clips and measured on the other half; expected 2 or more"
        )
    order = sorted(coded.clips, key=lambda names: (_hash(names[0]), names))
    half = replace(coded, clips=tuple(sorted(order[: len(order) // 2])))
    rest = replace(coded, clips=tuple(sorted(order[len(order) // 2 :])))
    kappas = {upper: _kappa(half, labels, step, seconds, _settings(upper)) for upper in CANDIDATES}
    defined = {upper: kappa for upper, kappa in kappas.items() if not math.isnan(kappa)}
    if not defined:
        raise DatasetError(
            "no threshold can be chosen: in half of the clips both coders always say one and the same, or mien "
            "never saw the face"
        )
    best = max(defined, key=lambda upper: (round(defined[upper], 9), -abs(upper - _USUAL.upper_threshold)))
    settings = _settings(best)
    choice = ThresholdChoice(
        settings.upper_threshold,
        settings.lower_threshold,
        tuple(names[0] for names in half.clips),
        defined[best],
        defined.get(_USUAL.upper_threshold),
    )
    return choice, rest


def _hash(name: str) -> str:
    """Of a clip's name without folders: the halves do not depend on where the clips are, nor on the order of files."""
    return hashlib.sha256(stem(name).casefold().encode("utf-8", "backslashreplace")).hexdigest()


def _kappa(
    coded: Coded,
    labels: Sequence[str],
    step: float,
    seconds: Callable[[str], float],
    settings: EpisodeSettings,
) -> float:
    units, _ = make_units(coded, labels, step, seconds, settings)
    rows = np.concatenate([unit.labels[:, unit.compared] for unit in units], axis=1).astype(np.int64)
    return float(cohen_kappa(confusion_matrix(rows[0], rows[1], len(labels)).astype(np.float64)))
