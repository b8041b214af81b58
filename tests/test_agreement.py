"""How well codes agree: the figures against independent ones, and the command with all that it writes."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import typed
from clips import story, write_clip
from coded import frames, write_codes, write_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from mien import LABELS, Agreement, FrameResult, MienError, measure_agreement
from mien.agreement.codes import NONE, UNCERTAIN, UNSEEN, Segment
from mien.agreement.pair_figures import matched
from mien.agreement.steps import coverage, in_front
from mien.agreement.thresholds import CANDIDATES
from mien.errors import DatasetError, UnknownLabelError
from mien.metrics.agreement import cohen_kappa, fleiss_kappa, kappa_interval

# Fourteen people and ten subjects: the example of Wikipedia's "Fleiss' kappa" (2026-11), which finds 0.210.
WORKED = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip


class TestKappa:
    @pytest.mark.parametrize("seed", range(5))
    def test_cohens_is_that_of_scikit_learn(self, seed: int) -> None:
        metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
        rng = np.random.default_rng(seed)
        first = rng.integers(0, 4, 300)
        second = np.where(rng.random(300) < 0.6, first, rng.integers(0, 4, 300))
        table = metrics.confusion_matrix(first, second, labels=range(4))
        assert float(cohen_kappa(table)) == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)
        both = np.stack([table, table.T])
        assert cohen_kappa(both).shape == (2,)

    def test_where_it_is_not_defined(self) -> None:
        assert np.isnan(cohen_kappa(np.diag([5.0, 0.0])))
        assert np.isnan(cohen_kappa(np.zeros((2, 2))))
        assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))
        assert float(cohen_kappa(np.diag([5.0, 3.0]))) == 1

    def test_fleiss_by_a_worked_example(self) -> None:
        assert fleiss_kappa(WORKED) == pytest.approx(0.210, abs=5e-4)

    def test_fleiss_of_two_is_scotts_pi(self) -> None:
        rng = np.random.default_rng(1)
        first, second = rng.integers(0, 3, (2, 200))
        counts = np.stack([(first == k).astype(int) + (second == k) for k in range(3)], 1)
        shares = counts.sum(0) / 400
        observed, chance = (first == second).mean(), (shares**2).sum()
        assert fleiss_kappa(counts) == pytest.approx((observed - chance) / (1 - chance))

    @pytest.mark.parametrize("wrong", [np.zeros((0, 2), int), np.array([[1, 0]]), np.array([[2, 0], [3, 0]])])
    def test_fleiss_needs_the_same_number_of_coders(self, wrong: np.ndarray) -> None:
        with pytest.raises(ValueError, match="same number of coders"):
            fleiss_kappa(wrong)

    def test_the_interval_holds_what_it_promises(self) -> None:
        """Of clips whose steps depend on each other it is about as wide as kappa varies between samples."""
        rng = np.random.default_rng(0)

        def sample() -> np.ndarray:
            rates = rng.beta(4, 1, 40)  # how often the coders agree differs from clip to clip
            hits = rng.binomial(50, rates)
            return np.stack([np.array([[h / 2, (50 - h) / 2], [(50 - h) / 2, h / 2]]) for h in hits])

        truth = 2 * 0.8 - 1
        inside = 0
        for seed in range(100):
            low, high = kappa_interval(sample(), rounds=300, seed=seed)
            inside += bool(low <= truth <= high)
        assert 86 <= inside <= 100
        parts = sample()
        pooled = np.repeat(parts / 50, 50, axis=0)  # as if all steps were independent
        width, too_small = (float(np.diff(kappa_interval(p, rounds=300), axis=0)[0]) for p in (parts, pooled))
        assert width > 2 * too_small

    def test_the_interval_of_one_part_and_of_nothing(self) -> None:
        assert np.isnan(kappa_interval(np.ones((1, 2, 2)))).all()
        assert np.isnan(kappa_interval(np.zeros((4, 2, 2)))).all()


def agree(tmp_path: Path, first: list, second: list, **changes: object) -> Agreement:
    one, other = write_codes(tmp_path / "first.csv", first), write_codes(tmp_path / "second.csv", second)
    return measure_agreement(one, other, **changes)  # type: ignore[arg-type]


class TestFigures:
    def test_by_hand(self, tmp_path: Path) -> None:
        found = agree(
            tmp_path,
            [("a", 0, 4, "happy"), ("a", 6, 10, "sad")],
            [("a", 1, 4, "happy"), ("a", 6, 8, "sad"), ("a", 8, 10, "angry")],
            step=1.0,
        )
        (pair,) = found.pairs
        assert pair.names == ("angry", "happy", "sad", "none")
        assert pair.confusion == ((0, 0, 0, 0), (0, 3, 0, 1), (2, 0, 2, 0), (0, 0, 0, 2))
        assert pair.seconds == 10 and pair.agreement == pytest.approx(0.7)
        chance = (4 * 3 + 4 * 2 + 2 * 3) / 100
        assert pair.kappa == pytest.approx((0.7 - chance) / (1 - chance))
        happy = pair.labels["happy"]
        assert (happy.precision, happy.recall, happy.f1) == pytest.approx((1, 0.75, 6 / 7))
        assert (happy.first_seconds, happy.second_seconds, happy.both_seconds) == (4, 3, 3)
        assert pair.labels["angry"].recall is None and pair.labels["angry"].precision == 0
        assert pair.interval is None  # one block
        assert [(one.start, one.end, one.labels) for one in found.disagreements] == [
            (0, 1, ("happy", "none")),
            (8, 10, ("sad", "angry")),
        ]
        every = pair.episodes["all"]
        assert (every.matched, every.missed, every.extra) == (2, 0, 1)
        assert every.onset == pytest.approx((0.25, 0.5, 0.75)) and every.offset == pytest.approx(
            (-1.5, -1, -0.5)
        )

    def test_a_step_has_the_label_that_covers_most_of_it_and_the_later_one_of_equals(
        self, tmp_path: Path
    ) -> None:
        found = agree(
            tmp_path,
            [
                ("a", 0, 0.6, "happy"),
                ("a", 1, 2, "sad"),
                ("a", 1, 2, "angry"),
                ("a", 2, 4, "fear"),
                ("a", 3, 4, "sad"),
            ],
            [("a", 0, 1, "happy"), ("a", 1, 2, "sad"), ("a", 2, 3, "fear"), ("a", 3, 4, "sad")],
            step=1.0,
        )
        (pair,) = found.pairs
        assert pair.agreement == 0.75 or pair.agreement == 1.0
        # Of labels at the same time each is a yes: nobody is wrong about "sad" and "fear".
        assert pair.labels["sad"].f1 == 1 and pair.labels["sad"].first_seconds == 2
        assert pair.labels["fear"].first_seconds == 2 and pair.labels["fear"].recall == 0.5
        assert pair.labels["angry"].precision is None
        places = {one.start: one.labels for one in found.disagreements}
        assert 3.0 not in places  # "sad" took over from "fear"

    def test_the_first_coder_is_right_for_precision_and_recall(self, tmp_path: Path) -> None:
        rows = [("a", 0, 2, "happy")], [("a", 0, 8, "happy"), ("a", 8, 10, "sad")]
        (pair,) = agree(tmp_path, *rows).pairs
        (turned,) = agree(tmp_path, *reversed(rows)).pairs
        one, other = pair.labels["happy"], turned.labels["happy"]
        assert (one.precision, one.recall) == (other.recall, other.precision) == (0.25, 1.0)
        assert pair.kappa == pytest.approx(turned.kappa)

    def test_intervals_are_over_clips_where_there_are_ten(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        rows = [
            [(f"c{k}", t, t + 1, rng.choice(["happy", "sad"])) for k in range(12) for t in range(10)]
            for _ in range(2)
        ]
        found = agree(tmp_path, *rows)
        assert found.resampled == "clips" and found.clips == 12
        (pair,) = found.pairs
        assert pair.interval is not None and pair.interval[0] < (pair.kappa or 0) < pair.interval[1]
        long = agree(tmp_path, [("a", 0, 100, "sad")], [("a", 0, 70, "sad"), ("a", 70, 100, "happy")])
        assert long.resampled == "blocks of 10 s"

    def test_three_coders(self, tmp_path: Path) -> None:
        rows = [[("a", 0, k, "happy"), ("a", k, 10, "sad")] for k in (5, 6, 7)]
        files = [write_codes(tmp_path / f"{k}.csv", some) for k, some in enumerate(rows)]
        found = measure_agreement(*files, step=1.0)
        assert [(Path(p.first).stem, Path(p.second).stem) for p in found.pairs] == [
            ("0", "1"),
            ("0", "2"),
            ("1", "2"),
        ]
        counts = [[3, 0]] * 5 + [[2, 1], [1, 2]] + [[0, 3]] * 3
        assert found.fleiss_kappa == pytest.approx(fleiss_kappa(np.array(counts)))
        assert "all (Fleiss)" in found.to_text()

    @pytest.mark.parametrize("step", [0.0, -1.0, 4000.0, float("nan")])
    def test_steps_out_of_range(self, step: float, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="step"):
            agree(tmp_path, [("a", 0, 1, "sad")], [("a", 0, 1, "sad")], step=step)

    def test_too_many_steps(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="longer --step"):
            agree(tmp_path, [("a", 0, 1e9, "sad")], [("a", 0, 1, "sad")])

    def test_a_transcript_is_no_code(self, tmp_path: Path) -> None:
        words = [("a", k, k + 1, f"word {k}") for k in range(200)]
        with pytest.raises(DatasetError, match=r"201 different labels, such as .*--tier"):
            agree(tmp_path, words, [("a", 0, 1, "sad")])


Spans = st.lists(
    st.tuples(st.integers(0, 39), st.integers(1, 12), st.sampled_from(["happy", "sad", "fear"])), max_size=8
)


def slow_labels(rows: list[tuple[int, int, str]], steps: int) -> list[str]:
    """What each step of ten hundredths is, hundredth by hundredth."""
    found = []
    for k in range(steps):
        time: Counter[str] = Counter()
        for t in range(10 * k, 10 * k + 10):
            names = {label for start, length, label in rows if 5 * start <= t < 5 * (start + length)}
            time.update(names or {NONE})
        latest = {
            name: max([s for s, n, x in rows if x == name and 5 * s < 10 * k + 10], default=-1)
            for name in time
        }
        found.append(max(time, key=lambda name: (time[name], name != NONE, latest[name])))
    return found


@settings(max_examples=60, deadline=None)
@given(Spans, Spans)
def test_kappa_is_that_of_steps_made_one_by_one(tmp_path_factory: object, first: list, second: list) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    folder = tmp_path_factory.mktemp("codes")  # type: ignore[attr-defined]
    files = []
    for name, rows in (("first.csv", first), ("second.csv", second)):
        spans = [("a", s / 20, (s + n) / 20, label) for s, n, label in rows]
        files.append(write_codes(folder / name, [*spans, ("a", 2.5, 3, "")]))
    (pair,) = measure_agreement(*files).pairs
    one, other = (slow_labels(rows, 30) for rows in (first, second))
    # Which of two that begin together and cover as much it is has no meaning.
    clear = [k for k in range(30) if not any(tied(rows, k) for rows in (first, second))]
    if len(clear) == 30:
        assert pair.agreement == pytest.approx(np.mean([a == b for a, b in zip(one, other, strict=True)]))
        if len({*one, *other}) > 1:
            assert pair.kappa == pytest.approx(metrics.cohen_kappa_score(one, other))
    for label in {*one, *other} - {NONE}:
        yes = [[half(rows, label, k) for k in range(30)] for rows in (first, second)]
        if any(yes[0]) or any(yes[1]):
            expected = metrics.f1_score(*yes, zero_division=0)
            assert (pair.labels[label].f1 or 0) == pytest.approx(expected)


def tied(rows: list[tuple[int, int, str]], k: int) -> bool:
    starts = [s for s, n, _ in rows if 5 * s < 10 * k + 10 and 5 * (s + n) > 10 * k]
    return len(set(starts)) < len(starts) or any(
        a[2] != b[2] and a[0] <= b[0] < a[0] + a[1] for a, b in product(rows, rows) if a != b
    )


def half(rows: list[tuple[int, int, str]], label: str, k: int) -> bool:
    inside = [
        any(x == label and 5 * s <= t < 5 * (s + n) for s, n, x in rows) for t in range(10 * k, 10 * k + 10)
    ]
    return sum(inside) >= 5


class TestParts:
    def test_coverage_counts_overlaps_once(self) -> None:
        edges = np.arange(5.0)
        np.testing.assert_allclose(coverage([(0.5, 2), (1, 1.5), (3, 9)], edges), [0.5, 1, 0, 1])
        np.testing.assert_allclose(coverage([], edges), [0, 0, 0, 0])

    def test_the_one_who_is_visible_longest_is_in_front(self) -> None:
        some = [
            Segment(0, 2, "sad", "2"),
            Segment(1, 9, "happy", "1"),
            Segment(4, 5, "fear", "3"),
            Segment(8.5, 9.5, "fear", "3"),
        ]
        found = sorted((one.start, one.end, one.label) for one in in_front(some))
        assert found == [(0, 1, "sad"), (1, 9, "happy"), (9, 9.5, "fear")]

    def test_pairs_of_episodes(self) -> None:
        mine, theirs = [(0.0, 4.0), (5.0, 6.0), (9.0, 10.0)], [(0.0, 1.0), (1.5, 5.5), (8.0, 9.0)]
        assert matched(mine, theirs) == [((0.0, 4.0), (1.5, 5.5))]


class TestMien:
    @pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
    def test_frames_in_every_form(self, ending: str, tmp_path: Path) -> None:
        if ending == "parquet":
            pytest.importorskip("pyarrow", reason="needs mien[parquet]")
        shown = ["happy"] * 20 + ["sad"] * 10 + [None] * 10 + ["?"] * 5 + ["neutral"] * 5
        results = write_frames(tmp_path / f"faces.{ending}", [frames("clips/a.mp4", shown)])
        codes = write_codes(tmp_path / "codes.csv", [("a", 0, 2, "happy"), ("a", 2, 5, "sad")])
        (pair,) = measure_agreement(codes, results).pairs
        assert pair.seconds == pytest.approx(3.5) and pair.agreement == pytest.approx(3 / 3.5)
        assert pair.left_out == {UNSEEN: {"sad": pytest.approx(1.0)}, UNCERTAIN: {"sad": pytest.approx(0.5)}}
        assert pair.episodes["happy"].matched == 1

    def test_unseen_time_is_never_neutral(self, tmp_path: Path) -> None:
        results = write_frames(tmp_path / "faces.csv", [frames("a.mp4", [None] * 30 + ["neutral"] * 10)])
        codes = write_codes(tmp_path / "codes.csv", [("a", 0, 4, "neutral")])
        (pair,) = measure_agreement(codes, results, label_map={"none": "neutral"}).pairs
        assert pair.seconds == pytest.approx(1.0) and pair.left_out[UNSEEN]["neutral"] == pytest.approx(3.0)

    def test_time_without_a_code_can_be_neutral(self, tmp_path: Path) -> None:
        results = write_frames(tmp_path / "faces.csv", [frames("a.mp4", ["neutral"] * 20 + ["happy"] * 10)])
        codes = write_codes(tmp_path / "codes.csv", [("a", 2, 3, "smile")])
        (pair,) = measure_agreement(codes, results, label_map={"Smile": "happy", "none": "neutral"}).pairs
        assert pair.agreement == 1 and pair.kappa == pytest.approx(1)

    def test_who_is_named_nowhere_is_the_one_who_is_visible_longest(self, tmp_path: Path) -> None:
        shown = [{1: "happy", 2: "sad"}] * 10 + [{2: "sad"}] * 5 + [{1: "happy"}] * 20
        results = write_frames(tmp_path / "faces.csv", [frames("a.mp4", shown)])
        found = measure_agreement(write_codes(tmp_path / "c.csv", [("a", 0, 3.5, "happy")]), results)
        (pair,) = found.pairs
        assert pair.agreement == pytest.approx(30 / 35)
        assert any("visible longest" in note for note in found.notes)

    def test_people_by_their_tracks(self, tmp_path: Path) -> None:
        results = write_frames(
            tmp_path / "faces.csv", [frames("a.mp4", [{1: "happy", 2: "sad", 3: "fear"}] * 10)]
        )
        codes = tmp_path / "codes.csv"
        rows = [("a", 0, 1, "happy", 1), ("a", 0, 1, "happy", 2), ("a", 0, 1, "happy", 9)]
        write_codes(codes, rows, "clip,start,end,label,person")  # type: ignore[arg-type]
        found = measure_agreement(codes, results)
        assert found.units == 2 and found.pairs[0].agreement == 0.5
        assert sum("left out: 1 person" in note for note in found.notes) == 2

    def test_one_person_with_two_names(self, tmp_path: Path) -> None:
        header, rows = "clip,start,end,label,person", [("a", 0, 1, "happy", "Anna")]
        codes = write_codes(tmp_path / "codes.csv", rows, header)  # type: ignore[arg-type]
        results = write_frames(tmp_path / "faces.csv", [frames("a.mp4", ["happy"] * 10)])
        assert measure_agreement(codes, results).pairs[0].agreement == 1
        other = write_codes(tmp_path / "other.csv", [("a", 0, 1, "happy", "Ben")], header)  # type: ignore[arg-type]
        with pytest.raises(DatasetError, match=r"nobody is in all of the codes.*'Anna'.*'Ben'"):
            measure_agreement(codes, other)

    def test_episodes_say_nothing_of_unseen_time_and_that_is_said(self, tmp_path: Path) -> None:
        results = tmp_path / "episodes.csv"
        results.write_text(
            "source,track,emotion,onset,peak,offset,duration,uncertain,missing\n"
            "x/a.mp4,1,happy,1.0,1.5,3.0,2.0,0.25,0.1\n"
        )
        found = measure_agreement(write_codes(tmp_path / "c.csv", [("a", 0.8, 3, "happy")]), results)
        assert any(
            "0.5 s of episodes are flagged as uncertain, 0.1 s are without" in note for note in found.notes
        )
        assert found.pairs[0].episodes["happy"].onset == pytest.approx((0.2, 0.2, 0.2))

    def test_a_clip_that_mien_could_not_read(self, tmp_path: Path) -> None:
        broken = FrameResult("b.mp4", error="broken", labels=LABELS, smoothed=True)
        results = write_frames(tmp_path / "faces.csv", [[broken]])
        with pytest.raises(DatasetError, match="no time that both labelled"):
            measure_agreement(write_codes(tmp_path / "c.csv", [("b", 0, 1, "happy")]), results)


class TestClips:
    def test_those_of_one_coder_are_said(self, tmp_path: Path) -> None:
        found = agree(
            tmp_path, [("a", 0, 1, "sad"), ("b", 0, 1, "sad")], [("x/A.MP4", 0, 1, "sad"), ("c", 0, 1, "sad")]
        )
        assert found.clips == 1
        assert [note.rpartition(": ")[2] for note in found.notes if "left out" in note] == ["'b'", "'c'"]

    def test_none_in_common(self, tmp_path: Path) -> None:
        with pytest.raises(
            DatasetError, match=r"no clip is in all of .*first.csv has 'a'; .*second.csv has 'b'"
        ):
            agree(tmp_path, [("a", 0, 1, "sad")], [("b", 0, 1, "sad")])

    def test_one_name_in_two_folders(self, tmp_path: Path) -> None:
        both = [("x/a.mp4", 0, 1, "sad"), ("y/a.mp4", 0, 1, "fear")]
        assert agree(tmp_path, both, both).clips == 2
        with pytest.raises(DatasetError, match="several clips of one name"):
            agree(tmp_path, [("a", 0, 1, "sad")], both)

    def test_a_row_without_a_label_says_that_the_clip_was_watched(self, tmp_path: Path) -> None:
        found = agree(tmp_path, [("a", 0, 10, "")], [("a", 0, 4, "sad")])
        assert found.pairs[0].seconds == 10 and found.pairs[0].agreement == pytest.approx(0.6)

    def test_the_clips_say_how_long_they_are(self, tmp_path: Path) -> None:
        (tmp_path / "clips").mkdir()
        write_clip(tmp_path / "clips" / "a.mp4", list(story())[:50])
        rows = [("a", 0, 1, "sad")]
        without, there = agree(tmp_path, rows, rows), agree(tmp_path, rows, rows, clips=tmp_path / "clips")
        assert without.pairs[0].seconds == 1 and there.pairs[0].seconds == pytest.approx(2.0)
        assert any("--clips" in note for note in without.notes) and not there.notes


class TestLabels:
    def test_unknown_ones_with_the_nearest(self, tmp_path: Path) -> None:
        results = write_frames(tmp_path / "faces.csv", [frames("a.mp4", ["happy"] * 10)])
        codes = write_codes(
            tmp_path / "c.csv", [("a", 0, 1, "hapy"), ("a", 1, 2, "hapy"), ("a", 2, 3, "xyz")]
        )
        with pytest.raises(
            UnknownLabelError, match=r"'hapy' \(2 times, nearest 'happy'\), 'xyz' \(1 time\).*--map"
        ):
            measure_agreement(codes, results)

    def test_people_have_labels_of_their_own(self, tmp_path: Path) -> None:
        found = agree(
            tmp_path,
            [("a", 0, 1, "Bored"), ("a", 1, 2, "calm")],
            [("a", 0, 1, "bored"), ("a", 1, 2, "calmer")],
        )
        assert found.pairs[0].agreement == 0.5
        assert any("'calm' (1 time, nearest 'calmer')" in note for note in found.notes)

    def test_a_model_with_labels_of_its_own(self, tmp_path: Path) -> None:
        results = tmp_path / "e.csv"
        results.write_text("source,track,emotion,onset,offset\na,1,Bored,0,1\na,1,anger,1,2\n")
        codes = write_codes(tmp_path / "c.csv", [("a", 0, 1, "bored"), ("a", 1, 2, "Anger")])
        (pair,) = measure_agreement(codes, results).pairs
        assert pair.names == ("Bored", "anger") and pair.kappa == 1
        write_codes(codes, [("a", 0, 1, "dull"), ("a", 1, 2, "Anger")])
        assert measure_agreement(codes, results, label_map={"Dull": "BORED"}).pairs[0].kappa == 1

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("m.csv", "label,mien\nSmile,happy\nbig smile,happy\ntalk,\n"),
            ("m.csv", "Smile;happy\nbig smile;happy\ntalk;\n"),
            ("m.toml", 'Smile = "happy"\n"big  smile" = "happy"\ntalk = ""\n'),
            ("m.json", '{"Smile": "happy", "big smile": "happy", "talk": ""}'),
        ],
    )
    def test_maps(self, name: str, text: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(text)
        found = agree(
            tmp_path,
            [("a", 0, 1, "smile"), ("a", 1, 2, "Big Smile"), ("a", 0, 2, "talk")],
            [("a", 0, 2, "Joy")],
            label_map=tmp_path / name,
        )
        assert found.pairs[0].names == ("happy",) and found.pairs[0].kappa is None

    def test_mien_can_be_mapped_too(self, tmp_path: Path) -> None:
        results = write_frames(
            tmp_path / "faces.csv", [frames("a.mp4", ["sad"] * 10 + ["fear"] * 10 + ["happy"] * 10)]
        )
        codes = write_codes(tmp_path / "c.csv", [("a", 0, 2, "bad")])
        bad = {"bad": "negative", "sad": "negative", "fear": "negative", "happy": ""}
        (pair,) = measure_agreement(codes, results, label_map=bad).pairs
        assert pair.names == ("negative", "none") and pair.agreement == 1
        assert pair.episodes["negative"].matched == 1 and "happy" not in pair.episodes

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("m.csv", "a,b,c\n", "two columns"),
            ("m.csv", "a,happy\nA,sad\n", "both 'happy' and 'sad'"),
            ("m.toml", "a = 1\n", "expected a label in quotes"),
            ("m.toml", "a = \n", "is no TOML"),
            ("m.json", "[1]", "expected an object"),
            ("m.json", "{", "is no JSON"),
            ("m.txt", "", "expected a file that ends in"),
            ("missing.csv", None, "cannot be read"),
        ],
    )
    def test_wrong_maps(self, name: str, text: str | None, said: str, tmp_path: Path) -> None:
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(DatasetError, match=said):
            agree(tmp_path, [("a", 0, 1, "sad")], [("a", 0, 1, "sad")], label_map=tmp_path / name)


def shares(threshold: float, clips: int = 8) -> tuple[list, list]:
    """Codes, and frames of mien that are right from a probability on."""
    rng = np.random.default_rng(3)
    rows, found = [], []
    for k in range(clips):
        truth = np.repeat(rng.random(12) < 0.5, 10)
        some = []
        for t, happy in enumerate(truth):
            share = threshold + 0.04 if happy else threshold - 0.12
            (frame,) = frames(f"c{k}.mp4", ["happy"], share=float(share))
            some.append(type(frame)(frame.source, 9, 9, frame.faces, frame=t, time=t / 10, labels=LABELS))
            if happy:
                rows.append((f"c{k}", t / 10, (t + 1) / 10, "happy"))
        rows.append((f"c{k}", 0, 12, ""))
        found.append(some)
    return rows, found


class TestThreshold:
    def test_it_is_found_on_one_half_and_measured_on_the_other(self, tmp_path: Path) -> None:
        rows, found = shares(0.75)
        codes, results = write_codes(tmp_path / "c.csv", rows), write_frames(tmp_path / "f.csv", found)
        measured = measure_agreement(codes, results, tune_threshold=True)
        choice = measured.threshold
        assert choice is not None and choice.upper_threshold in CANDIDATES
        assert 0.6 < choice.upper_threshold <= 0.8
        assert choice.kappa > 0.9 > 0.2 > (choice.usual_kappa or 0)
        assert len(choice.chosen_on) == measured.clips == 4
        assert {one.clip for one in measured.disagreements}.isdisjoint(choice.chosen_on)
        assert (measured.pairs[0].kappa or 0) > 0.9
        assert "chosen on 4 clips, half of them by the hash" in measured.to_text()

    def test_the_halves_depend_on_names_alone(self, tmp_path: Path) -> None:
        rows, found = shares(0.75)
        codes, results = write_codes(tmp_path / "c.csv", rows), write_frames(tmp_path / "f.csv", found[::-1])
        first = measure_agreement(codes, results, tune_threshold=True).threshold
        write_codes(codes, [(f"x/{row[0]}.mp4", *row[1:]) for row in rows])
        again = measure_agreement(codes, results, tune_threshold=True).threshold
        assert first is not None and again is not None
        assert [f"x/{name}.mp4" for name in first.chosen_on] == list(again.chosen_on)

    def test_one_clip_is_refused_and_so_are_two_people(self, tmp_path: Path) -> None:
        rows, found = shares(0.75, 1)
        codes, results = write_codes(tmp_path / "c.csv", rows), write_frames(tmp_path / "f.csv", found)
        with pytest.raises(DatasetError, match="one clip"):
            measure_agreement(codes, results, tune_threshold=True)
        with pytest.raises(ValueError, match="rows of frames"):
            measure_agreement(codes, codes, tune_threshold=True)


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        (tmp_path / "clips").mkdir()
        write_clip(tmp_path / "clips" / "a.mp4", list(story())[:100])
        shown = ["happy"] * 20 + ["sad"] * 20
        write_frames(tmp_path / "faces.csv", [frames("a.mp4", shown), frames("<b>.mp4", shown)])
        rows = [("a", 0, 2.5, "happy"), ("a", 2.5, 4, "sad"), ("<b>", 0, 3, "happy")]
        write_codes(tmp_path / "codes.csv", rows)
        write_codes(tmp_path / "other.csv", [("a", 0, 2, "happy"), ("<b>", 1, 3, "sad")])
        return tmp_path

    def test_table(self, files: Path) -> None:
        done = typed.run("agree", "codes.csv", "faces.csv", cwd=files)
        assert done.returncode == 0, done.stderr
        assert "steps of 0.1 s" in done.stdout and "Confusion in seconds" in done.stdout
        assert re.search(r"codes.csv / faces.csv +0\.\d{3}", done.stdout)

    def test_files(self, files: Path) -> None:
        measured = measure_agreement(files / "codes.csv", files / "faces.csv")
        for name in ("new/a.json", "new/a.csv"):
            done = typed.run("agree", "codes.csv", "faces.csv", "-o", name, cwd=files)
            assert done.returncode == 0 and not done.stdout and f"figures in {name}" in done.stderr
        values = json.loads((files / "new/a.json").read_text())
        assert values["pairs"][0]["kappa"] == pytest.approx(measured.pairs[0].kappa, abs=1e-6)
        assert values["step"] == 0.1 and values["disagreements"]
        with (files / "new/a.csv").open(newline="") as file:
            rows = {(row["label"], row["figure"]): row["value"] for row in csv.DictReader(file)}
        assert float(rows["", "kappa"]) == pytest.approx(measured.pairs[0].kappa, abs=1e-6)
        assert float(rows["happy", "episodes_matched"]) == 2
        assert rows["", "kappa_low"] == ""
        done = typed.run("agree", "codes.csv", "faces.csv", "--format", "json", cwd=files)
        assert (
            json.loads(done.stdout)["pairs"]
            == json.loads((files / "new/a.json").read_text().replace('"codes.csv"', '"codes.csv"'))["pairs"]
        )

    def test_page(self, files: Path) -> None:
        done = typed.run(
            "agree",
            "codes.csv",
            "faces.csv",
            "other.csv",
            "--report",
            "p/page.html",
            "--clips",
            "clips",
            cwd=files,
        )
        assert done.returncode == 0, done.stderr
        page = (files / "p/page.html").read_text()
        assert "&lt;b&gt;" in page and "<b>" not in page
        assert "default-src 'none'" in page and "http://" not in page and "https://" not in page
        assert "Where they disagree" in page and "Confusion in seconds: codes.csv / faces.csv" in page
        assert page.count("data:image/jpeg") == sum(
            one.clip == "a"
            for one in measure_agreement(
                *(files / f"{n}.csv" for n in ("codes", "faces", "other"))
            ).disagreements
        )
        assert "Places without a picture" in page
        done = typed.run(
            "agree",
            "codes.csv",
            "faces.csv",
            "--report",
            "q.html",
            "--clips",
            "clips",
            "--no-thumbnails",
            cwd=files,
        )
        assert done.returncode == 0 and "data:image" not in (files / "q.html").read_text()

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ("codes.csv missing.csv", 1, "missing.csv: no such file or folder"),
            ("codes.csv clips", 1, "no file of codes in it"),
            ("codes.csv clips/a.mp4", 1, "expected a folder, or a file that ends in"),
            ("codes.csv faces.csv -o codes.csv", 2, "is one of the inputs"),
            ("codes.csv faces.csv -o x.txt", 2, "ends in .json or .csv"),
            ("codes.csv faces.csv --report x.pdf", 2, "ends in .html"),
            ("codes.csv faces.csv --step 0", 2, "0.001"),
            ("codes.csv other.csv --threshold", 2, "rows of frames"),
            ("codes.csv faces.csv --map missing.toml", 1, "missing.toml: cannot be read"),
            ("codes.csv faces.csv --clips missing", 1, "no such folder of clips"),
            ("codes.csv faces.csv --no-thumbnails", 2, "--report"),
            ("codes.csv", 2, "results"),
        ],
    )
    def test_what_is_wrong(self, words: str, code: int, said: str, files: Path) -> None:
        before = (files / "codes.csv").read_bytes()
        done = typed.run("agree", *words.split(), cwd=files)
        text = " ".join((done.stderr + done.stdout).replace("│", " ").split())
        assert (done.returncode, said in text) == (code, True), text
        assert "Traceback" not in text
        assert (files / "codes.csv").read_bytes() == before

    def test_a_file_of_a_folder_of_codes_is_not_written_over(self, files: Path) -> None:
        folder = files / "coder"
        folder.mkdir()
        (folder / "a.csv").write_text((files / "codes.csv").read_text())
        done = typed.run("agree", "coder", "faces.csv", "-o", "coder/a.csv", cwd=files)
        assert done.returncode == 2 and "is one of the inputs" in " ".join(done.stderr.split())

    def test_an_older_page_survives_an_error(self, files: Path) -> None:
        (files / "page.html").write_text("mine")
        done = typed.run(
            "agree", "codes.csv", "faces.csv", "--report", "page.html", "--clips", "nowhere", cwd=files
        )
        assert done.returncode == 1 and (files / "page.html").read_text() == "mine"


@pytest.mark.everywhere
def test_what_mien_writes_agrees_with_itself(tmp_path: Path) -> None:
    """The frames of a clip against its episodes, both by the command."""
    write_clip(tmp_path / "a.mp4", list(story())[:75])
    done = typed.run("video", "a.mp4", "-o", "faces.csv", "--episodes", "e.eaf", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = measure_agreement(tmp_path / "e.eaf", tmp_path / "faces.csv")
    assert found.clips == 1 and found.units >= 1
    whole = found.pairs[0].episodes["all"]
    assert (whole.missed, whole.extra) == (0, 0) and whole.matched > 0
    assert whole.onset == pytest.approx((0, 0, 0), abs=0.001)


def test_errors_are_miens() -> None:
    assert issubclass(DatasetError, MienError)
