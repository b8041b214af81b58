"""Clips to people: two cross, nobody is there, a cut; real clips; memory and endings."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import FPS, scene, story, write_clip

from mien._core.boxes import as_array
from mien.errors import VideoError
from mien.faces.align import tilt
from mien.recognition import EmotionRecognizer
from mien.results import Box, Face, FrameResult
from mien.video.face_tracker import FaceTracker, _moved, track_frames
from mien.video.frame_pixels import ArrayPixels
from mien.video.optical_flow import ShotBoundaryDetector, follow, small_grey
from mien.video.reader import Frame


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer()


@pytest.fixture(scope="module")
def results(recognizer: EmotionRecognizer, tmp_path_factory: pytest.TempPathFactory) -> list[FrameResult]:
    path = write_clip(tmp_path_factory.mktemp("clips") / "story.mp4", story())
    return list(recognizer.recognize_video(path))


def at(results: list[FrameResult], track: int) -> list[int]:
    return [r.frame or 0 for r in results if any(face.track == track for face in r.faces)]


@pytest.mark.slow
class TestStory:
    def test_no_frame_is_left_out(self, results: list[FrameResult]) -> None:
        assert [r.frame for r in results] == list(range(150))
        assert [r.time for r in results] == pytest.approx([k / FPS for k in range(150)])
        assert {(r.width, r.height) for r in results} == {(640, 360)}

    def test_who_crosses_stays_who_they_are(self, results: list[FrameResult]) -> None:
        begin, end = ({f.track: f.box.center[0] for f in results[k].faces} for k in (5, 70))
        assert set(begin) == set(end)
        assert len(begin) == 2
        left, right = sorted(begin, key=begin.__getitem__)
        assert end[left] > 400 > end[right] + 250

    def test_both_are_seen_but_where_one_hides_the_other(self, results: list[FrameResult]) -> None:
        assert sum(len(r.faces) == 2 for r in results[:75]) >= 55
        assert all(r.faces for r in results[:75])

    def test_nobody_is_nobody(self, results: list[FrameResult]) -> None:
        assert all(not r.faces for r in results[75:100])
        (row,) = results[80].rows()
        assert row["frame"] == 80
        assert row["time"] == pytest.approx(3.2)
        assert row["emotion"] is row["smoothed_happy"] is None

    def test_after_a_second_without_a_face_and_after_a_cut_they_are_new(
        self, results: list[FrameResult]
    ) -> None:
        tracks = [{f.track for f in r.faces} for r in results]
        before, after, cut = (set().union(*tracks[a:b]) for a, b in ((0, 75), (100, 125), (125, 150)))
        assert (len(before), len(after), len(cut)) == (2, 1, 1)
        assert not before & after
        assert not after & cut

    def test_a_new_face_is_found_soon_and_a_cut_at_once(self, results: list[FrameResult]) -> None:
        assert min(k for k in range(100, 125) if results[k].faces) <= 105
        assert results[125].faces

    def test_a_row_has_raw_and_smoothed_side_by_side(self, results: list[FrameResult]) -> None:
        row = results[10].rows()[0]
        labels = results[10].labels
        assert sum(row[label] for label in labels) == pytest.approx(1, abs=1e-5)
        assert sum(row[f"smoothed_{label}"] for label in labels) == pytest.approx(1, abs=1e-5)
        assert row["smoothed_emotion"] == max(labels, key=lambda label: row[f"smoothed_{label}"])
        assert list(row)[-1] == "error"

    def test_boxes_are_where_the_faces_are(self, results: list[FrameResult]) -> None:
        for k in range(105, 125):
            (face,) = results[k].faces
            x = 200 + (k - 100) + 75
            assert abs(face.box.center[0] - x) < 12
            assert 50 < face.box.width < 110


def test_a_followed_face_keeps_its_tilt() -> None:
    points = ((40.0, 50.0), (60.0, 60.0), (48.0, 62.0), (42.0, 72.0), (56.0, 80.0))
    before = Face(Box(30, 40, 70, 90), 0.9, points)
    after = _moved(before, Box(130, 40, 210, 140))  # 100 to the right and twice as large
    assert tilt(after) == pytest.approx(tilt(before))
    assert after.landmarks[0] == pytest.approx((150, 60))
    assert _moved(Face(before.box, 0.9), after.box) == Face(after.box, 0.9)


def test_the_first_frame_is_the_picture_by_itself(recognizer: EmotionRecognizer, tmp_path: Path) -> None:
    from mien.video.reader import read_video

    path = write_clip(tmp_path / "a.mp4", [scene((0, 200, 90))] * 3)
    first = next(iter(recognizer.recognize_video(path)))
    (alone,) = recognizer.recognize(next(read_video(path)).picture)
    assert first.faces[0].face == alone.face
    # Faces of several frames are classified together, which changes the last bits.
    assert first.faces[0].probabilities == pytest.approx(alone.probabilities, abs=1e-6)


def test_a_truncated_clip_gives_its_frames_and_then_the_error(
    recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    path = write_clip(
        tmp_path / "a.mp4", [scene((0, 200 + k, 90)) for k in range(40)], options={"movflags": "faststart"}
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    seen = []
    with pytest.raises(VideoError, match="kept"):
        for result in recognizer.recognize_video(path):
            seen.append(result)
    assert seen[0].faces


def test_leaving_the_loop_frees_everything(recognizer: EmotionRecognizer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [scene((0, 200, 90))] * 60)
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        for result in recognizer.recognize_video(path):
            (result.frame or 0) / 0
    for _ in recognizer.recognize_video(path):
        break
    gc.collect()
    assert not set(threading.enumerate()) - before


def frames(count: int) -> Iterator[Frame]:
    for k in range(count):
        yield Frame(k, k / FPS, ArrayPixels(scene((0, 200 + k, 90))))


def test_an_error_comes_after_the_frames_before_it(recognizer: EmotionRecognizer) -> None:
    def broken() -> Iterator[Frame]:
        yield from frames(6)  # faces of four frames are read together
        raise VideoError("a.mp4: broken off")

    seen = []
    with pytest.raises(VideoError, match="broken off"):
        for result, _ in track_frames(FaceTracker(recognizer), broken(), "a.mp4"):
            seen.append(result.frame)
    assert seen == list(range(6))


@pytest.mark.parametrize("keep", [False, True])
def test_neither_speed_nor_what_is_kept_changes_a_result(recognizer: EmotionRecognizer, keep: bool) -> None:
    def slow() -> Iterator[Frame]:
        for frame in frames(10):
            time.sleep(0.02 * (frame.index % 3))
            yield frame

    expected = [result for result, _ in track_frames(FaceTracker(recognizer), frames(10), "a.mp4")]
    assert all(result.faces for result in expected)
    found = []
    for result, frame in track_frames(FaceTracker(recognizer), slow(), "a.mp4", keep=keep):
        time.sleep(0.03 * (len(found) % 2))
        found.append(result)
        assert (frame is not None) == keep
        assert frame is None or frame.index == result.frame
    assert found == expected
    by_itself = FaceTracker(recognizer)
    alone = [by_itself.follow(f.picture, f.time, source="a.mp4", frame=f.index) for f in frames(10)]
    for one, other in zip(alone, expected, strict=True):
        assert [face.face for face in one.faces] == [face.face for face in other.faces]
        assert [f.track for f in one.faces] == [f.track for f in other.faces]
        for face, twin in zip(one.faces, other.faces, strict=True):
            assert face.smoothed.probabilities == pytest.approx(twin.smoothed.probabilities, abs=1e-6)


def test_wrong_options_say_so_before_the_first_frame(recognizer: EmotionRecognizer) -> None:
    for options in ({"every": 0}, {"fps": -1}, {"patience": -1}, {"smoothing": -1}):
        with pytest.raises(ValueError, match="expected"):
            recognizer.recognize_video("a.mp4", **options)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    pictures = [scene((0, 200 + k % 50, 90)) for k in range(50)]
    path = write_clip(tmp_path / "long.mp4", (pictures[k % 50] for k in range(500)))
    code = (
        "import sys, resource; from mien import EmotionRecognizer\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for r in EmotionRecognizer().recognize_video(sys.argv[1]):\n"
        "    if r.frame == 100: early = peak()\n"
        "print((peak() - early) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20, "400 frames are 264 MB"


class TestFlow:
    def test_a_face_that_moves_and_grows(self) -> None:
        before, scale = small_grey(ArrayPixels(scene((0, 200, 90))))
        now, _ = small_grey(ArrayPixels(scene((0, 209, 95))))
        face = Box(235 * scale, 110 * scale, 310 * scale, 190 * scale)
        (moved,) = follow(before, now, [face])
        assert moved is not None
        assert moved.x1 - face.x1 == pytest.approx(9 * scale, abs=1)
        assert moved.y1 - face.y1 == pytest.approx(5 * scale, abs=1)
        assert moved.width == pytest.approx(face.width, rel=0.04)

    def test_a_face_that_is_gone_is_not_followed(self) -> None:
        before, scale = small_grey(ArrayPixels(scene((0, 200, 90))))
        noise = np.random.default_rng(0).integers(0, 256, before.shape, np.uint8)
        assert follow(before, noise, [Box(235 * scale, 110 * scale, 310 * scale, 190 * scale)]) == [None]

    @pytest.mark.parametrize("growth", [0.96, 1.0, 1.04])
    def test_size_is_followed(self, growth: float) -> None:
        head = scene((0, 200, 90))[90:240, 200:350]
        side = round(150 * growth)
        before, after = scene(), scene()
        before[90:240, 200:350] = head
        after[90 : 90 + side, 200 : 200 + side] = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
        greys = [small_grey(ArrayPixels(picture))[0] for picture in (before, after)]
        face = Box(235, 110, 310, 190)
        (moved,) = follow(*greys, [face])
        assert moved is not None
        assert moved.width / face.width == pytest.approx(growth, abs=0.008)

    def test_many_faces_at_once_are_each_where_they_are_alone(self) -> None:
        before, _ = small_grey(ArrayPixels(scene((0, 60, 90), (1, 430, 40))))
        now, _ = small_grey(ArrayPixels(scene((0, 66, 93), (1, 425, 47))))
        boxes = [Box(95, 110, 170, 190), Box(-80, 10, -5, 90), Box(465, 70, 545, 150)]
        together = follow(before, now, boxes)
        assert together[1] is None
        for box, moved, way in zip(boxes, together, ((6, 3), None, (-5, 7)), strict=True):
            (alone,) = follow(before, now, [box])
            assert (alone is None) == (moved is None)
            if moved is not None and alone is not None and way is not None:
                np.testing.assert_allclose(as_array([moved]), as_array([alone]), atol=0.1)
                assert moved.x1 - box.x1 == pytest.approx(way[0], abs=1)
                assert moved.y1 - box.y1 == pytest.approx(way[1], abs=1)
        assert follow(before, now, []) == []

    def test_cuts(self) -> None:
        cuts = ShotBoundaryDetector()
        found = [k for k, picture in enumerate(story()) if cuts.is_cut(small_grey(ArrayPixels(picture))[0])]
        assert found == [125]

    def test_light_that_goes_on_is_no_cut(self) -> None:
        cuts = ShotBoundaryDetector()
        dark, bright = (scene((0, 200, 90)) // 2 + offset for offset in (0, 100))
        assert not any(
            cuts.is_cut(small_grey(ArrayPixels(p.astype(np.uint8)))[0]) for p in (dark, dark, bright, bright)
        )


DETECTORS = ["haar", "models/face_detection_yunet_2026may.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", ["pyfeat_single_face.mp4", "fer_test.mp4"])
def test_real_clips_end_happy_and_smoothing_takes_flips_away(
    real_data: Path, detector: str, name: str
) -> None:
    chosen = detector if detector == "haar" else str(real_data / detector)
    raw: list[str] = []
    smoothed: list[str] = []
    tracks = set()
    for result in EmotionRecognizer(detector=chosen).recognize_video(real_data / "videos" / name):
        for face in result.faces:
            tracks.add(face.track)
            raw.append(face.emotion)
            smoothed.append(face.smoothed.emotion if face.smoothed else "")
    assert tracks == {1}
    assert smoothed[-1] == "happy"
    assert smoothed[: len(smoothed) // 4].count("happy") < len(smoothed) // 8

    def flips(words: list[str]) -> int:
        return sum(a != b for a, b in itertools.pairwise(words))

    assert flips(smoothed) < flips(raw)
