"""Episodes in the field's forms, read back by programs and libraries that know them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.video.episodes import Episode
from mien.video.interchange import FORMS, Media, to_eaf, to_srt, to_textgrid, to_vtt

CLIP = "a folder/clip & co.mp4"


def episode(track: int, emotion: str, onset: float, offset: float) -> Episode:
    return Episode(CLIP, track, emotion, onset, onset, offset, 0.9, 0.8, 0.0, 0.0, 9, False, False)


ODD = '<b>"bored" & = here</b>'
EPISODES = [
    episode(2, "happy", 0.5, 1.25),
    episode(1, "sad", 0.0, 1 / 3),
    episode(1, "happy", 0.2, 0.9),
    episode(1, "sad", 1 / 3, 2.0),
    episode(1, ODD, 3700.5, 3700.9999),
]
END = 3701.0
MEDIA = Media(Path(CLIP), END)
TIERS = {"Person 1 " + ODD, "Person 1 happy", "Person 1 sad", "Person 2 happy"}


def written(tmp_path: Path, form: str, episodes: list[Episode] = EPISODES, seconds: float = END) -> Path:
    path = tmp_path / f"episodes.{form}"
    path.write_text(
        FORMS[f".{form}"](episodes, Media(Path(CLIP), seconds, Path("results"))), encoding="utf-8"
    )
    return path


class TestElan:
    def test_pympi_reads_it(self, tmp_path: Path) -> None:
        pympi = pytest.importorskip("pympi", reason="needs pympi-ling")
        document = pympi.Elan.Eaf(str(written(tmp_path, "eaf")))
        assert set(document.get_tier_names()) == TIERS
        assert document.get_annotation_data_for_tier("Person 1 sad") == [(0, 333, "sad"), (333, 2000, "sad")]
        assert document.get_annotation_data_for_tier("Person 2 happy") == [(500, 1250, "happy")]
        assert document.get_annotation_data_for_tier("Person 1 " + ODD) == [(3_700_500, 3_701_000, ODD)]
        assert document.get_parameters_for_tier("Person 2 happy")["PARTICIPANT"] == "Person 2"
        (linked,) = document.get_linked_files()
        assert linked["RELATIVE_MEDIA_URL"] == "../a folder/clip & co.mp4"
        assert linked["MEDIA_URL"].startswith("file:///") and linked["MEDIA_URL"].endswith(
            "clip%20%26%20co.mp4"
        )

    def test_time_slots_are_in_order_and_nobody_shares_them(self) -> None:
        root = ElementTree.fromstring(to_eaf(EPISODES, MEDIA))
        slots = [int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")]
        assert slots == sorted(slots) and len(slots) == 2 * len(EPISODES)
        used = [one.get(f"TIME_SLOT_REF{k}") for one in root.iter("ALIGNABLE_ANNOTATION") for k in (1, 2)]
        assert len(set(used)) == len(used) == len(slots)
        assert root.get("FORMAT") == "3.0"

    def test_what_is_shorter_than_a_millisecond_lasts_one(self) -> None:
        root = ElementTree.fromstring(to_eaf([episode(1, "sad", 1.0001, 1.0003)], MEDIA))
        assert [slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")] == ["1000", "1001"]

    def test_a_name_that_is_no_unicode(self) -> None:
        text = to_eaf([], Media(Path("clip\udcff\x01.mp4"), 1.0))
        assert "./clip\\udcff\\x01.mp4" in text and "clip%FF%01.mp4" in text
        ElementTree.fromstring(text)

    def test_labels_with_control_characters(self) -> None:
        root = ElementTree.fromstring(to_eaf([episode(1, "a\x01\ufffe", 0.0, 1.0)], MEDIA))
        assert root.findtext(".//ANNOTATION_VALUE") == "a\\x01\\ufffe"


class TestPraat:
    def labels(self, path: Path) -> dict[str, list[tuple[float, float, str]]]:
        """What Praat itself reads: tier -> its intervals that are not empty."""
        parselmouth = pytest.importorskip("parselmouth", reason="needs praat-parselmouth")
        call: Any = pytest.importorskip("parselmouth.praat").call
        grid, tiers = parselmouth.read(str(path)), {}
        for tier in range(1, int(call(grid, "Get number of tiers")) + 1):
            tiers[call(grid, "Get tier name", tier)] = [
                (
                    call(grid, "Get start time of interval", tier, k),
                    call(grid, "Get end time of interval", tier, k),
                    text,
                )
                for k in range(1, int(call(grid, "Get number of intervals", tier)) + 1)
                if (text := call(grid, "Get label of interval", tier, k))
            ]
        return tiers

    def test_praat_reads_it(self, tmp_path: Path) -> None:
        tiers = self.labels(written(tmp_path, "textgrid"))
        assert set(tiers) == TIERS
        assert tiers["Person 2 happy"] == [(0.5, 1.25, "happy")]
        assert tiers["Person 1 sad"] == [(0.0, 0.333, "sad"), (0.333, 2.0, "sad")]
        assert tiers["Person 1 " + ODD] == [(3700.5, 3701.0, ODD)]

    def test_so_does_pympi_and_the_whole_time_is_there(self, tmp_path: Path) -> None:
        pympi = pytest.importorskip("pympi", reason="needs pympi-ling")
        grid = pympi.Praat.TextGrid(str(written(tmp_path, "textgrid")))
        for tier in grid.get_tiers():
            intervals = list(tier.get_all_intervals())
            assert (intervals[0][0], intervals[-1][1]) == (0.0, pytest.approx(END))
            assert all(a[1] == b[0] for a, b in pairwise(intervals))
            assert all(a < b for a, b, _ in intervals)

    def test_without_an_episode(self, tmp_path: Path) -> None:
        assert self.labels(written(tmp_path, "textgrid", [], 2.0)) == {"episodes": []}
        assert self.labels(written(tmp_path, "textgrid", [], 0.0)) == {"episodes": []}


class TestShortOnes:
    """Two that are rounded to the same millisecond stay apart and in order."""

    SHORT = (
        episode(1, "sad", 1.0001, 1.0003),
        episode(1, "sad", 1.0004, 1.0006),
        episode(1, "sad", 1.5, 2.0),
    )

    def test_in_every_form(self, tmp_path: Path) -> None:
        root = ElementTree.fromstring(to_eaf(self.SHORT, MEDIA))
        slots = [slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")]
        assert slots == ["1000", "1001", "1001", "1002", "1500", "2000"]
        assert "00:00:01,000 --> 00:00:01,001" in to_srt(self.SHORT, MEDIA)
        pympi = pytest.importorskip("pympi", reason="needs pympi-ling")
        path = written(tmp_path, "textgrid", list(self.SHORT), 2.0)
        (tier,) = pympi.Praat.TextGrid(str(path)).get_tiers()
        spans = [(a, b) for a, b, text in tier.get_all_intervals() if text]
        assert spans == [(1.0, 1.001), (1.001, 1.002), (1.5, 2.0)]


class TestSubtitles:
    def test_a_player_s_library_reads_webvtt(self, tmp_path: Path) -> None:
        webvtt = pytest.importorskip("webvtt", reason="needs webvtt-py")
        cues = webvtt.read(written(tmp_path, "vtt"))
        assert [(cue.start, cue.end) for cue in cues] == [
            ("00:00:00.000", "00:00:00.333"),
            ("00:00:00.200", "00:00:00.900"),
            ("00:00:00.333", "00:00:02.000"),
            ("00:00:00.500", "00:00:01.250"),
            ("01:01:40.500", "01:01:41.000"),
        ]
        assert [cue.text for cue in cues][:2] == ["Person 1: sad", "Person 1: happy"]
        assert cues[4].raw_text == 'Person 1: &lt;b&gt;"bored" &amp; = here&lt;/b&gt;'

    def test_pysubs2_reads_subrip(self, tmp_path: Path) -> None:
        pysubs2 = pytest.importorskip("pysubs2", reason="needs pysubs2")
        found = pysubs2.load(str(written(tmp_path, "srt", EPISODES[:4])))
        assert [(one.start, one.end, one.text) for one in found] == [
            (0, 333, "Person 1: sad"),
            (200, 900, "Person 1: happy"),
            (333, 2000, "Person 1: sad"),
            (500, 1250, "Person 2: happy"),
        ]

    def test_labels_cannot_break_a_cue(self) -> None:
        odd = [episode(1, "a\n\n--> b", 0.0, 1.0)]
        assert to_srt(odd, MEDIA).count("\n\n") == 0
        assert "Person 1: a --&gt; b" in to_vtt(odd, MEDIA)

    def test_without_an_episode(self, tmp_path: Path) -> None:
        assert to_vtt([], MEDIA) == "WEBVTT\n"
        assert to_srt([], MEDIA) == ""


def test_a_form_holds_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"nothing")
    words = ["video", "a.mp4", "b.mp4", "--episodes", "e.eaf"]
    done = CliRunner().invoke(command_line(), words)
    assert done.exit_code == 2
    assert "holds one clip" in done.output


@pytest.mark.parametrize("form", ["eaf", "TextGrid", "vtt", "srt"])
def test_a_clip_that_cannot_be_read_gives_an_empty_one(form: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    words = ["video", str(tmp_path / "a.mp4"), "--episodes", str(tmp_path / f"e.{form}")]
    assert CliRunner().invoke(command_line(), words).exit_code == 1
    assert "happy" not in (tmp_path / f"e.{form}").read_text(encoding="utf-8")


def test_praat_s_form_is_text(tmp_path: Path) -> None:
    assert to_textgrid(EPISODES, MEDIA).startswith(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n'
    )
