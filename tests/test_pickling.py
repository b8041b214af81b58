"""Recognizers, classifiers and detectors in other processes: pickled, copied, taken through a fork."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import astronaut, encode

from mien._core.per_process import PerProcess
from mien.errors import DetectorError, ModelError
from mien.faces.detector import FaceDetector
from mien.models.classifier import EmotionClassifier
from mien.models.registry import CONFIG_FILE, resolve_model
from mien.recognition import EmotionRecognizer

pytestmark = [pytest.mark.everywhere, pytest.mark.slow]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "a.jpg"
    path.write_bytes(encode(astronaut(), "jpeg", quality=92))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped model in a folder of its own."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in resolve_model("mien-s").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def change(folder: Path) -> None:
    """As a new run does that writes another model there: both files fit each other."""
    import hashlib

    import onnx

    network = onnx.load(folder / "model.onnx")
    network.doc_string = "another"
    data = network.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    config = json.loads((folder / CONFIG_FILE).read_bytes())
    (folder / CONFIG_FILE).write_text(json.dumps(config | {"sha256": hashlib.sha256(data).hexdigest()}))


POOLS = """
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from mien import EmotionClassifier, EmotionRecognizer, FaceDetector


def with_the_parents_own(path):
    return recognizer.recognize(path)


if __name__ == "__main__":
    method, detector, path = sys.argv[1:]
    recognizer = EmotionRecognizer(EmotionClassifier(threads=1), detector=FaceDetector(detector, threads=1))
    expected = recognizer.recognize(path)
    assert len(expected) == 1
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(recognizer.recognize, [path] * 5) == [expected] * 5
        if method == "fork":
            assert pool.map(with_the_parents_own, [path] * 3) == [expected] * 3
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(recognizer.recognize, [path] * 3)) == [expected] * 3
    print("the same")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("detector", ["mien", "haar"])
def test_pools(method: str, detector: str, photo: Path, tmp_path: Path) -> None:
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    (tmp_path / "pools.py").write_text(POOLS)
    done = subprocess.run(
        [sys.executable, "pools.py", method, detector, str(photo)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr


CHANGED = """
import sys
from multiprocessing import get_context
from pathlib import Path

from mien import EmotionRecognizer

if __name__ == "__main__":
    folder, path = sys.argv[1:]
    recognizer = EmotionRecognizer(folder)
    (Path(folder) / "model.onnx").write_bytes(b"something else")
    with get_context("spawn").Pool(1) as pool:
        try:
            pool.map(recognizer.recognize, [path])
        except Exception as error:
            print(type(error).__name__, error)
"""


def test_a_pool_says_that_a_model_has_changed_and_does_not_wait_for_ever(
    model: Path, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "changed.py").write_text(CHANGED)
    done = subprocess.run(
        [sys.executable, "changed.py", str(model), str(photo)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.startswith("ModelError ") and "was changed since" in done.stdout, done.stderr


def through_pickle(value: EmotionRecognizer) -> EmotionRecognizer:
    again = pickle.loads(pickle.dumps(value))
    assert isinstance(again, EmotionRecognizer)
    return again


@pytest.mark.parametrize("way", [through_pickle, copy.deepcopy, copy.copy])
@pytest.mark.parametrize("detector", ["mien", "haar"])
def test_copies_answer_alike(
    way: Callable[[EmotionRecognizer], EmotionRecognizer], detector: str, photo: Path, model: Path
) -> None:
    original = EmotionRecognizer(
        model, detector=FaceDetector(detector, min_size=30), min_quality=0.01, min_confidence=0.3
    )
    again = way(original)
    assert again.recognize(photo) == original.recognize(photo)
    assert again.min_quality == 0.01 and again.detector.min_size == 30
    assert again.classifier.min_confidence == 0.3
    assert again.labels == original.labels and again.classifier.config == original.classifier.config
    again.detector.min_size = 400
    assert (original.detector.min_size == 30) is (way is not copy.copy)


def test_a_pickle_holds_no_weights() -> None:
    assert len(pickle.dumps(EmotionRecognizer())) < 20_000


def test_a_shipped_model_is_found_where_the_package_is() -> None:
    data = pickle.dumps(EmotionRecognizer())
    assert str(resolve_model("mien-s").parent).encode() not in data


def test_a_relative_folder_is_found_from_elsewhere(
    model: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    data = pickle.dumps(EmotionClassifier("model"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    crop = np.zeros((1, 48, 48), np.uint8)
    np.testing.assert_array_equal(
        pickle.loads(data).predict_proba(crop), EmotionClassifier("mien-s").predict_proba(crop)
    )


def test_another_model_in_the_same_folder_is_an_error_at_its_use(model: Path) -> None:
    data = pickle.dumps(EmotionClassifier(model))
    change(model)
    EmotionClassifier(model)
    again = pickle.loads(data)
    with pytest.raises(ModelError, match="was changed since this one was loaded"):
        again.predict_proba(np.zeros((1, 48, 48), np.uint8))


def test_another_detector_file_is_an_error_at_its_use(real_data: Path, tmp_path: Path) -> None:
    found = sorted((real_data / "models").glob("*yunet*.onnx"))
    if not found:
        pytest.skip("no YuNet file among the data")
    path = tmp_path / "yunet.onnx"
    path.write_bytes(found[0].read_bytes())
    detector = FaceDetector(str(path))
    again = pickle.loads(pickle.dumps(detector))
    assert again.detect(astronaut()) == detector.detect(astronaut())
    data = pickle.dumps(detector)
    path.write_bytes(b"x")
    with pytest.raises(DetectorError, match="was changed since this detector was loaded"):
        pickle.loads(data).detect(astronaut())


class TestPerProcess:
    def test_a_pickle_makes_it_anew_at_its_first_use_and_once(self) -> None:
        made = PerProcess(list)
        again, once_more = (pickle.loads(pickle.dumps(made)) for _ in range(2))
        assert again() == [] and again() is not made()
        assert again() is once_more()

    def test_unless_it_is_not_to_be_shared(self) -> None:
        made = PerProcess(list, shared=False)
        again, once_more = (pickle.loads(pickle.dumps(made)) for _ in range(2))
        assert again() is not once_more() and again() is again()

    def test_what_is_wrong_is_said_at_once_here_and_at_the_first_use_there(self) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            PerProcess(int, "x")
        path = PerProcess(int, "7")
        path._arguments = ("x",)
        again = pickle.loads(pickle.dumps(path))
        with pytest.raises(ValueError, match="invalid literal"):
            again()


@pytest.mark.parametrize("detector", ["mien", "haar"])
def test_threads_share_a_recognizer(detector: str, photo: Path) -> None:
    """All that is said of threads: the answers are those of one thread."""
    from concurrent.futures import ThreadPoolExecutor

    from mien.explanation.explain import explain

    recognizer = EmotionRecognizer(detector=detector)
    turned = encode(astronaut()[:, ::-1], "jpeg", quality=92)
    sources = [photo, turned] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(recognizer.recognize, sources)) == [recognizer.recognize(one) for one in sources]
        sentences = list(
            pool.map(lambda one: [e.sentence() for e in explain(one, recognizer=recognizer)], sources[:4])
        )
    assert sentences[0] == sentences[2] and sentences[1] == sentences[3] and len(sentences[0]) == 1
