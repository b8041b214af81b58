"""`EmotionClassifier`: any crops in, probabilities out; and models that are none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from mien.errors import ModelError
from mien.images.crop import to_crop
from mien.labels import FERPLUS_LABELS, LABELS
from mien.models.classifier import EmotionClassifier
from mien.models.registry import CONFIG_FILE, MODEL_FILE, available_models, resolve_model

WriteModel = Callable[..., Path]
HEADS = ("expression", "fer2013", "ferplus")


@pytest.fixture(scope="module")
def classifier() -> EmotionClassifier:
    """The shipped model, on one thread."""
    return EmotionClassifier(threads=1)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """(70, 48, 48): more than a batch, all different, from smooth to noisy."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (70, 48, 48), np.uint8)
    return np.stack([cv2.GaussianBlur(one, (0, 0), 0.5 + i / 10) for i, one in enumerate(rough)])


class TestPredictProba:
    @pytest.mark.parametrize(
        ("head", "labels"), [("expression", LABELS), ("fer2013", LABELS), ("ferplus", FERPLUS_LABELS)]
    )
    def test_probabilities_of_every_head(
        self, classifier: EmotionClassifier, crops: np.ndarray, head: str, labels: tuple[str, ...]
    ) -> None:
        probabilities = classifier.predict_proba(crops, head=head)
        assert probabilities.shape == (70, len(labels))
        assert probabilities.dtype == np.float32
        assert probabilities.min() >= 0
        assert probabilities.max() <= 1
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    def test_different_crops_have_different_answers(
        self, classifier: EmotionClassifier, crops: np.ndarray
    ) -> None:
        assert np.ptp(classifier.predict_proba(crops), axis=0).max() > 0.01

    @pytest.mark.parametrize("name", [model.name for model in available_models()])
    def test_the_file_alone_has_the_same_answers(self, name: str, crops: np.ndarray) -> None:
        """onnxruntime's optimizations quantize float weights between quantized neighbours, roughly."""
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        network = resolve_model(name) / MODEL_FILE
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        expected = dict(
            zip((o.name for o in session.get_outputs()), session.run(None, {"crops": crops}), strict=True)
        )
        for head, probabilities in EmotionClassifier(name).predict_heads(crops).items():
            np.testing.assert_allclose(probabilities, expected[head], atol=0.05)

    def test_the_answer_of_a_mix_is_a_mean_of_its_heads_and_surer(self, crops: np.ndarray) -> None:
        classifier = EmotionClassifier("mien-s")
        labels, votes = (classifier.predict_proba(crops, head=head) for head in ("fer2013", "ferplus"))
        seven = votes[:, [FERPLUS_LABELS.index(label) for label in LABELS]]
        share = classifier.config.blend
        assert sum(share.values()) == pytest.approx(1)
        mean = share["fer2013"] * labels + share["ferplus"] * seven / seven.sum(axis=1, keepdims=True)
        # Of probabilities at one temperature the logarithms differ by a factor, and an offset a face.
        before, after = (
            np.log(p) - np.log(p).mean(axis=1, keepdims=True) for p in (mean, classifier.predict_proba(crops))
        )
        temperature = (before**2).sum() / (before * after).sum()
        np.testing.assert_allclose(temperature * after, before, atol=1e-3)
        assert 0.6 < temperature < 0.7

    def test_none(self, classifier: EmotionClassifier) -> None:
        for nothing in ([], (), np.empty((0, 48, 48), np.uint8)):
            probabilities = classifier.predict_proba(nothing)
            assert probabilities.shape == (0, 7)
            assert probabilities.dtype == np.float32
        assert classifier.predict_proba([], head="ferplus").shape == (0, 8)

    def test_a_crop_does_not_depend_on_the_others(
        self, classifier: EmotionClassifier, crops: np.ndarray
    ) -> None:
        together = classifier.predict_proba(crops)
        alone = np.concatenate([classifier.predict_proba(crops[i : i + 1]) for i in range(len(crops))])
        np.testing.assert_allclose(alone, together, atol=1e-5)
        order = np.random.default_rng(1).permutation(len(crops))
        np.testing.assert_allclose(classifier.predict_proba(crops[order]), together[order], atol=1e-5)
        for n in (63, 64, 65):
            np.testing.assert_allclose(classifier.predict_proba(crops[:n]), together[:n], atol=1e-5)

    def test_a_list_may_hold_crops_of_any_size_and_colour(self, classifier: EmotionClassifier) -> None:
        rng = np.random.default_rng(2)
        shapes = [(48, 48), (1, 1), (20, 31, 3), (300, 200), (97, 64, 1), (48, 48, 4), (7, 500, 3)]
        mixed = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
        probabilities = classifier.predict_proba(mixed)
        assert probabilities.shape == (len(shapes), 7)
        for crop, row in zip(mixed, probabilities, strict=True):
            np.testing.assert_allclose(classifier.predict_proba([crop])[0], row, atol=1e-5)
            np.testing.assert_allclose(classifier.predict_proba([to_crop(crop)])[0], row, atol=1e-5)

    def test_lists_arrays_and_views_are_alike(self, classifier: EmotionClassifier, crops: np.ndarray) -> None:
        expected = classifier.predict_proba(crops[:5])
        np.testing.assert_array_equal(classifier.predict_proba(list(crops[:5])), expected)
        np.testing.assert_array_equal(classifier.predict_proba(tuple(crops[:5])), expected)
        colour = np.repeat(crops[:5, :, :, None], 3, axis=3)
        np.testing.assert_array_equal(classifier.predict_proba(colour), expected)
        backwards = crops[:5, ::-1, ::-1].copy()[:, ::-1, ::-1]
        np.testing.assert_array_equal(classifier.predict_proba(backwards), expected)

    def test_colour_is_rgb(self, write_model: WriteModel) -> None:
        # Grey is 0.299 red, 0.587 green, 0.114 blue: red of 200 is 60, which is label 3.
        red = np.zeros((30, 30, 3), np.uint8)
        red[..., 0] = 200
        assert EmotionClassifier(write_model()).predict_proba([red]).argmax() == 3

    def test_crops_stay_as_they_were(self, classifier: EmotionClassifier, crops: np.ndarray) -> None:
        before = crops.copy()
        classifier.predict_proba(crops)
        np.testing.assert_array_equal(crops, before)

    def test_results_are_the_callers_own(self, classifier: EmotionClassifier, crops: np.ndarray) -> None:
        first = classifier.predict_proba(crops[:3])
        kept = first.copy()
        classifier.predict_proba(crops[3:6])
        np.testing.assert_array_equal(first, kept)

    @pytest.mark.parametrize(
        "crop",
        [
            np.zeros((48, 48), np.float32),
            np.zeros((48, 48), np.int64),
            np.zeros((48, 48), bool),
            np.zeros((48, 48), np.uint16),
            [[0, 1], [2, 3]],
            "face.jpg",
            None,
        ],
        ids=["float", "int", "bool", "uint16", "list", "text", "None"],
    )
    def test_crops_of_another_type(self, classifier: EmotionClassifier, crop: object) -> None:
        with pytest.raises(TypeError, match="expected a uint8 array"):
            classifier.predict_proba([crop])  # type: ignore[list-item]

    @pytest.mark.parametrize("shape", [(48,), (48, 48, 2), (48, 48, 5), (1, 48, 48, 3), (0, 48), (48, 0, 3)])
    def test_crops_of_another_shape(self, classifier: EmotionClassifier, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="expected \\(H, W\\)"):
            classifier.predict_proba([np.zeros(shape, np.uint8)])

    def test_one_crop_instead_of_a_list_of_them(self, classifier: EmotionClassifier) -> None:
        with pytest.raises(ValueError, match="expected"):
            classifier.predict_proba(np.zeros((48, 48), np.uint8))  # type: ignore[arg-type]

    @pytest.mark.parametrize("head", ["labels", "", "Blend"])
    def test_no_such_head(self, classifier: EmotionClassifier, head: str) -> None:
        with pytest.raises(ValueError, match="expected one of expression, fer2013, ferplus"):
            classifier.predict_proba([], head=head)

    def test_threads_may_share_it(self, crops: np.ndarray) -> None:
        shared = EmotionClassifier(threads=1)
        expected = shared.predict_proba(crops)
        sizes = [1, 7, 64, 70] * 4
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: shared.predict_proba(crops[:n]), sizes))
        for n, answer in zip(sizes, answers, strict=True):
            np.testing.assert_allclose(answer, expected[:n], atol=1e-5)

    def test_the_number_of_threads_changes_nothing(self, crops: np.ndarray) -> None:
        one, more = (EmotionClassifier(threads=n).predict_proba(crops[:20]) for n in (1, None))
        np.testing.assert_allclose(one, more, atol=1e-5)


class TestClassify:
    def test_is_predict_proba_with_labels(self, classifier: EmotionClassifier, crops: np.ndarray) -> None:
        probabilities = classifier.predict_proba(crops[:9])
        predictions = classifier.classify(crops[:9])
        assert len(predictions) == 9
        for prediction, row in zip(predictions, probabilities, strict=True):
            assert list(prediction.probabilities) == list(LABELS)
            assert [*prediction.probabilities.values()] == row.tolist()
            assert prediction.emotion == LABELS[row.argmax()]
            assert json.loads(json.dumps(prediction.probabilities)) == prediction.probabilities

    def test_uncertain_below_the_models_threshold(self, write_model: WriteModel) -> None:
        # The mean 40 is label 2 itself; 50 lies between 2 and 3, and both get one half.
        faces = [np.full((48, 48), value, np.uint8) for value in (40, 50)]
        model = EmotionClassifier(write_model(uncertain_below=0.6))
        assert [p.uncertain for p in model.classify(faces)] == [False, True]
        model = EmotionClassifier(write_model("bold", uncertain_below=0.0))
        assert [p.uncertain for p in model.classify(faces)] == [False, False]

    def test_none(self, classifier: EmotionClassifier) -> None:
        assert classifier.classify([]) == []

    def test_labels_of_the_models_own(self, write_model: WriteModel) -> None:
        labels = ("bored", "engaged", "asleep")
        model = EmotionClassifier(write_model(outputs={"expression": labels, "labels": labels}, size=32))
        assert model.labels == labels
        assert model.classify([np.full((90, 90), 20, np.uint8)])[0].emotion == "engaged"


class TestModels:
    def test_every_shipped_model_runs(self) -> None:
        for config in available_models():
            model = EmotionClassifier(config.name)
            assert model.config == config
            assert model.labels == LABELS
            assert set(HEADS) <= set(config.outputs)

    @pytest.mark.parametrize("name", ["mien-xxl", "../../x", "..", "/nowhere", ""])
    def test_no_such_model(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ModelError, match="no such model"):
            EmotionClassifier(name)

    @pytest.mark.parametrize("name", [CONFIG_FILE, MODEL_FILE])
    def test_half_a_model(self, write_model: WriteModel, name: str) -> None:
        folder = write_model()
        (folder / name).unlink()
        with pytest.raises(ModelError, match=f"{name}: No such file|no such model"):
            EmotionClassifier(folder)

    def test_changed_bytes(self, write_model: WriteModel) -> None:
        folder = write_model()
        data = bytearray((folder / MODEL_FILE).read_bytes())
        data[100] ^= 1
        (folder / MODEL_FILE).write_bytes(data)
        with pytest.raises(ModelError, match="SHA-256"):
            EmotionClassifier(folder)

    @pytest.mark.parametrize("data", [b"", b"PK\3\4 not ONNX", b"\x08\x07\x12\x04half", bytes(1000)])
    def test_a_file_that_is_no_onnx_model(self, write_model: WriteModel, data: bytes) -> None:
        folder = write_model(sha256=hashlib.sha256(data).hexdigest())
        (folder / MODEL_FILE).write_bytes(data)
        with pytest.raises(ModelError, match="not an ONNX model") as caught:
            EmotionClassifier(folder)
        assert "\n" not in str(caught.value)

    def test_a_truncated_onnx_model(self, write_model: WriteModel) -> None:
        folder = write_model()
        data = (folder / MODEL_FILE).read_bytes()[:-40]
        (folder / MODEL_FILE).write_bytes(data)
        config = json.loads((folder / CONFIG_FILE).read_text())
        config["sha256"] = hashlib.sha256(data).hexdigest()
        (folder / CONFIG_FILE).write_text(json.dumps(config))
        with pytest.raises(ModelError, match="not an ONNX model"):
            EmotionClassifier(folder)

    def test_broken_configuration(self, write_model: WriteModel) -> None:
        folder = write_model()
        (folder / CONFIG_FILE).write_text('{"name": ')
        with pytest.raises(ModelError, match="not the configuration"):
            EmotionClassifier(folder)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"input_size": 64},
            {"input_type": "FLOAT"},
            {"input_type": "INT8"},
            {"batch": 1},
            {"batch": 64},
            {"output_type": "DOUBLE"},
            {"outputs": {"expression": LABELS}, "labels": LABELS[:6]},
        ],
        ids=["size", "float crops", "int8 crops", "one crop only", "64 crops only", "double", "labels"],
    )
    def test_a_model_of_another_shape(self, write_model: WriteModel, wrong: dict[str, object]) -> None:
        if "labels" in wrong:
            outputs = {"expression": wrong["labels"]}
            folder = write_model(outputs=wrong["outputs"])
            config = json.loads((folder / CONFIG_FILE).read_text()) | {
                "labels": wrong["labels"],
                "outputs": outputs,
            }
            (folder / CONFIG_FILE).write_text(json.dumps(config))
        else:
            folder = write_model(**wrong)
        with pytest.raises(ModelError, match="expected") as caught:
            EmotionClassifier(folder)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_an_output_that_is_not_there(self, write_model: WriteModel) -> None:
        folder = write_model(outputs={"expression": LABELS})
        config = json.loads((folder / CONFIG_FILE).read_text())
        config["outputs"]["ferplus"] = FERPLUS_LABELS
        (folder / CONFIG_FILE).write_text(json.dumps(config))
        with pytest.raises(ModelError, match="output ferplus"):
            EmotionClassifier(folder)

    def test_a_batch_without_a_name_is_dynamic_too(self, write_model: WriteModel) -> None:
        model = EmotionClassifier(write_model(batch=None))
        assert model.predict_proba([np.full((48, 48), 60, np.uint8)] * 3).argmax(axis=1).tolist() == [3, 3, 3]


def test_all_heads_in_one_pass_are_what_each_says_alone() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (70, 48, 48), np.uint8)
    classifier = EmotionClassifier()
    heads = classifier.predict_heads(crops)
    assert set(heads) == set(classifier.config.outputs)
    for head, probabilities in heads.items():
        np.testing.assert_allclose(probabilities, classifier.predict_proba(crops, head=head), atol=1e-6)
