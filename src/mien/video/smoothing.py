"""An expression over time: probabilities that do not flicker, and do not hide what is short."""

from __future__ import annotations

from math import exp

from mien.results import Prediction

TIME_CONSTANT = 0.3
"""In seconds: a new expression has 63 % of its weight after this time, 81 % after half a second."""


class Smoother:
    """The exponential mean of one person's probabilities, by seconds and not by frames.

    Args:
        time_constant: in seconds; 0 leaves every frame as it is.
        uncertain_below: the threshold of `uncertain`, applied to the smoothed probabilities.

    Raises:
        ValueError: a negative time constant.
    """

    def __init__(self, time_constant: float, uncertain_below: float) -> None:
        if not time_constant >= 0:
            raise ValueError(f"smoothing {time_constant}: expected seconds from 0")
        self._time_constant = time_constant
        self._uncertain_below = uncertain_below
        self._mean: dict[str, float] = {}
        self._time = 0.0

    def add(self, prediction: Prediction, time: float) -> Prediction:
        """The smoothed expression at `time`, once this frame's is in; a gap lets the past count less."""
        weight = 1.0
        if self._mean and self._time_constant > 0:
            weight = 1 - exp(-max(0.0, time - self._time) / self._time_constant)
        self._mean = {
            label: p if not self._mean else self._mean[label] + weight * (p - self._mean[label])
            for label, p in prediction.probabilities.items()
        }
        self._time = time
        return Prediction(self._mean, uncertain=max(self._mean.values()) < self._uncertain_below)
