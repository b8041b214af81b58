"""The options of `mien video` about episodes, and the file of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien._core.text import count
from mien.cli.options import OUTPUT
from mien.cli.output_file import check_no_input, open_output
from mien.cli.support import say_written
from mien.output.rows import FORMATS, write_rows
from mien.video.episodes import COLUMNS, EpisodeFinder, EpisodeSettings
from mien.video.interchange import FORMS

if TYPE_CHECKING:
    from mien.results import FrameResult

EPISODES = "Episodes"


@dataclass(frozen=True)
class EpisodeOptions:
    """Where episodes go, and what counts as one: the arguments of `EpisodeSettings`."""

    episodes: Annotated[
        Path | None,
        typer.Option(
            help="Write when each person showed which expression: a .csv, .json, .jsonl or .parquet file; for one "
            "clip also .eaf (ELAN), .TextGrid (Praat), .vtt or .srt.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None
    upper_threshold: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Smoothed probability that an episode reaches.", rich_help_panel=EPISODES
        ),
    ] = EpisodeSettings.upper_threshold
    lower_threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="An episode ends below this probability.", rich_help_panel=EPISODES),
    ] = EpisodeSettings.lower_threshold
    min_duration: Annotated[
        float, typer.Option(min=0, help="Seconds that an episode lasts at least.", rich_help_panel=EPISODES)
    ] = EpisodeSettings.min_duration
    max_gap: Annotated[
        float, typer.Option(min=0, help="Seconds of a gap that is bridged.", rich_help_panel=EPISODES)
    ] = EpisodeSettings.max_gap

    def check(self, clips: Sequence[Path]) -> None:
        """Refuse a file of an unknown kind, one of the inputs, and thresholds that contradict each other."""
        if self.episodes is not None and self._format() not in (*FORMATS, *FORMS):
            endings = ", ".join(f".{name}" for name in (*FORMATS, *FORMS))
            raise typer.BadParameter(f"{self.episodes}: expected {endings}", param_hint="--episodes")
        if self._format() in FORMS and len(clips) > 1:
            raise typer.BadParameter(
                f"{self.episodes}: holds one clip, not {len(clips)}; for several expected "
                f"{', '.join(f'.{name}' for name in FORMATS)}",
                param_hint="--episodes",
            )
        check_no_input("--episodes", self.episodes, clips)
        try:
            self._settings()
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    @contextmanager
    def noting(self, clips: Sequence[Path]) -> Iterator[Callable[[FrameResult], None]]:
        """What takes the frames; at the end, also by an interruption, the file is written."""

        if self.episodes is None:
            yield lambda result: None
            return
        finder = EpisodeFinder(self._settings())
        try:
            yield finder.add
        finally:
            found = finder.finish()
            with open_output(self.episodes, binary=self._format() == "parquet") as stream:
                if write := FORMS.get(self._format()):
                    source = str(clips[0])
                    stream.write(write(found, source, finder.ends.get(source, 0.0)))
                else:
                    write_rows(stream, self._format(), (one.to_dict() for one in found), COLUMNS)
            say_written(count(len(found), "episode"), self.episodes)

    def _format(self) -> str:
        return self.episodes.suffix.lower().removeprefix(".") if self.episodes else ""

    def _settings(self) -> EpisodeSettings:
        return EpisodeSettings(self.upper_threshold, self.lower_threshold, self.min_duration, self.max_gap)
