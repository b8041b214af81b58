"""What every row of an output was made with, and whether a run may add to one."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from mien.errors import SettingsError
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_OUTPUT, DETECTOR_SIZE, MIN_SIZE


@dataclass(frozen=True)
class BatchSettings:
    """What every row of a folder was made with.

    Attributes:
        model: what `EmotionClassifier` takes.
        model_sha256: of its ONNX file.
        detector: what `FaceDetector` takes.
        min_size: the least shorter side of a face's box, in pixels.
        partition: "folder" for a folder a first folder of the source, "none" for one folder in all.
        min_quality: the least quality of a face's crop, 0 to 1.
        detector_size: long side in pixels at which mien's own detector searches.
        turns: whether faces that lie on their side or upside down are searched too.
        detector_sha256: of mien's own detector, "" for others.
        decode_side: large JPEGs are decoded smaller, but with so many pixels on the long side; 0 for whole, None for
            as many as the detector's search needs.
        head: the model's output that answers, by its name in the ONNX file.
        min_confidence: answers less confident are flagged as uncertain; None for the model's own threshold.
        uncertain_below: that threshold, in use; as the next two None in folders of versions that did not record it.
        detector_min_score, detector_margin: of mien's own detector, from its JSON; None for others.
    """

    model: str
    model_sha256: str
    detector: str = DEFAULT_DETECTOR
    min_size: int = MIN_SIZE
    partition: str = "none"
    min_quality: float = 0.0
    detector_size: int = DETECTOR_SIZE
    detector_sha256: str = ""
    decode_side: int | None = 0
    head: str = DEFAULT_OUTPUT
    min_confidence: float | None = None
    uncertain_below: float | None = None
    detector_min_score: float | None = None
    detector_margin: float | None = None
    turns: bool = False


def check_settings(
    data: bytes | None, where: str, output: str, settings: BatchSettings, same_files: frozenset[str]
) -> None:
    """Raise unless an output was started with these settings.

    Args:
        data: its record of them, None if it is not there.
        where: the place of that record; with the output's own, for messages.
        output: its place.
        settings: of this run.
        same_files: digests of earlier files of the same networks, which count as the same.

    Raises:
        SettingsError: it was not; the message says what differs.
    """
    try:
        # What a folder of an earlier version does not name.
        defaults = {item.name: item.default for item in fields(BatchSettings) if item.default is not MISSING}
        before = defaults | json.loads(data or b"")
        asked = asdict(settings)
        differ = [
            name
            for name in asked
            if before[name] != asked[name]
            and before[name] not in same_files
            and name not in _irrelevant(before, asked)
        ]
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{where}: cannot be read; expected what mien batch wrote there") from None
    if differ:
        was, now = ({name: values[name] for name in differ} for values in (before, asked))
        raise SettingsError(
            f"{output}: was started with {_words(was)}, this run has {_words(now)}; rows of both would mix: "
            "choose another folder"
        )


def _irrelevant(before: dict[str, Any], asked: dict[str, Any]) -> set[str]:
    """What may differ: the model's name, for its digest counts; what an earlier version did not record; and of the
    threshold of `uncertain` and the option that names one, the other."""
    unrecorded = ("uncertain_below", "detector_min_score", "detector_margin")
    names = {"model", *(name for name in unrecorded if before[name] is None)}
    same = before["uncertain_below"] == asked["uncertain_below"]
    if same and before["uncertain_below"] is not None:
        names.add("min_confidence")
    elif before["min_confidence"] != asked["min_confidence"]:
        names.add("uncertain_below")
    return names


def _words(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {'automatic' if value is None else str(value)[:24]}" for name, value in values.items()
    )
