"""The tables of a study: each column's type, unit and meaning, once, for the files and the codebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        kind: str, int, float or bool.
        meaning: what it holds, and how it was computed.
        unit: of the number, "" for none.
    """

    kind: type
    meaning: str
    unit: str = ""


Columns = Mapping[str, Column]

_CLIP = {"clip": Column(str, "name of the clip, as in clips.csv")}
_PERSON = {
    "person": Column(
        str, "the person: the name from the file of people, else clip:track; empty for who was left out there"
    ),
}
_EXPRESSION = {"expression": Column(str, "one of the model's labels")}
_SHARE = "share from 0 to 1"

CLIPS: Columns = _CLIP | {
    "path": Column(str, "the file, as it was named"),
    "duration": Column(float, "length that the clip's header gives", "s"),
    "start": Column(float, "time of the first frame that was read", "s"),
    "end": Column(float, "when the last frame that was read is over", "s"),
    "frames": Column(int, "frames that were read"),
    "frame_rate": Column(float, "frames read per second, from the first to the last", "1/s"),
    "width": Column(int, "of the picture", "pixels"),
    "height": Column(int, "of the picture", "pixels"),
    "tracks": Column(int, "faces that were tracked"),
    "face_seen": Column(
        float, "time in which at least one face was seen, divided by end minus start", _SHARE
    ),
    "error": Column(str, "why the clip, or its rest, could not be read; empty where it was read to its end"),
}

PEOPLE: Columns = (
    _CLIP
    | {"track": Column(int, "number of the tracked face in the clip")}
    | _PERSON
    | {
        "first_seen": Column(float, "time of the first frame with this face", "s"),
        "last_seen": Column(float, "when the last frame with this face is over", "s"),
        "observed": Column(float, "time in which the face was seen", "s"),
        "frames": Column(int, "frames in which the face was seen"),
        "uncertain": Column(
            float,
            "share of the observed time in which the smoothed prediction is flagged as uncertain",
            _SHARE,
        ),
        "detection_score": Column(float, "mean of the detector's score over the frames", _SHARE),
        "quality_score": Column(float, "mean of the face's quality over the frames", _SHARE),
        "face_height": Column(float, "mean height of the face's box over the frames", "pixels"),
    }
)

EPISODES: Columns = (
    _CLIP
    | {"track": PEOPLE["track"]}
    | _PERSON
    | _EXPRESSION
    | {
        "onset": Column(float, "when the smoothed probability rises above the lower threshold", "s"),
        "peak": Column(float, "when the smoothed probability is highest", "s"),
        "offset": Column(float, "the time of the first frame without the expression", "s"),
        "duration": Column(float, "offset minus onset", "s"),
        "peak_probability": Column(float, "highest smoothed probability", _SHARE),
        "mean_probability": Column(float, "mean smoothed probability over the time seen", _SHARE),
        "uncertain": Column(
            float, "share of the time seen in which the smoothed prediction is flagged as uncertain", _SHARE
        ),
        "missing": Column(float, "time between onset and offset in which the face was not seen", "s"),
        "frames": Column(int, "frames of the episode in which the face was seen"),
        "open_start": Column(
            bool, "the expression was there when the face came into view: it may have begun earlier"
        ),
        "open_end": Column(
            bool, "the expression was there when the face was last seen: it may have lasted longer"
        ),
    }
)

_RATE = Column(
    float,
    "episodes that begin in the segment, or come into view in it, per minute of observed time; one that goes on in "
    "another track of the person counts once",
    "1/min",
)
_TIME_SHARE = Column(float, "time in episodes divided by observed time, at most 1", _SHARE)
_MEAN_DURATION = Column(float, "mean duration of the episodes that begin in the segment", "s")
_LATENCY = Column(
    float,
    "from the start of the segment to the first onset in it; empty where there is none, where the expression is "
    "ongoing at the start, or where it was there when the face came into view",
    "s",
)

MEASURES: Columns = (
    _CLIP
    | {
        "segment": Column(
            str, "name of the segment from the file of segments; without such a file, each clip is one"
        ),
        "condition": Column(str, "condition of the segment"),
        "start": Column(float, "start of the segment", "s"),
        "end": Column(float, "end of the segment", "s"),
    }
    | _PERSON
    | _EXPRESSION
    | {
        "observed": Column(float, "time in the segment in which the person's face was seen", "s"),
        "missing": Column(
            float,
            "time in the segment that was read and in which it was not seen: no expression, not neutral",
            "s",
        ),
        "not_read": Column(
            float, "time in the segment that was not read: outside of the clip, or of --start and --end", "s"
        ),
        "uncertain": Column(
            float,
            "share of the observed time in which the smoothed prediction is flagged as uncertain",
            _SHARE,
        ),
        "episodes": Column(int, "episodes that begin in the segment, or come into view in it"),
        "rate": _RATE,
        "episode_time": Column(float, "time of the segment that lies in episodes", "s"),
        "share": _TIME_SHARE,
        "mean_duration": _MEAN_DURATION,
        "latency": _LATENCY,
        "ongoing_at_start": Column(
            bool,
            "the expression was there at the start of the segment, or when the face was first seen in it",
        ),
        "mean_probability": Column(
            float, "mean smoothed probability of the expression over the observed time", _SHARE
        ),
    }
)

MEASURED: Columns = {
    "rate": _RATE,
    "share": _TIME_SHARE,
    "mean_duration": _MEAN_DURATION,
    "latency": _LATENCY,
    "mean_probability": MEASURES["mean_probability"],
}
"""What conditions are compared by."""

_MEASURE = {
    "measure": Column(str, "one of " + ", ".join(MEASURED) + ", in the unit that it has in measures.csv")
}
_BOOTSTRAP = (
    "95 % interval by the percentile bootstrap over people (Efron, Annals of Statistics 7, 1979), 2,000 draws"
)

CONDITIONS: Columns = (
    {"condition": MEASURES["condition"]}
    | _EXPRESSION
    | _MEASURE
    | {
        "people": Column(
            int, "people with a value: each counts once, with all of their segments of the condition together"
        ),
        "mean": Column(float, "mean over people"),
        "sd": Column(float, "standard deviation over people (n - 1); empty for one person"),
        "median": Column(float, "median over people"),
        "low": Column(float, f"lower end of the mean's {_BOOTSTRAP}; empty for one person"),
        "high": Column(float, "upper end of that interval"),
    }
)

COMPARISONS: Columns = (
    _EXPRESSION
    | _MEASURE
    | {
        "first": Column(str, "condition that comes first in the file of segments"),
        "second": Column(str, "the other one"),
        "people": Column(int, "people with a value in both"),
        "mean_first": Column(float, "mean over these people"),
        "mean_second": Column(float, "mean over these people"),
        "difference": Column(float, "mean of second minus first"),
        "low": Column(float, f"lower end of the difference's {_BOOTSTRAP}; empty for one person"),
        "high": Column(float, "upper end of that interval"),
        "effect_size": Column(
            float,
            "Cohen's d_z: difference divided by the standard deviation of people's differences; empty where that is 0",
        ),
        "p_value": Column(
            float,
            "two-sided sign-flip permutation test of the mean difference (Fisher 1935): exact up to 16 people, "
            "else 10,000 random flips; empty for fewer than two people",
        ),
        "p_holm": Column(
            float,
            "p_value adjusted for the expressions of this measure (Holm, Scandinavian Journal of Statistics 6, 1979)",
        ),
    }
)


def frame_columns(labels: Sequence[str]) -> Columns:
    """The columns of frames.parquet, for a model's labels."""
    place = "of the face's box, origin top left"
    raw: Columns = {
        str(label): Column(float, f"probability of {label} in this frame alone", _SHARE) for label in labels
    }
    steady: Columns = {
        f"smoothed_{label}": Column(float, f"probability of {label}, smoothed over time", _SHARE)
        for label in labels
    }
    return {
        **_CLIP,
        **_PERSON,
        "source": Column(str, "the file, as it was named"),
        "frame": Column(int, "number of the frame in the clip, from 0"),
        "time": Column(float, "time of the frame", "s"),
        "track": Column(int, "number of the tracked face in the clip; empty in a frame without a face"),
        "x1": Column(float, f"left {place}", "pixels"),
        "y1": Column(float, f"top {place}", "pixels"),
        "x2": Column(float, f"right {place}, exclusive", "pixels"),
        "y2": Column(float, f"bottom {place}, exclusive", "pixels"),
        "detection_score": Column(float, "the detector's score", _SHARE),
        "emotion": Column(str, "the most probable label in this frame alone"),
        "confidence": Column(float, "its probability", _SHARE),
        "uncertain": Column(bool, "its probability is below the model's threshold, or --min-confidence"),
        "quality_score": Column(float, "quality of the face's crop", _SHARE),
        "quality_issues": Column(str, "what lowers it, the most severe first, joined by semicolons"),
        **raw,
        "smoothed_emotion": Column(str, "the most probable label, smoothed over time"),
        "smoothed_confidence": Column(float, "its probability", _SHARE),
        "smoothed_uncertain": Column(bool, "its probability is below the model's threshold, or --min-confidence"),
        **steady,
        "error": Column(str, "why the clip could not be read on; empty for a frame"),
    }  # fmt: skip
