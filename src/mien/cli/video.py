"""The commands about clips and cameras, one short function each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mien._core.text import count
from mien.cli.episodes import EpisodeOptions
from mien.cli.option_groups import with_groups
from mien.cli.options import (
    OUTPUT,
    SERVER,
    AggregateOption,
    BlurOption,
    FaceFormat,
    FaceFormatOption,
    MinGroupOption,
    OutputOption,
    PatienceOption,
    RecognizerOptions,
    SamplingOptions,
    SmoothingOption,
    ThumbnailsOption,
    output_option,
)
from mien.cli.output_file import check_no_input, choose_format, open_output
from mien.cli.support import (
    Tally,
    check_hidden,
    check_written,
    progress_bar,
    say_filtered,
    say_others,
    say_written,
    server_settings,
    write_aggregate,
)
from mien.errors import MissingExtraError
from mien.video.smoothing import TIME_CONSTANT

if TYPE_CHECKING:
    from mien.recognition import EmotionRecognizer
    from mien.results import FrameResult
    from mien.server.settings import Settings
    from mien.video.clips import Clip
    from mien.video.live import LiveFrame

commands = typer.Typer()

_Take: TypeAlias = "Callable[[FrameResult], None]"

AnnotateOption = Annotated[
    Path | None,
    typer.Option(
        help="Write clips with boxes and labels: a .mp4 file, or a folder.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True)
class PageOptions:
    """The HTML report of a clip."""

    report: Annotated[
        Path | None,
        typer.Option(
            help="Write an HTML report per clip: an .html file, or a folder.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None
    no_player: Annotated[
        bool,
        typer.Option("--no-player", help="Leave the clip itself out of --report.", rich_help_panel=OUTPUT),
    ] = False
    no_thumbnails: ThumbnailsOption = False

    def check(self) -> None:
        """Refuse options that do nothing without a report."""
        check_hidden("--no-thumbnails", self.no_thumbnails, {"--report": self.report})
        check_hidden("--no-player", self.no_player, {"--report": self.report})

    def places(self, clips: list[Path], paths: list[str]) -> Sequence[Path | None]:
        """Where the report of each clip goes; None for none."""
        from mien.video.clips import output_paths

        return output_paths(self.report, clips, ".html", paths=paths) if self.report else [None] * len(clips)

    def named(self) -> dict[str, Any]:
        """The options by the names of the arguments of `Clip`."""
        return {"thumbnails": not self.no_thumbnails, "player": not self.no_player}


WebOption = Annotated[
    bool | None,
    typer.Option(
        "--web/--no-web",
        help="Show the camera in the browser, or never.  [default: where OpenCV has no window]",
        show_default=False,
        rich_help_panel=SERVER,
    ),
]
PortOption = Annotated[
    int, typer.Option(help="Port of the page; 0 for a free one.", min=0, max=65535, rich_help_panel=SERVER)
]


@commands.command(epilog="Example: mien video clip.mp4 --output faces.csv --annotate faces.mp4")
@with_groups
def video(
    paths: Annotated[list[str], typer.Argument(help="Clips, folders or globs.", show_default=False)],
    *,
    format: FaceFormatOption = None,
    output: OutputOption = None,
    annotate: AnnotateOption = None,
    pages: PageOptions,
    episode_options: EpisodeOptions,
    sampling: SamplingOptions,
    patience: PatienceOption = 1.0,
    smoothing: SmoothingOption = TIME_CONSTANT,
    recognition: RecognizerOptions,
    blur_faces: BlurOption = False,
    aggregate: AggregateOption = False,
    min_group: MinGroupOption = 10,
) -> None:
    """Recognise the expressions in clips, with face tracking and temporal smoothing."""
    from mien.video.clips import Clip, find_clips, output_paths
    from mien.video.reader import VIDEO_SUFFIXES

    format = choose_format(FaceFormat, format, output)
    written = {"--annotate": annotate, "--report": pages.report}
    check_written(format.value, output, aggregate, written | {"--episodes": episode_options.episodes})
    check_hidden("--blur-faces", blur_faces, written)
    pages.check()
    files, frames = find_clips(paths), sampling.sampling()
    check_no_input("--output", output, files)
    episode_options.check(files, output)
    try:
        drawn = (
            output_paths(annotate, files, ".mp4", "-annotated", paths=paths)
            if annotate
            else [None] * len(files)
        )
        places = pages.places(files, paths)
        recognizer = recognition.recognizer()
        clips = [
            Clip(recognizer, file, frames, patience, smoothing, mp4, page, blur_faces, **pages.named())
            for file, mp4, page in zip(files, drawn, places, strict=True)
        ]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with progress_bar() as progress, episode_options.noting(files) as note:
        results = _noted((result for clip in clips for result in clip.watch(progress)), note)
        if aggregate:
            groups = ((one.source, one) for one in results)
            failed = write_aggregate(groups, recognizer.labels, min_group, output, format.value)
        else:
            tally = _write_frames(recognizer, results, format, output)
            failed = tally.failed
            _say_drawn(clips, tally, annotate, pages.report)
    say_others(paths, VIDEO_SUFFIXES)
    if failed:
        raise typer.Exit(1)


def _noted(results: Iterable[FrameResult], note: _Take) -> Iterator[FrameResult]:
    for result in results:
        note(result)
        yield result


def _write_frames(
    recognizer: EmotionRecognizer, results: Iterable[FrameResult], format: FaceFormat, output: Path | None
) -> Tally:
    """Rows of frames."""
    from mien.output.writers import open_writer

    tally = Tally()
    with (
        open_output(output, binary=format is FaceFormat.PARQUET) as stream,
        open_writer(format.value, stream, recognizer.labels, smoothed=True) as writer,
    ):
        for result in results:
            writer.write(result)
            tally.add(result)
    say_filtered(tally.filtered, recognizer.min_quality, " (each in every frame)")
    tally.say(output, format.value, "frame")
    return tally


def _say_drawn(clips: Sequence[Clip], tally: Tally, annotate: Path | None, report: Path | None) -> None:
    """Say what was drawn: a clip without a frame has a page, but nothing to annotate."""
    drawn = sum(str(clip.path) in tally.readable for clip in clips)
    for place, what in ((annotate, count(drawn, "annotated clip")), (report, count(len(clips), "page"))):
        if place is not None:
            say_written(what, place, folder=place.is_dir())


def _on_page(web: bool | None) -> bool:
    """Whether the browser shows the camera: on request, or if a person watches and there is no window."""
    from mien.video.display import has_window

    if web is False or (web is None and (not sys.stderr.isatty() or has_window())):
        return False
    try:
        import mien.server.serving  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        if web:
            raise MissingExtraError("--web", "serve") from None
        return False
    return True


def _show_page(live: Iterator[LiveFrame], write: Callable[[FrameResult], None], settings: Settings) -> None:
    from mien.server.serving import serve
    from mien.server.watch import Watched

    watched = Watched(live, write)
    serve(settings, open_browser=True, path="/?watch", watched=watched)
    if watched.error is not None:
        raise watched.error


@commands.command(epilog="Example: mien camera 0 --output faces.csv")
@with_groups
def camera(
    source: Annotated[
        str, typer.Argument(help="Number of a camera, rtsp:// or http:// address, clip, or folder.")
    ] = "0",
    *,
    output: Annotated[
        Path | None, output_option("Write rows: a .csv, .jsonl, .json or .parquet file.")
    ] = None,
    sampling: SamplingOptions,
    patience: PatienceOption = 1.0,
    smoothing: SmoothingOption = TIME_CONSTANT,
    web: WebOption = None,
    port: PortOption = 0,
    recognition: RecognizerOptions,
) -> None:
    """Recognise expressions live from a camera, in a window or, if there is none, on a page in the browser;
    q or Ctrl-C quits."""
    from mien.output.writers import open_writer
    from mien.video.camera import Camera
    from mien.video.display import open_display
    from mien.video.face_tracker import FaceTracker
    from mien.video.live import watch_live

    kind = output.suffix.lower().removeprefix(".") if output else "csv"
    if kind not in ("csv", "jsonl", "json", "parquet"):
        raise typer.BadParameter(f"{output}: expected .csv, .jsonl, .json or .parquet", param_hint="--output")
    frames_wanted, on_page = sampling.sampling(), _on_page(web)
    recognizer = recognition.recognizer()
    try:
        face_tracker = FaceTracker(recognizer, patience=patience, smoothing=smoothing)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    say: Callable[[str], None] = lambda line: typer.echo(f"mien: {line}", err=True)  # noqa: E731
    live = watch_live(face_tracker, Camera(source, say, frames_wanted))
    tally = Tally()
    with ExitStack() as stack:
        stack.enter_context(closing(live))
        first = next(live, None)  # a missing camera is an error before there is a file or a window
        write: _Take = tally.add
        if output is not None:
            stream = stack.enter_context(open_output(output, binary=kind == "parquet"))
            writer = stack.enter_context(open_writer(kind, stream, recognizer.labels, smoothed=True))
            write = _both(tally.add, writer.write)
        frames = chain([first] if first else [], live)
        if on_page:
            settings = server_settings(**recognition.named(), port=port)
            _show_page(frames, write, settings)
        else:
            view = stack.enter_context(open_display())
            stack.enter_context(suppress(KeyboardInterrupt))
            for frame in frames:
                write(frame.result)
                if not view.show(frame):
                    break
    tally.say(output, kind, "frame")


def _both(first: _Take, second: _Take) -> _Take:
    def take(result: FrameResult) -> None:
        first(result)
        second(result)

    return take
