"""What users get is what they got before, up to the last digits that libraries may change; and changes are seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import GOLDENS, Workshop, difference
from golden_cases import GENERATED, REAL, STABLE
from golden_text import differences, mask, printed, renamed, without_numbers, written
from pictures import encode, pattern

TOLERANCE = 1e-3
"""Other versions of OpenCV, onnxruntime and libjpeg round differently; `golden.py compare` is stricter."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", STABLE)
def test_output_is_as_before(name: str, workshop: Workshop) -> None:
    found = difference(name, workshop.run(name), GOLDENS, TOLERANCE)
    assert not found, (
        f"\n{found}\nIf this is meant: python tests/golden.py record tests/goldens --only {name}"
    )


def test_every_golden_has_its_case() -> None:
    assert {path.stem for path in GOLDENS.glob("*.txt")} == set(STABLE)
    assert not GENERATED.keys() & REAL.keys()


class TestDifferences:
    golden = '"x1": 53.3263\n"n": 2\n"emotion": "happy"\n'

    @pytest.mark.parametrize(
        ("now", "shown"),
        [
            (golden, ""),
            (golden.replace("53.3263", "53.32631"), ""),
            (golden.replace("53.3263", "53.34"), '+"x1": 53.34'),
            (golden.replace('"n": 2', '"n": 3'), '+"n": 3'),
            (golden.replace("happy", "sad"), '+"emotion": "sad"'),
            (golden.replace("x1", "left"), '+"left": 53.3263'),
            (golden + '"more": 1\n', '+"more": 1'),
            (golden.replace('"n": 2\n', "").replace("53.3263", "53.32631"), '-"n": 2'),
        ],
    )
    def test_only_fractions_may_differ_a_little(self, now: str, shown: str) -> None:
        changed = [line for line in differences(self.golden, now, 1e-6).splitlines()[2:] if line[0] in "+-"]
        assert shown in changed if shown else not changed

    def test_what_is_near_enough_is_not_in_the_diff(self) -> None:
        now = self.golden.replace("53.3263", "53.32631").replace("happy", "sad")
        assert "53.32631" not in differences(self.golden, now, 1e-6)

    def test_names_that_were_changed_on_purpose(self) -> None:
        golden = 'batch --to faces --to-all\n"to": "x1"\n "x1": 2.0\n'
        now = 'batch --output faces --to-all\n"to": "left"\n "left": 2.0\n'
        assert renamed(golden, {"--to": "--output"}, {"x1": "left"}) == now


class TestText:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("made 2026-01-31 23:59 UTC", "made DATE"),
            (
                "mien 0.1.0, onnxruntime 1.20.1, Python 3.11.7",
                "mien VERSION, onnxruntime VERSION, Python VERSION",
            ),
            ("| AMD EPYC, 2 logical processors, Linux 6.1 |", "| MACHINE|"),
            ("serving on http://127.0.0.1:43211", "serving on http://127.0.0.1:PORT"),
            ("412.5 faces/s in batches of 32", "RATE faces/s in batches of 32"),
            ("/home/a/cases/x/faces", "HERE/faces"),
            ("clip of 1.5 s, 2 faces", "clip of 1.5 s, 2 faces"),
        ],
    )
    def test_masks(self, text: str, masked: str) -> None:
        assert mask(text, {"/home/a": "WORKSHOP", "/home/a/cases/x": "HERE"}) == masked

    def test_live_lines(self) -> None:
        lines = "0.0 s  0 fps  1: happy 96%\n0.6 s  27 fps  no face\n"
        assert mask(f"{lines}done\n", {}) == "SECONDS s  RATE fps  FACES\ndone\n"

    def test_numbers_can_be_left_out(self) -> None:
        assert without_numbers("1,234 faces in 0.5 s") == "# faces in # s"

    def test_kinds_are_told_by_what_is_printed(self) -> None:
        assert printed('{"a": 1}\n{"a": 2}\n')[0] == "jsonl"
        assert printed("source,a,b,c,d,e\nx,1,2,3,4,5\n")[0] == "csv"
        assert printed("faces: 2, 3\n") == ("text", "faces: 2, 3\n")

    @pytest.fixture
    def picture(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.png"
        path.write_bytes(encode(pattern()))
        return path

    def test_one_pixel_of_a_picture_is_seen(self, picture: Path) -> None:
        before, pixels = written(picture)[1], pattern()
        pixels[20, 30] += 1
        picture.write_bytes(encode(pixels))
        assert differences(before, written(picture)[1], 1e-6)
        picture.write_bytes(encode(pattern(), optimize=True))
        assert not differences(before, written(picture)[1], 1e-6)
