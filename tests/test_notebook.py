"""The notebook: it runs from the first cell to the last in a real kernel, and shows what it promises."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="needs nbclient")

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from packages import build
from PIL import Image

import mien

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "mien_colab.ipynb"
ASKED = 'MIEN = ""'
SHORT = 'EPOCHS, RESNET_EPOCHS, RESNET_WEIGHTS = 2, 0, "none"'


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(folder: Path, parameters: str) -> Any:
    """The notebook as it is after a run in `folder`, with other parameters than it comes with."""
    notebook = read()
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(parameters))
    env = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    # `!mien` finds the command of this environment, and nobody's own IPython settings count.
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=env)
    return notebook


def cell(notebook: Any, name: str) -> Any:
    return next(cell for cell in notebook.cells if cell.id == name)


def text(notebook: Any, name: str) -> str:
    """What a cell wrote."""
    outputs = cell(notebook, name).outputs
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def pictures(notebook: Any, name: str) -> list[np.ndarray]:
    """The PNGs that a cell showed."""
    encoded = [output.get("data", {}).get("image/png") for output in cell(notebook, name).outputs]
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")) for png in encoded if png
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def executed(folder: Path) -> Any:
    return execute(folder, SHORT)


@pytest.mark.slow
class TestRun:
    def test_every_cell_ran_without_error_and_without_warning(self, executed: Any) -> None:
        for ran in executed.cells:
            if ran.cell_type == "code":
                assert ran.execution_count is not None, ran.id
                assert not [output for output in ran.outputs if output.output_type == "error"], ran.id
                errors = "".join(
                    o.text for o in ran.outputs if o.output_type == "stream" and o.name == "stderr"
                )
                assert "Warning" not in errors, errors
                assert "oneDNN" not in errors, errors  # nor TensorFlow's remarks on the machine

    @pytest.mark.parametrize(
        ("name", "count"),
        [
            ("look", 1),
            ("augment", 1),
            ("train", 1),
            ("confusion", 1),
            ("chart", 2),
            ("chart-own", 2),
            ("photo", 2),
            ("camera", 2),
        ],
    )
    def test_pictures_are_shown(self, executed: Any, name: str, count: int) -> None:
        shown = pictures(executed, name)
        assert len(shown) == count
        for picture in shown:
            assert min(picture.shape[:2]) > 200
            assert picture.std() > 10  # something is drawn

    def test_images_are_counted(self, executed: Any) -> None:
        counts = text(executed, "count")
        assert "train: found 420 images belonging to 7 classes" in counts
        assert "angry 60, disgust 60, fear 60, happy 60, sad 60, surprise 60, neutral 60" in counts

    def test_networks_are_summarized(self, executed: Any) -> None:
        assert "2,345,607" in text(executed, "build")
        assert text(executed, "resnet-build") == "ResNet50, weights none: 23,602,055 parameters\n"

    def test_the_recipe_is_shown(self, executed: Any) -> None:
        assert re.search(r"optimizer +adam\n", text(executed, "compile"))

    def test_the_run_is_saved_and_loaded(self, executed: Any, folder: Path) -> None:
        (run,) = (folder / "runs").iterdir()
        assert {"model.keras", "curves.png", "metrics.json"} <= {path.name for path in run.iterdir()}
        assert "export/model.onnx" in text(executed, "save")
        assert text(executed, "load").startswith("tutorial-cnn (None, 7) | tutorial-cnn ('angry',")

    def test_the_command_reads_the_portrait(self, executed: Any) -> None:
        assert re.search(r"ce_hopper\.jpg +1 ", text(executed, "command"))

    def test_the_model_is_evaluated_on_the_test_split(self, executed: Any) -> None:
        scores = text(executed, "evaluate")
        assert "on sample, split test, head expression: 140 images" in scores
        assert re.search(r"accuracy +\d+\.\d %  \(95 %: \d+\.\d to \d+\.\d %\)", scores)
        assert "confusion matrix: rows true, columns predicted" in scores

    def test_without_a_camera_it_says_so(self, executed: Any) -> None:
        assert text(executed, "camera").startswith("The camera is asked for on Colab only")
        assert "camera: 1 face(s)" in text(executed, "camera")


class TestFile:
    def test_it_is_committed_without_outputs(self) -> None:
        notebook = read()
        nbformat.validate(notebook)
        for code in notebook.cells:
            if code.cell_type == "code":
                assert code.outputs == [], code.id
                assert code.execution_count is None, code.id
        assert NOTEBOOK.stat().st_size < 100_000

    def test_the_steps_come_in_the_tutorials_order(self) -> None:
        headings = [
            int(number)
            for cell in read().cells
            if cell.cell_type == "markdown"
            for number in re.findall(r"^## (\d+)\. ", cell.source, re.MULTILINE)
        ]
        assert headings == list(range(1, 13))

    def test_no_path_of_anybodys_machine(self) -> None:
        sources = "\n".join(cell.source for cell in read().cells)
        assert not re.search(r"""["'(\s](/(?!content/drive)\w+/|[A-Z]:\\|~/)""", sources)

    def test_cells_are_short(self) -> None:
        for cell in read().cells:
            assert cell.source.count("\n") < (50 if cell.metadata.get("cellView") == "form" else 30), cell.id

    def test_getting_mien_is_the_first_code(self) -> None:
        first = next(cell for cell in read().cells if cell.cell_type == "code")
        assert first.id == "get"
        assert ASKED in first.source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"), "--wheel")[0]


@pytest.mark.slow
class TestGettingMien:
    """The first cell in a kernel that has everything but mien."""

    @pytest.fixture
    def get(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        """Runs the cell with MIEN set, after some code; gives what it wrote, and what `import mien` then is."""
        python = environment_without_mien(tmp_path / "environment")
        kernel = tmp_path / "jupyter" / "kernels" / "without-mien"
        kernel.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "language": "python", "display_name": kernel.name}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        here = tmp_path / "here"
        here.mkdir()

        def run(given: str, before: str = "") -> str:
            code = cell(read(), "get").source.replace(ASKED, f"MIEN = {given!r}")
            after = "import mien; print(mien.__version__, mien.__file__)"
            cells = [nbformat.v4.new_code_cell(text) for text in (before, code, after)]
            client = NotebookClient(
                nbformat.v4.new_notebook(cells=cells),
                timeout=600, kernel_name=kernel.name, resources={"metadata": {"path": str(here)}},
            )  # fmt: skip
            env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")}
            # pip builds the sources with what is here, and asks nobody for anything else.
            client.execute(env=env | {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"})
            written = "".join(o["text"] for ran in client.nb.cells for o in ran.outputs)
            assert f"{mien.__version__} {python.parents[1]}" in written
            return written

        return run

    def test_a_wheel_that_lies_here(self, get: Callable[..., str], wheel: Path, tmp_path: Path) -> None:
        shutil.copy(wheel, tmp_path / "here")
        assert f"mien from {(tmp_path / 'here' / wheel.name).as_uri()}\n" in get("")

    def test_a_clone_that_lies_here(self, get: Callable[..., str], tmp_path: Path) -> None:
        clone = tmp_path / "here" / "mien"
        shutil.copytree(ROOT / "src", clone / "src")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, clone)
        assert f"mien from {clone.as_uri()}\n" in get("")

    def test_the_wheel_or_the_sources_as_named(self, get: Callable[..., str], wheel: Path) -> None:
        assert f"mien from {wheel.as_uri()}\n" in get(str(wheel))
        assert f"mien from {ROOT.as_uri()}\n" in get(str(ROOT))  # over the one that is there by now
        assert "mien as installed: " in get("")

    def test_the_address_of_a_wheel(self, get: Callable[..., str], wheel: Path) -> None:
        with serving_folder(wheel.parent) as server:
            assert f"mien from {server}/{wheel.name}\n" in get(f"{server}/{wheel.name}")

    def test_the_address_of_a_repository(self, get: Callable[..., str], tmp_path: Path) -> None:
        if not (ROOT / ".git").exists():
            pytest.skip("needs a clone")
        clone = tmp_path / "hosted"
        subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, clone], check=True)
        assert f"mien from git+{clone.as_uri()}\n" in get(clone.as_uri())

    def test_a_wheel_that_is_uploaded(self, get: Callable[..., str], wheel: Path, tmp_path: Path) -> None:
        upload = f"""
import shutil, sys
from types import ModuleType
colab = sys.modules["google.colab"] = ModuleType("google.colab")
sys.modules.setdefault("google", ModuleType("google"))
colab.files = ModuleType("files")
name = "{wheel.stem} (1).whl"
colab.files.upload = lambda: {{shutil.copy({str(wheel)!r}, name): b""}}
"""
        assert f"mien from {(tmp_path / 'here' / wheel.name).as_uri()}\n" in get("", upload)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("", "no mien here: put its wheel next to this notebook, or set MIEN"),
            ("no/such.whl", "MIEN = 'no/such.whl': no such file or folder"),
            ("http://127.0.0.1:9/mien-0.1.0-py3-none-any.whl", "pip could not install http"),
        ],
    )
    def test_what_cannot_be_had_says_so(self, get: Callable[..., str], given: str, words: str) -> None:
        with pytest.raises(CellExecutionError) as error:
            get(given, 'import os; os.environ["PIP_RETRIES"] = "0"')
        assert words in str(error.value)


def environment_without_mien(folder: Path) -> Path:
    """A new environment that sees the packages of this one, all but mien; gives its Python."""
    venv.create(folder / "venv", symlinks=os.name != "nt")
    python = Path(venv.EnvBuilder().ensure_directories(folder / "venv").env_exe)
    seen = folder / "seen"
    seen.mkdir()
    for path in (path for place in sys.path if place.endswith("-packages") for path in Path(place).iterdir()):
        if "mien" not in path.name and not (seen / path.name).exists():
            (seen / path.name).symlink_to(path)
    (added,) = (folder / "venv").rglob("site-packages")
    (added / "seen.pth").write_text(f"{seen}\n")
    return python


@contextmanager
def serving_folder(folder: Path) -> Iterator[str]:
    """The address of a web server on this machine that hands out a folder's files."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class TestColab:
    """The Python side of the camera, with a stand-in for Colab's own module, which is nowhere else to be had."""

    @pytest.fixture
    def take_picture(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        def prepare(answer: Any, **changes: bool) -> Any:
            output = ModuleType("google.colab.output")
            output.eval_js = answer  # type: ignore[attr-defined]
            for name in ("google", "google.colab"):
                monkeypatch.setitem(sys.modules, name, ModuleType(name))
            monkeypatch.setitem(sys.modules, "google.colab.output", output)
            names = {
                "ON_COLAB": True, "CAMERA": True, "b64decode": base64.b64decode,
                "Javascript": str, "display": lambda shown: None,
            }  # fmt: skip
            names |= changes
            exec(cell(read(), "take-picture").source, names)
            return names["take_picture"]

        return prepare

    def test_a_picture_comes_as_the_bytes_of_a_jpeg(self, take_picture: Any) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (64, 48), (200, 30, 30)).save(buffer, "JPEG")
        url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        assert take_picture(lambda call: {"takePicture()": url}[call])() == buffer.getvalue()

    def test_a_camera_that_may_not_be_used_is_no_error(
        self, take_picture: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(call: str) -> str:
            raise RuntimeError("NotAllowedError: Permission denied")

        assert take_picture(refuse)() is None
        assert "No picture from the camera (NotAllowedError: Permission denied)" in capsys.readouterr().out

    def test_it_can_be_switched_off(self, take_picture: Any, capsys: pytest.CaptureFixture[str]) -> None:
        assert take_picture(None, CAMERA=False)() is None
        assert "here is the portrait instead" in capsys.readouterr().out
