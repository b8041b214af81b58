"""What a run of `mien batch` knows of its collection: time, memory and disk against the number of pictures.

    python benchmarks/batch_state.py [--measured 100000 1000000] [--simulated 10000000 100000000] [--chart FILE]

*Measured*: a listing of made-up names goes through all of it: the log of shards is written, every shard is taken, and
marked as done. Then a run is resumed that was stopped in the middle, and one that was done looks for what is new.
*Simulated*: log and parts are made without a listing (all shards have the same entries, all parts are one file by many
names), nine tenths of them, and a run is resumed there, until its first task and through all shards: what depends on
the numbers of shards and parts is real. *Extrapolated*, to a billion: along a line through the two largest of them.
Every step is a process of its own, and memory its largest resident size, of which Python with its libraries is the
first line. No picture is there, none is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from startup import describe_machine

from mien.batch import plan as plan_module
from mien.batch.folder_output import FolderOutput
from mien.batch.names import Names
from mien.batch.output import Publisher
from mien.batch.plan import Plan
from mien.batch.settings import BatchSettings
from mien.batch.shards import PARTS, Shard, append_shard, digest_of
from mien.batch.sources import Entry, Place, Span
from mien.batch.state import Range, State
from mien.batch.storage.stores import FolderStore
from mien.batch.worker import Task, write_part
from mien.results import FrameResult

SOURCE = "/photos"
PART = 500
SETTINGS = BatchSettings("mien-s", "")
_BILLION = 10**9


def main() -> None:
    """Measure each step in its own process, and print."""
    parser = argparse.ArgumentParser(description="State of mien batch against the number of pictures.")
    parser.add_argument("--measured", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--simulated", type=int, nargs="*", default=[10_000_000, 100_000_000])
    parser.add_argument(
        "--names", type=int, nargs="*", default=[1_000_000, 4_000_000], help="by name, as lists are"
    )
    parser.add_argument("--chart", type=Path, help="a line chart of the time and memory of a resume")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, number, folder = args.step
        print(
            json.dumps(
                STEPS[step](int(number), Path(folder))
                | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}
            )
        )
        return
    print(describe_machine())
    print(f"{'step':34} {'pictures':>13} {'seconds':>9} {'memory MB':>10} {'records MB':>11}")
    show("Python and its libraries", 0, "nothing", Path())
    measured: list[tuple[int, float, float]] = []
    simulated: list[tuple[int, float, float]] = []
    for number in args.measured:
        with tempfile.TemporaryDirectory(prefix="mien-state-") as folder:
            show("measured: list half, work", number, "half", Path(folder))
            found = show("measured: resume, list the rest", number, "rest", Path(folder))
            show("measured: all done, look for new", number, "again", Path(folder))
            measured.append((number, found.get("first", found["seconds"]), found["memory"]))
    for number in args.simulated:
        with tempfile.TemporaryDirectory(prefix="mien-state-") as folder:
            show("simulated: resume", number, "log", Path(folder), shown=False)
            found = show("simulated: resume", number, "resume", Path(folder))
            simulated.append((number, found["first"], found["memory"]))
    for number in args.names:
        show("measured: known by name", number, "names", Path())
    (a, ta, ma), (b, tb, mb) = simulated[-2:]
    far = (_BILLION - b) / (b - a)
    billion = (_BILLION, tb + far * (tb - ta), mb + far * (mb - ma))
    print(f"{'extrapolated: resume':34} {_BILLION:13,} {billion[1]:9.1f} {billion[2]:10.0f}")
    if args.chart:
        draw(
            {"measured": measured, "simulated": simulated, "extrapolated": [simulated[-1], billion]},
            args.chart,
        )


def show(title: str, number: int, step: str, folder: Path, *, shown: bool = True) -> dict[str, float]:
    """Run a step, and print its line."""
    done = subprocess.run(
        [sys.executable, __file__, "--step", step, str(number), str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if shown:
        disk = sum(path.stat().st_size for path in folder.rglob("log/*")) / 1e6 if folder.name else 0.0
        first = f"; first task after {found['first']:.2f} s" if "first" in found else ""
        print(
            f"{title:34} {number:13,} {found['seconds']:9.2f} {found['memory']:10.0f} {disk:11.1f}{first}",
            flush=True,
        )
    return found


def made_up(number: int) -> None:
    """Let plans list a collection of so many names, as a bucket of cameras by day may have them."""

    def entries(source: str, span: Span = Span(), after: Place | None = None) -> Iterator[Entry]:  # noqa: B008
        first = 0 if after is None else int(after[0].rpartition("/")[2][:10]) + 1
        for i in range(first, number):
            yield named(i)

    plan_module.list_span = entries  # type: ignore[attr-defined]
    plan_module.spans_of = lambda source, most: [Span()]  # type: ignore[attr-defined]


def named(i: int) -> Entry:
    """A picture with a name that has a number and something that no other name shares."""
    some = hashlib.blake2b(i.to_bytes(8, "little"), digest_size=4).hexdigest()
    return Entry(f"{SOURCE}/{i // 5000:06}/{i:010}-{some}.jpg", folder=f"{i // 5000:06}")


def plan_in(folder: Path) -> Plan:
    """A plan of the made-up collection."""
    return Plan(
        FolderStore(folder), 0, [SOURCE], first=lambda: 0, part_size=PART, partitioned=False,
        foreign=lambda state: Names(),
    )  # fmt: skip


def work(folder: Path, most: int | None = None) -> dict[str, float]:
    """Take shards and mark them as done; seconds in all, and until the first one."""
    begun = time.perf_counter()
    plan = plan_in(folder)
    shards = plan.shards()
    first, pictures = 0.0, 0
    for shard, entries in shards:
        first = first or time.perf_counter() - begun
        plan.finish(shard, shard.entries)
        pictures += len(entries)
        if most is not None and pictures >= most:
            break
    shards.close()
    plan.stop()
    plan.save()
    found = {"seconds": time.perf_counter() - begun, "pictures": pictures}
    return found | ({"first": first} if first else {})


def half(number: int, folder: Path) -> dict[str, float]:
    """Begin, and stop when half of the pictures are done."""
    made_up(number)
    return work(folder, number // 2)


def rest(number: int, folder: Path) -> dict[str, float]:
    """Go on, to the end."""
    made_up(number)
    return work(folder)


def log(number: int, folder: Path) -> dict[str, float]:
    """Make log and parts of so many pictures that are done by nine tenths."""
    records, each = folder / "faces.mien", PART * PARTS
    records.mkdir()
    store, entries = FolderStore(records), [named(i) for i in range(each)]
    shard = Shard(
        0,
        SOURCE,
        "",
        None,
        1,
        entries[0].place,
        entries[-1].place,
        each,
        PARTS,
        PART,
        False,
        digest_of(entries),
    )
    append_shard(store, shard, entries)
    (body,) = (records / "log").glob("*.listing")
    count = number // each
    for i in range(1, count):
        name = f"{i:07d}"
        (records / "log" / body.name.replace("0000000", name, 1)).hardlink_to(body)
        values = replace(shard, number=i).__dict__
        (records / "log" / f"{name}.json").write_text(json.dumps(values))
    State(next=count, sources={SOURCE: [Range(finished=True, entries=number)]}).save(store, 0)
    (records / "batch.json").write_text(json.dumps(asdict(SETTINGS)))
    output = FolderStore(folder / "faces")
    task = Task((), "part-0000000-000.parquet", 0, Publisher(output))
    write_part(task, [FrameResult("x")], ["happy"])
    first = folder / "faces" / task.part
    for i in range(count * 9 // 10):
        for j in range(i == 0, PARTS):
            # A file system allows some ten thousands of names a file.
            if (i * PARTS + j) % 10_000 == 0:
                shutil.copy(first, first := first.with_name(f"part-{i:07d}-{j:03d}.parquet"))
            else:
                first.with_name(f"part-{i:07d}-{j:03d}.parquet").hardlink_to(first)
    return {"seconds": 0.0}


def resume(number: int, folder: Path) -> dict[str, float]:
    """Go on there: the seconds until the first task is known, and until all shards were taken."""
    made_up(0)
    begun = time.perf_counter()
    output = FolderOutput(folder / "faces", SETTINGS)
    with output.locked():
        plan = Plan(
            output.records, 0, [SOURCE], first=output.first_shard, part_size=PART, partitioned=False,
            foreign=output.foreign,
        )  # fmt: skip
        output.reconcile(plan.state)
        first, left = 0.0, 0
        for _, entries in plan.shards():
            first = first or time.perf_counter() - begun
            left += len(entries)
        plan.stop()
    if left != number // 10:
        raise RuntimeError(f"{left} pictures left; expected a tenth of {number}")
    return {"seconds": time.perf_counter() - begun, "first": first}


def names(number: int, folder: Path) -> dict[str, float]:
    """Take in so many names, without an order."""
    begun = time.perf_counter()
    known = Names()
    for i in range(0, number, 4096):
        known.add([f"{SOURCE}/{j // 5000:06}/{j:010}.jpg" for j in range(i, min(i + 4096, number))])
    return {"seconds": time.perf_counter() - begun}


STEPS = {
    "nothing": lambda number, folder: {"seconds": 0.0},
    "half": half, "rest": rest, "again": rest, "log": log, "resume": resume, "names": names,
}  # fmt: skip


def draw(kinds: dict[str, list[tuple[int, float, float]]], path: Path) -> None:
    """Seconds until the first task, and memory, against the number of pictures, a line a kind."""
    import matplotlib.pyplot as plt

    figure, sides = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
    for axes, place, name in ((sides[0], 1, "seconds to the first task"), (sides[1], 2, "memory, MB")):
        for kind, points in kinds.items():
            line = ":" if kind == "extrapolated" else "-"
            axes.plot(
                [one[0] for one in points], [one[place] for one in points], line, marker="o", label=kind
            )
        axes.set(xscale="log", xlabel="pictures", ylabel=name, ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    sides[0].legend(frameon=False)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
