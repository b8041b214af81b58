"""A study of clips: its tables, its statistics, the forms of other programs, and how it goes on."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from clips import scene, write_clip
from typer.testing import CliRunner

pytest.importorskip("pyarrow", reason="needs mien[study]")

from mien import (
    LABELS,
    Box,
    EmotionRecognizer,
    EpisodeSettings,
    Face,
    Prediction,
    TrackedFace,
    TrackedFrame,
    measure_agreement,
    run_study,
)
from mien._core.locks import hold_lock
from mien.agreement.code_reading import read_codes
from mien.cli.app import command_line
from mien.errors import SettingsError, StudyError
from mien.output.rows import encodable
from mien.output.writers import open_writer
from mien.study.columns import CLIPS, COMPARISONS, CONDITIONS, EPISODES, MEASURES, PEOPLE
from mien.study.frames import ClipFrames
from mien.study.lists import People, Segment, clip_names, read_people, read_segments
from mien.study.measures import measure_rows, people_rows, person_values
from mien.study.statistics import bootstrap_interval, comparison_rows, holm, sign_flip_p_value
from mien.video.episodes import find_episodes

TABLES = {
    "clips": CLIPS,
    "people": PEOPLE,
    "episodes": EPISODES,
    "measures": MEASURES,
    "conditions": CONDITIONS,
    "comparisons": COMPARISONS,
}
ANY = EpisodeSettings(upper_threshold=0.5, lower_threshold=0.5, min_duration=0.0, max_gap=0.0)


def tracked(
    seen: Sequence[dict[int, float]], step: float = 0.5, uncertain: float = 1.1
) -> list[TrackedFrame]:
    """Frames by the probability of "happy" of the tracks in them; those above `uncertain` are flagged."""
    frames = []
    for k, faces in enumerate(seen):
        found = []
        for track, share in faces.items():
            probabilities = dict.fromkeys(LABELS, 0.0) | {"happy": share, "neutral": 1 - share}
            answer = Prediction(probabilities, share > uncertain)
            box = Box(10, 20, 40, 60)
            found.append(TrackedFace(Face(box, 0.9), answer, track=track, smoothed=answer))
        frames.append(TrackedFrame("a.mp4", 99, 99, tuple(found), frame=k, time=k * step, labels=LABELS))
    return frames


def frames_of(tmp_path: Path, frames: Sequence[TrackedFrame]) -> ClipFrames:
    with (
        (tmp_path / "a.parquet").open("wb") as stream,
        open_writer("parquet", stream, LABELS, smoothed=True) as writer,
    ):
        for frame in frames:
            writer.write(frame)
    return ClipFrames.read("a.mp4", tmp_path / "a.parquet", LABELS)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class TestFrames:
    def test_episodes_are_those_of_the_frames_that_were_written(self, tmp_path: Path) -> None:
        frames = tracked([{1: 0.1}, {1: 0.9, 2: 0.6}, {}, {1: 0.7}, {1: 0.2, 2: 0.9}])
        for settings in (EpisodeSettings(min_duration=0.0), ANY):
            assert frames_of(tmp_path, frames).episodes(settings) == find_episodes(frames, settings)

    def test_a_frame_stands_until_the_next_and_the_last_as_long_as_the_shortest(self, tmp_path: Path) -> None:
        found = frames_of(tmp_path, tracked([{1: 0.5}, {}, {1: 0.5, 3: 0.5}]))
        assert found.ends.tolist() == [0.5, 1.0, 1.5]
        assert found.spans.tolist() == [[0, 0.5], [1, 1.5], [1, 1.5]]
        assert found.tracks == [1, 3]

    def test_without_a_face_or_a_frame(self, tmp_path: Path) -> None:
        assert frames_of(tmp_path, tracked([{}, {}])).tracks == []
        nothing = frames_of(tmp_path, [])
        assert (nothing.tracks, nothing.episodes(ANY), len(nothing.times)) == ([], [], 0)


class TestMeasures:
    def measured(
        self, tmp_path: Path, frames: Sequence[TrackedFrame], *segments: Segment, people: People | None = None
    ) -> list[dict[str, object]]:
        found = frames_of(tmp_path, frames)
        rows = measure_rows(found, found.episodes(ANY), people or People(), segments)
        return [row for row in rows if row["expression"] == "happy"]

    def test_counted_by_hand(self, tmp_path: Path) -> None:
        """Ten seconds, half a second a frame: happy in 1-2 and 6-8 s, not seen in 4-5 s."""
        seen: list[dict[int, float]] = [{1: 0.1}] * 20
        seen = [
            {} if 8 <= k < 10 else {1: 0.9 if 2 <= k < 4 or 12 <= k < 16 else 0.1} for k in range(len(seen))
        ]
        (row,) = self.measured(
            tmp_path, tracked(seen, uncertain=0.5), Segment("a.mp4", name="1", condition="c")
        )
        assert row == {
            "clip": "a.mp4",
            "segment": "1",
            "condition": "c",
            "start": 0.0,
            "end": 10.0,
            "person": "a.mp4:1",
            "expression": "happy",
            "observed": 9.0,
            "missing": 1.0,
            "not_read": 0.0,
            "uncertain": pytest.approx(3 / 9),
            "episodes": 2,
            "rate": pytest.approx(60 * 2 / 9),
            "episode_time": pytest.approx(3.0),
            "share": pytest.approx(3 / 9),
            "mean_duration": pytest.approx(1.5),
            "latency": pytest.approx(1.0),
            "ongoing_at_start": False,
            "mean_probability": pytest.approx((3 * 0.9 + 6 * 0.1) / 9),
        }

    def test_an_episode_over_the_border_of_a_segment(self, tmp_path: Path) -> None:
        seen = [{1: 0.9 if 2 <= k < 8 else 0.1} for k in range(12)]  # happy in 1-4 s
        first, second, third = self.measured(
            tmp_path,
            tracked(seen),
            Segment("a.mp4", 0.0, 2.0, "x"),
            Segment("a.mp4", 2.25, 6.0, "y"),
            Segment("a.mp4", 4.0, None, "z"),
        )
        assert (first["episodes"], first["episode_time"], first["latency"]) == (1, 1.0, 1.0)
        assert (second["episodes"], second["episode_time"], second["latency"]) == (0, 1.75, None)
        assert [one["ongoing_at_start"] for one in (first, second, third)] == [False, True, False]
        assert (second["observed"], second["mean_duration"]) == (pytest.approx(3.75), None)
        assert (third["share"], third["end"]) == (0.0, 6.0)

    def test_who_is_not_seen_has_no_rates(self, tmp_path: Path) -> None:
        row = self.measured(tmp_path, tracked([{1: 0.9}, {}, {}]), Segment("a.mp4", 0.5, 1.5, "x"))[0]
        assert (row["observed"], row["missing"]) == (0.0, 1.0)
        assert [row[name] for name in ("rate", "share", "uncertain", "mean_probability")] == [None] * 4

    def test_tracks_of_one_person_are_joined_and_who_does_not_take_part_is_left_out(
        self, tmp_path: Path
    ) -> None:
        seen: list[dict[int, float]] = [{1: 0.9, 5: 0.9}, {5: 0.9}, {2: 0.9}, {2: 0.1}]
        who = People({("a.mp4", 1): "Ada", ("a.mp4", 2): "Ada", ("a.mp4", 5): ""})
        (row,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4"), people=who)
        assert (row["person"], row["observed"], row["episodes"]) == ("Ada", 1.5, 2)
        found = frames_of(tmp_path, tracked(seen))
        assert [one["person"] for one in people_rows(found, who)] == ["Ada", "Ada", ""]

    def test_an_onset_that_nobody_saw_is_none(self, tmp_path: Path) -> None:
        """The face comes into view at 1 s with a smile, which ends at 2 s; another begins at 3 s."""
        seen = [{} if k < 2 else {1: 0.9 if k < 4 or 6 <= k < 8 else 0.1} for k in range(10)]
        (whole,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4"))
        assert (whole["episodes"], whole["latency"], whole["ongoing_at_start"]) == (2, None, True)
        (late,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4", 2.5))
        assert (late["episodes"], late["latency"], late["ongoing_at_start"]) == (1, 0.5, False)
        (inside,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4", 1.5))
        assert (inside["episodes"], inside["latency"], inside["ongoing_at_start"]) == (1, None, True)

    def test_back_with_a_smile_is_no_onset_either(self, tmp_path: Path) -> None:
        seen: list[dict[int, float]] = [{1: 0.1}, {1: 0.1}, {}, {}, {1: 0.9}, {1: 0.1}, {1: 0.9}, {1: 0.1}]
        (row,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4"))
        assert (row["episodes"], row["latency"], row["ongoing_at_start"]) == (2, None, False)

    def test_an_episode_goes_on_in_another_track(self, tmp_path: Path) -> None:
        seen: list[dict[int, float]] = [{1: 0.1}, {1: 0.9}, {1: 0.9}, {2: 0.9}, {2: 0.9}, {2: 0.1}]
        who = People({("a.mp4", 1): "Ada", ("a.mp4", 2): "Ada"})
        (row,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4"), people=who)
        assert (row["episodes"], row["mean_duration"], row["latency"]) == (1, 2.0, 0.5)
        (second,) = self.measured(tmp_path, tracked(seen), Segment("a.mp4", 1.5), people=who)
        assert (second["episodes"], second["ongoing_at_start"]) == (0, True)

    def test_what_was_not_read_is_not_missing(self, tmp_path: Path) -> None:
        frames = [f for f in tracked([{1: 0.9}] * 8) if f.time >= 1.0]  # read from 1 to 4 s
        (row,) = self.measured(tmp_path, frames, Segment("a.mp4"))
        assert (row["start"], row["end"], row["observed"], row["not_read"]) == (1.0, 4.0, 3.0, 0.0)
        (row,) = self.measured(tmp_path, frames, Segment("a.mp4", 0.0, 6.0))
        assert (row["observed"], row["missing"], row["not_read"]) == (3.0, 0.0, 3.0)
        with pytest.raises(StudyError, match="was read from 1 to 4 s"):
            self.measured(tmp_path, frames, Segment("a.mp4", 0.0, 1.0))
        found = frames_of(tmp_path, frames)
        broken = [
            row
            for segment in (Segment("a.mp4", 5.0), Segment("a.mp4", 5.0, 7.0))
            for row in measure_rows(found, [], People(), [segment], broken=True)
            if row["expression"] == "happy"
        ]
        assert [(row["observed"], row["missing"], row["not_read"], row["rate"]) for row in broken] == [
            (0.0, 0.0, 0.0, None),
            (0.0, 0.0, 2.0, None),
        ]

    def test_one_person_twice_in_a_frame_is_refused(self, tmp_path: Path) -> None:
        who = People({("a.mp4", 1): "Ada", ("a.mp4", 2): "Ada"})
        with pytest.raises(StudyError, match=r"'Ada', but two of them are seen at 0\.50 s"):
            self.measured(tmp_path, tracked([{1: 0.9}, {1: 0.9, 2: 0.1}]), Segment("a.mp4"), people=who)

    def test_a_segment_after_the_end_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            StudyError, match=r"s.csv, line 3: segment from 9 to 1 s, but a.mp4 was read from 0 to 1 s"
        ):
            self.measured(tmp_path, tracked([{1: 0.9}] * 2), Segment("a.mp4", 9.0, where="s.csv, line 3"))

    def test_a_persons_segments_of_a_condition_count_together(self) -> None:
        place = {"condition": "c", "person": "Ada", "expression": "happy"}
        rows = [
            place
            | {"observed": 10.0, "episodes": 1, "episode_time": 2.0, "mean_duration": 2.0, "latency": 3.0}
            | {"mean_probability": 0.2},
            place
            | {"observed": 30.0, "episodes": 3, "episode_time": 3.0, "mean_duration": 1.0, "latency": None}
            | {"mean_probability": 0.6},
            place
            | {"observed": 0.0, "episodes": 0, "episode_time": 0.0, "mean_duration": None, "latency": None}
            | {"mean_probability": None},
        ]
        names = ("rate", "share", "mean_duration", "latency", "mean_probability")
        values = person_values(rows, names)
        assert [values["c", "Ada", "happy", name] for name in names] == pytest.approx(
            [60 * 4 / 40, 5 / 40, (2 + 3) / 4, 3.0, (2 + 18) / 40]
        )


class TestStatistics:
    def test_the_exact_test_is_that_of_scipy(self) -> None:
        stats = pytest.importorskip("scipy.stats", reason="needs scipy")
        differences = np.array([0.3, -0.1, 0.5, 0.2, 0.4, 0.05, -0.2])
        exact = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        )
        assert sign_flip_p_value(differences) == pytest.approx(exact.pvalue)

    def test_many_people_are_drawn(self) -> None:
        rng = np.random.default_rng(3)
        assert sign_flip_p_value(rng.normal(1, 1, 40)) == pytest.approx(1 / 10_001)
        uniform = [sign_flip_p_value(rng.normal(0, 1, 18)) for _ in range(60)]
        assert 0.3 < np.mean(uniform) < 0.7

    def test_large_numbers_never_come_to_nought(self) -> None:
        rng = np.random.default_rng(0)
        for scale in (1, 400, 3000):
            for _ in range(60):
                assert sign_flip_p_value(np.abs(rng.normal(scale, scale / 5, 8))) >= 2 / 256

    def test_five_people_cannot_be_significant(self) -> None:
        assert sign_flip_p_value(np.ones(5)) == 2 / 32

    def test_the_interval_is_that_of_scipy(self) -> None:
        stats = pytest.importorskip("scipy.stats", reason="needs scipy")
        values = np.random.default_rng(0).gamma(2, 1, 25)
        theirs = stats.bootstrap(
            (values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(1)
        )
        assert bootstrap_interval(values) == pytest.approx(tuple(theirs.confidence_interval), abs=0.06)
        assert bootstrap_interval(values[:1]) == (None, None)

    def test_holm_as_r_adjusts(self) -> None:
        # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R's stats
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_only_people_with_both_conditions_are_compared(self) -> None:
        values = {
            ("a", "Ada", "happy", "share"): 0.2,
            ("b", "Ada", "happy", "share"): 0.5,
            ("a", "Bob", "happy", "share"): 0.1,
            ("b", "Bob", "happy", "share"): 0.2,
            ("b", "Cyd", "happy", "share"): 0.9,
        }
        (row,) = comparison_rows(values, ("a", "b"), ["happy", "sad"], ["share"], ["Ada", "Bob", "Cyd"])
        assert (row["people"], row["difference"]) == (2, pytest.approx(0.2))
        assert row["effect_size"] == pytest.approx(0.2 / np.std([0.3, 0.1], ddof=1))
        assert (row["p_value"], row["p_holm"]) == (0.5, 0.5)


class TestLists:
    CLIPS = ("a.mp4", "b/c.mp4", "d/c.mp4")

    def write(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        return path

    def test_names(self) -> None:
        assert clip_names([Path("x/a.mp4"), Path("b/c.mp4"), Path("d/c.mp4")]) == list(self.CLIPS)

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_segments(self, separator: str, tmp_path: Path) -> None:
        text = "﻿Clip,start,end,Condition\r\na,,2.5,calm\r\n\r\nb/c.mp4,1,,\r\na.mp4,3,4,loud\r\n"
        found = read_segments(self.write(tmp_path, text.replace(",", separator)), self.CLIPS)
        assert [(one.clip, one.start, one.end, one.name, one.condition) for one in found] == [
            ("a.mp4", None, 2.5, "1", "calm"),
            ("b/c.mp4", 1.0, None, "1", ""),
            ("a.mp4", 3.0, 4.0, "2", "loud"),
        ]

    def test_lines_of_other_clips_are_said(self, tmp_path: Path) -> None:
        said: list[str] = []
        text = 'clip;start;end\na;0,5;1,25\nz;0;1\ny;0;1\n"odd\nname.mp4";0;1\n'
        found = read_segments(self.write(tmp_path, text), [*self.CLIPS, "odd\nname.mp4"], said.append)
        assert [(one.clip, one.start, one.end) for one in found] == [
            ("a.mp4", 0.5, 1.25),
            ("odd\nname.mp4", 0.0, 1.0),
        ]
        assert said == [f"{tmp_path / 'list.csv'}: 2 lines of clips that are not in this study: z, y"]

    def test_a_track_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        people = read_people(self.write(tmp_path, "clip,track,person\na,22,Ada\n"), self.CLIPS)
        with pytest.raises(StudyError, match=r"line 2: a.mp4 has no track 22; it has 1, 2"):
            people.check("a.mp4", [1, 2])
        people.check("b/c.mp4", [])

    def test_people(self, tmp_path: Path) -> None:
        people = read_people(
            self.write(tmp_path, "clip,track,person,note\na,1,Ada,\na,2,,poster\n"), self.CLIPS
        )
        assert people.person("a.mp4", 1) == "Ada"
        assert people.person("a.mp4", 2) is None
        assert people.person("a.mp4", 3) == "a.mp4:3"
        assert [people.is_named("a.mp4", track) for track in (1, 2, 3)] == [True, False, False]

    @pytest.mark.parametrize(
        "text, words",
        [
            ("clip,start\na,1\n", r"no column end; it has clip, start, expected clip, start, end"),
            ("", "it has none"),
            ("clip,start,end\ne,1,2\n", r"no line is of a clip of this study: e; expected a.mp4, b/c.mp4"),
            ("clip,start,end\nc,1,2\n", r"'c' may be b/c.mp4 or d/c.mp4"),
            ("clip,start,end\na,2,1\n", r"end 1 s: expected after the start, 2 s"),
            ("clip,start,end\na,1:30,200\n", r"start '1:30': expected seconds"),
            ("clip,start,end\na,-1,2\n", "start '-1': expected seconds"),
            ("clip,start,end\na,nan,2\n", "start 'nan': expected seconds"),
            ("clip,start,end\na,1\n", r"line 2: 2 cells; expected 3"),
            ("clip,start,end\n", "no line below the header"),
            (
                "clip,start,end,condition\na,1,4,x\na,3,5,x\n",
                r"line 3: overlaps with .*line 2 in condition 'x'",
            ),
            ("clip,start,end,condition\na,1,2,NA\n", "condition 'NA': pandas or R would read no value"),
            (
                "clip,start,end,segment\na,1,2,x\na,3,4,x\n",
                "segment x of a.mp4 for the second time; expected other names",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, text: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match=words):
            read_segments(self.write(tmp_path, text), self.CLIPS)

    @pytest.mark.parametrize(
        "text, words",
        [
            ("clip,track,person\na,x,Ada\n", "track 'x': expected a whole number"),
            ("clip,track,person\na,1,Ada\na,1,Bob\n", "track 1 of a.mp4 for the second time"),
        ],
    )
    def test_what_is_wrong_with_people_is_said(self, text: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match=words):
            read_people(self.write(tmp_path, text), self.CLIPS)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match=r"gone.csv: No such file.*; expected a CSV file with clip"):
            read_people(tmp_path / "gone.csv", self.CLIPS)
        (tmp_path / "utf16.csv").write_bytes("clip".encode("utf-16"))
        with pytest.raises(StudyError, match="not UTF-8"):
            read_people(tmp_path / "utf16.csv", self.CLIPS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of a smiling and of a serious person, and a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "one.mp4", (scene((0, 100 + k, 90), (1, 400, 100)) for k in range(20)), fps=10)
    write_clip(folder / "two.mp4", (scene((0, 300 - k, 90)) for k in range(16)), fps=10)
    (folder / "broken.mp4").write_bytes(b"no clip")
    return folder


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of segments and of people."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "segments.csv").write_text(
        "clip,start,end,condition\none,0,1,before\none,1,2,after\ntwo,0,0.8,before\ntwo,0.8,1.6,after\n"
    )
    (folder / "people.csv").write_text("clip,track,person\none,1,Grace\none,2,Eileen\ntwo,1,Eileen\n")
    return folder / "segments.csv", folder / "people.csv"


@pytest.fixture(scope="module")
def study(
    clips: Path, lists: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A study, and what the command said."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    done = _run(clips, folder, lists)
    assert done.exit_code == 1, done.output  # one clip is broken
    return folder, done.output


def _run(clips: Path, folder: Path, lists: tuple[Path, Path], *more: str):  # type: ignore[no-untyped-def]
    words = ["study", str(clips), "--output", str(folder), "--write", "eaf,textgrid,vtt,srt,boris,openface"]
    words += ["--segments", str(lists[0]), "--people", str(lists[1]), "--min-duration", "0.3", *more]
    return CliRunner().invoke(command_line(), words)


class TestTables:
    def test_what_the_command_says(self, study: tuple[Path, str]) -> None:
        folder, said = study
        assert re.search(r"^mien: \S+/broken.mp4: ", said, re.MULTILINE)
        assert re.search(rf"3 clips, 2 people, \d+ episodes in {re.escape(str(folder))}/", said)

    def test_the_people_and_the_broken_clip(self, study: tuple[Path, str]) -> None:
        people = rows_of(study[0] / "people.csv")
        assert [(row["clip"], row["track"], row["person"]) for row in people] == [
            ("one.mp4", "1", "Grace"),
            ("one.mp4", "2", "Eileen"),
            ("two.mp4", "1", "Eileen"),
        ]
        broken, one, _ = rows_of(study[0] / "clips.csv")
        assert (broken["clip"], broken["frames"], broken["tracks"]) == ("broken.mp4", "0", "0")
        assert broken["error"]
        assert (one["frames"], one["frame_rate"], one["tracks"], one["face_seen"]) == (
            "20",
            "10.0",
            "2",
            "1.0",
        )

    def test_she_smiles(self, study: tuple[Path, str]) -> None:
        measures = rows_of(study[0] / "measures.csv")
        assert len(measures) == (2 * 2 + 2) * len(LABELS)
        smiles = [row for row in measures if row["person"] == "Eileen" and row["expression"] == "happy"]
        assert all(float(row["share"]) > 0.9 and float(row["observed"]) > 0.7 for row in smiles)
        compared = rows_of(study[0] / "comparisons.csv")
        assert {(row["first"], row["second"]) for row in compared} == {("before", "after")}
        assert {row["people"] for row in compared if row["measure"] == "share"} == {"2"}

    @pytest.mark.parametrize("name", TABLES)
    def test_one_header_plain_numbers_and_words(self, name: str, study: tuple[Path, str]) -> None:
        columns = TABLES[name]
        rows = rows_of(study[0] / f"{name}.csv")
        assert rows and list(rows[0]) == list(columns)
        for row in rows:
            for column, text in row.items():
                if text:
                    pattern = {bool: "TRUE|FALSE", int: r"-?\d+", float: r"-?\d+\.\d{1,6}"}.get(
                        columns[column].kind
                    )
                    assert pattern is None or re.fullmatch(pattern, text), (column, text)

    @pytest.mark.parametrize("name", TABLES)
    def test_pandas_reads_the_types(self, name: str, study: tuple[Path, str]) -> None:
        pandas = pytest.importorskip("pandas", reason="needs pandas")
        table = pandas.read_csv(study[0] / f"{name}.csv")
        for column, about in TABLES[name].items():
            kinds = {bool: "b", float: "f", int: "i"}.get(about.kind)
            if kinds and table[column].notna().all():
                assert table[column].dtype.kind == kinds, column

    def test_frames(self, study: tuple[Path, str]) -> None:
        from pyarrow import parquet

        table = parquet.read_table(study[0] / "frames.parquet").to_pydict()
        assert set(table["clip"]) == {"one.mp4", "two.mp4"}
        assert set(table["person"]) == {"Eileen", "Grace"}
        assert sum(clip == "one.mp4" for clip in table["clip"]) == 40

    def test_the_codebook_explains_every_column(self, study: tuple[Path, str]) -> None:
        from pyarrow import parquet

        book = json.loads((study[0] / "codebook.json").read_text(encoding="utf-8"))
        assert set(book["tables"]) == {*(f"{name}.csv" for name in TABLES), "frames.parquet"}
        for file, columns in book["tables"].items():
            path = study[0] / file
            there = parquet.read_schema(path).names if path.suffix == ".parquet" else list(rows_of(path)[0])
            assert list(columns) == there
            assert all(one["meaning"] for one in columns.values())
        text = (study[0] / "codebook.md").read_text(encoding="utf-8")
        assert "`p_holm`" in text and "`upper_threshold` | 0.4" in text

    def test_agreement_reads_them(self, study: tuple[Path, str]) -> None:
        found = measure_agreement(study[0] / "episodes.csv", study[0] / "frames.parquet")
        assert found.pairs[0].agreement == 1.0
        assert found.pairs[0].labels["happy"].f1 == 1.0
        assert {one.person for one in read_codes(study[0] / "frames.parquet").clips["one.mp4"].segments} == {
            "Eileen",
            "Grace",
        }

    def test_the_page(self, study: tuple[Path, str]) -> None:
        page = (study[0] / "report.html").read_text(encoding="utf-8")
        for words in (
            "Paired comparison",
            "Eileen",
            "broken.mp4",
            "How to report these figures",
            "missing, not",
        ):
            assert words in page


class TestForms:
    def test_elan(self, study: tuple[Path, str]) -> None:
        elan = pytest.importorskip("pympi.Elan", reason="needs pympi-ling")
        eaf = elan.Eaf(str(study[0] / "eaf" / "one.eaf"))
        assert "Eileen happy" in eaf.get_tier_names()
        ours = [row for row in rows_of(study[0] / "episodes.csv") if row["clip"] == "one.mp4"]
        happy = [row for row in ours if (row["person"], row["expression"]) == ("Eileen", "happy")]
        theirs = eaf.get_annotation_data_for_tier("Eileen happy")
        assert [(a[0], a[1]) for a in theirs] == [
            (round(1000 * float(row["onset"])), round(1000 * float(row["offset"]))) for row in happy
        ]

    def test_praat_and_players(self, study: tuple[Path, str]) -> None:
        parselmouth = pytest.importorskip("parselmouth", reason="needs praat-parselmouth")
        subtitles = pytest.importorskip("pysubs2", reason="needs pysubs2")
        grid = parselmouth.read(str(study[0] / "textgrid" / "one.TextGrid"))
        assert grid.xmax == pytest.approx(2.0)
        for form in ("vtt", "srt"):
            read = subtitles.load(str(study[0] / form / f"one.{form}"))
            assert any("Eileen: happy" in event.plaintext for event in read)

    def test_boris(self, study: tuple[Path, str]) -> None:
        """The columns of BORIS 8.27.4: export_observation.py, export_events.py."""
        events = rows_of(study[0] / "boris" / "one-events.csv")
        states = rows_of(study[0] / "boris" / "one-aggregated.csv")
        assert list(events[0])[9:14] == [
            "Subject", "Behavior", "Behavioral category", "Behavior type", "Time",
        ]  # fmt: skip
        assert list(states[0])[13:18] == [
            "Behavior type", "Start (s)", "Stop (s)", "Duration (s)", "Media file name",
        ]  # fmt: skip
        ours = [row for row in rows_of(study[0] / "episodes.csv") if row["clip"] == "one.mp4"]
        assert len(states) == len(ours) and len(events) == 2 * len(ours)
        assert [float(row["Time"]) for row in events] == sorted(float(row["Time"]) for row in events)
        open_: set[tuple[str, str]] = set()
        for row in events:
            key = row["Subject"], row["Behavior"]
            assert (key in open_) == (row["Behavior type"] == "STOP")
            open_ ^= {key}
        assert not open_

    def test_openface(self, study: tuple[Path, str]) -> None:
        rows = rows_of(study[0] / "openface" / "one.csv")
        assert list(rows[0])[:5] == ["frame", "face_id", "timestamp", "confidence", "success"]
        assert [row["frame"] for row in rows][:4] == ["1", "1", "2", "2"]
        assert {row["success"] for row in rows} == {"1"}
        assert rows_of(study[0] / "openface" / "broken.csv") == []


class TestGoingOn:
    def test_nothing_is_read_twice(
        self, study: tuple[Path, str], clips: Path, lists: tuple[Path, Path]
    ) -> None:
        folder, before = study[0], (study[0] / "episodes.csv").read_bytes()
        times = {path: path.stat().st_mtime_ns for path in (folder / "read").glob("[ot]*.parquet")}
        again = _run(clips, folder, lists)
        assert "3 clips (1 read now)" in again.output  # the broken one, for it may be whole now
        assert (folder / "episodes.csv").read_bytes() == before
        assert {path: path.stat().st_mtime_ns for path in times} == times
        other = _run(clips, folder, lists, "--upper-threshold", "0.999", "--lower-threshold", "0.99")
        assert other.exit_code == 1 and (folder / "episodes.csv").read_bytes() != before
        _run(clips, folder, lists)
        assert (folder / "episodes.csv").read_bytes() == before

    def test_a_clip_that_changed_is_read_anew(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "a.mp4", [scene((0, 100, 90))] * 5, fps=10)
        assert run_study([clip], tmp_path / "study").read == 1
        assert run_study([clip], tmp_path / "study").read == 0
        write_clip(clip, [scene()] * 7, fps=10)
        done = run_study([clip], tmp_path / "study")
        assert (done.read, done.people, dict(done.failed)) == (1, 0, {})
        assert done.page.exists()

    def test_the_command_with_nothing_but_a_clip(self, clips: Path, tmp_path: Path) -> None:
        words = ["study", str(clips / "two.mp4"), "--output", str(tmp_path / "study")]
        done = CliRunner().invoke(command_line(), words)
        assert done.exit_code == 0, done.output
        names = {path.name for path in (tmp_path / "study").iterdir()}
        always = {"clips.csv", "people.csv", "episodes.csv", "measures.csv", "frames.parquet", "report.html"}
        assert names == always | {
            "codebook.json",
            "codebook.md",
            "study.json",
            "read",
            "written.jsonl",
            "lock",
        }
        wrong = CliRunner().invoke(command_line(), [*words, "--smoothing", "-1"])
        assert wrong.exit_code == 2 and "smoothing" in wrong.output

    def test_another_way_of_reading_is_refused(
        self, study: tuple[Path, str], clips: Path, lists: tuple[Path, Path]
    ) -> None:
        done = _run(clips, study[0], lists, "--fps", "5")
        assert isinstance(done.exception, StudyError)
        assert "was read with {'fps': None}, now {'fps': 5.0}" in str(done.exception)

    def test_a_study_of_before_turns_goes_on_without_them(self, clips: Path, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        run_study([clips / "two.mp4"], folder)
        record = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        del record["reading"]["turns"]
        (folder / "study.json").write_text(json.dumps(record), encoding="utf-8")
        run_study([clips / "two.mp4"], folder)
        with pytest.raises(StudyError, match="turns"):
            run_study([clips / "two.mp4"], folder, recognizer=EmotionRecognizer(turns=True))

    def test_a_table_that_somebody_changed_is_not_lost(self, clips: Path, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        run_study([clips / "two.mp4"], folder)
        people = folder / "people.csv"
        people.write_text(people.read_text(encoding="utf-8").replace("two.mp4:1", "Eileen"))
        before = people.read_bytes()
        with pytest.raises(StudyError, match=r"people.csv: was changed since it was written.*move it"):
            run_study([clips / "two.mp4"], folder)
        with pytest.raises(StudyError, match=r"people.csv: a list in the folder of the study.*move it"):
            run_study([clips / "two.mp4"], folder, people=people)
        assert people.read_bytes() == before
        people.rename(tmp_path / "who.csv")
        run_study([clips / "two.mp4"], folder, people=tmp_path / "who.csv")
        assert rows_of(people)[0]["person"] == "Eileen"

    def test_files_of_somebody_else_are_not_written_over(self, clips: Path, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        run_study([clips / "two.mp4"], folder, write=["eaf"])
        coded = folder / "eaf" / "two.eaf"
        coded.write_text("coded by hand")
        with pytest.raises(StudyError, match=r"two.eaf: was changed"):
            run_study([clips / "two.mp4"], folder)
        coded.unlink()
        (folder / "vtt").mkdir()
        (folder / "vtt" / "two.vtt").write_text("mine")
        with pytest.raises(StudyError, match=r"two.vtt: is there already, and not of this study"):
            run_study([clips / "two.mp4"], folder, write=["vtt"])
        assert (folder / "vtt" / "two.vtt").read_text() == "mine"
        run_study([clips / "two.mp4"], folder, write=["srt"])
        run_study([clips / "two.mp4"], folder)
        assert not (folder / "srt" / "two.srt").exists()  # of what was found then, perhaps

    def test_a_clip_that_is_away_or_moved_keeps_what_was_read(self, clips: Path, tmp_path: Path) -> None:
        here, there = tmp_path / "here" / "two.mp4", tmp_path / "there" / "two.mp4"
        for place in (here, there):
            place.parent.mkdir()
        here.write_bytes((clips / "two.mp4").read_bytes())
        folder = tmp_path / "study"
        before = run_study([here], folder).episodes
        here.rename(there)
        away = run_study([here], folder)
        assert (away.read, away.episodes, dict(away.failed)) == (0, before, {})
        moved = run_study([there, there.parent, there.parent / ".." / "there"], folder, write=["eaf"])
        assert (moved.clips, moved.read) == (1, 0)
        assert rows_of(folder / "clips.csv")[0]["path"] == str(there)
        assert there.as_uri() in (folder / "eaf" / "two.eaf").read_text(encoding="utf-8")

    def test_two_clips_of_one_name(self, clips: Path, tmp_path: Path) -> None:
        for name in ("a/two.mp4", "b/two.mp4"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_bytes((clips / "two.mp4").read_bytes())
        folder = tmp_path / "study"
        done = run_study([tmp_path / "a", tmp_path / "b"], folder, write=["eaf"])
        assert (done.clips, len(list((folder / "eaf").iterdir()))) == (2, 2)

    @pytest.mark.parametrize("damage", ["record", "frames", "half"])
    def test_what_is_damaged_is_read_anew(self, damage: str, clips: Path, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        before = run_study([clips / "two.mp4"], folder).episodes
        (frames,) = (folder / "read").glob("*.parquet")
        if damage == "record":
            frames.with_suffix(".json").write_text("{")
        elif damage == "frames":
            frames.write_bytes(frames.read_bytes()[:-9])
        else:  # killed before anything was read
            (folder / "study.json").rename(tmp_path / "study.json")
            for path in [*folder.rglob("*")]:
                path.is_file() and path.unlink()
            (tmp_path / "study.json").rename(folder / "study.json")
        done = run_study([clips / "two.mp4"], folder)
        assert (done.read, done.episodes) == (1, before)

    def test_one_run_at_a_time(self, clips: Path, tmp_path: Path) -> None:
        pytest.importorskip("fcntl", reason="no locks here")
        folder = tmp_path / "study"
        run_study([clips / "two.mp4"], folder)
        with (
            hold_lock(folder / "lock", folder),
            pytest.raises(SettingsError, match="another run writes here now"),
        ):
            run_study([clips / "two.mp4"], folder)

    @pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
    def test_odd_names(self, clips: Path, tmp_path: Path) -> None:
        clip = tmp_path / os.fsdecode(b"odd \xff $x^{$.mp4")
        clip.write_bytes((clips / "two.mp4").read_bytes())
        (tmp_path / "s.csv").write_text(
            f"clip,start,end,condition\n{encodable(clip.name)},0,1,_control $5 or $6\n"
        )
        done = run_study([clip], tmp_path / "study", segments=tmp_path / "s.csv", write=["eaf", "openface"])
        assert done.page.exists() and not done.failed
        assert rows_of(tmp_path / "study" / "conditions.csv")[0]["condition"] == "_control $5 or $6"

    def test_who_does_not_take_part_is_nowhere(self, clips: Path, tmp_path: Path) -> None:
        from pyarrow import parquet

        (tmp_path / "who.csv").write_text("clip,track,person\none,1,\none,2,Eileen\n")
        folder = tmp_path / "study"
        run_study(
            [clips / "one.mp4"], folder, people=tmp_path / "who.csv", write=["openface", "eaf", "boris"]
        )
        assert set(parquet.read_table(folder / "frames.parquet")["person"].to_pylist()) == {"Eileen"}
        assert {row["face_id"] for row in rows_of(folder / "openface" / "one.csv")} == {"2"}
        for name in ("eaf/one.eaf", "boris/one-events.csv", "boris/one-aggregated.csv"):
            assert "Person 1" not in (folder / name).read_text(encoding="utf-8")
        assert {row["person"] for row in rows_of(folder / "measures.csv")} == {"Eileen"}

    def test_a_folder_of_something_else_is_left_alone(self, clips: Path, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(StudyError, match="not empty, and no study"):
            run_study([clips], tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_wrong_usage_comes_before_reading(self, clips: Path, tmp_path: Path) -> None:
        for options, words in (
            ({"write": ["xls"]}, "form 'xls': expected one of eaf"),
            ({"people": tmp_path / "gone.csv"}, "gone.csv"),
            ({"segments": tmp_path / "gone.csv"}, "gone.csv"),
        ):
            with pytest.raises(StudyError, match=words):
                run_study([clips], tmp_path / "study", **options)  # type: ignore[arg-type]
        with pytest.raises(StudyError, match="no clip"):
            run_study([], tmp_path / "study")
        with pytest.raises(ValueError, match="smoothing"):
            run_study([clips], tmp_path / "study", smoothing=-1.0)
        assert not (tmp_path / "study").exists()
