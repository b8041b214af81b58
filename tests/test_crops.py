"""`mien crops`: faces without labels, cut out of photographs, and how they are read again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pictures import ASTRONAUT_FACE, GRACE_HOPPER_FACE, astronaut, encode, grace_hopper, pattern
from PIL import Image
from typer.testing import CliRunner

from mien.batch.crops import write_crops
from mien.cli.app import command_line
from mien.data.load import load_dataset
from mien.data.photographs import is_held_out
from mien.data.unlabelled import load_unlabelled
from mien.errors import DatasetError
from mien.faces.detector import FaceDetector
from mien.images.read import read_image
from mien.results import Box


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(min_size=40)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two portraits, of which one is in a folder of its own, and a picture without a face."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(grace_hopper()))
    (folder / "b.png").write_bytes(encode(pattern(300, 400)))
    (folder / "more" / "c.png").write_bytes(encode(astronaut()))
    return folder


def rows(file: Path) -> list[dict[str, Any]]:
    return pq.read_table(file).to_pylist()


def pixels(row: dict[str, Any]) -> NDArray[np.uint8]:
    return read_image(row["image"]["bytes"])[..., 0]


def overlap(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(width, 0) * max(height, 0)
    return shared / (a.width * a.height + b.width * b.height - shared)


def crops(*words: object) -> Any:
    return CliRunner().invoke(command_line(), ["crops", *map(str, words)])


def versions(n: int) -> list[bytes]:
    """The portrait in so many files, no two alike."""
    return [encode(grace_hopper()[: 600 - i, :, :], "jpeg") for i in range(n)]


def write_photographs(path: Path, contents: list[bytes], **columns: list[Any]) -> Path:
    table = {"image": [{"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate(contents)], **columns}
    pq.write_table(pa.table(table), path)
    return path


class TestCrops:
    def test_are_what_a_model_sees(self, photos: Path, tmp_path: Path, detector: FaceDetector) -> None:
        counts = write_crops([photos], tmp_path / "crops.parquet", detector)
        assert (counts.photographs, counts.crops, counts.errors) == (3, 2, 0)
        found = rows(tmp_path / "crops.parquet")
        assert [row["source"] for row in found] == [str(photos / "a.png"), str(photos / "more" / "c.png")]
        assert [row["image"]["path"] for row in found] == ["000000.png", "000001.png"]
        portraits = ((grace_hopper(), GRACE_HOPPER_FACE), (astronaut(), ASTRONAUT_FACE))
        for row, (picture, box) in zip(found, portraits, strict=True):
            (face,) = detector.detect(picture)
            np.testing.assert_array_equal(pixels(row), detector.crop(picture, face))
            assert overlap(Box(*row["box"]), box) > 0.4
            assert row["detection_score"] == pytest.approx(face.score)
            assert 0.5 < row["quality_score"] <= 1
            assert Image.open(pa.BufferReader(row["image"]["bytes"])).mode == "L"

    def test_small_and_poor_ones_are_left_out(self, tmp_path: Path, detector: FaceDetector) -> None:
        small = np.asarray(Image.fromarray(astronaut()).resize((160, 160)))  # a face of about 33 pixels
        (tmp_path / "small.png").write_bytes(encode(small))
        target = tmp_path / "crops.parquet"
        assert write_crops([tmp_path / "small.png"], target, detector).crops == 0
        assert pq.read_table(target).column_names == [
            "image",
            "source",
            "box",
            "detection_score",
            "quality_score",
        ]
        assert write_crops([tmp_path / "small.png"], target, FaceDetector(min_size=20)).crops == 1
        assert write_crops([tmp_path / "small.png"], target, FaceDetector(), min_quality=0.999).crops == 0

    def test_can_be_labelled(self, photos: Path, tmp_path: Path, detector: FaceDetector) -> None:
        write_crops([photos], tmp_path / "crops.parquet", detector)
        table = pq.read_table(tmp_path / "crops.parquet")
        pq.write_table(table.append_column("label", [["happy", "sad"]]), tmp_path / "labelled.parquet")
        train = load_dataset(tmp_path / "labelled.parquet").split("train")
        assert train.targets.tolist() == [3, 4]
        np.testing.assert_array_equal(train.images, [pixels(row) for row in table.to_pylist()])

    def test_a_bad_photograph_is_one_line(self, photos: Path, tmp_path: Path) -> None:
        (photos / "broken.png").write_bytes(encode(pattern(300, 400))[:-400])
        done = crops(photos, "--output", tmp_path / "crops.parquet")
        assert done.exit_code == 1
        first, last = done.stderr.strip().splitlines()
        assert "broken.png" in first
        assert last == f"mien: 2 crops of 3 photographs in {tmp_path / 'crops.parquet'}"
        assert len(rows(tmp_path / "crops.parquet")) == 2

    def test_a_bad_row_is_named(self, tmp_path: Path, detector: FaceDetector) -> None:
        data = write_photographs(tmp_path / "photos.parquet", [b"", encode(grace_hopper()), b"nothing"])
        said: list[str] = []
        counts = write_crops([data], tmp_path / "crops.parquet", detector, report=said.append)
        assert (counts.photographs, counts.crops, counts.errors) == (1, 1, 2)
        assert [line.partition(": ")[0] for line in said] == ["photos.parquet:0", "photos.parquet:2"]
        assert rows(tmp_path / "crops.parquet")[0]["source"] == "photos.parquet:1"


class TestParts:
    def test_of_a_detectors_data_those_that_it_is_trained_on(
        self, tmp_path: Path, detector: FaceDetector
    ) -> None:
        contents = versions(12)
        held = [i for i, data in enumerate(contents) if is_held_out(hashlib.sha256(data).hexdigest())]
        assert 0 < len(held) < 6
        boxes = {"teacher_boxes": [[[160.0, 118.0, 372.0, 330.0]]] * 12}
        data = write_photographs(tmp_path / "faces.parquet", contents, **boxes)
        found = {}
        for part in (None, "train", "held-out", "all"):
            write_crops([data], tmp_path / "crops.parquet", detector, part=part)
            found[part] = [int(row["source"].partition(":")[2]) for row in rows(tmp_path / "crops.parquet")]
        assert found["held-out"] == held
        assert found[None] == found["train"] == [i for i in range(12) if i not in held]
        assert found["all"] == list(range(12))

    def test_of_other_photographs_all(self, tmp_path: Path, detector: FaceDetector) -> None:
        contents = versions(6)
        data = write_photographs(tmp_path / "photos.parquet", contents)
        assert write_crops([data], tmp_path / "crops.parquet", detector).crops == 6
        (tmp_path / "photos").mkdir()
        for i, content in enumerate(contents):
            (tmp_path / "photos" / f"{i}.jpg").write_bytes(content)
        held = sum(is_held_out(hashlib.sha256(data).hexdigest()) for data in contents)
        sources = [tmp_path / "photos"]
        assert write_crops(sources, tmp_path / "crops.parquet", detector).crops == 6
        assert write_crops(sources, tmp_path / "crops.parquet", detector, part="train").crops == 6 - held


class TestOutput:
    @pytest.mark.parametrize("before", [None, b"as it was"])
    def test_is_whole_or_as_it_was(
        self, before: bytes | None, photos: Path, tmp_path: Path, detector: FaceDetector
    ) -> None:
        target = tmp_path / "out" / "crops.parquet"
        target.parent.mkdir()
        if before:
            target.write_bytes(before)

        def stop(done: int, total: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_crops([photos], target, detector, progress=stop)
        assert [path.read_bytes() for path in target.parent.iterdir()] == ([before] if before else [])

    def test_is_none_where_nothing_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "text.jpg").write_text("no picture")
        for source in ("missing", "text.jpg"):
            done = crops(tmp_path / source, "--output", tmp_path / "crops.parquet")
            assert done.exit_code == 1
            assert not (tmp_path / "crops.parquet").exists()

    def test_must_be_another_parquet_file(self, photos: Path, tmp_path: Path) -> None:
        data = write_photographs(tmp_path / "photos.parquet", [encode(grace_hopper())])
        before = data.read_bytes()
        for source, target in ((photos, "crops.csv"), (photos, photos / "crops.parquet"), (data, data)):
            assert crops(source, "--output", tmp_path / target).exit_code == 2
        assert data.read_bytes() == before

    def test_no_column_of_images(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"label": [1]}), tmp_path / "labels.parquet")
        with pytest.raises(DatasetError, match="no column image, expected image "):
            write_crops([tmp_path / "labels.parquet"], tmp_path / "crops.parquet", FaceDetector())


class TestUnlabelled:
    def test_crops(self, photos: Path, tmp_path: Path, detector: FaceDetector) -> None:
        write_crops([photos], tmp_path / "crops.parquet", detector)
        found = load_unlabelled(tmp_path / "crops.parquet")
        assert found.targets.tolist() == [-1, -1]
        assert found.labelled == 0
        assert found.class_counts(7).tolist() == [0] * 7
        assert found.names == ("crops.parquet:0", "crops.parquet:1")
        in_file = load_unlabelled(tmp_path / "crops.parquet", memory=0)
        assert isinstance(in_file.images, np.memmap)
        np.testing.assert_array_equal(found.images, in_file.images)

    def test_labels_and_other_splits_do_not_count(self, tmp_path: Path) -> None:
        contents = [encode(pattern(48, 48 + i)) for i in range(4)]
        columns = {"label": ["happy", None, "what", "sad"], "split": ["train", "train", "test", "train"]}
        data = write_photographs(tmp_path / "partly.parquet", contents, **columns)
        assert load_unlabelled(data).names == tuple(f"partly.parquet:{i}" for i in (0, 1, 3))
        for split, label in (("train", "happy"), ("test", "happy"), ("train", "sad")):
            place = tmp_path / "tree" / split / label
            place.mkdir(parents=True)
            (place / "0.png").write_bytes(contents[0])
        found = load_unlabelled(tmp_path / "tree")
        assert found.targets.tolist() == [-1, -1]

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"gone\.parquet"):
            load_unlabelled(tmp_path / "gone.parquet")
        data = write_photographs(tmp_path / "test.parquet", [encode(pattern())])
        with pytest.raises(DatasetError, match=r"no training images; .*there are: test"):
            load_unlabelled(data)
        write_photographs(tmp_path / "bad.parquet", [encode(pattern()), b"nothing"])
        with pytest.raises(DatasetError, match="row 1"):
            load_unlabelled(tmp_path / "bad.parquet")
