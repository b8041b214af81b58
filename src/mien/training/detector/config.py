"""`DetectorConfig`: every setting of a run that trains a face detector."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from mien._core.files import write_atomically
from mien._core.settings import check_limits, check_names, check_types
from mien._core.text import count
from mien.errors import SettingsError, TrainingError
from mien.training.run_folder import SETTINGS


@dataclass(frozen=True)
class DetectorConfig:
    """The settings of a run.

    Attributes:
        init: the detector whose weights the run starts with: `mien`, a folder or a run; "" for none.
        epochs: of `scenes` scenes each.
        scenes: number of new scenes per epoch.
        batch_size: scenes a step.
        side: of a scene in pixels, a multiple of 32.
        learning_rate: its peak, of AdamW; falls to 0 by a cosine.
        warmup_epochs: the rate rises from 0 during these.
        weight_decay: decoupled, a step shrinks a weight by learning rate times this.
        ema_momentum: momentum of the running average of the weights that is kept in the end; less in a short run.
        mixed_precision: compute in bfloat16, with weights in float32; a processor without instructions for it
            computes in float32.
        rotation: most degrees that photographs and pasted faces are turned by, to either side.
        occlusion: share of the faces that sunglasses, a mask or something else is put before.
        hard_negatives: the score from which what `init` takes for a face in photographs without one is shown again and
            again, to be unlearned; 0 for only what the data names.
        validate_every: epochs from one validation to the next; the last epoch is always validated.
        validate_on: pictures that are validated on at most; the first ones.
        limit: photographs that are read, spread over the data; 0 for all. For rehearsals.
        seed: of the random numbers.
    """

    init: str = ""
    epochs: int = 100
    scenes: int = 1800
    batch_size: int = 8
    side: int = 320
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 0.01
    ema_momentum: float = 0.998
    mixed_precision: bool = False
    rotation: float = 30.0
    occlusion: float = 0.0
    hard_negatives: float = 0.0
    validate_every: int = 10
    validate_on: int = 300
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        check_limits(self, _LIMITS)
        if self.side % 32:
            raise ValueError(f"side={self.side}: expected a multiple of 32")
        check_limits(self, {"learning_rate": (0, math.inf)}, inside=True)
        if self.hard_negatives and not self.init:
            raise ValueError(
                f"hard_negatives={self.hard_negatives} without init: expected the detector whose hits they are; "
                "--set init=mien"
            )
        if self.batch_size > self.scenes:
            raise ValueError(
                f"batch_size={self.batch_size} of {count(self.scenes, 'scene')}: expected fewer; "
                f"--set batch_size={self.scenes}, or more scenes"
            )

    @property
    def steps(self) -> int:
        """In an epoch."""
        return self.scenes // self.batch_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DetectorConfig:
        """The settings that `to_dict` wrote; those that are missing have their defaults.

        Raises:
            SettingsError: an unknown setting, or one out of its range.
        """
        try:
            check_names(values, cls, "")
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise SettingsError(str(error)) from None

    @classmethod
    def load(cls, run: Path) -> DetectorConfig:
        """The settings of the run in a folder.

        Raises:
            TrainingError: there are none, or not of this version.
        """
        path = run / SETTINGS
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise TrainingError(f"{run}: no run to resume here; start one without --resume") from None
        except (OSError, ValueError, SettingsError) as error:
            raise TrainingError(f"{path}: not the settings of a run of this version ({error})") from None

    def save(self, path: Path) -> None:
        """Write all settings as TOML."""
        write_atomically(path, tomli_w.dumps(self.to_dict()))


_LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "scenes": (1, 10_000_000),
    "batch_size": (1, 4096),
    "side": (64, 4096),
    "warmup_epochs": (0, 100_000),
    "weight_decay": (0, 1),
    "ema_momentum": (0, 0.999999),
    "rotation": (0, 180),
    "occlusion": (0, 1),
    "hard_negatives": (0, 1),
    "validate_every": (1, 100_000),
    "validate_on": (1, 10_000_000),
    "limit": (0, 1_000_000_000),
    "seed": (0, 2**32 - 1),
}
