"""The walls of the house, read from the source: who imports whom, and how long things are.

An import counts wherever it stands, inside a function too. Only those under `if TYPE_CHECKING:` are left out:
they never run, so they can neither close a cycle nor load a library.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mien
from mien import errors

SOURCE = Path(mien.__file__).parent
ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

# Packages' own files name what is in them: they lie below all that they hold, and may import errors.py.
PACKAGES = {"__init__.py": -1.0, **{f"{name}/__init__.py": 0.5 for name in ("batch", "server", "training")}}

LONGEST_FILE, LONGEST_FUNCTION = 350, 60


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((SOURCE / file).read_text(encoding="utf-8"), file)


def runs(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, without what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from runs(other)
            continue
        yield child
        yield from runs(child)


def file_of(module: str) -> str | None:
    """The file of a module of mien: "mien.training" is training/__init__.py."""
    if module.partition(".")[0] != "mien":
        return None
    path = "/".join(module.split(".")[1:])
    for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
        if file in FILES:
            return file
    return None


@cache
def modules(file: str) -> frozenset[str]:
    """The full names of all modules that a file imports, those of the packages on the way included."""
    names = set()
    package = ["mien", *file.split("/")[:-1]]
    for node in runs(tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module or "") if part)
            names.add(base)
            names |= {f"{base}.{a.name}" for a in node.names if file_of(f"{base}.{a.name}")}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return frozenset(
        ".".join(parts[:end])
        for name in names
        for parts in [name.split(".")]
        for end in range(1, len(parts) + 1)
    )


def imported_files(file: str) -> set[str]:
    """The files of mien that a file imports; that of a package only where the package itself is meant."""
    found = {name: file_of(name) for name in modules(file)}
    return {target for target in found.values() if target is not None and target not in (file, "__init__.py")}


def importers(*libraries: str) -> set[str]:
    return {file for file in FILES if any(name.partition(".")[0] in libraries for name in modules(file))}


@cache
def layers() -> dict[str, float]:
    """File -> layer, as drawn in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn: dict[str, float] = dict(PACKAGES)
    for layer, cell in re.findall(r"^\| *(\d+) *\| *([^|]+?) *\|", text, re.MULTILINE):
        for file in cell.split():
            name = file.strip("`")
            assert drawn.setdefault(name, float(layer)) == float(layer), f"{name} is drawn twice"
    return drawn


class TestTheChecks:
    """The reading of imports itself, on source that is known."""

    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
        def of(text: str, file: str = "recognition.py") -> set[str]:
            modules.cache_clear()
            monkeypatch.setattr(sys.modules[__name__], "tree", lambda _: ast.parse(text))
            return set(modules(file))

        yield of
        modules.cache_clear()

    @pytest.mark.parametrize(
        ("text", "module"),
        [
            ("import keras.layers", "keras"),
            ("import keras as k", "keras"),
            ("from keras import layers", "keras"),
            ("def f():\n    import keras", "keras"),
            ("class A:\n    async def f(self):\n        with x:\n            from keras import ops", "keras"),
            ("try:\n    pass\nexcept E:\n    import keras", "keras"),
            ("import importlib\nimportlib.import_module('keras.ops')", "keras"),
            ("__import__('keras')", "keras"),
            ("from mien import metrics", "mien.metrics"),
            ("from . import metrics", "mien.metrics"),
            ("from .metrics import softmax", "mien.metrics"),
            ("from mien.training.train import train", "mien.training"),
            ("if TYPE_CHECKING:\n    pass\nelse:\n    import keras", "keras"),
        ],
    )
    def test_finds(self, read: object, text: str, module: str) -> None:
        assert module in read(text)  # type: ignore[operator]

    def test_leaves_out_what_never_runs(self, read: object) -> None:
        assert read("if TYPE_CHECKING:\n    import keras\n    from mien import cli") == set()  # type: ignore[operator]


class TestLayers:
    def test_every_file_is_drawn_and_every_drawn_file_is_there(self) -> None:
        assert set(layers()) == set(FILES)
        drawn = [layer for file, layer in layers().items() if file not in PACKAGES]
        assert drawn == sorted(drawn)  # whoever reads from the top knows what a file may use

    @pytest.mark.parametrize("file", FILES)
    def test_imports_run_strictly_downward(self, file: str) -> None:
        own = layers().get(file, -1)  # one that is not drawn may import nothing
        above = {other for other in imported_files(file) if layers().get(other, own) >= own}
        assert not above, f"{file} (layer {own:g}) imports {above}"

    def test_there_is_no_cycle(self) -> None:
        done: set[str] = set()

        def visit(file: str, path: tuple[str, ...]) -> None:
            assert file not in path, " -> ".join((*path, file))
            if file not in done:
                for other in imported_files(file):
                    visit(other, (*path, file))
                done.add(file)

        for file in FILES:
            visit(file, ())
        assert done == set(FILES)

    def test_nobody_inside_takes_the_way_over_the_package(self) -> None:
        # `from mien import Box` would load results.py through the package, past the layers.
        for file in FILES:
            for node in ast.walk(tree(file)):
                if isinstance(node, ast.ImportFrom) and node.module == "mien" and not node.level:
                    names = {alias.name for alias in node.names}
                elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mien":
                    names = {node.attr}
                else:
                    continue
                assert all(name == "__version__" or file_of(f"mien.{name}") for name in names), (file, names)

    def test_only_the_command_line_imports_training(self) -> None:
        outside = {
            file
            for file in FILES
            if not file.startswith("training/")
            and any(name.startswith("mien.training") for name in modules(file))
        }
        assert outside <= {"cli_training.py"}


class TestLibraries:
    def test_keras_only_in_training(self) -> None:
        users = importers("keras", "tensorflow", "torch", "jax", "tf2onnx", "onnx")
        assert users
        assert all(file.startswith("training/") for file in users)

    def test_matplotlib_only_in_charts(self) -> None:
        assert importers("matplotlib") <= {
            "charts.py",
            "explanation_chart.py",
            "robustness_chart.py",
            "score_charts.py",
        }

    def test_onnxruntime_only_where_models_run_and_are_checked(self) -> None:
        assert importers("onnxruntime") <= {
            "classification.py",
            "mien_detector.py",
            "training/export.py",
            "training/detector_export.py",
        }

    def test_pyav_only_where_clips_are_read_and_written(self) -> None:
        assert importers("av") == {"clip_writer.py", "video.py"}

    def test_a_web_framework_only_in_the_server(self) -> None:
        web = (
            "fastapi",
            "starlette",
            "uvicorn",
            "pydantic",
            "prometheus_client",
            "flask",
            "aiohttp",
            "websockets",
        )
        users = importers(*web)
        assert users
        assert all(file.startswith("server/") for file in users)

    def test_engines_and_file_systems_have_one_place_each(self) -> None:
        assert importers("ray") == {"batch/cluster.py"}
        assert importers("fsspec") == {"batch/sources.py"}

    def test_the_command_line_has_its_libraries_to_itself(self) -> None:
        assert importers("typer", "click") <= {
            "cli.py",
            "cli_audits.py",
            "cli_batch.py",
            "cli_explain.py",
            "cli_training.py",
            "cli_video.py",
            "cli_serve.py",
            "cli_options.py",
            "cli_support.py",
        }

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
            "cleaning.py": {"pyarrow"},
            "dataset_readers.py": {"pyarrow"},
            "writers.py": {"pyarrow"},
            "batch/sources.py": {"fsspec", "pyarrow"},
            "batch/parts.py": {"pyarrow"},
            "batch/summary.py": {"pyarrow"},
            "batch/cluster.py": {"ray"},
        }
        web = {"fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client"}
        for file in FILES:
            if not file.startswith("training/"):
                used = {name.partition(".")[0] for name in modules(file)} - set(sys.stdlib_module_names)
                more = web if file.startswith("server/") else extras.get(file, set())
                assert used <= allowed | more, file


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
