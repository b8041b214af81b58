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
    find_episodes       when each person in a clip showed which expression: a list of Episode
    Episode             an expression with its onset, peak and offset
    EpisodeSettings     what counts as an episode
    Emotion             one of the seven expressions
    LABELS              their names, in the order of every probability array

Pictures:
    read_image          a path, bytes, an open file, an array or a Pillow image as RGB
    crop_face           the square around a face, the model's input
    annotate            a copy of a picture with boxes and labels
    PictureFiles        folders of annotated pictures and bar charts
    sample_portrait     the path of a portrait that every installation has

Explanation and evaluation:
    explain             the region of a face that decided its prediction
    Explanation         of one face: heat map, and the prediction without the marked region
    evaluate            scores of a model on a dataset
    EvaluationReport    these scores
    evaluate_photographs  scores of detector and model together on photographs
    PhotographReport    these scores
    predict_split       what a model answers on a dataset: what the next are made from
    Predictions         these answers
    audit_groups        accuracy and calibration by group
    ModelAudit          these figures
    measure_robustness  scores on corrupted images
    RobustnessReport    these scores
    robustness_chart    these scores as a picture
    confusion_matrix_chart  which expressions are taken for which, as a picture

Studies:
    measure_agreement   how well people's codes of clips agree with mien, or with each other
    Agreement           these figures

Data and models:
    load_dataset        FER2013 in any of its forms, or class folders
    Dataset             images and labels, by split
    describe_dataset    a dataset in lines: how many images of each class
    read_group_column   which group every image of a dataset belongs to
    GroupColumn         these groups
    available_models    the models that come with the package
    resolve_model       the folder of a model

Studies:
    run_study           clips to the tables of a study
    StudyOutcome        what such a study came to

Collections:
    run_batch           a collection of pictures to a folder of Parquet parts
    BatchOutcome        what such a run came to

Errors:
    MienError           the base class of all of mien's errors

`mien.training` trains models, `mien.compat` has the calls of deepface and fer, `mien.errors` all errors; all else may
change from one version to the next. `help(mien.EmotionRecognizer)` says more of a name.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien._core.version import __version__ as __version__

if TYPE_CHECKING:
    from mien.agreement.agreement import Agreement, measure_agreement
    from mien.batch.run import BatchOutcome, run_batch
    from mien.data.dataset import Dataset
    from mien.data.describe import describe_dataset
    from mien.data.groups import GroupColumn, read_group_column
    from mien.data.load import load_dataset
    from mien.errors import MienError
    from mien.evaluation.fairness import ModelAudit, audit_groups
    from mien.evaluation.photograph_report import PhotographReport
    from mien.evaluation.photographs import evaluate_photographs
    from mien.evaluation.predictions import Predictions, predict_split
    from mien.evaluation.result import EvaluationReport
    from mien.evaluation.robustness import RobustnessReport, measure_robustness
    from mien.evaluation.robustness_chart import robustness_chart
    from mien.evaluation.score_charts import confusion_matrix_chart
    from mien.evaluation.scores import evaluate
    from mien.explanation.explain import Explanation, explain
    from mien.faces.detector import FaceDetector
    from mien.images.crop import crop_face
    from mien.images.read import read_image
    from mien.images.sample import sample_portrait
    from mien.labels import LABELS, Emotion
    from mien.models.classifier import EmotionClassifier
    from mien.models.registry import available_models, resolve_model
    from mien.output.annotate import annotate
    from mien.output.image_files import PictureFiles
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
    from mien.study.run import StudyOutcome, run_study
    from mien.video.episodes import Episode, EpisodeSettings, find_episodes

# onnxruntime reports to its maker unless this is set when it is loaded: here, so that it holds too where a program
# imports mien, then onnxruntime, and uses mien only later. Processes started from here have it as well.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = [
    "LABELS",
    "Agreement",
    "BatchOutcome",
    "Box",
    "Dataset",
    "Emotion",
    "EmotionClassifier",
    "EmotionRecognizer",
    "Episode",
    "EpisodeSettings",
    "EvaluationReport",
    "Explanation",
    "Face",
    "FaceDetector",
    "FaceEmotion",
    "FrameResult",
    "GroupColumn",
    "MienError",
    "ModelAudit",
    "PhotographReport",
    "PictureFiles",
    "Prediction",
    "Predictions",
    "Quality",
    "RobustnessReport",
    "StudyOutcome",
    "TrackedFace",
    "TrackedFrame",
    "annotate",
    "audit_groups",
    "available_models",
    "confusion_matrix_chart",
    "crop_face",
    "describe_dataset",
    "evaluate",
    "evaluate_photographs",
    "explain",
    "find_episodes",
    "load_dataset",
    "measure_agreement",
    "measure_robustness",
    "predict_split",
    "read_group_column",
    "read_image",
    "resolve_model",
    "robustness_chart",
    "run_batch",
    "run_study",
    "sample_portrait",
]

_HOMES = {
    "batch.run": (
        "BatchOutcome",
        "run_batch",
    ),
    "data.dataset": ("Dataset",),
    "data.describe": ("describe_dataset",),
    "data.groups": (
        "GroupColumn",
        "read_group_column",
    ),
    "data.load": ("load_dataset",),
    "errors": ("MienError",),
    "evaluation.fairness": (
        "ModelAudit",
        "audit_groups",
    ),
    "evaluation.photograph_report": ("PhotographReport",),
    "evaluation.photographs": ("evaluate_photographs",),
    "evaluation.predictions": (
        "Predictions",
        "predict_split",
    ),
    "evaluation.robustness": (
        "RobustnessReport",
        "measure_robustness",
    ),
    "evaluation.robustness_chart": ("robustness_chart",),
    "evaluation.score_charts": ("confusion_matrix_chart",),
    "evaluation.result": ("EvaluationReport",),
    "evaluation.scores": ("evaluate",),
    "explanation.explain": (
        "Explanation",
        "explain",
    ),
    "faces.detector": ("FaceDetector",),
    "images.crop": ("crop_face",),
    "images.read": ("read_image",),
    "images.sample": ("sample_portrait",),
    "labels": (
        "LABELS",
        "Emotion",
    ),
    "models.classifier": ("EmotionClassifier",),
    "models.registry": (
        "available_models",
        "resolve_model",
    ),
    "output.annotate": ("annotate",),
    "output.image_files": ("PictureFiles",),
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
    "agreement.agreement": (
        "Agreement",
        "measure_agreement",
    ),
    "study.run": (
        "StudyOutcome",
        "run_study",
    ),
    "video.episodes": (
        "Episode",
        "EpisodeSettings",
        "find_episodes",
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
