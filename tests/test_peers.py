"""The comparison with other libraries, here with mien alone: others have environments of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import write_fer2013

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "peers" / "compare.py"


def compare(data: Path, environment: Path) -> subprocess.CompletedProcess[str]:
    options = ["--rounds", "2", "--duration", "0.01", "--limit", "10"]
    return subprocess.run(
        [sys.executable, SCRIPT, data, "--mien", environment, *options],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_mien_is_compared_with_itself(tmp_path: Path) -> None:
    write_fer2013(tmp_path / "fer2013.csv")
    done = compare(tmp_path / "fer2013.csv", Path(sys.prefix))
    assert done.returncode == 0, done.stderr
    assert "happy" in done.stdout  # the astronaut
    assert re.search(r"^n 12;", done.stdout, re.MULTILINE)
    row = next(
        line for line in done.stdout.splitlines() if line.startswith("mien  ") and "(1.00-1.00)" in line
    )
    memory, disk = (float(number.replace(",", "")) for number in row.split()[-2:])
    assert row.count("1.00 (1.00-1.00)") == 4
    assert 50 < memory < 5000
    assert disk > 100


def test_a_folder_that_is_no_environment_is_named(tmp_path: Path) -> None:
    write_fer2013(tmp_path / "fer2013.csv")
    done = compare(tmp_path / "fer2013.csv", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} has no bin/python" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["deepface-48", "efficientnet-b0-224", "resnet50-224"])
def test_shapes_are_named_in_the_page(name: str) -> None:
    page = SCRIPT.parents[2] / "docs" / "explanation" / "comparison.md"
    assert name in page.read_text(encoding="utf-8")
