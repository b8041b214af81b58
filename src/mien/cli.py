"""The command `mien`: one short function a command. What a command needs is imported when it runs."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

import mien
from mien.cli_options import (
    DataArgument,
    DetectorOption,
    Head,
    ImageFormat,
    ModelOption,
    ReportFormat,
    SplitName,
    VotesOption,
)
from mien.cli_support import check_outside, load, open_stream, progress_bar, score_damaged, show_scores
from mien.errors import DetectorError, MienError, MissingExtraError, ModelError, SettingsError
from mien.weights import DEFAULT_MODEL

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Reads facial expressions: from a picture to seven probabilities a face, offline.",
    epilog="Start with: mien demo",
)


def main() -> None:
    """The entry point: every error of mien's own is one line and an exit code."""
    try:
        app()
    except MienError as error:
        sys.stderr.write(f"mien: {error}\n")
        raise SystemExit(
            next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
        ) from None
    except OSError as error:  # a full disk, a folder that may not be written
        sys.stderr.write(f"mien: {error}\n")
        raise SystemExit(1) from None


_EXIT_CODES: dict[type[MienError], int] = {
    ModelError: 2,
    DetectorError: 2,
    MissingExtraError: 2,
    SettingsError: 2,
    MienError: 1,
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {mien.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """What comes before a command."""


@app.command(epilog="Example: mien image photos/ portrait.jpg --format csv > faces.csv")
def image(
    paths: Annotated[
        list[str], typer.Argument(help="Pictures, folders, globs, or - for stdin.", show_default=False)
    ],
    format: Annotated[ImageFormat, typer.Option(help="How to write the faces.")] = ImageFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file instead of stdout.", show_default=False)
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write pictures with boxes and labels here.", show_default=False)
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Write a bar chart of every face here.", show_default=False)
    ] = None,
    detector: DetectorOption = "haar",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Tell the expressions in pictures."""
    from mien.drawings import Drawings
    from mien.recognition import EmotionRecognizer
    from mien.writers import open_writer

    if format is ImageFormat.PARQUET and output is None:
        raise typer.BadParameter("parquet is no text: name a file with --output", param_hint="--format")
    recognizer = EmotionRecognizer(model, detector=detector)
    drawings = Drawings(annotate, chart)
    failed = False
    with (
        open_stream(output, binary=format is ImageFormat.PARQUET) as stream,
        open_writer(format.value, stream, recognizer.labels) as writer,
    ):
        for result, picture in recognizer.recognize_files(paths):
            writer.write(result)
            failed = failed or result.error is not None
            if picture is not None:
                drawings.draw(picture, result)
    if failed:
        raise typer.Exit(1)


@app.command(epilog="Example: mien demo --out my-demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("mien-demo"),
) -> None:
    """Read the expression of a portrait that every installation has, and draw it."""
    from mien.charts import sample_portrait
    from mien.drawings import Drawings
    from mien.images import read_image
    from mien.recognition import EmotionRecognizer
    from mien.writers import open_writer

    recognizer = EmotionRecognizer()
    portrait = sample_portrait()
    picture = read_image(portrait)
    result = recognizer.recognize_picture(picture, str(portrait))
    with open_writer("table", sys.stdout, recognizer.labels) as writer:
        writer.write(result)
    for path in Drawings(out, out).draw(picture, result):
        typer.echo(f"wrote {path}")


@app.command(epilog="Example: mien models")
def models() -> None:
    """List the models that are shipped with mien."""
    from mien.weights import available_models, resolve_model

    for config in available_models():
        megabytes = sum(file.stat().st_size for file in resolve_model(config.name).iterdir()) / 1e6
        default = " (default)" if config.name == DEFAULT_MODEL else ""
        typer.echo(f"{config.name}{default}: {megabytes:.1f} MB; {', '.join(config.labels)}")
        for head, scores in config.metrics.items():
            typer.echo(
                f"  {head}: {100 * scores['accuracy']:.1f} % right on {scores['n']} validation images"
                f" of {config.data['name']}"
            )


@app.command(epilog="Example: mien data fer2013.csv")
def data(path: DataArgument, votes: VotesOption = None) -> None:
    """Count the images of a dataset by split and class."""
    from mien.datasets import describe

    for line in describe(load(path, votes)):
        typer.echo(line)


@app.command(epilog="Example: mien train fer2013.csv --out runs/first --network tutorial-cnn --epochs 40")
def train(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped, by its own settings.")
    ] = False,
    network: Annotated[
        str | None,
        typer.Option(help="mien-s, tutorial-cnn or resnet50.  [default: mien-s]", show_default=False),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            help="Settings: a TOML file, or the recipe of a network by its name.  [default: the network's own]",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Start from this model: mien-s, a model folder, a run.", show_default=False),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Of resnet50's base: imagenet, none, or a Keras file.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training images.", show_default=False)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a step.", show_default=False)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="Its peak.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all chance.", show_default=False)] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any setting: optimizer=adamw, augmentation.mixup=0.4.", show_default=False
        ),
    ] = None,
    votes: VotesOption = None,
) -> None:
    """Train a network, export it, and score what was exported.

    What is not named here has the value of the network's own recipe; the run's config.toml lists all settings.
    """
    from mien.training.config import combine, parse_setting
    from mien.training.train import train

    named = {
        "init": init, "weights": weights, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "seed": seed,
    }  # fmt: skip
    changes = dict(parse_setting(text) for text in setting or ())
    changes |= {name: value for name, value in named.items() if value is not None}
    if resume and (network or config or changes):
        raise typer.BadParameter("goes on by the run's own settings: leave others out", param_hint="--resume")
    check_outside("--out", out, data)
    settings = combine(network, config, changes)
    folder = train(load(data, votes), out, settings, resume=resume)
    typer.echo(f"wrote {folder}: try it with mien image PHOTO --model {out}")


@app.command(epilog="Example: mien distill fer2013.csv --teacher runs/a --teacher runs/b --out soft.npz")
def distill(
    data: DataArgument,
    teacher: Annotated[
        list[str], typer.Option(help="A run, or a model; more than one are averaged.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    config: Annotated[
        str, typer.Option(help="Settings of the student: a TOML file, or a recipe by its name.")
    ] = "mien-s",
    views: Annotated[int, typer.Option(min=1, max=256, help="Views of every image.")] = 8,
    votes: VotesOption = None,
) -> None:
    """Write down what trained models think of the training images, for a student to learn from.

    The student is trained on the same data, with `mien train --config CONFIG --set teachers=FILE`.
    """
    from mien.classification import EmotionClassifier
    from mien.training.config import combine
    from mien.training.distill import distill
    from mien.training.recipe import split_up

    check_outside("--out", out, data)
    models = [EmotionClassifier(name) for name in teacher]
    split = split_up(load(data, votes), combine(None, config, {})).split("train")
    with progress_bar() as progress:
        soft = distill(models, split, views=views, progress=progress)
    soft.save(out)
    typer.echo(f"wrote {out}: train with --config {config} --set teachers={out}")


@app.command(epilog="Example: mien evaluate fer2013.csv --out report")
def evaluate(
    data: DataArgument,
    model: ModelOption = DEFAULT_MODEL,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Part of the data.  [default: validation, else test]", show_default=False),
    ] = None,
    head: Annotated[
        Head, typer.Option(help="Output to score; auto: the one trained on such labels.")
    ] = Head.AUTO,
    format: Annotated[ReportFormat, typer.Option(help="How to write the scores.")] = ReportFormat.TABLE,
    votes: VotesOption = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two models, side by side, with a paired test.", show_default=False),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Score moved, blurred, noisy, small and dark faces too.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write report.html with charts here; scores flip and ten-crop too.", show_default=False
        ),
    ] = None,
) -> None:
    """Score a model on a dataset, or compare two."""
    from mien.answers import answer
    from mien.classification import EmotionClassifier
    from mien.comparison import compare as compare_answers
    from mien.comparison_report import write_report
    from mien.evaluation import score

    if compare and robustness:
        raise typer.BadParameter("is of one model: leave out --compare", param_hint="--robustness")
    if compare and model != DEFAULT_MODEL:
        raise typer.BadParameter("--compare names both models: leave out --model", param_hint="--model")
    check_outside("--out", out, data)
    classifiers = [EmotionClassifier(name) for name in compare or (model,)]
    dataset, part = load(data, votes), split and split.value
    found = [answer(c, dataset, split=part, head=head.value, views=out is not None) for c in classifiers]
    result = compare_answers(*found) if compare else score(*found)
    damaged = score_damaged(classifiers[0], found[0]) if robustness else None
    show_scores(result, damaged, as_json=format is ReportFormat.JSON)
    if out is not None:
        page = write_report(found, out, command=shlex.join(["mien", *sys.argv[1:]]), robustness=damaged)
        typer.echo(f"wrote {page}", err=True)


@app.command(epilog="Example: mien audit fer2013.csv --out audit --clean clean.parquet")
def audit(
    data: DataArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and audit.json.", show_default=False)
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(help="Write the list (.csv) or the cleaned dataset (.parquet).", show_default=False),
    ] = None,
    drop_wrong_labels: Annotated[
        bool, typer.Option("--drop-wrong-labels", help="Let --clean drop likely wrong labels, too.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Judge labels by this model: mien-s, or a run.", show_default=False)
    ] = None,
    format: Annotated[ReportFormat, typer.Option(help="How to write the figures.")] = ReportFormat.TABLE,
    votes: VotesOption = None,
) -> None:
    """Find copies, contradictions, images without a face and likely wrong labels."""
    from mien.audit import audit
    from mien.audit_page import format_audit, write_page
    from mien.classification import EmotionClassifier
    from mien.cleaning import write_clean, wrong_target

    if clean is not None and (reason := wrong_target(clean, data)):
        raise typer.BadParameter(reason, param_hint="--clean")
    check_outside("--out", out, data)
    classifier = None if model is None else EmotionClassifier(model)
    dataset = load(data, votes)
    with progress_bar() as progress:
        report = audit(dataset, classifier=classifier, progress=progress)
    if out is not None:
        typer.echo(f"wrote {', '.join(map(str, write_page(report, dataset, out)))}", err=True)
    if clean is not None:
        dropped = write_clean(clean, dataset, report, wrong_labels=drop_wrong_labels)
        typer.echo(f"wrote {clean}: {dropped} images to drop", err=True)
    typer.echo(
        json.dumps(report.summary(), indent=2) if format is ReportFormat.JSON else format_audit(report)
    )
