"""`train`: from a dataset to a run folder with a trained, evaluated and exported model.

A run folder holds::

    config.toml      the settings, as `--config` takes them
    train.json       what data (with its SHA-256), versions, machine
    history.csv      one row an epoch
    checkpoint.npz   all state after the last whole epoch, to resume from
    best.npz         with early stopping: the weights of the best epoch
    model.keras      the trained model: the best epoch's weights, else the running average, else the last
    curves.png       loss and accuracy against the epoch
    export/          what `--model RUN` and `--init RUN` use: the ONNX model, Keras weights, config.json, README.md
    metrics.json     scores of the exported model on the validation split
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mien._core.files import write_json
from mien._core.text import count
from mien.data.dataset import Dataset, Split
from mien.errors import DatasetError, TrainingError
from mien.evaluation.model_card import write_folder_card
from mien.evaluation.predictions import predict_heads
from mien.evaluation.scores import score
from mien.models.classifier import EmotionClassifier
from mien.output.curves import training_curves
from mien.training.batches import (
    ValidationBatches,
    size_of_view,
    soft_labels,
    steps_per_epoch,
    training_batches,
)
from mien.training.callbacks import Checkpoint, EarlyStopping, History, ProgressBar, epochs_done
from mien.training.config import TrainConfig, read_config
from mien.training.devices import NO_BFLOAT16, precision, spread_over
from mien.training.export import export_onnx
from mien.training.finetune import load_weights
from mien.training.networks import build_model
from mien.training.optimization import compile_model, stages
from mien.training.pretrained.load import prepare
from mien.training.run_folder import CHECKPOINT, SETTINGS, check_folder, read_record, write_record
from mien.training.splits import split_up, with_unlabelled
from mien.training.targets import EXPRESSION, Heads, frequencies, heads_for, held_out


def train(
    dataset: Dataset,
    run: str | Path,
    config: TrainConfig | None = None,
    *,
    resume: bool = False,
    devices: int = 1,
) -> Path:
    """Train a network, export it and score what was exported.

    Stopped at any moment, the run loses at most the epoch it was in; `resume` continues to the same result.

    Args:
        dataset: with a split "train"; without a "validation" split, a tenth of "train" is held out for it.
        run: the run's folder, made when missing.
        config: the settings; with `resume` those of the run itself are used.
        resume: continue the run in that folder.
        devices: that share every batch; more than 1 with JAX only.

    Returns:
        The folder of the exported model.

    Raises:
        DatasetError: too few images or classes.
        TrainingError: the folder holds another run, there is none to resume, the data has changed, or the weights
            to start from cannot be had.
        SettingsError: devices that are not there, or `unlabelled` without teachers.
    """
    run = Path(run)
    check_folder(run, resume=resume)
    data: dict[str, Any] = {"name": dataset.name, "sha256": dataset.fingerprint()}
    config = _resumed(run, data) if resume else config or TrainConfig()
    config.check_teachers()
    _check_classes(dataset)
    dataset = split_up(dataset, config)
    _check_classes(dataset)  # a limit may have left one of them
    heads = heads_for(dataset, votes=config.ferplus_weight > 0)
    data["images"] = {name: len(split) for name, split in dataset.splits.items()}
    if config.teachers and epochs_done(run / CHECKPOINT) < config.epochs:
        dataset = _with_unlabelled(run, data, dataset, config)
        _check_teachers(run, data, dataset, heads, config)
    with spread_over(devices, config.batch_size):
        model = _learn(dataset, heads, config, run, data, resume=resume)
    if config.mixed_precision:  # the same weights in a network that computes in float32, as users will
        trained, model = model, _build(replace(_untrained(config), mixed_precision=False), heads)
        model.set_weights(trained.get_weights())
    model.save(run / "model.keras")
    training_curves(History(run / "history.csv").rows(), run / "curves.png")
    return _export_and_score(model, dataset, heads, config, run, data)


def _learn(
    dataset: Dataset, heads: Heads, config: TrainConfig, run: Path, data: dict[str, Any], *, resume: bool
) -> keras.Model:
    """The network, trained from wherever the run stands."""
    keras.utils.set_random_seed(config.seed)
    goes_on = resume and epochs_done(run / CHECKPOINT) > 0  # then the checkpoint has all weights
    model = _build(_untrained(config) if goes_on else config, heads)
    images = dataset.split("train").images
    if config.init and not goes_on:
        load_weights(model, config.init, heads, images)
    if config.weights != "none" and not goes_on:
        prepare(model, images, config.view)
    if not resume:
        write_record(run, data)
        config.save(run / SETTINGS)
    _fit(model, dataset.split("train"), dataset.split("validation"), heads, config, run)
    return model


def _untrained(config: TrainConfig) -> TrainConfig:
    return replace(config, weights="none", init="")


def _build(config: TrainConfig, heads: Heads) -> keras.Model:
    return build_model(
        config.network,
        {head: len(labels) for head, labels in heads.items()},
        view=None if config.low_res_epochs else config.view,
        dropout=config.dropout,
        weights=config.weights,
        mixed_precision=config.mixed_precision,
    )


def _fit(
    model: keras.Model,
    training: Split,
    validation: Split,
    heads: Heads,
    config: TrainConfig,
    run: Path,
) -> None:
    """Train through all stages, from wherever the run's checkpoint stands."""
    steps = steps_per_epoch(training.labelled, config, len(training) - training.labelled)
    done = epochs_done(run / CHECKPOINT)
    history = History(run / "history.csv", keep=done)
    bar = ProgressBar(config.epochs, steps, done)
    if config.mixed_precision and precision(mixed=True) == "float32":
        bar.say(NO_BFLOAT16)
    frequent = frequencies(training, heads, config.label_share) if EXPRESSION in heads else None
    try:
        for stage in stages(config):
            if done > stage.last:  # its outcome is part of the checkpoint
                continue
            compile_model(model, config, stage, steps, frequent)
            checkpoint = Checkpoint(run / CHECKPOINT, model)
            if done > stage.first:
                checkpoint.restore()
            patience = 0 if stage.frozen else config.early_stopping
            stopping = EarlyStopping(run / "best.npz", history, patience, first=stage.first)
            if done == stage.last or stopping.is_over(done):  # it was stopped after its last epoch
                _finalize(model)
            while done < stage.last and not stopping.is_over(done):
                if stage.first < done == config.low_res_epochs:
                    checkpoint.restore()  # `fit` has ended with the running average as the weights
                last = min(stage.last, config.low_res_epochs) if done < config.low_res_epochs else stage.last
                model.fit(
                    training_batches(training, heads, config, done, last),
                    steps_per_epoch=steps,
                    shuffle=False,
                    validation_data=ValidationBatches(validation, heads, config, size_of_view(config, done)),
                    initial_epoch=done,
                    epochs=last,
                    verbose=0,
                    callbacks=[*_averaging(config), history, stopping, checkpoint, bar],
                )
                done = last
            stopping.restore(model)
    except KeyboardInterrupt:
        bar.say(f"stopped; {run} keeps every whole epoch: continue with --resume")
        raise
    finally:
        bar.stop()


def _averaging(config: TrainConfig) -> list[keras.callbacks.Callback]:
    return [keras.callbacks.SwapEMAWeights()] if config.ema_momentum else []


def _finalize(model: keras.Model) -> None:
    """As `fit` does in the end: the running average becomes the model's weights."""
    if model.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)


def _with_unlabelled(run: Path, data: dict[str, Any], dataset: Dataset, config: TrainConfig) -> Dataset:
    """The dataset with the images without labels, noted in `data`; raise if the run started with others."""
    if not config.unlabelled:
        return dataset
    labelled = len(dataset.split("train"))
    dataset = with_unlabelled(dataset, config)
    digest = hashlib.sha256()
    for image in dataset.split("train").images[labelled:]:
        digest.update(image.tobytes())
    images = len(dataset.split("train")) - labelled
    found = {"name": Path(config.unlabelled).name, "sha256": digest.hexdigest(), "images": images}
    if data.setdefault("unlabelled", found)["sha256"] != found["sha256"]:
        raise TrainingError(
            f"{run}: was started with other unlabelled images than {config.unlabelled} has now"
        )
    return dataset


def _check_teachers(
    run: Path, data: dict[str, Any], dataset: Dataset, heads: Heads, config: TrainConfig
) -> None:
    """Note in `data` what the run learns from, or raise if it started with something else."""
    soft = soft_labels(dataset.split("train"), heads, config)
    if soft is None:
        return
    digest = hashlib.sha256(Path(config.teachers).read_bytes()).hexdigest()
    if data.setdefault("soft_labels", digest) != digest:
        raise TrainingError(f"{run}: was started with other soft labels than {config.teachers} has now")
    data["teachers"] = list(soft.teachers)


def _resumed(run: Path, data: dict[str, Any]) -> TrainConfig:
    """The settings of the run in a folder, if it was started on this data."""
    started = read_record(run, data["sha256"])
    data |= {key: started[key] for key in ("teachers", "soft_labels", "unlabelled") if key in started}
    return read_settings(run)


def read_settings(run: Path) -> TrainConfig:
    """The settings of the run in a folder.

    Raises:
        TrainingError: there are none, or not of this version.
    """
    settings = run / SETTINGS
    try:
        return TrainConfig.from_dict(read_config(str(settings)))
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{settings}: not the settings of a run of this version ({error})") from None


def _check_classes(dataset: Dataset) -> None:
    """Raise if there are fewer than two classes."""
    training = dataset.split("train")
    if np.count_nonzero(training.class_counts(len(dataset.labels))) < 2:
        raise DatasetError(
            f"{dataset.name}: {count(len(training), 'training image')} of fewer than two classes; expected two or "
            "more, a folder each"
        )


def _export_and_score(
    model: keras.Model, dataset: Dataset, heads: Heads, config: TrainConfig, run: Path, data: dict[str, Any]
) -> Path:
    """Export what was trained, then score the exported file and write the figures beside it."""
    validation = dataset.split("validation")
    folder = run / "export"
    calibration = dataset.splits.get("calibration", validation)
    exported = export_onnx(
        model,
        folder,
        heads=heads,
        view=config.view,
        held_out=held_out(calibration, heads, config.label_share),
        offset=_offset(dataset, heads, config),
        storage=config.weight_storage,
    )
    exported = replace(exported, data=data, training=config.to_dict())
    exported.save(folder)
    classifier = EmotionClassifier(folder)
    predictions = predict_heads(classifier, dataset, split="validation")
    reports = {head: score(predictions[head]) for head in exported.outputs if head in predictions}
    replace(exported, metrics={head: report.summary() for head, report in reports.items()}).save(folder)
    write_folder_card(folder)
    full = {head: report.to_dict() for head, report in reports.items()}
    write_json(run / "metrics.json", full)
    return folder


def _offset(dataset: Dataset, heads: Heads, config: TrainConfig) -> NDArray[np.float32] | None:
    """What the settings add to the logits of the default output for the label frequencies: (labels,)."""
    if EXPRESSION not in heads:
        return None
    frequent = frequencies(dataset.split("train"), heads, config.label_share)
    return (config.prior * np.log(frequent)).astype(np.float32)
