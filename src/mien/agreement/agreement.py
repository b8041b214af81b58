"""How well codes of clips agree: people with mien, or people with each other."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from mien._core.text import Table, count
from mien.agreement.agreement_tables import headline, pair_tables
from mien.agreement.code_labels import apply_map, check_labels, labels_of_mien, read_map
from mien.agreement.code_reading import read_codes
from mien.agreement.pair_figures import BLOCK, LEAST_PARTS, PairAgreement, by_clip, compare_pair
from mien.agreement.pairing import Coded, clip_lengths, make_units, match_clips
from mien.agreement.steps import UNCERTAIN_STEP, UNSEEN_STEP, Unit, label_order
from mien.agreement.thresholds import ThresholdChoice, choose_threshold
from mien.errors import DatasetError
from mien.labels import LABELS
from mien.metrics.agreement import fleiss_kappa

STEP = 0.1
"""Seconds; shorter than most expressions, and longer than a frame at 25 a second."""

_STEPS = (0.001, 3600.0)
_WORDS = {UNSEEN_STEP: "unseen", UNCERTAIN_STEP: "uncertain"}


@dataclass(frozen=True)
class Disagreement:
    """A stretch in which the coders gave different labels.

    Attributes:
        clip: its name in the first coder's file.
        person: "" for whoever is in the clip.
        start, end: seconds from the beginning of the clip.
        labels: one for each coder.
    """

    clip: str
    person: str
    start: float
    end: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Agreement:
    """How well two or more coders agree.

    Attributes:
        coders: the files or folders of their codes.
        step: seconds.
        clips: how many all of them coded.
        units: people in these clips; those whom not all coders name are one.
        resampled: what the intervals' bootstrap draws: "clips", or "blocks of 10 s".
        pairs: the figures of each two coders.
        fleiss_kappa: of three coders or more, -1 to 1; None of two, or where it is not defined.
        fleiss_seconds: that all of them labelled.
        threshold: of mien's episodes, where it was chosen.
        notes: what was left out, and what else matters for the figures, in sentences.
        disagreements: by clip, then by time.
    """

    coders: tuple[str, ...]
    step: float
    clips: int
    units: int
    resampled: str
    pairs: tuple[PairAgreement, ...]
    fleiss_kappa: float | None
    fleiss_seconds: float
    threshold: ThresholdChoice | None
    notes: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row a figure: the two coders, the label ("" for all of them), the figure's name, its value."""
        for pair in self.pairs:
            place = {"first": pair.first, "second": pair.second}
            whole = {"seconds": pair.seconds, "agreement": pair.agreement, "kappa": pair.kappa}
            whole |= _ends(pair.interval)
            yield from _rows(place | {"label": ""}, whole)
            for label, found in pair.labels.items():
                values = {name: value for name, value in asdict(found).items() if name != "interval"}
                yield from _rows(place | {"label": label}, values | _ends(found.interval))
            for label, episodes in pair.episodes.items():
                values = {
                    f"episodes_{name}": getattr(episodes, name) for name in ("matched", "missed", "extra")
                }
                for name in ("onset", "offset"):
                    values |= _quartiles(name, getattr(episodes, name))
                yield from _rows(place | {"label": "" if label == "all" else label}, values)
            for why, said in pair.left_out.items():
                yield from _rows(place | {"label": ""}, {f"{why}_seconds": sum(said.values())})
        if len(self.coders) > 2:
            values = {"fleiss_kappa": self.fleiss_kappa, "fleiss_seconds": self.fleiss_seconds}
            yield from _rows({"first": "", "second": "", "label": ""}, values)

    def tables(self) -> list[Table]:
        """All figures as tables with titles."""
        found = [headline(self.pairs, self.fleiss_kappa, self.fleiss_seconds)]
        for pair in self.pairs:
            found += pair_tables(pair, named=len(self.pairs) > 1)
        return found

    def lines(self) -> list[str]:
        """What the figures are of, and what matters for them, in sentences."""
        intervals = f"95 % intervals by bootstrap over {self.resampled}"
        if not any(pair.interval for pair in self.pairs):
            intervals = (
                f"no intervals of kappa: fewer than {LEAST_PARTS} {self.resampled}, or kappa is not defined"
            )
        people = count(self.units, "person", "people")
        said = [f"{count(self.clips, 'clip')} with {people}; steps of {self.step:g} s; {intervals}"]
        if self.threshold is not None:
            said.append(self.threshold.sentence())
        return [*said, *self.notes]

    def to_text(self) -> str:
        """For a terminal."""
        parts = [f"{table.title}\n{table.text()}" for table in self.tables()]
        return "\n\n".join(["\n".join(self.lines()), *parts])


ROW_COLUMNS: dict[str, type] = {"first": str, "second": str, "label": str, "figure": str, "value": float}
"""The columns of `Agreement.rows`."""


def _rows(place: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in values.items():
        yield {**place, "figure": name, "value": None if value is None else float(value)}


def _ends(interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"kappa_low": low, "kappa_high": high}


def _quartiles(name: str, three: tuple[float, float, float] | None) -> dict[str, float | None]:
    values: Sequence[float | None] = three or (None, None, None)
    return dict(zip((f"{name}_q1", f"{name}_median", f"{name}_q3"), values, strict=True))


PathLike = str | os.PathLike[str]


def measure_agreement(
    codes: PathLike,
    results: PathLike,
    *more: PathLike,
    step: float = STEP,
    label_map: Mapping[str, str] | PathLike | None = None,
    tiers: Sequence[str] = (),
    clips: PathLike | None = None,
    tune_threshold: bool = False,
) -> Agreement:
    """How well codes of clips agree, in steps of time: people with mien, or people with each other.

    Each of the files is a table (CSV, TSV, JSON, JSON Lines, Parquet: clip, start, end, label and perhaps person; an
    export of BORIS; the frames or the episodes that `mien video` writes), an ELAN document, a Praat TextGrid, WebVTT or
    SubRip; or it is a folder of such files. A step has the label that covers most of it.

    Args:
        codes: of the first coder, whom precision and recall take to be right.
        results: of the second coder, or what mien wrote.
        more: of further coders.
        step: seconds, 0.001 to 3600.
        label_map: their label -> mien's, "" to drop it; or a .csv, .toml or .json file of them.
        tiers: of ELAN and Praat, the only ones that are read, by patterns such as "Emotion*".
        clips: a folder of the clips, which say how long they are.
        tune_threshold: with frames as `results`, choose the upper threshold of episodes on half of the clips, and
            measure on the other half.

    Returns:
        The figures: kappa (Cohen 1960; Fleiss 1971) and the rest.

    Raises:
        DatasetError: a file that is missing or not as expected, or no clip that is in all of them.
        UnknownLabelError: labels that mien does not give.
        MissingExtraError: subtitles without mien[study], Parquet without pyarrow.
        ValueError: `step` is out of range, or `tune_threshold` without frames.
    """
    if not _STEPS[0] <= step <= _STEPS[1]:
        raise ValueError(f"step={step!r}: expected seconds from {_STEPS[0]:g} to {_STEPS[1]:g}")
    mapped = read_map(label_map) if isinstance(label_map, str | os.PathLike) else _folded(label_map or {})
    read = [read_codes(path, tiers) for path in (codes, results, *more)]
    coders = [apply_map(coder, mapped, labels_of_mien(read)) for coder in read]
    notes = check_labels(coders)
    coded = match_clips(coders)
    labels = label_order(coders, dict.fromkeys((*(n for c in coders for n in c.labels), *LABELS)))
    seconds = clip_lengths(clips)
    choice = None
    if tune_threshold:
        choice, coded = choose_threshold(coded, labels, step, seconds)
    units, said = make_units(coded, labels, step, seconds, choice.settings() if choice else None)
    return _agreement(
        coded, units, labels, step, choice, [*coded.notes, *notes, *said, *_about(coded, seconds)]
    )


def _folded(mapped: Mapping[str, str]) -> dict[str, str]:
    return {" ".join(name.split()).casefold(): label for name, label in mapped.items()}


def _agreement(
    coded: Coded,
    units: Sequence[Unit],
    labels: Sequence[str],
    step: float,
    choice: ThresholdChoice | None,
    notes: Sequence[str],
) -> Agreement:
    names = [coder.name for coder in coded.coders]
    pairs = tuple(
        compare_pair(units, (j, k), (names[j], names[k]), labels, step)
        for j, k in combinations(range(len(names)), 2)
    )
    if not any(pair.seconds for pair in pairs):
        raise DatasetError(
            f"{' and '.join(names)}: there is no time that both labelled; is it the same clip?"
        )
    fleiss, seconds = _fleiss(units, len(labels), step) if len(names) > 2 else (None, 0.0)
    return Agreement(
        tuple(names),
        step,
        len(coded.clips),
        len(units),
        "clips" if by_clip(units) else f"blocks of {BLOCK:g} s",
        pairs,
        fleiss,
        seconds,
        choice,
        tuple(notes),
        tuple(one for unit in units for one in _disagreements(unit, labels, step)),
    )


def _fleiss(units: Sequence[Unit], n: int, step: float) -> tuple[float | None, float]:
    """Fleiss' kappa of all coders, and the seconds that all of them labelled."""
    rows = np.concatenate([unit.labels[:, unit.compared] for unit in units], axis=1)
    if not rows.shape[1]:
        return None, 0.0
    found = fleiss_kappa(np.stack([(rows == k).sum(0) for k in range(n)], axis=1))
    return None if math.isnan(found) else found, rows.shape[1] * step


def _disagreements(unit: Unit, labels: Sequence[str], step: float) -> Iterator[Disagreement]:
    rows = unit.labels
    differ = unit.compared & (rows != rows[0]).any(0)
    changed = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(0)) + 1
    edges = [0, *changed.tolist(), rows.shape[1]]
    for begin, end in pairwise(edges):
        if differ[begin]:
            said = tuple(labels[k] if k >= 0 else _WORDS[k] for k in map(int, rows[:, begin]))
            yield Disagreement(unit.clip, unit.person, begin * step, end * step, said)


def _about(coded: Coded, seconds: Callable[[str], float]) -> list[str]:
    """What else matters for the figures."""
    notes = []
    for k, coder in enumerate(coded.coders):
        if coder.points:
            notes.append(f"{coder.name}: left out, as it has no duration: {count(coder.points, 'event')}")
        if coder.kind == "episodes":
            notes.append(
                f"{coder.name}: episodes do not say when the face was not seen, so time without an episode counts as "
                f"none ({coder.uncertain:.1f} s of episodes are flagged as uncertain, {coder.missing:.1f} s are "
                "without the face); the rows of frames (mien video --output) say it"
            )
        clips = [coder.clips[names[k]] for names in coded.clips]
        if coder.kind == "frames" and not any(clip.frames for clip in clips):
            notes.append(f"{coder.name}: has no frame of these clips: could mien read them?")
    unknown = sum(
        not any(coder.clips[name].length for coder, name in zip(coded.coders, names, strict=True))
        and not seconds(names[0])
        for names in coded.clips
    )
    if unknown:
        notes.append(
            f"{count(unknown, 'clip')} whose length nobody says: compared until the last code; --clips names the clips"
        )
    return notes
