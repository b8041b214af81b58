"""Print mien's public Python names and what they return, as JSON: a case of `golden.py`."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

import mien

HOPPER, TWO, STORY = "input/pictures/hopper.jpg", "input/pictures/deep/two.png", "input/story.mkv"


def signature(thing: Any) -> str:
    try:
        return str(inspect.signature(thing))
    except (TypeError, ValueError):
        return type(thing).__name__


def members(kind: type) -> dict[str, str]:
    """The public attributes of a class, its bases' too, and how its methods are called."""
    return {name: signature(getattr(kind, name)) for name in sorted(dir(kind)) if not name.startswith("_")}


def signatures() -> dict[str, Any]:
    shown: dict[str, Any] = {"__all__": mien.__all__, "dir": [n for n in dir(mien) if not n.startswith("_")]}
    for name in mien.__all__:
        thing = getattr(mien, name)
        described = {"called": signature(thing), "doc": (inspect.getdoc(thing) or "").splitlines()}
        shown[name] = described | ({"members": members(thing)} if inspect.isclass(thing) else {})
    return shown


def array(values: Any) -> list[Any]:
    """Kind, shape, mean and spread of an array."""
    pixels = np.asarray(values)
    return [str(pixels.dtype), list(pixels.shape), float(pixels.mean()), float(pixels.std())]


def failure(call: Callable[[], object]) -> list[str]:
    try:
        return ["no error", repr(call())]
    except Exception as error:
        return [type(error).__name__, *(base.__name__ for base in type(error).__mro__[1:3]), str(error)]


def reading() -> dict[str, Any]:
    recognizer = mien.EmotionRecognizer()
    picture = mien.read_image(HOPPER)
    (face,) = recognizer.recognize(picture)
    result = recognizer.recognize(picture, source="a name")
    frames = recognizer.recognize_video(STORY, every=25)
    return {
        "face": repr(face),
        "face's dict": face.to_dict(),
        "result": repr(result),
        "result's dict": result.to_dict(),
        "rows": result.rows(),
        "two": [repr(one.box) for one in recognizer.recognize(TWO)],
        "all": [[one.emotion for one in faces] for faces in recognizer.recognize_batch([picture, picture])],
        "files": [repr(one) for one, _ in recognizer.recognize_files([TWO])],
        "frames": [one.to_dict() for one in frames],
        "read_faces": [one.to_dict() for one in recognizer.read_faces(picture, [face.face])],
        "annotated": array(mien.annotate(picture, [face])),
        "crop": array(mien.crop_face(picture, face.box)),
        "good": [face.is_good(0.1), face.is_good(1.0)],
        "explanations": [explained(one) for one in mien.explain(HOPPER, recognizer=recognizer)],
    }


def explained(one: mien.Explanation) -> dict[str, Any]:
    arrays = {name: array(getattr(one, name)) for name in ("crop", "heat", "region", "hidden")}
    return arrays | {"dict": one.to_dict(), "sentence": one.sentence(), "probability": one.probability}


def scoring() -> dict[str, Any]:
    dataset = mien.load_dataset("input/faces")
    classifier = mien.EmotionClassifier()
    report = mien.evaluate(classifier, dataset, head="fer2013")
    crops = dataset.split("train").images[:5]
    detector = mien.FaceDetector(size=320)
    found = detector.detect(TWO)
    return {
        "name": [dataset.name, dataset.labels, dataset.default_split(), dataset.fingerprint()],
        "splits": {
            name: [array(part.images), part.targets.tolist()] for name, part in dataset.splits.items()
        },
        "report": report.to_dict(),
        "text": report.to_text().splitlines(),
        "summary": report.summary(),
        "proba": classifier.predict_proba(crops).tolist(),
        "heads": {head: p.tolist() for head, p in classifier.predict_heads(crops).items()},
        "classified": [repr(one) for one in classifier.classify(crops)],
        "found": [repr(face) for face in found],
        "crops": [array(detector.crop(mien.read_image(TWO), face)) for face in found],
    }


def small_things() -> dict[str, Any]:
    box = mien.Box(1, 2, 11, 22)
    return {
        "box": [repr(box), box.width, box.height, box.center, box.iou(mien.Box(6, 2, 16, 22))],
        "emotions": [repr(one) for one in mien.Emotion],
        "parsed": [repr(mien.Emotion.parse(word)) for word in ("happiness", "Angry", "SURPRISED")],
        "quality": repr(mien.Quality(0.5, ("small",))),
        "models": [asdict(one) for one in mien.available_models()],
        "errors": sorted(names_below(mien.MienError)),
        "failures": [failure(call) for call in wrong_calls()],
    }


def wrong_calls() -> Iterable[Callable[[], object]]:
    return (
        lambda: mien.read_image("missing.jpg"),
        lambda: mien.read_image("input/mixed/text.jpg"),
        lambda: mien.read_image("input/mixed/cut.jpg"),
        lambda: mien.EmotionRecognizer("nobody"),
        lambda: mien.EmotionRecognizer(min_quality=2),
        lambda: mien.FaceDetector("nobody"),
        lambda: mien.load_dataset("input/empty"),
        lambda: mien.load_dataset("missing"),
        lambda: mien.Box(2, 2, 1, 1),
        lambda: mien.Emotion.parse("bored"),
        lambda: mien.Prediction({}),
        lambda: mien.explain(HOPPER, emotion="bored"),
        lambda: list(mien.EmotionRecognizer().recognize_video("missing.mp4")),
        lambda: mien.crop_face(np.zeros((4, 4), np.float64), mien.Box(0, 0, 2, 2)),
        lambda: mien.nonsense,
    )


def names_below(kind: type) -> set[str]:
    return {kind.__name__}.union(*(names_below(one) for one in kind.__subclasses__()))


def main() -> None:
    shown = signatures() if sys.argv[1] == "signatures" else {**reading(), **scoring(), **small_things()}
    print(json.dumps(shown, default=str))


if __name__ == "__main__":
    main()
