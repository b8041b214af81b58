"""What happens at the end of every epoch: the checkpoint, the history, the progress bar."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mien._core.files import atomic_file, write_atomically
from mien._core.text import percent
from mien._core.zips import ZIP_ERRORS
from mien.errors import TrainingError


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """All state of a compiled model and its optimizer in one file, written whole or not at all.

    Plain arrays without pickle: a foreign file can do no harm, and any Keras backend can resume.
    """

    def __init__(self, path: Path, model: keras.Model) -> None:
        super().__init__()
        self.path = path
        self.variables = [*model.variables, *model.optimizer.variables]

    def restore(self) -> int:
        """Load the state, if the file is there; the number of epochs that it has behind it."""
        return _load(self.path, self.variables) if self.path.exists() else 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save.

        Raises:
            TrainingError: the numbers are not finite any more.
        """
        _save(self.path, self.variables, epoch + 1)


def epochs_done(path: Path) -> int:
    """The number of epochs that a checkpoint has behind it; 0 without the file.

    Raises:
        TrainingError: it is no checkpoint.
    """
    return _load(path, []) if path.exists() else 0


def _save(path: Path, variables: list[Any], epochs: int) -> None:
    state = {f"v{i}": keras.ops.convert_to_numpy(v.value) for i, v in enumerate(variables)}
    if not all(np.isfinite(value).all() for value in state.values()):
        raise TrainingError(
            f"{path.parent}: diverged in epoch {epochs}; start a new run with a lower learning rate"
        )
    with atomic_file(path) as file:
        np.savez(file, epochs=np.int64(epochs), **state)


def _load(path: Path, variables: list[Any]) -> int:
    """Assign what `_save` wrote; the number of epochs behind it."""
    try:
        # Opened here: NumPy leaves a file open that is not what it expected.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as state:
            values = [state[f"v{i}"] for i in range(len(variables))]
            epochs = int(state["epochs"])
    except (OSError, ValueError, KeyError, TypeError, *ZIP_ERRORS) as error:
        raise TrainingError(f"{path}: not a checkpoint of this network ({error})") from error
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise TrainingError(
                f"{path}: {variable.path} has shape {value.shape}, expected {tuple(variable.shape)}"
            )
        variable.assign(value)
    return epochs


class History(keras.callbacks.Callback):  # type: ignore[misc]
    """One CSV row an epoch: `epoch` (from 1), the losses and accuracies, the learning rate.

    `keep` drops the rows after that epoch: a run was stopped between its history and its checkpoint.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        super().__init__()
        self.path = path
        if keep is not None:
            self._write([row for row in self.rows() if row["epoch"] <= keep])

    def rows(self) -> list[dict[str, float]]:
        """What has been recorded so far."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append a row."""
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"epoch": epoch + 1, "learning_rate": rate, **{k: float(v) for k, v in (logs or {}).items()}}
        self._write([*self.rows(), row])

    def _write(self, rows: list[dict[str, float]]) -> None:
        text = io.StringIO(newline="")
        if rows:
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
        write_atomically(self.path, text.getvalue())


class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the epoch with the highest validation accuracy; stops when none better comes.

    Its memory is the history, so a resumed run decides like the uninterrupted one.

    Args:
        path: the file for the best weights.
        history: of the run; it comes before this among the callbacks.
        patience: epochs to wait for a better one; 0 keeps nothing and never stops.
        first: epochs that do not count, at the beginning.
    """

    def __init__(self, path: Path, history: History, patience: int, first: int = 0) -> None:
        super().__init__()
        self.path, self.history, self.patience, self.first = path, history, patience, first

    def best_epoch(self) -> int:
        """The first epoch with the highest accuracy, from 1; 0 before any."""
        rows = [row for row in self.history.rows() if row["epoch"] > self.first]
        return int(max(rows, key=lambda row: _accuracy(row, "val_") or 0.0)["epoch"]) if rows else 0

    def is_over(self, done: int) -> bool:
        """Whether to stop after this many epochs."""
        return bool(self.patience) and done > self.first and done - self.best_epoch() >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the weights if they are the best, or see whether to stop."""
        if not self.patience:
            return
        if self.best_epoch() == epoch + 1:
            swap = keras.callbacks.SwapEMAWeights() if self.model.optimizer.use_ema else None
            if swap:  # what was validated is the running average
                swap.set_model(self.model)
                swap.on_test_begin()
            _save(self.path, self.model.variables, epoch + 1)
            if swap:
                swap.on_test_end()
        self.model.stop_training = self.is_over(epoch + 1)

    def restore(self, model: keras.Model) -> None:
        """Give a model the best weights, if any were kept."""
        if self.patience and self.path.exists():
            _load(self.path, model.variables)


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """A bar over the whole run on stderr: epoch, loss, accuracy, time left; a line an epoch stays.

    Without a terminal (a log file, say) only the lines are written.
    """

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        super().__init__()
        self.epochs, self.steps, self.done = epochs, steps, done
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the bar."""
        if not self.bar.tasks:  # one bar for all stages
            self.bar.add_task("training", total=self.epochs * self.steps, completed=self.done * self.steps)
            if self.console.is_terminal:
                self.bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember which epoch it is."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar by a step."""
        self.bar.update(
            self.bar.task_ids[0],
            advance=1,
            description=f"epoch {self.epoch + 1}/{self.epochs} {_summary(logs or {})}",
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leave a line."""
        logs = logs or {}
        validation = {k.removeprefix("val_"): v for k, v in logs.items() if k.startswith("val_")}
        self.say(f"epoch {epoch + 1}/{self.epochs}  {_summary(logs)}  validation: {_summary(validation)}")

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar.live.is_started:  # else rich before 15 would leave an empty line
            self.bar.stop()


def _summary(logs: dict[str, Any]) -> str:
    """ "loss 1.234 accuracy 56.7 %"."""
    accuracy = _accuracy(logs)
    text = f"loss {float(logs['loss']):.3f}" if "loss" in logs else ""
    return text if accuracy is None else f"{text} accuracy {percent(accuracy)}"


def _accuracy(logs: Mapping[str, Any], prefix: str = "") -> float | None:
    """The accuracy of the first head: that of the dataset's own labels."""
    names = (prefix + name for name in ("accuracy", "fer2013_accuracy", "labels_accuracy"))
    return next((float(logs[name]) for name in names if name in logs), None)
