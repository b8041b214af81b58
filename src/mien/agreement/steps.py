"""Time in equal steps: what each coder says of each, for the clips and people that all of them coded."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.agreement.codes import NO_LABEL, NONE, UNCERTAIN, UNSEEN, ClipCodes, Codes, Segment
from mien.errors import DatasetError

UNSEEN_STEP, UNCERTAIN_STEP = -1, -2
"""Instead of the index of a label."""

MOST_STEPS, MOST_STEPS_OF_A_CLIP = 50_000_000, 5_000_000
"""Each takes about 30 bytes for two coders, and 200 while its clip is cut."""

MOST_LABELS = 100
"""More of them are words of a transcript."""

_HALF = 0.5 - 1e-9  # of a step: sums of fractions


@dataclass(frozen=True)
class Unit:
    """One person in one clip, as all coders saw them.

    Attributes:
        clip: by its name in the first coder's file.
        names: of the clip, one for each coder.
        person: "" for whoever is in the clip.
        labels: (coders, steps) index of the label that covers most of the step, or `UNSEEN_STEP`, `UNCERTAIN_STEP`.
        active: (coders, labels, steps) whether the label covers at least half of the step; several may.
        segments: for each coder: those whose onsets are compared.
    """

    clip: str
    names: tuple[str, ...]
    person: str
    labels: NDArray[np.int16]
    active: NDArray[np.bool_]
    segments: tuple[tuple[Segment, ...], ...]

    @property
    def compared(self) -> NDArray[np.bool_]:
        """(steps,) where all coders gave a label."""
        return np.asarray((self.labels >= 0).all(0))


def label_order(coders: Sequence[Codes], known: Iterable[str]) -> tuple[str, ...]:
    """All labels that occur: known ones in their order, then others by name, and "none" as the last.

    Raises:
        DatasetError: more than `MOST_LABELS`.
    """
    there = {one.label for coder in coders for clip in coder.clips.values() for one in clip.segments}
    there |= {coder.gap for coder in coders}
    there -= {*NO_LABEL, NONE}
    if len(there) > MOST_LABELS:
        some = ", ".join(map(repr, sorted(there)[:5]))
        raise DatasetError(
            f"{len(there):,} different labels, such as {some}: expected at most {MOST_LABELS}; read only the tiers of "
            "expressions with --tier, or join labels with --map"
        )
    first = [label for label in known if label in there]
    return (*first, *sorted(there - set(first)), NONE)


def make_unit(
    names: tuple[str, ...],
    person: str,
    coded: Sequence[tuple[Codes, Sequence[Segment], Sequence[Segment]]],
    labels: Sequence[str],
    step: float,
    seconds: float,
) -> Unit:
    """A unit of so many seconds; what is left of it after the last whole step is left out.

    `coded` has for each coder the segments that are cut into steps, and those whose onsets are compared.
    """
    n = max(1, int(seconds / step + 1e-6))
    rows = [_in_steps(segments, labels, codes.gap, step, n) for codes, segments, _ in coded]
    return Unit(
        names[0],
        names,
        person,
        np.stack([row for row, _ in rows]),
        np.stack([active for _, active in rows]),
        tuple(tuple(shown) for _, _, shown in coded),
    )


def check_steps(clip: float, whole: float, step: float) -> None:
    """Refuse what would need too much memory: seconds of a clip, and of all clips until then.

    Raises:
        DatasetError: more than `MOST_STEPS` steps, or `MOST_STEPS_OF_A_CLIP` in one of them.
    """
    for seconds, most in ((clip, MOST_STEPS_OF_A_CLIP), (whole, MOST_STEPS)):
        if seconds / step > most:
            raise DatasetError(
                f"{seconds:,.0f} s in steps of {step:g} s are more than {most:,} steps: choose a longer --step"
            )


def _in_steps(
    segments: Sequence[Segment], labels: Sequence[str], gap: str, step: float, n: int
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """The label of each step, and which labels cover half of it or more.

    Of labels that cover a step equally the one that began last has it, since it took over from the other.
    """
    edges: NDArray[np.float64] = np.arange(n + 1, dtype=np.float64) * np.float64(step)
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in segments:
        spans[one.label].append((one.start, one.end))

    def together(some: Iterable[str]) -> NDArray[np.float64]:
        return coverage([span for name in some for span in spans.get(name, ())], edges)

    names = [*labels, UNSEEN, UNCERTAIN]
    covered = {name: together([name]) for name in names}
    answered = [name for name in names if name not in (NONE, UNSEEN)]
    covered[NONE] = np.maximum(together([*answered, NONE]) - together(answered), 0)
    covered[gap] = covered[gap] + np.maximum(step - together(names), 0)
    score = np.stack([np.round(covered[name] / step, 6) for name in names])
    for k, name in enumerate(labels[:-1]):
        score[k] += np.where(covered[name] > 0, 1e-7 * (1 + _last_starts(spans.get(name, ()), edges)), 0)
    score[-1] += np.where(covered[UNCERTAIN] > 0, 5e-7, 0)
    places = np.array([*range(len(labels)), UNSEEN_STEP, UNCERTAIN_STEP], np.int16)
    active = np.stack([covered[name] for name in labels]) >= _HALF * step
    return places[score.argmax(0)], active


def _last_starts(spans: Sequence[tuple[float, float]], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each step, when the last span that has begun by its end began, as a share of all the time."""
    if not spans:
        return np.zeros(len(edges) - 1)
    starts = np.sort([start for start, _ in spans])
    last = np.searchsorted(starts, edges[1:] - 1e-9) - 1
    return np.asarray(np.where(last >= 0, starts[np.maximum(last, 0)] / edges[-1], 0))


def coverage(spans: Sequence[tuple[float, float]], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds between each two edges that lie in at least one of the spans."""
    merged = union(spans)
    if not merged:
        return np.zeros(len(edges) - 1)
    ends = np.array(merged)
    total = np.concatenate([[0.0], np.cumsum(ends[:, 1] - ends[:, 0])])
    # How much of them lies before a time is a line with a bend at each end of a span.
    before = np.interp(edges, ends.ravel(), np.stack([total[:-1], total[1:]], 1).ravel())
    return np.diff(before)


def union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that neither overlap nor touch, in order."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1] + 1e-6:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def merged_labels(segments: Iterable[Segment]) -> dict[str, list[tuple[float, float]]]:
    """Label -> its spans; what touches or overlaps is one."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in segments:
        if one.label not in NO_LABEL and one.label != NONE:
            spans[one.label].append((one.start, one.end))
    return {label: union(some) for label, some in spans.items()}


def in_front(segments: Sequence[Segment]) -> list[Segment]:
    """Of the people whom mien saw, at each time the one who is visible longest in the clip."""
    people: dict[str, list[Segment]] = defaultdict(list)
    for one in segments:
        people[one.person].append(one)
    if len(people) < 2:
        return list(segments)
    found: list[Segment] = []
    taken: list[tuple[float, float]] = []
    for some in sorted(people.values(), key=lambda some: -sum(one.end - one.start for one in some)):
        new = [replace(one, start=a, end=b) for one in some for a, b in _without((one.start, one.end), taken)]
        found += new
        taken = union([*taken, *((one.start, one.end) for one in new)])
    return found


def _without(span: tuple[float, float], taken: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of a span."""
    start, end = span
    found = []
    for k in range(max(0, bisect_right(taken, (start, float("inf"))) - 1), len(taken)):
        low, high = taken[k]
        if low >= end:
            break
        if low > start:
            found.append((start, low))
        start = max(start, high)
    return [*found, (start, end)] if start < end else found


def people_of(clip: ClipCodes) -> Mapping[str, str]:
    """The people of a clip: name to compare -> name."""
    return {one.person.casefold(): one.person for one in clip.segments if one.person}
