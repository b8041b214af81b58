"""What can keep a run from starting, as far as settings and folders tell: looked at before any data are read."""

from __future__ import annotations

from pathlib import Path

from mien.training.callbacks import epochs_done
from mien.training.config import TrainConfig
from mien.training.devices import find_devices
from mien.training.distill import SoftLabels
from mien.training.networks import build_model
from mien.training.run_folder import CHECKPOINT, check_folder
from mien.training.splits import check_unlabelled
from mien.training.train import read_settings


def check_start(run: Path, config: TrainConfig, *, resume: bool = False, devices: int = 1) -> None:
    """Raise what `train` would raise of the same run after its data was read, perhaps for minutes.

    Args:
        run: the run's folder.
        config: the settings; with `resume` those of the run itself are used.
        resume: continue the run in that folder.
        devices: that share every batch.

    Raises:
        TrainingError: the folder holds another run, or none to resume; the pretrained weights or the teachers'
            predictions cannot be had.
        SettingsError: devices that are not there, or `unlabelled` without teachers.
        DatasetError: no file of the images without labels.
        OSError: nothing can be written there.
    """
    check_folder(run, resume=resume)
    if resume:
        config = read_settings(run)
    config.check_teachers()
    find_devices(devices, config.batch_size)
    done = epochs_done(run / CHECKPOINT)
    if config.weights != "none" and not done:  # one that goes on has its weights in the checkpoint
        build_model(config.network, {"any": 2}, view=config.view, weights=config.weights)
    if config.teachers and done < config.epochs:
        SoftLabels.load(Path(config.teachers))
    if done < config.epochs:
        check_unlabelled(config)
