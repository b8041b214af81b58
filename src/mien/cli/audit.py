"""The commands that look for what is wrong: with a dataset, with a model."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien._core.text import count
from mien.cli.options import (
    INPUT,
    MODEL,
    OUTPUT,
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
    check_hidden,
    check_outside,
    check_split,
    check_together,
    load,
    progress_bar,
    score_robustness,
)
from mien.models.registry import DEFAULT_HEAD, DEFAULT_MODEL

if TYPE_CHECKING:
    from mien.evaluation.fairness import ModelAudit
    from mien.evaluation.predictions import Predictions
    from mien.evaluation.robustness import RobustnessReport
    from mien.models.classifier import EmotionClassifier

commands = typer.Typer()


@commands.command(epilog="Example: mien audit fer2013.csv --output audit --clean clean.parquet")
def audit(
    data: DataArgument,
    output: Annotated[Path | None, output_option("Folder for report.html and audit.json.")] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            help="Write the list (.csv) or the cleaned dataset (.parquet).",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    drop_wrong_labels: Annotated[
        bool,
        typer.Option(
            "--drop-wrong-labels", help="Let --clean drop likely wrong labels, too.", rich_help_panel=OUTPUT
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Check labels with this model: mien-s, or a run.", show_default=False, rich_help_panel=MODEL
        ),
    ] = None,
    format: ReportFormatOption = ReportFormat.TABLE,
    votes: VotesOption = None,
    no_thumbnails: ThumbnailsOption = False,
) -> None:
    """Find duplicates, near-duplicates, train/test leakage, images without a face and label errors."""
    from mien.auditing.audit import audit
    from mien.auditing.cleaning import write_clean, wrong_target
    from mien.auditing.report import format_audit, write_page
    from mien.models.classifier import EmotionClassifier

    if clean is not None and (reason := wrong_target(clean, data)):
        raise typer.BadParameter(reason, param_hint="--clean")
    check_together("--drop-wrong-labels", drop_wrong_labels, "--clean", clean is not None)
    check_outside("--output", output, data)
    check_hidden("--no-thumbnails", no_thumbnails, {"--output": output})
    classifier = None if model is None else EmotionClassifier(model)
    dataset = load(data, votes)
    with progress_bar() as progress:
        report = audit(dataset, classifier=classifier, progress=progress)
    if output is not None:
        files = write_page(report, dataset, output, thumbnails=not no_thumbnails)
        typer.echo(f"wrote {', '.join(map(str, files))}", err=True)
    if clean is not None:
        dropped = write_clean(clean, dataset, report, wrong_labels=drop_wrong_labels)
        typer.echo(f"wrote {clean}: {count(dropped, 'image')} to drop", err=True)
    typer.echo(
        json.dumps(report.summary(), indent=2) if format is ReportFormat.JSON else format_audit(report)
    )


@commands.command(epilog="Example: mien audit-model my-faces/ --group age --output audit")
def audit_model(
    data: DataArgument,
    output: Annotated[Path, output_option("Folder for report.html and audit.json.")],
    group: Annotated[
        str | None,
        typer.Option(
            help="Column that names the group of every image, such as age.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="Table (CSV, Parquet) with the columns file and the one of --group.  "
            "[default: the data itself; for class folders the groups.csv in them]",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    split: SplitOption = None,
    head: ScoredHeadOption = DEFAULT_HEAD,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness/--no-robustness", help="Also score robustness to corruptions; takes the most time."
        ),
    ] = True,
    format: ReportFormatOption = ReportFormat.TABLE,
    votes: VotesOption = None,
) -> None:
    """Compare accuracy, calibration and robustness to corruptions of a model between groups."""
    from mien.data.groups import read_group_column
    from mien.evaluation.fairness import audit_groups
    from mien.evaluation.fairness_report import write_model_audit
    from mien.evaluation.predictions import predict_split
    from mien.models.classifier import EmotionClassifier

    if groups is not None and group is None:
        raise typer.BadParameter("needs the name of a column: --group", param_hint="--groups")
    check_outside("--output", output, data)
    classifier = EmotionClassifier(model)
    classifier.config.output(head)  # a wrong name is an error before the data are read
    column = None if group is None else read_group_column(data, group, table=groups)
    dataset, part = load(data, votes), split and split.value
    check_split(dataset, part)
    answers = predict_split(classifier, dataset, split=part, head=head)
    found = None if column is None else column.groups(answers.part.names)
    result = audit_groups(answers, found, group)
    corrupted = _score_extremes(classifier, answers, result, found) if robustness else {}
    page = write_model_audit(
        result, answers, output, robustness=corrupted, command=shlex.join(["mien", *sys.argv[1:]])
    )
    as_json = format is ReportFormat.JSON
    typer.echo(json.dumps(result.to_dict(), indent=2) if as_json else result.to_text())
    typer.echo(f"wrote {page}", err=True)


def _score_extremes(
    classifier: EmotionClassifier, predictions: Predictions, audit: ModelAudit, groups: Sequence[str] | None
) -> dict[str, RobustnessReport]:
    """The scores on corrupted images: of all, and of the two groups that differ most."""
    from mien.evaluation.fairness import group_places, predictions_of

    parts = {"all": predictions}
    if groups is not None and audit.largest_gap is not None:
        places = group_places(groups)
        ends = (audit.largest_gap.high, audit.largest_gap.low)
        parts |= {f"{audit.column} {name}": predictions_of(predictions, places[name]) for name in ends}
    return {name: score_robustness(classifier, part) for name, part in parts.items()}
