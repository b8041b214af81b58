"""The commands about clips and cameras, one short function each."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from mien.cli_options import DetectorOption, ImageFormat, ModelOption
from mien.cli_support import open_stream, progress_bar
from mien.weights import DEFAULT_MODEL

commands = typer.Typer()


@commands.command(epilog="Example: mien video clip.mp4 --format csv --output faces.csv --annotate faces.mp4")
def video(
    paths: Annotated[list[str], typer.Argument(help="Clips, folders or globs.", show_default=False)],
    format: Annotated[ImageFormat, typer.Option(help="How to write the faces.")] = ImageFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file instead of stdout.", show_default=False)
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Write clips with boxes and labels: a .mp4 file, or a folder.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page a clip: an .html file, or a folder.", show_default=False),
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Read every N-th frame.  [default: all]", show_default=False)
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Read so many frames a second of the clip.", show_default=False)
    ] = None,
    start: Annotated[float, typer.Option(help="Begin at this second.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="End before this second.", show_default=False)] = None,
    patience: Annotated[float, typer.Option(help="Seconds that a face may be out of sight.")] = 1.0,
    smoothing: Annotated[float, typer.Option(help="Time constant in seconds; 0 for none.")] = 0.3,
    detector: DetectorOption = "haar",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Tell the expressions in clips: who is who, frame by frame, smoothed over time."""
    from mien.clips import Clip, find_clips, output_paths
    from mien.recognition import EmotionRecognizer
    from mien.video import Sampling
    from mien.writers import open_writer

    if format is ImageFormat.PARQUET and output is None:
        raise typer.BadParameter("parquet is no text: name a file with --output", param_hint="--format")
    files = find_clips(paths)
    try:
        sampling = Sampling(every, fps, start, end)
        drawn = output_paths(annotate, files, ".mp4", "-annotated") if annotate else [None] * len(files)
        pages = output_paths(report, files, ".html") if report else [None] * len(files)
        recognizer = EmotionRecognizer(model, detector=detector)
        clips = [
            Clip(recognizer, file, sampling, patience, smoothing, annotated=mp4, report=page)
            for file, mp4, page in zip(files, drawn, pages, strict=True)
        ]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    failed = False
    with ExitStack() as stack:
        stream = stack.enter_context(open_stream(output, binary=format is ImageFormat.PARQUET))
        writer = stack.enter_context(open_writer(format.value, stream, recognizer.labels, smoothed=True))
        progress = stack.enter_context(progress_bar())
        for clip in clips:
            for result in clip.watch(progress):
                writer.write(result)
                failed = failed or result.error is not None
    if failed:
        raise typer.Exit(1)
