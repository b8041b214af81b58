"""One system inside of its own environment: it answers, and times itself, as compare.py asks it to.

Started by compare.py. It imports nothing but numpy and the system, and speaks JSON, a line a message.

A system is `mien`, or `mien:haar` with another detector than the default; `fer` (its default, TensorFlow Lite) or
`fer-keras`; `facex`; or the path of an ONNX file of random weights, of which the network alone is timed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE, BATCH = 48, 64
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FACEX = {"anger": "angry", "sadness": "sad", "surprised": "surprise"}  # facex's words; its others are mien's

Faces = NDArray[np.uint8]  # (n, 48, 48) grey
Answers = NDArray[np.int64]  # (n,) index into LABELS
Told = dict[str, Any]  # box: x1 y1 x2 y2, label: one of LABELS, score


class Mien:
    """mien as users get it: `expression`, and the head that learnt FER2013's labels for the accuracy on these."""

    def __init__(self, **options: str) -> None:
        from mien import EmotionClassifier, EmotionRecognizer

        self.classifier = EmotionClassifier()
        self.recognizer = EmotionRecognizer(self.classifier, **options)

    def classify(self, faces: Faces) -> Any:
        """Probabilities of the faces, all in one call."""
        return self.classifier.predict_proba(faces)

    def answers(self, faces: Faces) -> dict[str, Answers]:
        """The answers of each head."""
        heads = self.classifier.predict_heads(faces)
        return {head: heads[head].argmax(axis=1) for head in ("expression", "fer2013")}

    def picture(self, path: str) -> list[Told]:
        """What it says of a photograph, face by face."""
        return [
            told([face.box.x1, face.box.y1, face.box.x2, face.box.y2], str(face.emotion), face.confidence)
            for face in self.recognizer.recognize(path)
        ]


class Fer:
    """fer by its public calls. Faces are given as rectangles of a picture, with no border added (`offsets`)."""

    def __init__(self, *, keras: bool) -> None:
        from fer.fer import FER

        self.detector = FER(use_tflite=not keras)
        self.exact = FER(use_tflite=not keras, offsets=(0, 0))

    def classify(self, faces: Faces) -> Any:
        """The same, all faces as one picture."""
        column = np.repeat(faces.reshape(-1, SIDE)[:, :, None], 3, axis=2)
        boxes = [[0, SIDE * i, SIDE, SIDE] for i in range(len(faces))]
        return self.exact.detect_emotions(column, boxes)

    def answers(self, faces: Faces) -> dict[str, Answers]:
        """The answers, under no name."""
        found: list[int] = []
        for begin in range(0, len(faces), BATCH):
            for face in self.classify(faces[begin : begin + BATCH]):
                found.append(int(np.argmax([face["emotions"][label] for label in LABELS])))
        return {"": np.array(found)}

    def picture(self, path: str) -> list[Told]:
        """What it says of a photograph, face by face."""
        return [
            told(corners(face["box"]), *best(face["emotions"]))
            for face in self.detector.detect_emotions(path)
        ]


class Facex:
    """facex as its description says. A face is given to its classifier alone, which makes it 200 x 200 and coloured."""

    def __init__(self) -> None:
        import cv2
        import facex

        self.read = cv2.imread
        self.pool = facex.PoolManager(pool_size=1)
        self.classifier = facex.EmotionClassifier(self.pool.model_path)

    def classify(self, faces: Faces) -> Any:
        """Its answers, one face a call: it has no call for several."""
        return [self.best(self.classifier.detect_emotion(face))[0] for face in faces]

    def answers(self, faces: Faces) -> dict[str, Answers]:
        """The answers, under no name."""
        return {"": np.array([LABELS.index(label) for label in self.classify(faces)])}

    def picture(self, path: str) -> list[Told]:
        """What it says of a photograph, face by face."""
        return [
            told(corners(face["bbox"]), *self.best(face["emot"]))
            for face in self.pool.predict(self.read(path))
        ]

    def best(self, scores: dict[str, float]) -> tuple[str, float]:
        """The label, in mien's words, and its score."""
        label, score = best(scores)
        return FACEX.get(label, label), score


class Shape:
    """A network of another project's shape with random weights, in ONNX: only its time means something."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.input, *constants = self.session.get_inputs()
        # Keras leaves constants of EfficientNet's normalisation to the caller.
        self.constants = {value.name: np.ones(value.shape, np.float32) for value in constants}
        self.random = np.random.default_rng(0)

    def classify(self, faces: Faces) -> Any:
        """Seconds of the network alone, without those that make its input."""
        pixels = self.random.random((len(faces), *self.input.shape[1:]), np.float32)
        start = time.perf_counter()
        self.session.run(None, {self.input.name: pixels} | self.constants)
        return time.perf_counter() - start


def best(scores: dict[str, float]) -> tuple[str, float]:
    """The label with the highest score, the first among equal ones."""
    label = max(scores, key=scores.__getitem__)
    return label, scores[label]


def corners(box: Any) -> list[float]:
    """x1 y1 x2 y2 of x y width height."""
    x, y, width, height = box
    return [x, y, x + width, y + height]


def told(box: Any, label: str, score: float) -> Told:
    """One face, as JSON."""
    return {"box": [float(value) for value in box], "label": label, "score": float(score)}


def load(system: str) -> Any:
    """The system by its name, ready."""
    if system.partition(":")[0] == "mien":
        return Mien(detector=system.partition(":")[2]) if ":" in system else Mien()
    if system in ("fer", "fer-keras"):
        return Fer(keras=system == "fer-keras")
    if system == "facex":
        return Facex()
    return Shape(system)


def seconds(call: Callable[[], Any], least: float) -> float:
    """Time of the fastest of calls that take `least` seconds together, three at least.

    Other work on the machine can only add to a call's time.
    """
    times: list[float] = []
    while len(times) < 3 or sum(times) < least:
        start = time.perf_counter()
        own = call()
        times.append(own if isinstance(own, float) else time.perf_counter() - start)
    return min(times)


def peak_memory() -> float:
    """The most memory that this process has had, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def handle(system: Any, request: dict[str, Any]) -> Any:
    """One request of compare.py."""
    kind = request["do"]
    if kind == "answers":
        faces = np.load(request["faces"])
        return {name: answers.tolist() for name, answers in system.answers(faces).items()}
    if kind == "time":
        faces = np.load(request["faces"])[: request["n"]]
        return seconds(lambda: system.classify(faces), request["seconds"])
    if kind == "time picture":
        return seconds(lambda: system.picture(request["path"]) and None, request["seconds"])
    if kind == "picture":
        return system.picture(request["path"])
    return peak_memory()


def main() -> None:
    """Load the system, say so, and answer until the input ends. With a picture: tell it, and end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    system = load(sys.argv[1])
    if len(sys.argv) > 2:
        print(
            json.dumps({"told": system.picture(sys.argv[2]), "peak": peak_memory()}), file=answers, flush=True
        )
        return
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(handle(system, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
