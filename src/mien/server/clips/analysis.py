"""Clips that are analysed: each in a thread, as `mien video --report` does it, and stopped if nobody asks for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mien.errors import VideoError
from mien.server.clips.kept import PAGE, Kept
from mien.server.inference import Reader
from mien.server.metrics import Measured
from mien.server.problems import Problem
from mien.server.settings import Settings
from mien.server.worker_pool import RETRY_AFTER
from mien.video.clips import Clip
from mien.video.reader import video_info
from mien.video.sampling import Sampling

_LEAST_PATIENCE = 2.0  # seconds: pages ask every half


@dataclass
class Job:
    """A clip that is analysed, and how far it is.

    Attributes:
        folder: of the clip and its page.
        clip: the file.
        name: that the user knows it by.
        state: "running", "done", "failed" or "stopped".
        done, total: seconds of the clip; `total` None where its header does not say.
        frames: analysed.
        people: tracks seen.
        error: what went wrong; with "done" the clip could be read in part only.
        asked: when the client asked for it last, by the monotonic clock.
    """

    folder: Path
    clip: Path
    name: str
    state: Literal["running", "done", "failed", "stopped"] = "running"
    done: float = 0.0
    total: float | None = None
    frames: int = 0
    people: set[int] = field(default_factory=set)
    error: str | None = None
    asked: float = field(default_factory=time.monotonic)
    stopped: bool = False


class Jobs:
    """The clips that are analysed.

    Args:
        settings: the limits.
        reader: makes recognizers.
        kept: where clips and pages lie.
        measured: counts.
    """

    def __init__(self, settings: Settings, reader: Reader, kept: Kept, measured: Measured) -> None:
        self._settings, self._reader, self._kept, self._measured = settings, reader, kept, measured
        self._patience = max(settings.idle, _LEAST_PATIENCE)
        self._pool = ThreadPoolExecutor(settings.max_clips, thread_name_prefix="mien-clip")
        self._jobs: dict[str, Job] = {}

    def check(self) -> None:
        """Whether one more would be analysed at once.

        Raises:
            Problem: 503, as many as may be are analysed already.
        """
        # One that was told to stop ends at its next frame; the next clip waits for it.
        running = [job for job in self._jobs.values() if job.state == "running" and not job.stopped]
        if len(running) >= self._settings.max_clips:
            raise Problem(
                503, "another clip is being analysed; try again when it is done", headers=RETRY_AFTER
            )

    def start(self, folder: Path, clip: Path, name: str) -> Job:
        """Begin to analyse a clip.

        Raises:
            Problem: as in `check`.
        """
        self.check()
        job = Job(folder, clip, name)
        self._forget()
        self._jobs[folder.name] = job
        self._pool.submit(self._run, job)
        return job

    def find(self, name: str) -> Job | None:
        """The one of that name; it goes on for as long as it is asked for."""
        if (job := self._jobs.get(name)) is not None:
            job.asked = time.monotonic()
        return job

    def stop(self, job: Job) -> None:
        """Stop a clip at its next frame, and delete it."""
        job.stopped = True
        if job.state != "running":
            self._kept.drop(job.folder)
            job.state = "stopped"

    def close(self) -> None:
        """Stop all."""
        for job in self._jobs.values():
            job.stopped = True
        self._pool.shutdown(cancel_futures=True)

    def _forget(self) -> None:
        """Leave out what nobody can ask for any more."""
        self._jobs = {
            name: job
            for name, job in self._jobs.items()
            if job.state == "running" or self._kept.find(name) is not None
        }

    def _run(self, job: Job) -> None:
        try:
            if not job.stopped:
                self._analyse(job)
        except VideoError as error:
            job.error = _for_the_user(error, job)
        except Exception as error:  # a thread's own would be seen by nobody
            job.error = f"{job.name}: {type(error).__name__}: {_for_the_user(error, job)}"
        if job.frames and not job.stopped and (job.folder / PAGE).is_file():
            self._kept.finish(job.folder)
            job.state = "done"
        if job.state != "done" or job.stopped:  # perhaps just now
            self._kept.drop(job.folder)
            job.state = "stopped" if job.stopped else "failed"
        self._measured.clips.labels(job.state).inc()

    def _analyse(self, job: Job) -> None:
        info, most = video_info(job.clip), self._settings.max_clip_seconds
        seconds = info.duration
        if info.width * info.height > self._settings.max_pixels:
            raise VideoError(
                f"{job.name}: frames of {info.width:,} x {info.height:,} pixels; expected at most "
                f"{self._settings.max_pixels:,} pixels"
            )
        job.total = None if seconds is None else min(seconds, most)
        clip = Clip(
            self._reader.for_a_clip(),
            job.clip,
            # A whole clip is none that ends early, so that its page is that of the command.
            Sampling(end=None if seconds is not None and seconds <= most else most),
            report=job.folder / PAGE,
            name=job.name,
        )
        with closing(clip.watch()) as results:
            for result in results:
                if result.error is not None:
                    job.error = _for_the_user(result.error, job)
                    return
                job.frames, job.done = job.frames + 1, result.time or 0.0
                job.people |= {face.track for face in result.faces if face.track is not None}
                if time.monotonic() - job.asked > self._patience:
                    job.stopped = True
                    job.error = (
                        f"{job.name}: stopped, for nobody asked for it within {self._patience:g} seconds"
                    )
                if job.done >= most:  # of a clip whose header says less
                    job.error = f"{job.name}: the first {most:g} seconds"
                if job.stopped or job.done >= most:
                    return


def _for_the_user(error: object, job: Job) -> str:
    """An error message with the name that the user knows."""
    return str(error).replace(str(job.clip), job.name)
