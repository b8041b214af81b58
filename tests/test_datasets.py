"""Datasets in every form, and what happens when one is broken."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.dataset import Dataset, Split
from mien.data.describe import describe_dataset
from mien.data.load import load_dataset
from mien.data.rows import SPLITS, _is_simple
from mien.errors import DatasetError, MissingExtraError
from mien.images.crop import to_crop
from mien.images.read import read_image
from mien.labels import FERPLUS_LABELS, LABELS

USAGES = ("Training", "PublicTest", "PrivateTest")
VOTES_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
PUBLISHED = {
    "train": [3995, 436, 4097, 7215, 4830, 3171, 4965],
    "validation": [467, 56, 496, 895, 653, 415, 607],
    "test": [491, 55, 528, 879, 594, 416, 626],
}


def faces(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def csv_line(image: np.ndarray, *, emotion: object = 0, usage: str | None = "Training") -> str:
    fields = [str(emotion), " ".join(map(str, image.ravel())), usage]
    return ",".join(field for field in fields if field is not None)


def write_csv(path: Path, lines: list[str], header: str = "emotion,pixels,Usage", end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in [header, *lines]).encode())
    return path


def write_parquet(path: Path, columns: dict[str, list], metadata: dict[str, str] | None = None) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_votes(path: Path, usages: list[str], header: str = VOTES_HEADER) -> np.ndarray:
    votes = np.random.default_rng(5).integers(0, 11, (len(usages), 10), np.uint8)
    names = ["" if row[9] == 10 else f"fer{i:07d}.png" for i, row in enumerate(votes)]
    rows = [
        f"{usage},{name},{','.join(map(str, row))}"
        for usage, name, row in zip(usages, names, votes, strict=True)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return votes


def refusal(path: Path, **options: Path | int) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Kaggle's CSV


@pytest.fixture
def three_splits() -> tuple[np.ndarray, list[str]]:
    images = faces(6)
    usages = ["Training", "Training", "Training", "PublicTest", "PublicTest", "PrivateTest"]
    return images, [
        csv_line(im, emotion=i, usage=u) for i, (im, u) in enumerate(zip(images, usages, strict=True))
    ]


def test_csv(tmp_path: Path, three_splits: tuple[np.ndarray, list[str]]) -> None:
    images, lines = three_splits
    dataset = load_dataset(write_csv(tmp_path / "fer2013.csv", lines))
    assert dataset.name == "fer2013"
    assert dataset.is_fer2013
    assert dataset.labels == LABELS
    assert list(dataset.splits) == list(SPLITS)
    assert [len(split) for split in dataset.splits.values()] == [3, 2, 1]
    assert np.array_equal(np.concatenate([s.images for s in dataset.splits.values()]), images)
    assert np.concatenate([s.targets for s in dataset.splits.values()]).tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.splits["train"].names == ("fer2013.csv:2", "fer2013.csv:3", "fer2013.csv:4")
    assert dataset.splits["train"].votes is None
    assert dataset.splits["train"].images.dtype == np.uint8
    assert dataset.splits["train"].targets.dtype == np.int64


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_icml_csv_has_another_order_and_spaces_in_its_header(tmp_path: Path, end: str) -> None:
    images = faces(2)
    lines = [f"{i}, PublicTest, {' '.join(map(str, im.ravel()))}" for i, im in enumerate(images)]
    path = write_csv(tmp_path / "icml_face_data.csv", lines, "emotion, Usage, pixels", end)
    dataset = load_dataset(path)
    assert dataset.is_fer2013
    assert np.array_equal(dataset.splits["validation"].images, images)
    assert dataset.splits["validation"].targets.tolist() == [0, 1]


def test_a_quoted_comma_is_text_and_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    images = faces(4)
    lines = [csv_line(image) + f',"a {n}, and ""more"""' for n, image in enumerate(images)]
    path = write_csv(tmp_path / "notes.csv", lines, header='emotion,pixels,Usage,"note, of mine"')
    assert np.array_equal(load_dataset(path).splits["train"].images, images)
    lines[1] = lines[1].replace("0,", "9,", 1)
    lines[3] = "0,1 2 3,Training,"
    write_csv(path, lines, header="emotion,pixels,Usage,note")
    assert refusal(path) == (
        "2 images are not as expected: notes.csv, line 3: emotion '9', expected 0 to 6; "
        "notes.csv, line 5: 3 pixels, expected 2304 numbers from 0 to 255"
    )
    write_csv(path, ["0,1 2 3,Training"] * 150)
    assert refusal(path).startswith(
        "100 images are not as expected (reading stopped there): notes.csv, line 2:"
    )


def test_csv_without_usage_quoted_with_a_byte_order_mark_and_no_last_newline(tmp_path: Path) -> None:
    image = faces(1)[0]
    pixels = " ".join(map(str, image.ravel()))
    path = tmp_path / "train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f'emotion,pixels\n6,"{pixels}"'.encode())
    dataset = load_dataset(path)
    assert list(dataset.splits) == ["train"]
    assert np.array_equal(dataset.splits["train"].images[0], image)
    assert dataset.splits["train"].targets.tolist() == [6]


def test_folder_with_a_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "submission.csv", ["1,2"], "id,emotion")
    write_csv(tmp_path / "train.csv", [csv_line(faces(1)[0], usage=None)], "emotion,pixels")
    write_csv(tmp_path / "fer2013.csv", [csv_line(face) for face in faces(2)])
    assert len(load_dataset(tmp_path).split("train")) == 2
    (tmp_path / "fer2013.csv").unlink()
    assert len(load_dataset(tmp_path).split("train")) == 1


def test_folder_with_several_unknown_csv_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / name, [csv_line(faces(1)[0])])
    assert "2 CSV files with pixels, expected the path of one" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (csv_line(faces(1)[0].ravel()[1:]), "2303 pixels, expected 2304 numbers from 0 to 255"),
        (csv_line(np.zeros(2305, int)), "2305 pixels, expected 2304 numbers from 0 to 255"),
        (csv_line(np.full(2304, 256)), "pixel 256, expected 2304 numbers from 0 to 255"),
        (csv_line(np.full(2304, 10**20, object)), "expected 2304 numbers from 0 to 255"),
        (csv_line(np.full(2304, -1)), "pixel '-1', expected 2304 numbers from 0 to 255"),
        (csv_line(np.full(2304, 0.5)), "pixel '0.5', expected 2304 numbers from 0 to 255"),
        (csv_line(np.full(2304, "twenty")), "pixel 'twenty', expected 2304 numbers from 0 to 255"),
        ("0,,Training", "0 pixels, expected 2304 numbers from 0 to 255"),
        ("0, ,Training", "0 pixels, expected 2304 numbers from 0 to 255"),
        (csv_line(faces(1)[0], emotion=7), "emotion '7', expected 0 to 6"),
        (csv_line(faces(1)[0], emotion=-1), "emotion '-1', expected 0 to 6"),
        (csv_line(faces(1)[0], emotion="happy" * 9), "emotion 'happyhappyhappyhappy...', expected 0 to 6"),
        (csv_line(faces(1)[0], usage="Test"), "usage 'Test', expected Training, PublicTest, PrivateTest"),
        (csv_line(faces(1)[0])[:-4], "usage 'Trai', expected Training, PublicTest, PrivateTest"),
        (csv_line(faces(1)[0])[:5000], "2 fields, expected 3: emotion, pixels, usage"),
        (csv_line(faces(1)[0]) + ",1", "4 fields, expected 3: emotion, pixels, usage"),
        ("\xff\x00\x1b", "1 field, expected 3: emotion, pixels, usage"),
        ("1 " * 100_000, "longer than expected"),
    ],
    ids=lambda text: text[:24],
)
def test_broken_line_of_a_csv_is_named(tmp_path: Path, line: str, message: str) -> None:
    good = csv_line(faces(1)[0])
    text = refusal(write_csv(tmp_path / "fer2013.csv", [good, "", good, line]))
    assert text.startswith("fer2013.csv, line 5: ")
    assert message in text
    assert len(text) < 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file, expected the header emotion,pixels,Usage"),
        (b"pixels,Usage\n", "no column emotion, expected the header"),
        (b"emotion\n", "no column pixels, expected the header"),
        (b"\x00\x01\x02" * 99, "no column emotion and pixels, expected the header"),
        (b"emotion,pixels,Usage\n", "no images, expected at least one row"),
    ],
)
def test_file_that_is_no_dataset_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)
    text = refusal(path)
    assert text.startswith(str(path))
    assert message in text


def test_missing_data_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "fer2013.csv")
    assert "too long" in refusal(tmp_path / ("x" * 5000))
    assert "expected fer2013.csv, *.parquet or pictures in class folders" in refusal(tmp_path)


def test_progress_of_a_csv_is_in_bytes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", [csv_line(face) for face in faces(300)])
    calls: list[tuple[int, int]] = []
    load_dataset(path, progress=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert len(calls) == 3
    assert done == sorted(done)
    assert done[-1] == path.stat().st_size
    assert {call[1] for call in calls} == {path.stat().st_size}


# Parquet


def test_parquet_of_both_layouts(tmp_path: Path) -> None:
    images = faces(4)
    data = [encoded(image) for image in images]
    votes = [[1, 2, 3, 4, 0, 0, 0, 0, 0, 0], None, [0] * 9 + [10], [1] * 10]
    hub = {
        "image": [{"bytes": item, "path": "x.png"} for item in data],
        "label": [0, 6, 3, 3],
        "usage": ["Training", "PrivateTest", "Training", "PublicTest"],
        "votes": votes,
    }
    dataset = load_dataset(write_parquet(tmp_path / "a.parquet", hub))
    assert dataset.is_fer2013
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert np.array_equal(train.images, images[[0, 2]])
    assert train.targets.tolist() == [0, 3]
    assert train.names == ("a.parquet:0", "a.parquet:2")
    assert train.votes is not None
    assert test.votes is not None
    assert train.votes.tolist() == [votes[0], votes[2]]
    assert test.votes.tolist() == [[0] * 10]

    words = {"image": data, "label": ["Anger", "neutral", "happiness", "joy"]}
    plain = load_dataset(write_parquet(tmp_path / "b.parquet", words))
    assert plain.name == "b"
    assert plain.labels == LABELS
    assert plain.splits["train"].targets.tolist() == [0, 6, 3, 3]
    assert np.array_equal(plain.splits["train"].images, images)


def test_folder_of_parquet_takes_the_splits_from_the_files(tmp_path: Path) -> None:
    images = faces(5)
    parts = {"train-00000-of-00002": [0, 1], "train-00001-of-00002": [2], "val": [3], "test": [4]}
    for name, rows in parts.items():
        columns = {"image": [encoded(images[i]) for i in rows], "label": rows}
        write_parquet(tmp_path / f"{name}.parquet", columns)
    calls: list[tuple[int, int]] = []
    dataset = load_dataset(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert list(dataset.splits) == ["train", "validation", "test"]
    assert np.array_equal(np.concatenate([split.images for split in dataset.splits.values()]), images)
    assert dataset.name == tmp_path.name
    assert calls == [(n, 5) for n in range(1, 6)]


def test_integers_of_a_hub_dataset_mean_what_its_metadata_says(tmp_path: Path) -> None:
    features = {"label": {"names": ["surprise", "contempt", "happy"], "_type": "ClassLabel"}}
    columns = {"image": [encoded(face) for face in faces(3)], "label": [0, 1, 2]}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    dataset = load_dataset(write_parquet(tmp_path / "x.parquet", columns, metadata))
    assert dataset.labels == ("contempt", "happy", "surprise")
    assert dataset.splits["train"].targets.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [9]}, "row 2: label 9, expected 0 to 6 or a word"),
        ({"label": [None]}, "row 2: label None, expected 0 to 6 or a word"),
        ({"usage": ["Test"]}, "row 2: usage 'Test', expected Training, PublicTest, PrivateTest"),
        ({"usage": [None]}, "row 2: usage 'None', expected Training, PublicTest, PrivateTest"),
        ({"image": [None]}, "row 2: no bytes in the column image, expected an encoded picture"),
        ({"image": [b""]}, "row 2: picture of 0 bytes: empty"),
        ({"image": [b"not a picture"]}, "row 2: picture of 13 bytes: not a picture"),
        ({"votes": [[1, 2]]}, "row 2: votes [1, 2], expected 10 counts from 0 to 255"),
        ({"votes": [[300] * 10]}, "row 2: votes [300, 300, "),
    ],
)
def test_broken_row_of_parquet_is_named(tmp_path: Path, columns: dict[str, list], message: str) -> None:
    data = encoded(faces(1)[0])
    good = {"image": [data] * 2, "label": [1] * 2, "usage": ["Training"] * 2, "votes": [[1] * 10] * 2}
    rows = {name: values + columns.get(name, values[:1]) for name, values in good.items()}
    text = refusal(write_parquet(tmp_path / "x.parquet", rows))
    assert text.startswith("x.parquet, ")
    assert message in text


def test_broken_parquet_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"image": [b""], "emotion": [0]})
    assert "no column label, expected image and label (there are image, emotion)" in refusal(path)
    path = write_parquet(tmp_path / "x.parquet", {"image": [encoded(faces(1)[0])], "label": [0]})
    path.write_bytes(path.read_bytes()[:-30])
    assert f"{path}: expected a whole Parquet file: " in refusal(path)
    path.write_bytes(b"")
    assert f"{path}: expected a whole Parquet file: " in refusal(path)


def test_damaged_parquet_pages_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"image": [encoded(f) for f in faces(5)], "label": [0] * 5})
    data = bytearray(path.read_bytes())
    data[4:1000] = bytes(996)
    path.write_bytes(data)
    assert f"{path}: expected a whole Parquet file: " in refusal(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_a_page_that_says_it_is_of_gigabytes_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write_parquet(path, {"image": [encoded(face) for face in faces(2)], "label": [0, 3]})
    data = bytearray(path.read_bytes())
    # Thrift's page header begins with its kind and its two sizes, as zigzag numbers of seven bits a byte.
    at = data.index(b"\x15\x00\x15")
    second = next(k for k in range(at + 3, at + 10) if data[k] < 128) + 2
    end = next(k for k in range(second, second + 6) if data[k] < 128) + 1
    data[second:end] = b"\xf4\xff\xff\xff\x0f"
    path.write_bytes(data)
    # The peak of this process alone: what getrusage tells begins with that of the one it was forked from.
    code = (
        "import re, pathlib, mien.data.load as load\npathlib.Path('/proc/self/clear_refs').write_text('5')\n"
    )
    code += f"try: load.load_dataset({str(path)!r})\nexcept Exception as e: print(e)\n"
    code += "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    error, peak = done.stdout.splitlines()
    assert "expected a whole Parquet file" in error and int(peak) < 1_000_000


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "x.parquet", {"image": [encoded(faces(1)[0])], "label": [0]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mien\[parquet\]"'):
        load_dataset(path)


def test_fer2013_is_known_by_its_counts_where_its_form_does_not_tell(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(7), PUBLISHED["validation"]).tolist()
    columns = {"image": [encoded(np.zeros((48, 48), np.uint8))] * len(labels), "label": labels}
    assert load_dataset(write_parquet(tmp_path / "val.parquet", columns)).is_fer2013
    assert not load_dataset(write_parquet(tmp_path / "test.parquet", columns)).is_fer2013


# class folders


def test_class_folders(tmp_path: Path) -> None:
    images = faces(5)
    root = tmp_path / "photos"
    write_picture(root / "train/Happiness/b.png", images[1])
    write_picture(root / "train/Happiness/a.PNG", images[0])
    write_picture(root / "train/sad/c.png", images[2])
    write_picture(root / "valid/sad/d.png", images[3])
    write_picture(root / "test/angry/e.png", images[4])
    for ignored in ("train/sad/.hidden.png", "train/sad/notes.txt", "train/.cache/x.png", "__MACOSX/x/y.png"):
        (root / ignored).parent.mkdir(parents=True, exist_ok=True)
        (root / ignored).write_bytes(b"not a picture")
    (root / "train/happiness-empty").mkdir()
    (root / "train/sad/folder.png").mkdir()
    calls: list[tuple[int, int]] = []
    dataset = load_dataset(root, progress=lambda done, total: calls.append((done, total)))
    assert dataset.name == "photos"
    assert not dataset.is_fer2013
    assert dataset.labels == LABELS
    assert list(dataset.splits) == ["train", "validation", "test"]
    train = dataset.splits["train"]
    assert train.names == ("train/Happiness/a.PNG", "train/Happiness/b.png", "train/sad/c.png")
    assert np.array_equal(train.images, images[:3])
    assert train.targets.tolist() == [3, 3, 4]
    assert train.class_counts(7).tolist() == [0, 0, 0, 2, 1, 0, 0]
    assert calls == [(i, 5) for i in range(1, 6)]


def test_official_file_names_give_the_splits_back(tmp_path: Path) -> None:
    images = faces(4)
    write_picture(tmp_path / "train/angry/Training_1.png", images[0])
    write_picture(tmp_path / "test/angry/PublicTest_2.png", images[1])
    write_picture(tmp_path / "test/angry/PrivateTest_3.png", images[2])
    dataset = load_dataset(tmp_path)
    assert dataset.name == "fer2013"
    assert {name: split.names[0] for name, split in dataset.splits.items()} == {
        "train": "train/angry/Training_1.png",
        "validation": "test/angry/PublicTest_2.png",
        "test": "test/angry/PrivateTest_3.png",
    }
    write_picture(tmp_path / "test/contempt/PrivateTest_4.png", images[3])
    assert not load_dataset(tmp_path).is_fer2013


def test_other_labels_are_the_folder_names_sorted(tmp_path: Path) -> None:
    root = tmp_path / "ck"
    for name in ("surprise", "contempt", "anger"):
        write_picture(root / name / "x.png", faces(1)[0])
    dataset = load_dataset(root)
    assert dataset.labels == ("anger", "contempt", "surprise")
    assert list(dataset.splits) == ["train"]
    assert dataset.splits["train"].targets.tolist() == [0, 1, 2]


def test_one_split_folder_by_itself(tmp_path: Path) -> None:
    write_picture(tmp_path / "test/fear/x.png", faces(1)[0])
    assert list(load_dataset(tmp_path / "test").splits) == ["test"]


@pytest.mark.parametrize("name", ["x.jpg", "x.bmp", "x.webp", "x.png", "x.tiff"])
@pytest.mark.parametrize("shape", [(48, 48, 3), (48, 48), (70, 110, 3), (20, 30), (48, 48, 4)])
def test_pictures_of_any_kind_are_cropped_like_every_other(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    if name == "x.jpg" and shape[-1] == 4:
        shape = shape[:2]
    path = tmp_path / "happy" / name
    write_picture(path, np.random.default_rng(1).integers(0, 256, shape, np.uint8))
    split = load_dataset(tmp_path).split("train")
    assert np.array_equal(split.images[0], to_crop(read_image(path)))


def test_transparent_grey_png_is_cropped_like_every_other(tmp_path: Path) -> None:
    path = tmp_path / "happy" / "x.png"
    path.parent.mkdir()
    Image.fromarray(faces(1)[0]).save(path, transparency=100)
    split = load_dataset(tmp_path).split("train")
    assert np.array_equal(split.images[0], to_crop(read_image(path)))
    assert not (split.images == 100).any()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")


PNG = encoded(faces(1)[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"text", PNG[:40], PNG[:1000], PNG[:1000] + PNG[-12:], PNG[:900] + b"\x00" * 9 + PNG[909:], bomb()],
    ids=["empty", "text", "header", "truncated", "shortened", "damaged", "bomb"],
)
def test_broken_picture_is_named(tmp_path: Path, data: bytes) -> None:
    write_picture(tmp_path / "train/angry/a.png", faces(1)[0])
    (tmp_path / "train/angry/b.png").write_bytes(data)
    text = refusal(tmp_path)
    assert text.startswith("train/angry/b.png: ")
    assert "expected" in text


# FER+ votes


@pytest.mark.parametrize("blank", ["\t", "\v", "\f"])
def test_other_blanks_between_pixels_are_named(blank: str, tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(f"emotion,pixels\n0,{' '.join(['1'] * 2303)}{blank}1\n")
    with pytest.raises(DatasetError, match=r"line 2: pixel '1.*1', expected 2304 numbers"):
        load_dataset(path)


def test_a_chunk_that_says_it_is_of_gigabytes_is_not_believed() -> None:
    """Such a PNG does not go the fast way, by OpenCV, which reserves what a chunk says."""
    whole = encoded(np.zeros((48, 48), np.uint8))
    at = whole.index(b"IDAT") - 4
    assert _is_simple(whole)
    assert not _is_simple(whole[:at] + b"\x7f\xff\xff\xff" + whole[at + 4 :])
    assert not _is_simple(whole[:-1])


def test_votes_beside_the_csv(tmp_path: Path, three_splits: tuple[np.ndarray, list[str]]) -> None:
    path = write_csv(tmp_path / "fer2013.csv", three_splits[1])
    # As in the real files: FER+ has all 35,887 rows, the CSV perhaps not the last ones.
    votes = write_votes(
        tmp_path / "fer2013new.csv", ["Training"] * 3 + ["PublicTest"] * 2 + ["PrivateTest"] * 3
    )
    for where in (path, tmp_path):
        dataset = load_dataset(where)
        joined = [split.votes for split in dataset.splits.values()]
        assert all(v is not None and v.dtype == np.uint8 for v in joined)
        assert np.array_equal(np.concatenate(joined), votes[:6])
    assert "  FER+ votes: 2 of 2 images" in describe_dataset(dataset)


def test_votes_are_joined_to_parquet_by_row(tmp_path: Path) -> None:
    columns = {
        "image": [encoded(face) for face in faces(3)],
        "label": [0, 1, 2],
        "usage": ["PublicTest", "Training", "Training"],
        "row": [4, 2, 0],
    }
    path = write_parquet(tmp_path / "x.parquet", columns)
    elsewhere = tmp_path / "votes"
    elsewhere.mkdir()
    votes = write_votes(elsewhere / "fer2013new.csv", ["Training"] * 4 + ["PublicTest"])
    assert load_dataset(path).splits["train"].votes is None
    dataset = load_dataset(path, votes=elsewhere / "fer2013new.csv")
    assert np.array_equal(dataset.splits["train"].votes, votes[[2, 0]])
    assert np.array_equal(dataset.splits["validation"].votes, votes[[4]])


def test_votes_column_comes_before_the_file_beside_it(tmp_path: Path) -> None:
    columns = {
        "image": [PNG], "label": [0], "usage": ["Training"], "row": [0], "votes": [[10] + [0] * 9],
    }  # fmt: skip
    path = write_parquet(tmp_path / "x.parquet", columns)
    votes = write_votes(tmp_path / "fer2013new.csv", ["Training"])
    assert load_dataset(path).splits["train"].votes.tolist() == [[10] + [0] * 9]
    given = load_dataset(path, votes=tmp_path / "fer2013new.csv")
    assert np.array_equal(given.splits["train"].votes, votes)


def test_votes_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", [csv_line(face) for face in faces(2)])
    votes = tmp_path / "votes.csv"
    write_votes(votes, ["Training"])
    assert "1 row, expected votes for row 1 (fer2013.csv:3)" in refusal(path, votes=votes)
    write_votes(votes, ["Training", "PublicTest"])
    assert "row 1: votes for a validation image, expected train as fer2013.csv:3" in refusal(
        path, votes=votes
    )
    write_picture(tmp_path / "tree/angry/x.png", faces(1)[0])
    assert "cannot be joined to angry/x.png" in refusal(tmp_path / "tree", votes=votes)
    assert "No such file" in refusal(path, votes=tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected FER+'s header usage,image name,neutral,"),
        (f"{VOTES_HEADER}\nTraining,a,0,0,0,0,0,0,0,0,0,x\n", "line 2: expected 10 counts of votes"),
        (f"{VOTES_HEADER}\nTraining,a,0,0,0,0,0,0,0,0,0,256\n", "line 2: expected 10 counts of votes"),
        (f"{VOTES_HEADER}\nTraining,a,0,0,0,0\n", "line 2: 6 fields, expected 12"),
        (f"{VOTES_HEADER}\nTest,a,0,0,0,0,0,0,0,0,0,0\n", "line 2: usage 'Test', expected Training,"),
    ],
)
def test_broken_votes_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = write_csv(tmp_path / "fer2013.csv", [csv_line(faces(1)[0])])
    (tmp_path / "fer2013new.csv").write_text(content)
    text = refusal(path)
    assert "fer2013new.csv, " in text
    assert message in text


# the dataset itself


def blank(counts: list[int]) -> Split:
    targets = np.repeat(np.arange(len(counts)), counts)
    return Split(np.zeros((len(targets), 48, 48), np.uint8), targets, tuple(map(str, targets)))


def test_split_asked_for() -> None:
    train, validation, test = blank([1]), blank([2]), blank([3])
    dataset = Dataset("x", ("a",), {"train": train, "validation": validation, "test": test})
    assert dataset.split() is validation
    assert dataset.split("train") is train
    assert Dataset("x", ("a",), {"train": train, "test": test}).split() is test
    assert Dataset("x", ("a",), {"train": train}).split() is train
    with pytest.raises(DatasetError, match="x: no split 'dev', expected one of train, validation, test"):
        dataset.split("dev")


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    images, targets, votes = faces(2), np.zeros(2, np.int64), np.zeros((2, 10), np.uint8)
    Split(images, targets, ("a", "b"), votes)
    with pytest.raises(ValueError, match=r"images: \(2, 48, 48\) uint8, expected \(1, 48, 48\) uint8"):
        Split(images, targets, ("a",))
    with pytest.raises(ValueError, match=r"images: .* float64, expected"):
        Split(images / 255, targets, ("a", "b"))
    with pytest.raises(ValueError, match=r"targets: \(1,\) int64, expected \(2,\) int64"):
        Split(images, targets[:1], ("a", "b"))
    with pytest.raises(ValueError, match=r"votes: \(2, 8\) uint8, expected \(2, 10\) uint8"):
        Split(images, targets, ("a", "b"), votes[:, : len(FERPLUS_LABELS)])


def test_fingerprint_depends_on_the_data_alone(
    tmp_path: Path, three_splits: tuple[np.ndarray, list[str]]
) -> None:
    images, lines = three_splits
    first = load_dataset(write_csv(tmp_path / "fer2013.csv", lines))
    usages = [line.rpartition(",")[2] for line in lines]
    columns = {"image": [encoded(im) for im in images], "label": list(range(6)), "usage": usages}
    same = load_dataset(write_parquet(tmp_path / "x.parquet", columns))
    assert len(first.fingerprint()) == 64
    assert first.fingerprint() == same.fingerprint()
    fewer = load_dataset(write_csv(tmp_path / "fewer.csv", lines[:-1]))
    write_votes(tmp_path / "fer2013new.csv", usages)
    others = [
        load_dataset(tmp_path / "fer2013.csv"),
        fewer,
        Dataset(first.name, first.labels, {"train": first.splits["train"]}),
        Dataset(first.name, first.labels, {**first.splits, "test": blank([1])}),
        Dataset(first.name, ("x",) * 7, first.splits),
    ]
    assert len({dataset.fingerprint() for dataset in [first, *others]}) == 6


def test_description_of_fer2013_compares_with_the_published_counts() -> None:
    for name, usage in zip(SPLITS, USAGES, strict=True):
        lines = describe_dataset(Dataset("fer2013", LABELS, {name: blank(PUBLISHED[name])}))
        assert lines[0] == f"{name}: found {sum(PUBLISHED[name])} images belonging to 7 classes"
        assert lines[2:] == [
            "  FER+ votes: none",
            f"  counts equal those published for FER2013's {usage}",
        ]
    both = np.add(PUBLISHED["validation"], PUBLISHED["test"]).tolist()
    lines = describe_dataset(Dataset("fer2013", LABELS, {"test": blank(both)}))
    assert lines[-1] == "  counts equal those published for FER2013's PublicTest and PrivateTest together"
    fewer = [466, *PUBLISHED["validation"][1:]]
    assert describe_dataset(Dataset("fer2013", LABELS, {"validation": blank(fewer)})) == [
        "validation: found 3588 images belonging to 7 classes",
        "  angry 466, disgust 56, fear 496, happy 895, sad 653, surprise 415, neutral 607",
        "  FER+ votes: none",
        "  counts differ from those published for FER2013's PublicTest: expected angry 467",
    ]


def test_description_of_another_dataset() -> None:
    assert describe_dataset(Dataset("ck", ("anger", "contempt"), {"train": blank([2, 1])})) == [
        "train: found 3 images belonging to 2 classes",
        "  anger 2, contempt 1",
    ]


# the real dataset


@pytest.fixture
def fer2013_folder(real_data: Path) -> Path:
    return real_data / "fer2013"


@pytest.fixture
def fer2013(real_fer2013: Dataset) -> Dataset:
    return real_fer2013


def expand(folder: Path, form: str, out: Path) -> Path:
    command = [sys.executable, str(folder / "expand.py"), form, str(out), "--limit", "300"]
    subprocess.run(command, check=True)
    return out


def in_order(split: Split, rows: slice = slice(None)) -> list[tuple[int, bytes]]:
    pairs = zip(split.targets[rows].tolist(), split.images[rows], strict=True)
    return sorted((target, image.tobytes()) for target, image in pairs)


@pytest.mark.slow
def test_real_parquet_has_the_published_counts(fer2013: Dataset) -> None:
    assert fer2013.is_fer2013
    assert list(fer2013.splits) == ["train", "validation"]
    for name, split in fer2013.splits.items():
        assert split.class_counts(7).tolist() == PUBLISHED[name]
        assert split.votes is not None
        assert split.votes.any(axis=1).all()
    assert sum("counts equal those published" in line for line in describe_dataset(fer2013)) == 2


@pytest.mark.slow
def test_real_csv_equals_parquet(fer2013: Dataset, fer2013_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(expand(fer2013_folder, "--csv", tmp_path / "fer2013.csv"))
    assert list(dataset.splits) == list(fer2013.splits)
    for name, split in dataset.splits.items():
        assert np.array_equal(split.images, fer2013.splits[name].images[:300])
        assert np.array_equal(split.targets, fer2013.splits[name].targets[:300])


def test_real_class_folders_equal_parquet(fer2013: Dataset, fer2013_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(expand(fer2013_folder, "--folder", tmp_path / "tree"))
    assert dataset.is_fer2013
    assert list(dataset.splits) == list(fer2013.splits)
    for name, split in dataset.splits.items():
        assert in_order(split) == in_order(fer2013.splits[name], slice(300))
