"""Collections to Parquet: what is read, what is written, and that nothing is lost or written twice."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from ray_cluster import Nodes, ray_workers
from typed import run

from mien.batch.folder_output import FolderOutput
from mien.batch.local import _Pool, _ready, run_alone, run_in_processes
from mien.batch.names import Names
from mien.batch.output import Publisher
from mien.batch.ray import read_networks, unpacked
from mien.batch.reading import read_entries
from mien.batch.run import run_batch
from mien.batch.settings import BatchSettings
from mien.batch.sources import Entry, list_entries
from mien.batch.storage.stores import FolderStore
from mien.batch.summary import summarize
from mien.batch.worker import Task, decode, write_part
from mien.errors import BatchError, ImageError, ModelError, SettingsError, SourceError
from mien.faces.detector import detector_model
from mien.faces.onnx_detector import SHIPPED
from mien.images.read import read_image
from mien.images.sample import sample_portrait
from mien.labels import LABELS
from mien.models.classifier import EmotionClassifier
from mien.models.registry import resolve_model
from mien.output.aggregate import to_table
from mien.recognition import EmotionRecognizer
from mien.results import FrameResult

pytestmark = pytest.mark.everywhere


def portrait(side: int) -> bytes:
    """The portrait as JPEG, so many pixels wide."""
    picture = Image.open(sample_portrait())
    out = io.BytesIO()
    picture.resize((side, round(side * picture.height / picture.width))).save(out, "JPEG", quality=95)
    return out.getvalue()


def grey(value: int) -> bytes:
    """A picture without a face."""
    out = io.BytesIO()
    Image.fromarray(np.full((40, 50, 3), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    """Name -> bytes: faces, no face, no picture."""
    found = {f"a/{i}.jpg": portrait(100 + 10 * i) for i in range(4)}
    return found | {"b/none.png": grey(9), "b/broken.jpg": b"not a picture", "top.png": grey(200)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: dict[str, bytes]) -> Path:
    """They as files, beside some that do not count."""
    folder = tmp_path_factory.mktemp("collection")
    for name, data in {**pictures, ".hidden/x.jpg": b"", "a/.x.jpg": b"", "notes.md": b"text"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "loop").symlink_to(folder)
    return folder


def rows_of(out: Path) -> list[dict]:
    parts = sorted(out.rglob("part-*.parquet"))
    return [row for part in parts for row in parquet.ParquetFile(part).read().to_pylist()]


def begin(*arguments: str | Path, before: Callable[[], None] = lambda: None) -> subprocess.Popen[str]:
    """A command as a process of its own, still running; `before` is called in it first."""

    def prepare() -> None:
        # Where a shell has started the tests in the background, Ctrl-C is ignored by what they start, too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        before()

    return subprocess.Popen(
        [sys.executable, "-m", "mien", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


class TestSources:
    def test_a_folder_by_name_without_hidden_files_and_links(self, folder: Path, pictures: dict[str, bytes]):
        found = list(list_entries([str(folder)]))
        assert [Path(entry.name).relative_to(folder).as_posix() for entry in found] == sorted(pictures)
        assert [entry.folder for entry in found] == ["a"] * 4 + ["b"] * 2 + [""]

    def test_listing_is_lazy(self, folder: Path):
        assert next(list_entries([str(folder), "/no/such/place"])).name == f"{folder}/a/0.jpg"

    @pytest.mark.parametrize("kind", ["tar", "zip", "parquet", "memory", "list", "glob"])
    def test_every_kind_gives_the_same_bytes(
        self, kind: str, folder: Path, pictures: dict[str, bytes], tmp_path: Path
    ):
        source = make_source(kind, folder, pictures, tmp_path)
        entries = list(list_entries([source]))
        read = dict(read_entries(entries))
        assert [read[entry] for entry in entries] == [pictures[name] for name in sorted(pictures)]
        assert len({entry.name for entry in entries}) == len(pictures)

    def test_some_of_an_archive_in_any_place(self, folder: Path, pictures: dict[str, bytes], tmp_path: Path):
        for kind in ("tar", "zip", "parquet"):
            entries = list(list_entries([make_source(kind, folder, pictures, tmp_path)]))
            some = [entries[1], entries[4]]
            names = sorted(pictures)
            assert [data for _, data in read_entries(some)] == [pictures[names[1]], pictures[names[4]]]

    def test_parquet_of_hugging_faces_form(self, tmp_path: Path):
        column = [{"bytes": grey(1), "path": "x.png"}, {"bytes": None, "path": "y.png"}]
        parquet.write_table(pa.table({"image": column}), tmp_path / "x.parquet")
        (_, first), (_, second) = read_entries(list(list_entries([str(tmp_path / "x.parquet")])))
        assert first == grey(1)
        assert isinstance(second, ImageError)

    def test_what_leads_out_of_an_archive_is_a_name_and_nothing_more(self, tmp_path: Path):
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            for name in ("../../etc/x.png", "/abs.png"):
                member = tarfile.TarInfo(name)
                member.size = len(grey(3))
                archive.addfile(member, io.BytesIO(grey(3)))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        found = dict(read_entries(list(list_entries([str(tmp_path / "x.tar")]))))
        assert list(found.values()) == [grey(3), grey(3)]
        assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]

    @pytest.mark.parametrize(
        ("name", "data", "words"),
        [
            ("nothing", None, "no such file"),
            ("empty", "folder", "no pictures there"),
            ("x.tar.gz", b"x", "a compressed tar"),
            ("x.zip", b"PK no", "cannot be listed"),
            ("x.tar", b"no tar" * 200, "cannot be listed"),
            ("x.parquet", b"PAR1", "cannot be listed"),
            ("nosuch://bucket/x", "url", "expected a path, or a URL"),
        ],
    )
    def test_what_cannot_be_listed_says_why(
        self, name: str, data: bytes | str | None, words: str, tmp_path: Path
    ):
        source = name if data == "url" else str(tmp_path / name)
        if data == "folder":
            (tmp_path / name).mkdir()
        elif isinstance(data, bytes):
            (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=words):
            list(list_entries([source]))

    def test_parquet_without_pictures_names_its_columns(self, tmp_path: Path):
        parquet.write_table(pa.table({"age": [1]}), tmp_path / "x.parquet")
        with pytest.raises(SourceError, match=r"columns age; expected pictures' bytes in one named image"):
            list(list_entries([str(tmp_path / "x.parquet")]))

    def test_a_missing_file_is_a_row_and_a_missing_folder_an_end(self, tmp_path: Path):
        (tmp_path / "in").mkdir()
        ((_, missing),) = read_entries([Entry(str(tmp_path / "in" / "x.jpg"))])
        assert isinstance(missing, ImageError) and "cannot be read" in str(missing)
        with pytest.raises(SourceError, match="not there any more"):
            list(read_entries([Entry(str(tmp_path / "gone" / "x.jpg"))]))


def make_source(kind: str, folder: Path, pictures: dict[str, bytes], tmp_path: Path) -> str:
    """The pictures in another form, in order of name."""
    path = tmp_path / f"x.{kind}"
    named = sorted(pictures.items())
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            for name, data in named:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in named:
                archive.writestr(name, data)
    elif kind == "parquet":
        parquet.write_table(pa.table({"image": [data for _, data in named]}), path, row_group_size=3)
    elif kind == "list":
        path = tmp_path / "x.txt"
        path.write_text("\n".join(f"{folder}/{name}" for name, _ in named) + "\n\n")
    elif kind == "glob":
        return f"{folder}/[abt]*"
    elif kind == "memory":
        system = fsspec.filesystem("memory")
        for name, data in named:
            system.pipe(f"/pictures/{name}", data)
        return "memory://pictures"
    return str(path)


class TestRun:
    def test_rows_are_those_of_the_recognizer(self, folder: Path, pictures: dict[str, bytes], tmp_path: Path):
        outcome = run_batch([str(folder)], tmp_path / "out", workers=1)
        rows = {row["source"]: row for row in rows_of(tmp_path / "out")}
        assert (outcome.pictures, outcome.faces, outcome.errors, outcome.rows) == (7, 4, 1, 7)
        assert list(rows) == [f"{folder}/{name}" for name in sorted(pictures)]
        recognizer = EmotionRecognizer()
        for i in range(4):
            (face,) = recognizer.recognize(folder / f"a/{i}.jpg")
            row = rows[f"{folder}/a/{i}.jpg"]
            assert row["emotion"] == face.emotion
            assert [row[label] for label in LABELS] == pytest.approx(
                list(face.probabilities.values()), abs=1e-5
            )
            assert (row["x1"], row["y2"]) == (face.box.x1, face.box.y2)
        assert rows[f"{folder}/b/none.png"]["emotion"] is None
        assert "not a picture" in rows[f"{folder}/b/broken.jpg"]["error"]
        assert rows[f"{folder}/b/broken.jpg"]["error"].startswith(f"{folder}/b/broken.jpg: ")

    def test_from_memory_in_one_process(self, folder: Path, pictures: dict[str, bytes], tmp_path: Path):
        source = make_source("memory", folder, pictures, tmp_path)
        assert run_batch([source], tmp_path / "out", workers=1).pictures == len(pictures)
        assert all(row["source"].startswith("memory://") for row in rows_of(tmp_path / "out"))

    def test_what_is_done_is_not_done_again_and_what_is_new_is_added(self, folder: Path, tmp_path: Path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "b.png").write_bytes(grey(1))
        out = tmp_path / "out"
        assert run_batch([str(tmp_path / "in")], out, workers=1).pictures == 1
        before = {path: path.stat().st_mtime_ns for path in out.rglob("part-*")}
        (tmp_path / "in" / "a.png").write_bytes(grey(2))  # sorts before what is done
        again = run_batch([str(tmp_path / "in")], out, workers=1)
        assert (again.pictures, again.before, again.rows) == (1, 1, 2)
        assert all(path.stat().st_mtime_ns == when for path, when in before.items())
        assert run_batch([str(tmp_path / "in")], out, workers=1).pictures == 0

    def test_a_url_of_a_folder_is_a_folder(self, folder: Path, tmp_path: Path):
        assert run_batch([f"file://{folder}/a"], f"file://{tmp_path}/out", workers=1).rows == 4
        assert len(rows_of(tmp_path / "out")) == 4
        assert summarize(f"file://{tmp_path}/out")[0].pictures == 4

    def test_a_picture_that_is_named_twice_is_one_row(self, folder: Path, tmp_path: Path):
        run_batch([f"{folder}/a", f"{folder}/a/1.jpg", str(folder)], tmp_path / "out", workers=1)
        assert set(Counter(row["source"] for row in rows_of(tmp_path / "out")).values()) == {1}

    def test_the_manifest_says_what_is_there(self, folder: Path, tmp_path: Path):
        run_batch([str(folder)], tmp_path / "out", workers=1, part_size=3)
        manifest = json.loads((tmp_path / "out.mien" / "manifest.json").read_text())
        assert manifest["complete"] and manifest["rows"] == 7
        assert list(manifest["parts"].values()) == [3, 3, 1]

    @pytest.mark.slow
    def test_processes_come_to_the_same_rows(self, folder: Path, tmp_path: Path):
        run_batch([str(folder)], tmp_path / "one", workers=1)
        run_batch([str(folder)], tmp_path / "two", workers=2, part_size=2)
        one, two = ({row["source"]: row for row in rows_of(tmp_path / name)} for name in ("one", "two"))
        assert one.keys() == two.keys()
        for name, row in one.items():
            assert [row[label] for label in ("x1", *LABELS)] == pytest.approx(
                [two[name][label] for label in ("x1", *LABELS)], abs=1e-5
            )

    def test_a_large_jpeg_is_decoded_smaller_and_told_in_its_own_pixels(self, tmp_path: Path):
        (tmp_path / "large.jpg").write_bytes(portrait(1280))
        whole, smaller, none = (tmp_path / name for name in ("whole", "smaller", "none"))
        run_batch([f"{tmp_path}/*.jpg"], whole, workers=1, decode_side=0)
        run_batch([f"{tmp_path}/*.jpg"], smaller, workers=1)
        (one,), (other,) = rows_of(whole), rows_of(smaller)
        assert one["emotion"] == other["emotion"]
        assert one["x1"] != other["x1"]  # it was another picture that was searched
        assert [other[side] for side in ("x1", "y1", "x2", "y2")] == pytest.approx(
            [one[side] for side in ("x1", "y1", "x2", "y2")], abs=0.02 * 1280
        )
        # The size that counts is the one in the whole picture.
        shorter = min(one["x2"] - one["x1"], one["y2"] - one["y1"])
        run_batch([f"{tmp_path}/*.jpg"], none, workers=1, decode_side=640, min_size=round(1.1 * shorter))
        assert rows_of(none)[0]["emotion"] is None
        run_batch(
            [f"{tmp_path}/*.jpg"], tmp_path / "x", workers=1, decode_side=640, min_size=round(0.9 * shorter)
        )
        assert rows_of(tmp_path / "x")[0]["emotion"] == one["emotion"]

    def test_progress_ends_at_the_total(self, folder: Path, tmp_path: Path):
        told: list[tuple[int, int | None]] = []
        run_batch(
            [str(folder)], tmp_path / "out", workers=1, part_size=1,
            progress=lambda _, done, total: told.append((done, total)),
        )  # fmt: skip
        assert [done for done, _ in told] == list(range(1, 8))
        assert told[-1][1] == 7


def begin_folder(out: Path, settings: BatchSettings) -> None:
    """What a run does before its first picture, and one part."""
    output = FolderOutput(out, settings)
    with output.locked():
        task = Task((), output.part_name(0, 0, ""), 0, output.publisher)
        write_part(task, [FrameResult("x")], ["happy"])


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"min_size": 30}, "min_size 20, this run has min_size 30"),
            ({"partition": "folder"}, "partition none"),
            ({"detector_size": 320}, "detector_size 640, this run has detector_size 320"),
            ({"turns": True}, "turns False, this run has turns True"),
            ({"decode_side": 1280}, "decode_side automatic, this run has decode_side 1280"),
        ],
    )
    def test_other_settings_do_not_mix(self, settings: dict, words: str, folder: Path, tmp_path: Path):
        run_batch([f"{folder}/top.png"], tmp_path / "out", workers=1)
        with pytest.raises(SettingsError, match=words):
            run_batch([str(folder)], tmp_path / "out", workers=1, **settings)
        assert len(rows_of(tmp_path / "out")) == 1

    def test_another_model_under_the_same_name_does_not_mix(self, tmp_path: Path):
        begin_folder(tmp_path / "out", BatchSettings("mien-s", "one"))
        with pytest.raises(SettingsError, match="model_sha256 one, this run has model_sha256 two"):
            begin_folder(tmp_path / "out", BatchSettings("mien-s", "two"))

    def test_other_weights_of_the_detector_do_not_mix(self, folder: Path, tmp_path: Path):
        run_batch([str(folder)], tmp_path / "out", workers=1)
        path = tmp_path / "out.mien" / "batch.json"
        settings = json.loads(path.read_bytes())
        assert settings["detector_sha256"] == detector_model("mien").sha256
        path.write_text(json.dumps(settings | {"detector_sha256": "older"}))
        with pytest.raises(SettingsError, match="detector_sha256 older"):
            run_batch([str(folder)], tmp_path / "out", workers=1)

    @pytest.mark.parametrize("name", ["uncertain_below", "detector_min_score", "detector_margin"])
    def test_thresholds_beside_the_weights_do_not_mix(self, name: str, folder: Path, tmp_path: Path):
        run_batch([f"{folder}/top.png"], tmp_path / "out", workers=1)
        path = tmp_path / "out.mien" / "batch.json"
        settings = json.loads(path.read_bytes())
        path.write_text(json.dumps(settings | {name: 0.125}))
        with pytest.raises(SettingsError, match=f"{name} 0.125"):
            run_batch([str(folder)], tmp_path / "out", workers=1)
        del settings[name]  # as an earlier version wrote it, which continues
        path.write_text(json.dumps(settings))
        assert run_batch([str(folder)], tmp_path / "out", workers=1).before == 1

    def test_settings_of_an_earlier_version_have_their_defaults(self, tmp_path: Path):
        begin_folder(tmp_path / "out", BatchSettings("mien-s", "one"))
        path = tmp_path / "out.mien" / "batch.json"
        settings = json.loads(path.read_bytes())
        del settings["detector_size"], settings["min_quality"]
        path.write_text(json.dumps(settings))
        begin_folder(tmp_path / "out", BatchSettings("mien-s", "one"))
        with pytest.raises(SettingsError, match="detector_size 640"):
            begin_folder(tmp_path / "out", BatchSettings("mien-s", "one", detector_size=320))

    def test_a_folder_of_something_else_is_left_alone(self, folder: Path, tmp_path: Path):
        (tmp_path / "mine.txt").write_text("x")
        with pytest.raises(SettingsError, match="holds other files"):
            run_batch([str(folder)], tmp_path, workers=1)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
        assert not tmp_path.with_name(f"{tmp_path.name}.mien").exists()

    def test_two_runs_at_once(self, tmp_path: Path):
        output = FolderOutput(tmp_path, BatchSettings("mien-s", "one"))
        with output.locked(), pytest.raises(SettingsError, match="another run writes here"), output.locked():
            pass
        with output.locked():
            pass

    def test_the_command_says_it_in_a_line(self, tmp_path: Path):
        done = run("batch", tmp_path / "nothing", "--output", tmp_path / "out")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"mien: {tmp_path}/nothing: ")


class Deadly(BatchSettings):
    """Settings that end the process that gets them."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


class Fatal(Entry):
    """A picture that ends the process that is to read it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def task_of(entries: list[Entry], folder: Path) -> Task:
    return Task(tuple(entries), "part-0000000-000.parquet", 0, Publisher(FolderStore(folder)))


@pytest.mark.slow
class TestInterruptions:
    @pytest.mark.once
    def test_killed_twenty_times(self, tmp_path: Path):
        """At random moments, with one process and with several: complete in the end, nothing twice, no half file."""
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        for i in range(240):
            (source / f"{i:03}.jpg").write_bytes(portrait(90 + i % 30))
        chance = random.Random(3)

        def parts() -> int:
            return len(list(out.rglob("part-*.parquet")))

        for number in range(20):
            workers = "2" if number % 4 == 0 else "1"  # more processes take longer to begin
            with begin("batch", source, "--output", out, "--workers", workers, "--part-size", "4") as process:
                # While it begins, and then a moment after it has written some parts.
                before, some = parts(), chance.randrange(5)
                wait_for(lambda: process.poll() is not None or parts() >= before + some)  # noqa: B023
                time.sleep(chance.uniform(0, 0.05 if some else 0.6))
                assert process.poll() is None, "it came to its end before"
                process.send_signal(signal.SIGKILL)
            names = Counter(row["source"] for row in rows_of(out)) if out.exists() else Counter()
            assert set(names.values()) <= {1}
            if len(names) > 160:  # begin anew: there must be something left to lose
                for part in out.rglob("part-*.parquet"):
                    part.unlink()
        assert run("batch", source, "--output", out, "--workers", "2").returncode == 0
        names = Counter(row["source"] for row in rows_of(out))
        assert len(names) == 240 and set(names.values()) == {1}
        assert not list(out.rglob("*.unfinished"))

    def test_interrupted_by_hand(self, tmp_path: Path):
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        for i in range(150):
            (source / f"{i:03}.jpg").write_bytes(portrait(200 + i % 30))
        with begin("batch", source, "--output", out, "--part-size", "2") as process:
            wait_for(lambda: list(out.rglob("part-*.parquet")))
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "the same command continues" in words and "Traceback" not in words
        assert json.loads((out.with_name("out.mien") / "manifest.json").read_text())["complete"] is False

    def test_a_process_that_dies_costs_no_rows(self, tmp_path: Path):
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        for i in range(80):
            (source / f"{i:03}.jpg").write_bytes(portrait(150 + i % 30))
        with begin("batch", source, "--output", out, "--workers", "2", "--part-size", "4") as process:
            wait_for(lambda: list(out.rglob("part-*.parquet")))
            os.kill(chance_worker(process.pid), signal.SIGKILL)
            _, words = process.communicate(timeout=120)
        assert process.returncode == 0, words
        names = Counter(row["source"] for row in rows_of(out))
        assert len(names) == 80 and set(names.values()) == {1}

    def test_a_picture_that_kills_its_process_each_time_is_a_row(self, folder: Path, tmp_path: Path):
        entries = [Entry(f"{folder}/{name}") for name in ("a/0.jpg", "a/1.jpg", "b/none.png", "top.png")]
        entries[2] = Fatal(entries[2].name)
        task = task_of(entries, tmp_path)
        outcome = run_alone(task, BatchSettings("mien-s", ""))
        assert (outcome.pictures, outcome.errors) == (4, 1)
        rows = rows_of(tmp_path)
        assert [row["source"] for row in rows] == [entry.name for entry in entries]
        assert [row["error"] is None for row in rows] == [True, True, False, True]
        assert "died each time" in rows[2]["error"]
        assert [path.name for path in tmp_path.glob("*.parquet")] == [task.part]

    def test_a_worker_that_cannot_load_its_model_blames_no_picture(self, tmp_path: Path):
        tasks = [task_of([Entry("a.jpg"), Entry("b.jpg")], tmp_path)]
        with pytest.raises(ModelError, match="no such model"):
            list(run_in_processes(tasks, BatchSettings("nobody", ""), 2))
        assert not list(tmp_path.iterdir())

    def test_processes_that_do_not_begin_blame_no_picture(self, tmp_path: Path):
        tasks = [task_of([Entry("a.jpg"), Entry("b.jpg")], tmp_path)]
        with pytest.raises(BatchError, match="end as soon as they begin"):
            list(run_in_processes(tasks, Deadly("mien-s", ""), 2))
        assert not list(tmp_path.iterdir())

    def test_a_task_for_a_pool_that_has_just_broken_is_tried_again(self, folder: Path, tmp_path: Path):
        pool = _Pool(BatchSettings("mien-s", ""), 1)
        task = task_of([Entry("a.jpg")], tmp_path)
        try:
            pool._pool.submit(_ready).result()
            for process in list(pool._pool._processes.values()):
                process.kill()
            wait_for(lambda: pool._pool._broken)
            pool.submit(task)
            assert pool.collect() == ([], [task])
            assert pool.is_empty()
        finally:
            pool.stop()

    def test_a_full_disk_ends_the_run_and_keeps_what_is_done(self, folder: Path, tmp_path: Path):
        import resource

        def few_bytes() -> None:  # no file may be larger: what a full disk comes to, for a process
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        out = tmp_path / "out"
        assert run("batch", folder / "top.png", "--output", out, "--workers", "1").returncode == 0
        with begin("batch", folder, "--output", out, "--workers", "1", before=few_bytes) as process:
            _, words = process.communicate(timeout=300)
        assert process.returncode == 1
        assert "finished parts are kept" in words and "Traceback" not in words
        assert len(rows_of(out)) == 1 and not list(out.rglob("*.unfinished"))
        assert (
            run("batch", folder, "--output", out, "--workers", "1").returncode == 1
        )  # one picture is broken
        assert len(rows_of(out)) == 7

    def test_a_source_that_vanishes_ends_the_run(self, tmp_path: Path):
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        for i in range(60):
            (source / f"{i:03}.png").write_bytes(grey(i))
        gone = tmp_path / "gone"

        def vanish(_: str, done: int, __: int | None) -> None:
            if done >= 20 and source.exists():
                source.rename(gone)

        with pytest.raises(SourceError, match="not there any more"):
            run_batch([str(source)], out, workers=1, part_size=10, progress=vanish)
        assert len(rows_of(out)) == 20
        gone.rename(source)
        assert run_batch([str(source)], out, workers=1).rows == 60


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def chance_worker(pid: int) -> int:
    """A process that `pid` started and that holds a worker."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes())


class TestNames:
    def test_names_are_new_once(self):
        names = Names()
        assert names.add(["a", "b", "a"]) == [True, True, False]
        assert names.add(["b", "c"]) == [False, True]
        assert len(names) == 3

    def test_many(self):
        names = Names()
        some = [str(i) for i in range(200_000)]
        assert all(names.add(some))
        assert not any(names.add(some[::7]))
        assert names.lacks(["new", "5"]) == [True, False]
        assert names.add(["new"]) == [True]


class TestDamagedZip:
    def test_is_an_error_of_its_picture_alone(self, pictures: dict[str, bytes], tmp_path: Path):
        data = pictures["a/0.jpg"]
        with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("a.jpg", "b.jpg", "c.jpg"):
                archive.writestr(name, data)
            start = archive.getinfo("b.jpg").header_offset + len("b.jpg") + 30
        whole = bytearray((tmp_path / "x.zip").read_bytes())
        whole[start : start + 8] = b"\xff" * 8  # a block of a kind that deflate does not have
        (tmp_path / "x.zip").write_bytes(whole)
        found = [what for _, what in read_entries(list(list_entries([str(tmp_path / "x.zip")])))]
        assert found[0] == found[2] == data
        assert isinstance(found[1], ImageError) and "b.jpg: cannot be unpacked: Error -3" in str(found[1])


class TestDecode:
    def test_is_in_order_and_names_what_is_broken(self, folder: Path, pictures: dict[str, bytes]):
        found = list(decode(list(list_entries([str(folder)]))))
        assert [entry.name for entry, _ in found] == [f"{folder}/{name}" for name in sorted(pictures)]
        assert np.array_equal(found[0][1].pixels, read_image(folder / "a/0.jpg"))


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run on the collection wrote."""
    out = tmp_path_factory.mktemp("summary") / "out"
    run_batch([str(folder)], out, workers=1, part_size=2)
    return out


class TestSummary:
    def test_counts(self, out: Path):
        (everything,) = summarize(out)
        assert (everything.pictures, everything.faces, everything.without_face, everything.errors) == (
            7,
            4,
            2,
            1,
        )
        assert sum(everything.emotions.values()) == 4
        assert sum(everything.shares().values()) == pytest.approx(1)

    def test_by_folder_adds_up(self, out: Path, folder: Path):
        everything, *groups = summarize(out, by="folder")
        assert [group.group for group in groups] == [".", "a", "b"]
        assert sum(group.pictures for group in groups) == everything.pictures
        assert groups[1].faces == 4

    def test_by_partition(self, folder: Path, tmp_path: Path):
        run_batch([str(folder)], tmp_path / "out", workers=1, partition="folder")
        assert {group.group: group.pictures for group in summarize(tmp_path / "out", by="folder")} == {
            "all": 7, "a": 4, "b": 2, "": 1,
        }  # fmt: skip

    def test_the_command(self, out: Path, tmp_path: Path):
        shown = run("summarize", out, "--chart", tmp_path / "c.png")
        assert shown.stdout.splitlines()[1].split()[:4] == ["all", "7", "2", "1"]
        with Image.open(tmp_path / "c.png") as chart:
            assert chart.size[0] > 500
        read = json.loads(run("summarize", out, "--format", "json", "--by", "folder").stdout)
        assert len(read) == 4 and read[0]["faces"] == 4

    def test_table_lines_up(self, out: Path):
        lines = to_table(summarize(out, by="folder")).splitlines()
        assert len({len(line) for line in lines}) == 1

    def test_no_such_folder(self, tmp_path: Path):
        with pytest.raises(SourceError, match="expected a folder that mien batch wrote"):
            summarize(tmp_path)


@pytest.mark.slow
class TestRay:
    @pytest.mark.once
    def test_the_same_rows_though_a_worker_is_killed(self, tmp_path: Path):
        pytest.importorskip("ray")
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        for i in range(60):
            (source / f"{i:03}.jpg").write_bytes(portrait(150 + i % 30))
        (source / "bad.jpg").write_bytes(b"x")
        with begin(
            "batch", source, "--output", out, "--engine", "ray", "--workers", "2", "--part-size", "3"
        ) as process:
            wait_for(lambda: list(out.rglob("part-*.parquet")), 120)
            os.kill(ray_workers()[0], signal.SIGKILL)
            _, words = process.communicate(timeout=240)
        assert process.returncode == 1, words  # one picture is broken
        names = Counter(row["source"] for row in rows_of(out))
        assert len(names) == 61 and set(names.values()) == {1}
        run_batch([str(source)], tmp_path / "here", workers=1)
        ours, rays = (
            {row["source"]: [row[label] for label in LABELS] for row in rows_of(place) if row["emotion"]}
            for place in (tmp_path / "here", out)
        )
        assert ours.keys() == rays.keys()
        for name, shares in ours.items():
            assert shares == pytest.approx(rays[name], abs=1e-5)

    def test_it_says_what_mien_says(self, tmp_path: Path):
        pytest.importorskip("ray")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.jpg").write_bytes(portrait(150))
        words = ("batch", "in", "--output", "out", "--engine", "ray", "--workers", "1")
        done = subprocess.run(
            [sys.executable, "-m", "mien", *words], cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        said = [line for line in done.stderr.splitlines() if not line.startswith("reading faces: ")]
        assert said == ["1 picture, 1 face, 0 errors; 1 row in out"]

    @pytest.mark.once
    def test_a_model_of_ones_own_is_sent_to_nodes_that_do_not_have_it(self, tmp_path: Path):
        """Nodes look at relative paths from where they began."""
        pytest.importorskip("ray")
        shutil.copytree(resolve_model("mien-s"), tmp_path / "own-model")
        shutil.copytree(SHIPPED, tmp_path / "own-detector")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.jpg").write_bytes(portrait(150))
        with Nodes(1) as nodes:
            words = (
                "batch", tmp_path / "in", "--output", tmp_path / "out", "--engine", "ray", "--address", nodes.address,
                "--model", "own-model", "--detector", "own-detector",
            )  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-m", "mien", *words],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=240,
            )
        assert done.returncode == 0, done.stderr
        (row,) = rows_of(tmp_path / "out")
        run_batch([str(tmp_path / "in")], tmp_path / "here", workers=1, model="mien-s")
        (same,) = rows_of(tmp_path / "here")
        assert [row[label] for label in LABELS] == pytest.approx([same[label] for label in LABELS], abs=1e-5)

    def test_files_of_ones_own_are_there_as_long_as_they_are_used(self, tmp_path: Path):
        shutil.copytree(resolve_model("mien-s"), tmp_path / "model" / "export")
        (tmp_path / "net.onnx").write_bytes(b"a network")
        settings = BatchSettings(str(tmp_path / "model"), "", detector=str(tmp_path / "net.onnx"))
        networks = read_networks(settings)
        shutil.rmtree(tmp_path / "model")
        (tmp_path / "net.onnx").unlink()
        with unpacked(networks, settings) as own:
            EmotionClassifier(own.model)
            assert Path(own.detector).read_bytes() == b"a network" and own.detector.endswith("net.onnx")
        assert not Path(own.model).exists() and not Path(own.detector).exists()
        shipped = BatchSettings("mien-s", "")
        assert read_networks(shipped) == {}
        with unpacked({}, shipped) as same:
            assert same == shipped

    @pytest.mark.once
    def test_the_settings_of_a_program_that_started_ray_stay(self, tmp_path: Path):
        pytest.importorskip("ray")
        (tmp_path / "a.jpg").write_bytes(portrait(150))
        program = (
            "import logging, os, ray, ray.data\n"
            "from pathlib import Path\n"
            "from mien import run_batch\n"
            "ray.init(address='local', num_cpus=2, include_dashboard=False)\n"
            "levels = [one.level for one in logging.getLogger('ray.data').handlers]\n"
            "run_batch(['a.jpg'], Path('out'), engine='ray', workers=1)\n"
            "assert ray.is_initialized() and 'RAY_BACKEND_LOG_LEVEL' not in os.environ\n"
            "assert ray.data.DataContext.get_current().enable_progress_bars\n"
            "assert levels == [one.level for one in logging.getLogger('ray.data').handlers]\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert "Execution plan" in done.stderr  # as that program may want it


def test_without_its_packages_it_says_what_to_install(tmp_path: Path):
    code = (
        "import sys\n"
        "sys.modules.update(fsspec=None, pyarrow=None)\n"  # as if they were not installed
        "from mien.cli.app import main\n"
        f"sys.argv = ['mien', 'batch', {str(tmp_path)!r}, '--output', {str(tmp_path / 'out')!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        2,
        'mien: mien batch needs optional packages: pip install "mien[batch]"\n',
    )


def test_without_ray_it_says_what_does_the_same(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(portrait(150))
    code = (
        "import sys\n"
        "sys.modules.update(ray=None)\n"
        "from mien.cli.app import main\n"
        f"sys.argv = ['mien', 'batch', {str(tmp_path)!r}, '--output', {str(tmp_path / 'out')!r}, '--engine', 'ray']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "mien[batch]"; ' in done.stderr
    assert "--engine local does the same" in done.stderr


def test_small_faces_of_pictures_that_are_decoded_smaller_are_read_from_the_whole(tmp_path: Path) -> None:
    """Nearly the same quality and answer, whatever the picture was decoded at: only the box is of the smaller one."""
    large = np.full((1600, 1600, 3), 128, np.uint8)
    large[200:500, 300:556] = np.asarray(Image.open(sample_portrait()).convert("RGB").resize((256, 300)))
    Image.fromarray(large).save(tmp_path / "small-face.jpg", quality=95)
    rows = []
    for side in (0, 400):
        out = tmp_path / f"out{side}"
        run_batch([str(tmp_path / "small-face.jpg")], out, workers=1, decode_side=side)
        rows += rows_of(out)
    whole, reduced = rows
    assert whole["emotion"] == reduced["emotion"]
    assert reduced["quality_score"] == pytest.approx(whole["quality_score"], abs=0.02)
    assert reduced["confidence"] == pytest.approx(whole["confidence"], abs=0.02)
