"""What was found in a clip in the forms of other programs: ELAN, Praat, players, BORIS, OpenFace's readers.

BORIS' files have the columns of its own exports "tabular events" and "aggregated events" (BORIS 8.27.4); OpenFace's
those that its tables begin with (OpenFace 2.2, FeatureExtraction and FaceLandmarkVidMulti), then mien's own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.output.decimals import decimal
from mien.output.rows import encodable
from mien.study.frames import ClipFrames
from mien.study.lists import People
from mien.video.episodes import Episode
from mien.video.interchange import FORMS as _OF_EPISODES
from mien.video.interchange import Media

_NOT_KNOWN = "NA"
_ABOUT = (
    "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
    "Time offset (s)", "Media duration (s)", "FPS",
)  # fmt: skip
_EVENTS = (
    *_ABOUT, "Subject", "Behavior", "Behavioral category", "Behavior type", "Time", "Media file name", "Image index",
    "Image file path", "Comment",
)  # fmt: skip
_AGGREGATED = (
    "Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)",
    "Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject",
    "Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type", "Start (s)",
    "Stop (s)", "Duration (s)", "Media file name", "Image index start", "Image index stop", "Image file path start",
    "Image file path stop", "Comment start", "Comment stop",
)  # fmt: skip


def to_boris_events(episodes: Sequence[Episode], media: Media, header: Mapping[str, Any]) -> str:
    """BORIS' tabular events: a line where a state starts and one where it stops, by time."""
    rows = []
    for one in episodes:
        for kind, time in (("START", one.onset), ("STOP", one.offset)):
            rows.append(
                _about(media, header)
                | {
                    "Subject": media.person(one.track),
                    "Behavior": one.emotion,
                    "Behavioral category": "",
                    "Behavior type": kind,
                    "Time": f"{time:.3f}",
                    "Media file name": str(media.path),
                    "Image index": _frame(time, header),
                    "Image file path": _NOT_KNOWN,
                    "Comment": "",
                }
            )
    return _csv(_EVENTS, sorted(rows, key=lambda row: (float(row["Time"]), row["Behavior type"] != "STOP")))


def to_boris_aggregated(episodes: Sequence[Episode], media: Media, header: Mapping[str, Any]) -> str:
    """BORIS' aggregated events: a line an episode."""
    about = _about(media, header)
    about |= {"Coding duration": about["Observation duration"], "FPS (frame/s)": about["FPS"]}
    rows = [
        about
        | {
            "Subject": media.person(one.track),
            "Observation duration by subject by observation": about["Observation duration"],
            "Behavior": one.emotion,
            "Behavioral category": "Not defined",
            "Behavior type": "STATE",
            "Start (s)": f"{one.onset:.3f}",
            "Stop (s)": f"{one.offset:.3f}",
            "Duration (s)": f"{one.duration:.3f}",
            "Media file name": str(media.path),
            "Image index start": _frame(one.onset, header),
            "Image index stop": _frame(one.offset, header),
        }
        for one in episodes
    ]
    return _csv(_AGGREGATED, rows)


def to_openface(frames: ClipFrames, people: People) -> str:
    """OpenFace's first columns, a line a face: frames are counted from 1, face_id is the track.

    `confidence` is the detector's score and `success` 1; a frame without a face of somebody who takes part has a line
    with 0 in both, and a face_id of 0. The other columns are the smoothed probabilities by label.
    """
    c, names = frames.columns, [f"smoothed_{label}" for label in frames.labels]
    out = {track for track in frames.tracks if people.person(frames.clip, track) is None}
    shown = set(c["frame"][~np.isin(c["track"], [-1, *out])].tolist())
    rows = []
    last = None
    for k in range(len(c["frame"])):
        frame, seen = int(c["frame"][k]), c["track"][k] >= 0 and int(c["track"][k]) not in out
        if not seen and (frame in shown or frame == last):
            continue
        last = frame
        rows.append(
            {
                "frame": int(c["frame"][k]) + 1,
                "face_id": int(c["track"][k]) if seen else 0,
                "timestamp": f"{c['time'][k]:.3f}",
                "confidence": decimal(float(c["detection_score"][k])) if seen else 0,
                "success": int(seen),
                **{name: decimal(float(c[name][k])) if seen else "" for name in names},
            }
        )
    return _csv(["frame", "face_id", "timestamp", "confidence", "success", *names], rows)


FORMS = ("eaf", "textgrid", "vtt", "srt", "boris", "openface")
"""What `write_forms` can write."""

_ENDINGS = {"eaf": ".eaf", "textgrid": ".TextGrid", "vtt": ".vtt", "srt": ".srt"}


def form_texts(
    wanted: Iterable[str],
    stem: str,
    header: Mapping[str, Any],
    frames: ClipFrames,
    episodes: Iterable[Episode],
    people: People,
    folder: Path,
) -> Iterator[tuple[str, str]]:
    """A clip in the wanted forms: names of files, in a folder for each form, and their text.

    Args:
        wanted: of `FORMS`.
        stem: of the files' names.
        header: what is known of the clip: path, duration, fps.
        frames: of the clip.
        episodes: of all tracks; those of who does not take part are left out.
        people: who the tracks are.
        folder: of the study.
    """
    shown = [one for one in episodes if people.person(frames.clip, one.track) is not None]
    names = {track: people.named.get((frames.clip, track), "") for track in frames.tracks}
    seconds = max(float(header.get("duration") or 0), float(frames.ends[-1]) if len(frames.times) else 0.0)
    for form in wanted:
        media = Media(Path(header["path"]), seconds, folder / form, names)
        for ending, text in _texts(form, shown, media, header, frames, people):
            yield f"{form}/{stem}{ending}", encodable(text)


def _texts(
    form: str,
    episodes: Sequence[Episode],
    media: Media,
    header: Mapping[str, Any],
    frames: ClipFrames,
    people: People,
) -> list[tuple[str, str]]:
    """The files of a form: ending and text."""
    if form == "boris":
        return [
            ("-events.csv", to_boris_events(episodes, media, header)),
            ("-aggregated.csv", to_boris_aggregated(episodes, media, header)),
        ]
    if form == "openface":
        return [(".csv", to_openface(frames, people))]
    write: Callable[[Sequence[Episode], Media], str] = _OF_EPISODES[_ENDINGS[form].lower()]
    return [(_ENDINGS[form], write(episodes, media))]


def _about(media: Media, header: Mapping[str, Any]) -> dict[str, str]:
    """What BORIS says of an observation in every line. mien does not know when the clip was observed."""
    fps = header.get("fps")
    length = f"{media.seconds:.3f}"
    return {
        "Observation id": media.path.name,
        "Observation date": "",
        "Description": "",
        "Observation duration": length,
        "Observation type": "Media file(s)",
        "Source": f"player #1:{media.path}",
        "Time offset (s)": "0.0",
        "Media duration (s)": length,
        "FPS": f"{fps:.3f}" if fps else _NOT_KNOWN,
    }


def _frame(time: float, header: Mapping[str, Any]) -> str:
    fps = header.get("fps")
    return str(round(time * fps)) if fps else _NOT_KNOWN


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
