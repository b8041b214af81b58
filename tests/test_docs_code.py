"""What the documentation tells people to type does work: every block is run, or says why it is not and is checked."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

from clips import heads, scene, write_clip
from docs_code import (
    COMMANDS,
    PAGES,
    ROOT,
    SCRIPTS,
    TEXT,
    Block,
    blocks,
    check_command,
    commands,
    inline,
    known_options,
    options_named_alone,
)
from pictures import astronaut, encode, grace_hopper
from serving import serving

import mien

ALL = [block for page in PAGES for block in blocks(page, (ROOT / page).read_text(encoding="utf-8"))]
RUN = [
    block
    for block in ALL
    if (block.language == "python" and not block.not_run)
    or (block.language in COMMANDS and not all(block.skips(line) for line in block.lines()))
]
EVERY_COMMAND = [(block, line) for block in ALL if block.language in COMMANDS for line in block.lines()]
SERVER = "localhost:8000"
FIRST_SCREEN = 15  # lines


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documentation speaks of, small."""
    folder = tmp_path_factory.mktemp("samples")
    face = encode(astronaut(), "jpeg", quality=92)
    for name in ("photo.jpg", "a.jpg", "photos/a.jpg", "my-faces/happy/a.jpg"):
        write(folder / name, face)
    for name in ("b.jpg", "scene.jpg", "photos/more/b.jpg", "my-faces/neutral/b.jpg"):
        write(folder / name, encode(grace_hopper(), "jpeg", quality=92))
    write(folder / "my-faces" / "groups.csv", b"file,age\nhappy/a.jpg,20-40\nneutral/b.jpg,40-60\n")
    for name, times in (("codes", "0.1,0.4"), ("second", "0,0.3"), ("third", "0.2,0.4")):
        write(folder / f"{name}.csv", f"clip,start,end,label\nclip.mp4,{times},happy\n".encode())
    write(folder / "map.toml", b'smile = "happy"\nnone = "neutral"\n')
    frames = [scene((0, 200 + i, 90)) for i in range(10)]
    for name in ("clip.mp4", "clips/clip.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_clip(folder / name, frames)
    write_clip(folder / "long.mp4", frames * 13, fps=2)
    for name in ("engaged", "bored"):
        for i, head in enumerate(heads()):
            write(folder / "study" / name / f"{i}.jpg", encode(head, "jpeg"))
    from small_runs import write_fer2013  # loads Keras

    write_fer2013(folder / "fer2013.csv")
    shipped = ROOT / "src" / "mien" / "models" / "mien-s"
    for run in ("runs/first", "runs/study"):
        shutil.copytree(shipped, folder / run)
    return folder


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def execute(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would who has these files before him."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(  # the code that is tested, from any folder
            filter(None, [str(Path(mien.__file__).parents[1]), os.environ.get("PYTHONPATH")])
        ),
        "MPLBACKEND": "Agg",
        "no_proxy": "*",
    }
    if block.language == "python":
        (folder / "block.py").write_text(block.text)
        command = [sys.executable, "block.py"]
    else:
        lines = [line for line in block.lines() if not block.skips(line)]
        (folder / "block.sh").write_text("set -euo pipefail\n" + "\n".join(lines) + "\n")
        command = ["bash", "block.sh"]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def places(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Page -> its own copy of the samples: what one block writes, the next may read."""
    made: dict[str, Path] = {}

    def place(page: str) -> Path:
        if page not in made:
            made[page] = Path(shutil.copytree(samples, tmp_path_factory.mktemp("page") / "here"))
        return made[page]

    return place


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=str)
def test_it_runs(block: Block, places: Callable[[str], Path]) -> None:
    folder = places(block.page)
    if SERVER in block.text:
        with serving() as server:
            address = server.url.removeprefix("http://")
            text = block.text.replace(f"http://{SERVER}", server.url).replace(SERVER, address)
            done = execute(Block(block.page, block.line, block.language, text, block.not_run), folder)
    else:
        done = execute(block, folder)
    assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("block", ALL, ids=str)
def test_it_is_of_a_known_language_and_says_what_is_not_run(block: Block) -> None:
    assert block.language in ("python", *COMMANDS, *SCRIPTS, *TEXT), (
        f"{block}: name the language of the fence"
    )
    if block.language in COMMANDS:
        for begin, reason in block.not_run.items():
            assert len(reason) > 5
            assert any(line.startswith(begin) for line in block.lines()), f"{block}: {begin!r} is not in it"
    if block.language == "python":
        compile(block.text, str(block), "exec")


@pytest.mark.parametrize(("block", "line"), EVERY_COMMAND, ids=lambda value: str(value)[:60])
def test_every_command_could_be_typed(block: Block, line: str) -> None:
    found = list(commands(line))
    assert found, f"{block}: {line}"
    for words in found:
        check_command(words)


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "MODEL_CARD.md"])
def test_commands_inside_of_sentences_could_be_typed(page: str) -> None:
    for code in inline((ROOT / page).read_text(encoding="utf-8")):
        for words in commands(code.replace("...", "").replace("…", "")):
            check_command(words, whole=False)


@pytest.mark.parametrize("page", [*PAGES, "MODEL_CARD.md"])
def test_options_that_are_named_alone_exist(page: str) -> None:
    assert options_named_alone((ROOT / page).read_text(encoding="utf-8")) <= known_options()


def test_options_are_found() -> None:
    assert options_named_alone(
        "`--seconds` or `--fps 5 --every`, `mien x --no`\n```\n`--in-code`\n```\n"
    ) == {
        "--seconds",
        "--fps",
        "--every",
    }
    assert {"--fps", "--no-web", "-o", "--rounds"} <= known_options()
    assert "--seconds" not in known_options()


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith(("README", "docs/"))])
def test_the_first_screen_of_a_page_shows_code(page: str) -> None:
    first = next(blocks(page, (ROOT / page).read_text(encoding="utf-8")), None)
    assert first is not None
    assert first.line <= FIRST_SCREEN


def test_much_of_the_documentation_is_run() -> None:
    assert len(RUN) >= 20
    assert len([block for block in RUN if block.language == "python"]) >= 8


PUBLIC = {"mien", "mien.compat", "mien.errors", "mien.training"}


def imported_modules(text: str) -> set[str]:
    """The modules of mien that Python code, and commands with code in them, import from."""
    found = re.findall(r"\bfrom +(mien(?:\.\w+)*) +import\b|\bimport +(mien(?:\.\w+)*)", text)
    return {first or second for first, second in found}


@pytest.mark.parametrize("page", [*PAGES, "notebooks/mien_colab.ipynb", "docs/make_gallery.py"])
def test_only_public_modules_are_shown_to_people(page: str) -> None:
    assert imported_modules((ROOT / page).read_text(encoding="utf-8")) <= PUBLIC


def test_the_check_sees_what_is_not_public() -> None:
    text = "from mien import x\nimport mien.training  # first\n`python -c 'from mien.data.load import y'`"
    assert imported_modules(text) == {"mien", "mien.training", "mien.data.load"}


def test_public_names_of_training_can_be_imported_and_are_in_the_reference() -> None:
    training = importlib.import_module("mien.training")
    importlib.import_module("mien.training.train")  # the module must not hide the function
    reference = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for name in training.__all__:
        assert getattr(training, name) is not None and name in dir(training)
        assert f"::: mien.training.{name}" in reference
        assert re.search(rf"^    {name} ", training.__doc__ or "", re.MULTILINE), name
    assert callable(training.train) and not hasattr(training, "no_such_name")


class TestTheReading:
    """The reading itself, on text that is known."""

    def test_blocks(self) -> None:
        text = (
            "# T\n\n<!-- not run: a camera -->\n```bash\nmien camera 0\n```\n\n    mien demo\n\n"
            "- item\n\n    of the item\n\n```\nx\n```\n\nend\n\n    mien a \\\n      b\n"
        )
        found = list(blocks("p.md", text))
        assert [(b.line, b.language, b.text) for b in found] == [
            (4, "bash", "mien camera 0\n"),
            (8, "bash", "mien demo\n"),
            (14, "", "x\n"),
            (20, "bash", "mien a \\\n  b\n"),
        ]
        assert [b.not_run for b in found] == [{"": "a camera"}, {}, {}, {}]
        assert found[3].lines() == ["mien a b"]

    def test_a_marker_can_mean_some_of_the_lines(self) -> None:
        text = (
            '<!-- not run "mien camera": a camera; "mien serve": does not end -->\n'
            "```bash\nmien demo\nmien serve\n```\n"
        )
        block = next(blocks("p.md", text))
        assert block.not_run == {"mien camera": "a camera", "mien serve": "does not end"}
        assert [block.skips(line) for line in block.lines()] == [False, True]

    @pytest.mark.parametrize(
        "comment", ["<!-- not run -->", "<!-- not run: -->", '<!-- not run "mien x" -->']
    )
    def test_a_marker_without_a_reason_is_an_error(self, comment: str) -> None:
        with pytest.raises(ValueError, match="expected"):
            list(blocks("p.md", f"{comment}\n```bash\nmien demo\n```\n"))

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("cat a.jpg | mien image - > b.csv", [["cat", "a.jpg"], ["mien", "image", "-"]]),
            ("KERAS_BACKEND=jax mien train x --output y  # why", [["mien", "train", "x", "--output", "y"]]),
            ("ruff check && mypy", [["ruff", "check"], ["mypy"]]),
            ('pip install ".[dev]"', [["pip", "install", ".[dev]"]]),
        ],
    )
    def test_commands(self, line: str, words: list[list[str]]) -> None:
        assert list(commands(line)) == words

    @pytest.mark.parametrize(
        "line",
        [
            "mien picture photo.jpg",
            "mien image photo.jpg --colour",
            "mien image photo.jpg --format xml",
            "mien train fer2013.csv",
            "mien train fer2013.csv --output run --set epoch=3",
            "mien train fer2013.csv --output run --epochs many",
            "mien evaluate fer2013.csv --split third",
            "pip install mien[everything]",
            "python benchmarks/no_such_script.py",
            "python benchmarks/speed.py --rouds 3",
            "runs/flagship.sh DATA OUT --rehersal",
            "main image photo.jpg",
        ],
    )
    def test_what_cannot_be_typed(self, line: str) -> None:
        with pytest.raises(ValueError):
            for words in commands(line):
                check_command(words)
