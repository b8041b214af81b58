"""What a host of the repository reads: GitHub's workflow and forms, CITATION.cff, the hooks of pre-commit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packages import ROOT

import mien

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with the extra dev")

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def command(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"needs {name}: pip install {package}")
    return found


class TestForms:
    @pytest.mark.parametrize(
        ("path", "schema"),
        [
            (".github/workflows/ci.yml", "github-workflows"),
            (".github/ISSUE_TEMPLATE/bug.yml", "github-issue-forms"),
            (".github/ISSUE_TEMPLATE/expression.yml", "github-issue-forms"),
            (".github/ISSUE_TEMPLATE/feature.yml", "github-issue-forms"),
            (".github/ISSUE_TEMPLATE/config.yml", "github-issue-config"),
            ("CITATION.cff", "citation-file-format"),
        ],
    )
    def test_they_have_the_form_that_their_reader_expects(self, path: str, schema: str) -> None:
        check = command("check-jsonschema", "check-jsonschema")
        words = [check, "--builtin-schema", f"vendor.{schema}"]
        done = subprocess.run([*words, ROOT / path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout

    def test_every_form_is_checked_and_asks_for_no_pictures_of_others(self) -> None:
        names = {path.name for path in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()}
        assert names == {"bug.yml", "expression.yml", "feature.yml", "config.yml"}
        for name, words in (
            ("bug", "No photos of others"),
            ("expression", "do not post photos of other people"),
        ):
            text = (ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text(encoding="utf-8")
            assert words in re.sub(r"\s+", " ", text)

    def test_the_citation_is_of_this_version_and_invents_nothing(self) -> None:
        citation = load(ROOT / "CITATION.cff")
        assert citation["version"] == mien.__version__
        assert citation["license"] == PROJECT["license"]
        assert [author["name"] for author in PROJECT["authors"]] == [a["name"] for a in citation["authors"]]
        assert not {"doi", "url", "repository", "repository-code", "identifiers"} & set(citation)

    def test_pre_commit_takes_its_hooks_and_needs_nothing_from_elsewhere(self) -> None:
        check = command("pre-commit", "pre-commit")
        hooks = ROOT / ".pre-commit-config.yaml"
        done = subprocess.run([check, "validate-config", hooks], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        (repository,) = load(hooks)["repos"]
        assert repository["repo"] == "local"
        assert [hook["entry"].split(" --")[0] for hook in repository["hooks"]] == [
            "ruff check", "ruff format", "mypy",
        ]  # fmt: skip


class TestWorkflow:
    """Its own form is checked above, and by .ci/actionlint; here is what it has to say."""

    def test_every_supported_python_on_three_systems(self) -> None:
        matrix = load(WORKFLOW)["jobs"]["newest"]["strategy"]["matrix"]
        named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
        assert matrix["python"] == named
        assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}

    def test_it_runs_weekly_and_may_only_read(self) -> None:
        workflow = load(WORKFLOW)
        (weekly,) = workflow[True]["schedule"]  # YAML 1.1 reads `on` as true
        assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", weekly["cron"])
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert "permissions" not in job
            assert job["timeout-minutes"] <= 120

    def test_its_commands_are_there(self) -> None:
        jobs = load(WORKFLOW)["jobs"].values()
        runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        scripts = {word for run in runs for word in run.split() if word.startswith(".ci/")}
        assert scripts >= {".ci/run", ".ci/matrix", ".ci/container.py"}
        for script in scripts:
            assert (ROOT / script).stat().st_mode & 0o100, script
        extras = {
            name for run in runs for found in re.findall(r"\[([\w,]+)\]", run) for name in found.split(",")
        }
        assert extras == {"serve", "batch", "test"}
        assert extras <= set(PROJECT["optional-dependencies"])

    @pytest.mark.parametrize("status", [0, 3])
    def test_the_end_of_a_run_keeps_its_status(self, tmp_path: Path, status: int) -> None:
        """What its trap does must not: with `set -e` a command that fails there ends the run with its own status."""
        script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        head = script[: script.index("\n", script.index("trap ")) + 1]
        script = head + f"sleep 0 & wait $!\nexit {status}\n"
        place = tmp_path / "ci" / "run"
        place.parent.mkdir()
        place.write_text(script, encoding="utf-8")
        assert subprocess.run(["bash", str(place)], timeout=60).returncode == status

    def test_only_the_hosts_own_actions_and_no_token_left_behind(self) -> None:
        steps = [step for job in load(WORKFLOW)["jobs"].values() for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps)
        checkouts = [step for step in steps if step["uses"].startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)
