"""The frames of one clip: written once as Parquet while the clip is read, and read again for every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.results import Box, Face, Prediction, Quality, TrackedFace, TrackedFrame
from mien.study.lists import People
from mien.video.episodes import Episode, EpisodeFinder, EpisodeSettings

_USUAL_STEP = 0.04  # seconds that the only frame of a clip stands for


def is_whole(path: Path) -> bool:
    """Whether a file of frames is there, and can be read."""
    from pyarrow import ArrowException, parquet

    try:
        parquet.read_metadata(path)
    except (OSError, ArrowException):
        return False
    return True


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """What was read of a clip: a row a face and frame, and one for a frame without a face.

    Attributes:
        clip: its name in the study.
        labels: of the model.
        columns: name -> (rows,) values; where there is no face, NaN, and a track of -1.
    """

    clip: str
    labels: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def read(cls, clip: str, path: Path, labels: Sequence[str]) -> ClipFrames:
        """Read what `open_writer("parquet", ...)` wrote of one clip.

        Args:
            clip: its name in the study.
            path: the file.
            labels: of the model.
        """
        from pyarrow import parquet

        table = parquet.read_table(path)
        table = table.filter(table["frame"].is_valid())  # the last row says where a clip broke off
        columns = {name: table[name].to_numpy() for name in table.column_names if name != "track"}
        columns["track"] = table["track"].fill_null(-1).to_numpy()
        return cls(clip, tuple(labels), columns)

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """(frames,) the first row of every frame."""
        return np.unique(self.columns["frame"], return_index=True)[1]

    @property
    def times(self) -> NDArray[np.float64]:
        """(frames,) seconds."""
        return np.asarray(self.columns["time"][self.first_rows], np.float64)

    @cached_property
    def ends(self) -> NDArray[np.float64]:
        """(frames,) seconds until which each frame stands: the next one's time; the last as long as the shortest."""
        steps = np.diff(self.times)
        shortest = steps[steps > 0].min() if (steps > 0).any() else _USUAL_STEP
        return np.append(self.times[1:], self.times[-1:] + shortest)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(faces,) the rows that hold a face."""
        return np.flatnonzero(self.columns["track"] >= 0)

    @cached_property
    def spans(self) -> NDArray[np.float64]:
        """(faces, 2) seconds from which and until which each face's frame stands."""
        frame = np.searchsorted(self.columns["frame"][self.first_rows], self.columns["frame"][self.rows])
        return np.stack([self.times[frame], self.ends[frame]], axis=1)

    @property
    def tracks(self) -> list[int]:
        """The tracked faces, in order."""
        return [int(track) for track in np.unique(self.of_faces("track"))]

    def of_faces(self, column: str) -> NDArray[Any]:
        """(faces,) a column's values in the rows that hold a face."""
        return np.asarray(self.columns[column][self.rows])

    def people(self, people: People) -> dict[str, list[int]]:
        """Person -> their tracks, in the order of the tracks; without who does not take part."""
        found: dict[str, list[int]] = {}
        for track in self.tracks:
            if (person := people.person(self.clip, track)) is not None:
                found.setdefault(person, []).append(track)
        return found

    def episodes(self, settings: EpisodeSettings) -> list[Episode]:
        """The episodes of all tracks, by onset."""
        finder = EpisodeFinder(settings)
        for frame in self._frames():
            finder.add(frame)
        return finder.finish()

    def _frames(self) -> Iterator[TrackedFrame]:
        """The results as they were when the clip was read, as far as episodes need them."""
        c = self.columns
        raw = np.stack([c[label] for label in self.labels], axis=1)
        steady = np.stack([c[f"smoothed_{label}"] for label in self.labels], axis=1)
        for first, last in pairwise([*self.first_rows, len(c["frame"])]):
            faces = tuple(
                TrackedFace(
                    Face(Box(c["x1"][k], c["y1"][k], c["x2"][k], c["y2"][k]), c["detection_score"][k]),
                    Prediction(dict(zip(self.labels, raw[k].tolist(), strict=True)), bool(c["uncertain"][k])),
                    Quality(c["quality_score"][k]),
                    track=int(c["track"][k]),
                    smoothed=Prediction(
                        dict(zip(self.labels, steady[k].tolist(), strict=True)),
                        bool(c["smoothed_uncertain"][k]),
                    ),
                )
                for k in range(first, last)
                if c["track"][k] >= 0
            )
            yield TrackedFrame(
                self.clip, faces=faces, frame=int(c["frame"][first]), time=float(c["time"][first])
            )
