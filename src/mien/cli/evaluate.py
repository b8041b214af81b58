"""The commands that score models: `evaluate`, `card`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.option_groups import with_groups
from mien.cli.options import (
    DETECTION,
    DataArgument,
    FaceOptions,
    ModelOption,
    RecognizerOptions,
    ReportFormat,
    ReportFormatOption,
    ScoredHeadOption,
    SplitOption,
    ThumbnailsOption,
    VotesOption,
    output_option,
)
from mien.cli.support import (
    check_file,
    check_hidden,
    check_outside,
    check_split,
    check_together,
    load,
    progress_bar,
    score_robustness,
    show_scores,
)
from mien.models.registry import DEFAULT_HEAD, DEFAULT_MODEL

if TYPE_CHECKING:
    from mien.data.dataset import Dataset
    from mien.models.classifier import EmotionClassifier

commands = typer.Typer()


FindFacesOption = Annotated[
    bool,
    typer.Option(
        "--find-faces",
        help="DATA are photographs: find the face in each, at full size, and score the answer for the largest.",
        rich_help_panel=DETECTION,
    ),
]
CompareOption = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="A B", help="Two models, side by side, with a paired test.", show_default=False),
]
RobustnessOption = Annotated[
    bool,
    typer.Option(
        "--robustness", help="Also score robustness to corruptions: shift, blur, noise, small and dark faces."
    ),
]
EvaluationOption = Annotated[
    Path | None,
    output_option(
        "Folder for report.html, its charts and scores.json; scores flip and ten-crop too. With --find-faces for "
        "scores.json and photographs.csv."
    ),
]


@commands.command(epilog="Example: mien evaluate fer2013.csv --output report")
@with_groups
def evaluate(
    data: DataArgument,
    *,
    model: ModelOption = DEFAULT_MODEL,
    split: SplitOption = None,
    head: ScoredHeadOption = DEFAULT_HEAD,
    format: ReportFormatOption = ReportFormat.TABLE,
    votes: VotesOption = None,
    find_faces: FindFacesOption = False,
    faces: FaceOptions,
    compare: CompareOption = None,
    robustness: RobustnessOption = False,
    output: EvaluationOption = None,
    no_thumbnails: ThumbnailsOption = False,
) -> None:
    """Score a model on a dataset, or compare two; or the whole pipeline on photographs."""
    if compare and robustness:
        raise typer.BadParameter("is for one model: omit --compare", param_hint="--robustness")
    if compare and model != DEFAULT_MODEL:
        raise typer.BadParameter("--compare names both models: leave out --model", param_hint="--model")
    part, as_json = split and split.value, format is ReportFormat.JSON
    check_outside("--output", output, data)
    if find_faces:
        _check_left_out(votes=votes, compare=compare, robustness=robustness, no_thumbnails=no_thumbnails)
        options = RecognizerOptions(**vars(faces), model=model, head=head)
        _evaluate_photographs(data, options, split=part, output=output, as_json=as_json)
        return
    for name, value in vars(faces).items():
        changed = value != getattr(FaceOptions, name)
        check_together(f"--{name.replace('_', '-')}", changed, "--find-faces", find_faces)
    check_hidden("--no-thumbnails", no_thumbnails, {"--output": output})
    classifiers = _classifiers(compare or (model,), head)
    dataset = load(data, votes)
    check_split(dataset, part)
    _evaluate_crops(
        classifiers,
        dataset,
        part,
        head,
        output,
        robustness=robustness,
        thumbnails=not no_thumbnails,
        as_json=as_json,
    )


def _check_left_out(**given: Any) -> None:
    """Refuse options that are for crops only."""
    for name, value in given.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter("is for crops: leave it out with --find-faces", param_hint=option)


def _classifiers(models: Sequence[str], head: str) -> list[EmotionClassifier]:
    """Models that have this head: a wrong name is an error before the data are read."""
    from mien.models.classifier import EmotionClassifier

    classifiers = [EmotionClassifier(name) for name in models]
    for classifier in classifiers:
        classifier.config.output(head)
    return classifiers


def _evaluate_crops(
    classifiers: Sequence[EmotionClassifier],
    dataset: Dataset,
    split: str | None,
    head: str,
    output: Path | None,
    *,
    robustness: bool,
    thumbnails: bool,
    as_json: bool,
) -> None:
    """Show the scores of one model or two, and write their report."""
    from mien.evaluation.comparison import compare
    from mien.evaluation.comparison_report import write_report
    from mien.evaluation.predictions import predict_split
    from mien.evaluation.scores import score

    found = [predict_split(c, dataset, split=split, head=head, views=output is not None) for c in classifiers]
    result = compare(*found) if len(found) == 2 else score(*found)
    corrupted = score_robustness(classifiers[0], found[0]) if robustness else None
    show_scores(result, corrupted, as_json=as_json)
    if output is not None:
        command = shlex.join(["mien", *sys.argv[1:]])
        page = write_report(found, output, command=command, robustness=corrupted, thumbnails=thumbnails)
        typer.echo(f"wrote {page}", err=True)


def _evaluate_photographs(
    data: Path, options: RecognizerOptions, *, split: str | None, output: Path | None, as_json: bool
) -> None:
    """Show the scores of the whole pipeline, and write them; exit code 1 if a photograph could not be read."""
    from mien.evaluation.photograph_report import write_photograph_report
    from mien.evaluation.photographs import evaluate_photographs

    recognizer = options.recognizer()
    with progress_bar() as progress:
        report = evaluate_photographs(
            recognizer,
            data,
            split=split,
            progress=lambda done, total: progress(f"reading {data.name}", done, total),
        )
    for answer in report.answers:
        if answer.error is not None:
            typer.echo(f"mien: {answer.name}: {answer.error}", err=True)
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.to_text())
    if output is not None:
        typer.echo(f"wrote {write_photograph_report(report, output)}", err=True)
    if report.unreadable:
        raise typer.Exit(1)


@commands.command(epilog="Example: mien card fer2013.csv --model runs/first --output MODEL_CARD.md")
def card(
    data: DataArgument,
    model: ModelOption = DEFAULT_MODEL,
    output: Annotated[Path, output_option("The Markdown file to write.")] = Path("MODEL_CARD.md"),
    split: SplitOption = None,
    votes: VotesOption = None,
) -> None:
    """Write a model card: data, recipe, accuracy, calibration, robustness to corruptions, limits."""
    from mien.evaluation.model_card import write_model_card
    from mien.models.classifier import EmotionClassifier

    check_file("--output", output, data)
    classifier = EmotionClassifier(model)
    dataset = load(data, votes)
    check_split(dataset, split and split.value)
    command = shlex.join(["mien", *sys.argv[1:]])
    with progress_bar() as progress:
        write_model_card(
            classifier,
            dataset,
            output,
            split=split and split.value,
            command=command,
            progress=progress,
        )
    typer.echo(f"wrote {output}")
