"""The house: its rooms and who may use whom, by import-linter; what it loads, its public names, how long things are."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import pydoc
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import mien
from mien import errors

SOURCE = Path(mien.__file__).parent
ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

MOST_FILES, LONGEST_FILE, LONGEST_FUNCTION = 20, 350, 60


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((SOURCE / file).read_text(encoding="utf-8"), file)


def libraries(file: str) -> set[str]:
    """The packages from outside that a file imports anywhere, for type checkers alone too; without Python's own."""
    names = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"mien"}


def drawn_rooms() -> dict[str, str]:
    """Room or file -> its purpose, bottom layer first, from docs/explanation/architecture.md."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w./ ]+)` *\| *([^|]+?) *\|$", text, re.MULTILINE)
    return {name.removesuffix(".py").rstrip("/"): purpose for name, purpose in rows}


class TestListsAgree:
    """What is named in two places, since one of them must load nothing heavy."""

    def test_formats(self) -> None:
        from mien.cli.options import FaceFormat
        from mien.cli.output_file import ENDINGS
        from mien.output.writers import FORMATS

        assert set(FaceFormat) == set(FORMATS) == set(ENDINGS.values())

    def test_networks(self) -> None:
        pytest.importorskip("keras", reason="needs mien[train]")
        from mien.cli.train import NetworkOption
        from mien.training.networks import NETWORKS

        named = NetworkOption.__metadata__[0].help.replace(" -lite", " efficientnet-lite")
        page = (
            (ROOT / "docs" / "how-to" / "training.md")
            .read_text(encoding="utf-8")
            .replace("`-lite", "`efficientnet-lite")
        )
        modules = {n: getattr(build, "func", build).__module__ or "" for n, build in NETWORKS.items()}
        own = {network for network, module in modules.items() if module.startswith("mien.")}
        assert len(own) > 5
        for network in sorted(own):  # the others are of other tests
            assert re.search(rf"(?<![\w-]){network}(?![\w-])", named), network
            assert f"`{network}`" in page, network


class TestRooms:
    def test_each_uses_only_what_stands_below_it(self) -> None:
        pytest.importorskip("importlinter", reason="needs import-linter")
        done = subprocess.run(["lint-imports", "--no-logo"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout

    def test_the_page_draws_those_that_are_there_in_their_order(self) -> None:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
            "importlinter"
        ]
        layers = [set(re.findall(r"\w+", layer)) for layer in reversed(settings["contracts"][0]["layers"])]
        places = {room: place for place, rooms in enumerate(layers) for room in rooms}
        drawn = list(drawn_rooms())
        assert set(drawn) == set(places)
        assert [places[room] for room in drawn] == sorted(places[room] for room in drawn)

    @pytest.mark.parametrize("folder", sorted({Path(file).parent.as_posix() for file in FILES}))
    def test_no_room_is_crowded_and_each_says_what_it_is(self, folder: str) -> None:
        files = [file for file in FILES if Path(file).parent.as_posix() == folder]
        assert len(files) <= MOST_FILES
        assert ast.get_docstring(tree((Path(folder) / "__init__.py").as_posix()))

    def test_nobody_inside_takes_the_way_over_the_package(self) -> None:
        # `from mien import Box` would load results.py through the package, past the order of the rooms.
        for file in FILES:
            for node in ast.walk(tree(file)):
                if isinstance(node, ast.ImportFrom) and node.module == "mien":
                    names = {alias.name for alias in node.names}
                    assert all((SOURCE / name).is_dir() for name in names), (file, names)

    def test_a_name_with_an_underscore_stays_in_its_file(self) -> None:
        for file in FILES:
            for node in ast.walk(tree(file)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mien."):
                    private = [
                        alias.name for alias in node.names if re.match(r"_[a-z]", alias.name, re.IGNORECASE)
                    ]
                    assert set(private) <= {"__version__"}, (file, private)


class TestLibraries:
    def test_import_mien_loads_nothing_heavy(self) -> None:
        code = "import sys, mien; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split())
        assert "mien" in loaded
        heavy = {
            "keras",
            "tensorflow",
            "matplotlib",
            "cv2",
            "onnxruntime",
            "fastapi",
            "numpy",
            "av",
            "PIL",
            "rich",
        }
        assert not loaded & heavy

    def test_the_core_needs_no_training_framework(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        core = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in project["dependencies"]}
        assert {"numpy", "opencv-python-headless", "onnxruntime", "matplotlib", "typer", "rich"} <= core
        assert not core & {
            "tensorflow",
            "torch",
            "keras",
            "jax",
            "onnx",
            "tf2onnx",
            "pyarrow",
            "fastapi",
            "ray",
            "fsspec",
        }

    def test_the_core_imports_only_what_it_depends_on(self) -> None:
        allowed = {"mien", "av", "numpy", "cv2", "PIL", "onnxruntime", "matplotlib", "typer", "rich"}
        # Extras, each behind an error that says how to install it.
        extras = {
            "batch/ray.py": {"ray"},
            "batch/file_systems.py": {"fsspec"},
            "batch/crops.py": {"pyarrow"},
            "batch/archives.py": {"pyarrow"},
            "batch/shards.py": {"pyarrow"},
            "batch/output.py": {"pyarrow"},
            "data/parquet.py": {"pyarrow"},
            "output/rows.py": {"pyarrow"},
            "agreement/code_files.py": {"pysubs2", "webvtt"},
            "agreement/code_tables.py": {"pyarrow"},
            "output/writers.py": {"pyarrow"},
            "study/frames.py": {"pyarrow"},
            "study/run.py": {"pyarrow"},
        }
        web = {"fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client"}
        for file in FILES:
            if not file.startswith("training/"):
                more = web if file.startswith("server/") else extras.get(file, set())
                assert libraries(file) <= allowed | more, file


class TestNames:
    def test_all_is_sorted(self) -> None:
        # Constants, then classes, then functions, each by name: the order that ruff keeps.
        def key(name: str) -> tuple[int, str]:
            return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

        assert list(mien.__all__) == sorted(set(mien.__all__), key=key)

    @pytest.mark.parametrize("name", mien.__all__)
    def test_every_public_name_can_be_imported(self, name: str) -> None:
        value = getattr(mien, name)
        assert getattr(mien, name) is value
        assert name in dir(mien)

    def test_help_shows_the_public_names_first(self) -> None:
        """Then come the modules, of which there are many."""
        text = pydoc.plain(pydoc.render_doc(mien))
        first, contents, _ = text.partition("PACKAGE CONTENTS")
        assert contents
        named = re.findall(r"^ {8}(\w+) {2,}\w", first, re.MULTILINE)
        assert sorted(named) == sorted(mien.__all__)

    def test_an_unknown_name_is_no_attribute(self) -> None:
        assert not hasattr(mien, "no_such_name")

    def test_type_checkers_see_the_same_names(self) -> None:
        guarded = next(n for n in ast.walk(tree("__init__.py")) if isinstance(n, ast.If))
        assert ast.unparse(guarded.test) == "TYPE_CHECKING"
        for node in guarded.body:
            assert isinstance(node, ast.ImportFrom)
            for alias in node.names:
                home = importlib.import_module(str(node.module))
                assert getattr(home, alias.name) is getattr(mien, alias.name)
        seen = {alias.name for n in guarded.body if isinstance(n, ast.ImportFrom) for alias in n.names}
        assert seen == set(mien.__all__)

    def test_every_error_stands_in_the_drawn_tree(self) -> None:
        drawn: dict[str, str] = {}
        path: list[str] = []
        for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
            match = re.match(r"^ *((?:│   |    )*?)(?:[├└]── )?([A-Z]\w+Error)\b", line)
            if match:
                depth = (line.index(match[2]) - 4) // 4
                path[depth:] = [match[2]]
                drawn[match[2]] = path[depth - 1] if depth else "Exception"
        classes = {
            name: value.__bases__[0].__name__
            for name, value in vars(errors).items()
            if inspect.isclass(value) and issubclass(value, Exception)
        }
        assert drawn == classes
        assert len(classes) > 5

    def test_every_error_survives_the_way_between_processes(self) -> None:
        for name, value in vars(errors).items():
            if inspect.isclass(value) and issubclass(value, errors.MienError):
                error = (
                    value("reading", "train", "or not")
                    if value is errors.MissingExtraError
                    else value("what came")
                )
                again = pickle.loads(pickle.dumps(error))
                assert (type(again), str(again)) == (value, str(error)), name

    def test_errors_are_defined_in_one_place(self) -> None:
        for file in FILES:
            if file != "errors.py":
                for node in ast.walk(tree(file)):
                    if isinstance(node, ast.ClassDef):
                        assert not node.name.endswith("Error"), f"{file}: {node.name}"


class TestSize:
    @pytest.mark.parametrize("file", FILES)
    def test_files_and_functions_stay_short(self, file: str) -> None:
        lines = (SOURCE / file).read_text(encoding="utf-8").count("\n")
        assert lines <= LONGEST_FILE
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"

    @pytest.mark.parametrize("file", FILES)
    def test_no_assert(self, file: str) -> None:
        asserts = [node.lineno for node in ast.walk(tree(file)) if isinstance(node, ast.Assert)]
        assert not asserts, "python -O leaves asserts out: raise an error instead"
