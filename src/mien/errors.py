"""Every error that mien raises on purpose.

Wrong arguments in code are `ValueError` or `TypeError`. The rest derives from one class::

    MienError
    ├── ImageError             a picture that cannot be read, or is too large to be read safely
    ├── SourceError            a collection that is missing, unreadable, or vanished while it was read
    ├── BatchError             a run over a collection whose processes cannot work
    ├── StoreError             an object store that refuses, does not answer, or was taken over by another run
    ├── VideoError             a clip, a stream or a camera that cannot be read, or ends too early
    ├── StudyError             a study whose folder, lists or codes do not fit its clips
    ├── DetectorError          a face detector that cannot be loaded or fetched
    ├── ModelError             a model that is missing, broken or of the wrong shape
    │   └── ExportError        an exported model that does not agree with the trained one
    ├── DatasetError           a dataset, a row or a file of it that is not as expected
    │   ├── UnknownLabelError  a label that is none of the expressions
    │   └── MissingColumnError a column that was asked for by name, and that the data does not have
    ├── TrainingError          a run that cannot start, continue or be resumed
    │   └── SettingsError      settings of a run that are unknown or out of range
    ├── ServerError            a server that cannot start with its settings
    ├── BrokenInstallError     a package that mien always needs, and that is not whole
    └── MissingExtraError      a feature whose optional packages are not installed

A message is one line: what was given, what was expected, how to fix it.
"""

from __future__ import annotations


class MienError(Exception):
    """The base of mien's errors: catch it to catch them all."""


class ImageError(MienError):
    """A picture that cannot be read, or is too large to be read safely."""


class SourceError(MienError):
    """A collection that is missing, unreadable, or vanished while it was read."""


class BatchError(MienError):
    """A run over a collection whose processes cannot work: nothing is wrong with the pictures."""


class StoreError(MienError):
    """An object store that refuses, does not answer, or was taken over by another run."""


class VideoError(MienError):
    """A clip, a stream or a camera that cannot be read, or ends too early."""


class StudyError(MienError):
    """A study whose folder, lists or codes do not fit its clips."""


class DetectorError(MienError):
    """A face detector that cannot be loaded or fetched."""


class ModelError(MienError):
    """A model that is missing, broken or of the wrong shape."""


class ExportError(ModelError):
    """An exported model that does not agree with the trained one."""


class DatasetError(MienError):
    """A dataset, a row or a file of it that is not as expected."""


class UnknownLabelError(DatasetError):
    """A label that is none of the expressions."""


class MissingColumnError(DatasetError):
    """A column that was asked for by name, and that the data does not have."""


class TrainingError(MienError):
    """A run that cannot start, continue or be resumed."""


class SettingsError(TrainingError):
    """Settings of a run that are unknown or out of range."""


class ServerError(MienError):
    """A server that cannot start with its settings: a port in use, a token that no client could send."""


class BrokenInstallError(MienError):
    """A package that mien always needs, and that is not whole."""


class MissingExtraError(MienError):
    """A feature whose optional packages are not installed."""

    def __init__(self, feature: str, extra: str, note: str = "") -> None:
        super().__init__(feature, extra, note)  # as given, so that the error can be pickled
        self._message = f'{feature} needs optional packages: pip install "mien[{extra}]"'
        if note:
            self._message += f"; {note}"

    def __str__(self) -> str:
        return self._message
