"""Who is who from frame to frame, by motion and overlap alone: no face is recognised.

Each face moves as a Kalman filter with constant velocity expects (Bewley et al., "Simple online and realtime tracking",
ICIP 2016), and boxes are joined to the tracks that they fit best by distance-IoU (Zheng et al., AAAI 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien._core.boxes import as_array, distance_overlaps
from mien.results import Box

DETECTION_NOISE = 0.04
"""Standard deviation of a detector's box around the true one, as a share of the face's side."""

FLOW_NOISE = 0.02
"""The same of a box that was followed from the frame before."""

ACCELERATION = (3.0, 3.0, 1.0, 1.0)
"""Standard deviation of how position (x, y) and size (width, height) change their speed, in sides a second squared."""

MIN_FIT = 0.0
"""A box is joined to a track only with a higher distance-IoU (-1 to 1): about three quarters of a side away."""

MAX_GAP_SPEED = 2.5
"""In sides a second: faster motion is not believed while a face is not seen."""


class Track:
    """A face over time: `number` from 1, `seen` when a box last belonged to it (seconds), `hits` how many did."""

    def __init__(self, number: int, box: Box, time: float) -> None:
        self.number = number
        self.seen = self.time = time
        self.hits = 1
        side = max(box.width, box.height)
        # Rows: centre x, centre y, width, height; columns: value and speed a second.
        self._state = np.column_stack([_vector(box), np.zeros(4)])
        variance = np.diag([(DETECTION_NOISE * side) ** 2, (2.0 * side) ** 2])
        self._covariance = np.repeat(variance[None], 4, axis=0)

    @property
    def box(self) -> Box:
        """Where the face is now, as the filter believes."""
        (x, y, width, height) = self._state[:, 0].tolist()
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def predict(self, time: float) -> None:
        """Move on to `time`."""
        step = max(0.0, time - self.time)
        self.time = time
        side = float(self._state[2:, 0].max())
        if self.seen < time - step:
            # First seen in this step: a size that keeps changing, or a jump, is not the motion of a head.
            self._state[2:, 1] = 0.0
            limit = MAX_GAP_SPEED * side
            self._state[:2, 1] = np.clip(self._state[:2, 1], -limit, limit)
        move = np.array([[1.0, step], [0.0, 1.0]])
        self._state = self._state @ move.T
        self._state[2:, 0] = np.maximum(self._state[2:, 0], 1.0)
        push = np.array([[step**4 / 4, step**3 / 2], [step**3 / 2, step**2]])
        strength = (np.array(ACCELERATION) * side) ** 2
        self._covariance = move @ self._covariance @ move.T + strength[:, None, None] * push

    def correct(self, box: Box, noise: float) -> None:
        """Take in a box that was seen at the present time; `noise` as `DETECTION_NOISE`."""
        side = max(box.width, box.height)
        variance = self._covariance[:, 0, 0] + (noise * side) ** 2
        gain = self._covariance[:, :, 0] / variance[:, None]
        self._state += gain * (_vector(box) - self._state[:, 0])[:, None]
        self._state[2:, 0] = np.maximum(self._state[2:, 0], 1.0)
        self._covariance -= gain[:, :, None] * self._covariance[:, None, 0, :]
        self.seen = self.time


class Tracker:
    """The tracks of one clip.

    Args:
        patience: seconds for which a face that is not seen may come back as the same.

    Raises:
        ValueError: a negative patience.
    """

    def __init__(self, patience: float) -> None:
        if not patience >= 0:
            raise ValueError(f"patience {patience}: expected seconds from 0")
        self.patience = patience
        self.tracks: list[Track] = []
        self._number = 0

    def clear(self) -> None:
        """End all tracks, as a cut does."""
        self.tracks = []

    def predict(self, time: float) -> None:
        """Move all tracks on to `time`; those that have been out of sight for longer than `patience` end."""
        # One that was seen in the frame before has its chance, however far apart the frames are.
        self.tracks = [
            t for t in self.tracks if t.seen == t.time or (t.hits > 1 and time - t.seen <= self.patience)
        ]
        for track in self.tracks:
            track.predict(time)

    def update(self, boxes: Sequence[Box], time: float) -> list[Track]:
        """Join detected boxes to the tracks, which were moved on to `time`; each box's track, new ones among them."""
        owners: dict[int, Track] = {}
        for track, place in _pairs(self.tracks, boxes):
            track.correct(boxes[place], DETECTION_NOISE)
            track.hits += 1
            owners[place] = track
        for place, box in enumerate(boxes):
            if place not in owners:
                self._number += 1
                owners[place] = Track(self._number, box, time)
                self.tracks.append(owners[place])
        return [owners[place] for place in range(len(boxes))]


def _pairs(tracks: Sequence[Track], boxes: Sequence[Box]) -> list[tuple[Track, int]]:
    """Tracks with the places of their boxes, the best fit first; each at most once."""
    fits = distance_overlaps(as_array(track.box for track in tracks), as_array(boxes))
    pairs: dict[int, int] = {}
    for place in np.argsort(fits, axis=None, kind="stable")[::-1].tolist():
        t, b = divmod(place, len(boxes))
        if fits[t, b] <= MIN_FIT:
            break
        if t not in pairs and b not in pairs.values():
            pairs[t] = b
    return [(tracks[t], b) for t, b in pairs.items()]


def _vector(box: Box) -> NDArray[np.float64]:
    return np.array([*box.center, box.width, box.height])
