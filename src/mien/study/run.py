"""`run_study`: from clips to the tables of a study."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mien._core.files import atomic_file
from mien._core.locks import hold_lock
from mien.errors import MissingExtraError, StudyError
from mien.output.image_files import FreeStems
from mien.output.rows import encodable
from mien.recognition import EmotionRecognizer
from mien.study.clips import Progress, ReadClips, Reading
from mien.study.codebook import write_codebook
from mien.study.columns import frame_columns
from mien.study.forms import FORMS, form_texts
from mien.study.lists import People, Say, Segment, clip_names, read_people, read_segments
from mien.study.study_page import write_study_page
from mien.study.tables import Tables
from mien.study.written import WrittenFiles
from mien.video.clips import find_clips
from mien.video.episodes import EpisodeSettings
from mien.video.face_tracker import PATIENCE
from mien.video.sampling import Sampling
from mien.video.smoothing import TIME_CONSTANT

FRAMES, PAGE = "frames.parquet", "report.html"


@dataclass(frozen=True)
class StudyOutcome:
    """What a study came to.

    Attributes:
        clips: of the study.
        read: of these, read now; the others were read before.
        failed: clip -> why it, or its rest, could not be read.
        people: who take part, over all clips.
        episodes: of them.
        page: the report.
    """

    clips: int
    read: int
    failed: Mapping[str, str]
    people: int
    episodes: int
    page: Path


def run_study(
    clips: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    recognizer: EmotionRecognizer | None = None,
    every: int | None = None,
    fps: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    patience: float = PATIENCE,
    smoothing: float = TIME_CONSTANT,
    episodes: EpisodeSettings | None = None,
    people: str | os.PathLike[str] | None = None,
    segments: str | os.PathLike[str] | None = None,
    write: Iterable[str] = (),
    progress: Progress = lambda what, done, total: None,
    say: Say = lambda sentence: None,
) -> StudyOutcome:
    """Read clips, and write the tables of a study into a folder: `docs/how-to/study.md` says what they hold.

    Each clip is read once: a study that was stopped goes on with the next clip, and other thresholds of episodes,
    people, segments or forms need no reading. A clip that cannot be read is a row with its error.

    Args:
        clips: files, folders and glob patterns.
        output: folder of the study, made if missing.
        recognizer: None for one with the defaults.
        every: read every N-th frame; not together with `fps`.
        fps: read this many frames per second; without either, all.
        start: first second of each clip to read.
        end: where to stop, in seconds; None for the end.
        patience: seconds for which a face may be out of sight and come back as the same track.
        smoothing: time constant of the smoothed probabilities in seconds; 0 for none.
        episodes: what counts as an episode; None for the defaults.
        people: CSV file with clip, track and person; None where each tracked face is a person of its own.
        segments: CSV file with clip, start and end, and condition and segment; None for whole clips.
        write: forms of other programs, of `mien.study.forms.FORMS`, a file a clip.
        progress: called with (what, milliseconds done, milliseconds in all) of a clip.
        say: told of lines in lists that are of other clips.

    Raises:
        ValueError: an option out of range.
        StudyError: no clip, a folder that is not of this study, or lists that do not fit the clips.
        MissingExtraError: pyarrow is not installed.
        OSError: something cannot be written.
    """
    folder, wanted, sampling = Path(output), list(write), Sampling(every, fps, start, end)
    _check(folder, wanted, people, segments)
    named = _named(clips)
    # Read first: a mistake in a list is known before hours of work.
    who = read_people(Path(people), list(named), say) if people else People()
    stretches = read_segments(Path(segments), list(named), say) if segments else list(map(Segment, named))
    reading = Reading(recognizer or EmotionRecognizer(), sampling, patience, smoothing)
    store, settings = ReadClips(folder, reading), episodes or EpisodeSettings()
    return _study(folder, named, store, stretches, who, settings, wanted, progress)


def _study(
    folder: Path,
    named: dict[str, Path],
    store: ReadClips,
    segments: Sequence[Segment],
    who: People,
    settings: EpisodeSettings,
    forms: Sequence[str],
    progress: Progress,
) -> StudyOutcome:
    """Read what is not read yet, and write everything."""
    with hold_lock(folder / "lock", folder):
        store.tidy()
        written = WrittenFiles(folder)
        written.check()
        read = [
            store.read(clip, path, _numbered(progress, f"{number} of {len(named)}"))
            for number, (clip, path) in enumerate(named.items(), 1)
        ]
        tables = _write(folder, store, list(named), segments, who, settings, forms, written)
    return _outcome(tables, sum(read), folder / PAGE)


def _named(clips: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """The clips by their names in the study: each once, by whatever path it was named."""
    unique: dict[Path, Path] = {}
    for path in find_clips(os.fspath(clip) for clip in clips):
        unique.setdefault(path.resolve(), path)
    if not unique:
        raise StudyError("no clip; expected files, folders or patterns that hold some")
    paths = list(unique.values())
    return dict(zip(clip_names(paths), paths, strict=True))


def _check(folder: Path, forms: Sequence[str], *lists: str | os.PathLike[str] | None) -> None:
    """Raise, before anything is read, where this cannot be done."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingExtraError("mien study", "study") from None
    if unknown := [form for form in forms if form not in FORMS]:
        raise StudyError(f"form {unknown[0]!r}: expected one of {', '.join(FORMS)}")
    for file in lists:
        if file is not None and Path(file).resolve().parent == folder.resolve():
            raise StudyError(
                f"{file}: a list in the folder of the study, which is written anew; move it elsewhere"
            )


def _write(
    folder: Path,
    store: ReadClips,
    clips: Sequence[str],
    segments: Sequence[Segment],
    who: People,
    settings: EpisodeSettings,
    forms: Sequence[str],
    written: WrittenFiles,
) -> Tables:
    """Everything that is made of what was read."""
    tables, stems = Tables(store.labels, who, settings), FreeStems()
    for clip in clips:
        header, frames = store.found(clip)
        tables.add(header, frames, [one for one in segments if one.clip == clip])
        stem = stems.take(clip)
        for name, text in form_texts(forms, stem, header, frames, tables.found[clip], who, folder):
            written.put(name, text)
    files = tables.files(segments)
    for name, (_, text) in files.items():
        written.put(name, text)
    written.finish()
    _write_frames(folder / FRAMES, store, clips, who)
    facts = store.settings | asdict(settings)
    write_codebook(
        folder,
        {name: columns for name, (columns, _) in files.items()} | {FRAMES: frame_columns(store.labels)},
        facts,
    )
    write_study_page(folder / PAGE, tables.rows, segments, facts)
    return tables


def _outcome(tables: Tables, read: int, page: Path) -> StudyOutcome:
    rows = tables.rows
    failed = {row["clip"]: row["error"] for row in rows["clips"] if row["error"]}
    people = {row["person"] for row in rows["people"]} - {""}
    return StudyOutcome(len(rows["clips"]), read, failed, len(people), len(rows["episodes"]), page)


def _numbered(progress: Progress, number: str) -> Progress:
    return lambda what, done, total: progress(f"{number}: {what}", done, total)


def _write_frames(path: Path, store: ReadClips, clips: Sequence[str], who: People) -> None:
    """All frames in one file, with the clip's name and the person: one clip in memory at a time."""
    import pyarrow
    from pyarrow import parquet

    with atomic_file(path) as file:
        writer = None
        for clip in clips:
            table = parquet.read_table(store.rows(clip))
            tracks = table["track"].to_pylist()
            names = [None if track is None else who.person(clip, track) for track in tracks]
            path_now = encodable(store.header(clip)["path"])
            text = pyarrow.string()
            table = table.set_column(0, "source", pyarrow.array([path_now] * len(table), text))
            table = table.add_column(0, "clip", pyarrow.array([clip] * len(table), text))
            table = table.add_column(1, "person", pyarrow.array(names, text))
            # Who does not take part is left out here, too.
            kept = [track is None or name is not None for track, name in zip(tracks, names, strict=True)]
            table = table.filter(pyarrow.array(kept, pyarrow.bool_()))
            writer = writer or parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
