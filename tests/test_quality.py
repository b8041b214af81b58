"""Why a face should not be trusted: each reason where it holds, none on good pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, grace_hopper, grace_hopper_path
from typed import run

from mien.faces.detector import FaceDetector
from mien.faces.likeness import likeness
from mien.faces.quality import MAX_GREY, MIN_GREY, assess_quality, sharpness
from mien.images import corruptions
from mien.images.crop import crop_face
from mien.models.classifier import EmotionClassifier
from mien.recognition import EmotionRecognizer
from mien.results import Box
from mien.video.face_tracker import FaceTracker

LARGE = Box(0, 0, 100, 120)

WORSE = {
    "blurred": lambda crop, level: cv2.GaussianBlur(crop, (0, 0), 0.5 + level),
    "dark": lambda crop, level: (crop * 0.4**level).astype(np.uint8),
    "bright": lambda crop, level: (255 - (255 - crop) * 0.4**level).astype(np.uint8),
    "pale": lambda crop, level: (128 + (crop.astype(float) - 128) * 0.4**level).astype(np.uint8),
    "moved": lambda crop, level: corruptions.move(crop, shift=(0.2 * level, 0.2 * level)),
}


def first_reason(image: np.ndarray, box: Box) -> str | None:
    return next(iter(assess_quality(image, box).issues), None)


def crops() -> list[np.ndarray]:
    return [crop_face(grace_hopper(), GRACE_HOPPER_FACE), crop_face(astronaut(), ASTRONAUT_FACE)]


def test_good_portraits_have_no_fault() -> None:
    assert [first_reason(crop, LARGE) for crop in crops()] == [None, None]


@pytest.mark.parametrize(
    ("box", "reason"),
    [(Box(0, 0, 23.9, 60), "small"), (Box(0, 0, 60, 23.9), "small"), (Box(-10, 5, 14, 29), None)],
)
def test_small_is_the_shorter_side_in_the_picture(box: Box, reason: str | None) -> None:
    assert first_reason(crops()[0], box) == reason


@pytest.mark.parametrize("crop", crops())
def test_dark_bright_and_blurred(crop: np.ndarray) -> None:
    dark = (crop * (0.8 * MIN_GREY / crop.mean())).astype(np.uint8)
    bright = (255 - (255 - crop) * (0.8 * (255 - MAX_GREY) / (255 - crop.mean()))).astype(np.uint8)
    assert first_reason(dark, LARGE) == "dark"
    assert first_reason(bright, LARGE) == "bright"
    assert first_reason(cv2.GaussianBlur(crop, (0, 0), 2), LARGE) == "blurred"
    assert first_reason(cv2.GaussianBlur(crop, (0, 0), 0.6), LARGE) is None


def test_a_crop_without_any_contrast_is_blurred() -> None:
    assert first_reason(np.full((48, 48), 128, np.uint8), LARGE) == "blurred"
    assert sharpness(np.full((48, 48), 128, np.uint8)) == 0


@pytest.mark.parametrize("crop", crops())
def test_sharpness_does_not_depend_on_light_and_contrast_but_on_detail(crop: np.ndarray) -> None:
    assert sharpness((crop * 0.5 + 60).astype(np.uint8)) == pytest.approx(sharpness(crop), rel=0.1)
    blurred = [sharpness(cv2.GaussianBlur(crop, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)


def test_colour_crops_of_any_size_are_assessed_alike() -> None:
    face = grace_hopper()[118:330, 160:372]
    assert first_reason(face, LARGE) is None
    assert first_reason((face * 0.05).astype(np.uint8), LARGE) == "dark"
    with pytest.raises(TypeError):
        first_reason(np.zeros((48, 48)), LARGE)  # type: ignore[arg-type]


class TestScore:
    @pytest.mark.parametrize("crop", crops())
    def test_good_portraits_are_good(self, crop: np.ndarray) -> None:
        assert 0.75 < assess_quality(crop, LARGE).score <= 1

    @pytest.mark.parametrize("crop", crops())
    @pytest.mark.parametrize("how", sorted(WORSE))
    def test_it_falls_the_worse_the_crop_is(self, how: str, crop: np.ndarray) -> None:
        scores = [assess_quality(WORSE[how](crop, level), LARGE).score for level in (0, 1.5, 3)]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] - scores[2] > 0.05

    def test_it_falls_with_the_size_in_the_picture(self) -> None:
        scores = [assess_quality(crops()[0], Box(0, 0, side, side)).score for side in (100, 40, 20, 8)]
        assert scores[0] == scores[1] > scores[2] > scores[3] > 0

    def test_every_reason_is_told_and_the_first_is_the_quality(self) -> None:
        small = Box(0, 0, 10, 10)
        dark, blurred = (crops()[0] * 0.1).astype(np.uint8), cv2.GaussianBlur(crops()[0], (0, 0), 3)
        assert assess_quality(dark, small).issues[:2] == ("small", "dark")
        assert assess_quality(blurred, small).issues[:2] == ("small", "blurred")
        assert first_reason(dark, small) == "small"

    def test_what_is_no_face_is_unclear(self) -> None:
        from skimage import data

        assert assess_quality(data.brick()[:170, :170], LARGE).issues == ("unclear",)

    @pytest.mark.parametrize("value", [0, 128, 255])
    def test_nothing_at_all_has_a_low_score(self, value: int) -> None:
        found = assess_quality(np.full((48, 48), value, np.uint8), Box(0, 0, 1, 1))
        assert 0 <= found.score < 0.3 and "blurred" in found.issues

    def test_faces_look_more_like_faces_than_textures_and_noise(self) -> None:
        from skimage import data

        things = [data.brick()[:200, :200], data.grass()[:200, :200], data.gravel()[:200, :200]]
        things.append(np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8))
        faces = [likeness(crop) for crop in crops()]
        assert min(faces) > 0 > -1 > max(likeness(np.asarray(thing, np.uint8)) for thing in things)
        assert likeness(crops()[0][::-1]) < likeness(crops()[0])  # upside down

    def test_light_and_mirroring_hardly_change_how_much_it_is_a_face(self) -> None:
        crop = crops()[0]
        assert likeness((crop * 0.5).astype(np.uint8)) == pytest.approx(likeness(crop), abs=1.5)
        assert likeness(np.ascontiguousarray(crop[:, ::-1])) == pytest.approx(likeness(crop), abs=3)


class TestLeavingOut:
    @pytest.fixture(scope="class")
    @classmethod
    def picture(cls) -> np.ndarray:
        """A good portrait beside a dark and blurred one."""
        poor = (cv2.GaussianBlur(grace_hopper(), (0, 0), 4) * 0.3).astype(np.uint8)
        return np.concatenate([grace_hopper(), poor], axis=1)

    @pytest.fixture(scope="class")
    @classmethod
    def detector(cls) -> FaceDetector:
        return FaceDetector("haar")

    @pytest.fixture(scope="class")
    @classmethod
    def least(cls, picture: np.ndarray, detector: FaceDetector) -> float:
        """A quality that one of the two faces has."""
        scores = [face.quality.score for face in EmotionRecognizer(detector=detector).recognize(picture)]
        assert len(scores) == 2 and abs(scores[0] - scores[1]) > 0.1
        return sum(scores) / 2

    def test_poor_faces_are_filtered_and_counted(
        self, picture: np.ndarray, detector: FaceDetector, least: float
    ) -> None:
        recognizer = EmotionRecognizer(detector=detector, min_quality=least)
        (face,) = recognizer.recognize(picture)
        assert face.box.center[0] < 512 and face.is_good(least)
        result = recognizer.recognize(picture, source="two.png")
        assert (result.faces, result.filtered) == ((face,), 1)
        assert "filtered" not in result.rows()[0] and len(result.rows()) == 1

    def test_none_are_filtered_by_default(self, picture: np.ndarray, detector: FaceDetector) -> None:
        result = EmotionRecognizer(detector=detector).recognize(picture, source="two.png")
        assert (len(result.faces), result.filtered) == (2, 0)
        assert all(0 < face.quality.score <= 1 for face in result)

    def test_in_a_clip(self, picture: np.ndarray, detector: FaceDetector, least: float) -> None:
        face_tracker = FaceTracker(EmotionRecognizer(detector=detector, min_quality=least))
        for number in range(3):
            result = face_tracker.follow(picture, 0.04 * number, frame=number)
            assert (len(result.faces), result.filtered) == (1, 1)
            assert result.faces[0].smoothed is not None and result.faces[0].quality.score >= least

    @pytest.mark.parametrize("least", [-0.1, 1.1, float("nan")])
    def test_a_quality_out_of_range(self, least: float) -> None:
        with pytest.raises(ValueError, match=r"min_quality .*: expected 0, for every face, to 1"):
            EmotionRecognizer(min_quality=least)


class TestCommand:
    def test_a_picture_whose_faces_are_filtered_keeps_a_row(self) -> None:
        done = run("image", grace_hopper_path(), "--min-quality", "1", "--format", "csv")
        assert done.returncode == 0
        header, row = done.stdout.splitlines()
        assert dict(zip(header.split(","), row.split(","), strict=True))["emotion"] == ""
        assert done.stderr == "mien: faces filtered out, of a quality below 1: 1\n"

    @pytest.mark.parametrize("least", ["nan", "1.5"])
    def test_a_quality_out_of_range_is_wrong_usage(self, least: str) -> None:
        done = run("image", grace_hopper_path(), "--min-quality", least)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--min-quality" in done.stderr

    def test_batch(self, tmp_path: Path) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        pytest.importorskip("fsspec")
        (tmp_path / "in").mkdir()
        shutil.copy(grace_hopper_path(), tmp_path / "in")
        for least, faces in (("0", 1), ("1", 0)):
            to = tmp_path / f"out{least}"
            done = run("batch", tmp_path / "in", "--output", to, "--min-quality", least, "--workers", "1")
            assert done.returncode == 0, done.stderr
            rows = parquet.read_table(next(to.glob("*.parquet"))).to_pylist()
            assert sum(row["emotion"] is not None for row in rows) == faces
        done = run("batch", tmp_path / "in", "--output", tmp_path / "out1", "--min-quality", "0.5")
        assert done.returncode == 2 and "min_quality 1.0" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="needs the data folder that MIEN_DATA names")
def test_the_model_is_more_often_right_where_the_score_is_higher() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(Path(os.environ["MIEN_DATA"], "fer2013", "public_test.parquet")).slice(0, 400)
    encoded = (np.frombuffer(row["bytes"], np.uint8) for row in table["image"].to_pylist())
    images = [np.asarray(cv2.imdecode(e, cv2.IMREAD_GRAYSCALE), np.uint8) for e in encoded]
    worse = [WORSE[how](one, level) for how in ("blurred", "dark") for level in (0, 2) for one in images]
    scores = np.array([assess_quality(crop, LARGE).score for crop in worse])
    right = (
        EmotionClassifier().predict_proba(worse, head="fer2013").argmax(axis=1)
        == 4 * table["label"].to_pylist()
    )
    fifths = [right[part].mean() for part in np.array_split(np.argsort(scores), 5)]
    assert fifths[-1] - fifths[0] > 0.15 and fifths[-1] > fifths[2] > fifths[0]


@pytest.mark.slow
@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="needs the data folder that MIEN_DATA names")
def test_hardly_any_training_picture_is_flagged() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(Path(os.environ["MIEN_DATA"], "fer2013", "train.parquet"), columns=["image"])
    encoded = (np.frombuffer(row["image"]["bytes"], np.uint8) for row in table.slice(0, 4000).to_pylist())
    flagged = [first_reason(cv2.imdecode(e, cv2.IMREAD_GRAYSCALE), LARGE) is not None for e in encoded]
    assert 0 < np.mean(flagged) < 0.01
