"""`explain`: the region of a face that decided the prediction, and the prediction without that region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import UnknownLabelError
from mien.explanation.occlusion import REGION, Heat, Region, elsewhere, heat_map, hide, marked, soft
from mien.faces.align import Square
from mien.images.crop import to_crop
from mien.images.read import ImageSource, read_image
from mien.labels import Emotion
from mien.models.classifier import EmotionClassifier
from mien.recognition import EmotionRecognizer, Recognized, keep_crops
from mien.results import FaceEmotion, Prediction


@dataclass(frozen=True, eq=False)
class Explanation:
    """The region of a face that decided one expression.

    Attributes:
        crop: (size, size) uint8 grey, what the model saw.
        prediction: of the face.
        emotion: the expression that is explained: the prediction, or the one that was asked for.
        heat: (size, size) float32, -1 to 1: how far the probability of `emotion` falls when a pixel's surroundings
            are hidden; negative if it rises.
        region: (size, size) bool, the tenth of the crop with the highest heat.
        hidden: (size, size) uint8, the crop without this region.
        hidden_probability: of `emotion` in `hidden`.
        elsewhere_probability: mean of the same when as much is hidden, in the same shape, at 15 other places.
        face: the face in its picture; None for a crop on its own.
        square: the crop's position in the picture; None for a crop without a picture.
    """

    crop: NDArray[np.uint8]
    prediction: Prediction
    emotion: Emotion | str
    heat: Heat
    region: Region
    hidden: NDArray[np.uint8]
    hidden_probability: float
    elsewhere_probability: float
    face: FaceEmotion | None = None
    square: Square | None = None

    @property
    def probability(self) -> float:
        """Of `emotion`, with nothing hidden."""
        return self.prediction.probabilities[self.emotion]

    def sentence(self) -> str:
        """For people: "happy 97 %; without the marked tenth 31 %, without a tenth elsewhere 95 %"."""
        before, here, others = (
            f"{100 * value:.0f} %"
            for value in (self.probability, self.hidden_probability, self.elsewhere_probability)
        )
        return f"{self.emotion} {before}; without the marked tenth {here}, without a tenth elsewhere {others}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: the face's own fields first, without the maps."""
        return {
            **({} if self.face is None else self.face.to_dict()),
            "explained": self.emotion,
            "probability": self.probability,
            "hidden_area": REGION,
            "hidden_probability": self.hidden_probability,
            "elsewhere_probability": self.elsewhere_probability,
            "highest_heat": float(self.heat.max()),
        }


def explain(
    image: ImageSource, *, recognizer: EmotionRecognizer | None = None, emotion: str | None = None
) -> list[Explanation]:
    """The explanation of every face of a picture, in the detector's order; empty without a face.

    About 160 predictions of the model per face. It shows what the model used, not whether it is right. Threads may
    call it at the same time, also with one recognizer.

    Args:
        image: what `EmotionRecognizer.recognize` takes.
        recognizer: finds and reads the faces; None for mien's defaults.
        emotion: the expression to explain; None for each face's prediction.

    Raises:
        ImageError, TypeError, ValueError: the picture cannot be read; ValueError also for an expression that the model
            does not know.
    """
    picture = read_image(image)
    recognizer = recognizer or EmotionRecognizer()
    label_index(recognizer.labels, emotion)  # a wrong word is an error without a face, too
    return explain_faces(recognizer, keep_crops(recognizer, picture), emotion=emotion)


def explain_faces(
    recognizer: EmotionRecognizer, recognized: Recognized, *, emotion: str | None = None
) -> list[Explanation]:
    """As `explain`, for faces that `recognizer` has recognised; none where the picture could not be read."""
    return [
        explain_crop(
            recognizer.classifier,
            crop,
            emotion=emotion,
            face=face,
            square=recognizer.detector.square(face.face),
        )
        for face, crop in zip(recognized.result.faces, recognized.crops, strict=True)
    ]


def explain_crop(
    classifier: EmotionClassifier,
    crop: NDArray[np.uint8],
    *,
    emotion: str | None = None,
    face: FaceEmotion | None = None,
    square: Square | None = None,
) -> Explanation:
    """The explanation of a crop of any size, (h, w) grey or (h, w, 3) RGB, uint8.

    Args:
        classifier: whose prediction is explained.
        crop: one face, cut out.
        emotion: the expression to explain; None for the prediction.
        face, square: what the result says of the crop's picture.

    Raises:
        TypeError, ValueError: not such a crop; ValueError also for an expression that the model does not know.
    """
    crop = to_crop(crop, classifier.config.input_size)
    prediction = classifier.classify([crop])[0] if face is None else face.prediction
    asked = label_index(classifier.labels, emotion)
    label = classifier.labels.index(prediction.emotion) if asked is None else asked
    heat = heat_map(classifier, crop, label)
    region = marked(heat)
    hidden = hide(crop, np.stack([soft(one) for one in (region, *elsewhere(region))]))
    here, *others = classifier.predict_proba(hidden)[:, label]
    return Explanation(
        crop=crop,
        prediction=prediction,
        emotion=classifier.labels[label],
        heat=heat,
        region=region,
        hidden=hidden[0],
        hidden_probability=float(here),
        elsewhere_probability=float(np.mean(others)),
        face=face,
        square=square,
    )


def label_index(labels: Sequence[str], emotion: str | None) -> int | None:
    """The place of an expression among a model's labels; other spellings as `Emotion.parse` takes them; None for None.

    Raises:
        ValueError: the model does not know it.
    """
    if emotion is None:
        return None
    try:
        word = emotion if emotion in labels else str(Emotion.parse(emotion))
        return list(labels).index(word)
    except (UnknownLabelError, ValueError):
        raise ValueError(f"unknown expression {emotion!r}: expected one of {', '.join(labels)}") from None
