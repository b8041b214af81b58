"""The seven expressions, and the orders in which datasets number them."""

from __future__ import annotations

from enum import StrEnum

from mien.errors import UnknownLabelError


class Emotion(StrEnum):
    """One of the seven basic expressions, in FER2013's words and FER2013's order."""

    ANGRY = "angry"
    DISGUST = "disgust"
    FEAR = "fear"
    HAPPY = "happy"
    SAD = "sad"
    SURPRISE = "surprise"
    NEUTRAL = "neutral"

    # Lists and dicts of expressions show words: an expression is one.
    __repr__ = str.__repr__

    @classmethod
    def parse(cls, text: str) -> Emotion:
        """The expression that a dataset's or a person's word means: "Anger", "happiness", " sad ".

        Raises:
            UnknownLabelError: the word is neither one of the seven expressions nor a known other name of one.
        """
        word = text.strip().lower()
        try:
            return cls(_OTHER_NAMES.get(word, word))
        except ValueError:
            expected = ", ".join(cls)
            raise UnknownLabelError(f"unknown expression {text!r}: expected one of {expected}") from None


_OTHER_NAMES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}


def as_emotion(label: str) -> Emotion | str:
    """One of the seven as an `Emotion`, another word as it is."""
    return Emotion(label) if label in _WORDS else label


_WORDS = frozenset(Emotion)

LABELS: tuple[str, ...] = tuple(e.value for e in Emotion)
"""The seven labels in the order of every probability array of mien: FER2013's."""

FERPLUS_LABELS: tuple[str, ...] = (
    "neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt",
)  # fmt: skip
"""The eight expressions of FER+ (Barsoum et al., arXiv 1608.01041), in the order of its vote columns.

Two further columns follow them in the votes: "unknown" and "not a face".
"""

ORDERS: dict[str, tuple[str, ...]] = {
    "fer2013": LABELS,
    "ferplus": FERPLUS_LABELS,
    "affectnet": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
}
"""What the integers of a dataset mean: `ORDERS[dataset][integer]` is the label."""
