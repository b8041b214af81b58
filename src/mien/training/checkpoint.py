"""What happens at the end of every epoch: the checkpoint, the history, the progress bar."""

from __future__ import annotations

import csv
import zipfile
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

from mien.errors import TrainingError


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """All state of a compiled model and its optimizer in one file, written whole or not at all.

    Plain arrays without pickle: a file from elsewhere can do no harm, and any Keras backend can go on.
    """

    def __init__(self, path: Path, model: keras.Model) -> None:
        super().__init__()
        self.path = path
        self.variables = [*model.variables, *model.optimizer.variables]

    def restore(self) -> int:
        """Load the state, if the file is there; the number of epochs that it has behind it."""
        if not self.path.exists():
            return 0
        try:
            # Opened here: NumPy leaves a file open that is not what it expected.
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as state:
                values = [state[f"v{i}"] for i in range(len(self.variables))]
                epochs = int(state["epochs"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(f"{self.path}: not a checkpoint of this network ({error})") from error
        for variable, value in zip(self.variables, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise TrainingError(
                    f"{self.path}: {variable.path} has shape {value.shape}, expected {tuple(variable.shape)}"
                )
            variable.assign(value)
        return epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save.

        Raises:
            TrainingError: the numbers are not finite any more.
        """
        state = {f"v{i}": keras.ops.convert_to_numpy(v.value) for i, v in enumerate(self.variables)}
        if not all(np.isfinite(value).all() for value in state.values()):
            raise TrainingError(
                f"{self.path.parent}: diverged in epoch {epoch + 1}; start a new run with a lower learning rate"
            )
        new = self.path.with_suffix(".tmp.npz")
        np.savez(new, epochs=np.int64(epoch + 1), **state)
        new.replace(self.path)


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
        new = self.path.with_suffix(".tmp.csv")
        with new.open("w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
        new.replace(self.path)


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
            disable=not self.console.is_terminal,
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the bar."""
        self.task = self.bar.add_task(
            "training", total=self.epochs * self.steps, completed=self.done * self.steps
        )
        self.bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember which epoch it is."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar by a step."""
        self.bar.update(
            self.task, advance=1, description=f"epoch {self.epoch + 1}/{self.epochs} {_summary(logs or {})}"
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
        self.bar.stop()


def _summary(logs: dict[str, Any]) -> str:
    """ "loss 1.234 accuracy 56.7 %": the first head's accuracy is the dataset's own."""
    accuracy = next((logs[k] for k in ("accuracy", "fer2013_accuracy", "labels_accuracy") if k in logs), None)
    text = f"loss {float(logs['loss']):.3f}" if "loss" in logs else ""
    return text if accuracy is None else f"{text} accuracy {100 * float(accuracy):.1f} %"
