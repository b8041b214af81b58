"""The commands about pictures and models: `image`, `demo`, `bench`, `models`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien._core.text import count, percent
from mien.cli.option_groups import with_groups
from mien.cli.options import (
    OUTPUT,
    PRIVACY,
    AggregateOption,
    BlurOption,
    FaceFormat,
    FaceFormatOption,
    MinGroupOption,
    OutputOption,
    Partition,
    PicturesArgument,
    RecognizerOptions,
    ReportFormat,
    ReportFormatOption,
    output_option,
)
from mien.cli.output_file import check_no_input, choose_format, open_output
from mien.cli.support import (
    Tally,
    check_hidden,
    check_together,
    check_written,
    say_filtered,
    say_others,
    say_written,
    write_aggregate,
)
from mien.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from mien.output.image_files import PictureFiles
    from mien.recognition import EmotionRecognizer

commands = typer.Typer()


@commands.command(epilog="Example: mien image photos/ portrait.jpg --format csv > faces.csv")
@with_groups
def image(
    paths: PicturesArgument,
    *,
    format: FaceFormatOption = None,
    output: OutputOption = None,
    annotate: Annotated[
        Path | None,
        typer.Option(
            help="Write pictures with boxes and labels into this folder.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            help="Write a bar chart of every face into this folder.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    recognition: RecognizerOptions,
    blur_faces: BlurOption = False,
    aggregate: AggregateOption = False,
    by: Annotated[
        Partition,
        typer.Option(help="With --aggregate: every folder is a group.", rich_help_panel=PRIVACY),
    ] = Partition.NONE,
    min_group: MinGroupOption = 10,
) -> None:
    """Recognise the expressions in pictures."""
    from mien.faces.anonymize import FaceAnonymizer
    from mien.faces.detector import search_to_anonymize
    from mien.images.find import SUFFIXES, find_images
    from mien.output.image_files import PictureFiles

    format = choose_format(FaceFormat, format, output)
    check_no_input("--output", output, find_images(paths) if output and output.exists() else [])
    drawn = {"--annotate": annotate, "--chart": chart}
    check_written(format.value, output, aggregate, drawn)
    check_hidden("--blur-faces", blur_faces, drawn)
    check_together("--by", by is not Partition.NONE, "--aggregate", aggregate)
    recognizer = recognition.recognizer()
    if aggregate:
        results = recognizer.recognize_files(paths)
        groups = ((str(Path(r.source).parent) if by is Partition.FOLDER else "all", r) for r in results)
        failed = write_aggregate(
            groups, recognizer.labels, min_group, output, format.value, folders=by is Partition.FOLDER
        )
    else:
        hide = FaceAnonymizer(search_to_anonymize()).hide if blur_faces else None
        drawings = PictureFiles(annotate, chart, hide=hide, paths=paths)
        failed = _write_faces(recognizer, paths, format, output, drawings)
        if annotate is not None:
            say_written(count(drawings.pictures, "annotated picture"), annotate, folder=True)
        if chart is not None:
            say_written(count(drawings.charts, "chart"), chart, folder=True)
    say_others(paths, SUFFIXES)
    if failed:
        raise typer.Exit(1)


def _write_faces(
    recognizer: EmotionRecognizer,
    paths: list[str],
    format: FaceFormat,
    output: Path | None,
    drawings: PictureFiles,
) -> bool:
    """Rows and drawings of pictures; whether one could not be read."""
    from mien.output.writers import open_writer
    from mien.recognition import recognize_and_keep

    tally = Tally()
    with (
        open_output(output, binary=format is FaceFormat.PARQUET) as stream,
        open_writer(format.value, stream, recognizer.labels) as writer,
    ):
        for one in recognize_and_keep(recognizer, paths, pictures=drawings.wanted):
            writer.write(one.result)
            tally.add(one.result)
            if one.picture is not None:
                drawings.draw(one.picture, one.result)
    say_filtered(tally.filtered, recognizer.min_quality)
    tally.say(output, format.value, "picture")
    return tally.failed


@commands.command(epilog="Example: mien demo --output my-demo")
@with_groups
def demo(
    *,
    output: Annotated[Path, output_option("Folder for the pictures.")] = Path("mien-demo"),
    recognition: RecognizerOptions,
) -> None:
    """Recognise the expression of a portrait that every installation contains, and draw it."""
    from mien.images.read import read_image
    from mien.images.sample import sample_portrait
    from mien.output.image_files import PictureFiles
    from mien.output.writers import open_writer

    recognizer = recognition.recognizer()
    portrait = sample_portrait()
    picture = read_image(portrait)
    result = recognizer.recognize(picture, source=str(portrait))
    with open_writer("table", sys.stdout, recognizer.labels) as writer:
        writer.write(result)
    for path in PictureFiles(output, output).draw(picture, result):
        typer.echo(f"wrote {path}")


@commands.command(epilog="Example: mien bench photo.jpg")
@with_groups
def bench(
    picture: Annotated[
        Path | None, typer.Argument(help="A picture.  [default: the demo's portrait]", show_default=False)
    ] = None,
    *,
    format: ReportFormatOption = ReportFormat.TABLE,
    duration: Annotated[
        float, typer.Option(help="About how many seconds to measure.", min=0.1, max=600)
    ] = 5.0,
    recognition: RecognizerOptions,
) -> None:
    """Measure the speed of detection and recognition on this machine."""
    import json

    from mien.benchmark import measure_speed
    from mien.images.sample import sample_portrait

    speed = measure_speed(recognition.recognizer(), picture or sample_portrait(), duration=duration)
    if format is ReportFormat.JSON:
        typer.echo(json.dumps(speed.to_dict(), indent=2))
        return
    typer.echo("\n".join(speed.lines()))


@commands.command(epilog="Example: mien models")
def models() -> None:
    """List the models shipped with mien."""
    from mien.models.registry import MODEL_FILE, available_models, resolve_model

    for config in available_models():
        path = resolve_model(config.name) / MODEL_FILE
        megabytes = path.stat().st_size / 1e6  # of what predictions need; the Keras weights are for training
        default = " (default)" if config.name == DEFAULT_MODEL else ""
        typer.echo(f"{config.name}{default}: {megabytes:.1f} MB; {', '.join(config.labels)}")
        for head, scores in config.metrics.items():
            typer.echo(
                f"  {head}: {percent(scores['accuracy'])} right on {count(scores['n'], 'validation image')}"
                f" of {config.data['name']}"
            )
        typer.echo(f"  {path}")
