"""`mien batch` with an object store as source and output: a real S3 server on loopback, over HTTP, with its faults."""

from __future__ import annotations

import gc
import io
import json
import pickle
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.dataset
import pytest
from object_store import ENVIRONMENT, EXPIRED, SLOW_DOWN, Proxy, Request, put_all, s3_server
from PIL import Image
from pyarrow import parquet
from ray_cluster import Nodes
from typed import run

from mien.batch.output import Publisher
from mien.batch.reading import read_entries
from mien.batch.run import run_batch
from mien.batch.sources import list_entries, list_span, spans_of
from mien.batch.storage import faults, lease
from mien.batch.storage.lease import leased
from mien.batch.storage.stores import ObjectStore
from mien.batch.summary import summarize
from mien.errors import SettingsError, SourceError, StoreError
from mien.images.sample import sample_portrait

PICTURES = 18

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("moto", "flask", "flask_cors", "s3fs")),
    reason="needs s3fs, and moto's server, which the extra test has",
)


def portrait(side: int) -> bytes:
    picture = Image.open(sample_portrait())
    out = io.BytesIO()
    picture.resize((side, round(side * picture.height / picture.width))).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[Proxy]:
    """A store with 18 pictures at in/, of which one is none."""
    with s3_server() as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}.items():
            patch.setenv(name, value)
        # fsspec reads the environment when it is loaded.
        patch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 1}})
        fsspec.filesystem("s3").clear_instance_cache()
        pictures = {f"in/{i % 3}/{i:03}.jpg": portrait(90 + i) for i in range(PICTURES - 1)}
        put_all({**pictures, "in/0/zz.jpg": b"no picture", "in/.hidden/x.jpg": b"", "in/2/": b""})
        yield proxy
        fsspec.filesystem("s3").clear_instance_cache()
        with (
            warnings.catch_warnings()
        ):  # s3fs leaves sessions open, which are not to be found in a later test
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def store(server: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The server, without faults before and after, and with short patience."""
    server.forget()
    monkeypatch.setattr(faults, "PATIENCE", 30.0)
    monkeypatch.setattr(faults, "_LONGEST", 0.5)
    # What s3fs repeats itself takes longer, and is not what is tested here.
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    yield server
    server.forget()


def rows_at(url: str) -> list[dict[str, Any]]:
    system, path = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    found = []
    for name in sorted(system.find(path)):
        if name.endswith(".parquet"):
            found += parquet.ParquetFile(io.BytesIO(system.cat_file(name))).read().to_pylist()
    return found


def names_at(url: str) -> Counter[str]:
    return Counter(row["source"] for row in rows_at(url))


EXPECTED = {f"s3://bucket/in/{i % 3}/{i:03}.jpg" for i in range(PICTURES - 1)} | {"s3://bucket/in/0/zz.jpg"}


def assert_whole(url: str) -> None:
    assert names_at(url) == dict.fromkeys(EXPECTED, 1)


def go(url: str, **how: Any) -> Any:
    return run_batch(["s3://bucket/in"], url, **{"workers": 1, "part_size": 4, **how})


class TestListing:
    def test_of_more_than_a_page(self, store: Proxy) -> None:
        names = [f"many/{i % 7}/{i:05}.jpg" for i in range(3200)] + [f"many/{i:02}.png" for i in range(20)]
        put_all(dict.fromkeys([*names, "many/notes.txt", "many/.x/y.jpg", "many/3/.z.jpg", "many/4/"], b""))
        found = list(list_entries(["s3://bucket/many"]))
        assert [entry.name for entry in found] == sorted(f"s3://bucket/{name}" for name in names)
        assert store.seen["LIST"] <= 4 + 2 and not store.seen["HEAD"] + store.seen["GET"]
        store.forget()
        for place in (0, 999, 1000, 3219):
            rest = list(list_span("s3://bucket/many", after=found[place].place))
            assert rest == found[place + 1 :]
        spans = spans_of("s3://bucket/many", 4)
        assert len(spans) == 4
        assert [entry for span in spans for entry in list_span("s3://bucket/many", span)] == found

    def test_of_what_is_not_there(self, store: Proxy) -> None:
        with pytest.raises(SourceError, match="no such file"):
            list(list_entries(["s3://bucket/nothing"]))
        with pytest.raises(SourceError, match="cannot be listed"):
            list(list_entries(["s3://no-such-bucket/x"]))

    def test_a_picture_is_one_request(self, store: Proxy) -> None:
        entries = list(list_entries(["s3://bucket/in"]))
        store.forget()
        read = [data for _, data in read_entries(entries)]
        assert store.seen == {"GET": len(entries)}
        assert all(isinstance(data, bytes) for data in read)

    def test_a_list_of_urls_asks_for_none_of_them(self, store: Proxy, tmp_path: Path) -> None:
        (tmp_path / "x.txt").write_text("\n".join(sorted(EXPECTED)))
        assert {entry.name for entry in list_entries([str(tmp_path / "x.txt")])} == EXPECTED
        assert not store.seen


class TestOutput:
    def test_is_written_once_and_told_from_the_store(self, store: Proxy) -> None:
        outcome = go("s3://bucket/once")
        assert (outcome.pictures, outcome.errors, outcome.rows) == (
            PICTURES,
            1,
            len(rows_at("s3://bucket/once")),
        )
        assert_whole("s3://bucket/once")
        store.forget()
        again = go("s3://bucket/once")
        assert (again.pictures, again.before, again.rows) == (0, PICTURES, outcome.rows)
        assert not any(kind == "GET" and key.startswith("in/") for kind, key in store.keys)
        assert sum(key.startswith("once/") for _, key in store.keys) == 1  # whether the parts are still there
        assert not any(kind == "PUT" and key.startswith("once/") for kind, key in store.keys)
        manifest = json.loads(fsspec.filesystem("s3").cat_file("bucket/once.mien/manifest.json"))
        assert manifest["complete"] and manifest["pictures"] == PICTURES and manifest["rows"] == outcome.rows

    def test_the_requests_of_a_run(self, store: Proxy) -> None:
        """docs/how-to/scale.md says them; a picture is one, and a part two."""
        go("s3://bucket/counted")
        parts = sum(number for (kind, key), number in store.keys.items() if kind == "PUT" and "/part-" in key)
        pictures = sum(
            number for (kind, key), number in store.keys.items() if kind == "GET" and key.startswith("in/")
        )
        assert pictures == PICTURES and parts == 6  # of three folders, listed apart
        assert store.keys["GET", "counted.mien/lease-00000002.json"] >= parts  # asked before each
        assert store.seen["HEAD"] == 0
        others = sum(store.seen.values()) - pictures - 2 * parts
        assert others <= 45, store.keys

    def test_other_tools_read_it_where_it_is(self, store: Proxy) -> None:
        """The recipes of docs/how-to/scale.md."""
        duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
        rows = go("s3://bucket/queried", partition="folder").rows
        connection = duckdb.connect()
        connection.register_filesystem(fsspec.filesystem("s3"))
        words = (
            "SELECT folder, count(*) FROM read_parquet('s3://bucket/queried/**/*.parquet') GROUP BY folder"
        )
        shares = dict(connection.sql(words).fetchall())
        assert sum(shares.values()) == rows and {str(name) for name in shares} == {"0", "1", "2"}
        dataset = pyarrow.dataset.dataset("bucket/queried", filesystem=fsspec.filesystem("s3"))
        assert dataset.count_rows() == rows
        options = {"aws_endpoint_url": store.url, "aws_allow_http": "true"}
        scanned = polars.scan_parquet("s3://bucket/queried/**/*.parquet", storage_options=options)
        assert scanned.collect().height == rows

    def test_small_parts_become_large_ones_by_any_column(self, store: Proxy) -> None:
        """The recipes of docs/how-to/scale.md: one file that mien reads as well, and folders by hash."""
        connection = pytest.importorskip("duckdb").connect()
        connection.register_filesystem(fsspec.filesystem("s3"))
        rows = go("s3://bucket/small").rows
        parts = "read_parquet('s3://bucket/small/*.parquet')"
        options = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880"
        connection.sql(
            f"COPY (FROM {parts} ORDER BY source) TO 's3://bucket/compact/part-0.parquet' ({options})"
        )
        assert set(names_at("s3://bucket/compact")) == set(names_at("s3://bucket/small"))
        (whole,) = summarize("s3://bucket/compact")
        (before,) = summarize("s3://bucket/small")
        assert whole == before
        hashed = f"SELECT *, hash(source) % 4 AS hash FROM {parts}"
        connection.sql(
            f"COPY ({hashed}) TO 's3://bucket/hashed' ({options}, PARTITION_BY (hash), OVERWRITE_OR_IGNORE)"
        )
        again = "SELECT count(*), count(DISTINCT hash) FROM read_parquet('s3://bucket/hashed/**/*.parquet')"
        assert connection.sql(again).fetchall() == [(rows, 4)]

    def test_by_folder_and_its_summary(self, store: Proxy) -> None:
        go("s3://bucket/parted", partition="folder")
        assert_whole("s3://bucket/parted")
        counts = {one.group: one.pictures for one in summarize("s3://bucket/parted", by="folder")}
        assert counts == {"all": PICTURES, "0": 7, "1": 6, "2": 5}
        shown = run("summarize", "s3://bucket/parted")
        assert shown.returncode == 0 and shown.stdout.splitlines()[1].split()[:2] == ["all", str(PICTURES)]

    def test_a_resumed_run_does_what_is_missing(self, store: Proxy) -> None:
        def stop(_: str, done: int, __: int | None) -> None:
            if done >= 10:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            go("s3://bucket/resumed", progress=stop)
        done = names_at("s3://bucket/resumed")
        store.forget()
        outcome = go("s3://bucket/resumed")
        assert (outcome.before, outcome.pictures) == (sum(done.values()), PICTURES - sum(done.values()))
        assert outcome.rows == len(rows_at("s3://bucket/resumed"))
        assert_whole("s3://bucket/resumed")

    def test_refusals(self, store: Proxy) -> None:
        go("s3://bucket/refused")
        with pytest.raises(SettingsError, match="min_size 20, this run has min_size 30"):
            go("s3://bucket/refused", min_size=30)
        with pytest.raises(SettingsError, match="holds other files"):
            go("s3://bucket/in")
        system = fsspec.filesystem("s3")
        system.rm("bucket/refused", recursive=True)
        with pytest.raises(SettingsError, match=r"parts are gone, but s3://bucket/refused\.mien says"):
            go("s3://bucket/refused")
        with pytest.raises(StoreError, match=r"does not exist\); expected a bucket that exists"):
            go("s3://no-such-bucket/x")


class TestOwners:
    def test_the_second_is_refused_and_the_first_one_goes_on(self, store: Proxy) -> None:
        with leased(ObjectStore("s3://bucket/two.mien"), "s3://bucket/two") as fence:
            with pytest.raises(
                SettingsError, match=r"two: another run writes here now \(.*, process \d+\); wait"
            ):
                go("s3://bucket/two")
            fence.check()
        go("s3://bucket/two")
        assert_whole("s3://bucket/two")

    def test_one_of_many_that_ask_at_once_gets_it(self, store: Proxy) -> None:
        code = (
            "import sys\nfrom mien.batch.storage import lease\nfrom mien.batch.storage.stores import ObjectStore\n"
            "from mien.errors import SettingsError\n"
            "sys.stdin.readline()\n"
            "try:\n"
            "    with lease.leased(ObjectStore('s3://bucket/race.mien'), 'here'):\n"
            "        print('mine', flush=True); sys.stdin.readline()\n"
            "except SettingsError: print('taken', flush=True)\n"
        )
        some = [
            subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) for _ in range(4)
        ]
        for one in some:
            one.stdin.write("\n")
            one.stdin.flush()
        said = [one.stdout.readline().strip() for one in some]
        for one in some:
            one.communicate("\n", timeout=30)
        assert sorted(said) == ["mine", "taken", "taken", "taken"]

    def test_whose_lease_expired_is_followed_and_publishes_no_more(
        self, store: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lease, "SECONDS", 1.0)
        monkeypatch.setattr(lease, "_renew", lambda *what: None)  # as a process that is stopped for a while
        records, parts = ObjectStore("s3://bucket/slow.mien"), ObjectStore("s3://bucket/slow")
        with leased(records, "s3://bucket/slow") as first:
            late = pickle.loads(pickle.dumps(Publisher(parts, first)))  # as it is with the workers
            late.publish("part-0000000-000.parquet", b"first")
            time.sleep(1.1)
            with leased(records, "s3://bucket/slow") as second:
                assert second.token == first.token + 1
                with pytest.raises(StoreError, match="another run has taken over"):
                    late.publish("part-0000000-001.parquet", b"late")
                Publisher(parts, second).publish("part-0000000-000.parquet", b"second")
        assert parts.read("part-0000000-000.parquet") == b"first"
        assert parts.read("part-0000000-001.parquet") is None
        with leased(records, "s3://bucket/slow") as third:  # that was released needs no expiry
            assert third.token == 3

    def test_a_lease_is_renewed(self, store: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "SECONDS", 0.9)
        records = ObjectStore("s3://bucket/renewed.mien")
        with leased(records, "here"):
            time.sleep(1.5)
            with pytest.raises(SettingsError, match="another run writes here now"), leased(records, "here"):
                pass

    def test_a_store_without_conditional_puts_is_refused(
        self, store: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ObjectStore, "create", lambda self, name, data: self.write(name, data) or True)
        with pytest.raises(StoreError, match="expected one with conditional writes"):
            go("s3://bucket/unconditional")


def every(number: int, what: Any, *kinds: str) -> Callable[[Request], Any]:
    """A fault of every so manyth request."""
    count = 0

    def fault(request: Request) -> Any:
        nonlocal count
        if kinds and request.kind not in kinds:
            return None
        count += 1
        return what if count % number == 0 else None

    return fault


FAULTS = {
    "throttling": every(3, SLOW_DOWN),
    "dropped": every(4, "drop"),
    "time-outs": every(25, "hang"),
    "done without an answer, and so put twice": every(2, "lose", "PUT"),
}


class TestFaults:
    @pytest.mark.parametrize("kind", FAULTS)
    def test_that_pass_cost_nothing(self, kind: str, store: Proxy) -> None:
        store.fault = FAULTS[kind]
        url = f"s3://bucket/fault-{list(FAULTS).index(kind)}"
        outcome = go(url)
        store.forget()
        assert (outcome.pictures, outcome.errors) == (PICTURES, 1)
        assert_whole(url)
        assert go(url).pictures == 0

    def test_a_listing_that_lags(self, store: Proxy) -> None:
        """What was just put is not listed: it is done again, and stays one part."""
        store.lag = 60

        def stop(_: str, done: int, __: int | None) -> None:
            if done >= 10:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            go("s3://bucket/lag", progress=stop)
        outcome = go("s3://bucket/lag")
        assert outcome.pictures + outcome.before == PICTURES
        store.forget()
        assert_whole("s3://bucket/lag")
        assert outcome.rows == len(rows_at("s3://bucket/lag"))

    @pytest.mark.parametrize(
        ("fault", "where", "words"),
        [
            (SLOW_DOWN, "in/", r"the store does not answer as it should \(Please reduce your request rate"),
            ("drop", "bad/", r"the store does not answer as it should \("),
            (EXPIRED, "in/", r"refuses the credentials \(The provided token has expired\.\); renew them"),
            (EXPIRED, "", r"refuses the credentials \(The provided token has expired\.\); renew them"),
        ],
        ids=["throttling", "dropped", "expired", "expired everywhere"],
    )
    def test_that_stay_end_the_run_in_a_line(
        self, fault: Any, where: str, words: str, store: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In the pictures, the parts, or anywhere; then the same command continues."""
        monkeypatch.setattr(faults, "PATIENCE", 0.3)
        count = 0

        def after_some(request: Request) -> Any:
            nonlocal count
            count += request.kind != "LIST" and request.key.startswith(where)
            return fault if count > 8 and request.key.startswith(where) else None

        url = f"s3://bucket/bad/{time.monotonic_ns()}"
        store.fault = after_some
        with pytest.raises(StoreError, match=words) as caught:
            go(url)
        assert "\n" not in str(caught.value)
        monkeypatch.setattr(faults, "PATIENCE", 30.0)
        monkeypatch.setattr(lease, "_check_free", lambda *what: None)  # not to wait for its expiry
        store.forget()
        go(url)
        assert_whole(url)

    def test_the_command_says_it_in_a_line(self, store: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faults, "PATIENCE", 0.2)
        store.fault = lambda request: EXPIRED
        done = run("batch", "s3://bucket/in", "--output", "s3://bucket/said", "--workers", "1")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("mien: s3://bucket/said") and "renew them" in line


SHORT_LEASE = (
    "import sys\nfrom mien.batch.storage import lease\nfrom mien.cli.app import main\n"
    "if __name__ == '__main__':\n    lease.SECONDS = float(sys.argv.pop(1))\n    main()\n"
)


def begin(seconds: float, url: str, *more: str, script: Path) -> subprocess.Popen[str]:
    """The command in a process of its own, with leases that expire soon."""
    script.write_text(SHORT_LEASE)
    words = [
        sys.executable,
        script,
        str(seconds),
        "batch",
        "s3://bucket/in",
        "--output",
        url,
        "--part-size",
        "1",
    ]
    process = subprocess.Popen([*words, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    BEGUN.append(process)
    return process


BEGUN: list[subprocess.Popen[str]] = []


@pytest.fixture
def patient(store: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The store, for tests that look into it while processes keep it busy; none of these outlives the test."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 60}})
    fsspec.filesystem("s3").clear_instance_cache()
    yield store
    fsspec.filesystem("s3").clear_instance_cache()
    while BEGUN:
        with BEGUN.pop() as process:
            process.kill()


@pytest.mark.slow
class TestProcesses:
    """Commands, which know the store by AWS_ENDPOINT_URL alone."""

    def test_two_at_once_and_one_that_is_killed(self, patient: Proxy, tmp_path: Path) -> None:
        url, script = "s3://bucket/killed", tmp_path / "run.py"
        patient.slow = 0.5
        first = begin(8, url, "--workers", "1", script=script)
        wait_for(lambda: names_at(url))
        second = begin(8, url, "--workers", "1", script=script)
        _, words = second.communicate(timeout=60)
        assert second.returncode in (1, 2), words
        assert f"{url}: another run writes here now" in words and len(words.splitlines()) == 1
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=60)
        time.sleep(8.5)
        third = begin(8, url, "--workers", "2", script=script)
        _, words = third.communicate(timeout=120)
        assert third.returncode == 1, words  # one picture is none
        assert_whole(url)

    def test_one_that_slept_stops_when_another_has_taken_over(self, patient: Proxy, tmp_path: Path) -> None:
        url, script = "s3://bucket/slept", tmp_path / "run.py"
        patient.slow = 0.3
        first = begin(1, url, "--workers", "1", script=script)
        wait_for(lambda: names_at(url))
        first.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        second = begin(1, url, "--workers", "1", script=script)
        wait_for(lambda: patient.keys["PUT", "slept.mien/lease-00000002.json"])
        first.send_signal(signal.SIGCONT)
        _, words = first.communicate(timeout=120)
        assert first.returncode == 1 and "another run has taken over" in words.splitlines()[-1], words
        _, words = second.communicate(timeout=120)
        assert second.returncode == 1, words
        assert_whole(url)

    def test_ray_without_a_shared_folder(self, patient: Proxy, tmp_path: Path) -> None:
        pytest.importorskip("ray")
        url, script = "s3://bucket/ray", tmp_path / "run.py"
        process = begin(60, url, "--engine", "ray", "--workers", "2", script=script)
        _, words = process.communicate(timeout=240)
        assert process.returncode == 1, words
        assert_whole(url)
        patient.fault = lambda one: EXPIRED if one.key.startswith("in/") and one.kind == "GET" else None
        process = begin(60, f"{url}-refused", "--engine", "ray", "--workers", "1", script=script)
        _, words = process.communicate(timeout=240)
        assert process.returncode == 1
        (line,) = [line for line in words.splitlines() if not line.startswith("reading faces")]
        assert line.startswith("mien: s3://bucket/in/") and "refuses the credentials" in line

    @pytest.mark.once
    def test_a_cluster_whose_workers_and_nodes_are_killed(self, patient: Proxy, tmp_path: Path) -> None:
        pytest.importorskip("ray")
        url, script, chance = "s3://bucket/cluster", tmp_path / "run.py", random.Random(0)
        patient.slow = 0.5
        with Nodes(3) as nodes:
            process = begin(
                60, url, "--engine", "ray", "--address", nodes.address, "--workers", "3", script=script
            )
            for done, kill in ((1, nodes.kill_a_worker), (4, nodes.kill_a_node), (7, nodes.kill_a_worker)):
                wait_for(lambda: process.poll() is not None or len(names_at(url)) >= done, 120)  # noqa: B023
                assert process.poll() is None
                assert kill(chance)
            said, words = process.communicate(timeout=240)
        assert process.returncode == 1, words  # one picture is none
        assert said == "" and "Traceback" not in words
        # What a node had done before it was killed may be made again elsewhere, and counts there.
        done = re.findall(r"^node \S+ [0-9a-f]{8}: (\d+) pictures?, [\d.]+ pictures/s$", words, re.MULTILINE)
        assert len(done) >= 2 and sum(map(int, done)) == PICTURES
        assert_whole(url)

    def test_killed_six_times(self, patient: Proxy, tmp_path: Path) -> None:
        url, script = "s3://bucket/often", tmp_path / "run.py"
        patient.slow = 0.4
        chance = random.Random(2)
        for _ in range(6):
            before = sum(names_at(url).values())
            process = begin(0.5, url, "--workers", "1", script=script)
            some = chance.choice([0, 0, 1, 1])
            wait_for(lambda: process.poll() is not None or sum(names_at(url).values()) >= before + some)  # noqa: B023
            time.sleep(chance.uniform(0, 0.1 if some else 2))
            process.kill()
            process.communicate(timeout=60)
            assert set(names_at(url).values()) <= {1}
            time.sleep(0.5)
        process = begin(0.5, url, "--workers", "2", script=script)
        _, words = process.communicate(timeout=120)
        assert process.returncode in (0, 1) and "Traceback" not in words, words
        assert_whole(url)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
