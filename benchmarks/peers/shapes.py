"""Networks of other projects' shapes with random weights, as ONNX files: python benchmarks/peers/shapes.py FOLDER

For speed alone. They are the layers that each project describes, not its weights, whose files it fetches itself:

- `deepface-48`: deepface's CNN for expressions, 48 x 48 grey (its models/demography/Emotion.py)
- `efficientnet-b0-224`: what EmotiEffLib's `enet_b0_8` models are built on, 224 x 224, 8 expressions
- `resnet50-224`: a usual choice of tutorials, 224 x 224, 7 expressions
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers


def deepface() -> keras.Model:
    """Five convolutions in three groups, two dense layers of 1,024."""
    return keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            layers.Conv2D(64, 5, activation="relu"),
            layers.MaxPooling2D(5, strides=2),
            *(layers.Conv2D(64, 3, activation="relu") for _ in range(2)),
            layers.AveragePooling2D(3, strides=2),
            *(layers.Conv2D(128, 3, activation="relu") for _ in range(2)),
            layers.AveragePooling2D(3, strides=2),
            layers.Flatten(),
            *(layers.Dense(1024, activation="relu") for _ in range(2)),
            layers.Dense(7, activation="softmax"),
        ]
    )


def on_base(base: keras.Model, classes: int) -> keras.Model:
    """A dense layer on a network without its top."""
    inputs = keras.Input((224, 224, 3))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(base(inputs)))


SHAPES = {
    "deepface-48": deepface,
    "efficientnet-b0-224": lambda: on_base(
        keras.applications.EfficientNetB0(
            include_top=False, weights=None, pooling="avg", input_shape=(224, 224, 3)
        ),
        8,
    ),
    "resnet50-224": lambda: on_base(
        keras.applications.ResNet50(
            include_top=False, weights=None, pooling="avg", input_shape=(224, 224, 3)
        ),
        7,
    ),
}


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in SHAPES.items():
        model = build()
        model(
            np.zeros((1, *model.input_shape[1:]), np.float32)
        )  # before the export: Keras leaves constants out else
        signature = [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="float32", name="pixels")]
        model.export(folder / f"{name}.onnx", format="onnx", input_signature=signature, verbose=False)
        print(f"{name}: {model.count_params():,} parameters")


if __name__ == "__main__":
    main()
