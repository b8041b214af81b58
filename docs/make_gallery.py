"""Make docs/tutorial/gallery.md and its pictures: python docs/make_gallery.py

The sources are public-domain pictures that packages contain: Grace Hopper (matplotlib; US Navy), Eileen Collins
(scikit-image; NASA) and a cat (scikit-image; CC0).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from mien import (
    EmotionRecognizer,
    FaceEmotion,
    FrameResult,
    PictureFiles,
    annotate,
    read_image,
    sample_portrait,
)

PART = Path(__file__).parent / "tutorial"
SIDE = 480  # height of a picture of the page, in pixels

Picture = NDArray[np.uint8]


def hopper() -> Picture:
    """Grace Hopper, (600, 512, 3) RGB."""
    return read_image(sample_portrait())


def astronaut() -> Picture:
    """Eileen Collins, (512, 512, 3) RGB."""
    return np.asarray(data.astronaut(), np.uint8)


def together() -> Picture:
    """Both, side by side."""
    return np.concatenate([_high(hopper()), _high(astronaut())], axis=1)


def dark() -> Picture:
    """The astronaut with a tenth of the light."""
    return (astronaut() * 0.1).astype(np.uint8)


def small() -> Picture:
    """The astronaut reduced until her face has about 24 pixels."""
    return np.asarray(cv2.resize(astronaut(), (112, 112), interpolation=cv2.INTER_AREA), np.uint8)


def cat() -> Picture:
    """Chelsea the cat."""
    return np.asarray(data.chelsea(), np.uint8)


@dataclass(frozen=True)
class Scene:
    """One picture of the page: file name, title, caption, and the function that makes it."""

    name: str
    title: str
    words: str
    make: Callable[[], Picture]


SCENES = (
    Scene("hopper", "A portrait", "Grace Hopper, US Navy, public domain.", hopper),
    Scene("astronaut", "A face in a scene", "Eileen Collins, NASA, public domain.", astronaut),
    Scene("together", "More than one", "Each face gets its own box and probabilities.", together),
    Scene("dark", "Too dark", "The same astronaut with a tenth of the light.", dark),
    Scene("small", "Small", "The same picture with 112 pixels per side, enlarged here.", small),
    Scene(
        "cat",
        "No face",
        "If there is no face, the result is an empty list, never an error. Chelsea the cat, CC0.",
        cat,
    ),
)

CHARTED = ("hopper", "astronaut")


def make(folder: Path) -> str:
    """Write the pictures into `folder`/gallery.

    Returns:
        The page, Markdown.
    """
    recognizer = EmotionRecognizer()
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    parts = [_HEAD]
    for scene in SCENES:
        picture = scene.make()
        faces = recognizer.recognize(picture)
        drawn = Image.fromarray(_high(annotate(picture, faces)))
        drawn.save(folder / "gallery" / f"{scene.name}.jpg", quality=85, optimize=True)
        parts.append(_section(scene, faces))
        if scene.name in CHARTED:
            height, width = picture.shape[:2]
            result = FrameResult(scene.name, width, height, tuple(faces), labels=recognizer.labels)
            for chart in PictureFiles(chart=folder / "gallery").draw(picture, result):
                Image.open(chart).quantize(128).save(chart, optimize=True)  # a third of the size
                parts.append(f"![The probabilities of the seven expressions as bars](gallery/{chart.name})\n")
    return "\n".join(parts)


_HEAD = """# Gallery

mien's results on public-domain pictures, with the shipped model and the default detector. This command made the page:

<!-- not run: writes into the sources -->

    python docs/make_gallery.py
"""


def _section(scene: Scene, faces: list[FaceEmotion]) -> str:
    rows = [
        f"| {number} | {face.emotion} | {face.confidence:.2f} | {'yes' if face.prediction.uncertain else ''} |"
        f" {', '.join(face.quality.issues)} |"
        for number, face in enumerate(faces, 1)
    ]
    head = ["| face | emotion | confidence | uncertain | quality |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *rows]) if rows else "`recognize` returns `[]`."
    picture = f"![{scene.title}: {scene.words}](gallery/{scene.name}.jpg)"
    return f"## {scene.title}\n\n{scene.words}\n\n{picture}\n\n{table}\n"


def _high(picture: Picture) -> Picture:
    """Scaled to a height of SIDE pixels."""
    height, width = picture.shape[:2]
    size = (round(width * SIDE / height), SIDE)
    way = cv2.INTER_AREA if height > SIDE else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PART
    (target / "gallery.md").write_text(make(target), encoding="utf-8")
