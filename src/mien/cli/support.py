"""What several commands do: read a dataset, show progress, open and show what they write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from mien._core.text import count, is_or_are
from mien.cli.output_file import open_output
from mien.errors import ServerError

if TYPE_CHECKING:
    from mien.data.dataset import Dataset
    from mien.evaluation.comparison import Comparison
    from mien.evaluation.predictions import Predictions
    from mien.evaluation.result import EvaluationReport
    from mien.evaluation.robustness import RobustnessReport
    from mien.models.classifier import EmotionClassifier
    from mien.output.aggregate import Summary
    from mien.results import FrameResult
    from mien.server.settings import Settings


def check_outside(option: str, target: Path | None, data: Path) -> None:
    """Refuse to write results into the folder of a dataset, or where no folder can be: before the data are read.

    Raises:
        OSError: nothing can be written there.
    """
    from mien._core.files import check_writable
    from mien.auditing.cleaning import wrong_folder

    if target is None:
        return
    if reason := wrong_folder(target, data):
        raise typer.BadParameter(reason, param_hint=option)
    check_writable(target)


def check_file(option: str, target: Path, data: Path) -> None:
    """Refuse to write a file over a dataset or into its folder; create the file's folder."""
    check_outside(option, target.parent, data)
    if target.resolve() == data.resolve() or target.is_dir():
        raise typer.BadParameter(f"{target}: expected a separate file", param_hint=option)
    target.parent.mkdir(parents=True, exist_ok=True)


def check_split(dataset: Dataset, split: str | None) -> None:
    """Refuse a split that the dataset does not have."""
    if split is not None and split not in dataset.splits:
        raise typer.BadParameter(
            f"{split}: {dataset.name} has no such split, expected one of {', '.join(dataset.splits)}",
            param_hint="--split",
        )


def server_settings(**values: Any) -> Settings:
    """The settings of a server, as `Settings` takes them, with the token that MIEN_TOKEN names.

    Raises:
        ServerError: a value out of range, or a token that cannot be sent.
    """
    from mien.server.settings import Settings

    try:
        return Settings(**values, token=os.environ.get("MIEN_TOKEN") or None)
    except ValueError as error:
        raise ServerError(str(error)) from None


def say_filtered(faces: int, min_quality: float, how: str = "") -> None:
    """Say on stderr how many faces were not good enough, if there were any."""
    if faces:
        typer.echo(f"mien: faces filtered out, of a quality below {min_quality:g}: {faces}{how}", err=True)


class Tally:
    """What came of the pictures or frames that a command has written so far."""

    def __init__(self) -> None:
        self.failed = False
        self.filtered = self.results = self.rows = 0
        self.readable: set[str] = set()  # names of pictures, or of clips with a frame

    def add(self, result: FrameResult) -> None:
        """Count one."""
        self.results += 1
        self.rows += max(1, len(result.faces))
        self.filtered += result.filtered
        if result.error is None:
            self.readable.add(result.source)
        else:
            self.failed = True

    def say(self, output: Path | None, format: str, what: str) -> None:
        """Say what is in the file: JSON has an item for `what`, a picture or frame, all other formats rows."""
        if output is not None:
            items = count(self.results, what) if format in ("json", "jsonl") else count(self.rows, "row")
            say_written(items, output)


def say_written(what: str, place: Path, *, folder: bool = False) -> None:
    """Say on stderr what a command has written and where: "12 rows in faces.csv"."""
    typer.echo(f"mien: {what} in {place}{'/' if folder else ''}", err=True)


def say_others(paths: Iterable[str], suffixes: Collection[str]) -> None:
    """Say on stderr what folders hold besides, if anything: nobody must think that it was read."""
    from mien.images import heic
    from mien.images.find import count_others

    if others := count_others(paths, suffixes):
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(8))
        typer.echo(f"mien: skipped in folders, as unsupported: {kinds}", err=True)
        if others.keys() & heic.SUFFIXES:
            typer.echo(f"mien: {heic.INSTALL}; or convert such photos to JPEG", err=True)


def load(path: Path, votes: Path | None) -> Dataset:
    """A dataset, read under a progress bar."""
    from mien.data.load import load_dataset

    with progress_bar() as progress:
        return load_dataset(
            path, votes=votes, progress=lambda done, total: progress(f"reading {path.name}", done, total)
        )


def score_robustness(classifier: EmotionClassifier, predictions: Predictions) -> RobustnessReport:
    """The scores on corrupted images, with a progress bar."""
    from mien.evaluation.robustness import score_corrupted

    with progress_bar() as progress:
        return score_corrupted(classifier, predictions, progress=progress)


def show_scores(
    scores: EvaluationReport | Comparison, robustness: RobustnessReport | None, *, as_json: bool
) -> None:
    """Print scores, and below them the robustness if it was measured; in JSON as "robustness"."""
    if as_json:
        corrupted = {} if robustness is None else {"robustness": robustness.to_dict()}
        typer.echo(json.dumps(scores.to_dict() | corrupted, indent=2))
        return
    typer.echo(scores.to_text())
    if robustness is not None:
        typer.echo(f"\n{robustness.to_text()}")


def check_written(
    format: str, output: Path | None, aggregate: bool, single: Mapping[str, Path | None]
) -> None:
    """Refuse Parquet on a terminal, and with --aggregate formats of rows and options that show single faces."""
    if format == "parquet" and output is None:
        raise typer.BadParameter("parquet is no text: name a file with --output", param_hint="--format")
    if not aggregate:
        return
    if format not in ("table", "json"):
        raise typer.BadParameter(
            "has one row per face: with --aggregate use table or json", param_hint="--format"
        )
    for option, target in single.items():
        if target is not None:
            raise typer.BadParameter("shows single faces: leave it out with --aggregate", param_hint=option)


def check_hidden(option: str, wanted: bool, drawn: Mapping[str, Path | None]) -> None:
    """Refuse an option that hides faces where nothing is drawn: who gives it must not think that it did something."""
    if wanted and not any(drawn.values()):
        raise typer.BadParameter(f"changes what {' and '.join(drawn)} write: name one", param_hint=option)


def check_together(option: str, given: bool, needed: str, there: bool) -> None:
    """Refuse an option that does nothing without another one."""
    if given and not there:
        raise typer.BadParameter(f"does nothing without {needed}: name both", param_hint=option)


def write_aggregate(
    results: Iterable[tuple[str, FrameResult]],
    labels: Iterable[str],
    least: int,
    output: Path | None,
    format: str,
    *,
    folders: bool = False,
) -> bool:
    """Write what groups show, of results with the names of their groups; whether one could not be read.

    Groups that are `folders` are named from the folder on that all of them have in common.
    """
    from mien.output.aggregate import Totals

    totals = Totals(labels, least)
    for group, result in results:
        totals.add(result, group)
    summaries, hidden = totals.shown(folders=folders)
    with open_output(output, binary=False) as stream:
        show_summaries(summaries, as_json=format == "json", stream=stream)
    if output is not None:
        say_written(count(len(summaries), "row"), output)
    say_hidden(hidden, least)
    if totals.frames_left_out:
        typer.echo(
            f"{count(totals.frames_left_out, 'frame')} with fewer than {least} faces "
            f"{is_or_are(totals.frames_left_out)} not counted",
            err=True,
        )
    if totals.errors:
        typer.echo(
            f"{count(totals.errors, 'file')} could not be read: without --aggregate named one by one",
            err=True,
        )
    return totals.errors > 0


def say_hidden(groups: int, least: int) -> None:
    """How many groups are not shown."""
    if groups:
        typer.echo(
            f"{count(groups, 'group')} with fewer than {least} faces {is_or_are(groups)} not shown", err=True
        )


def show_summaries(summaries: Sequence[Summary], *, as_json: bool, stream: IO[str] | None = None) -> None:
    """Print summaries, or that there is none to show."""
    from mien.output.aggregate import to_table
    from mien.output.decimals import to_json

    if as_json:
        typer.echo(to_json([summary.to_dict() for summary in summaries], indent=2), file=stream)
    else:
        typer.echo(to_table(summaries) if summaries else "no group is large enough", file=stream)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, moved by (what, done, total); none without a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if (
        not console.is_terminal
    ):  # where even a bar that is switched off would leave an empty line, before rich 15
        yield lambda what, done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
