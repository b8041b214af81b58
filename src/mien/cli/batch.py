"""The commands about collections: `mien batch` and `mien summarize`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien._core.text import count
from mien.cli.option_groups import with_groups
from mien.cli.options import (
    INPUT,
    OUTPUT,
    PRIVACY,
    FileReportFormatOption,
    OutputOption,
    Partition,
    RecognizerOptions,
    ReportFormat,
    output_option,
)
from mien.cli.output_file import choose_format, open_output
from mien.cli.support import check_together, say_hidden, say_written, show_summaries

if TYPE_CHECKING:
    from mien.batch.run import BatchOutcome

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
    int | None,
    typer.Option(
        help="Decode large JPEGs at 1/2, 1/4 or 1/8, keeping this many pixels on the long side; 0: full size.  "
        "[default: what the search needs]",
        min=0,
        show_default=False,
        rich_help_panel=INPUT,
    ),
]


@commands.command(epilog="Example: mien batch photos/ --output faces/")
@with_groups
def batch(
    sources: SourcesArgument,
    *,
    output: Annotated[
        str,
        output_option("Folder or URL (s3://) for the Parquet parts; an unfinished run is resumed."),
    ],
    engine: Annotated[Engine, typer.Option(help="The cores of this machine, or Ray.")] = Engine.LOCAL,
    workers: Annotated[
        int | None, typer.Option(help="Processes.  [default: one per core]", min=1, show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster.  [default: one on this machine]", show_default=False),
    ] = None,
    partition: Annotated[
        Partition,
        typer.Option(help="A folder for each first folder of the source.", rich_help_panel=OUTPUT),
    ] = Partition.NONE,
    part_size: Annotated[int, typer.Option(help="Pictures per part.", min=1, rich_help_panel=OUTPUT)] = 500,
    decode_side: DecodeSideOption = None,
    recognition: RecognizerOptions,
) -> None:
    """Turn a collection into Parquet, one row per face; if stopped, the same command continues."""
    from mien.batch.run import run_batch

    check_together("--address", address is not None, "--engine ray", engine is Engine.RAY)
    try:
        with _progress() as progress:
            outcome = run_batch(
                sources,
                output,
                **recognition.named(),
                decode_side=decode_side,
                partition=partition.value,
                engine=engine.value,
                workers=workers,
                address=address,
                part_size=part_size,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo(f"stopped; what is done is in {output}: the same command continues", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(
            f"mien: {error}; finished parts are kept: fix it, and the same command continues", err=True
        )
        raise typer.Exit(1) from None
    _say(outcome, output)
    if outcome.errors:
        raise typer.Exit(1)


@commands.command(epilog="Example: mien summarize faces/ --by folder --chart shares.png")
def summarize(
    folder: Annotated[
        str, typer.Argument(help="The output folder or URL of mien batch.", show_default=False)
    ],
    by: Annotated[Partition, typer.Option(help="Also summarise every folder.")] = Partition.NONE,
    format: FileReportFormatOption = None,
    output: OutputOption = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            help="Write a chart of the shares to this file.", show_default=False, rich_help_panel=OUTPUT
        ),
    ] = None,
    min_group: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Do not show groups with fewer faces, and let nobody derive them.",
            show_default=False,
            rich_help_panel=PRIVACY,
        ),
    ] = None,
) -> None:
    """Summarise the expressions found by mien batch."""
    from mien.batch.summary import summarize as summaries_of
    from mien.output.aggregate import large_enough

    format = choose_format(ReportFormat, format, output)
    summaries = summaries_of(folder, by=by.value)
    if min_group is not None:
        summaries, hidden = large_enough(summaries[1:] or summaries, min_group)
        say_hidden(hidden, min_group)
    with open_output(output, binary=False) as stream:
        show_summaries(summaries, as_json=format is ReportFormat.JSON, stream=stream)
    if output is not None:
        say_written(count(len(summaries), "row"), output)
    if chart is not None and summaries:
        from mien.output.charts import emotion_shares

        emotion_shares({summary.group: summary.shares() for summary in summaries}, chart)
        say_written("chart", chart)


def _say(outcome: BatchOutcome, output: str) -> None:
    """What a run came to, and on a cluster what each node did."""
    known = f", {outcome.before:,} done before" if outcome.before else ""
    typer.echo(
        f"{count(outcome.pictures, 'picture')}, {count(outcome.faces, 'face')}, {count(outcome.errors, 'error')}"
        f"{known}; {count(outcome.rows, 'row')} in {output}",
        err=True,
    )
    if len(outcome.nodes) > 1:
        for node, pictures in sorted(outcome.nodes.items()):
            rate = pictures / outcome.seconds
            typer.echo(f"node {node}: {count(pictures, 'picture')}, {rate:,.1f} pictures/s", err=True)


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
    begun = reported = time.monotonic()
    first: int | None = None

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal reported, first
        now = time.monotonic()
        first = done if first is None else first
        if now - reported < _LINE_EVERY:
            return
        reported = now
        rate = (done - first) / (now - begun)
        of = f" of {total:,}" if total is not None else ""
        sys.stderr.write(f"{what}: {done:,}{of}, {rate:,.1f} pictures/s\n")

    return show
