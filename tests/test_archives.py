"""Datasets as .zip: what Kaggle hands out is read, what would harm is refused."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import run

from mien.batch.reading import read_entries
from mien.batch.sources import list_entries
from mien.data import archive as archives
from mien.data.dataset import Dataset
from mien.data.load import load_dataset
from mien.errors import DatasetError, ImageError, SourceError
from mien.labels import LABELS

SYMLINK = 0o120777 << 16


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 48), np.uint8)


def tree(folder: Path) -> Path:
    """A folder of class folders with two splits."""
    for split, count in (("train", 3), ("test", 2)):
        for k, label in enumerate(LABELS):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(pixels(100 * k + i)).save(folder / split / label / f"{i}.png")
    return folder


def zip_of(folder: Path, path: Path, below: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, below + file.relative_to(folder).as_posix())
    return path


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes archive.zip with the given members."""

    def write(*members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
        path = tmp_path / "archive.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked; nothing may stay in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


PNG = b"\x89PNG\r\n\x1a\n not really"
CSV = b"emotion,pixels,Usage\n" + b"".join(
    b"%d,%s,%s\n" % (k, b" ".join(b"%d" % v for v in pixels(k).ravel()), usage)
    for k in range(7)
    for usage in (b"Training", b"PublicTest")
)


@pytest.mark.parametrize("below", ["", "fer2013/", "data/fer2013/"])
def test_a_zip_is_read_as_the_folder_that_was_packed(tmp_path: Path, scratch: Path, below: str) -> None:
    folder = tree(tmp_path / "faces")
    path = zip_of(folder, tmp_path / "faces.zip", below)
    unpacked, packed = load_dataset(folder), load_dataset(path)
    assert packed.fingerprint() == unpacked.fingerprint()
    assert packed.name == "faces"
    assert [split.names for split in packed.splits.values()] == [
        split.names for split in unpacked.splits.values()
    ]
    assert not list(scratch.iterdir())


def test_one_folder_of_classes_keeps_its_classes(make: Callable[..., Path], tmp_path: Path) -> None:
    png = tmp_path / "a.png"
    Image.fromarray(pixels(0)).save(png)
    path = make(("happy/a.png", png.read_bytes()), ("happy/b.png", png.read_bytes()))
    assert load_dataset(path).splits["train"].targets.tolist() == [LABELS.index("happy")] * 2


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013/fer2013.csv", "fer2013\\fer2013.csv"])
def test_csv_in_a_zip(make: Callable[..., Path], name: str) -> None:
    beside = name.replace("fer2013.csv", "example_submission.csv")
    members = ((zipfile.ZipInfo(name), CSV), (zipfile.ZipInfo(beside), b"id,emotion\n"), ("README", b""))
    dataset = load_dataset(make(*members))
    assert dataset.is_fer2013
    assert [len(split) for split in dataset.splits.values()] == [7, 7]
    assert dataset.splits["train"].names[0] == "fer2013.csv:2"


def test_votes_in_the_same_zip_are_joined(make: Callable[..., Path]) -> None:
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    rows = "".join(f"{u},x.png,1,2,3,4,0,0,0,0,0,0\n" for _ in range(7) for u in ("Training", "PublicTest"))
    path = make(("fer2013.csv", CSV), ("fer2013new.csv", (header + rows).encode()))
    votes = load_dataset(path).splits["train"].votes
    assert votes is not None
    assert votes[0].tolist() == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]


def test_a_zip_is_told_by_its_first_bytes(make: Callable[..., Path]) -> None:
    path = make(("fer2013.csv", CSV))
    assert load_dataset(path.rename(path.with_name("download"))).is_fer2013


def test_what_macos_adds_is_left_out(make: Callable[..., Path]) -> None:
    path = make(
        ("fer2013.csv", CSV), ("__MACOSX/._fer2013.csv", PNG), (".cache/a.png", PNG), ("._b.png", PNG)
    )
    assert load_dataset(path).is_fer2013


def test_progress_runs_to_the_end(make: Callable[..., Path]) -> None:
    steps: list[tuple[int, int]] = []
    load_dataset(make(("fer2013.csv", CSV)), progress=lambda done, total: steps.append((done, total)))
    assert steps[0] == steps[-1] == (len(CSV), len(CSV))


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "train/../../evil.png",
        "/etc/evil.png",
        "..\\evil.png",
        "C:\\evil.png",
        "C:evil.png",
        "//host/evil.png",
        "../evil.txt",
    ],
)
def test_a_name_that_leads_out_is_refused(make: Callable[..., Path], scratch: Path, name: str) -> None:
    path = make(("train/angry/a.png", PNG), (zipfile.ZipInfo(name), PNG))
    with pytest.raises(DatasetError, match="leads out of the archive"):
        load_dataset(path)
    assert not list(scratch.iterdir())
    assert not list(scratch.parent.rglob("evil*"))


def test_a_link_is_refused(make: Callable[..., Path]) -> None:
    link = zipfile.ZipInfo("train/angry/a.png")
    link.external_attr = SYMLINK
    with pytest.raises(DatasetError, match=r"'train/angry/a\.png' is a link, expected files"):
        load_dataset(make((link, b"/etc/passwd")))


def test_one_name_for_two_files_is_refused(make: Callable[..., Path]) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = make(("train/angry/a.png", PNG), ("train/angry/a.png", PNG))
    with pytest.raises(DatasetError, match=r"a\.png' comes after another of that name, expected one"):
        load_dataset(path)


def test_one_name_for_a_file_and_a_folder_is_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match=r"archive\.zip: 'a\.png/b\.png' comes after another"):
        load_dataset(make(("a.png", PNG), ("a.png/b.png", PNG)))


def test_a_name_too_long_is_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match="cannot be unpacked: File name too long"):
        load_dataset(make(("a" * 300 + ".png", PNG)))


def test_a_bomb_is_refused_before_anything_is_written(make: Callable[..., Path], scratch: Path) -> None:
    path = make(*((f"train/angry/{i}.png", bytes(1_000_000)) for i in range(20)))
    assert path.stat().st_size < 50_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "MAX_UNPACKED", 10_000_000)
        with pytest.raises(DatasetError, match=r"20 files of 0\.0 GB in all, expected at most"):
            load_dataset(path)
        patch.setattr(archives, "MAX_UNPACKED", 20_000_000)
        with pytest.raises(DatasetError, match=r"archive\.zip/train|train/angry/0\.png"):
            load_dataset(path)  # small enough, and no picture
    assert not list(scratch.iterdir())


def test_too_many_files_are_refused(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    with pytest.raises(DatasetError, match=r"3 files .* expected at most 2 files"):
        load_dataset(make(*((f"train/angry/{i}.png", PNG) for i in range(3))))


def test_a_size_that_lies_gives_no_more_than_it_says(make: Callable[..., Path], scratch: Path) -> None:
    path = make(("train/angry/a.png", bytes(1_000_000)))
    data = path.read_bytes()
    path.write_bytes(data.replace((1_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    with pytest.raises(DatasetError, match="expected a whole archive: Bad CRC"):
        load_dataset(path)
    assert not list(scratch.iterdir())


def test_more_than_there_is_room_for_is_refused(make: Callable[..., Path]) -> None:
    path = make(("fer2013.csv", CSV))
    with pytest.raises(DatasetError, match=r"1\.5 GB to unpack and 1\.0 GB free: set TMPDIR"):
        archives._check_size(path, 1, 1_500_000_000, free=10**9)


def test_encrypted_files_are_refused(make: Callable[..., Path]) -> None:
    path = make(("fer2013.csv", CSV))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"'fer2013\.csv' is encrypted: unpack it"):
        load_dataset(path)


@pytest.mark.parametrize("keep", [0, 10, 1000, -30])
def test_a_broken_archive_is_named(make: Callable[..., Path], keep: int) -> None:
    path = make(("fer2013.csv", CSV))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"archive\.zip: expected a whole archive"):
        load_dataset(path)


def test_damaged_data_is_named(make: Callable[..., Path]) -> None:
    path = make(("fer2013.csv", CSV))
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"archive\.zip: expected a whole archive"):
        load_dataset(path)


def test_errors_name_the_archive_and_not_the_temporary_folder(make: Callable[..., Path]) -> None:
    path = make(("notes.txt", b"nothing to see"))
    with pytest.raises(DatasetError) as caught:
        load_dataset(path)
    assert str(caught.value).startswith(f"{path}: no dataset found")
    path = make(("fer2013.csv", b"emotion,pixels,Usage\n0,1 2 3,Training\n"))
    with pytest.raises(DatasetError, match=r"fer2013\.csv, line 2: 3 pixels"):
        load_dataset(path)


def test_a_missing_archive_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.zip: cannot be read: No such file"):
        load_dataset(tmp_path / "gone.zip")


def test_the_command_reads_a_zip(tmp_path: Path) -> None:
    path = zip_of(tree(tmp_path / "faces"), tmp_path / "archive.zip")
    done = run("data", path)
    assert done.returncode == 0, done.stderr
    assert "train: found 21 images belonging to 7 classes" in done.stdout


@pytest.mark.slow
def test_real_folders_as_kaggle_packs_them(real_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(real_data / "fer2013" / "expand.py"), "--limit", "200"]
    subprocess.run([*command, "--folder", str(tmp_path / "tree")], check=True)
    subprocess.run([*command, "--csv", str(tmp_path / "csv")], check=True)
    dataset = load_dataset(zip_of(tmp_path / "tree", tmp_path / "archive.zip"))
    assert dataset.is_fer2013
    assert dataset.name == "fer2013"
    assert dataset.fingerprint() == load_dataset(tmp_path / "tree").fingerprint()
    with zipfile.ZipFile(tmp_path / "fer2013.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "csv", "fer2013.csv")
    packed, plain = load_dataset(tmp_path / "fer2013.csv.zip"), load_dataset(tmp_path / "csv")
    assert packed.fingerprint() == plain.fingerprint()
    assert not list((tmp_path / "scratch").iterdir())


def same(first: Dataset, second: Dataset) -> None:
    assert first.labels == second.labels
    for name, split in first.splits.items():
        np.testing.assert_array_equal(split.images, second.splits[name].images)
        np.testing.assert_array_equal(split.targets, second.splits[name].targets)


class TestTar:
    """The form in which FER2013 was first handed out: fer2013.tar.gz."""

    @pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
    def test_a_tar_is_read_as_what_was_packed(self, tmp_path: Path, scratch: Path, mode: str) -> None:
        folder = tree(tmp_path / "faces")
        (folder / "notes.md").write_text("not needed")
        for name in ("faces.tar", "download"):  # its bytes tell, whatever its name
            with tarfile.open(tmp_path / name, mode) as archive:
                archive.add(folder, "fer2013/faces")
            same(load_dataset(tmp_path / name), load_dataset(folder))
        assert not list(scratch.iterdir())

    @pytest.mark.parametrize(
        ("name", "kind", "expected"),
        [
            ("../a.png", tarfile.REGTYPE, "leads out of the archive"),
            ("/a.png", tarfile.REGTYPE, "leads out of the archive"),
            ("train/happy/a.png", tarfile.SYMTYPE, "is a link"),
            ("train/happy/a.png", tarfile.LNKTYPE, "is a link"),
            ("train/happy/a.png", tarfile.FIFOTYPE, "is a link"),
        ],
    )
    def test_what_leads_elsewhere_is_refused(
        self, tmp_path: Path, scratch: Path, name: str, kind: bytes, expected: str
    ) -> None:
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "elsewhere"
            archive.addfile(member)
        with pytest.raises(DatasetError, match=expected):
            load_dataset(tmp_path / "a.tar.gz")
        assert not list(scratch.iterdir())

    def test_a_broken_one_is_named(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
            archive.add(tree(tmp_path / "faces"), "faces")
        data = (tmp_path / "a.tar.gz").read_bytes()
        (tmp_path / "a.tar.gz").write_bytes(data[: len(data) // 2])
        with pytest.raises(DatasetError, match=r"a\.tar\.gz: expected a whole archive"):
            load_dataset(tmp_path / "a.tar.gz")

    def test_too_much_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "fer2013.csv.gz").write_bytes(gzip.compress(CSV))
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
            archive.add(tree(tmp_path / "faces"), "faces")
        monkeypatch.setattr(archives, "MAX_UNPACKED", 1000)
        for name in ("fer2013.csv.gz", "a.tar.gz"):
            with pytest.raises(DatasetError, match="expected at most"):
                load_dataset(tmp_path / name)


def test_a_table_under_gzip(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(CSV)
    path = tmp_path / "fer2013.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    same(load_dataset(path), load_dataset(tmp_path / "fer2013.csv"))
    path.write_bytes(gzip.compress(CSV)[:-9])
    with pytest.raises(DatasetError, match="expected a whole archive"):
        load_dataset(path)
    assert not list(scratch.iterdir())


def test_a_folder_around_the_dataset_is_passed_over(tmp_path: Path) -> None:
    """As in an archive; what a system adds does not count."""
    folder = tree(tmp_path / "download" / "images")
    (tmp_path / "download" / ".DS_Store").write_bytes(b"")
    (tmp_path / "download" / "README.md").write_text("thanks")
    same(load_dataset(tmp_path / "download"), load_dataset(folder))


def test_pictures_in_one_folder_beside_their_table_are_no_class(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels(0)).save(tmp_path / "images" / "0.png")
    (tmp_path / "labels.csv").write_text("image,label\n0.png,happy\n")
    with pytest.raises(
        DatasetError, match=r"all pictures are in images, with the table labels\.csv beside them"
    ):
        load_dataset(tmp_path)


def test_a_numpy_array_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", pixels(0))
    with pytest.raises(DatasetError, match="a NumPy array, without labels"):
        load_dataset(tmp_path / "faces.npy")


def test_names_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("train/happy/0.png")
        info.pax_headers = {"path": "train/happy/\0.png"}
        archive.addfile(info)
    with pytest.raises(DatasetError, match="cannot be unpacked: embedded null"):
        load_dataset(path)


def test_a_name_that_is_no_text_is_refused_and_costs_a_collection_nothing_else(
    make: Callable[..., Path],
) -> None:
    """A name stands at its member and once more at the end; the first is broken."""
    path = make(("train/happy/\u00e4.png", b"a"), ("train/happy/b.png", b"b"))
    path.write_bytes(path.read_bytes().replace("\u00e4".encode(), b"\xff\xff", 1))
    with pytest.raises(DatasetError, match="cannot be unpacked: 'utf-8' codec"):
        load_dataset(path)
    first, second = (data for _, data in read_entries(list(list_entries([str(path)]))))
    assert isinstance(first, ImageError) and second == b"b"


@pytest.mark.parametrize("name", ["faces.tar.gz", "fer2013.csv.gz"])
@pytest.mark.parametrize("keep", [20, 60])
def test_what_is_cut_off_under_gzip_is_named(name: str, keep: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(np.random.default_rng(0).bytes(2000))[:keep])
    with pytest.raises(DatasetError, match=r"gz: expected a whole archive"):
        load_dataset(path)


def test_a_list_of_names_that_are_no_text_is_refused(make: Callable[..., Path]) -> None:
    path = make(("train/happy/\u00e4.png", b"a"))
    path.write_bytes(path.read_bytes().replace("\u00e4".encode(), b"\xff\xff"))
    with pytest.raises(DatasetError, match="expected a whole archive: 'utf-8' codec"):
        load_dataset(path)
    with pytest.raises(SourceError, match="cannot be listed: 'utf-8' codec"):
        list(list_entries([str(path)]))


def test_a_member_without_a_name_is_passed_over(make: Callable[..., Path]) -> None:
    path = make(("x", b"a"), ("train/happy/b.png", b"b"))
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02")
    whole = data[: at + 28] + b"\0\0" + data[at + 30 : at + 46] + data[at + 47 :]
    end = whole.index(b"PK\x05\x06")
    size = int.from_bytes(whole[end + 12 : end + 16], "little") - 1
    path.write_bytes(whole[: end + 12] + size.to_bytes(4, "little") + whole[end + 16 :])
    assert [entry.name[-5:] for entry in list_entries([str(path)])] == ["b.png"]
    with pytest.raises(DatasetError, match=r"happy/b\.png"):
        load_dataset(path)
