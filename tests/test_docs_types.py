"""The Python of the documentation as a type checker sees it: mypy, in its strict mode, and pyright find nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from docs_code import PAGES, ROOT, blocks

pytestmark = pytest.mark.slow

UNTYPED = ("keras", "onnx", "onnxruntime", "pandas", "pyarrow")
"""Libraries in the examples that come without types."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file a block that is run: those that are not are other libraries', or need what is not here."""
    folder = tmp_path_factory.mktemp("examples")
    found = []
    for page in PAGES:
        for block in blocks(page, (ROOT / page).read_text(encoding="utf-8")):
            if block.language == "python" and not block.not_run:
                name = f"{page.removesuffix('.md').replace('/', '_').replace('-', '_')}_{block.line}.py"
                (folder / name).write_text(block.text, encoding="utf-8")
                found.append(folder / name)
    assert len(found) >= 12
    return found


WRONG = (
    'from mien import EmotionRecognizer\n\nfor face in EmotionRecognizer().recognize("photo.jpg"):\n'
    "    print(face.smoothed.emotion)\n"
)
"""Only a clip's faces have it: a checker that lets this pass checks nothing."""


def by_mypy(files: list[Path]) -> str:
    folder = files[0].parent
    ignored = "".join(f"[mypy-{name}.*]\nignore_missing_imports = true\n" for name in UNTYPED)
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = true\npython_version = 3.11\n{ignored}")
    done = subprocess.run(
        # One cache for all: numpy's types take longest to read.
        [
            *(sys.executable, "-m", "mypy", "--config-file=mypy.ini", "--cache-dir=../mypy-cache"),
            *(file.name for file in files),
        ],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout


def by_pyright(files: list[Path]) -> str:
    folder = files[0].parent
    settings = {"extraPaths": [str(ROOT / "src")], "include": [file.name for file in files]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings | {"pythonVersion": "3.11"}))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout


CHECKERS = {"mypy": by_mypy, "pyright": by_pyright}


@pytest.mark.parametrize("name", CHECKERS)
def test_it_finds_nothing_in_the_examples_and_something_in_a_wrong_one(
    name: str, examples: list[Path], tmp_path: Path
) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    wrong = examples[0].with_name("wrong.py")
    wrong.write_text(WRONG)
    found = [
        line
        for line in CHECKERS[name]([*examples, wrong]).splitlines()
        if ": error" in line or " - error" in line
    ]
    assert found and all("wrong.py:" in line for line in found), found
    assert any("emotion" in line for line in found)


@pytest.mark.parametrize("name", CHECKERS)
def test_labels_and_tracks_have_their_types(name: str, tmp_path: Path) -> None:
    """What programs do with results: an expression is a word and an `Emotion`, a track is a number."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "uses.py").write_text(
        "import io\n\n"
        "from mien import Emotion, EmotionRecognizer, FrameResult, Prediction\n\n"
        "recognizer = EmotionRecognizer()\n"
        "for face in recognizer.recognize(io.BytesIO(b'')):\n"
        "    print(face.emotion == 'happy', face.emotion == Emotion.HAPPY, face.emotion in ('sad', 'angry'))\n"
        "    word: str = face.emotion\n"
        "    print(word.title(), face.quality.score + 1)\n"
        "with open('photo.jpg', 'rb') as file:\n"
        "    recognizer.recognize(file)\n"
        "recognizer.recognize(bytearray())\n"
        "recognizer.recognize(memoryview(b''))\n"
        "for frame in recognizer.recognize_video('clip.mp4'):\n"
        "    still: FrameResult = frame\n"
        "    print(frame.time + 1, still.source)\n"
        "    for one in frame:\n"
        "        track: int = one.track\n"
        "        smoothed: Prediction = one.smoothed\n"
        "        print(track, smoothed.emotion)\n"
    )
    assert CHECKERS[name]([tmp_path / "uses.py"]) == ""
