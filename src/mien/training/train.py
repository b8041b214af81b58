"""`train`: from a dataset to a run folder with a trained, evaluated and exported model.

A run folder holds::

    train.json       settings, seed, what data (with its SHA-256), versions, machine
    history.csv      one row an epoch
    checkpoint.npz   all state after the last whole epoch, to go on from
    model.keras      the trained model: the running average of the weights
    curves.png       loss and accuracy against the epoch
    export/          the ONNX model with its config.json and README.md: what `--model RUN` uses
    metrics.json     scores of the exported model on the validation split
"""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

import mien
from mien.charts import training_curves
from mien.classification import EmotionClassifier
from mien.datasets import Dataset, Split
from mien.errors import TrainingError
from mien.evaluation import evaluate
from mien.ferplus import majority
from mien.training.card import write_card
from mien.training.checkpoint import Checkpoint, History, ProgressBar
from mien.training.export import export_onnx
from mien.training.models import build_model
from mien.training.recipe import (
    Heads,
    TrainConfig,
    ValidationBatches,
    compile_model,
    heads_for,
    hold_out,
    steps_per_epoch,
    targets_for,
    training_batches,
)


def train(dataset: Dataset, run: Path, config: TrainConfig | None = None, *, resume: bool = False) -> Path:
    """Train a network, keep its running average, export it and score what was exported.

    Stopped at any moment, the run loses at most the epoch it was in; `resume` goes on to the same result.

    Args:
        dataset: with a split "train"; without a "validation" split, a tenth of "train" is held out for it.
        run: the run's folder, made when missing.
        config: the settings; with `resume` those of the run itself are used.
        resume: go on with the run in that folder.

    Returns:
        The folder of the exported model.

    Raises:
        TrainingError: the folder holds another run, or there is none to resume, or the data has changed.
    """
    data: dict[str, Any] = {"name": dataset.name, "sha256": dataset.fingerprint()}
    config = _resumed(run, data) if resume else config or TrainConfig()
    if "validation" not in dataset.splits:
        dataset = hold_out(dataset, config.seed)
    heads = heads_for(dataset)
    data["images"] = {name: len(split) for name, split in dataset.splits.items()}
    if not resume:
        _start(run, data, config)
    keras.utils.set_random_seed(config.seed)
    model = build_model(
        config.network, {h: len(labels) for h, labels in heads.items()}, dropout=config.dropout
    )
    _fit(model, dataset.split("train"), dataset.split("validation"), heads, config, run)
    model.save(run / "model.keras")
    training_curves(History(run / "history.csv").rows(), run / "curves.png")
    return _export_and_score(model, dataset, heads, config, run, data)


def _fit(
    model: keras.Model,
    training: Split,
    validation: Split,
    heads: Heads,
    config: TrainConfig,
    run: Path,
) -> None:
    steps = steps_per_epoch(len(training), config)
    compile_model(model, config, steps)
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(run / "checkpoint.npz", model)
    done = checkpoint.restore()
    history = History(run / "history.csv", keep=done)
    if done == config.epochs:  # stopped between the last epoch and the export
        model.optimizer.finalize_variable_values(model.trainable_variables)
        return
    bar = ProgressBar(config.epochs, steps, done)
    try:
        model.fit(
            training_batches(training, heads, config, first_epoch=done),
            steps_per_epoch=steps,
            shuffle=False,
            validation_data=ValidationBatches(validation, heads, config),
            initial_epoch=done,
            epochs=config.epochs,
            verbose=0,
            callbacks=[
                keras.callbacks.SwapEMAWeights(),
                history,
                checkpoint,
                bar,
            ],
        )
    except KeyboardInterrupt:
        bar.say(f"stopped; {run} keeps every whole epoch: go on with --resume")
        raise
    finally:
        bar.stop()


def _resumed(run: Path, data: dict[str, Any]) -> TrainConfig:
    """The settings of the run in a folder, if it was started on this data."""
    record = run / "train.json"
    try:
        started = json.loads(record.read_text(encoding="utf-8"))
        name, sha256 = started["data"]["name"], started["data"]["sha256"]
        config = TrainConfig.from_dict(started["config"])
    except FileNotFoundError:
        raise TrainingError(f"{run}: no run to resume here; start one without --resume") from None
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(f"{record}: not the record of a run of this version ({error})") from None
    if sha256 != data["sha256"]:
        raise TrainingError(f"{run}: was started on other data ({name}); use the same data")
    return config


def _start(run: Path, data: dict[str, Any], config: TrainConfig) -> None:
    """Write the folder's `train.json`."""
    record = run / "train.json"
    if record.exists():
        raise TrainingError(
            f"{run}: already holds a run; add --resume to go on with it, or choose another folder"
        )
    run.mkdir(parents=True, exist_ok=True)
    versions = {"mien": mien.__version__, "keras": keras.__version__, "python": platform.python_version()}
    values = {
        "config": config.to_dict(),
        "data": data,
        "backend": keras.backend.backend(),
        "versions": versions,
        "machine": platform.platform(),
    }
    record.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _export_and_score(
    model: keras.Model, dataset: Dataset, heads: Heads, config: TrainConfig, run: Path, data: dict[str, Any]
) -> Path:
    """Export what was trained, then score the exported file and write the figures beside it."""
    validation = dataset.split("validation")
    folder = run / "export"
    exported = export_onnx(
        model,
        folder,
        heads=heads,
        view=config.view,
        images=validation.images,
        targets=targets_for(validation, heads),
    )
    exported = replace(exported, data=data, training=config.to_dict())
    exported.save(folder)
    classifier = EmotionClassifier(folder)
    voted = validation.votes is not None and bool((majority(validation.votes) >= 0).any())
    scored = [head for head in exported.outputs if voted or head != "ferplus"]
    reports = {head: evaluate(classifier, dataset, split="validation", head=head) for head in scored}
    replace(exported, metrics={head: report.summary() for head, report in reports.items()}).save(folder)
    write_card(folder)
    full = {head: report.to_dict() for head, report in reports.items()}
    (run / "metrics.json").write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")
    return folder
