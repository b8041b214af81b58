"""Episodes: onset, peak and offset by two thresholds, gaps that are bridged, and the files that hold them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from clips import story, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mien import LABELS, Box, EmotionRecognizer, Face, FrameResult, Prediction, TrackedFace, TrackedFrame
from mien.cli.app import command_line
from mien.video.episodes import COLUMNS, Episode, EpisodeFinder, EpisodeSettings, find_episodes

STEP = 0.1


def frame(
    time: float, happy: dict[int, float], source: str = "a.mp4", uncertain: bool = False
) -> TrackedFrame:
    """A frame in which these tracks have these probabilities of "happy"; the rest is "neutral"."""
    faces = []
    for track, share in happy.items():
        probabilities = dict.fromkeys(LABELS, 0.0) | {"happy": share, "neutral": 1 - share}
        smoothed = Prediction(probabilities, uncertain=uncertain)
        faces.append(TrackedFace(Face(Box(0, 0, 9, 9), 0.9), smoothed, track=track, smoothed=smoothed))
    return TrackedFrame(source, 99, 99, tuple(faces), time=time, labels=LABELS)


def clip(happy: Sequence[float | None], step: float = STEP, source: str = "a.mp4") -> list[TrackedFrame]:
    """Frames of one person, None where the face is not seen."""
    return [frame(k * step, {} if p is None else {1: p}, source) for k, p in enumerate(happy)]


def happy(frames: Sequence[FrameResult], **changes: float) -> list[Episode]:
    wanted = EpisodeSettings(
        **{"upper_threshold": 0.5, "lower_threshold": 0.3, "min_duration": 0.0, "max_gap": 0.0} | changes
    )
    return [one for one in find_episodes(frames, wanted) if one.emotion == "happy"]


def times(found: Sequence[Episode]) -> list[tuple[float, float, float]]:
    return [(round(one.onset, 6), round(one.peak, 6), round(one.offset, 6)) for one in found]


class TestOne:
    def test_from_the_lower_threshold_to_the_lower_threshold(self) -> None:
        (one,) = happy(clip([0.1, 0.4, 0.6, 0.9, 0.4, 0.2, 0.1]))
        assert times([one]) == [(0.1, 0.3, 0.5)]
        assert (one.source, one.track, one.frames, one.missing) == ("a.mp4", 1, 4, 0.0)
        assert one.peak_probability == 0.9
        assert one.mean_probability == pytest.approx((0.4 + 0.6 + 0.9 + 0.4) / 4)
        assert one.duration == pytest.approx(0.4)
        assert not one.open_start and not one.open_end

    def test_without_the_upper_threshold_there_is_none(self) -> None:
        assert happy(clip([0.1, 0.4, 0.49, 0.4, 0.1])) == []

    def test_the_thresholds_themselves_count(self) -> None:
        assert times(happy(clip([0.1, 0.3, 0.5, 0.3, 0.1]))) == [(0.1, 0.2, 0.4)]

    def test_the_mean_is_over_time_and_not_over_frames(self) -> None:
        frames = [frame(t, {1: p}) for t, p in ((0.0, 0.1), (0.1, 0.6), (0.2, 0.9), (0.8, 0.0), (0.9, 0.0))]
        (one,) = happy(frames)
        assert one.mean_probability == pytest.approx((0.1 * 0.6 + 0.6 * 0.9) / 0.7)
        assert times([one]) == [(0.1, 0.2, 0.8)]

    def test_the_last_frame_stands_as_long_as_the_shortest(self) -> None:
        assert times(happy(clip([0.0, 0.9, 0.9]))) == [(0.1, 0.1, 0.3)]
        late = [*clip([0.0, 0.0, 0.0]), frame(8.0, {1: 0.9})]
        assert times(happy(late)) == [(8.0, 8.0, 8.1)]

    def test_frames_of_one_time_count_and_are_no_episode(self) -> None:
        assert happy([frame(0.0, {1: 0.9}), frame(0.0, {1: 0.9}), frame(0.1, {1: 0.0})])[0].frames == 2
        last = [frame(0.0, {1: 0.9}), frame(0.1, {1: 0.0}), frame(0.1, {1: 0.0})]
        assert not happy(last)[0].open_end

    def test_a_single_frame(self) -> None:
        assert times(happy(clip([0.9]))) == [(0.0, 0.0, 0.04)]

    def test_where_few_frames_are_read_each_stands_until_the_next(self) -> None:
        (one,) = happy(clip([0.1, 0.8, 0.8, 0.8, 0.1], step=5.0))
        assert times([one]) == [(5.0, 5.0, 20.0)]
        assert one.missing == 0

    def test_share_of_uncertain_time(self) -> None:
        frames = [frame(k * STEP, {1: 0.8}, uncertain=k < 1) for k in range(4)]
        (one,) = happy(frames)
        assert one.uncertain == pytest.approx(0.25)


class TestGaps:
    def test_a_short_one_is_bridged_and_a_longer_one_is_not(self) -> None:
        frames = clip([0.0, 0.8, 0.1, 0.1, 0.8, 0.0])
        assert times(happy(frames, max_gap=0.2)) == [(0.1, 0.1, 0.5)]
        assert times(happy(frames, max_gap=0.19)) == [(0.1, 0.1, 0.2), (0.4, 0.4, 0.5)]

    def test_what_is_bridged_counts_in_the_mean(self) -> None:
        (one,) = happy(clip([0.0, 0.8, 0.2, 0.8, 0.0]), max_gap=0.2)
        assert one.mean_probability == pytest.approx(0.6)
        assert one.frames == 3

    def test_a_missing_face_is_said_and_not_counted(self) -> None:
        (one,) = happy(clip([0.0, 0.8, None, None, 0.6, 0.0]), max_gap=0.2)
        assert times([one]) == [(0.1, 0.1, 0.5)]
        assert one.missing == pytest.approx(0.2)
        assert one.mean_probability == pytest.approx(0.7)

    def test_too_short_is_dropped(self) -> None:
        frames = clip([0.0, 0.8, 0.0, 0.0, 0.8, 0.8, 0.8, 0.0])
        assert times(happy(frames, min_duration=0.3)) == [(0.4, 0.4, 0.7)]


class TestOpenEnds:
    def test_there_when_the_face_comes_and_goes(self) -> None:
        (one,) = happy(clip([None, 0.8, 0.8, None, None]))
        assert one.open_start and one.open_end

    def test_out_of_sight_in_between(self) -> None:
        first, second = happy(clip([0.0, 0.8, None, None, None, 0.8, 0.0]), max_gap=0.1)
        assert (first.open_start, first.open_end) == (False, True)
        assert (second.open_start, second.open_end) == (True, False)

    def test_at_the_ends_of_the_clip(self) -> None:
        (one,) = happy(clip([0.8, 0.8, 0.8]))
        assert one.open_start and one.open_end


class TestMany:
    def test_people_and_expressions_are_apart(self) -> None:
        frames = [frame(k * STEP, {1: 0.9, 2: 0.1} if k < 3 else {2: 0.9}) for k in range(6)]
        found = find_episodes(frames, EpisodeSettings(min_duration=0.2))
        assert [(one.track, one.emotion) for one in found] == [(1, "happy"), (2, "neutral"), (2, "happy")]
        assert [round(one.onset, 6) for one in found] == [0.0, 0.0, 0.3]

    def test_clips_do_not_mix(self) -> None:
        frames = clip([0.9, 0.9], source="b.mp4") + clip([0.9, 0.9], source="a.mp4")
        assert [(one.source, round(one.offset, 6)) for one in happy(frames)] == [
            ("b.mp4", 0.2),
            ("a.mp4", 0.2),
        ]

    def test_a_clip_twice_in_a_row(self) -> None:
        found = happy(clip([0.9, 0.9]) * 2)
        assert times(found) == [(0.0, 0.0, 0.2)] * 2

    def test_errors_and_stills_are_passed_over(self) -> None:
        frames = [
            *clip([0.9, 0.9]),
            FrameResult("a.mp4", error="broken", labels=LABELS),
            FrameResult("x.png"),
        ]
        assert len(happy(frames)) == 1

    def test_nothing(self) -> None:
        assert find_episodes([]) == []
        assert find_episodes(clip([None, None])) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"upper_threshold": 1.5}, "upper_threshold"),
        ({"upper_threshold": 0.3, "lower_threshold": 0.4}, "expected at most upper_threshold"),
        ({"max_gap": -1.0}, "max_gap"),
        ({"min_duration": float("nan")}, "min_duration"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EpisodeSettings(**wrong)


def spans(values: Sequence[float | None], upper: float, lower: float, gap: int) -> list[tuple[int, int]]:
    """The same from the whole series at once: (first, after the last) frame."""
    inside = np.array([p is not None and p >= lower for p in values], bool)
    places = np.flatnonzero(inside)
    runs = np.split(places, np.flatnonzero(np.diff(places) > gap + 1) + 1) if len(places) else []
    return [(int(r[0]), int(r[-1]) + 1) for r in runs if max(values[k] or 0 for k in r) >= upper]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 20).map(lambda n: n / 20)), max_size=40),
    st.integers(0, 3),
)
def test_frame_by_frame_gives_what_the_whole_series_gives(values: list[float | None], gap: int) -> None:
    found = happy(clip(values), max_gap=gap * STEP)
    expected = spans(values, 0.5, 0.3, gap)
    ends = [(round(one.onset / STEP), round(one.offset / STEP)) for one in found]
    if len(values) > 1:  # a frame alone stands for another time
        assert ends == expected
    for one, (first, after) in zip(found, expected, strict=True):
        seen = [p for p in values[first:after] if p is not None]
        assert one.frames == len(seen)
        assert one.peak_probability == max(seen)
        assert one.open_start == (not any(p is not None for p in values[max(0, first - gap - 1) : first]))
        assert one.open_end == (not any(p is not None for p in values[after : after + gap + 1]))


class TestFiles:
    @pytest.fixture(scope="class")
    @classmethod
    def story_clip(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return write_clip(tmp_path_factory.mktemp("clips") / "story.mp4", list(story()))

    def run(self, *words: object) -> tuple[int, str]:
        done = CliRunner().invoke(command_line(), ["video", *map(str, words)], catch_exceptions=False)
        return done.exit_code, done.output

    def test_every_form_has_the_same_rows(self, story_clip: Path, tmp_path: Path) -> None:
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs mien[parquet]")
        for ending in ("csv", "json", "jsonl", "parquet"):
            code, said = self.run(
                story_clip, "--output", tmp_path / "faces.csv", "--episodes", tmp_path / f"new/e.{ending}"
            )
            assert code == 0 and "episode" in said, said
        folder = tmp_path / "new"
        from_json = json.loads((folder / "e.json").read_text())
        assert from_json and all(list(row) == list(COLUMNS) for row in from_json)
        assert [json.loads(line) for line in (folder / "e.jsonl").read_text().splitlines()] == from_json
        with (folder / "e.csv").open(newline="") as file:
            from_csv = list(csv.DictReader(file))
        table = parquet.read_table(folder / "e.parquet")
        assert table.column_names == list(COLUMNS)
        for row, line, typed in zip(from_json, from_csv, table.to_pylist(), strict=True):
            assert row["source"] == line["source"] == typed["source"] == str(story_clip)
            for name, kind in COLUMNS.items():
                if kind is float:
                    assert float(line[name]) == row[name] == pytest.approx(typed[name], abs=1e-6)
                elif kind is bool:
                    assert line[name] == str(row[name]).upper() and typed[name] is row[name]
                else:
                    assert line[name] == str(row[name]) == str(typed[name])

    def test_they_are_those_of_python(self, story_clip: Path, tmp_path: Path) -> None:
        self.run(story_clip, "--episodes", tmp_path / "e.json", "--output", tmp_path / "faces.csv")
        found = find_episodes(EmotionRecognizer().recognize_video(story_clip))
        rows = json.loads((tmp_path / "e.json").read_text())
        assert [(row["track"], row["emotion"]) for row in rows] == [(one.track, one.emotion) for one in found]
        assert [row["onset"] for row in rows] == pytest.approx([one.onset for one in found], abs=1e-6)

    def test_a_broken_clip_costs_its_own_episodes_only(self, story_clip: Path, tmp_path: Path) -> None:
        (tmp_path / "broken.mp4").write_bytes(b"nothing")
        out = tmp_path / "e.csv"
        code, _ = self.run(
            tmp_path / "broken.mp4", story_clip, "--episodes", out, "--output", tmp_path / "f.csv"
        )
        assert code == 1
        assert len(out.read_text().splitlines()) > 1

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--episodes", "e.xlsx"], "expected .csv"),
            (["--episodes", "e.csv", "--upper-threshold", "0.2"], "at most"),
            (["--upper-threshold", "0.9"], "without --episodes"),
            (["--episodes", "e.csv", "--output", "./e.csv"], "another file"),
            (["--episodes", "e.csv", "--aggregate"], "--aggregate"),
        ],
    )
    def test_wrong_usage(
        self, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a.mp4").write_bytes(b"nothing")
        code, output = self.run("a.mp4", *words)
        assert code == 2
        assert said in " ".join(output.replace("│", " ").split())
        assert not (tmp_path / "e.csv").exists()

    @pytest.mark.parametrize(
        "words", [["--output", "/dev/full", "--format", "csv"], ["--output", "folder.csv"]]
    )
    def test_an_error_leaves_an_older_file_as_it_was(
        self, words: list[str], story_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("folder.csv").mkdir()
        Path("e.csv").write_text("mine")
        with pytest.raises(OSError):
            self.run(story_clip, *words, "--episodes", "e.csv")
        assert Path("e.csv").read_text() == "mine"

    def test_a_target_that_cannot_be_written_is_known_at_once(self, story_clip: Path, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        with pytest.raises(OSError):
            self.run(story_clip, "--episodes", tmp_path / "folder.csv", "--output", tmp_path / "faces.csv")
        assert not (tmp_path / "faces.csv").exists()

    def test_an_interruption_keeps_what_was_found(
        self, story_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = []

        def add(finder: EpisodeFinder, result: FrameResult) -> None:
            taken.append(result)
            if len(taken) == 60:
                raise KeyboardInterrupt
            original(finder, result)

        original = EpisodeFinder.add
        monkeypatch.setattr(EpisodeFinder, "add", add)
        (tmp_path / "e.csv").write_text("older")
        CliRunner().invoke(
            command_line(),
            [
                "video",
                str(story_clip),
                "--episodes",
                str(tmp_path / "e.csv"),
                "--output",
                str(tmp_path / "f.csv"),
            ],
        )
        assert len((tmp_path / "e.csv").read_text().splitlines()) > 1

    def test_an_input_is_not_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("mine")
        (tmp_path / "clip.mp4").symlink_to("a.csv")
        code, _ = self.run(tmp_path / "clip.mp4", "--episodes", tmp_path / "a.csv")
        assert code == 2
        assert (tmp_path / "a.csv").read_text() == "mine"
