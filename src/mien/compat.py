"""For programs that are written for deepface or fer: their calls and result formats, with mien's model.

    from mien.compat import DeepFace  # was: from deepface import DeepFace
    from mien.compat import FER       # was: from fer import FER

Calls and shapes as of deepface 0.0.103 (`modules/demography.py`, `modules/detection.py`) and fer 25.10.3 (`fer.py`).
As theirs, arrays are BGR here, as OpenCV reads them; everywhere else in mien they are RGB.
docs/how-to/switching.md says what differs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError
from mien.faces.detector import FaceDetector
from mien.faces.quality import assess_quality
from mien.images.crop import crop_face
from mien.images.read import read_image
from mien.models.registry import DEFAULT_DETECTOR
from mien.recognition import EmotionRecognizer
from mien.results import Box, Face, FaceEmotion, Prediction

Picture: TypeAlias = str | Path | NDArray[Any] | IO[bytes] | None
"""A path, a "data:image/...;base64," text, an open binary file, or an array: uint8, grey, BGR or BGRA.

None, which `cv2.imread` returns if it cannot read a file, is accepted for type checkers only: it raises TypeError.
"""

_DETECTORS = {"mien": "mien", "haar": "haar", "opencv": "haar", "yunet": "yunet"}
_WHOLE_PICTURE = "skip"


class DeepFace:
    """deepface's `DeepFace`, as far as it is about expressions."""

    @staticmethod
    def analyze(
        img_path: Picture | list[Picture],
        actions: str | Sequence[str] = ("emotion",),
        enforce_detection: bool = True,
        detector_backend: str = DEFAULT_DETECTOR,
        align: bool = True,
        expand_percentage: int = 0,
        silent: bool = False,
        anti_spoofing: bool = False,
    ) -> Any:
        """The expressions in a picture, in deepface's form.

        Args:
            img_path: a `Picture`; a list of them, or an array (n, H, W, 3), gives a list of results.
            actions: "emotion" only.
            enforce_detection: without a face: True raises, False takes the whole picture for a face, with a
                `face_confidence` of 0, as deepface does.
            detector_backend: "opencv" (or "haar"), "mien", "yunet", or "skip": the picture is a face already.
            align: taken and not used: mien turns heads upright where landmarks tell their tilt.
            expand_percentage: 0 only.
            silent: taken and not used: mien is silent.
            anti_spoofing: False only.

        Returns:
            A dict a face, the largest first: `emotion` (label -> percent, summing to 100), `dominant_emotion`,
            `region` (`x y w h` in whole pixels inside the picture; `left_eye`, `right_eye` and, where the detector
            gives landmarks, `nose`, `mouth_left`, `mouth_right`: (x, y) or None, left as the person's own),
            `face_confidence` (0 to 1, rounded to 2 digits); and, of mien's own, `quality_score` (0 to 1) and
            `quality_issues` (words).

        Raises:
            ValueError: another action or option; no face where one is enforced; a picture that cannot be read.
            TypeError: an array of another type than uint8, or no picture at all.
        """
        _check_actions(actions)
        if anti_spoofing or expand_percentage:
            raise ValueError("anti_spoofing and expand_percentage: mien has none; leave them out")
        recognizer = _recognizer(_detector_name(detector_backend))
        if isinstance(img_path, list) or (isinstance(img_path, np.ndarray) and img_path.ndim == 4):
            return [_analyze(recognizer, _read(one), detector_backend, enforce_detection) for one in img_path]
        return _analyze(recognizer, _read(img_path), detector_backend, enforce_detection)


class FER:
    """fer's `FER`.

    Args:
        mtcnn: False: OpenCV's cascades, as in fer. True: mien's own detector in the place of MTCNN; it finds small
            and turned faces, too, and needs no torch.
        min_face_size: faces whose box has a shorter side, in pixels, are dropped.

    Raises:
        ValueError: a `min_face_size` below 1.
    """

    def __init__(self, mtcnn: bool = False, min_face_size: int = 50) -> None:
        self._recognizer = _recognizer("mien" if mtcnn else "haar", min_face_size)

    def detect_emotions(
        self, img: Picture, face_rectangles: Sequence[Sequence[int]] | None = None
    ) -> list[dict[str, Any]]:
        """The expressions in a picture: `{"box": [x, y, w, h], "emotions": label -> 0 to 1}` a face, largest first.

        Of mien's own each has `quality_score` (0 to 1) and `quality_issues` (words) too.

        Args:
            img: a `Picture`.
            face_rectangles: where the faces are, [x, y, w, h] each; None: they are looked for.

        Raises:
            ValueError: a picture that cannot be read, or a rectangle that is invalid or outside of it.
            TypeError: an array of another type than uint8, or no picture at all.
        """
        picture = _read(img)
        if face_rectangles is None:
            faces: Sequence[FaceEmotion] = self._recognizer.recognize(picture)
        else:
            boxes = [Box(x, y, x + w, y + h) for x, y, w, h in face_rectangles]
            faces = self._recognizer.read_faces(picture, [Face(box, 1.0) for box in boxes])
        return [
            {"box": list(_corner_and_size(face.box)), "emotions": dict(face.probabilities)} | _quality(face)
            for face in faces
        ]

    def top_emotion(self, img: Picture) -> tuple[str | None, float | None]:
        """The first face's expression and its probability, or (None, None); errors as in `detect_emotions`."""
        for face in self.detect_emotions(img):
            name = max(face["emotions"], key=face["emotions"].__getitem__)
            return name, face["emotions"][name]
        return None, None


@lru_cache(maxsize=8)
def _recognizer(detector: str, min_size: int = 20) -> EmotionRecognizer:
    """Loaded once: deepface and fer keep their models, too."""
    return EmotionRecognizer(detector=FaceDetector(detector, min_size=min_size))


def _check_actions(actions: str | Sequence[str]) -> None:
    names = [actions] if isinstance(actions, str) else list(actions)
    if names != ["emotion"]:
        raise ValueError(
            f'actions={names}: mien reads expressions only, no age, gender or race; expected ["emotion"]'
        )


def _detector_name(backend: str) -> str:
    if backend == _WHOLE_PICTURE:
        return DEFAULT_DETECTOR
    if backend not in _DETECTORS:
        raise ValueError(
            f"detector_backend={backend!r}: not in mien; expected one of "
            f"{', '.join((*_DETECTORS, _WHOLE_PICTURE))}; mien finds what large detectors are used for"
        )
    return _DETECTORS[backend]


def _analyze(
    recognizer: EmotionRecognizer, picture: NDArray[np.uint8], backend: str, enforce: bool
) -> list[dict[str, Any]]:
    """One RGB picture's prediction in deepface's form."""
    height, width = picture.shape[:2]
    faces: Sequence[FaceEmotion] = () if backend == _WHOLE_PICTURE else recognizer.recognize(picture)
    if not faces:
        if enforce and backend != _WHOLE_PICTURE:
            raise ValueError(
                "no face found: expected a picture with one; enforce_detection=False takes the whole picture"
            )
        faces = [_whole(recognizer, picture)]
    return [_in_deepface_form(face, width, height) for face in faces]


def _whole(recognizer: EmotionRecognizer, picture: NDArray[np.uint8]) -> FaceEmotion:
    """The picture, all of it, as a face that no detector vouches for."""
    height, width = picture.shape[:2]
    box, size = Box(0, 0, width, height), recognizer.classifier.config.input_size
    crop = crop_face(picture, box, size=size)
    return FaceEmotion(Face(box, 0.0), recognizer.classifier.classify([crop])[0], assess_quality(crop, box))


def _in_deepface_form(face: FaceEmotion, width: int, height: int) -> dict[str, Any]:
    return {
        "emotion": _percent(face.prediction),
        "dominant_emotion": str(face.emotion),
        "region": _region(face.face, width, height),
        "face_confidence": round(float(face.face.score), 2),
    } | _quality(face)


def _quality(face: FaceEmotion) -> dict[str, Any]:
    """What mien has more than those two, named as everywhere in mien."""
    return {"quality_score": float(face.quality.score), "quality_issues": list(face.quality.issues)}


def _percent(prediction: Prediction) -> dict[str, float]:
    return {str(label): 100 * float(p) for label, p in prediction.probabilities.items()}


def _region(face: Face, width: int, height: int) -> dict[str, Any]:
    """As deepface has it: inside the picture, and never up to its last column and row."""
    x, y, w, h = _corner_and_size(face.box)
    x, y = max(0, x), max(0, y)
    region: dict[str, Any] = {"x": x, "y": y, "w": min(w, width - x - 1), "h": min(h, height - y - 1)}
    eyes: dict[str, Any] = {"left_eye": None, "right_eye": None}
    if face.landmarks is None:
        return region | eyes
    names = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
    points = {name: _inside(p, width, height) for name, p in zip(names, face.landmarks, strict=True)}
    return region | {
        name: points[name] for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    }


def _inside(point: tuple[float, float], width: int, height: int) -> tuple[int, int] | None:
    x, y = int(point[0]), int(point[1])
    return (x, y) if 0 <= x < width and 0 <= y < height else None


def _corner_and_size(box: Box) -> tuple[int, int, int, int]:
    """`(x, y, w, h)` in whole pixels, with the right and lower edge rounded as the left and upper one."""
    x, y = round(box.x1), round(box.y1)
    return x, y, round(box.x2) - x, round(box.y2) - y


def _read(picture: Picture) -> NDArray[np.uint8]:
    """What deepface and fer take for a picture as (H, W, 3) uint8 RGB."""
    try:
        if isinstance(picture, np.ndarray):
            return read_image(_from_bgr(picture))
        if isinstance(picture, str) and picture.startswith("data:image/"):
            return read_image(base64.b64decode(picture.partition(",")[2], validate=True))
        if picture is None:
            raise TypeError(
                "the picture is None, which cv2.imread returns if it cannot read a file; expected a picture"
            )
        return read_image(picture)
    except (ImageError, binascii.Error) as error:
        # As in deepface: programs that catch ValueError still catch it.
        raise ValueError(str(error)) from None


def _from_bgr(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blue and red exchanged, where the array has colours."""
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        return array
    return np.ascontiguousarray(array[..., [2, 1, 0, 3][: array.shape[2]]])
