"""`train_detector`: from photographs with boxes to a run folder with a trained, scored and exported face detector.

A run folder holds::

    config.toml      the settings
    train.json       what data (with its SHA-256), versions, machine
    history.csv      one row an epoch
    hard_negatives.json  with the setting of that name: what the first detector took for faces
    checkpoint.npz   all state after the last whole epoch, to resume from
    detector.keras   the trained network: the running average of its weights
    curves.png       loss and scores against the epoch
    export/          the ONNX file with its JSON: what `--detector RUN` uses
    metrics.json     scores on the validation pictures
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien._core.opencv import cv2
from mien._core.parallel import map_chunks
from mien._core.text import count
from mien.errors import TrainingError
from mien.faces.onnx_detector import DetectorModel, MienDetector, read_detector
from mien.metrics.detection import average_precision, choose_min_score, counts_at, recall_at
from mien.output.curves import detector_curves
from mien.training.callbacks import Checkpoint, History, ProgressBar, epochs_done
from mien.training.detector.config import DetectorConfig
from mien.training.detector.export import export_detector
from mien.training.detector.mining import mine, with_mined
from mien.training.detector.network import build_detector
from mien.training.detector.photographs import Photograph, fingerprint, split_photographs
from mien.training.detector.scenes import SceneSynthesizer
from mien.training.detector.start_weights import take_weights
from mien.training.detector.targets import detection_loss, encode, mean_overlap
from mien.training.detector.validation import Validation, scores_of
from mien.training.devices import NO_BFLOAT16, precision
from mien.training.run_folder import CHECKPOINT, SETTINGS, check_folder, read_record, write_record

MARGIN = 1.0
"""FER2013's picture over the longer side of a box: measured by benchmarks/detectors.py."""


def train_detector(
    photographs: list[Photograph],
    fer_faces: NDArray[np.uint8] | None,
    run: str | Path,
    config: DetectorConfig | None = None,
    *,
    resume: bool = False,
    name: str = "photographs",
) -> Path:
    """Train the network of a face detector, export it and score it.

    Stopped at any moment, the run loses at most the epoch it was in; `resume` continues to the same result.

    Args:
        photographs: with the boxes of their faces; a fifth of them, selected by their bytes, is for validation.
        fer_faces: (n, 48, 48) uint8 grey, to paste; or None.
        run: the run's folder, made when missing.
        config: the settings; with `resume` those of the run itself are used.
        resume: continue the run in that folder.
        name: of the data.

    Returns:
        The run's folder.

    Raises:
        DatasetError: too few photographs.
        TrainingError: the folder holds another run, there is none to resume, or the data has changed.
        DetectorError: `init` is no detector.
    """
    run = Path(run)
    fer_faces = np.empty((0, 48, 48), np.uint8) if fer_faces is None else fer_faces
    check_folder(run, resume=resume)
    data: dict[str, Any] = {"name": name, "sha256": fingerprint(photographs), "fer_faces": len(fer_faces)}
    config = _resumed(run, data) if resume else config or DetectorConfig()
    training, validation = split_photographs(photographs)
    data["pictures"] = {"train": len(training), "validation": len(validation)}
    keras.utils.set_random_seed(config.seed)
    model = build_detector(mixed_precision=config.mixed_precision)
    if not resume:
        if config.init:
            take_weights(model, read_detector(_start(config)))
        write_record(run, data)
        config.save(run / SETTINGS)
    if config.hard_negatives:
        if not resume:
            mine(_start(config), training, config.hard_negatives, run)
        training = with_mined(training, run)
    with _one_thread_each():
        maker = SceneSynthesizer(
            training, fer_faces, config.side, rotation=config.rotation, occlusion=config.occlusion
        )
        _fit(model, maker, validation[: config.validate_on], config, run)
    if config.mixed_precision:  # the same weights in a network that computes in float32, as users will
        trained, model = model, build_detector()
        model.set_weights(trained.get_weights())
    model.save(run / "detector.keras")
    detector_curves(History(run / "history.csv").rows(), run / "curves.png")
    _export_and_score(model, validation, config, run, data)
    return run


def _export_and_score(
    model: keras.Model, validation: list[Photograph], config: DetectorConfig, run: Path, data: dict[str, Any]
) -> None:
    """Export, choose the minimum score of a face on every other validation picture, and score what was exported on the
    rest."""
    folder = run / "export"
    exported = export_detector(
        model, folder, DetectorModel("", margin=MARGIN, data=data, training=config.to_dict())
    )
    network = MienDetector(folder).answers
    min_score = choose_min_score(scores_of(network, validation[::2]))
    checking = scores_of(network, validation[1::2])
    found, false = counts_at(checking, min_score)
    metrics = {
        "pictures": len(checking),
        "faces": sum(p.faces for p in checking),
        "average_precision": average_precision(checking),
        "recall_at_1_false_box": recall_at(checking, 1.0),
        "found": found,
        "false": false,
    }
    replace(exported, min_score=min_score, metrics=metrics).save(folder)
    write_json(run / "metrics.json", metrics)


def _fit(
    model: keras.Model,
    maker: SceneSynthesizer,
    validation: list[Photograph],
    config: DetectorConfig,
    run: Path,
) -> None:
    """Train from wherever the run's checkpoint stands."""
    done = epochs_done(run / CHECKPOINT)
    _compile(model, config)
    checkpoint = Checkpoint(run / CHECKPOINT, model)
    checkpoint.restore()
    history = History(run / "history.csv", keep=done)
    bar = ProgressBar(config.epochs, config.steps, done)
    if config.mixed_precision and precision(mixed=True) == "float32":
        bar.say(NO_BFLOAT16)
    callbacks: list[keras.callbacks.Callback] = [
        Validation(validation, config.validate_every, config.epochs, bar),
        history,
        checkpoint,
        bar,
    ]
    try:
        if done < config.epochs:
            model.fit(
                _batches(maker, config, done),
                steps_per_epoch=config.steps,
                shuffle=False,
                initial_epoch=done,
                epochs=config.epochs,
                verbose=0,
                callbacks=callbacks,
            )
    except KeyboardInterrupt:
        bar.say(f"stopped; {run} keeps every whole epoch: continue with --resume")
        raise
    finally:
        bar.stop()
    if model.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)


def _compile(model: keras.Model, config: DetectorConfig) -> None:
    total = config.epochs * config.steps
    warmup = min(round(config.warmup_epochs * config.steps), total - 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=total - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    longest = max(0.0, 1 - 20 / total)
    average = min(config.ema_momentum, longest)
    optimizer = keras.optimizers.AdamW(
        rate,
        weight_decay=config.weight_decay,
        global_clipnorm=10.0,
        use_ema=average > 0,
        ema_momentum=average,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    # XLA on the CPU is slower than TensorFlow's own kernels.
    jit = keras.backend.backend() == "jax"
    model.compile(optimizer, loss=detection_loss, metrics=[mean_overlap], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


def _batches(
    maker: SceneSynthesizer, config: DetectorConfig, done: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Scenes and targets of all epochs after `done`, drawn in threads ahead of the step that needs them."""

    def draw(place: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        scene = maker.draw(config.seed, *place)
        return scene.image, encode(scene.faces, config.side, config.side)

    size = config.batch_size
    places = (
        [(epoch, step * size + i) for i in range(size)]
        for epoch in range(done, config.epochs)
        for step in range(config.steps)
    )
    with closing(map_chunks(draw, places)) as drawn:
        for batch in drawn:
            images, targets = zip(*batch, strict=True)
            yield np.stack(images).astype(np.float32), np.stack(targets)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV without its own threads: scenes are already drawn in threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _resumed(run: Path, data: dict[str, Any]) -> DetectorConfig:
    """The settings of the run in a folder, if it was started on this data."""
    started = read_record(run, data["sha256"])
    if started.get("fer_faces") != data["fer_faces"]:
        raise TrainingError(
            f"{run}: was started with {count(int(started.get('fer_faces', 0)), 'face')} to paste; use the same"
        )
    return DetectorConfig.load(run)


def _start(config: DetectorConfig) -> Path | None:
    return None if config.init == "mien" else Path(config.init)
