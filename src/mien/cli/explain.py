"""The command that explains predictions: `mien explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.option_groups import with_groups
from mien.cli.options import PicturesArgument, RecognizerOptions, output_option

commands = typer.Typer()


@commands.command(epilog="Example: mien explain photo.jpg --output why")
@with_groups
def explain(
    paths: PicturesArgument,
    *,
    output: Annotated[Path, output_option("Folder for the charts and explanations.json.")] = Path("mien-why"),
    emotion: Annotated[
        str | None,
        typer.Option(
            help="Explain this expression.  [default: the prediction for each face]", show_default=False
        ),
    ] = None,
    recognition: RecognizerOptions,
) -> None:
    """Show the region of a face that decided the prediction, and the prediction without that region."""
    from mien.explanation.explain import explain_faces, label_index
    from mien.explanation.files import open_explanations
    from mien.recognition import recognize_and_keep

    recognizer = recognition.recognizer()
    try:
        label_index(recognizer.labels, emotion)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--emotion") from None
    failed = False
    with open_explanations(output, paths) as files:
        for recognized in recognize_and_keep(recognizer, paths):
            result, picture = recognized.result, recognized.picture
            reasons = explain_faces(recognizer, recognized, emotion=emotion)
            if picture is None:
                failed = True
                typer.echo(f"mien: {result.error}", err=True)
            elif not reasons:
                typer.echo(f"{result.source}: no face")
            for path, one in zip(files.write(result, picture, reasons), reasons, strict=False):
                typer.echo(f"{path}: {one.sentence()}")
    typer.echo(f"wrote {output / 'explanations.json'}", err=True)
    if failed:
        raise typer.Exit(1)
