"""Which clips and which people of two or more coders are the same, and what only some of them coded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien._core.text import count
from mien.agreement.codes import ClipCodes, Codes, Segment, stem
from mien.agreement.frames import episode_segments, seen_segments
from mien.agreement.steps import Unit, check_steps, in_front, make_unit, people_of
from mien.errors import DatasetError, VideoError
from mien.images.find import walk
from mien.video.episodes import EpisodeSettings
from mien.video.reader import VIDEO_SUFFIXES, video_info

_SHOWN = 8  # names in a note


@dataclass(frozen=True)
class Coded:
    """The clips that all coders have.

    Attributes:
        coders: in the order in which they were given.
        clips: names of each clip, one for each coder.
        notes: what was left out and why, in sentences.
    """

    coders: tuple[Codes, ...]
    clips: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def match_clips(coders: Sequence[Codes]) -> Coded:
    """Match clips by their whole name, or by the name without folders and ending where only one has it.

    Raises:
        DatasetError: no clip is in all of them, or a name could mean several.
    """
    by_stem: dict[str, list[list[str]]] = defaultdict(lambda: [[] for _ in coders])
    for k, coder in enumerate(coders):
        for name in coder.clips:
            by_stem[stem(name).casefold()][k].append(name)
    found: list[tuple[str, ...]] = []
    for names in by_stem.values():
        if all(len(some) == 1 for some in names):
            found.append(tuple(some[0] for some in names))
        elif all(names):
            exact = [name for name in names[0] if all(name in some for some in names[1:])]
            if not exact:
                several = next(some for some in names if len(some) > 1)
                raise DatasetError(
                    f"{', '.join(map(repr, several))}: several clips of one name: write the same path in all files"
                )
            found += [(name,) * len(coders) for name in exact]
    notes = []
    for k, coder in enumerate(coders):
        alone = sorted(set(coder.clips) - {names[k] for names in found})
        if alone:
            notes.append(f"only in {coder.name}, left out: {count(len(alone), 'clip')}: {_listed(alone)}")
    if not found:
        raise DatasetError(
            f"no clip is in all of {', '.join(coder.name for coder in coders)}: "
            + "; ".join(f"{coder.name} has {_listed(sorted(coder.clips))}" for coder in coders)
        )
    return Coded(tuple(coders), tuple(sorted(found)), tuple(notes))


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    return ", ".join([*map(repr, names[:_SHOWN]), *more])


def make_units(
    coded: Coded,
    labels: Sequence[str],
    step: float,
    seconds: Callable[[str], float],
    episodes: EpisodeSettings | None = None,
) -> tuple[list[Unit], list[str]]:
    """The units of all clips, and notes on people.

    Args:
        coded: the clips.
        labels: of `label_order`.
        step: in seconds.
        seconds: of a clip's name, how long it is; 0 where nobody knows.
        episodes: make episodes of mien's frames with these settings; None for the strongest expression of each frame.

    Raises:
        DatasetError: no person is in all of the codes, or there are too many steps.
    """
    units: list[Unit] = []
    notes: list[str] = []
    whole, pooled = 0.0, 0
    for names in coded.clips:
        clips = [coder.clips[name] for coder, name in zip(coded.coders, names, strict=True)]
        end = max([*(clip.end() for clip in clips), seconds(names[0])])
        whole += end
        check_steps(end, whole, step)
        there = [people_of(clip) for clip in clips]
        pooled += not all(there) and max(map(len, there)) > 1
        pairs = [_segments(coder, clip, episodes) for coder, clip in zip(coded.coders, clips, strict=True)]
        said = _people(coded, names, there, [steps for steps, _ in pairs], notes)
        shown = _people(coded, names, there, [onsets for _, onsets in pairs], [])
        for (person, cut), (_, onsets) in zip(said, shown, strict=True):
            some = list(zip(coded.coders, cut, onsets, strict=True))
            units.append(make_unit(names, person, some, labels, step, end))
    if pooled:
        notes.append(
            f"{count(pooled, 'clip')} with several people, where not all codes name people: they are taken together"
            + (
                ", and of those in mien's frames the one who is visible longest counts at each time"
                if any(coder.kind == "frames" for coder in coded.coders)
                else ""
            )
        )
    if not units:
        raise DatasetError(f"nobody is in all of the codes: {'; '.join(notes)}")
    return units, notes


def _segments(
    coder: Codes, clip: ClipCodes, episodes: EpisodeSettings | None
) -> tuple[list[Segment], list[Segment]]:
    """What is cut into steps, and whose onsets are compared: of frames always episodes, since single frames flicker."""
    if coder.kind != "frames":
        return clip.segments, clip.segments
    found = episodes_of(coder, clip, episodes or EpisodeSettings())
    return (clip.segments if episodes is None else [*found, *seen_segments(clip)]), found


def episodes_of(coder: Codes, clip: ClipCodes, settings: EpisodeSettings) -> list[Segment]:
    """The episodes of mien's frames, with the labels that a map makes of them."""
    found = episode_segments(clip, settings)
    return [
        Segment(one.start, one.end, label, one.person)
        for one in found
        if (label := coder.renamed.get(one.label, one.label))
    ]


def _people(
    coded: Coded,
    names: tuple[str, ...],
    people: Sequence[Mapping[str, str]],
    said: Sequence[Sequence[Segment]],
    notes: list[str],
) -> list[tuple[str, list[list[Segment]]]]:
    """The people that all codes of a clip name, with what each coder says of them; "" where one names nobody."""
    if not all(people):
        # Episodes of several people may overlap, as labels of one may.
        pooled = [
            in_front(some) if coder.kind == "frames" and len(there) > 1 else list(some)
            for coder, there, some in zip(coded.coders, people, said, strict=True)
        ]
        return [("", pooled)]
    # mien numbers people; where there is one only, it is the one whom a person names.
    numbered = any(coder.kind != "codes" for coder in coded.coders)
    if numbered and all(len(there) == 1 for there in people):
        return [(next(iter(people[0].values())), [list(some) for some in said])]
    common = [key for key in people[0] if all(key in there for there in people)]
    for coder, there in zip(coded.coders, people, strict=True):
        alone = sorted(name for key, name in there.items() if key not in common)
        if alone:
            people_left = count(len(alone), "person", "people")
            notes.append(f"{names[0]}: only in {coder.name}, left out: {people_left}: {_listed(alone)}")
    return [
        (people[0][key], [[one for one in some if one.person.casefold() == key] for some in said])
        for key in common
    ]


def find_clip_files(folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Name without folders and ending, in lower case -> the clip; those of several are left out.

    Raises:
        DatasetError: it is no folder.
    """
    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise DatasetError(f"{folder}: no such folder of clips")
    found: dict[str, list[Path]] = {}
    for file in walk(Path(folder), VIDEO_SUFFIXES):
        found.setdefault(stem(file.name).casefold(), []).append(file)
    return {name: files[0] for name, files in found.items() if len(files) == 1}


def clip_lengths(folder: str | os.PathLike[str] | None) -> Callable[[str], float]:
    """How many seconds a clip has; 0 where nobody knows."""
    files = find_clip_files(folder)
    known: dict[str, float] = {}

    def seconds(clip: str) -> float:
        name = stem(clip).casefold()
        if name not in known:
            try:
                known[name] = (video_info(files[name]).duration or 0.0) if name in files else 0.0
            except VideoError:
                known[name] = 0.0
        return known[name]

    return seconds
