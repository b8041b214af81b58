"""What a run has left to do: the listing as a log of shards, what is done of it, and what a later listing adds."""

from __future__ import annotations

import random
import tarfile
import time
from collections import Counter
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import ClassVar

import pytest

from mien.batch.names import Names
from mien.batch.plan import Plan
from mien.batch.shards import PARTS, Shard, append_shard, load_entries, read_shard
from mien.batch.sources import Entry, list_entries, list_span
from mien.batch.state import Numbers, State
from mien.batch.storage.stores import FolderStore
from mien.errors import SourceError, StoreError

pytestmark = pytest.mark.everywhere


class Counted(FolderStore):
    """A folder that counts what is read of it."""

    reads: ClassVar[Counter[str]] = Counter()

    def read(self, name: str) -> bytes | None:
        self.reads[name.rpartition(".")[2]] += 1
        return super().read(name)


def touch(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """1,300 empty files: a listing does not look into them."""
    folder = tmp_path / "in"
    touch(folder, [f"{i % 7}/{i:04}.jpg" for i in range(1200)] + [f"{i:03}.png" for i in range(100)])
    return folder


def plan_of(tmp_path: Path, *sources: Path | str, size: int = 2, names: list[str] | None = None) -> Plan:
    known = Names()
    known.add(names or [])
    return Plan(
        Counted(tmp_path / "records"), 0, [str(one) for one in sources], first=lambda: 0, part_size=size,
        partitioned=False, foreign=lambda state: known,
    )  # fmt: skip


def work(plan: Plan, most: int | None = None) -> list[str]:
    """Do what a plan has, or its first so many shards; the names of the pictures."""
    done = []
    shards = plan.shards()
    for shard, entries in islice(shards, most):
        done += [entry.name for entry in entries]
        plan.finish(shard, shard.entries)
    shards.close()
    plan.stop()
    plan.save()
    return done


def everything(*sources: Path | str) -> list[str]:
    return [entry.name for entry in list_entries(str(one) for one in sources)]


class TestOrder:
    def test_is_that_of_whole_paths(self, tmp_path: Path) -> None:
        touch(
            tmp_path, ["a/x.jpg", "a.jpg", "a-b/x.jpg", "a-b.jpg", "a/b/x.jpg", "é/x.jpg", "z.jpg", "a b.jpg"]
        )
        found = [entry.place for entry in list_entries([str(tmp_path)])]
        assert found == sorted(found) and len(found) == 8

    def test_a_listing_begins_behind_any_entry(self, source: Path) -> None:
        with tarfile.open(source / "3" / "0500.tar", "w") as archive:
            for name in "cab":  # in an order of their own
                archive.addfile(tarfile.TarInfo(f"{name}.jpg"), BytesIO(b""))
        found = list(list_entries([str(source)]))
        assert len(found) == 1303
        archived = next(place for place, entry in enumerate(found) if entry.container)
        for place in (0, 1, 99, 100, archived, archived + 1, archived + 2, 1301, 1302):
            assert list(list_span(str(source), after=found[place].place)) == found[place + 1 :]


class TestPlan:
    def test_lists_once_and_does_everything_once(self, source: Path, tmp_path: Path) -> None:
        plan = plan_of(tmp_path, source)
        assert work(plan) == everything(source)
        assert plan.total == 1300
        assert plan.state.done.ranges == [[0, 1300 // (2 * PARTS)]]

    def test_goes_on_where_it_was_stopped(self, source: Path, tmp_path: Path) -> None:
        done: list[str] = []
        for most in (1, 0, 3):
            done += work(plan_of(tmp_path, source), most)
        done += work(plan_of(tmp_path, source, size=3))  # another size is for what is not listed yet
        assert sorted(done) == everything(source)

    def test_goes_on_without_its_state(self, source: Path, tmp_path: Path) -> None:
        """As after a kill between a shard and the state: the log says where the listing was."""
        work(plan_of(tmp_path, source), 2)
        (tmp_path / "records" / "state-00000000.json").unlink()
        plan = plan_of(tmp_path, source)
        assert work(plan) == everything(source)
        assert plan.total == 1300

    def test_a_large_source_is_not_listed_anew_while_there_is_to_do(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = everything(source)
        plan = plan_of(tmp_path, source)
        shards = plan.shards()
        next(shards)
        while plan.total is None:
            time.sleep(0.01)
        shards.close()
        plan.save()
        touch(source, ["0/0000a.jpg"])
        monkeypatch.setattr("mien.batch.plan._LARGE", 1000)
        assert work(plan_of(tmp_path, source)) == before
        assert work(plan_of(tmp_path, source)) == [f"{source}/0/0000a.jpg"]

    def test_what_is_new_is_found_by_reading_the_shards_that_changed(
        self, source: Path, tmp_path: Path
    ) -> None:
        work(plan_of(tmp_path, source))
        Counted.reads.clear()
        assert work(plan_of(tmp_path, source)) == []
        assert not Counted.reads["listing"]
        touch(source, ["3/0500a.jpg", "zz/1.jpg"])
        (source / "3" / "0003.jpg").unlink()
        assert work(plan_of(tmp_path, source)) == [f"{source}/3/0500a.jpg", f"{source}/zz/1.jpg"]
        assert (
            Counted.reads["listing"] <= 3
        )  # one that lost a name, one that got one, and that of the new ones
        touch(source, ["3/0500b.jpg"])  # in the range of shards of both rounds
        assert work(plan_of(tmp_path, source)) == [f"{source}/3/0500b.jpg"]
        assert work(plan_of(tmp_path, source)) == []

    def test_at_random(self, tmp_path: Path) -> None:
        """Files come and go, runs stop anywhere: nothing twice, and in the end nothing is missing."""
        chance = random.Random(5)
        source = tmp_path / "in"
        names = [f"{chance.randrange(9)}/{chance.randrange(10**6):06}.jpg" for _ in range(900)]
        touch(source, names[:300])
        done: list[str] = []
        for turn in range(12):
            done += work(plan_of(tmp_path, source, size=1), chance.choice([0, 1, 2, None]))
            touch(source, names[300 + 50 * turn : 350 + 50 * turn])
            (source / chance.choice(names[:300])).unlink(missing_ok=True)
        done += work(plan_of(tmp_path, source, size=1))  # what was listed already
        done += work(plan_of(tmp_path, source, size=1))  # and what was not
        assert len(done) == len(set(done))
        assert set(everything(source)) <= set(done)

    def test_an_archive_whose_members_moved(self, tmp_path: Path) -> None:
        path = tmp_path / "x.tar"

        def write(names: list[str]) -> None:
            with tarfile.open(path, "w") as archive:
                for name in names:
                    archive.addfile(tarfile.TarInfo(name), BytesIO(b""))

        names = [f"{i:04}.jpg" for i in range(500)]
        write(names)
        assert len(work(plan_of(tmp_path, path, size=1))) == 500
        write(["new.jpg", *names])
        assert work(plan_of(tmp_path, path, size=1)) == [f"{path}/new.jpg"]

    def test_sources_that_lie_in_one_another(self, source: Path, tmp_path: Path) -> None:
        done = work(plan_of(tmp_path, source / "3"))
        done += work(plan_of(tmp_path, source, source / "4", source / "4" / "0004.jpg"))
        assert sorted(done) == everything(source)

    def test_a_list_that_grows_and_names_some_twice(self, source: Path, tmp_path: Path) -> None:
        names = everything(source)[:600]
        path = tmp_path / "list.txt"
        path.write_text("\n".join(names + names[:50]))
        assert work(plan_of(tmp_path, path)) == names
        path.write_text("\n".join([*names[100:], f"{source}/later.jpg"]))
        assert work(plan_of(tmp_path, path)) == [f"{source}/later.jpg"]

    def test_what_parts_of_an_earlier_version_hold_is_not_listed(self, source: Path, tmp_path: Path) -> None:
        names = everything(source)
        assert work(plan_of(tmp_path, source, names=names[::2])) == names[1::2]

    def test_a_source_that_is_missing_does_not_keep_the_others(self, source: Path, tmp_path: Path) -> None:
        done = []
        with pytest.raises(SourceError, match="nothing: cannot be listed: no such file"):
            for _, entries in plan_of(tmp_path, source, tmp_path / "nothing").shards():
                done += entries
        assert len(done) == 1300


class TestShards:
    def test_names_of_all_kinds_come_back(self, tmp_path: Path) -> None:
        entries = [
            Entry("a\udcff.jpg"), Entry("s3://b/ü.tar/x y.png", "s3://b/ü.tar", (512, 70), "f"),
            Entry("z.zip#", folder="g", error="broken"),
        ]  # fmt: skip
        shard = shard_of(entries)
        append_shard(FolderStore(tmp_path), shard, entries)
        assert read_shard(FolderStore(tmp_path), 0) == shard
        assert load_entries(FolderStore(tmp_path), shard) == entries

    def test_a_number_is_given_once(self, tmp_path: Path) -> None:
        append_shard(FolderStore(tmp_path), shard_of([Entry("a")]), [Entry("a")])
        append_shard(
            FolderStore(tmp_path), shard_of([Entry("a")]), [Entry("a")]
        )  # as a request that is repeated
        with pytest.raises(StoreError, match="another run has written it"):
            append_shard(FolderStore(tmp_path), shard_of([Entry("b")]), [Entry("b")])
        assert load_entries(FolderStore(tmp_path), shard_of([Entry("a")])) == [Entry("a")]

    def test_what_is_not_whole_is_said(self, tmp_path: Path) -> None:
        shard = shard_of([Entry("a")])
        append_shard(FolderStore(tmp_path), shard, [Entry("a")])
        for path in tmp_path.rglob("*.listing"):
            path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(SourceError, match="not what was written"):
            load_entries(FolderStore(tmp_path), shard)


def shard_of(entries: list[Entry]) -> Shard:
    from mien.batch.shards import digest_of

    return Shard(
        0, "in", "", None, 1, entries[0].place, entries[-1].place, len(entries), 1, 500, False, digest_of(entries)
    )  # fmt: skip


class TestState:
    def test_numbers_are_ranges(self) -> None:
        chance = random.Random(1)
        numbers, true = Numbers(), set[int]()
        for number in chance.sample(range(200), 150):
            numbers.add(number)
            numbers.add(number)
            true.add(number)
        assert {number for number in range(-5, 210) if number in numbers} == true
        assert all(a[1] + 1 < b[0] for a, b in zip(numbers.ranges, numbers.ranges[1:], strict=False))
        for number in range(200):
            numbers.add(number)
        assert numbers.ranges == [[0, 199]]

    def test_comes_back_and_is_the_latest(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path)
        assert State.load(store, 3) is None
        State(next=5, done=Numbers([[0, 2]]), rows=7).save(store, 1)
        State(next=9).save(store, 4)
        latest = State.load(store, 3)
        assert latest is not None
        assert (latest.next, latest.done.ranges, latest.rows) == (5, [[0, 2]], 7)
