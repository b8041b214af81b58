"""mien's own detector: the shipped weights on portraits and scenes, boxes in the picture's pixels, upright crops."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, grace_hopper, pattern
from test_detection import TINY, scene
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.errors import DetectorError
from mien.faces.align import TILTED, tilt, upright
from mien.faces.detector import FaceDetector
from mien.faces.grid import cell_grid
from mien.faces.multiscale import Network, search
from mien.faces.onnx_detector import SHIPPED, MienDetector
from mien.faces.views import DARK, brightened, factor_of, light_of, part_of, views_of
from mien.images.crop import crop_face
from mien.results import Box, Face

# By hand, in `grace_hopper()`: right eye, left eye, nose tip, right and left mouth corner.
LANDMARKS = np.array([(227, 194), (306, 192), (266, 240), (228, 268), (305, 268)], float)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector("mien")


def times(box: Box, factor: float) -> Box:
    return Box(*(v * factor for v in (box.x1, box.y1, box.x2, box.y2)))


def but_medals(faces: list[Face]) -> list[Face]:
    """Without what Grace Hopper wears at the picture's lower edge: mirrored or pale, the shipped weights take it for a
    small face. docs/explanation/detector.md says so."""
    return [face for face in faces if not (face.box.y1 > 560 and face.box.height < 40 and face.score < 0.9)]


class TestPortraits:
    @pytest.mark.parametrize(
        ("picture", "face"), [(grace_hopper(), GRACE_HOPPER_FACE), (astronaut(), ASTRONAUT_FACE)]
    )
    @pytest.mark.parametrize("change", ["none", "dark", "grey", "mirrored", "large", "small"])
    def test_the_one_face(self, detector: FaceDetector, picture: np.ndarray, face: Box, change: str) -> None:
        factor = {"large": 3.0, "small": 0.4}.get(change, 1.0)
        changed = {
            "dark": lambda: (picture * 0.3).astype(np.uint8),
            "grey": lambda: np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2),
            "mirrored": lambda: picture[:, ::-1],
        }.get(change, lambda: cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))()
        if change == "mirrored":
            face = Box(512 - face.x2, face.y1, 512 - face.x1, face.y2)
        (found,) = but_medals(detector.detect(changed))
        assert found.box.iou(times(face, factor)) > 0.55
        assert 0.3 <= found.score <= 1

    def test_a_pale_portrait(self, detector: FaceDetector) -> None:
        (found,) = but_medals(detector.detect((grace_hopper() * 0.4 + 100).astype(np.uint8)))
        assert found.box.iou(GRACE_HOPPER_FACE) > 0.55

    def test_the_portrait_of_the_demo_has_one_face(self, detector: FaceDetector) -> None:
        assert len(detector.detect(grace_hopper())) == 1

    @pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
    def test_landmarks_lie_where_a_person_sees_them(self, detector: FaceDetector, factor: float) -> None:
        picture = cv2.resize(grace_hopper(), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        (face,) = detector.detect(picture)
        assert face.landmarks is not None
        assert np.abs(np.array(face.landmarks) - LANDMARKS * factor).max() < 16 * factor

    def test_a_picture_of_uneven_sides_is_scaled_back_exactly(self, detector: FaceDetector) -> None:
        odd = cv2.copyMakeBorder(grace_hopper(), 0, 0, 0, 489, cv2.BORDER_REPLICATE)
        (found,) = detector.detect(odd)
        assert found.box.iou(GRACE_HOPPER_FACE) > 0.55


class TestScenes:
    @pytest.mark.parametrize("side", [30, 40, 60, 100, 160, 240])
    def test_faces_of_every_size(self, detector: FaceDetector, side: int) -> None:
        image, faces = scene((150, 40, side))
        (found,) = detector.detect(image)
        assert found.box.iou(faces[0]) > 0.45

    def test_several_faces_come_largest_first(self, detector: FaceDetector) -> None:
        image, faces = scene((30, 30, 60), (300, 50, 160), (100, 300, 90))
        found = detector.detect(image)
        assert [max(range(3), key=lambda i: f.box.iou(faces[i])) for f in found] == [1, 2, 0]

    def test_no_face_where_there_is_none(self, detector: FaceDetector) -> None:
        rng = np.random.default_rng(0)
        pictures = [
            rng.integers(0, 256, (240, 320, 3), np.uint8),
            pattern(300, 400),
            *(np.full((200, 300, 3), value, np.uint8) for value in (0, 128, 255)),
            astronaut()[300:, :300],
        ]
        assert [detector.detect(picture) for picture in pictures] == [[]] * len(pictures)

    @pytest.mark.parametrize("shape", TINY)
    def test_tiny_and_narrow_pictures_have_no_face(
        self, detector: FaceDetector, shape: tuple[int, int]
    ) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        assert detector.detect(noise) == []
        assert detector.detect(np.zeros_like(noise)) == []


class TestDarkPictures:
    @pytest.mark.parametrize("light", [0.5, 0.3, 0.2, 0.1, 0.07])
    @pytest.mark.parametrize(
        ("picture", "face"), [(astronaut(), ASTRONAUT_FACE), (grace_hopper(), GRACE_HOPPER_FACE)]
    )
    def test_a_face_is_found_in_little_light(
        self, detector: FaceDetector, picture: np.ndarray, face: Box, light: float
    ) -> None:
        dark = (picture * light).astype(np.uint8)
        before = dark.copy()
        (found,) = but_medals(detector.detect(dark))
        (bright,) = but_medals(detector.detect(picture))
        assert found.box.iou(bright.box) > 0.8
        assert (dark == before).all()

    def test_black_and_dark_pictures_without_a_face_have_none(self, detector: FaceDetector) -> None:
        noise = np.random.default_rng(0).integers(0, 12, (200, 300, 3), np.uint8)
        for picture in (np.zeros((200, 300, 3), np.uint8), noise, (pattern() * 0.1).astype(np.uint8)):
            assert detector.detect(picture) == []

    def test_other_pictures_are_searched_as_they_are(self) -> None:
        bright = np.full((40, 60, 3), DARK, np.uint8)
        assert brightened(bright) is bright
        assert (brightened(astronaut()) == astronaut()).all()
        assert brightened(bright // 4).max() > 2 * (bright // 4).max()


class TestBatches:
    def test_each_picture_of_a_batch_is_found_as_alone(self, detector: FaceDetector) -> None:
        pictures = [
            grace_hopper(),
            scene((150, 40, 100))[0],
            astronaut(),
            scene((50, 60, 60))[0],
            pattern(),
        ] * 3
        batch = detector.detect_batch(pictures)
        assert [len(faces) for faces in batch] == [1, 1, 1, 1, 0] * 3
        for faces, picture in zip(batch, pictures, strict=True):
            for one, alone in zip(faces, detector.detect(picture), strict=True):
                assert one.score == pytest.approx(alone.score, abs=1e-4)
                assert one.box.iou(alone.box) > 0.999

    def test_other_detectors_take_batches_too(self) -> None:
        haar = FaceDetector("haar")
        assert haar.detect_batch([astronaut(), pattern()]) == [haar.detect(astronaut()), []]

    def test_one_detector_in_many_threads(self, detector: FaceDetector) -> None:
        pictures = [grace_hopper(), astronaut(), scene((150, 40, 100))[0]] * 2
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(detector.detect, pictures))
        assert [len(faces) for faces in found] == [1] * 6


class TestSize:
    def test_small_faces_need_many_pixels(self) -> None:
        image, faces = scene((150, 40, 40))
        (found,) = FaceDetector("mien", size=640).detect(image)
        assert found.box.iou(faces[0]) > 0.4
        assert FaceDetector("mien", size=64).detect(image) == []

    @pytest.mark.parametrize(
        ("longest", "long_side", "min_size", "factor"),
        [
            (1000, 640, 20, 0.64),  # as large as is allowed
            (300, 640, 20, 2.0),  # never enlarged more than twice
            (350, 640, 40, 1.0),  # large faces need no enlarging ...
            (640, 640, 80, 0.5),  # ... and less of a picture
            (100, 640, 80, 2.0),  # but tiny pictures are enlarged
            (100, 64, 20, 0.64),
        ],
    )
    def test_a_picture_is_scaled_by_need(
        self, longest: int, long_side: int, min_size: int, factor: float
    ) -> None:
        assert factor_of(longest, long_side, min_size) == pytest.approx(factor)

    def test_a_picture_is_scaled_and_filled_up(self) -> None:
        whole, quarter = views_of(np.full((300, 1000, 3), 200, np.uint8), 0.64)
        assert whole.image.shape == (192, 640, 3) and whole.window == (0, 0, 1000, 300)
        assert whole.scale == (0.64, 0.64)
        assert (whole.image[:192] > 0).all()
        assert quarter.image.shape == (64, 160, 3) and quarter.scale == (0.16, 0.16)
        assert (quarter.image[:48] == 200).all() and (quarter.image[48:] == 0).all()
        (small,) = views_of(np.full((50, 61, 3), 200, np.uint8), 2.0)
        assert small.image.shape == (128, 128, 3) and small.scale == (2, 2)
        assert (small.image[:100, :122] == 200).all()
        assert (small.image[100:] == 0).all() and (small.image[:, 122:] == 0).all()

    def test_a_part_of_a_picture_is_scaled_alone(self) -> None:
        picture = np.zeros((300, 1000, 3), np.uint8)
        picture[100:200, 400:600] = 50
        part = part_of(picture, (400, 100, 600, 200), 0.5, light_of(picture))
        assert part.image.shape == (64, 128, 3) and part.scale == (0.5, 0.5)
        assert (part.image[:50, :100] == 50 * 230 / 50).all() and (part.image[50:] == 0).all()

    def test_a_size_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="at least 32"):
            FaceDetector("mien", size=16)


def white_square(logit: Callable[[int], float]) -> tuple[list[tuple[int, int]], Network]:
    """A network whose face is a white square, as sure as the square's side in the view makes it; and the heights and
    widths that it saw."""
    seen: list[tuple[int, int]] = []

    def network(views: np.ndarray) -> np.ndarray:
        centers, sides = cell_grid(*views.shape[1:3])
        answers = np.full((len(views), len(centers), 15), -9, np.float32)
        seen.append(views.shape[1:3])
        for answer, view in zip(answers, views, strict=True):
            y, x = np.nonzero(view[..., 0] > 128)
            if len(x):
                middle = np.array([x.min() + x.max() + 1, y.min() + y.max() + 1]) / 2
                cell = np.abs(centers - middle).max(axis=1).argmin()
                answer[cell, 0] = logit(int(np.ptp(x)) + 1)
                answer[cell, 1:3] = (middle - centers[cell]) / sides[cell]
                answer[cell, 3:5] = np.log([(np.ptp(x) + 1) / sides[cell], (np.ptp(y) + 1) / sides[cell]])
        return answers

    return seen, network


def with_square(side: int, height: int = 480, width: int = 640) -> np.ndarray:
    """Black, with a white square at (100, 80)."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[80 : 80 + side, 100 : 100 + side] = 255
    return picture


class TestLooks:
    """A first look at half the size; a second one only where that is in doubt."""

    @pytest.mark.parametrize("logit", [5.0, -1.0])
    def test_what_is_sure_needs_one_look(self, logit: float) -> None:
        seen, network = white_square(lambda side: logit)
        ((scores, boxes, _),) = search(network, [with_square(60)], 640, 0.69, sure=0.77)
        assert seen == [(256, 320), (64, 96)]
        assert len(scores) == (logit > 0)
        for box in boxes:
            np.testing.assert_allclose(box, [100, 80, 160, 140], atol=2)

    @pytest.mark.parametrize("again", [4.0, -4.0])
    def test_the_second_look_decides_and_sees_no_more_than_it_must(self, again: float) -> None:
        seen, network = white_square(lambda side: 0.0 if side < 40 else again)
        ((scores, boxes, _),) = search(network, [with_square(60)], 640, 0.69, sure=0.77)
        (height, width) = seen[2]
        assert len(seen) == 3 and height < 320 and width < 320
        assert scores == pytest.approx([1 / (1 + np.exp(-4))] if again > 0 else [])
        for box in boxes:
            np.testing.assert_allclose(box, [100, 80, 160, 140], atol=1)

    def test_who_asks_for_all_gets_the_second_look_of_all(self) -> None:
        """As average precision does: then no face is sure enough."""
        seen, network = white_square(lambda side: 5.0 if side < 40 else 2.0)
        ((scores, _, _),) = search(network, [with_square(60)], 640, 0.01)
        assert len(seen) == 3 and scores == pytest.approx([1 / (1 + np.exp(-2))])

    def test_doubt_that_would_not_count_is_none(self) -> None:
        seen, network = white_square(lambda side: 0.0)
        for size, looks in ((20, 3), (100, 2)):
            search(network, [with_square(60)], 640, 0.69, [size], 0.77)
            assert len(seen) == looks
            seen.clear()

    def test_a_large_face_is_looked_at_again_in_a_smaller_view(self) -> None:
        seen, network = white_square(lambda side: 4.0 if 60 < side < 90 else 0.0)
        ((scores, boxes, _),) = search(network, [with_square(300)], 640, 0.69, sure=0.77)
        assert seen == [(256, 320), (64, 96), (128, 160)]
        assert scores == pytest.approx([1 / (1 + np.exp(-4))])
        np.testing.assert_allclose(boxes, [[100, 80, 400, 380]], atol=4)

    def test_every_view_looks_for_its_own_sizes_and_a_face_is_found_once(self) -> None:
        """One face, too large for the whole view, in both views."""
        seen, network = white_square(lambda side: 5.0 if side > 200 else 2.0)
        ((scores, boxes, _),) = search(network, [with_square(640, 960, 1280)], 1280, 0.5, sure=0.77)
        assert seen == [(480, 640), (128, 160)]
        assert scores == pytest.approx([1 / (1 + np.exp(-2))])
        np.testing.assert_allclose(boxes, [[100, 80, 740, 720]], atol=8)

    def test_small_pictures_are_looked_at_once(self) -> None:
        seen, network = white_square(lambda side: 0.0)
        search(network, [with_square(60, 160, 190)], 640, 0.69, sure=0.77)
        assert seen == [(320, 384), (96, 96)]

    @pytest.mark.parametrize("light", [1.0, 0.2])
    def test_a_second_look_finds_the_same_place_in_any_light(self, light: float) -> None:
        _, network = white_square(lambda side: 0.0 if side < 40 else 4.0)
        ((_, boxes, _),) = search(network, [(with_square(60) * light).astype(np.uint8)], 640, 0.69, sure=0.77)
        np.testing.assert_allclose(boxes, [[100, 80, 160, 140]], atol=1)


class TestUpright:
    @pytest.mark.parametrize("angle", [-20, 20])
    def test_a_tilted_head_is_found_and_its_crop_is_that_of_the_upright_one(
        self, detector: FaceDetector, angle: float
    ) -> None:
        turn = cv2.getRotationMatrix2D(GRACE_HOPPER_FACE.center, -angle, 1)
        tilted = cv2.warpAffine(grace_hopper(), turn, (512, 600), borderMode=cv2.BORDER_REPLICATE)
        (face,) = detector.detect(tilted)
        assert tilt(face) == pytest.approx(angle, abs=8)
        (straight,) = detector.detect(grace_hopper())
        expected = detector.crop(grace_hopper(), straight).astype(float)
        turned = detector.crop(tilted, face).astype(float)
        as_it_is = crop_face(tilted, face.box, margin=detector.margin).astype(float)
        assert correlation(turned, expected) > 0.6
        assert correlation(turned, expected) > correlation(as_it_is, expected) + 0.1

    @pytest.mark.parametrize("angle", [-90.0, -30.0, 12.0, 170.0])
    def test_turning_puts_the_eyes_level_and_keeps_the_middle(self, angle: float) -> None:
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        eyes = ((200 - 20 * cos, 150 - 20 * sin), (200 + 20 * cos, 150 + 20 * sin))
        face = Face(Box(160, 110, 240, 190), 1.0, (*eyes, (200, 150), (190, 170), (210, 170)))
        assert tilt(face) == pytest.approx(angle)
        image = np.zeros((300, 400, 3), np.uint8)
        for (x, y), color in zip((*eyes, (200, 150)), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), strict=True):
            cv2.circle(image, (round(x - 0.5), round(y - 0.5)), 3, color, -1)
        turned, box = upright(image, face, angle)
        right, left, middle = (
            np.argwhere(turned[..., channel] > 120).mean(axis=0)[::-1] + 0.5 for channel in range(3)
        )
        assert left - right == pytest.approx((40, 0), abs=1.5)
        assert middle == pytest.approx(box.center, abs=1)
        assert box.height > box.width

    def test_nearly_upright_heads_and_those_without_landmarks_stay(self, detector: FaceDetector) -> None:
        image = astronaut()
        x, y = 200.0, 100.0
        slope = 40 * math.tan(math.radians(TILTED - 1))
        points = ((x, y), (x + 40, y + slope), (220, 120), (205, 140), (235, 140))
        for landmarks in (points, None):
            face = Face(ASTRONAUT_FACE, 1.0, landmarks)
            expected = crop_face(image, ASTRONAUT_FACE, margin=detector.margin)
            assert np.array_equal(detector.crop(image, face), expected)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


class TestFiles:
    def test_the_shipped_files_are_small(self) -> None:
        assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_000_000

    def test_a_folder_that_holds_no_detector(self, tmp_path: Path) -> None:
        with pytest.raises(DetectorError, match=r"mien\.json.*train-detector"):
            FaceDetector(str(tmp_path))
        for text in ("{", '{"sha256": "x", "min_score": 2}', "[]", '{"color": 1}'):
            (tmp_path / "mien.json").write_text(text)
            with pytest.raises(DetectorError, match="not the configuration"):
                FaceDetector(str(tmp_path))

    def test_a_damaged_network_and_one_of_another_shape(self, tmp_path: Path) -> None:
        shutil.copytree(SHIPPED, tmp_path / "copy")
        network = tmp_path / "copy" / "mien.onnx"
        network.write_bytes(network.read_bytes()[:-1])
        with pytest.raises(DetectorError, match="SHA-256"):
            MienDetector(tmp_path / "copy")
        network.unlink()
        with pytest.raises(DetectorError, match="expected the folder of a detector"):
            MienDetector(tmp_path / "copy")

    def test_a_network_for_other_things(self, tmp_path: Path) -> None:
        from mien.models.registry import resolve_model

        other = resolve_model("mien-s")
        shutil.copy(other / "model.onnx", tmp_path / "mien.onnx")
        digest = json.loads((other / "config.json").read_text())["sha256"]
        (tmp_path / "mien.json").write_text(json.dumps({"sha256": digest}))
        with pytest.raises(DetectorError, match="expected tensor"):
            MienDetector(tmp_path)


class TestCommand:
    @pytest.mark.parametrize("name", ["mien", "haar"])
    def test_the_detector_is_chosen_by_name(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "a.png"
        cv2.imwrite(str(path), np.ascontiguousarray(astronaut()[..., ::-1]))
        options = ["--format", "json", "--detector", name, "--detector-size", "320"]
        done = CliRunner().invoke(command_line(), ["image", str(path), *options], catch_exceptions=False)
        assert done.exit_code == 0
        (result,) = json.loads(done.stdout)
        (face,) = result["faces"]
        assert Box(face["x1"], face["y1"], face["x2"], face["y2"]).iou(ASTRONAUT_FACE) > 0.55


@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="needs the data folder that MIEN_DATA names")
def test_the_number_of_faces_on_real_photographs(detector: FaceDetector) -> None:
    expected = {
        "faceapi_happy.jpg": (1, 1), "faceapi_angry.jpg": (1, 1), "faceapi_bbt3.jpg": (5, 5),
        "facerec_two_people.jpg": (2, 2), "facetorch_test.jpg": (3, 4), "human_group-5.jpg": (6, 7),
        "fer_no-faces.jpg": (0, 0),
    }  # fmt: skip
    for name, (fewest, most) in expected.items():
        count = len(detector.detect(Path(os.environ["MIEN_DATA"], "photos", name)))
        assert fewest <= count <= most, (name, count)
