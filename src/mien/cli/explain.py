"""The command that explains predictions: `mien explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import DetectorOption, DetectorSizeOption, ModelOption, PicturesArgument
from mien.cli.support import open_recognizer
from mien.models.registry import DEFAULT_DETECTOR, DEFAULT_MODEL, DETECTOR_SIZE

commands = typer.Typer()


@commands.command(epilog="Example: mien explain photo.jpg --out why")
def explain(
    paths: PicturesArgument,
    out: Annotated[Path, typer.Option(help="Folder for the charts and explanations.json.")] = Path(
        "mien-why"
    ),
    emotion: Annotated[
        str | None,
        typer.Option(
            help="Explain this expression.  [default: the prediction for each face]", show_default=False
        ),
    ] = None,
    detector: DetectorOption = DEFAULT_DETECTOR,
    detector_size: DetectorSizeOption = DETECTOR_SIZE,
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Show the region of a face that decided the prediction, and the prediction without that region."""
    from mien.explanation.explain import explain_faces, label_index
    from mien.explanation.files import open_explanations

    recognizer = open_recognizer(model, detector, detector_size)
    try:
        label_index(recognizer.labels, emotion)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--emotion") from None
    failed = False
    with open_explanations(out) as files:
        for result, picture in recognizer.recognize_files(paths):
            if picture is None:
                failed = True
                typer.echo(f"mien: {result.error}", err=True)
            reasons = (
                [] if picture is None else explain_faces(recognizer, picture, result.faces, emotion=emotion)
            )
            if picture is not None and not reasons:
                typer.echo(f"{result.source}: no face")
            for path, one in zip(files.write(result, picture, reasons), reasons, strict=False):
                typer.echo(f"{path}: {one.sentence()}")
    typer.echo(f"wrote {out / 'explanations.json'}", err=True)
    if failed:
        raise typer.Exit(1)
