"""The files that a study has written: only these are written anew or removed, and only while nobody changed them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mien._core.files import write_atomically
from mien.errors import StudyError

_LIST = (
    "written.jsonl"  # a line a file and digest; of several, any may be there: a run was stopped in between
)


class WrittenFiles:
    """Text files in the folder of a study.

    Args:
        folder: of the study, which is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._list = folder, folder / _LIST
        self._known: dict[str, list[str]] = {}
        self._new: dict[str, str] = {}
        lines = self._list.read_text(encoding="utf-8").splitlines() if self._list.exists() else []
        for line in lines:
            try:
                name, digest = json.loads(line)
            except ValueError:  # the end of a line that a kill cut off
                continue
            self._known.setdefault(str(name), []).append(str(digest))

    def check(self) -> None:
        """Raise where somebody changed a file: it would be lost.

        Raises:
            StudyError: there is one.
        """
        for name in self._known:
            self._check(name)

    def put(self, name: str, text: str) -> None:
        """Write a file, its folder too.

        Raises:
            StudyError: there is a file of that name which is not of this study, or which somebody changed.
            OSError: it cannot be written.
        """
        self._check(name)
        data = text.encode(errors="backslashreplace")
        self._new[name] = hashlib.sha256(data).hexdigest()
        self._known.setdefault(name, []).append(self._new[name])
        with self._list.open(
            "a", encoding="utf-8"
        ) as file:  # before it is there: a kill in between does no harm
            file.write(json.dumps([name, self._new[name]]) + "\n")
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / name, text)

    def finish(self) -> None:
        """Remove what earlier runs wrote and this one did not.

        Raises:
            StudyError: somebody changed such a file.
        """
        for name in self._known.keys() - self._new.keys():
            self._check(name)
            (self._folder / name).unlink(missing_ok=True)
        self._known = {name: [digest] for name, digest in self._new.items()}
        write_atomically(self._list, "".join(json.dumps(pair) + "\n" for pair in self._new.items()))

    def _check(self, name: str) -> None:
        path = self._folder / name
        if not path.exists():
            return
        if not self._known.get(name):
            raise StudyError(f"{path}: is there already, and not of this study; move it, or delete it")
        if hashlib.sha256(path.read_bytes()).hexdigest() not in self._known[name]:
            raise StudyError(
                f"{path}: was changed since it was written, and would be written anew; move it out of the folder (a "
                "list of people is named by --people), or delete it"
            )
