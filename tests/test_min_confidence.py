"""A threshold of one's own for `uncertain`: of the classifier, the recognizer, and the commands."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typed
from clips import write_clip
from pictures import grace_hopper, grace_hopper_path

from mien import EmotionClassifier, EmotionRecognizer, run_batch

LEVELS = ((0.0, False), (1.0, True))
"""A threshold, and whether an answer that is not certain is below it."""


class TestClassifier:
    def test_it_replaces_the_models_own(self, write_model: Callable[..., Path]) -> None:
        # The mean 40 is label 2 itself; 50 lies between 2 and 3, and both get one half.
        faces = [np.full((48, 48), value, np.uint8) for value in (40, 50)]
        folder = write_model(uncertain_below=0.6)
        expected = ((None, [False, True]), (0.4, [False, False]), (0, [False, False]), (1, [True, True]))
        for least, flags in expected:
            model = EmotionClassifier(folder, min_confidence=least)
            assert [one.uncertain for one in model.classify(faces)] == flags
            assert model.min_confidence == (0.6 if least is None else least)
            assert model.config.uncertain_below == 0.6

    @pytest.mark.parametrize("least", [-0.1, 1.1, math.nan, math.inf])
    def test_what_is_no_threshold(self, least: float, tmp_path: Path) -> None:
        told = r"min_confidence .*: expected 0, for no answer flagged as uncertain, to 1"
        with pytest.raises(ValueError, match=told):
            EmotionClassifier(min_confidence=least)
        with pytest.raises(ValueError, match=told):
            EmotionRecognizer(min_confidence=least)
        with pytest.raises(ValueError, match=told):
            run_batch([str(tmp_path)], tmp_path / "out", min_confidence=least)


class TestRecognizer:
    def test_from_the_confidence_on_it_is_not_uncertain(self) -> None:
        confidence = EmotionRecognizer().recognize(grace_hopper())[0].confidence
        for least, flag in (*LEVELS, (confidence, False), (confidence + 1e-4, True)):
            (face,) = EmotionRecognizer(min_confidence=least).recognize(grace_hopper())
            assert face.prediction.uncertain is flag
            assert face.confidence == confidence

    def test_a_classifier_has_its_own(self) -> None:
        with pytest.raises(ValueError, match=r"min_confidence=0\.5 together with an EmotionClassifier"):
            EmotionRecognizer(EmotionClassifier(), min_confidence=0.5)

    @pytest.mark.parametrize(("least", "flag"), LEVELS)
    def test_the_smoothed_answer_of_a_clip_too(self, least: float, flag: bool, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "clip.mp4", [grace_hopper()] * 3)
        for frame in EmotionRecognizer(min_confidence=least).recognize_video(clip):
            for face in frame:
                assert face.prediction.uncertain is face.smoothed.uncertain is flag


class TestCommands:
    @pytest.mark.parametrize(("least", "flag"), LEVELS)
    def test_image(self, least: float, flag: bool) -> None:
        done = typed.run("image", grace_hopper_path(), "--format", "csv", "--min-confidence", str(least))
        assert done.returncode == 0, done.stderr
        (row,) = csv.DictReader(io.StringIO(done.stdout))
        assert row["uncertain"].lower() == str(flag).lower()

    @pytest.mark.parametrize(("least", "flag"), LEVELS)
    def test_evaluate_on_photographs(self, least: float, flag: bool, tmp_path: Path) -> None:
        (tmp_path / "happy").mkdir()
        (tmp_path / "happy" / "a.jpg").write_bytes(grace_hopper_path().read_bytes())
        words = ("--find-faces", "--min-confidence", str(least), "--format", "json")
        values = json.loads(typed.run("evaluate", tmp_path, *words).stdout)
        assert values["uncertain"] == float(flag)
        assert values["selective_prediction"]["threshold"] == least

    @pytest.mark.slow
    def test_batch_keeps_rows_of_two_thresholds_apart(self, tmp_path: Path) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        pytest.importorskip("fsspec")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.jpg").write_bytes(grace_hopper_path().read_bytes())
        for least, flag in LEVELS:
            to = tmp_path / f"out{least}"
            words = ("--output", to, "--workers", "1", "--min-confidence", str(least))
            assert typed.run("batch", tmp_path / "in", *words).returncode == 0
            assert [
                row["uncertain"] for row in parquet.read_table(next(to.glob("*.parquet"))).to_pylist()
            ] == [flag]
        done = typed.run("batch", tmp_path / "in", "--output", tmp_path / "out1.0")
        assert done.returncode == 2
        assert "min_confidence 1.0, this run has min_confidence automatic" in done.stderr.replace("\n", " ")
        own = EmotionClassifier().min_confidence
        for more in ((), ("--min-confidence", str(own))):  # by its own threshold, and by the same one named
            done = typed.run("batch", tmp_path / "in", "--output", tmp_path / "own", "--workers", "1", *more)
            assert done.returncode == 0, done.stderr
