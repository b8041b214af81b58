"""The comparison with other libraries, here with mien alone: others have environments of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from small_runs import write_fer2013

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "peers" / "compare.py"


def compare(dataset: Path, environment: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    options = ["--rounds", "2", "--duration", "0.01", "--limit", "10", *more]
    return subprocess.run(
        [sys.executable, SCRIPT, dataset, "--mien", environment, *options],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def marked(folder: Path) -> Path:
    """The astronaut twice, each with one mark, the second beside the face; and a picture without a face."""
    for name in ("first.png", "second.png"):
        Image.fromarray(data.astronaut()).save(folder / name)
    Image.new("RGB", (64, 64)).save(folder / "dark.png")
    rows = ["first.png,180,70,270,180,sad happy", "second.png,380,70,470,180,happy", "dark.png,,,,,"]
    (folder / "marks.csv").write_text("\n".join(["file,x1,y1,x2,y2,expressions", *rows]), encoding="utf-8")
    return folder / "marks.csv"


def test_mien_is_compared_with_itself(tmp_path: Path) -> None:
    write_fer2013(tmp_path / "fer2013.csv")
    done = compare(tmp_path / "fer2013.csv", Path(sys.prefix), "--photographs", marked(tmp_path))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^mien +1 of 2 +1 of 2, 50.0 % .* 1$", done.stdout, re.MULTILINE)
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


def test_a_folder_without_packages_of_npm_is_named(tmp_path: Path) -> None:
    write_fer2013(tmp_path / "fer2013.csv")
    done = compare(tmp_path / "fer2013.csv", Path(sys.prefix), "--human", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} has no node_modules" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_the_worker_of_javascript_can_be_parsed() -> None:
    subprocess.run(["node", "--check", SCRIPT.with_name("worker.mjs")], check=True, timeout=60)


@pytest.mark.parametrize("name", ["deepface-48", "efficientnet-b0-224", "resnet50-224"])
def test_shapes_are_named_in_the_page(name: str) -> None:
    page = SCRIPT.parents[2] / "docs" / "explanation" / "comparison.md"
    assert name in page.read_text(encoding="utf-8")
