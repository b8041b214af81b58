"""The page "The ONNX file alone": its Python and its JavaScript give mien's probabilities; and what the files say.

The JavaScript needs Node.js and the package onnxruntime-web: `npm install --prefix DIR onnxruntime-web`, and
`MIEN_ONNX_WEB=DIR/node_modules`.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from browser import needs_chromium, open_browser
from docs_code import ROOT, Block, blocks
from pictures import astronaut, encode
from PIL import Image

import mien
from mien.faces.onnx_detector import SHIPPED, DetectorModel
from mien.labels import LABELS
from mien.models.classifier import EmotionClassifier
from mien.models.registry import DEFAULT_MODEL, ModelConfig, available_models, resolve_model

pytestmark = pytest.mark.slow

PAGE = "docs/how-to/onnx-file.md"
BLOCKS = list(blocks(PAGE, (ROOT / PAGE).read_text(encoding="utf-8")))


def of_language(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


NEAR = {"mien-s": 1e-5, DEFAULT_MODEL: 0.06}
"""How much nearer a network in float32 is, in JavaScript: int8 makes small differences of processors larger."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's first block was run on a photograph: it leaves the model and a crop."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "photo.jpg").write_bytes(encode(astronaut(), "jpeg", quality=92))
    said = run_python(of_language("python")[0].text, folder)
    assert "normalisation = inside the network" in said
    return folder


def run_python(text: str, folder: Path) -> str:
    (folder / "block.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "block.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(mien.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected(folder: Path, model: str = DEFAULT_MODEL) -> dict[str, float]:
    crop = np.asarray(Image.open(folder / "face.png").convert("L"))
    assert crop.shape == (48, 48)
    return dict(zip(LABELS, EmotionClassifier(model).predict_proba([crop])[0].tolist(), strict=True))


def test_the_crop_is_the_one_that_mien_reads(here: Path) -> None:
    (face,) = mien.EmotionRecognizer().recognize(here / "photo.jpg")
    assert expected(here) == pytest.approx(dict(face.probabilities), abs=1e-6)


def test_python(here: Path) -> None:
    text = of_language("python")[1].text
    assert "mien" not in text and len([line for line in text.splitlines() if line]) <= 13
    answer = ast.literal_eval(run_python(text, here))
    assert list(answer) == list(LABELS)
    assert answer == pytest.approx(expected(here), abs=1e-5)


HARNESS = """
import { readFileSync } from "node:fs";
import { expressions } from "./block.mjs";

const [path] = process.argv.slice(2);
const [grey, model] = ["grey.bin", path].map((name) => readFileSync(name));
const rgba = Uint8ClampedArray.from({ length: 4 * grey.length }, (_, i) => (i % 4 === 3 ? 255 : grey[i >> 2]));
for (const source of [path, model]) {
  console.log(JSON.stringify(await expressions(source, rgba)));
}
"""


@pytest.fixture
def module(here: Path) -> Path:
    """The page's first JavaScript as a module beside the package that it imports."""
    packages = Path(os.environ.get("MIEN_ONNX_WEB", "node_modules"))
    if not (packages / "onnxruntime-web").is_dir():
        pytest.skip("needs the package onnxruntime-web in the folder that MIEN_ONNX_WEB names")
    text = of_language("js")[0].text
    assert len([line for line in text.splitlines() if line]) <= 10
    (here / "block.mjs").write_text(text)
    if not (here / "node_modules").exists():
        (here / "node_modules").symlink_to(packages.resolve())
    return here / "block.mjs"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("model", NEAR)
def test_javascript_in_node(here: Path, module: Path, model: str) -> None:
    shutil.copy(resolve_model(model) / "model.onnx", here / f"{model}.onnx")
    (here / "harness.mjs").write_text(HARNESS)
    (here / "grey.bin").write_bytes(np.asarray(Image.open(here / "face.png").convert("L")).tobytes())
    done = subprocess.run(
        ["node", "harness.mjs", f"{model}.onnx"], cwd=here, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2 and list(answers[0]) == list(LABELS)
    for answer in answers:
        assert answer == pytest.approx(expected(here, model), abs=NEAR[model])


WEB_PAGE = """<!doctype html>
<link rel="icon" href="data:,">
<script type="importmap">
{"imports": {"onnxruntime-web": "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs"}}
</script>
<script type="module">
import { expressions } from "./block.mjs";
const shown = [];
const console = { log: (answer) => shown.push(answer) };
%s
document.title = JSON.stringify(shown[0]);
</script>
"""


@needs_chromium
def test_javascript_in_a_browser(here: Path, module: Path) -> None:
    """Both blocks, the second of which takes the crop from a canvas."""
    (here / "page.html").write_text(WEB_PAGE % of_language("js")[1].text)
    handler = partial(_Quiet, directory=str(here))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            with open_browser() as browser:
                page = browser.new_page()
                faults: list[str] = []
                page.on("pageerror", lambda error: faults.append(str(error)))
                page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
                page.wait_for_function("document.title || false", timeout=60_000)
                answer = json.loads(page.title())
                assert not faults
        finally:
            server.shutdown()
    assert answer == pytest.approx(expected(here), abs=NEAR[DEFAULT_MODEL])


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def log_message(self, *_: object) -> None:
        pass


def metadata(path: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


@pytest.mark.parametrize("name", [config.name for config in available_models()])
def test_a_shipped_model_says_what_it_is(name: str) -> None:
    config = ModelConfig.load(resolve_model(name))
    said = metadata(resolve_model(name) / "model.onnx")
    assert said["name"] == name
    assert json.loads(said["labels"]) == {head: list(labels) for head, labels in config.outputs.items()}
    assert f"crops: uint8 [n, {config.input_size}, {config.input_size}], grey" in said["input"]
    assert "inside the network" in said["normalisation"]
    assert said["licence"].startswith("Apache-2.0; ")


def test_the_shipped_detector_says_what_it_is() -> None:
    said = metadata(SHIPPED / "mien.onnx")
    assert json.loads(said["labels"]) == ["face"]
    assert (
        "uint8 [n, height, width, 3], RGB" in said["input"] and "inside the network" in said["normalisation"]
    )
    assert said["licence"].startswith("Apache-2.0; ")


def test_files_of_before_count_as_the_same_network() -> None:
    """So that folders of `mien batch` that were begun with them go on."""
    assert DetectorModel.load(SHIPPED).same_as[0].startswith("56cac443d099")
