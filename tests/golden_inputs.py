"""The files that golden outputs are made from: portraits that packages ship, drawn clips, a small dataset."""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from clips import scene, story, write_clip
from conftest import HEADS, brightness_model
from numpy.typing import NDArray
from photographs import photographs
from pictures import astronaut, encode, grace_hopper, grace_hopper_path, pattern

LABELS = HEADS["expression"]


def make_generated(folder: Path) -> None:
    """`input/`: the same bytes every time, as far as the libraries are the same."""
    pictures, mixed = folder / "pictures", folder / "mixed"
    for part in (pictures / "deep", mixed, folder / "empty", folder / "frames"):
        part.mkdir(parents=True)
    shutil.copyfile(grace_hopper_path(), pictures / "hopper.jpg")
    shutil.copyfile(grace_hopper_path(), mixed / "hopper.jpg")
    portrait = encode(astronaut())
    contents = {
        "pictures/deep/astronaut.png": portrait,
        "pictures/deep/two.png": encode(scene((0, 60, 90), (1, 420, 110))),
        "pictures/deep/small.png": encode(cv2.resize(astronaut(), (170, 170), interpolation=cv2.INTER_AREA)),
        "blank.png": encode(np.full((80, 100, 3), 127, np.uint8)),
        "mixed/blank.png": encode(pattern()),
        "mixed/text.jpg": b"this is a text that somebody renamed\n",
        "mixed/cut.jpg": grace_hopper_path().read_bytes()[:20_000],
        "mixed/empty.png": b"",
        "text.mp4": b"this is a text that somebody renamed\n",
        "text.csv": b"this is a text that somebody renamed\n",
        "text.parquet": b"this is a text that somebody renamed\n",
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    # Lossless, so that every version of the encoder writes the same pictures.
    write_clip(folder / "story.mkv", islice(story(), 20, 70), codec="ffv1")
    slow = [scene((0, 200 + 10 * k, 90)) for k in range(4)]
    write_clip(folder / "slow.mkv", slow, codec="ffv1", times=[0.0, 0.5, 1.0, 1.5])
    for k, picture in enumerate(slow):
        (folder / "frames" / f"{k}.png").write_bytes(encode(picture))
    _write_dataset(folder / "faces")
    _write_model(folder / "brightness")


def _write_dataset(folder: Path) -> None:
    """Class folders, 28 images to train and 42 to test, with copies, an empty image, and a table of groups."""
    rng = np.random.default_rng(7)
    noise = iter(photographs(4 * len(LABELS), seed=3))
    groups = ["file,light"]
    for split, faces in (("train", 2), ("test", 4)):
        for number, label in enumerate(LABELS):
            place = folder / split / label
            place.mkdir(parents=True)
            for k in range(faces + 2):
                image = _face(number + k, rng) if k < faces else next(noise)
                (place / f"{k}.png").write_bytes(encode(image))
                groups.append(f"{split}/{label}/{k}.png,{'dark' if image.mean() < 110 else 'bright'}")
    (folder / "train" / "fear" / "0.png").write_bytes(encode(np.full((48, 48), 90, np.uint8)))
    for copy, original in (("train/sad/2.png", "test/sad/4.png"), ("test/happy/0.png", "test/angry/0.png")):
        shutil.copyfile(folder / original, folder / copy)
    (folder / "groups.csv").write_text("\n".join(groups) + "\n")


def _face(place: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(48, 48): one of two faces, cut a little differently each time, brighter or darker, with grain."""
    picture, x, y, side = (grace_hopper(), 150, 110, 230) if place % 2 else (astronaut(), 165, 60, 120)
    x, y = x + int(rng.integers(-side // 5, side // 5)), y + int(rng.integers(-side // 5, side // 5))
    cut = cv2.cvtColor(picture[y : y + side, x : x + side], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(cut, (48, 48), interpolation=cv2.INTER_AREA)
    grain = rng.normal(0, 6, small.shape)
    return (small * rng.uniform(0.5, 1.2) + grain).clip(0, 255).astype(np.uint8)


def _write_model(folder: Path) -> None:
    """A model that tells how bright a crop is, in the form that users have on their disks."""
    data = brightness_model(HEADS, "n", 48, "UINT8", "FLOAT", 0.002)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(data)
    settings = {
        "name": "brightness",
        "labels": LABELS,
        "outputs": HEADS,
        "input_size": 48,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(settings))


def take_real(folder: Path, data: Path) -> None:
    """`real/`: photographs, clips, a detector, and the first rows of FER2013's public test split."""
    import pyarrow.parquet as pq

    folder.mkdir()
    for name, ending in (("photos", "*.jpg"), ("videos", "*.mp4")):
        (folder / name).mkdir()
        for path in sorted((data / name).glob(ending)):
            shutil.copyfile(path, folder / name / path.name)
    for path in (data / "models").glob("*yunet*.onnx"):
        shutil.copyfile(path, folder / "yunet.onnx")
    table = pq.read_table(data / "fer2013" / "public_test.parquet")
    pq.write_table(table.slice(0, 300), folder / "part.parquet")
    pq.write_table(table.slice(0, 60), folder / "small.parquet")
