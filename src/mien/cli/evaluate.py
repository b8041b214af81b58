"""The commands that score models: `evaluate`, `card`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DataArgument,
    Head,
    HeadOption,
    ModelOption,
    ReportFormat,
    ReportFormatOption,
    SplitOption,
    ThumbnailsOption,
    VotesOption,
)
from mien.cli.support import (
    check_file,
    check_hidden,
    check_outside,
    load,
    progress_bar,
    score_damaged,
    show_scores,
)
from mien.models.registry import DEFAULT_MODEL

commands = typer.Typer()


@commands.command(epilog="Example: mien evaluate fer2013.csv --out report")
def evaluate(
    data: DataArgument,
    model: ModelOption = DEFAULT_MODEL,
    split: SplitOption = None,
    head: HeadOption = Head.AUTO,
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
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write report.html with charts here; also scores test-time augmentation (flip, ten-crop).",
            show_default=False,
        ),
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
        raise typer.BadParameter("--compare names both models: omit --model", param_hint="--model")
    check_outside("--out", out, data)
    check_hidden("--no-thumbnails", no_thumbnails, {"--out": out})
    classifiers = [EmotionClassifier(name) for name in compare or (model,)]
    dataset, part = load(data, votes), split and split.value
    found = [
        predict_split(c, dataset, split=part, head=head.value, views=out is not None) for c in classifiers
    ]
    result = compare_answers(*found) if compare else score(*found)
    damaged = score_damaged(classifiers[0], found[0]) if robustness else None
    show_scores(result, damaged, as_json=format is ReportFormat.JSON)
    if out is not None:
        command = shlex.join(["mien", *sys.argv[1:]])
        page = write_report(found, out, command=command, robustness=damaged, thumbnails=not no_thumbnails)
        typer.echo(f"wrote {page}", err=True)


@commands.command(epilog="Example: mien card fer2013.csv --model runs/first --out MODEL_CARD.md")
def card(
    data: DataArgument,
    model: ModelOption = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("MODEL_CARD.md"),
    split: SplitOption = None,
    votes: VotesOption = None,
) -> None:
    """Write a model card: data, recipe, accuracy, calibration, robustness to corruptions, limits."""
    from mien.evaluation.model_card import write_model_card
    from mien.models.classifier import EmotionClassifier

    check_file("--out", out, data)
    command = shlex.join(["mien", *sys.argv[1:]])
    with progress_bar() as progress:
        write_model_card(
            EmotionClassifier(model),
            load(data, votes),
            out,
            split=split and split.value,
            command=command,
            progress=progress,
        )
    typer.echo(f"wrote {out}")
