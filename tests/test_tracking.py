"""Who is who: tracks survive gaps and crossings, end with their face, and leave no ghosts; steady expressions."""

from __future__ import annotations

import numpy as np
import pytest

from mien._core.boxes import as_array, distance_overlaps
from mien.results import Box, Prediction
from mien.video.smoothing import Smoother
from mien.video.tracker import Tracker

STEP = 1 / 25


def box(x: float, y: float = 100, side: float = 60) -> Box:
    return Box(x, y, x + side, y + side)


def numbers(tracker: Tracker, boxes: list[Box], time: float) -> list[int]:
    tracker.predict(time)
    return [track.number for track in tracker.update(boxes, time)]


def test_a_face_that_moves_stays_one_track_and_is_steadier_than_its_boxes() -> None:
    tracker, rng = Tracker(1.0), np.random.default_rng(0)
    seen, believed = [], []
    for k in range(60):
        jitter = float(rng.normal(0, 2))
        assert numbers(tracker, [box(100 + 3 * k + jitter)], k * STEP) == [1]
        seen.append(jitter)
        believed.append(tracker.tracks[0].box.x1 - (100 + 3 * k))
    assert np.std(believed[10:]) < 0.75 * np.std(seen[10:])


@pytest.mark.parametrize("hidden", [5, 12])
def test_two_people_cross_and_one_is_hidden(hidden: int) -> None:
    tracker = Tracker(1.0)
    for k in range(60):
        first, second = box(100 + 5 * k), box(400 - 5 * k, 110)
        if abs(k - 30) <= hidden // 2:
            assert numbers(tracker, [first], k * STEP) == [1]
        else:
            assert numbers(tracker, [first, second], k * STEP) == [1, 2]


def test_patience_is_in_seconds() -> None:
    for gap, expected in ((0.8, [1]), (1.3, [2])):
        tracker = Tracker(1.0)
        for k in range(5):
            numbers(tracker, [box(100)], k * STEP)
        for k in range(5, round(gap / STEP) + 4):
            assert numbers(tracker, [], k * STEP) == []
        assert numbers(tracker, [box(100)], 4 * STEP + gap) == expected


def test_a_face_far_away_is_another_one() -> None:
    tracker = Tracker(1.0)
    numbers(tracker, [box(100)], 0)
    assert numbers(tracker, [box(400)], STEP) == [2]


def test_one_that_was_found_once_only_is_not_waited_for() -> None:
    tracker = Tracker(1.0)
    numbers(tracker, [box(100)], 0)
    numbers(tracker, [], STEP)
    assert numbers(tracker, [box(100)], 2 * STEP) == [2]


def test_frames_that_are_far_apart_still_have_the_same_people() -> None:
    tracker = Tracker(1.0)
    assert [numbers(tracker, [box(100)], 5.0 * k) for k in range(4)] == [[1]] * 4


def test_a_cut_ends_all_tracks() -> None:
    tracker = Tracker(1.0)
    numbers(tracker, [box(100)], 0)
    tracker.clear()
    assert numbers(tracker, [box(100)], STEP) == [2]


def test_memory_does_not_grow_with_faces_that_come_and_go() -> None:
    tracker = Tracker(1.0)
    for k in range(2000):
        numbers(tracker, [box(50 + 100 * (k % 7))], k * STEP)
        assert len(tracker.tracks) < 40


def test_distance_iou() -> None:
    fits = distance_overlaps(
        as_array([box(0), box(0, 0, 10)]), as_array([box(0), box(10, 0, 10), box(10_000)])
    )
    assert fits.shape == (2, 3) and fits[0, 0] == 1
    assert fits[1, 1] == pytest.approx(-100 / (400 + 100))
    assert -1 < fits[0, 2] < -0.9
    assert distance_overlaps(as_array([]), as_array([box(0)])).shape == (0, 1)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match="patience"):
        Tracker(-1)
    with pytest.raises(ValueError, match="smoothing"):
        Smoother(-0.1, 0.5)


def happy(share: float) -> Prediction:
    return Prediction({"happy": share, "neutral": 1 - share})


class TestSmoothing:
    @pytest.mark.parametrize("fps", [10, 25, 60])
    def test_the_time_constant_is_in_seconds_at_any_rate(self, fps: int) -> None:
        smoother = Smoother(0.3, 0.0)
        smoother.add(happy(0), 0)
        shares = [smoother.add(happy(1), k / fps).probabilities["happy"] for k in range(1, fps + 1)]
        expected = [1 - np.exp(-k / fps / 0.3) for k in range(1, fps + 1)]
        assert shares == pytest.approx(expected)

    def test_half_a_second_shows_and_a_single_frame_does_not(self) -> None:
        def strongest(frames: int) -> str:
            smoother = Smoother(0.3, 0.0)
            answers = [smoother.add(happy(0.9 if 10 <= k < 10 + frames else 0.1), k / 25) for k in range(40)]
            return "happy" if any(a.emotion == "happy" for a in answers) else "neutral"

        assert strongest(1) == "neutral"
        assert strongest(12) == "happy"

    def test_probabilities_stay_probabilities(self) -> None:
        smoother, rng = Smoother(0.3, 0.6), np.random.default_rng(0)
        for k in range(100):
            smooth = smoother.add(happy(float(rng.random())), k / 25)
            assert sum(smooth.probabilities.values()) == pytest.approx(1)
            assert smooth.uncertain == (smooth.confidence < 0.6)

    def test_zero_leaves_every_frame_as_it_is(self) -> None:
        smoother = Smoother(0.0, 0.0)
        assert [smoother.add(happy(s), k / 25).probabilities["happy"] for k, s in enumerate((0.1, 0.9))] == [
            0.1,
            0.9,
        ]

    def test_a_long_gap_lets_the_past_go(self) -> None:
        smoother = Smoother(0.3, 0.0)
        smoother.add(happy(0), 0)
        assert smoother.add(happy(1), 3.0).probabilities["happy"] > 0.99
