"""A corpus of odd but valid inputs: each is read as what it shows, as an independent reader or its maker says."""

from __future__ import annotations

from pathlib import Path

import av
import corpus
import cv2
import numpy as np
import PIL
import pytest
from corpus_data import faces, members, targets

from mien.batch.reading import read_entries
from mien.batch.sources import list_entries
from mien.data.load import load_dataset
from mien.images.read import read_image
from mien.labels import LABELS
from mien.video.reader import read_video

# Their makers and the independent readers are libraries, too: earlier ones know less, and some of them crash.
NEEDED = {av: 18, cv2: 4, PIL: 12}
OLD = [module.__name__ for module, least in NEEDED.items() if int(module.__version__.split(".")[0]) < least]
if OLD or tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13):
    pytest.skip("the corpus is of today's packages", allow_module_level=True)


def test_there_are_enough() -> None:
    counts = [len(corpus.pictures()), len(corpus.clips()), len(corpus.datasets())]
    assert counts[0] >= 600 and counts[1] >= 60 and counts[2] >= 90, counts


@pytest.mark.parametrize("name", corpus.pictures())
def test_a_picture_is_what_it_shows(name: str) -> None:
    case = corpus.pictures()[name]
    picture = read_image(case.data)
    assert picture.shape == case.answer.shape and picture.dtype == np.uint8
    away = np.abs(picture.astype(int) - case.answer)
    assert away.max() <= case.most
    assert not case.mean or away.mean() <= case.mean


@pytest.mark.parametrize("name", corpus.clips())
def test_a_clip_is_what_went_in(name: str, tmp_path: Path) -> None:
    case = corpus.clips()[name]
    frames = list(read_video(case.write(tmp_path)))
    shown = case.shown()
    assert [frame.index for frame in frames] == list(range(len(shown)))
    assert [frame.time for frame in frames] == pytest.approx(case.times, abs=0.0011)
    for frame, picture in zip(frames, shown, strict=True):
        assert frame.picture.shape == picture.shape
        assert np.abs(frame.picture.astype(int) - picture).mean() <= case.mean


@pytest.mark.parametrize("name", corpus.datasets())
def test_a_dataset_is_what_was_packed(name: str, tmp_path: Path) -> None:
    case = corpus.datasets()[name]
    path = tmp_path / case.file
    path.write_bytes(case.data)
    split = load_dataset(path).splits["train"]
    found = {LABELS[target]: image for target, image in zip(split.targets, split.images, strict=True)}
    for target, face in zip(targets(), faces(), strict=True):
        np.testing.assert_array_equal(found[LABELS[target]], face)
    if case.lists:
        entries = [entry for entry in list_entries([str(path)]) if "__MACOSX" not in entry.name]
        assert [data for _, data in read_entries(entries)] == list(members().values())
