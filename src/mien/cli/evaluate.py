"""The commands that score models: `evaluate`, `card`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DataArgument,
    ModelOption,
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
    load,
    progress_bar,
    score_robustness,
    show_scores,
)
from mien.models.registry import DEFAULT_HEAD, DEFAULT_MODEL

commands = typer.Typer()


@commands.command(epilog="Example: mien evaluate fer2013.csv --output report")
def evaluate(
    data: DataArgument,
    model: ModelOption = DEFAULT_MODEL,
    split: SplitOption = None,
    head: ScoredHeadOption = DEFAULT_HEAD,
    format: ReportFormatOption = ReportFormat.TABLE,
    votes: VotesOption = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two models, side by side, with a paired test.", show_default=False),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Also score robustness to corruptions: shift, blur, noise, small and dark faces.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        output_option("Folder for report.html, its charts and scores.json; scores flip and ten-crop too."),
    ] = None,
    no_thumbnails: ThumbnailsOption = False,
) -> None:
    """Score a model on a dataset, or compare two."""
    from mien.evaluation.comparison import compare as compare_answers
    from mien.evaluation.comparison_report import write_report
    from mien.evaluation.predictions import predict_split
    from mien.evaluation.scores import score
    from mien.models.classifier import EmotionClassifier

    if compare and robustness:
        raise typer.BadParameter("is for one model: omit --compare", param_hint="--robustness")
    if compare and model != DEFAULT_MODEL:
        raise typer.BadParameter("--compare names both models: leave out --model", param_hint="--model")
    check_outside("--output", output, data)
    check_hidden("--no-thumbnails", no_thumbnails, {"--output": output})
    classifiers = [EmotionClassifier(name) for name in compare or (model,)]
    for classifier in classifiers:
        classifier.config.output(head)  # a wrong name is an error before the data are read
    dataset, part = load(data, votes), split and split.value
    check_split(dataset, part)
    found = [predict_split(c, dataset, split=part, head=head, views=output is not None) for c in classifiers]
    result = compare_answers(*found) if compare else score(*found)
    corrupted = score_robustness(classifiers[0], found[0]) if robustness else None
    show_scores(result, corrupted, as_json=format is ReportFormat.JSON)
    if output is not None:
        command = shlex.join(["mien", *sys.argv[1:]])
        page = write_report(
            found, output, command=command, robustness=corrupted, thumbnails=not no_thumbnails
        )
        typer.echo(f"wrote {page}", err=True)


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
