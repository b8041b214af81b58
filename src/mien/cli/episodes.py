"""The options of `mien video` about episodes, and the file of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from mien._core.text import count
from mien.cli.options import OUTPUT
from mien.cli.output_file import ENDINGS, check_no_input, open_output
from mien.cli.support import check_together, say_written
from mien.errors import VideoError
from mien.output.rows import FORMATS, check_format, write_rows
from mien.video.episodes import COLUMNS, EpisodeFinder, EpisodeSettings
from mien.video.interchange import FORMS, Media

if TYPE_CHECKING:
    from mien.results import FrameResult

EPISODES = "Episodes"
_DAY = 86_400
_TABLES = {ending: format for ending, format in ENDINGS.items() if format in FORMATS}
_ENDINGS = ", ".join((*_TABLES, ".eaf", ".TextGrid", ".vtt", ".srt"))


@dataclass(frozen=True)
class EpisodeThresholds:
    """What counts as an episode: the arguments of `EpisodeSettings`."""

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
        float,
        typer.Option(min=0, max=_DAY, help="Drop shorter episodes, in seconds.", rich_help_panel=EPISODES),
    ] = EpisodeSettings.min_duration
    max_gap: Annotated[
        float,
        typer.Option(
            min=0, max=_DAY, help="Bridge gaps of up to this many seconds.", rich_help_panel=EPISODES
        ),
    ] = EpisodeSettings.max_gap

    def settings(self) -> EpisodeSettings:
        """The settings that the options name; `typer.BadParameter` where they contradict each other."""
        if self.lower_threshold > self.upper_threshold:
            raise typer.BadParameter(
                f"{self.lower_threshold:g}: expected at most --upper-threshold, {self.upper_threshold:g}",
                param_hint="--lower-threshold",
            )
        return EpisodeSettings(self.upper_threshold, self.lower_threshold, self.min_duration, self.max_gap)


@dataclass(frozen=True)
class EpisodeOptions(EpisodeThresholds):
    """Where episodes go, and what counts as one."""

    episodes: Annotated[
        Path | None,
        typer.Option(
            help="Write when each person showed which expression: a .csv, .json, .jsonl or .parquet file; for one "
            "clip also .eaf (ELAN), .TextGrid (Praat), .vtt or .srt.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None

    def check(self, clips: Sequence[Path], output: Path | None) -> None:
        """Refuse, before a clip is read, what cannot be done or would write over something."""
        changed = self.settings() != EpisodeSettings()
        check_together("--upper-threshold and the like", changed, "--episodes", self.episodes is not None)
        if self.episodes is None:
            return
        if self._form() is None and self._table() is None:
            raise typer.BadParameter(f"{self.episodes}: expected {_ENDINGS}", param_hint="--episodes")
        if self._form() and len(clips) > 1:
            raise typer.BadParameter(
                f"{self.episodes}: holds one clip, not {len(clips)}; for several expected {', '.join(_TABLES)}",
                param_hint="--episodes",
            )
        if output is not None and output.resolve() == self.episodes.resolve():
            raise typer.BadParameter(
                f"{self.episodes}: is --output, too; name another file", param_hint="--episodes"
            )
        check_no_input("--episodes", self.episodes, clips)
        if table := self._table():
            check_format(table)

    @contextmanager
    def noting(self, clips: Sequence[Path]) -> Iterator[Callable[[FrameResult], None]]:
        """What takes the frames; the file is there once the block ends, also by an interruption."""
        if self.episodes is None:
            yield lambda result: None
            return
        finder = EpisodeFinder(self.settings())
        # Opened first: that it cannot be written is known before hours of work.
        with open_output(self.episodes, binary=self._table() == "parquet") as stream:
            try:
                yield finder.add
            finally:
                found = self._write(stream, finder, clips)
        say_written(count(found, "episode"), self.episodes)

    def _write(self, stream: IO[Any], finder: EpisodeFinder, clips: Sequence[Path]) -> int:
        found = finder.finish()
        if self.episodes is not None and (write := self._form()):
            seconds = max(finder.ends.get(str(clips[0]), 0.0), _duration(clips[0]))
            stream.write(write(found, Media(clips[0], seconds, self.episodes.parent)))
        else:
            write_rows(stream, self._table() or "", (one.to_dict() for one in found), COLUMNS)
        return len(found)

    def _ending(self) -> str:
        return self.episodes.suffix.lower() if self.episodes else ""

    def _table(self) -> str | None:
        return _TABLES.get(self._ending())

    def _form(self) -> Any:
        return FORMS.get(self._ending())


def _duration(clip: Path) -> float:
    """The length of a clip in seconds; 0 where it does not say."""
    from mien.video.reader import video_info

    try:
        return video_info(clip).duration or 0.0
    except VideoError:
        return 0.0
