"""A network as a folder of two files: ONNX, and the JSON next to it with its SHA-256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from mien._core.files import refuse_pipe, write_json
from mien.errors import MienError

Config = TypeVar("Config")


@dataclass(frozen=True)
class NetworkFiles:
    """The names of the two files of one kind of network, and the words of their error messages.

    Attributes:
        kind: "model" or "detector".
        error: what is raised.
        network: name of the ONNX file.
        config: name of the JSON file.
        expected: what a folder of this kind is, in words.
    """

    kind: str
    error: type[MienError]
    network: str
    config: str
    expected: str

    def load_config(self, kind: type[Config], folder: Path) -> Config:
        """The JSON file's values as a dataclass.

        Raises:
            MienError: of the type `error`: missing, or not what `save_config` writes.
        """
        path = folder / self.config
        try:
            refuse_pipe(path)
            return kind(**json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise self.error(f"{path}: {error.strerror}; {self.expected}") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise self.error(f"{path}: not the configuration of a {self.kind} ({error})") from None

    def save_config(self, config: Any, folder: Path) -> None:
        """Write a dataclass as the JSON file."""
        write_json(folder / self.config, asdict(config))

    def read_network(self, folder: Path, sha256: str, max_bytes: int) -> bytes:
        """The bytes of the ONNX file, after a look at their number and SHA-256.

        Raises:
            MienError: of the type `error`: missing, too large, or not the file that the JSON described.
        """
        path = folder / self.network
        try:
            refuse_pipe(path)
            if path.stat().st_size > max_bytes:
                raise self.error(f"{path}: {path.stat().st_size} bytes, expected at most {max_bytes}")
            data = path.read_bytes()
        except OSError as error:
            raise self.error(f"{path}: {error.strerror}; {self.expected}") from None
        digest = hashlib.sha256(data).hexdigest()
        if digest != sha256:
            raise self.error(
                f"{path}: SHA-256 {digest[:12]}…, but {self.config} says {sha256[:12]}…; the file is damaged, from "
                f"another {self.kind}, or was changed since this one was loaded: copy the folder, or load it again"
            )
        return data
