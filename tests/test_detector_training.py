"""`mien train-detector`: a run that learns, can be stopped, and exports what it has learned."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="needs mien[train]")

import cv2
import keras
import numpy as np
import onnx
from keras import layers
from pictures import ASTRONAUT_FACE, astronaut
from PIL import Image
from small_runs import WITHOUT_COPY
from typer.testing import CliRunner

from mien.cli.app import command_line
from mien.errors import DatasetError, DetectorError, ExportError, SettingsError, TrainingError
from mien.faces.detector import FaceDetector
from mien.faces.grid import OUTPUTS, STRIDES, cell_grid
from mien.faces.multiscale import search
from mien.faces.onnx_detector import DetectorModel, MienDetector, read_detector
from mien.results import Box
from mien.training.detector import network
from mien.training.detector import train as detector_train
from mien.training.detector.config import DetectorConfig
from mien.training.detector.export import export_detector
from mien.training.detector.lean_graph import lean
from mien.training.detector.mining import mine, with_mined
from mien.training.detector.network import MAX_PARAMETERS, build_detector
from mien.training.detector.photographs import Photograph, load_photographs
from mien.training.detector.start_weights import take_weights
from mien.training.detector.train import train_detector

pytestmark = WITHOUT_COPY

SMALL = DetectorConfig(
    epochs=3,
    scenes=24,
    batch_size=8,
    side=96,
    learning_rate=4e-3,
    validate_every=2,
    validate_on=2,
    ema_momentum=0.9,
)


def drawn_face(rng: np.random.Generator) -> tuple[np.ndarray, list[float], list[float]]:
    """A picture of 120 x 160 with a plain face, its box, and its landmarks."""
    image = np.full((120, 160, 3), rng.integers(30, 90, 3), np.uint8)
    x, y, r = int(rng.integers(50, 110)), int(rng.integers(45, 75)), int(rng.integers(12, 20))
    cv2.ellipse(image, (x, y), (int(0.78 * r), r), 0, 0, 360, (230, 190, 160), -1)
    points = [(x - 0.3 * r, y - 0.2 * r), (x + 0.3 * r, y - 0.2 * r), (x, y + 0.1 * r)]
    points += [(x - 0.25 * r, y + 0.5 * r), (x + 0.25 * r, y + 0.5 * r)]
    for u, v in points[:2]:
        cv2.circle(image, (round(u), round(v)), max(1, r // 8), (20, 20, 20), -1)
    cv2.line(image, *(tuple(map(round, p)) for p in points[3:]), (150, 30, 30), max(1, r // 9))
    return image, [x - 0.78 * r, y - r, x + 0.78 * r, y + r], [v for p in points for v in p]


def write_photographs(path: Path, n: int = 30) -> Path:
    """A Parquet file of drawn faces, and of a third as many pictures without any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        empty = i % 4 == 3
        image, box, points = drawn_face(rng)
        if empty:
            image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (160, 120))
        data = io.BytesIO()
        Image.fromarray(image).save(data, "PNG")
        rows.append(
            {
                "image": {"bytes": data.getvalue(), "path": f"{i}.png"},
                "source": "drawn",
                "is_negative": empty,
                "teacher_boxes": [] if empty else [box],
                "teacher_landmarks": [] if empty else [points],
                "ignore_boxes": [],
                "rejected_boxes": [[10.0, 10, 50, 60]] if empty else [],
            }
        )
    boxes = pa.list_(pa.list_(pa.float32()))
    names = ("teacher_boxes", "teacher_landmarks", "ignore_boxes", "rejected_boxes")
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("source", pa.string()),
            ("is_negative", pa.bool_()),
            *((name, boxes) for name in names),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def two_layers(*, mixed_precision: bool = False) -> Any:
    """A network that is quickly built, in place of the real one."""
    x = pixels = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 128, -1)(x)
    answers = []
    for filters, stride, step in zip((8, 12, 16), STRIDES, (8, 2, 2), strict=True):
        x = layers.Conv2D(filters, step + 1, strides=step, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
        start = keras.initializers.RandomNormal(stddev=0.01)
        answers.append(
            layers.Reshape((-1, OUTPUTS))(
                layers.Conv2D(OUTPUTS, 1, kernel_initializer=start, name=f"h{stride}")(x)
            )
        )
    return keras.Model(pixels, layers.Concatenate(axis=1)(answers))


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_train, "build_detector", two_layers)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs") / "faces.parquet")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run of the real network, for half a minute, on drawn faces.

    They have 24 to 40 pixels, and the search enlarges such small pictures twice: so large are they in scenes too.
    """
    settings = DetectorConfig(
        epochs=8,
        scenes=192,
        batch_size=8,
        side=96,
        learning_rate=4e-3,
        validate_every=4,
        validate_on=8,
        ema_momentum=0.9,
    )
    return train_detector(load_photographs(data), None, tmp_path_factory.mktemp("runs") / "learned", settings)


class TestNetwork:
    def test_is_small_and_answers_for_every_cell_of_any_size(self) -> None:
        model = build_detector()
        assert model.count_params() <= MAX_PARAMETERS
        for height, width in ((64, 96), (160, 32)):
            answers = keras.ops.convert_to_numpy(model(np.zeros((1, height, width, 3), np.float32)))
            assert answers.shape == (1, len(cell_grid(height, width)[0]), OUTPUTS)
            assert answers.dtype == np.float32

    def test_starts_with_the_weights_of_an_exported_one(self) -> None:
        model = build_detector()
        take_weights(model, read_detector(None))
        noise = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 3), np.uint8)
        answers = keras.ops.convert_to_numpy(model(noise.astype(np.float32)))
        np.testing.assert_allclose(answers, MienDetector().answers(noise), atol=1e-4)

    def test_a_wider_one_starts_with_the_answers_of_a_narrower_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        narrow = tuple(filters - 8 for filters in network._FILTERS)
        with monkeypatch.context() as patch:
            patch.setattr(network, "_FILTERS", narrow)
            patch.setattr(network, "_NECK", network._NECK - 8)
            before = build_detector()
        rng = np.random.default_rng(0)
        before.set_weights(
            [w * rng.uniform(0.9, 1.1, w.shape) + rng.uniform(0, 0.01, w.shape) for w in before.get_weights()]
        )
        export_detector(before, tmp_path / "narrow", DetectorModel(""))
        model = build_detector()
        take_weights(model, read_detector(tmp_path / "narrow"))
        noise = rng.integers(0, 256, (2, 96, 128, 3), np.uint8)
        answers = keras.ops.convert_to_numpy(model(noise.astype(np.float32)))
        np.testing.assert_allclose(
            answers, MienDetector(tmp_path / "narrow").answers(noise), rtol=1e-3, atol=1e-3
        )
        with pytest.raises(TrainingError, match="another detector network"), monkeypatch.context() as patch:
            patch.setattr(network, "_FILTERS", narrow)
            take_weights(build_detector(), read_detector(None))

    def test_knows_nothing_at_first_and_says_so(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
        answers = keras.ops.convert_to_numpy(build_detector()(noise))
        assert (1 / (1 + np.exp(-answers[..., 0])) < 0.1).all()


@pytest.mark.slow
class TestLearning:
    def test_it_learns_to_find_drawn_faces(self, learned: Path) -> None:
        rows = detector_train.History(learned / "history.csv").rows()
        assert [row["epoch"] for row in rows] == list(range(1, 9))
        assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
        assert rows[-1]["mean_overlap"] > rows[0]["mean_overlap"] + 0.1
        assert np.isnan(rows[0]["val_average_precision"])
        assert rows[-1]["val_average_precision"] > 0.5

    def test_the_folder_has_all_of_a_run(self, learned: Path) -> None:
        assert {path.name for path in learned.iterdir()} == {
            "checkpoint.npz", "config.toml", "curves.png", "detector.keras", "export", "history.csv",
            "metrics.json", "train.json",
        }  # fmt: skip
        record = json.loads((learned / "train.json").read_text())
        assert record["data"]["pictures"]["train"] + record["data"]["pictures"]["validation"] == 30
        metrics = json.loads((learned / "metrics.json").read_text())
        assert metrics == json.loads((learned / "export" / "mien.json").read_text())["metrics"]
        assert metrics["average_precision"] > 0.5

    def test_what_is_exported_finds_faces_as_the_network_does(self, learned: Path, data: Path) -> None:
        model = keras.models.load_model(learned / "detector.keras", compile=False)

        def answers_of(views: np.ndarray) -> np.ndarray:
            return keras.ops.convert_to_numpy(model(views.astype(np.float32)))

        detector = MienDetector(learned)
        found = 0
        for one in load_photographs(data):
            ((scores, boxes, _),) = search(answers_of, [one.image], 640, detector.model.min_score)
            faces = detector.detect(one.image)
            assert [f.score for f in faces] == pytest.approx(scores.tolist(), abs=1e-4)
            for face, box in zip(faces, boxes.tolist(), strict=True):
                assert (face.box.x1, face.box.y1, face.box.x2, face.box.y2) == pytest.approx(box, abs=0.1)
            found += len(faces)
        assert found > 10


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
class TestRuns:
    def test_a_stopped_run_goes_on_to_the_same_result(
        self, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photographs, pasted = load_photographs(data), np.full((3, 48, 48), 120, np.uint8)
        whole = train_detector(photographs, pasted, tmp_path / "whole", SMALL)
        say = detector_train.ProgressBar.on_epoch_end

        def stop(self: Any, epoch: int, logs: Any = None) -> None:
            say(self, epoch, logs)
            if epoch == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(detector_train.ProgressBar, "on_epoch_end", stop)
            train_detector(photographs, pasted, tmp_path / "stopped", SMALL)
        stopped = train_detector(photographs, pasted, tmp_path / "stopped", resume=True)
        with np.load(whole / "checkpoint.npz") as a, np.load(stopped / "checkpoint.npz") as b:
            assert a.files == b.files
            assert all(np.allclose(a[name], b[name], rtol=1e-4, atol=1e-5) for name in a.files)
        assert (whole / "metrics.json").read_text() == (stopped / "metrics.json").read_text()

    def test_half_precision_and_few_settings_by_the_command(self, tmp_path: Path, data: Path) -> None:
        settings = ("epochs=1", "scenes=8", "side=64", "validate_on=3", "mixed_precision=true")
        words = [word for text in settings for word in ("--set", text)]
        command = ["train-detector", str(data), "--output", str(tmp_path / "run"), *words]
        done = CliRunner().invoke(command_line(), command, catch_exceptions=False)
        assert done.exit_code == 0
        assert f"--detector {tmp_path / 'run'}" in done.output
        assert FaceDetector(str(tmp_path / "run")).detect(np.zeros((50, 60, 3), np.uint8)) == []
        with pytest.raises(TrainingError, match="already holds a run"):
            CliRunner().invoke(command_line(), command, catch_exceptions=False)
        again = CliRunner().invoke(command_line(), [*command[:4], "--resume"], catch_exceptions=False)
        assert again.exit_code == 0

    def test_the_weights_of_another_network_are_refused(self, tmp_path: Path, data: Path) -> None:
        tiny = DetectorConfig(epochs=1, scenes=8, side=64, validate_on=2, init="mien")
        with pytest.raises(TrainingError, match="the weights of another detector network"):
            train_detector(load_photographs(data), None, tmp_path / "run", tiny)
        with pytest.raises(DetectorError, match="none"):
            train_detector(load_photographs(data), None, tmp_path / "run", replace(tiny, init="none"))
        assert not (tmp_path / "run" / "config.toml").exists()

    def test_a_run_goes_on_with_its_own_data_only(self, tmp_path: Path, data: Path) -> None:
        photographs = load_photographs(data)
        tiny = DetectorConfig(epochs=1, scenes=8, side=64, validate_on=2)
        run = train_detector(photographs, None, tmp_path / "run", tiny)
        with pytest.raises(TrainingError, match="other data"):
            train_detector(photographs[1:], None, run, resume=True)
        with pytest.raises(TrainingError, match="faces to paste"):
            train_detector(photographs, np.zeros((1, 48, 48), np.uint8), run, resume=True)
        shutil.copy(run / "history.csv", run / "config.toml")
        with pytest.raises(TrainingError, match="not the settings"):
            train_detector(photographs, None, run, resume=True)
        with pytest.raises(TrainingError, match="no run to resume"):
            train_detector(photographs, None, tmp_path / "none", resume=True)


class TestHardNegatives:
    """The portrait counts as empty here, so that the shipped detector has something to be wrong about."""

    @pytest.fixture
    def photographs(self, data: Path) -> list[Photograph]:
        first, *others = load_photographs(data, limit=4)
        return [replace(first, image=astronaut(), empty=True, rejected=np.empty((0, 4))), *others]

    def test_what_is_found_where_no_face_is_becomes_one_trap(
        self, photographs: list[Photograph], tmp_path: Path
    ) -> None:
        mine(None, photographs, 0.6, tmp_path)
        first, *others = with_mined(photographs, tmp_path)
        ((x1, y1, x2, y2),) = first.rejected
        assert ASTRONAUT_FACE.iou(Box(x1, y1, x2, y2)) > 0.5
        for one, before in zip(others, photographs[1:], strict=True):
            assert (one.rejected == before.rejected).all()

    def test_a_place_that_the_data_names_counts_once(
        self, photographs: list[Photograph], tmp_path: Path
    ) -> None:
        box = ASTRONAUT_FACE
        photographs[0] = replace(photographs[0], rejected=np.array([[box.x1, box.y1, box.x2, box.y2]]))
        mine(None, photographs, 0.6, tmp_path)
        assert (with_mined(photographs, tmp_path)[0].rejected == photographs[0].rejected).all()

    def test_a_run_without_what_was_found_is_refused(
        self, photographs: list[Photograph], tmp_path: Path
    ) -> None:
        with pytest.raises(TrainingError, match="start it anew"):
            with_mined(photographs, tmp_path)
        (tmp_path / "hard_negatives.json").write_text("[]")
        with pytest.raises(TrainingError, match="start it anew"):
            with_mined(photographs, tmp_path)


class TestInput:
    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"side": 100}, "multiple of 32"),
            ({"epochs": 0}, "epochs=0"),
            ({"learning_rate": -1.0}, "learning_rate"),
            ({"batch_size": 64, "scenes": 8}, "batch_size"),
            ({"mixup": 0.2}, "unknown setting mixup"),
            ({"seed": "one"}, "whole number"),
            ({"hard_negatives": 0.4}, "without init"),
        ],
    )
    def test_settings_that_cannot_be(self, setting: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            DetectorConfig.from_dict(setting)

    def test_files_that_hold_no_photographs(self, tmp_path: Path, data: Path) -> None:
        import pyarrow.parquet as pq

        (tmp_path / "text.parquet").write_text("no")
        pq.write_table(pq.read_table(data).drop_columns(["source"]), tmp_path / "lacks.parquet")
        for name in ("missing.parquet", "text.parquet", "lacks.parquet"):
            with pytest.raises(DatasetError, match=name):
                load_photographs(tmp_path / name)

    def test_too_few_photographs(self, tmp_path: Path, data: Path) -> None:
        with pytest.raises(DatasetError, match="too few"):
            train_detector(load_photographs(data, limit=1), None, tmp_path / "run")


def test_an_export_takes_no_detours_and_says_the_same(learned: Path) -> None:
    """What Keras writes computes shapes and copies grids; `lean` changes the steps, and no answer."""
    exported = (learned / "export" / "mien.onnx").read_bytes()
    kinds = {node.op_type for node in onnx.load_from_string(exported).graph.node}
    assert {"DequantizeLinear", "Resize"} <= kinds
    assert not kinds & {"Tile", "Shape", "Cast", "Gather", "Unsqueeze"}
    assert lean(exported) == exported  # there is nothing left to do


def test_an_export_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.training.detector.export.TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="differs"):
        export_detector(two_layers(), tmp_path)
