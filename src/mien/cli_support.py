"""What several commands do: read a dataset, show progress, open and show what they write."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mien.answers import Answers
    from mien.classification import EmotionClassifier
    from mien.comparison import Comparison
    from mien.datasets import Dataset
    from mien.evaluation import EvaluationReport
    from mien.robustness import RobustnessReport


def check_outside(option: str, target: Path | None, data: Path) -> None:
    """Refuse to write results into the folder of a dataset."""
    from mien.cleaning import wrong_folder

    if target is not None and (reason := wrong_folder(target, data)):
        raise typer.BadParameter(reason, param_hint=option)


def check_file(option: str, target: Path, data: Path) -> None:
    """Refuse to write a file over a dataset or into its folder; make the folder that it will lie in."""
    check_outside(option, target.parent, data)
    if target.resolve() == data.resolve() or target.is_dir():
        raise typer.BadParameter(f"{target}: expected a file of its own", param_hint=option)
    target.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def open_stream(output: Path | None, *, binary: bool) -> Iterator[IO[Any]]:
    """Stdout, or the file, opened."""
    if output is None:
        yield sys.stdout
    elif binary:
        with output.open("wb") as file:
            yield file
    else:
        with output.open("w", encoding="utf-8", newline="") as text:
            yield text


def say_left_out(faces: int, min_quality: float, how: str = "") -> None:
    """Say on stderr how many faces were not good enough, if there were any."""
    if faces:
        typer.echo(f"mien: faces left out, of a quality below {min_quality:g}: {faces}{how}", err=True)


def load(path: Path, votes: Path | None) -> Dataset:
    """A dataset, read under a progress bar."""
    from mien.datasets import load_dataset

    with progress_bar() as progress:
        return load_dataset(
            path, votes=votes, progress=lambda done, total: progress(f"reading {path.name}", done, total)
        )


def score_damaged(classifier: EmotionClassifier, answers: Answers) -> RobustnessReport:
    """The scores on damaged images, under a progress bar."""
    from mien.robustness import damage_and_score

    with progress_bar() as progress:
        return damage_and_score(classifier, answers, progress=progress)


def show_scores(
    scores: EvaluationReport | Comparison, robustness: RobustnessReport | None, *, as_json: bool
) -> None:
    """Print scores, and below them what damage does to them where that was measured; in JSON as "robustness"."""
    if as_json:
        damaged = {} if robustness is None else {"robustness": robustness.to_dict()}
        typer.echo(json.dumps(scores.to_dict() | damaged, indent=2))
        return
    typer.echo(scores.to_text())
    if robustness is not None:
        typer.echo(f"\n{robustness.to_text()}")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, moved by (what, done, total); none where nobody watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
