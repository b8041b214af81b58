"""Archives, and tables of FER2013's form: of every packing and manner of writing; the answer is what went in."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from corpus_case import Pixels, noise
from pictures import encode

from mien.labels import LABELS

N = 5
"""Pictures of every dataset."""


@dataclass(frozen=True)
class DataCase:
    """A dataset as one file, of the pictures of `faces()` and the labels of `targets()`.

    Attributes:
        name: unique; the kind comes first.
        file: its name.
        data: its bytes.
        lists: whether it is a collection of pictures, too.
    """

    name: str
    file: str
    data: bytes
    lists: bool = False


def faces() -> Pixels:
    """(N, 48, 48) uint8."""
    return noise(48, 48, N, 256, 11).astype(np.uint8).transpose(2, 0, 1)


def targets() -> list[int]:
    """N places in `LABELS`."""
    return [k % len(LABELS) for k in range(N)]


def members(folder: str = "") -> dict[str, bytes]:
    """The pictures as files of class folders: name -> PNG."""
    pairs = enumerate(zip(faces(), targets(), strict=True))
    return {f"{folder}train/{LABELS[target]}/{k}.png": encode(face) for k, (face, target) in pairs}


def archive_cases() -> Iterator[DataCase]:
    """Zip and tar of every packing, folders and names that archives have beside the pictures."""
    packings = {
        "stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2,
        "lzma": zipfile.ZIP_LZMA,
    }  # fmt: skip
    folders = {"": "", "-in-folders": "a/b c/", "-of-umlauts": "Gesichter ä/", "-dotted": "./"}
    for (packing, code), (word, folder) in product(packings.items(), folders.items()):
        for streamed in (False, True):
            target = _Stream() if streamed else io.BytesIO()
            with zipfile.ZipFile(target, "w", code) as archive:
                for name, data in members(folder).items():
                    archive.writestr(name, data)
                archive.writestr(f"{folder}__MACOSX/._0.png", b"no picture")
                archive.writestr(f"{folder}README.md", b"words")
            name = f"zip-{packing}{word}{'-streamed' * streamed}"
            yield DataCase(name, "faces.zip", target.getvalue(), lists=True)
    with_remark = io.BytesIO(b"#!/bin/sh\n" * 9)  # what begins otherwise is an archive by its end
    with zipfile.ZipFile(with_remark, "a") as archive:
        for name, data in members().items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
        archive.comment = b"a remark"
    yield DataCase("zip-after-a-program", "faces.zip", with_remark.getvalue(), lists=True)
    forms = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    for packing, (form, code) in product(("", "gz", "bz2", "xz"), forms.items()):
        for word, folder in {"": "", "-long-names": "folder/" * 18}.items():
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode=f"w:{packing}", format=code) as archive:
                for name, data in members(folder).items():
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
            ending = f".{packing}" if packing else ""
            yield DataCase(
                f"tar-{form}{word}{ending}", f"faces.tar{ending}", stream.getvalue(), lists=not packing
            )


class _Stream(io.BytesIO):
    """A file that nobody can go back in: sizes come after the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation("seek")


def table_cases() -> Iterator[DataCase]:
    """CSV with and without quotes, mark, blank lines and a last end of line; columns in any order; under gzip."""
    orders = (("emotion", "pixels", "Usage"), ("Usage", "pixels", "emotion"), ("emotion", "pixels"))
    for columns, quote, end, mark, last in product(
        orders, ("", '"'), ("\n", "\r\n"), (False, True), (False, True)
    ):
        lines = [[column.upper() if mark else column for column in columns]]
        for face, target in zip(faces(), targets(), strict=True):
            row = {"emotion": str(target), "pixels": " ".join(map(str, face.ravel())), "Usage": "Training"}
            lines.append([row[column] for column in columns])
        text = end.join(",".join(f"{quote}{word}{quote}" for word in line) for line in lines) + end * last
        if last:
            text += end  # a blank one
        data = text.encode("utf-8-sig" if mark else "utf-8")
        words = ["quoted" * bool(quote), "crlf" * (end != "\n"), "mark" * mark, "ended" * last]
        name = "-".join(["csv", *columns, *filter(None, words)])
        yield DataCase(name, "fer2013.csv", data)
        if quote and mark and last:
            yield DataCase(f"{name}.gz", "fer2013.csv.gz", gzip.compress(data))
    text = ["id,emotion,pixels,remark"]
    for k, (face, target) in enumerate(zip(faces(), targets(), strict=True)):
        text.append(f'{k},{target},{" ".join(map(str, face.ravel()))},"one, two ""three"""')
    yield DataCase("csv-remarks", "fer2013.csv", "\n".join(text).encode())
