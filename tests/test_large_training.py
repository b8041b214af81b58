"""Training on images in a file: batch by batch, and to the same result as on images in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import SETTINGS, WITHOUT_COPY, faces, scores

from mien.data.dataset import Dataset
from mien.data.load import load_dataset
from mien.evaluation.scores import evaluate
from mien.labels import LABELS
from mien.models.classifier import EmotionClassifier
from mien.training.augmentation import center_view
from mien.training.batches import VALIDATION_BATCH, ValidationBatches, as_batch
from mien.training.splits import hold_out
from mien.training.targets import heads_for, targets_for
from mien.training.train import train

pytestmark = [pytest.mark.slow, WITHOUT_COPY]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without a validation split."""
    root = tmp_path_factory.mktemp("data") / "faces"
    split = faces(105)
    for i, (image, target) in enumerate(zip(split.images, split.targets, strict=True)):
        folder = root / LABELS[target]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return root


@pytest.mark.slow
def test_a_run_is_the_same_from_a_file(tree: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=2)
    inside, outside = load_dataset(tree), load_dataset(tree, memory=0)
    assert isinstance(outside.split("train").images, np.memmap)
    for name, dataset in (("inside", inside), ("outside", outside)):
        train(dataset, tmp_path / name, settings)
    for file in ("train.json", "history.csv"):
        ours, theirs = ((tmp_path / name / file).read_bytes() for name in ("outside", "inside"))
        assert ours == theirs, file
    assert scores(tmp_path / "outside") == scores(tmp_path / "inside")
    classifier = EmotionClassifier(tmp_path / "inside")
    assert evaluate(classifier, outside) == evaluate(classifier, inside)


def test_holding_out_from_a_file_goes_into_files(tree: Path) -> None:
    inside, outside = (hold_out(load_dataset(tree, memory=memory)) for memory in (10**9, 0))
    assert all(isinstance(split.images, np.memmap) for split in outside.splits.values())
    assert outside.fingerprint() == inside.fingerprint()


@pytest.mark.parametrize("n", [1, VALIDATION_BATCH, VALIDATION_BATCH + 1, 2 * VALIDATION_BATCH + 44])
def test_batches_of_validation_are_the_whole_split(n: int) -> None:
    split = faces(n)
    heads = heads_for(Dataset("fer2013", LABELS, {"train": split}))
    expected = as_batch(center_view(split.images, SETTINGS.view), targets_for(split, heads, 0.4))
    data = ValidationBatches(split, heads, SETTINGS, SETTINGS.view)
    batches = [data[i] for i in range(len(data))]
    assert all(len(batch[0]) <= VALIDATION_BATCH for batch in batches)
    assert np.array_equal(np.concatenate([batch[0] for batch in batches]), expected[0])
    for part in (1, 2):
        for head in heads:
            got = np.concatenate([batch[part][head] for batch in batches])
            assert np.array_equal(got, expected[part][head])


def test_targets_of_some_rows() -> None:
    split = faces(30)
    heads = heads_for(Dataset("fer2013", LABELS, {"train": split}))
    whole = targets_for(split, heads, 0.4)
    for rows in (slice(5, 17), np.array([7, 3, 3, 29])):
        for head, values in targets_for(split, heads, 0.4, rows).items():
            assert np.array_equal(values, whole[head][rows])
