"""mien recognises facial expressions: seven probabilities per face.

    from mien import EmotionRecognizer

    for face in EmotionRecognizer().recognize("photo.jpg"):
        print(face.box, face.emotion, face.confidence)

Recognition; threads may share these, and so may processes, through pickles:
    EmotionRecognizer   finds the faces of a picture or clip and recognises their expressions
    FaceDetector        finds faces
    EmotionClassifier   recognises the expressions of cropped faces

Results:
    FaceEmotion         a face and its expression, with box, probabilities and quality
    TrackedFace         the same in a clip, with its track and the smoothed expression
    Prediction          the probabilities of one face
    Face                a face that a detector found
    Box                 a rectangle in pixels of the picture
    Quality             face quality: a score, and the reasons why it is low
    FrameResult         all faces of one picture
    TrackedFrame        all faces of one frame of a clip
    Emotion             one of the seven expressions
    LABELS              their names, in the order of every probability array

Pictures:
    read_image          a path, bytes, an open file, an array or a Pillow image as RGB
    crop_face           the square around a face, the model's input
    annotate            a copy of a picture with boxes and labels

Explanation and evaluation:
    explain             the region of a face that decided its prediction
    Explanation         of one face: heat map, and the prediction without the marked region
    evaluate            scores of a model on a dataset
    EvaluationReport    these scores
    load_dataset        FER2013 in any of its forms, or class folders
    Dataset             images and labels, by split
    available_models    the shipped models

Errors:
    MienError           the base class of all of mien's errors

`help(mien.EmotionRecognizer)` describes a name; docs/ has the other public modules, such as `mien.compat`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien._core.version import __version__ as __version__

if TYPE_CHECKING:
    from mien.data.dataset import Dataset
    from mien.data.load import load_dataset
    from mien.errors import MienError
    from mien.evaluation.scores import EvaluationReport, evaluate
    from mien.explanation.explain import Explanation, explain
    from mien.faces.detector import FaceDetector
    from mien.images.crop import crop_face
    from mien.images.read import read_image
    from mien.labels import LABELS, Emotion
    from mien.models.classifier import EmotionClassifier
    from mien.models.registry import available_models
    from mien.output.annotate import annotate
    from mien.recognition import EmotionRecognizer
    from mien.results import (
        Box,
        Face,
        FaceEmotion,
        FrameResult,
        Prediction,
        Quality,
        TrackedFace,
        TrackedFrame,
    )

# onnxruntime reports to its maker unless this is set when it is loaded: here, so that it holds too where a program
# imports mien, then onnxruntime, and uses mien only later. Processes started from here have it as well.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = [
    "LABELS",
    "Box",
    "Dataset",
    "Emotion",
    "EmotionClassifier",
    "EmotionRecognizer",
    "EvaluationReport",
    "Explanation",
    "Face",
    "FaceDetector",
    "FaceEmotion",
    "FrameResult",
    "MienError",
    "Prediction",
    "Quality",
    "TrackedFace",
    "TrackedFrame",
    "annotate",
    "available_models",
    "crop_face",
    "evaluate",
    "explain",
    "load_dataset",
    "read_image",
]

_HOMES = {
    "data.dataset": ("Dataset",),
    "data.load": ("load_dataset",),
    "errors": ("MienError",),
    "evaluation.scores": ("EvaluationReport", "evaluate"),
    "explanation.explain": ("Explanation", "explain"),
    "faces.detector": ("FaceDetector",),
    "images.crop": ("crop_face",),
    "images.read": ("read_image",),
    "labels": ("LABELS", "Emotion"),
    "models.classifier": ("EmotionClassifier",),
    "models.registry": ("available_models",),
    "output.annotate": ("annotate",),
    "recognition": ("EmotionRecognizer",),
    "results": (
        "Box",
        "Face",
        "FaceEmotion",
        "FrameResult",
        "Prediction",
        "Quality",
        "TrackedFace",
        "TrackedFrame",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # OpenCV and onnxruntime take a while to load: what needs them is imported at its first use.
    if name not in _MODULES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    return getattr(import_module(f"mien.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
