"""How fast mien is: the classifier next to the machine's arithmetic, and where a picture's time goes.

    python benchmarks/speed.py [PICTURE ...] [--model M] [--detector D] [--rounds N]

Every round measures everything once, in turn; a ratio is formed inside a round, so that a machine that gets
slower or faster while this runs does not change it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from startup import describe_machine, sample_portrait, spread

from mien import Box, EmotionClassifier, EmotionRecognizer, annotate, crop_face, read_image
from mien.benchmark import time_calls
from mien.models.registry import DEFAULT_DETECTOR, MODEL_FILE, resolve_model

_BATCH = 64
_SGEMM = 1024
_FACES = (60, 200, 600)  # sides of the boxes to crop: far, usual and near
_PAUSE = 0.1  # seconds
_WHOLE = "whole picture"
_COUNTED = ("Conv", "Gemm", "MatMul")


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description="Speed of the classifier and of whole pictures.")
    parser.add_argument("pictures", nargs="*", type=Path, help="default: Grace Hopper and the astronaut")
    parser.add_argument("--model", default="mien-s", help="default: %(default)s")
    parser.add_argument("--detector", default=DEFAULT_DETECTOR, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument(
        "--duration", type=float, default=0.5, help="seconds of a measurement; default: %(default)s"
    )
    args = parser.parse_args()

    recognizer = EmotionRecognizer(args.model, detector=args.detector)
    print(describe_machine())
    print(f"model {args.model}, detector {args.detector}, {args.rounds} rounds; median (least-greatest)")
    operations = multiply_adds(resolve_model(args.model) / MODEL_FILE)
    measure_classifier(recognizer.classifier, operations, args.rounds, args.duration)
    measure_pictures(recognizer, args.pictures or default_pictures(), args.rounds, args.duration)


def measure_classifier(classifier: EmotionClassifier, operations: int, rounds: int, seconds: float) -> None:
    """Print faces a second and latency, both next to sgemm, and the time that cropping takes."""
    random = np.random.default_rng(0)
    size = classifier.config.input_size
    faces = random.integers(0, 256, (_BATCH, size, size), np.uint8)
    scene = random.integers(0, 256, (1000, 1000, 3), np.uint8)
    left, right = random.random((2, _SGEMM, _SGEMM), np.float32)
    tasks: dict[str, Callable[[], object]] = {
        "sgemm": partial(np.matmul, left, right, out=np.empty_like(left)),
        "batch": partial(classifier.predict_proba, faces),
        "one": partial(classifier.predict_proba, faces[:1]),
    }
    for side in _FACES:
        box = Box(200.0, 200.0, 200.0 + side, 200.0 + side)
        tasks[f"crop {side}"] = partial(crop_face, scene, box, size=size)
    calls = interleave(tasks, rounds, seconds)
    times = {name: [statistics.median(part) for part in parts] for name, parts in calls.items()}

    # Operations a second: a multiply and an add are two, for sgemm as for the model.
    sgemm = [2 * _SGEMM**3 / t for t in times["sgemm"]]
    batch_share = [2 * operations * _BATCH / t / s for t, s in zip(times["batch"], sgemm, strict=True)]
    one_share = [2 * operations / t / s for t, s in zip(times["one"], sgemm, strict=True)]
    slowest = [1000 * float(np.quantile(part, 0.95)) for part in calls["one"]]
    print(f"\nClassifier: {operations / 1e6:.1f} M multiply-adds a face, faces of {size} x {size} pixels")
    _row(f"sgemm, {_SGEMM} x {_SGEMM} matrices", spread([s / 1e9 for s in sgemm], ".0f"), "GFLOP/s")
    _row(f"batch of {_BATCH}", spread([_BATCH / t for t in times["batch"]], ".0f"), "faces/s")
    _row("  its share of sgemm", spread([100 * s for s in batch_share], ".0f"), "%")
    _row("one face", spread([1000 * t for t in times["one"]], ".2f"), "ms")
    _row("  95 % of the calls within", spread(slowest, ".2f"), "ms")
    _row("  its share of sgemm", spread([100 * s for s in one_share], ".0f"), "%")
    for side in _FACES:
        crop = times[f"crop {side}"]
        ratio = [100 * c / t for c, t in zip(crop, times["one"], strict=True)]
        _row(f"crop a face of {side} pixels", spread([1e6 * t for t in crop], ".0f"), "µs")
        _row("  over one face's time", spread(ratio, ".1f"), "%")


def measure_pictures(
    recognizer: EmotionRecognizer, paths: Sequence[Path], rounds: int, seconds: float
) -> None:
    """Print the time of a whole picture, and of every stage with its share of that."""
    stages = {path: _stages(recognizer, path) for path in paths}
    tasks = {(path, stage): call for path, calls in stages.items() for stage, call in calls.items()}
    calls = interleave(tasks, rounds, seconds)
    for path, names in stages.items():
        times = {name: [1000 * statistics.median(part) for part in calls[path, name]] for name in names}
        picture = read_image(path)
        faces = len(recognizer.detector.detect(picture))
        height, width = picture.shape[:2]
        print(f"\n{path.name}: {width} x {height} pixels, {faces} face{'s' if faces != 1 else ''}")
        for name, parts in times.items():
            share = [100 * t / whole for t, whole in zip(parts, times[_WHOLE], strict=True)]
            _row(name, spread(parts, ".2f"), "ms", f"{spread(share, '.1f')} %")


def _stages(recognizer: EmotionRecognizer, path: Path) -> dict[str, Callable[[], object]]:
    """What `mien image --annotate` does to a picture except for writing files: all of it, and its parts."""
    picture = read_image(path)
    faces = recognizer.detector.detect(picture)
    margin, size = recognizer.detector.margin, recognizer.classifier.config.input_size

    def whole() -> object:
        pixels = read_image(path)
        return annotate(pixels, recognizer.recognize(pixels))

    def classify() -> object:
        crops = [crop_face(picture, face.box, margin=margin, size=size) for face in faces]
        return recognizer.classifier.classify(crops)

    return {
        _WHOLE: whole,
        "  read": partial(read_image, path),
        "  detect": partial(recognizer.detector.detect, picture),
        "  crop and classify": classify,
        "  draw": partial(annotate, picture, recognizer.recognize(picture)),
    }


def multiply_adds(path: Path) -> int:
    """Multiplications, each with an addition, that an ONNX model's convolutions and matrices take a face."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True).graph
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:  # weights that are stored in half precision, or as int8 with a scale
        if node.op_type in ("Cast", "Mul", "DequantizeLinear") and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    total = 0
    for node in graph.node:
        if not any(kind in node.op_type for kind in _COUNTED):
            continue
        # The quantized and fused relatives of these have their weights elsewhere.
        weight = weights.get(node.input[1]) if node.op_type in _COUNTED else None
        out = shapes.get(node.output[0], [])
        # Every weight is used once at every place: a map's pixels, a matrix's rows. out[0] is the batch.
        places = out[2:] if node.op_type == "Conv" else out[1:-1]
        if weight is None or not out or 0 in places:
            sys.exit(f"{path}: the multiplications of {node.op_type} {node.name} cannot be counted")
        total += math.prod(weight) * math.prod(places)
    return total


def interleave(
    tasks: dict[Any, Callable[[], object]], rounds: int, seconds: float
) -> dict[Any, list[list[float]]]:
    """Task -> rounds -> the seconds of its calls, as many as fit into `seconds`, three at least."""
    calls: dict[Any, list[list[float]]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            # numpy's and onnxruntime's idle threads spin for a while, on the cores of the next one.
            time.sleep(_PAUSE)
            task()
            calls[name].append(time_calls(task, seconds))
    return calls


def default_pictures() -> list[Path]:
    """A portrait, and a larger scene with one face, where scikit-image (of the `dev` extra) is installed."""
    try:
        import skimage
    except ImportError:
        return [sample_portrait()]
    return [sample_portrait(), Path(skimage.__file__).with_name("data") / "astronaut.png"]


def _row(name: str, value: str, unit: str, share: str = "") -> None:
    print(f"{name:32}{value:>26} {unit:8}{share:>20}")


if __name__ == "__main__":
    main()
