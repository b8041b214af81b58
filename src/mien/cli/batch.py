"""The commands about collections: `mien batch` and `mien summarize`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DetectorOption,
    DetectorSizeOption,
    MinQualityOption,
    ModelOption,
    Partition,
    ReportFormat,
    ReportFormatOption,
)
from mien.cli.support import check_together, say_hidden, show_summaries
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_MODEL, DETECTOR_SIZE

commands = typer.Typer()

_LINE_EVERY = 30.0  # seconds between lines of progress where no terminal shows a bar


class Engine(StrEnum):
    """What the work is done by."""

    LOCAL = "local"
    RAY = "ray"


SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Folders, lists (.txt), .tar, .zip, .parquet, globs, or URLs such as s3://.", show_default=False
    ),
]


DecodeSideOption = Annotated[
    int,
    typer.Option(
        help="Decode large JPEGs at 1/2, 1/4 or 1/8, with at least this many pixels on the long side; 0: full size.",
        min=0,
    ),
]


@commands.command(epilog="Example: mien batch photos/ --to faces/")
def batch(
    sources: SourcesArgument,
    to: Annotated[Path, typer.Option(help="Folder for the Parquet parts; an unfinished one is continued.")],
    engine: Annotated[Engine, typer.Option(help="The cores of this machine, or Ray.")] = Engine.LOCAL,
    workers: Annotated[
        int | None, typer.Option(help="Processes.  [default: one per core]", min=1, show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster.  [default: one on this machine]", show_default=False),
    ] = None,
    partition: Annotated[
        Partition, typer.Option(help="One folder for each top-level folder of the source.")
    ] = Partition.NONE,
    part_size: Annotated[int, typer.Option(help="Pictures per part.", min=1)] = 500,
    min_size: Annotated[int, typer.Option(help="Skip faces with a shorter side, in pixels.", min=1)] = 20,
    min_quality: MinQualityOption = 0.0,
    decode_side: DecodeSideOption = 0,
    detector: DetectorOption = DEFAULT_DETECTOR,
    detector_size: DetectorSizeOption = DETECTOR_SIZE,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Turn a collection into Parquet, one row per face; if stopped, the same command continues."""
    from mien.batch.run import run_batch

    check_together("--address", address is not None, "--engine ray", engine is Engine.RAY)
    try:
        with _progress() as progress:
            outcome = run_batch(
                sources,
                to,
                model=model,
                detector=detector,
                detector_size=detector_size,
                min_quality=min_quality,
                min_size=min_size,
                decode_side=decode_side,
                partition=partition.value,
                engine=engine.value,
                workers=workers,
                address=address,
                part_size=part_size,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo(f"stopped; finished parts are in {to}: the same command continues", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(
            f"mien: {error}; finished parts are kept: fix it, and the same command continues", err=True
        )
        raise typer.Exit(1) from None
    known = f", {outcome.before:,} were done before" if outcome.before else ""
    typer.echo(
        f"{outcome.pictures:,} pictures, {outcome.faces:,} faces, {outcome.errors:,} errors{known}; "
        f"{outcome.rows:,} rows in {to}",
        err=True,
    )
    if outcome.errors:
        raise typer.Exit(1)


@commands.command(epilog="Example: mien summarize faces/ --by folder --chart shares.png")
def summarize(
    folder: Annotated[Path, typer.Argument(help="The output folder of mien batch.", show_default=False)],
    by: Annotated[Partition, typer.Option(help="Also summarise every folder.")] = Partition.NONE,
    format: ReportFormatOption = ReportFormat.TABLE,
    chart: Annotated[
        Path | None, typer.Option(help="Write a chart of the shares here.", show_default=False)
    ] = None,
    min_group: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Hide groups with fewer faces, so that they cannot be computed either.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Summarise the expressions found by mien batch."""
    from mien.batch.summary import summarize as count
    from mien.output.aggregate import large_enough

    summaries = count(folder, by=by.value)
    if min_group is not None:
        summaries, hidden = large_enough(summaries[1:] or summaries, min_group)
        say_hidden(hidden, min_group)
    show_summaries(summaries, as_json=format is ReportFormat.JSON)
    if chart is not None and summaries:
        from mien.output.charts import emotion_shares

        emotion_shares({summary.group: summary.shares() for summary in summaries}, chart)
        typer.echo(f"wrote {chart}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar with rate and time left on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("listing pictures", total=None, rate="")

        def show(what: str, done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:,.1f}/s" if speed else ""
            bar.update(task, description=what, completed=done, total=total, rate=rate)

        yield show


def _lines() -> Callable[[str, int, int | None], None]:
    begun = said = time.monotonic()
    first: int | None = None

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal said, first
        now = time.monotonic()
        first = done if first is None else first
        if now - said < _LINE_EVERY:
            return
        said = now
        rate = (done - first) / (now - begun)
        of = f" of {total:,}" if total is not None else ""
        sys.stderr.write(f"{what}: {done:,}{of}, {rate:,.1f} pictures/s\n")

    return show
