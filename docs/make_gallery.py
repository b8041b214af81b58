"""Makes the pictures in docs/gallery and the page docs/gallery.md: python docs/make_gallery.py

From pictures in the public domain that packages carry: Grace Hopper (matplotlib; US Navy), Eileen Collins
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

from mien import EmotionRecognizer, FrameResult, PictureFiles, annotate, read_image, sample_portrait

DOCS = Path(__file__).parent
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
    """The astronaut at a tenth of the light."""
    return (astronaut() * 0.1).astype(np.uint8)


def small() -> Picture:
    """The astronaut so small that her face has some 24 pixels."""
    return np.asarray(cv2.resize(astronaut(), (112, 112), interpolation=cv2.INTER_AREA), np.uint8)


def cat() -> Picture:
    """Chelsea the cat."""
    return np.asarray(data.chelsea(), np.uint8)


@dataclass(frozen=True)
class Scene:
    """One picture of the page: the file's name, what is said of it, and who makes it."""

    name: str
    title: str
    words: str
    make: Callable[[], Picture]


SCENES = (
    Scene("hopper", "A portrait", "Grace Hopper, US Navy, public domain.", hopper),
    Scene("astronaut", "A face in a scene", "Eileen Collins, NASA, public domain.", astronaut),
    Scene("together", "More than one", "Each face is boxed and read by itself.", together),
    Scene("dark", "Too dark", "The same astronaut at a tenth of the light.", dark),
    Scene("small", "Small", "The same, 112 pixels a side, enlarged here.", small),
    Scene("cat", "No face", "No face is an empty list, never an error. Chelsea the cat, CC0.", cat),
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
        result = recognizer.recognize(picture, source=scene.name)
        drawn = Image.fromarray(_high(annotate(picture, result)))
        drawn.save(folder / "gallery" / f"{scene.name}.jpg", quality=85, optimize=True)
        parts.append(_section(scene, result))
        if scene.name in CHARTED:
            for chart in PictureFiles(chart=folder / "gallery").draw(picture, result):
                Image.open(chart).quantize(128).save(chart, optimize=True)  # a third of the size
                parts.append(f"![The probabilities of the seven expressions as bars](gallery/{chart.name})\n")
    return "\n".join(parts)


_HEAD = """# Gallery

What mien makes of pictures that everybody may use. This page and its pictures are made by
`python docs/make_gallery.py`, with the shipped model and the default detector.
"""


def _section(scene: Scene, faces: FrameResult) -> str:
    rows = [
        f"| {number} | {face.emotion} | {face.confidence:.2f} | {'yes' if face.prediction.uncertain else ''} |"
        f" {face.quality.score:.2f} {', '.join(face.quality.issues)}".rstrip()
        + " |"
        for number, face in enumerate(faces, 1)
    ]
    head = ["| face | emotion | confidence | uncertain | quality |", "|---|---|---|---|---|"]
    table = "\n".join([*head, *rows]) if rows else "`recognize` finds no face."
    picture = f"![{scene.title}: {scene.words}](gallery/{scene.name}.jpg)"
    return f"## {scene.title}\n\n{scene.words}\n\n{picture}\n\n{table}\n"


def _high(picture: Picture) -> Picture:
    """Scaled to a height of SIDE pixels."""
    height, width = picture.shape[:2]
    size = (round(width * SIDE / height), SIDE)
    way = cv2.INTER_AREA if height > SIDE else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    (target / "gallery.md").write_text(make(target), encoding="utf-8")
