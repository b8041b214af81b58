"""Codes in the field's forms: as mien writes them, as the programs' own libraries do, and as strangers may."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien import EpisodeSettings
from mien.agreement.code_reading import read_codes
from mien.agreement.codes import Codes, Segment, stem
from mien.errors import DatasetError, MienError, MissingExtraError
from mien.video.episodes import Episode
from mien.video.interchange import FORMS, Media


def one(
    tmp_path: Path, name: str, text: str | bytes, tiers: tuple[str, ...] = ()
) -> tuple[str, list[Segment]]:
    """The only clip of a file, and its segments in order."""
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    codes = read_codes(path, tiers)
    ((clip, found),) = codes.clips.items()
    return clip, sorted(found.segments, key=lambda s: (s.start, s.end, s.label))


def seg(start: float, end: float, label: str, person: str = "") -> Segment:
    return Segment(pytest.approx(start, abs=1e-3), pytest.approx(end, abs=1e-3), label, person)


def refused(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        one(tmp_path, name, text)


EPISODES = [
    Episode("f/clip 1.mp4", 2, "happy", 0.5, 0.5, 1.25, 0.9, 0.8, 0.0, 0.0, 9, False, False),
    Episode("f/clip 1.mp4", 1, 'a "b" & <c>', 0.25, 0.25, 4.0, 0.9, 0.8, 0.0, 0.0, 9, False, False),
]


@pytest.mark.parametrize("form", [".eaf", ".textgrid", ".vtt", ".srt"])
def test_what_mien_writes_comes_back(form: str, tmp_path: Path) -> None:
    if form in (".vtt", ".srt"):
        pytest.importorskip("webvtt" if form == ".vtt" else "pysubs2", reason="needs mien[study]")
    text = FORMS[form](EPISODES, Media(Path("f/clip 1.mp4"), 9.5, tmp_path))
    clip, found = one(tmp_path, f"clip 1{form}", text)
    assert stem(clip) == "clip 1"
    # Subtitles of players know no escape for what looks like markup.
    label = 'a "b" &' if form == ".srt" else 'a "b" & <c>'
    assert found == [seg(0.25, 4, label, "1"), seg(0.5, 1.25, "happy", "2")]


SLOTS = "".join(
    f'<TIME_SLOT TIME_SLOT_ID="ts{k}"{f" TIME_VALUE={chr(34)}{t}{chr(34)}" if t is not None else ""}/>'
    for k, t in enumerate((0, 1000, None, 3000, 4000))
)


def eaf(body: str, slots: str = SLOTS, before: str = "", media: str = "") -> str:
    """An ELAN document by hand."""
    header = f"<HEADER>{media}</HEADER>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}<ANNOTATION_DOCUMENT VERSION="2.6" FORMAT="2.6">{header}'
        f"<TIME_ORDER>{slots}</TIME_ORDER>{body}</ANNOTATION_DOCUMENT>"
    )


def tier(name: str, *annotations: str, more: str = "") -> str:
    inside = "".join(f"<ANNOTATION>{a}</ANNOTATION>" for a in annotations)
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="t" {more}>{inside}</TIER>'


def aligned(number: str, first: int, last: int, value: str) -> str:
    return (
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{number}" TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{last}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>"
    )


def hanging(number: str, parent: str, value: str) -> str:
    return (
        f'<REF_ANNOTATION ANNOTATION_ID="{number}" ANNOTATION_REF="{parent}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


class TestElan:
    def test_pympis_documents(self, tmp_path: Path) -> None:
        pympi = pytest.importorskip("pympi", reason="needs pympi-ling")
        document = pympi.Elan.Eaf(author="me")
        document.add_linked_file("file:///D:/Clips/My%20clip.mp4", mimetype="video/mp4")
        document.add_tier("Emotion mother", part="Mother")
        document.add_tier("Speech")
        document.add_annotation("Emotion mother", 500, 1500, "happy")
        document.add_annotation("Speech", 0, 900, "hello there")
        document.to_file(str(tmp_path / "x.eaf"))
        text = (tmp_path / "x.eaf").read_bytes()
        clip, found = one(tmp_path, "x.eaf", text)
        assert clip == "My clip.mp4"
        assert found == [seg(0, 0.9, "hello there"), seg(0.5, 1.5, "happy", "Mother")]
        assert one(tmp_path, "x.eaf", text, ("Emotion*",))[1] == [seg(0.5, 1.5, "happy", "Mother")]
        with pytest.raises(DatasetError, match="no tier 'Nobody': expected one of"):
            one(tmp_path, "x.eaf", text, ("Nobody",))

    def test_slots_without_a_time_and_tiers_that_hang_on_others(self, tmp_path: Path) -> None:
        child = tier(
            "child",
            hanging("b1", "a1", "sad"),
            hanging("b2", "a1", "fear"),
            hanging("b3", "a2", " "),
            more='PARENT_REF="p"',
        )
        parent = tier("p", aligned("a1", 1, 2, "happy"), aligned("a2", 2, 3, "angry"))
        clip, found = one(tmp_path, "k.eaf", eaf(child + parent))
        assert clip == "k"
        assert found == [seg(1, 1.5, "sad"), seg(1, 2, "happy"), seg(1.5, 2, "fear"), seg(2, 3, "angry")]

    def test_the_clip_is_that_of_the_document(self, tmp_path: Path) -> None:
        media = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/a/x%20y.mp4" RELATIVE_MEDIA_URL="./b/z.mp4"/>'
        assert one(tmp_path, "k.eaf", eaf("", media=media))[0] == "z.mp4"
        assert (
            one(tmp_path, "k.eaf", eaf("", media=media.replace('RELATIVE_MEDIA_URL="./b/z.mp4"', "")))[0]
            == "x y.mp4"
        )

    @pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
    def test_a_document_type_is_refused(self, coding: str, tmp_path: Path) -> None:
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        outside = '<!DOCTYPE x SYSTEM "file:///etc/passwd">'
        for before in (bomb, outside):
            text = eaf(tier("t", aligned("a1", 0, 1, "happy")), before=before).replace("UTF-8", coding)
            refused(tmp_path, "k.eaf", text.encode(coding), "document type declaration")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is no XML"),
            ("<a>", "is no XML"),
            ('<?xml version="1.0" encoding="nonsense"?><a/>', "is no XML"),
            ("<a/>", "begins with <a>"),
            (eaf(tier("t", aligned("a1", 0, 9, "x"))), "time slot 'ts9'"),
            (eaf(tier("t", hanging("a1", "zz", "x"))), "hangs on 'zz'"),
            (eaf(tier("t", aligned("a1", 1, 2, "x"))), "has no end"),
            (eaf(tier("t", aligned("a1", 3, 0, "x"))), "before it starts"),
        ],
    )
    def test_what_is_wrong(self, text: str, said: str, tmp_path: Path) -> None:
        refused(tmp_path, "k.eaf", text, said)

    def test_a_file_that_is_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mien.agreement.code_files.MOST_BYTES", 1000)
        refused(tmp_path, "k.eaf", " " * 1001, "larger than")


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 5.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "emotion"
        xmin = 0
        xmax = 5.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = ""
        intervals [2]:
            xmin = 1.5
            xmax = 5.5
            text = "very ""happy"" = 3 "
    item [2]:
        class = "TextTier"
        name = "events"
        xmin = 0
        xmax = 5.5
        points: size = 1
        points [1]:
            number = 2.5
            mark = "blink"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
5.5
<exists>
2
"IntervalTier"
"emotion"
0
5.5
2
0 1.5 ""
1.5 5.5 "very ""happy"" = 3 " ! a comment "
"TextTier"
"events"
0
5.5
1
2.5
"blink"
"""


class TestPraat:
    @pytest.mark.parametrize(
        "text", [LONG, SHORT, SHORT.replace("ooTextFile", "ooTextFile short").replace("Object class = ", "")]
    )
    def test_both_forms(self, text: str, tmp_path: Path) -> None:
        clip, found = one(tmp_path, "k.TextGrid", text)
        assert (clip, found) == ("k", [seg(1.5, 5.5, 'very "happy" = 3')])
        codes = read_codes(tmp_path / "k.TextGrid")
        assert codes.clips["k"].length == 5.5 and codes.points == 1
        assert one(tmp_path, "k.TextGrid", codecs.BOM_UTF16_BE + text.encode("utf-16-be"))[1] == found
        assert one(tmp_path, "k.TextGrid", text, ("events",))[1] == []

    @pytest.mark.parametrize("command", ["Save as text file...", "Save as short text file..."])
    def test_what_praat_writes(self, command: str, tmp_path: Path) -> None:
        parselmouth = pytest.importorskip("parselmouth", reason="needs praat-parselmouth")
        call = pytest.importorskip("parselmouth.praat").call
        grid = parselmouth.TextGrid(0.0, 4.0, "emotion blinks", "blinks")
        call(grid, "Insert boundary", 1, 1.5)
        call(grid, "Set interval text", 1, 2, 'freude "ü" 喜')
        call(grid, "Insert point", 2, 2.0, "blink")
        path = tmp_path / "k.TextGrid"
        call(grid, command, str(path))
        assert one(tmp_path, "k.TextGrid", path.read_bytes())[1] == [seg(1.5, 4, 'freude "ü" 喜')]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"ooBinaryFile\x08TextGrid", "binary TextGrid"),
            ('"ooTextFile" "Pitch"', "is no TextGrid"),
            ("", "expected a text in quotes"),
            (SHORT[:150], "or the end"),
            (SHORT.replace("5.5", "1e999"), "too large"),
            (SHORT.replace("0 1.5", '"x" 1.5'), "expected a number"),
            (SHORT.replace("0 1.5", "-3 1.5").replace('1.5 ""', '1.5 "a"'), "expected 0 or later"),
        ],
    )
    def test_what_is_wrong(self, text: str | bytes, said: str, tmp_path: Path) -> None:
        refused(tmp_path, "k.TextGrid", text, said)


class TestSubtitles:
    def test_webvtt(self, tmp_path: Path) -> None:
        pytest.importorskip("webvtt", reason="needs mien[study]")
        text = (
            "\ufeffWEBVTT - codes\n\nNOTE hello\n\n1\n00:01.000 --> 00:02.500 align:start\nPerson 3: happy\n\n"
            "00:00:03.000 --> 01:00:04.000\n<v Mary><i>very\nhappy</i> &amp; loud\n\n00:00:05.000 --> 00:00:06.000\n\n"
        )
        assert one(tmp_path, "k.vtt", text)[1] == [
            seg(1, 2.5, "happy", "3"), seg(3, 3604, "very happy & loud", "Mary"),
        ]  # fmt: skip
        assert one(tmp_path, "k.vtt", "WEBVTT\n") == ("k", [])
        refused(tmp_path, "k.vtt", "nonsense", "is no WebVTT")

    def test_subrip(self, tmp_path: Path) -> None:
        pytest.importorskip("pysubs2", reason="needs mien[study]")
        text = "1\r\n00:00:01,000 --> 00:00:02,500\r\nhappy\r\n\r\n"
        text += "2\r\n00:00:03,000 --> 00:00:04,000\r\n<i>Anna: sad</i>\r\n"
        assert one(tmp_path, "k.srt", text)[1] == [seg(1, 2.5, "happy"), seg(3, 4, "sad", "Anna")]
        refused(tmp_path, "k.srt", "nonsense", "is no SubRip")


@pytest.mark.parametrize(
    ("name", "package"), [("k.vtt", "webvtt"), ("k.srt", "pysubs2"), ("k.parquet", "pyarrow")]
)
def test_a_package_that_is_missing(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    extra = "parquet" if package == "pyarrow" else "study"
    with pytest.raises(MissingExtraError, match=rf"mien\[{extra}\]"):
        one(tmp_path, name, "x")


# The columns of BORIS 9's "aggregated events" and "tabular events", by its source (github.com/olivierfriard/BORIS).
AGGREGATED = (
    "Observation id\tObservation date\tDescription\tObservation type\tSource\tTime offset (s)\tCoding duration\t"
    "Media duration (s)\tFPS (frame/s)\tSubject\tObservation duration by subject by observation\tBehavior\t"
    "Behavioral category\tBehavior type\tStart (s)\tStop (s)\tDuration (s)\tMedia file name\tImage index start\t"
    "Image index stop\tImage file path start\tImage file path stop\tComment start\tComment stop\n"
)
TABULAR = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,Time offset (s),"
    "Media duration (s),FPS,Subject,Behavior,Behavioral category,Modifier #1,Behavior type,Time,Media file name,"
    "Image index,Image file path,Comment\n"
)


def aggregated(
    subject: str, behavior: str, kind: str, start: str, stop: str, media: str = "clips/a.mp4"
) -> str:
    return (
        f"obs1\t2026-01-01\t\tMedia file(s)\tplayer #1:{media}\t0\t9\t9.5\t25\t{subject}\t9\t{behavior}\t\t{kind}\t"
        f"{start}\t{stop}\t1\t{media}\t0\t9\t\t\t\t\n"
    )


def tabular(subject: str, behavior: str, kind: str, time: str) -> str:
    return (
        f"obs1,2026-01-01,,9,MEDIA,player #1:a.mp4,0,9.5,25,{subject},{behavior},,,{kind},{time},a.mp4,1,,\n"
    )


class TestBoris:
    def test_aggregated_events(self, tmp_path: Path) -> None:
        text = AGGREGATED + aggregated("No focal subject", "happy", "STATE", "1.250", "2.75")
        text += aggregated("Anna", "blink", "POINT", "3.0", "3.0") + aggregated(
            "Anna", "sad", "STATE", "00:00:03", "4"
        )
        clip, found = one(tmp_path, "k.tsv", text)
        assert clip == "clips/a.mp4" and found == [seg(1.25, 2.75, "happy"), seg(3, 4, "sad", "Anna")]
        codes = read_codes(tmp_path / "k.tsv")
        assert codes.points == 1 and codes.clips[clip].length == 9.5

    def test_tabular_events(self, tmp_path: Path) -> None:
        text = TABULAR + tabular("Anna", "happy", "START", "1.0") + tabular("Ben", "happy", "START", "1.5")
        text += tabular("Anna", "blink", "POINT", "1.6") + tabular("Ben", "happy", "STOP", "2.5")
        text += tabular("Anna", "happy", "STOP", "3.0")
        assert one(tmp_path, "k.csv", text)[1] == [seg(1, 3, "happy", "Anna"), seg(1.5, 2.5, "happy", "Ben")]
        refused(tmp_path, "k.csv", text + tabular("Anna", "sad", "START", "4"), "never stops")
        refused(tmp_path, "k.csv", text + tabular("Anna", "sad", "STOP", "4"), "has not started")
        refused(tmp_path, "k.csv", text + tabular("Anna", "sad", "?", "4"), "expected START, STOP or POINT")

    def test_lines_above_the_header_and_a_status(self, tmp_path: Path) -> None:
        """As BORIS 7 wrote them."""
        text = (
            "Observation id\tobs1\n\nMedia file(s)\n\nPlayer #1\ta.mp4\n\n"
            "Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tBehavioral category\tModifiers\tComment\t"
            "Status\n"
            "1.5\tf/a.mp4\t9.5\t25\t\thappy\t\t\t\tSTART\n2.5\tf/a.mp4\t9.5\t25\t\thappy\t\t\t\tSTOP\n"
        )
        assert one(tmp_path, "k.tsv", text) == ("f/a.mp4", [seg(1.5, 2.5, "happy")])


class TestTables:
    @pytest.mark.parametrize(
        "text",
        [
            "clip,start,end,label\na,0.5,1.5,happy\n",
            "\ufeffStart;End;Label;Clip\r\n0,5;1,5;happy;a\r\n",
            "clip\tperson\tlabel\tend\tstart\tnote\na\t\thappy\t0:01.5\t00:00:00.500\tx\n",
        ],
    )
    def test_of_people(self, text: str, tmp_path: Path) -> None:
        assert one(tmp_path, "k.csv", text) == ("a", [seg(0.5, 1.5, "happy")])

    def test_without_a_clip_it_is_the_files(self, tmp_path: Path) -> None:
        assert one(tmp_path, "k.csv", "start,end,label,person\n0,1,happy,Anna\n") == (
            "k",
            [seg(0, 1, "happy", "Anna")],
        )
        assert one(tmp_path, "k.json", '[{"start": 0, "end": 1, "label": "sad"}]') == (
            "k",
            [seg(0, 1, "sad")],
        )
        assert one(tmp_path, "k.jsonl", '{"start": 0, "end": 1, "label": "sad"}\n\n') == (
            "k",
            [seg(0, 1, "sad")],
        )

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("k.csv", "a,b\n1,2\n", "columns a, b: expected clip, start, end, label"),
            ("k.csv", "", "columns without names"),
            ("k.csv", "start,end,label\n", "holds no codes"),
            ("k.csv", "start,end,label\n1,x,happy\n", "row 2: 'x' is no time"),
            ("k.csv", "start,end,label\n1\n", "row 2: nothing is no time"),
            ("k.csv", "start,end,label\n-1,2,happy\n", "'-1' is no time"),
            ("k.csv", "start,end,label\nnan,2,happy\n", "'nan' is no time"),
            ("k.csv", "start,end,label\n3,2,happy\n", "ends at 2 s, before it starts at 3 s"),
            ("k.csv", b"start,end,label\n3,4,\xff\n", "is not UTF-8"),
            ("k.json", "{", "is no JSON"),
            ("k.json", "{}", "expected a list of objects"),
            ("k.json", "[" * 100_000, "is no JSON"),
            ("k.jsonl", '{"start": 0}\nx\n', "is no JSON in line 2"),
            ("k.csv", "source,time,track,emotion\na,1,1,happy\n", "no column of a label"),
            ("k.csv", "source,time,track,emotion,happy\na,,,,\n", "no time"),
            ("k.csv", "source,time,track,emotion,happy\na,1,1,happy,x\n", "'x': expected a number"),
        ],
    )
    def test_what_is_wrong(self, name: str, text: str | bytes, said: str, tmp_path: Path) -> None:
        refused(tmp_path, name, text, said)

    def test_parquet_that_is_none(self, tmp_path: Path) -> None:
        pytest.importorskip("pyarrow", reason="needs mien[parquet]")
        refused(tmp_path, "k.parquet", "nonsense", "is no Parquet")


class TestFolders:
    def test_a_file_for_each_clip(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("start,end,label\n0,1,happy\n")
        (tmp_path / "b.TextGrid").write_text(LONG)
        (tmp_path / "notes.txt").write_text("mine")
        (tmp_path / ".hidden.csv").write_text("x")
        codes = read_codes(tmp_path)
        assert set(codes.clips) == {"a", "b"} and [file.name for file in codes.files] == [
            "a.csv",
            "b.TextGrid",
        ]

    def test_two_kinds(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("start,end,label\n0,1,happy\n")
        (tmp_path / "b.csv").write_text("source,track,emotion,onset,offset\na,1,happy,0,1\n")
        with pytest.raises(DatasetError, match="two kinds, codes and episodes"):
            read_codes(tmp_path)

    def test_codes_are_joined(self) -> None:
        codes = Codes("x")
        codes.add("a", Segment(0, 1, ""))
        codes.add("a", Segment(2, 2, "blink"))
        assert codes.points == 1 and codes.clips["a"].end() == 1 and not codes.clips["a"].segments


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clips/A b.mp4", "A b"), (r"C:\clips\a.MOV", "a"), ("session 3.2", "session 3.2"), ("a.b.webm", "a.b"),
        (".mp4", ".mp4"), ("P01.happy", "P01.happy"), ("", ""),
    ],
)  # fmt: skip
def test_names_of_clips(name: str, expected: str) -> None:
    assert stem(name) == expected


def test_the_default_thresholds_are_those_that_are_kept_apart() -> None:
    from mien.agreement.thresholds import CANDIDATES

    assert EpisodeSettings().upper_threshold in CANDIDATES


VALID = {
    ".csv": "clip,start,end,label\na,0.5,1.5,happy\n",
    ".tsv": AGGREGATED + aggregated("Anna", "happy", "STATE", "1", "2"),
    ".json": '[{"start": 0, "end": 1, "label": "sad"}]',
    ".jsonl": '{"source": "a", "time": 1, "track": 1, "emotion": "happy", "happy": 1.0}\n',
    ".eaf": eaf(tier("t", aligned("a1", 0, 1, "happy"), aligned("a2", 1, 2, "x"), aligned("a3", 2, 3, "y"))),
    ".textgrid": SHORT,
    ".vtt": "WEBVTT\n\n00:01.000 --> 00:02.500\nPerson 3: happy\n",
    ".srt": "1\n00:00:01,000 --> 00:00:02,500\nhappy\n",
}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(VALID)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=8)), max_size=4),
)
def test_damaged_files_are_errors_of_mien_or_codes(
    tmp_path: Path, ending: str, changes: list[tuple[float, int, bytes]]
) -> None:
    pytest.importorskip("webvtt", reason="needs mien[study]")
    pytest.importorskip("pysubs2", reason="needs mien[study]")
    data = VALID[ending].encode()
    for place, cut, put in changes:
        at = int(place * len(data))
        data = data[:at] + put + data[at + cut :]
    (tmp_path / f"k{ending}").write_bytes(data)
    try:
        codes = read_codes(tmp_path / f"k{ending}")
    except MienError as error:
        assert "k" in str(error) and "\n" not in str(error)
        return
    for clip in codes.clips.values():
        assert all(0 <= s.start < s.end < 1e300 and s.label for s in clip.segments)
