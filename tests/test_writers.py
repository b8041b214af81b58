from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.style import Style

from mien.errors import MissingExtraError
from mien.labels import LABELS
from mien.output.palette import COLORS
from mien.output.writers import open_writer
from mien.results import Box, Face, FaceEmotion, FrameResult, Prediction, Quality

HEADER = (
    "source,frame,time,track,x1,y1,x2,y2,detection_score,emotion,confidence,uncertain,quality_score,quality_issues,"
    "angry,disgust,fear,happy,sad,surprise,neutral,error"
)
HOSTILE = [
    "=cmd|'/c calc'!A1.jpg",
    "+1.jpg",
    "-1.jpg",
    "@sum.jpg",
    'a "quoted", name.jpg',
    "two\nlines.jpg",
    "carriage\rreturn.jpg",
    "both\r\n.jpg",
    " spaces .jpg",
    "Zoë 日本 🙂.jpg",
    "[red]x[/red].jpg",
    "",
]
UNDECODABLE = os.fsdecode(b"caf\xe9.jpg") if sys.platform != "win32" else "caf\udce9.jpg"


def face(
    emotion: str = "happy", confidence: float = 0.7, uncertain: bool = False, issues: tuple[str, ...] = ()
):
    rest = (1 - confidence) / 6
    probabilities = {label: confidence if label == emotion else rest for label in LABELS}
    box = Box(1 / 3, 2.25, 100.1, 120.0)
    return FaceEmotion(
        Face(box, 0.1 + 0.2), Prediction(probabilities, uncertain), Quality(0.5 if issues else 0.98, issues)
    )


def results() -> list[FrameResult]:
    return [
        FrameResult("a.jpg", 640, 480, (face(), face("sad", 1 / 3, True, ("small", "dark"))), labels=LABELS),
        FrameResult("empty.jpg", 640, 480, labels=LABELS),
        FrameResult("broken.jpg", error="broken.jpg: not a picture", labels=LABELS),
        FrameResult("clip.mp4", 640, 480, (face("fear"),), frame=30, time=1.2, labels=LABELS),
    ]


def written(format: str, results: list[FrameResult]) -> str:
    stream = io.StringIO(newline="")
    with open_writer(format, stream, LABELS) as writer:
        for result in results:
            writer.write(result)
    return stream.getvalue()


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def rounded(value: Any, name: str = "") -> Any:
    """Plain values as files of text have them."""
    if isinstance(value, float):
        return round(value, 2 if name in ("x1", "y1", "x2", "y2") else 6)
    if isinstance(value, dict):
        return {key: rounded(one, key) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def test_json_is_one_list_and_parses_back_to_the_same_values():
    plain = rounded([result.to_dict() for result in results()])
    assert json.loads(written("json", results())) == plain
    assert (
        written("json", results()) == json.dumps(plain, indent=2) + "\n"
    )  # 0.05, and above, have no exponent
    assert list(json.loads(written("json", results()))[0]["faces"][0])[-7:] == list(LABELS)


def test_jsonl_has_a_picture_a_line():
    lines = written("jsonl", results()).splitlines()
    assert [json.loads(line) for line in lines] == rounded([result.to_dict() for result in results()])


def test_csv_has_the_golden_header_and_a_row_a_face():
    text = written("csv", results())
    assert text.splitlines()[0] == HEADER
    rows = read_csv(text)
    assert [row["source"] for row in rows] == ["a.jpg", "a.jpg", "empty.jpg", "broken.jpg", "clip.mp4"]
    assert rows[1]["uncertain"] == "TRUE" and rows[0]["uncertain"] == "FALSE"
    assert (rows[1]["quality_score"], rows[1]["quality_issues"]) == ("0.5", "small;dark")
    assert (rows[0]["quality_score"], rows[0]["quality_issues"]) == ("0.98", "")
    assert rows[2]["quality_score"] == ""
    assert rows[2]["emotion"] == "" and rows[2]["error"] == "" and rows[2]["angry"] == ""
    assert rows[3]["error"] == "broken.jpg: not a picture"
    assert (rows[4]["frame"], rows[4]["time"]) == ("30", "1.2")


def test_numbers_have_the_same_few_decimals_in_every_text():
    exact = results()[0].faces[0].to_dict()
    from_csv = read_csv(written("csv", results()))[0]
    assert (exact["x1"], exact["detection_score"], exact["angry"]) == (1 / 3, 0.1 + 0.2, (1 - 0.7) / 6)
    assert (from_csv["x1"], from_csv["y2"], from_csv["detection_score"]) == ("0.33", "120.0", "0.3")
    assert (from_csv["confidence"], from_csv["angry"]) == ("0.7", "0.05")
    for text in (written("json", results()), written("jsonl", results())):
        assert '"x1": 0.33,' in text and '"y2": 120.0,' in text and '"detection_score": 0.3,' in text


def test_numbers_have_no_exponent_and_still_add_up():
    shares = dict.fromkeys(LABELS, 1.23456789e-6) | {"happy": 1 - 6 * 1.23456789e-6}
    tiny = FaceEmotion(Face(Box(-1e-9, 0, 1e22, 9), 5e-324), Prediction(shares))
    one = [FrameResult("a.mp4", 9, 9, (tiny,), frame=0, time=0.0000020499996935541276, labels=LABELS)]
    row = read_csv(written("csv", one))[0]
    assert (row["time"], row["angry"], row["happy"]) == ("0.000002", "0.000001", "0.999993")
    assert (row["x1"], row["x2"], row["detection_score"]) == ("0.0", "10000000000000000000000.0", "0.0")
    assert sum(float(row[label]) for label in LABELS) == pytest.approx(1, abs=1e-5)
    line = written("jsonl", one)
    assert '"time": 0.000002, "track"' in line and '"angry": 0.000001,' in line
    face = json.loads(line)["faces"][0]
    assert {name: float(row[name]) for name in LABELS} == {name: face[name] for name in LABELS}


def test_a_number_that_is_none_is_never_written_as_json():
    with pytest.raises(ValueError, match="time is nan"):
        written("json", [FrameResult("a.mp4", 9, 9, frame=0, time=float("nan"), labels=LABELS)])


def test_pandas_reads_uncertain_as_boolean():
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(io.StringIO(written("csv", results())), dtype={"uncertain": "boolean"})
    assert table["uncertain"].dtype == "boolean"
    assert [None if pandas.isna(v) else bool(v) for v in table["uncertain"]] == [
        False,
        True,
        None,
        None,
        False,
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_round_trip(name: str):
    one = [
        FrameResult(name, 9, 9, (face(),), error=None, labels=LABELS),
        FrameResult(name, error=name, labels=LABELS),
    ]
    assert [row["source"] for row in read_csv(written("csv", one))] == [name, name]
    assert read_csv(written("csv", one))[1]["error"] == name
    assert json.loads(written("json", one))[0]["source"] == name
    assert json.loads(written("jsonl", one).splitlines()[1])["error"] == name
    assert len(written("table", one).splitlines()) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
def test_no_name_breaks_a_stream_of_any_encoding(format: str, encoding: str):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    with open_writer(format, stream, LABELS) as writer:
        for name in [*HOSTILE, UNDECODABLE]:
            writer.write(FrameResult(name, 9, 9, (face(),), labels=LABELS))
            writer.write(FrameResult(name, error=f"{name}: not a picture", labels=LABELS))
    text = raw.getvalue().decode(encoding)
    if format in ("json", "jsonl"):
        values = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
        assert values[-1]["source"] == UNDECODABLE
    else:
        assert "\\udce9.jpg" in text


def test_a_terminal_cannot_be_commanded_by_a_file_name():
    text = written("table", [FrameResult("\x1b[31mred\x07\u202egpj.jpg", 9, 9, (face(),), labels=LABELS)])
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("format", "expected"), [("json", "[]\n"), ("jsonl", ""), ("csv", HEADER + "\n"), ("table", "")]
)
def test_no_results(format: str, expected: str):
    assert written(format, []) == expected


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
def test_an_interrupt_keeps_what_was_written(format: str):
    stream = io.StringIO(newline="")
    with pytest.raises(KeyboardInterrupt), open_writer(format, stream, LABELS) as writer:
        writer.write(results()[0])
        writer.write(results()[1])
        raise KeyboardInterrupt
    assert stream.getvalue() == written(format, results()[:2])
    assert not stream.closed


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_kill_keeps_what_was_written(format: str, tmp_path: Path):
    path = tmp_path / "out"
    program = (
        "import os, sys; from mien.labels import LABELS; from mien.results import FrameResult\n"
        "from mien.output.writers import open_writer\n"
        "with open(sys.argv[2], 'w', newline='') as stream, open_writer(sys.argv[1], stream, LABELS) as writer:\n"
        "    writer.write(FrameResult('a.jpg', 9, 9, labels=LABELS))\n"
        "    writer.write(FrameResult('b.jpg', 9, 9, labels=LABELS))\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    done = subprocess.run([sys.executable, "-c", program, format, str(path)])
    assert done.returncode == -signal.SIGKILL
    text = path.read_text()
    rows = read_csv(text) if format == "csv" else [json.loads(line) for line in text.splitlines()]
    assert [row["source"] for row in rows] == ["a.jpg", "b.jpg"]


def test_parquet_round_trip(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "faces.parquet"
    everything = [*results(), FrameResult(UNDECODABLE, 9, 9, (face(),), labels=LABELS)]
    with path.open("wb") as stream, open_writer("parquet", stream, LABELS) as writer:
        for result in everything:
            writer.write(result)
    table = parquet.read_table(path)
    assert ",".join(table.column_names) == HEADER
    rows = [row for result in everything for row in result.rows()]
    rows[-1]["source"] = "caf\\udce9.jpg"
    assert table.to_pylist() == rows


def test_parquet_has_typed_columns_without_rows_too():
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw)  # as sys.stdout is
    with open_writer("parquet", stream, LABELS):
        pass
    assert not stream.closed
    schema = parquet.read_schema(io.BytesIO(raw.getvalue()))
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert ",".join(types) == HEADER
    assert {types[name] for name in ("source", "emotion", "quality_issues", "error")} == {"string"}
    assert {types[name] for name in ("frame", "track")} == {"int64"}
    assert types["uncertain"] == "bool"
    assert {types[name] for name in ("time", "x1", "detection_score", "confidence", *LABELS)} == {"double"}


def test_an_interrupted_parquet_file_is_complete_up_to_there():
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = io.BytesIO()
    with pytest.raises(KeyboardInterrupt), open_writer("parquet", raw, LABELS) as writer:
        writer.write(results()[0])
        raise KeyboardInterrupt
    assert parquet.read_table(io.BytesIO(raw.getvalue())).num_rows == 2


def test_many_parquet_rows_come_in_row_groups():
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = io.BytesIO()
    with open_writer("parquet", raw, LABELS) as writer:
        for number in range(10_000):
            writer.write(FrameResult(f"{number}.jpg", 9, 9, labels=LABELS))
    file = parquet.ParquetFile(io.BytesIO(raw.getvalue()))
    assert file.num_row_groups == 2
    assert file.read(["source"]).column(0).to_pylist() == [f"{number}.jpg" for number in range(10_000)]


def test_parquet_without_pyarrow_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(MissingExtraError, match=r'writing Parquet needs .* pip install "mien\[parquet\]"'),
        open_writer("parquet", io.BytesIO(), LABELS),
    ):
        pass


def test_parquet_to_text_is_refused():
    pytest.importorskip("pyarrow")
    with pytest.raises(TypeError, match="binary stream"), open_writer("parquet", io.StringIO(), LABELS):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_the_table_is_coloured_and_parquet_refused(monkeypatch: pytest.MonkeyPatch):
    # Rich keeps every style, and sums of styles, with the codes of the first terminal that it was shown on: another's.
    Style.parse.__func__.cache_clear()
    Style._add.cache_clear()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    reader, terminal = os.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        with pytest.raises(ValueError, match="not for a terminal"), open_writer("parquet", stream, LABELS):
            pass
        with open_writer("table", stream, LABELS) as writer:
            writer.write(FrameResult("a.jpg", 9, 9, (face("sad", 0.9),), labels=LABELS))
        shown = b""
        # The terminal hands its lines on one by one, and not at once.
        while shown.count(b"\n") < 2 and select.select([reader], [], [], 10)[0]:
            shown += os.read(reader, 100_000)
    os.close(reader)
    shown = shown.decode()
    assert "\x1b[38;2;{};{};{}m".format(*COLORS["sad"]) in shown  # sad's own blue
    assert "a.jpg" in shown


def test_labels_of_another_model_are_columns_in_their_order():
    labels = ("радость", "other")
    prediction = Prediction({"радость": 0.25, "other": 0.75})
    result = FrameResult("a.jpg", 9, 9, (FaceEmotion(Face(Box(0, 0, 9, 9), 1.0), prediction),), labels=labels)
    texts = {}
    for format in ("table", "json", "csv"):
        stream = io.StringIO(newline="")
        with open_writer(format, stream, labels) as writer:
            writer.write(result)
        texts[format] = stream.getvalue()
    assert texts["csv"].splitlines()[0].endswith(",quality_score,quality_issues,радость,other,error")
    assert read_csv(texts["csv"])[0]["радость"] == "0.25"
    assert list(json.loads(texts["json"])[0]["faces"][0].items())[-2:] == [("радость", 0.25), ("other", 0.75)]
    assert texts["table"].index("радость") < texts["table"].index("other")


@pytest.mark.parametrize("format", ["table", "csv", "parquet"])
def test_faces_with_other_labels_than_the_columns_are_refused(format: str):
    other = FaceEmotion(Face(Box(0, 0, 9, 9), 1.0), Prediction({"calm": 1.0}))
    with (
        pytest.raises(ValueError, match=r"a\.jpg: a face with labels calm: expected angry, disgust"),
        open_writer(format, io.BytesIO() if format == "parquet" else io.StringIO(), LABELS) as writer,
    ):
        writer.write(FrameResult("a.jpg", 9, 9, (other,)))


@pytest.mark.parametrize(
    ("format", "labels", "message"),
    [
        ("xml", LABELS, "unknown format 'xml': expected one of table, json, jsonl, csv, parquet"),
        ("csv", ("happy", "happy"), "expected distinct names"),
        ("csv", ("happy", "error"), "no other column's"),
    ],
)
def test_wrong_arguments(format: str, labels: tuple[str, ...], message: str):
    with pytest.raises(ValueError, match=message), open_writer(format, io.StringIO(), labels):
        pass
