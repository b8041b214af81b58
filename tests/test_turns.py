"""Faces that lie on their side or upside down: `turns`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import astronaut, grace_hopper
from PIL import Image
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.errors import DetectorError
from mien.faces.align import tilt
from mien.faces.detector import FaceDetector
from mien.recognition import EmotionRecognizer

ANGLES = {1: -90, 2: 180, 3: 90}
"""Quarters that a picture is turned by to the left -> the tilt of an upright face in it, in degrees."""


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer(turns=True)


@pytest.mark.parametrize("picture", [grace_hopper(), astronaut()], ids=["portrait", "square"])
@pytest.mark.parametrize("quarters", ANGLES)
class TestAPhotographOnItsSide:
    def test_its_face_is_read_as_it_would_be_upright(
        self, recognizer: EmotionRecognizer, picture: NDArray[np.uint8], quarters: int
    ) -> None:
        (upright,) = recognizer.recognize(picture)
        (turned,) = recognizer.recognize(np.rot90(picture, quarters))
        assert turned.emotion == upright.emotion
        assert turned.probabilities == pytest.approx(upright.probabilities, abs=0.05)

    def test_box_and_landmarks_are_where_the_face_is(
        self, recognizer: EmotionRecognizer, picture: NDArray[np.uint8], quarters: int
    ) -> None:
        detector, (height, width) = recognizer.detector, picture.shape[:2]
        (face,) = detector.detect(picture)
        (turned,) = detector.detect(np.rot90(picture, quarters))
        assert turned.score == pytest.approx(face.score, abs=1e-5)
        assert tilt(turned) == pytest.approx((tilt(face) + ANGLES[quarters] + 180) % 360 - 180, abs=0.1)
        marks = np.zeros((height, width))  # the same turn, of one pixel
        for (x, y), (u, v) in zip(face.landmarks, turned.landmarks, strict=True):
            marks[:] = 0
            marks[int(y), int(x)] = 1
            row, column = np.argwhere(np.rot90(marks, quarters))[0]
            assert abs(row + 0.5 - v) <= 0.51 and abs(column + 0.5 - u) <= 0.51
        sides = (face.box.width, face.box.height)
        assert (turned.box.width, turned.box.height) == pytest.approx(
            sides[:: 1 if quarters == 2 else -1], abs=1e-3
        )

    def test_without_it_no_face_is_found(
        self, recognizer: EmotionRecognizer, picture: NDArray[np.uint8], quarters: int
    ) -> None:
        (turned,) = recognizer.detector.detect(np.rot90(picture, quarters))
        others = FaceDetector().detect(np.rot90(picture, quarters))
        assert all(face.box.iou(turned.box) < 0.2 and face.score < 0.8 for face in others)


def test_upright_and_turned_faces_of_one_picture_are_found_once_each() -> None:
    both = np.concatenate([astronaut(), np.rot90(astronaut())], axis=1)
    found = [face for face in FaceDetector(turns=True).detect(both) if face.score > 0.9]
    found.sort(key=lambda face: face.box.center)
    assert [abs(tilt(face)) < 45 for face in found] == [True, False]
    assert [face.box.center[0] < 512 for face in found] == [True, False]


def test_a_batch_gives_what_each_picture_gives_alone() -> None:
    detector = FaceDetector(turns=True)
    pictures = [np.rot90(grace_hopper(), k) for k in range(4)] + [astronaut()]
    assert detector.detect_batch(pictures) == [detector.detect(picture) for picture in pictures]


def test_small_faces_are_dropped_by_the_pixels_of_the_whole_picture() -> None:
    small = np.array(Image.fromarray(np.rot90(astronaut())).resize((256, 256)))
    (whole,) = FaceDetector(turns=True).detect_batch([small], [2.0])[0]
    shorter = min(whole.box.width, whole.box.height)
    assert FaceDetector(turns=True, min_size=round(1.1 * shorter)).detect_batch([small], [2.0]) == [[]]


def test_haar_cannot_tell_which_way_up_a_face_is(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="haar with turns: it does not tell"):
        FaceDetector("haar", turns=True)
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    done = CliRunner().invoke(
        command_line(), ["image", str(tmp_path / "a.png"), "--detector", "haar", "--turns"]
    )
    assert isinstance(done.exception, DetectorError)


def test_the_command_reads_a_photograph_on_its_side(tmp_path: Path) -> None:
    Image.fromarray(np.rot90(astronaut())).save(tmp_path / "a.png")
    plain = CliRunner().invoke(command_line(), ["image", str(tmp_path / "a.png"), "--format", "csv"])
    turned = CliRunner().invoke(
        command_line(), ["image", str(tmp_path / "a.png"), "--format", "csv", "--turns"]
    )
    assert "happy" not in plain.stdout.splitlines()[1]
    assert "happy" in turned.stdout.splitlines()[1]
