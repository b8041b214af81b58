"""The labels of codes: other people's words for mien's expressions, and words that nobody knows."""

from __future__ import annotations

import csv
import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mien._core.files import refuse_pipe
from mien._core.text import count
from mien.agreement.codes import NO_LABEL, NONE, Codes
from mien.errors import DatasetError, UnknownLabelError
from mien.labels import LABELS, Emotion

_SHOWN = 12  # labels in a message


def read_map(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a map of labels: theirs -> mien's, several to one; "" drops what has the label.

    Args:
        path: a .csv file of two columns (a header "label,mien" may be there), a .toml file of lines such as
            smile = "happy", or a .json file with one object.

    Raises:
        DatasetError: missing, or not as expected.
    """
    file = Path(path)
    try:
        refuse_pipe(file)
        text = file.read_text(encoding="utf-8-sig")
        pairs = _PARSERS[file.suffix.lower()](file, text)
    except KeyError:
        raise DatasetError(f"{file}: expected a file that ends in {', '.join(_PARSERS)}") from None
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:  # also of text that is not UTF-8
        raise DatasetError(f"{file}: is no {file.suffix[1:].upper()}: {error}") from None
    found: dict[str, str] = {}
    for theirs, ours in pairs:
        if not isinstance(ours, str):
            raise DatasetError(f'{file}: {theirs!r} is {ours!r}: expected a label in quotes, "" to drop it')
        key, label = _key(theirs), ours.strip()
        if found.setdefault(key, label) != label:
            raise DatasetError(f"{file}: {theirs!r} is both {found[key]!r} and {label!r}")
    return found


def _from_csv(file: Path, text: str) -> list[tuple[str, Any]]:
    # Not by line: a label in quotes may have a line end.
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if any(row)]
    if wrong := next((row for row in rows if len(row) != 2), None):
        raise DatasetError(f"{file}: row {','.join(wrong)!r}: expected two columns, their label and mien's")
    return [(row[0], row[1]) for row in rows if [cell.strip().lower() for cell in row] != ["label", "mien"]]


def _from_object(file: Path, values: Any) -> list[tuple[str, Any]]:
    if not isinstance(values, dict):
        raise DatasetError(f'{file}: expected an object such as {{"smile": "happy"}}')
    return list(values.items())


_PARSERS: dict[str, Callable[[Path, str], list[tuple[str, Any]]]] = {
    ".csv": _from_csv,
    ".toml": lambda file, text: _from_object(file, tomllib.loads(text)),
    ".json": lambda file, text: _from_object(file, json.loads(text)),
}


def _key(label: str) -> str:
    return " ".join(label.split()).casefold()


def labels_of_mien(coders: Iterable[Codes]) -> dict[str, str]:
    """The labels of mien's files: in lower case -> as they are written there; empty among people."""
    labels: dict[str, str] = {}
    for coder in coders:
        if coder.kind != "codes":
            labels |= {_key(label): label for label in coder.labels or LABELS}
            labels |= {_key(one.label): one.label for clip in coder.clips.values() for one in clip.segments}
    return {key: label for key, label in labels.items() if key not in {*NO_LABEL, NONE}}


def apply_map(codes: Codes, mapped: Mapping[str, str], ours: Mapping[str, str]) -> Codes:
    """The codes with mien's labels where the map, mien's files (`labels_of_mien`) or `Emotion.parse` know them.

    The same words in other cases are one label. "none" in the map means time in which a person coded nothing; it does
    not touch what mien wrote, where such time may be one in which no face was seen.
    """

    def label(theirs: str) -> str:
        key = _key(theirs)
        if key in mapped:
            return ours.get(_key(mapped[key]), mapped[key])
        if codes.kind != "codes":
            return theirs
        if key in ours or key in NO_LABEL or key == NONE:
            return ours.get(key, key)
        try:
            word = str(Emotion.parse(theirs))
        except UnknownLabelError:
            return key
        return word if not ours or word in ours.values() else key

    # A face whose label is dropped was seen all the same.
    rest = NONE if codes.kind == "frames" else ""
    clips = {
        name: replace(
            clip,
            segments=[replace(one, label=new) for one in clip.segments if (new := label(one.label) or rest)],
        )
        for name, clip in codes.clips.items()
    }
    known = tuple(dict.fromkeys(new for one in codes.labels if (new := label(one))))
    gap = mapped.get(NONE, "") or codes.gap if codes.kind == "codes" else codes.gap
    return replace(
        codes, clips=clips, labels=known, gap=gap, renamed={one: label(one) for one in codes.labels}
    )


def check_labels(coders: Sequence[Codes]) -> list[str]:
    """Refuse labels of people that mien cannot give; between people, say those that one of them never used.

    Raises:
        UnknownLabelError: the message has each, how often it came, and the nearest known one.
    """
    found = [Counter(one.label for clip in c.clips.values() for one in clip.segments) for c in coders]
    ours = [k for k, coder in enumerate(coders) if coder.kind != "codes"]
    if not ours:
        return _one_sided(coders, found)
    known = dict.fromkeys(label for k in ours for label in (coders[k].labels or LABELS))
    known |= dict.fromkeys(label for k in ours for label in found[k] if label not in NO_LABEL)
    for k, coder in enumerate(coders):
        unknown = {name: n for name, n in found[k].most_common() if name not in {*known, *NO_LABEL, NONE}}
        if k not in ours and unknown:
            raise UnknownLabelError(
                f"{coder.name}: {count(len(unknown), 'label')} that mien does not give: {_named(unknown, known)}; "
                f"expected {', '.join(known)}: name theirs and mien's in a file with --map, "
                'such as smile = "happy" in map.toml ("" drops a label)'
            )
    return []


def _named(unknown: Mapping[str, int], known: Collection[str]) -> str:
    words = [f"{name!r} ({count(n, 'time')}{_nearest(name, known)})" for name, n in unknown.items()]
    more = [f"and {len(words) - _SHOWN:,} more"] if len(words) > _SHOWN else []
    return ", ".join(words[:_SHOWN] + more)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.casefold(), list(known), 1, 0.5)
    return f", nearest {near[0]!r}" if near else ""


def _one_sided(coders: Sequence[Codes], found: Sequence[Mapping[str, int]]) -> list[str]:
    notes = []
    for k, coder in enumerate(coders):
        others = {label for j, one in enumerate(found) for label in one if j != k}
        alone = {name: n for name, n in found[k].items() if name not in {*others, *NO_LABEL, NONE}}
        if alone:
            notes.append(f"only in {coder.name}: {_named(alone, others)}; if they mean the same, use --map")
    return notes
