"""The figures of two coders, from their labels in steps of time and from their episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.agreement.codes import NONE, UNCERTAIN, UNSEEN
from mien.agreement.steps import UNCERTAIN_STEP, UNSEEN_STEP, Unit, merged_labels
from mien.metrics.agreement import cohen_kappa, kappa_interval
from mien.metrics.classification import precision_recall_f1

ENOUGH_CLIPS = 10
"""With as many clips the bootstrap draws clips, with fewer it draws blocks of `BLOCK` seconds."""

BLOCK = 10.0
"""Longer than most expressions, so blocks hardly depend on each other: Carlstein, Annals of Statistics 14 (1986)."""

LEAST_PARTS = 5
"""With fewer clips or blocks there is no interval: what they tell of others is too little."""

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class LabelAgreement:
    """One label, as a yes or no for each step: does it cover at least half of it?

    Attributes:
        kappa: Cohen's, -1 to 1; None where it is not defined: both coders always say the same.
        interval: 95 % of kappa; None where there is none.
        first_seconds, second_seconds, both_seconds: with this label.
        precision, recall, f1: of the second coder, if the first is right; 0 to 1, None where nothing can be divided.
    """

    kappa: float | None
    interval: Interval
    first_seconds: float
    second_seconds: float
    both_seconds: float
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class EpisodeAgreement:
    """Episodes with one label that were matched: one of each coder, by their largest intersection over union.

    Attributes:
        matched: pairs.
        missed: of the first coder, without one of the second.
        extra: of the second coder, without one of the first.
        onset, offset: second minus first, in seconds: lower quartile, median, upper quartile; None without a pair.
    """

    matched: int
    missed: int
    extra: int
    onset: tuple[float, float, float] | None
    offset: tuple[float, float, float] | None


@dataclass(frozen=True)
class PairAgreement:
    """How far two coders agree.

    Attributes:
        first, second: the files or folders of their codes.
        seconds: compared: both gave a label, "none" among them.
        agreement: share of that time in which the labels are the same, 0 to 1.
        kappa, interval: Cohen's, and 95 % of it; None where it is not defined.
        labels: label -> its figures.
        names: the rows and columns of `confusion`.
        confusion: seconds; rows the first coder, columns the second.
        episodes: label -> its episodes; "all" for all of them.
        left_out: "unseen" and "uncertain" -> seconds by what the other coder says then; not compared.
    """

    first: str
    second: str
    seconds: float
    agreement: float | None
    kappa: float | None
    interval: Interval
    labels: dict[str, LabelAgreement]
    names: tuple[str, ...]
    confusion: tuple[tuple[float, ...], ...]
    episodes: dict[str, EpisodeAgreement]
    left_out: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def compare_pair(
    units: Sequence[Unit], pair: tuple[int, int], files: tuple[str, str], labels: Sequence[str], step: float
) -> PairAgreement:
    """The figures of two of the coders.

    Args:
        units: of all clips.
        pair: which coders.
        files: their names.
        labels: of `label_order`.
        step: in seconds.
    """
    parts = [part for unit in units for part in _parts(unit, pair, len(labels), step, by_clip(units))]
    if by_clip(units):
        parts = _by_clip(units, parts)
    whole, single = _summed(parts)
    overall = whole.sum(0)
    seconds = float(overall.sum() * step)
    kappa, ends = float(cohen_kappa(overall)), _kappa_interval(whole)
    binary = single.sum(0)
    kappas, intervals = cohen_kappa(binary), _kappa_interval(single)
    found = {
        name: _label(binary[k], float(kappas[k]), intervals[:, k], step)
        for k, name in enumerate(labels)
        if binary[k, 0, 1] or binary[k, 1].any()
    }
    shown = [k for k in range(len(labels)) if overall[k].any() or overall[:, k].any()]
    return PairAgreement(
        *files,
        seconds,
        float(np.trace(overall) / overall.sum()) if seconds else None,
        _number(kappa),
        _interval(ends),
        found,
        tuple(labels[k] for k in shown),
        tuple(tuple(float(overall[j, k] * step) for k in shown) for j in shown),
        _episodes(units, pair),
        _left_out(units, pair, labels, step),
    )


def by_clip(units: Sequence[Unit]) -> bool:
    """Whether there are enough clips for a bootstrap over clips."""
    return len({unit.clip for unit in units}) >= ENOUGH_CLIPS


Part = tuple[NDArray[np.float64], NDArray[np.float64]]


def _parts(unit: Unit, pair: tuple[int, int], n: int, step: float, whole: bool) -> list[Part]:
    """The steps of each of the two confusions, of blocks of time or of the whole unit."""
    rows, there = unit.labels[list(pair)], np.asarray((unit.labels[list(pair)] >= 0).all(0))
    length = rows.shape[1]
    size = length if whole else max(1, round(BLOCK / step))
    parts = []
    for begin in range(0, length, size):
        some = slice(begin, begin + size)
        if not (used := there[some]).any():
            continue
        first, second = (row[some][used].astype(np.int64) for row in rows)
        confusion = np.bincount(first * n + second, minlength=n * n).reshape(n, n)
        yes, also = (unit.active[k][:, some][:, used].astype(np.float64) for k in pair)
        both, ones, others = (yes * also).sum(1), yes.sum(1), also.sum(1)
        total = used.sum()
        cells = [[total - ones - others + both, others - both], [ones - both, both]]
        parts.append((confusion.astype(np.float64), np.moveaxis(np.array(cells), 2, 0)))
    return parts or [(np.zeros((n, n)), np.zeros((n, 2, 2)))]


def _by_clip(units: Sequence[Unit], parts: Sequence[Part]) -> list[Part]:
    """One part a clip: people of one clip are seen under the same conditions."""
    clips: dict[str, Part] = {}
    for unit, part in zip(units, parts, strict=True):
        before = clips.get(unit.clip)
        clips[unit.clip] = part if before is None else (before[0] + part[0], before[1] + part[1])
    return list(clips.values())


def _summed(parts: Sequence[Part]) -> Part:
    return np.stack([whole for whole, _ in parts]), np.stack([single for _, single in parts])


def _label(
    table: NDArray[np.float64], kappa: float, ends: NDArray[np.float64], step: float
) -> LabelAgreement:
    ones, others, both = table[1].sum(), table[:, 1].sum(), table[1, 1]
    precision, recall, f1 = (values[1] for values in precision_recall_f1(table.astype(np.int64)))
    return LabelAgreement(
        _number(kappa),
        _interval(ends),
        float(ones * step),
        float(others * step),
        float(both * step),
        float(precision) if others else None,
        float(recall) if ones else None,
        float(f1) if ones + others else None,
    )


def _kappa_interval(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return kappa_interval(parts if len(parts) >= LEAST_PARTS else parts[:1])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(ends: NDArray[np.float64]) -> Interval:
    return None if np.isnan(ends).any() else (float(ends[0]), float(ends[1]))


def _left_out(
    units: Sequence[Unit], pair: tuple[int, int], labels: Sequence[str], step: float
) -> dict[str, dict[str, float]]:
    """Seconds that are not compared, by why, and by what the other coder says of them."""
    found: dict[str, dict[str, float]] = {UNSEEN: {}, UNCERTAIN: {}}
    names = {UNSEEN_STEP: UNSEEN, UNCERTAIN_STEP: UNCERTAIN}
    for unit in units:
        first, second = unit.labels[list(pair)]
        for mine, other in np.unique(np.stack([second, first]), axis=1).T if len(first) else ():
            if mine >= 0 and other >= 0:
                continue
            n = int(((second == mine) & (first == other)).sum())
            why, said = (mine, other) if mine < 0 else (other, mine)
            place = found[names[int(why)]]
            word = names[int(said)] if said < 0 else labels[int(said)]
            place[word] = place.get(word, 0.0) + n * step
    return {why: said for why, said in found.items() if said}


def _episodes(units: Sequence[Unit], pair: tuple[int, int]) -> dict[str, EpisodeAgreement]:
    """Label -> its matched episodes; "all" first."""
    differences: dict[str, list[tuple[float, float]]] = {}
    counts: dict[str, list[int]] = {}
    for unit in units:
        first, second = (merged_labels(unit.segments[k]) for k in pair)
        for label in {**first, **second}:
            mine, theirs = first.get(label, []), second.get(label, [])
            pairs = matched(mine, theirs)
            differences.setdefault(label, []).extend((b[0] - a[0], b[1] - a[1]) for a, b in pairs)
            sums = counts.setdefault(label, [0, 0])
            sums[0] += len(mine) - len(pairs)
            sums[1] += len(theirs) - len(pairs)
    named = sorted(label for label in counts if label != NONE)
    every = [one for label in named for one in differences[label]]
    whole = _matches(every, sum(counts[name][0] for name in named), sum(counts[name][1] for name in named))
    return {"all": whole} | {name: _matches(differences[name], *counts[name]) for name in named}


def _matches(pairs: Sequence[tuple[float, float]], missed: int, extra: int) -> EpisodeAgreement:
    onset, offset = (
        tuple(float(v) for v in np.quantile(side, (0.25, 0.5, 0.75))) if len(side) else None
        for side in ([one[k] for one in pairs] for k in (0, 1))
    )
    return EpisodeAgreement(len(pairs), missed, extra, onset, offset)  # type: ignore[arg-type]


Span = tuple[float, float]


def matched(mine: Sequence[Span], theirs: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Pairs of spans that overlap, each in one pair at most, those with the largest intersection over union first."""
    found, begin = [], 0
    for j, (start, end) in enumerate(mine):
        while begin < len(theirs) and theirs[begin][1] <= start:
            begin += 1
        for k in range(begin, len(theirs)):
            low, high = theirs[k]
            if low >= end:
                break
            shared = min(end, high) - max(start, low)
            found.append((shared / (max(end, high) - min(start, low)), j, k))
    pairs, used, taken = [], set(), set()
    for _, j, k in sorted(found, key=lambda one: (-one[0], one[1:])):
        if j not in used and k not in taken:
            used.add(j)
            taken.add(k)
            pairs.append((mine[j], theirs[k]))
    return pairs
