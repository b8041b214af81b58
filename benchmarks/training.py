"""How fast training pictures come: mien's batches next to Keras' flow_from_directory, alone and into a network.

    python benchmarks/training.py TREE [--network N] [--rounds N] [--duration S]

TREE is a tree of class folders, `train/<class>/*` or `<class>/*`. Every round measures everything once, in turn;
a ratio is formed inside a round. Both sides change the pictures in the same ways and by the same amounts
(rotation, zoom, shift, flip, brightness), in batches of 64 of 48 x 48 grey, and feed the same compiled network.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from startup import describe_machine, spread

import mien.training  # noqa: F401 before Keras: it keeps TensorFlow quiet
from mien.data.dataset import Split
from mien.data.load import load_dataset
from mien.training.augmentation import Augmentation
from mien.training.batches import training_batches
from mien.training.config import TrainConfig
from mien.training.networks import NETWORKS, build_model

import keras  # isort: skip

Batches = Callable[[], Iterator[Any]]

_BATCH = 64
_WARM_UP = 12  # batches that are not counted: mien's threads have nine ready before the first
_LEAST = 20  # batches that are, however slow
_REFERENCE = "Keras, augmented"
_TINY = "two-layers"
_CHANGES = Augmentation(rotation=12, scale=0.15, shift=0.08, flip=0.5, light=0.3, erasing=0, mixup=0)


def main() -> None:
    """Measure, and print a table for the pipelines alone and one for each network."""
    NETWORKS[_TINY] = two_layers
    parser = argparse.ArgumentParser(description="Images a second of training pictures and of training.")
    parser.add_argument("data", type=Path, metavar="TREE", help="train/<class>/* or <class>/*")
    parser.add_argument("--network", choices=NETWORKS, default="mien-s", help="default: %(default)s")
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16, all pipelines")
    parser.add_argument("--pairs", type=int, default=0, help="only: file next to memory, so many times")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--duration", type=float, default=2, help="seconds of a measurement; default: %(default)s"
    )
    args = parser.parse_args()

    print(describe_machine())
    pipelines, labels = sources(args.data)
    if args.pairs:
        compare_file_with_memory(pipelines, Fit(compiled(_TINY, labels, args.mixed_precision)), args.pairs)
        return
    print(f"{args.rounds} rounds; images/s and times {_REFERENCE}: median (least-greatest)")
    measure("pipeline alone", pipelines, pull, args.rounds, args.duration)
    for network in dict.fromkeys((_TINY, args.network)):
        model = compiled(network, labels, args.mixed_precision)
        fit = Fit(model)
        title = f"{network}, {model.count_params() / 1e6:.2f} M parameters"
        measure(title, {"no pipeline": same_batch(pipelines), **pipelines}, fit, args.rounds, args.duration)


def compare_file_with_memory(pipelines: dict[str, Batches], fit: Fit, pairs: int) -> None:
    """Print the speed of training from a file over that from memory: the tiny network, pairs in random order."""
    random = np.random.default_rng(0)
    ratios = []
    for _ in range(pairs):
        order = random.permutation(["mien, in memory", "mien, in a file"])
        seconds = {name: fit(pipelines[name](), 100) for name in order}
        ratios.append(seconds["mien, in memory"] / seconds["mien, in a file"])
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"{_TINY}, in a file over in memory, {pairs} pairs: {middle:.2f} (quartiles {low:.2f}-{high:.2f})")


def sources(tree: Path) -> tuple[dict[str, Batches], int]:
    """The pipelines by name, and how many classes there are."""
    folder = tree / "train" if (tree / "train").is_dir() else tree
    splits: dict[str, Split] = {}
    for name, memory in (("mien, in memory", 2**40), ("mien, in a file", 0)):
        start = time.perf_counter()
        dataset = load_dataset(folder, memory=memory)
        seconds = time.perf_counter() - start
        splits[name] = dataset.split()
        n = len(splits[name])
        print(f"{name}: {n} images read once, in {seconds:.1f} s ({n / seconds:.0f} images/s)")
    pipelines = {name: mien_batches(split, dataset.labels) for name, split in splits.items()}
    pipelines[_REFERENCE] = keras_batches(folder, n, augmented=True)
    pipelines["Keras, plain"] = keras_batches(folder, n, augmented=False)
    classes = sum(path.is_dir() for path in folder.iterdir())
    if classes != len(dataset.labels):
        sys.exit(f"{folder}: {classes} folders, expected one for each of {len(dataset.labels)} labels")
    return pipelines, classes


def mien_batches(split: Split, labels: tuple[str, ...]) -> Batches:
    """The batches of `mien train`, of whole 48 x 48 pictures."""
    config = TrainConfig(batch_size=_BATCH, view=48, augmentation=_CHANGES)

    def batches() -> Iterator[Any]:
        for pixels, targets, _ in training_batches(split, {"labels": labels}, config, first_epoch=0):
            yield pixels, targets["labels"]

    return batches


def keras_batches(folder: Path, expected: int, *, augmented: bool) -> Batches:
    """The generator of the FER2013 tutorials."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    changes = {
        "rotation_range": _CHANGES.rotation,
        "zoom_range": _CHANGES.scale,
        "width_shift_range": _CHANGES.shift,
        "height_shift_range": _CHANGES.shift,
        "horizontal_flip": True,
        "brightness_range": (1 - _CHANGES.light, 1 + _CHANGES.light),
    }
    generator = ImageDataGenerator(**(changes if augmented else {}))
    flow = generator.flow_from_directory(
        folder, target_size=(48, 48), color_mode="grayscale", batch_size=_BATCH, class_mode="categorical"
    )
    if flow.samples != expected:
        sys.exit(f"{folder}: Keras finds {flow.samples} pictures, mien {expected}")
    return lambda: flow


def same_batch(pipelines: dict[str, Batches]) -> Batches:
    """One batch for ever: how fast the network itself is."""
    batch = next(pipelines["mien, in memory"]())

    def batches() -> Iterator[Any]:
        while True:
            yield batch

    return batches


def pull(batches: Iterator[Any], count: int) -> float:
    """Seconds for a number of batches after those of the warm-up."""
    for _ in range(_WARM_UP):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - start


class Fit(keras.callbacks.Callback):
    """Seconds for a number of batches through `model.fit`, called like `pull`."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self._fitted = model
        self._start = 0.0

    def __call__(self, batches: Iterator[Any], count: int) -> float:
        """Train, and time all batches after those of the warm-up."""
        self._fitted.fit(batches, steps_per_epoch=_WARM_UP + count, verbose=0, callbacks=[self])
        return time.perf_counter() - self._start

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin to count after the warm-up."""
        if batch == _WARM_UP - 1:
            self._start = time.perf_counter()


def measure(
    title: str,
    pipelines: dict[str, Batches],
    run: Callable[[Iterator[Any], int], float],
    rounds: int,
    seconds: float,
) -> None:
    """Print the images a second of every pipeline, and the ratio to the reference of the same round."""
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    counts = dict.fromkeys(pipelines, _LEAST)
    for i in range(rounds + 1):  # the first tells how many batches fit into the time
        for name, source in pipelines.items():
            batches = source()
            rate = counts[name] / run(batches, counts[name])
            if close := getattr(batches, "close", None):
                close()
            if i == 0:
                counts[name] = max(_LEAST, int(seconds * rate))
            else:
                rates[name].append(rate * _BATCH)
    print(f"\n{title:36}{'images/s':>24}{'times ' + _REFERENCE:>28}")
    for name, values in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(values, rates[_REFERENCE], strict=True)]
        print(f"  {name:34}{spread(values, '.0f'):>24}{spread(ratios, '.2f'):>28}", flush=True)


def compiled(network: str, labels: int, mixed_precision: bool) -> keras.Model:
    """A network with one head, ready for `fit`."""
    model = build_model(network, {"labels": labels}, view=48, mixed_precision=mixed_precision)
    model = keras.Model(model.input, model.output["labels"])
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def two_layers(x: Any) -> Any:
    """A network so small that the pipeline is the limit."""
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, activation="relu")(x)
    return keras.layers.GlobalAveragePooling2D()(x)


if __name__ == "__main__":
    np.random.seed(0)  # noqa: NPY002 the global generator is the one that Keras' takes its changes from
    main()
