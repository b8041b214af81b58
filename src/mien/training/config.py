"""`TrainConfig`: every setting of a run, as a TOML file holds it, and the recipes that are known by name."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from mien._core.files import write_atomically
from mien._core.settings import check_choices, check_limits, check_names, check_types
from mien._core.text import count
from mien.errors import SettingsError
from mien.models.registry import ModelConfig, find_weights, resolve_model
from mien.training.augmentation import Augmentation
from mien.training.networks import FIXED_SIZE, NETWORKS

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; what a recipe does not name has these defaults.

    Attributes:
        network: a key of `mien.training.networks.NETWORKS`.
        weights: what a network with a pretrained base starts from: "imagenet", "none", or a file of weights.
        init: a model to start from: a shipped one's name, a model folder or a run; "" for none. Heads with the
            same labels come along, others start new.
        epochs: passes over the training split, at most.
        batch_size: pictures a step.
        optimizer: "sgd" (Nesterov momentum 0.9), "adam" or "adamw".
        learning_rate: its peak, reached after `warmup_epochs`.
        schedule: "cosine" falls to 0 until the last epoch, "constant" stays.
        warmup_epochs: the rate rises from 0 during these.
        head_epochs: the first epochs train the heads alone, where the run starts from `weights` or `init`.
        head_learning_rate: constant rate of those epochs.
        weight_decay: decoupled, a step shrinks a weight by learning rate times this.
        label_smoothing: share of the target spread over all labels (dataset's labels only).
        class_weights: "balanced" weighs a picture by the inverse frequency of its class, "none" does not.
        early_stopping: stop after this many epochs without a better validation accuracy, and keep the weights
            of the best epoch; 0 trains to the end and keeps the last. Not counted in `head_epochs`.
        mixed_precision: compute in bfloat16, with weights in float32; a processor without instructions for it
            computes in float32.
        ferplus_weight: weight of the FER+ head's loss against the label's loss; 0 for neither it nor `expression`.
        expression_weight: weight of the loss of the head `expression`, which learns label and votes as one target.
        label_share: share of the label in that target; the rest is the votes'.
        logit_adjustment: how far that head learns rare labels as if they were frequent: 0 not at all, 1 entirely
            (Menon et al., arXiv 2007.07314).
        prior: how far the label frequencies are in its exported answers: 1 as in the training images, which gives most
            right answers among such; 0 as if all labels were equally frequent, which gives the best mean recall.
        dropout: share of features dropped before the heads.
        ema_momentum: momentum of the running average of the weights that is kept in the end; less in a short run,
            so the average never reaches back further than a twentieth of it. 0 for none.
        clean_epochs: the last epochs, in which pictures are hardly changed (`Augmentation.mild`).
        view: side of the square in pixels that the network sees of a 48x48 picture.
        low_res_epochs: during this many first epochs, the view is reduced to `low_res_view` pixels, which saves half of
            their time (progressive resizing, as in Tan and Le, arXiv 2104.00298); for networks without a dense
            layer of a fixed size.
        low_res_view: side in pixels of the shrunk view.
        limit: use at most this many pictures per split, the first ones; 0 for all. For trial runs.
        calibration_fraction: share of the training pictures held out of training, so temperatures and the threshold of
            `uncertain` are fitted to them; 0, or a share of less than 50 pictures, fits these to the
            validation split. Of these, images that have another version among the trained ones do not count.
        teachers: a file of `mien distill` with what teachers think of the training pictures; "" for none. Then
            the augmentation changes the views that they saw, and should be mild.
        distillation: share of the teachers in the targets; the rest are the dataset's own. Where a picture has no
            votes, the teachers alone teach the FER+ head.
        unlabelled: more faces that only the `teachers` teach: Parquet of `mien crops`, or a dataset, of which the
            labels are ignored; "" for none (Xie et al., arXiv 1911.04252).
        unlabelled_share: how much of a batch they are at most; less where an epoch would show one of them twice.
        unlabelled_confidence: those of which the teachers are less sure, by their highest probability, teach nothing.
        weight_storage: of the exported ONNX file: "float16", "int8" (a quarter of "float32"; measure what it costs), or
            "float32".
        seed: of the random numbers.
    """

    network: str = "mien-s"
    weights: str = "none"
    init: str = ""
    epochs: int = 45
    batch_size: int = 96
    optimizer: str = "sgd"
    learning_rate: float = 0.12
    schedule: str = "cosine"
    warmup_epochs: int = 2
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    weight_decay: float = 5e-3
    label_smoothing: float = 0.1
    class_weights: str = "none"
    early_stopping: int = 0
    mixed_precision: bool = False
    ferplus_weight: float = 0.6
    expression_weight: float = 1.0
    label_share: float = 0.4
    logit_adjustment: float = 1.0
    prior: float = 0.7
    dropout: float = 0.3
    ema_momentum: float = 0.998
    clean_epochs: int = 3
    view: int = 44
    low_res_epochs: int = 0
    low_res_view: int = 32
    limit: int = 0
    calibration_fraction: float = 0.0
    teachers: str = ""
    distillation: float = 0.7
    unlabelled: str = ""
    unlabelled_share: float = 0.25
    unlabelled_confidence: float = 0.0
    weight_storage: str = "float16"
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_types(self)
        check_choices(self, {"network": tuple(NETWORKS), **_CHOICES})
        check_limits(self, dict.fromkeys(("learning_rate", "head_learning_rate"), (0, math.inf)), inside=True)
        check_limits(self, _LIMITS)
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Raise where settings do not go together."""
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError(
                f"weight_decay={self.weight_decay}: adam has none; expected --set weight_decay=0, or "
                "--set optimizer=adamw"
            )
        if self.starts_trained and self.head_epochs >= self.epochs:
            raise ValueError(
                f"head_epochs={self.head_epochs} of {count(self.epochs, 'epoch')}: expected fewer, so that all layers "
                "learn; --set head_epochs=0 leaves them out, --epochs trains longer"
            )
        if self.low_res_epochs and self.network in FIXED_SIZE:
            raise ValueError(
                f"low_res_epochs={self.low_res_epochs}: {self.network} has one size of picture; expected none: "
                "--set low_res_epochs=0"
            )
        if self.init and self.weights != "none":
            raise ValueError(
                f"init {self.init!r} and weights {self.weights!r}: expected one of them; leave out --init or --weights"
            )

    @property
    def starts_trained(self) -> bool:
        """Whether the network starts from existing weights."""
        return bool(self.init) or self.weights != "none"

    def check_teachers(self) -> None:
        """Raise a SettingsError where there are images that nobody teaches; `mien distill` asks the teachers first."""
        if self.unlabelled and not self.teachers:
            raise SettingsError(
                f"unlabelled {self.unlabelled!r} without teachers: nothing would teach these images; expected "
                "--set teachers=FILE of mien distill, with the same unlabelled"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The settings that `to_dict` wrote; those that are missing have their defaults.

        Raises:
            ValueError: an unknown setting, or one out of its range.
        """
        augmentation = values.get("augmentation", {})
        if not isinstance(augmentation, Mapping):
            raise ValueError(f"augmentation {augmentation!r}: expected a table of settings")
        check_names(values, cls, "")
        check_names(augmentation, Augmentation, "augmentation.")
        return cls(**{**values, "augmentation": Augmentation(**augmentation)})

    def save(self, path: Path) -> None:
        """Write all settings as TOML, for `--config`."""
        write_atomically(path, tomli_w.dumps(self.to_dict()))


_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("cosine", "constant"),
    "class_weights": ("none", "balanced"),
    "weight_storage": ("float16", "int8", "float32"),
}

_LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (2, 100_000),
    "warmup_epochs": (0, 100_000),
    "head_epochs": (0, 100_000),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.99),
    "early_stopping": (0, 100_000),
    "ferplus_weight": (0, 100),
    "expression_weight": (0, 100),
    "label_share": (0, 1),
    "logit_adjustment": (0, 2),
    "prior": (0, 1),
    "dropout": (0, 0.99),
    "ema_momentum": (0, 0.999999),
    "clean_epochs": (0, 100_000),
    "view": (16, 48),
    "low_res_epochs": (0, 100_000),
    "low_res_view": (16, 48),
    "limit": (0, 1_000_000_000),
    "calibration_fraction": (0, 0.5),
    "distillation": (0, 1),
    "unlabelled_share": (0, 1),
    "unlabelled_confidence": (0, 1),
    "seed": (0, 2**32 - 1),
}


def read_config(source: str) -> dict[str, Any]:
    """The settings in a TOML file, or those of a recipe that is known by name.

    Raises:
        SettingsError: there is no such file or recipe, or it is no TOML.
    """
    known = sorted(path.stem for path in RECIPES.glob("*.toml"))
    path = RECIPES / f"{source}.toml" if source in known else Path(source)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{source}: {error.strerror}; expected a TOML file of settings, or one of {', '.join(known)}"
        ) from None
    except ValueError as error:
        raise SettingsError(f"{source}: not a TOML file of settings ({error})") from None


def combine(network: str | None, source: str | None, changes: Mapping[str, Any]) -> TrainConfig:
    """A run's settings: a recipe or file, with changes on top.

    Args:
        network: a key of `NETWORKS`; None for the one that the settings name.
        source: a recipe's name or a TOML file; None for "fine-tune" where the run starts from a trained model,
            else for the recipe that is named like the network, if there is one.
        changes: setting -> value, "augmentation.mixup" and the like for those of the augmentation.

    Raises:
        SettingsError: a setting is unknown or out of range; the message says which and what was expected.
    """
    if network is not None and network not in NETWORKS:
        raise SettingsError(f"unknown network {network!r}: expected one of {', '.join(NETWORKS)}")
    own = "fine-tune" if changes.get("init") else network or TrainConfig.network
    values = read_config(source or own) if source or (RECIPES / f"{own}.toml").is_file() else {}
    try:
        for name, value in {**({"network": network} if network else {}), **changes}.items():
            table, _, key = name.rpartition(".")
            place = values.setdefault(table, {}) if table else values
            if not isinstance(place, dict):
                raise ValueError(f"{name}: {table} is a setting, not a table of settings")
            place[key] = value
        return TrainConfig.from_dict(_of_trained_model(values.get("init")) | values)
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"{source}: {error}" if source else str(error)) from None


def _of_trained_model(name: object) -> dict[str, Any]:
    """Network and view of the model that a run starts from, if it does: it must have the same.

    Raises:
        ModelError: there is no such model, or none to train on: better now than after all data was read.
    """
    if not isinstance(name, str) or not name:
        return {}
    folder = resolve_model(name)
    config = ModelConfig.load(folder)
    config.check_trainable(name)
    find_weights(folder)
    training = config.training
    return {key: training[key] for key in ("network", "view") if key in training}


def parse_setting(text: str) -> tuple[str, Any]:
    """ "augmentation.mixup=0.4" -> its name and value, read as TOML; what is no TOML value is a word.

    Raises:
        SettingsError: there is no "=".
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"setting {text!r}: expected NAME=VALUE, such as optimizer=adamw")
    try:
        read = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        read = {}
    return name.strip(), read["value"] if len(read) == 1 else value.strip()
