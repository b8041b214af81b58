"""What people install: the files in the wheel and in the archive of the sources, and what they say of themselves."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from packages import ROOT, build, tracked

import mien

pytestmark = pytest.mark.slow

WHEEL = f"mien-{mien.__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    assert [path.name for path in build(folder)] == [WHEEL, f"mien-{mien.__version__}.tar.gz"]
    return folder


@pytest.fixture(scope="module")
def archived(made: Path) -> set[str]:
    with tarfile.open(made / f"mien-{mien.__version__}.tar.gz") as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


@pytest.fixture(scope="module")
def in_wheel(made: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(made / WHEEL) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.fixture(scope="module")
def metadata(in_wheel: dict[str, bytes]) -> Message:
    return email.message_from_bytes(in_wheel[f"mien-{mien.__version__}.dist-info/METADATA"])


def test_the_sources_are_the_whole_repository(archived: set[str]) -> None:
    assert archived == tracked() | {"PKG-INFO"}


def test_the_sources_hold_what_their_tests_read(archived: set[str]) -> None:
    wanted = {"MODEL_CARD.md", "CONTRIBUTING.md", "CITATION.cff", "mkdocs.yml", "runs/flagship.sh", ".ci/run"}
    assert wanted <= archived
    assert not [name for name in archived if "__pycache__" in name or name.startswith(("build/", "dist/"))]


def test_the_wheel_is_the_package_and_nothing_else(in_wheel: dict[str, bytes]) -> None:
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "mien").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = {name for name in in_wheel if name.startswith(f"mien-{mien.__version__}.dist-info/")}
    assert set(in_wheel) - about == sources
    weights = {
        "mien/models/mien-s-3/model.onnx",
        "mien/models/mien-s/model.onnx",
        "mien/models/mien-s/model.weights.h5",
        "mien/faces/weights/mien.onnx",
    }
    assert {*weights, "mien/py.typed"} <= sources
    assert sum(len(in_wheel[name]) for name in weights) < 12_000_000
    assert in_wheel[f"mien-{mien.__version__}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert len(b"".join(in_wheel.values())) < 14_000_000


def test_the_wheel_made_from_the_archive_is_that_made_from_the_repository(
    in_wheel: dict[str, bytes], tmp_path: Path
) -> None:
    (direct,) = build(tmp_path, "--wheel")
    with zipfile.ZipFile(direct) as wheel:
        assert {name: wheel.read(name) for name in wheel.namelist()} == in_wheel


def test_it_says_what_it_is(metadata: Message) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == project["requires-python"]
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert metadata.get_payload(decode=True) == (ROOT / "README.md").read_bytes()


def test_a_package_index_would_take_them(made: Path) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *sorted(made.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/start.md"])
def test_the_wheel_is_called_what_the_documentation_calls_it(page: str) -> None:
    named = re.findall(r"mien-\S+?\.whl", (ROOT / page).read_text(encoding="utf-8"))
    assert named
    assert set(named) == {WHEEL}


def test_no_address_is_given_before_there_is_one(metadata: Message) -> None:
    assert metadata.get_all("Project-URL") is None
    invented = re.compile(rb"(github|gitlab)\.com/mien|mien\.(readthedocs|github)\.io|[c]olab\S+/github/")
    assert not [name for name in tracked() if invented.search((ROOT / name).read_bytes())]
