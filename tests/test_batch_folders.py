"""The folder that `mien batch` writes, opened as a folder by the tools that read Parquet; and where its records lie."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from PIL import Image
from pyarrow import parquet

from mien._core.files import atomic_file
from mien.batch.output import partition_name, partition_value
from mien.batch.run import run_batch
from mien.batch.summary import summarize
from mien.errors import SettingsError, SourceError
from mien.images.sample import sample_portrait
from mien.labels import FERPLUS_LABELS

FOLDERS = ("a", "two words", "k=v", "Zoë", "50%", "a+b", "null")
"""Names that a partition's folder has to quote, or that a tool could take for something else."""

Rows = list[tuple[Any, ...]]


def grey(value: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((40, 50, 3), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face, pictures without one, and one that is none: in folders, and in none of them."""
    source = tmp_path_factory.mktemp("source")
    for i, name in enumerate(FOLDERS):
        (source / name).mkdir()
        (source / name / f"{i}.png").write_bytes(grey(10 * i))
    shutil.copy(sample_portrait(), source / "a" / "face.jpg")
    (source / "a" / "broken.jpg").write_bytes(b"no picture")
    (source / "top.png").write_bytes(grey(200))
    return source


@pytest.fixture(scope="module", params=["none", "folder"])
def out(request: pytest.FixtureRequest, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a finished run wrote: one picture a part, so that some parts have errors or nobody only."""
    out = tmp_path_factory.mktemp("run") / "faces"
    run_batch([str(pictures)], out, workers=1, part_size=1, partition=request.param)
    return out


COLUMNS = ("source", "emotion", "x1", "happy", "error")


def of_pandas(out: Path) -> Rows:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(out)[list(COLUMNS)]
    return [tuple(None if pandas.isna(v) else v for v in row) for row in table.itertuples(index=False)]


def of_pyarrow(out: Path, **how: Any) -> Rows:
    return [tuple(row.values()) for row in ds.dataset(out, **how).to_table(list(COLUMNS)).to_pylist()]


def of_polars(out: Path) -> Rows:
    return pytest.importorskip("polars").read_parquet(out).select(COLUMNS).rows()


def of_polars_lazily(out: Path) -> Rows:
    return pytest.importorskip("polars").scan_parquet(out).select(COLUMNS).collect().rows()


def of_duckdb(out: Path) -> Rows:
    words = f"SELECT {', '.join(COLUMNS)} FROM read_parquet('{out}/**/*.parquet')"
    return pytest.importorskip("duckdb").sql(words).fetchall()


TOOLS: dict[str, Callable[[Path], Rows]] = {
    "pandas": of_pandas,
    "pyarrow": of_pyarrow,
    "pyarrow, Hive": lambda out: of_pyarrow(out, partitioning="hive"),
    "Polars": of_polars,
    "Polars, lazily": of_polars_lazily,
    "DuckDB": of_duckdb,
}


def expected(out: Path) -> Rows:
    """The rows, a part at a time."""
    parts = sorted(out.rglob("part-*.parquet"))
    return [
        tuple(row[name] for name in COLUMNS)
        for part in parts
        for row in parquet.ParquetFile(part).read().to_pylist()
    ]


def ordered(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: row[0])


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_reads_the_same_rows(tool: str, out: Path) -> None:
    rows = expected(out)
    assert len(rows) == len(FOLDERS) + 3
    assert sum(row[1] is not None for row in rows) == 1 and sum(row[4] is not None for row in rows) == 1
    assert ordered(TOOLS[tool](out)) == ordered(rows)


PARTITIONS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    "pandas": lambda out: (
        pytest.importorskip("pandas").read_parquet(out)[["source", "folder"]].itertuples(index=False)
    ),
    "pyarrow": lambda out: zip(
        *ds.dataset(out, partitioning="hive").to_table(["source", "folder"]).to_pydict().values(), strict=True
    ),
    "Polars": lambda out: pytest.importorskip("polars").read_parquet(out).select("source", "folder").rows(),
    "DuckDB": lambda out: (
        pytest.importorskip("duckdb")
        .sql(f"SELECT source, folder FROM read_parquet('{out}/**/*.parquet', hive_partitioning = true)")
        .fetchall()
    ),
}


@pytest.mark.parametrize("tool", PARTITIONS)
def test_every_tool_reads_a_partition_as_the_folder_that_it_was(
    tool: str, pictures: Path, tmp_path: Path
) -> None:
    run_batch([str(pictures)], tmp_path / "faces", workers=1, partition="folder")
    for source, folder in PARTITIONS[tool](tmp_path / "faces"):
        parts = Path(source).relative_to(pictures).parts
        assert str(folder) == (parts[0] if len(parts) > 1 else ".")


TYPED: dict[str, Callable[[Path], list[Any]]] = {
    "pyarrow": lambda out: (
        ds.dataset(out, partitioning=ds.partitioning(pa.schema([("folder", pa.string())]), flavor="hive"))
        .to_table(["folder"])
        .column("folder")
        .to_pylist()
    ),
    "Polars": lambda out: (
        pytest.importorskip("polars")
        .read_parquet(out, hive_schema={"folder": pytest.importorskip("polars").String})["folder"]
        .to_list()
    ),
    "DuckDB": lambda out: [
        folder
        for (folder,) in pytest.importorskip("duckdb")
        .sql(f"SELECT folder FROM read_parquet('{out}/**/*.parquet', hive_types = {{'folder': VARCHAR}})")
        .fetchall()
    ],
}


@pytest.mark.parametrize("tool", TYPED)
@pytest.mark.parametrize("names", [["007", "2020"], ["2020-01-01"], ["true"]], ids=str)
def test_folders_that_look_like_numbers_or_days_are_text_when_asked_for(
    tool: str, names: list[str], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "x.png").write_bytes(grey(1))
    run_batch([str(tmp_path / "in")], tmp_path / "faces", workers=1, partition="folder")
    assert sorted(TYPED[tool](tmp_path / "faces")) == names


def test_all_parts_have_one_schema(out: Path) -> None:
    """Of a part without a face every face's column is null, and has its type all the same."""
    schemas = [parquet.read_schema(part) for part in out.rglob("part-*.parquet")]
    assert len(schemas) > 5 and all(schema.equals(schemas[0]) for schema in schemas)
    assert not any(pa.types.is_null(kind) for kind in schemas[0].types)


def test_a_folder_holds_its_parts_and_nothing_else(out: Path) -> None:
    files = [path for path in out.rglob("*") if path.is_file()]
    assert files and all(path.match("part-*.parquet") for path in files)
    records = out.with_name("faces.mien")
    assert {path.name for path in records.iterdir()} == {
        "batch.json", "manifest.json", "lock", "log", "state-00000000.json",
    }  # fmt: skip
    assert sum(json.loads((records / "manifest.json").read_text())["parts"].values()) == len(expected(out))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_part_that_is_being_written_is_not_read(tool: str, out: Path) -> None:
    before = ordered(TOOLS[tool](out))
    with atomic_file(out / "part-0000099.parquet", folder=out.with_name("faces.mien")) as file:
        file.write(b"PAR1, and a little")
        file.flush()
        assert ordered(TOOLS[tool](out)) == before
    (out / "part-0000099.parquet").unlink()


def as_before(out: Path) -> None:
    """Bring a finished run's records where earlier versions had them."""
    records = out.with_name(f"{out.name}.mien")
    for name in ("batch.json", "manifest.json"):
        (records / name).rename(out / name)
    shutil.rmtree(records)
    (out / ".lock").touch()
    (out / "part-0000042.parquet.1.unfinished").write_bytes(b"PAR1")
    if (out / "folder=.").exists():
        (out / "folder=.").rename(out / "folder=__HIVE_DEFAULT_PARTITION__")


@pytest.mark.parametrize("partition", ["none", "folder"])
def test_a_folder_of_an_earlier_version_goes_on(partition: str, pictures: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "faces"
    shutil.copytree(pictures, source)
    run_batch([str(source)], out, workers=1, partition=partition)
    rows = expected(out)
    as_before(out)
    by_folder = {summary.group: summary.pictures for summary in summarize(out, by="folder")}
    with pytest.raises(SettingsError, match="min_size 20, this run has min_size 30"):
        run_batch([str(source)], out, workers=1, partition=partition, min_size=30)
    (source / "new.png").write_bytes(grey(3))
    outcome = run_batch([str(source)], out, workers=1, partition=partition)
    assert (outcome.pictures, outcome.before) == (1, len(rows))
    assert all(path.match("part-*.parquet") for path in out.rglob("*") if path.is_file())
    for tool, read in TOOLS.items():
        names = {name for name, *_ in read(out)}
        assert names == {name for name, *_ in rows} | {f"{source}/new.png"}, tool
    top = "" if partition == "folder" else "."
    now = {summary.group: summary.pictures for summary in summarize(out, by="folder")}
    assert now == by_folder | {top: by_folder[top] + 1, "all": by_folder["all"] + 1}


def with_quality(path: Path) -> None:
    """Give a part the columns of earlier versions."""
    table = parquet.ParquetFile(path).read()
    names = [name.replace("quality_issues", "quality") for name in table.column_names]
    parquet.write_table(table.rename_columns(names).drop_columns("quality_score"), path)


def test_rows_of_other_columns_do_not_mix(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    run_batch([str(pictures)], out, workers=1)
    for path in out.glob("*.parquet"):
        with_quality(path)
    before = expected(out)
    for call in (lambda: run_batch([str(pictures)], out, workers=1), lambda: summarize(out)):
        with pytest.raises(
            SettingsError, match=r"with the column quality; .* give mien batch another folder"
        ):
            call()
    assert expected(out) == before


def test_a_head_is_a_setting_and_its_labels_are_columns(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    run_batch([str(pictures)], out, workers=1, head="ferplus")
    names = parquet.ParquetFile(next(out.glob("*.parquet"))).schema_arrow.names
    assert names[names.index("quality_issues") + 1 : -1] == list(FERPLUS_LABELS)
    with pytest.raises(SettingsError, match="head ferplus, this run has head expression"):
        run_batch([str(pictures)], out, workers=1)
    assert "contempt" in summarize(out)[0].shares()


def test_a_run_of_an_earlier_version_that_still_writes_is_not_disturbed(
    pictures: Path, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")
    run_batch([str(pictures)], tmp_path / "faces", workers=1)
    as_before(tmp_path / "faces")
    with (tmp_path / "faces" / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SettingsError, match="another run writes here"):
            run_batch([str(pictures)], tmp_path / "faces", workers=1)
    assert (tmp_path / "faces" / "batch.json").is_file()


def test_where_nothing_can_lie_beside_the_books_lie_inside(pictures: Path, tmp_path: Path) -> None:
    """As in a container, where only the folder itself is the user's."""
    out = tmp_path / "faces"
    out.with_name("faces.mien").write_text("a file of somebody else's")
    run_batch([str(pictures)], out, workers=1)
    assert (out / ".mien" / "batch.json").is_file()
    again = run_batch([str(pictures)], out, workers=1)
    assert (again.pictures, again.rows) == (0, len(FOLDERS) + 3)
    for tool in ("pandas", "pyarrow", "DuckDB"):
        assert ordered(TOOLS[tool](out)) == ordered(expected(out)), tool
    polars = pytest.importorskip("polars")
    assert len(polars.read_parquet(f"{out}/**/*.parquet")) == len(FOLDERS) + 3


def test_a_folder_that_was_moved_without_its_books(pictures: Path, tmp_path: Path) -> None:
    run_batch([str(pictures)], tmp_path / "faces", workers=1)
    moved = (tmp_path / "faces").rename(tmp_path / "moved")
    assert summarize(moved)[0].pictures == len(FOLDERS) + 3
    with pytest.raises(SettingsError, match=r"moved\.mien is missing, .* move it along"):
        run_batch([str(pictures)], moved, workers=1)
    assert not (tmp_path / "moved.mien").exists()
    (tmp_path / "faces.mien").rename(tmp_path / "moved.mien")
    assert run_batch([str(pictures)], moved, workers=1).pictures == 0


def test_a_folder_that_was_deleted_begins_anew(pictures: Path, tmp_path: Path) -> None:
    run_batch([str(pictures)], tmp_path / "faces", workers=1)
    shutil.rmtree(tmp_path / "faces")
    outcome = run_batch([f"{pictures}/top.png"], tmp_path / "faces", workers=1, min_size=40)
    assert (outcome.before, outcome.rows) == (0, 1)


def test_a_part_that_is_not_whole_is_named(pictures: Path, tmp_path: Path) -> None:
    """As after a copy that broke off: Polars would read on past an empty part."""
    run_batch([str(pictures)], tmp_path / "faces", workers=1, part_size=4)
    broken = tmp_path / "faces" / "part-0000000-001.parquet"
    broken.write_bytes(b"")
    for read in (
        lambda: summarize(tmp_path / "faces"),
        lambda: run_batch([str(pictures)], tmp_path / "faces"),
    ):
        with pytest.raises(SourceError, match=r"part-0000000-001\.parquet: not a whole part .* delete it"):
            read()
    broken.unlink()
    assert run_batch([str(pictures)], tmp_path / "faces", workers=1).pictures == 4


def test_parts_of_others_are_not_summarized(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"age": [1]}), tmp_path / "part-00000.parquet")
    with pytest.raises(SettingsError, match=r"columns age; expected a part that mien batch wrote"):
        summarize(tmp_path)


@pytest.mark.parametrize("name", ["", *FOLDERS, "007", "a/b"])
def test_partitions_come_back(name: str) -> None:
    assert partition_value(partition_name(name)) == name
    assert "/" not in partition_name(name)


def test_a_folder_of_the_same_detector_without_metadata_goes_on(pictures: Path, tmp_path: Path) -> None:
    """The shipped file was written anew with metadata: its answers are the same, its SHA-256 is not."""
    out, settings = tmp_path / "faces", tmp_path / "faces.mien" / "batch.json"
    run_batch([f"{pictures}/top.png"], out, workers=1)
    before = json.loads(settings.read_bytes()) | {
        "detector_sha256": "56cac443d0993061ff447df320c9fe3403355379b769dc3daf172a5ea872fed1",
    }
    settings.write_text(json.dumps(before))
    assert run_batch([str(pictures)], out, workers=1).before == 1
    settings.write_text(json.dumps(before | {"model_sha256": "another"}))
    with pytest.raises(SettingsError, match="model_sha256 another"):
        run_batch([str(pictures)], out, workers=1)
