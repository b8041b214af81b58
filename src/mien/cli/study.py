"""The command `mien study`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mien._core.text import count
from mien.cli.episodes import EpisodeThresholds
from mien.cli.option_groups import with_groups
from mien.cli.options import OUTPUT, PatienceOption, RecognizerOptions, SamplingOptions, SmoothingOption
from mien.cli.support import progress_bar, say_others, say_written
from mien.video.smoothing import TIME_CONSTANT

commands = typer.Typer()

STUDY = "Study"


@dataclass(frozen=True)
class StudyOptions:
    """What is known of the clips, and what else to write: arguments of `run_study`."""

    write: Annotated[
        str,
        typer.Option(
            help="Also write files of other programs: eaf, textgrid, vtt, srt, boris, openface, joined by commas.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = ""
    segments: Annotated[
        Path | None,
        typer.Option(
            help="What happened when: a CSV file with clip, start, end, and condition and segment.",
            show_default=False,
            rich_help_panel=STUDY,
        ),
    ] = None
    people: Annotated[
        Path | None,
        typer.Option(
            help="Who is who: a CSV file with clip, track, person; an empty person is left out.",
            show_default=False,
            rich_help_panel=STUDY,
        ),
    ] = None

    def named(self) -> dict[str, Any]:
        """The options by the names of the arguments."""
        forms = [form.strip().lower() for form in self.write.split(",") if form.strip()]
        return vars(self) | {"write": forms}


@commands.command(
    epilog="Example: mien study clips --output my-study --segments segments.csv --people people.csv"
)
@with_groups
def study(
    paths: Annotated[list[str], typer.Argument(help="Clips, folders or globs.", show_default=False)],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the study; a study that is there goes on.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ],
    study_options: StudyOptions,
    thresholds: EpisodeThresholds,
    sampling: SamplingOptions,
    patience: PatienceOption = 1.0,
    smoothing: SmoothingOption = TIME_CONSTANT,
    recognition: RecognizerOptions,
) -> None:
    """Make the tables of a study from clips: episodes, rates, durations and latencies by person and condition."""
    from mien.study.run import run_study
    from mien.video.reader import VIDEO_SUFFIXES

    settings = thresholds.settings()
    sampling.sampling()
    try:
        with progress_bar() as progress:
            done = run_study(
                paths,
                output,
                recognizer=recognition.recognizer(),
                **vars(sampling),
                patience=patience,
                smoothing=smoothing,
                episodes=settings,
                **study_options.named(),
                progress=progress,
                say=lambda sentence: typer.echo(f"mien: {sentence}", err=True),
            )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for reason in done.failed.values():
        typer.echo(f"mien: {reason}", err=True)
    before = f" ({done.read} read now)" if done.read < done.clips else ""
    found = f"{count(done.people, 'person', 'people')}, {count(done.episodes, 'episode')}"
    say_written(f"{count(done.clips, 'clip')}{before}, {found}", output, folder=True)
    typer.echo(f"mien: open {done.page}", err=True)
    say_others(paths, VIDEO_SUFFIXES)
    if done.failed:
        raise typer.Exit(1)
