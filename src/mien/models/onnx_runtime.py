"""onnxruntime, which nothing else imports: silent, and with the settings that every network of mien runs with.

Since 1.29 its wheels for Linux and macOS report to their maker. `mien/__init__.py`, which runs before this file,
has set ORT_DISABLE_TELEMETRY, which onnxruntime reads once, while it is loaded; it then neither reports nor writes an
identifier of the machine into the home folder. docs/explanation/trust.md says what was measured.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import onnxruntime

from mien._core.per_process import PerProcess
from mien.errors import MienError

# For a program that loaded onnxruntime before mien, and for Windows, whose wheels do not know the variable: from
# here on no session is reported.
onnxruntime.disable_telemetry_events()

Session: TypeAlias = onnxruntime.InferenceSession

CORES = os.cpu_count() or 1


class _Calls:
    """The calls of networks that this process is in."""

    def __init__(self) -> None:
        self._lock, self._running = threading.Lock(), 0

    @contextmanager
    def one(self) -> Generator[bool, None, None]:
        """A call inside the block; whether it began with no other."""
        with self._lock:
            alone = self._running == 0
            self._running += 1
        try:
            yield alone
        finally:
            with self._lock:
                self._running -= 1


_CALLS = PerProcess(_Calls, shared=False)


class Sessions:
    """A network's sessions: with all threads for a call that is alone, with one thread for calls beside others.

    Several calls, one a thread, are faster than one after the other by all threads. Which networks the others are of
    does not matter.

    Args:
        open_one: opens a session whose calls have so many threads; None for as many as the machine has cores.
        threads: of every call; None for what is said above.

    Attributes:
        alone: the session for a call that is alone.
    """

    def __init__(self, open_one: Callable[[int | None], Session], threads: int | None) -> None:
        self.alone = open_one(threads)
        self._open = open_one
        self._beside = self.alone if threads is not None or CORES == 1 else None
        self._lock = threading.Lock()

    def run(self, outputs: Sequence[str] | None, feeds: dict[str, Any]) -> list[Any]:
        """As `InferenceSession.run`."""
        with _CALLS().one() as alone:
            return list((self.alone if alone else self._one_thread()).run(outputs, feeds))

    def _one_thread(self) -> Session:
        with self._lock:
            if self._beside is None:
                self._beside = self._open(1)
        return self._beside


def open_session(
    network: bytes, path: Path, error: type[MienError], *, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A network, ready to run on the CPU.

    Args:
        network: the ONNX file's bytes.
        path: where they are from, for the message.
        error: what is raised where onnxruntime cannot run them.
        threads: of one call; None for as many as the machine has cores.

    Raises:
        MienError: of the kind `error`: not an ONNX model, or one that this onnxruntime cannot run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    # Threads that wait busily slow others down. Even if they do so only within a call, which makes one photo 15 %
    # faster, clips become 10 % slower, and the server 4 %.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # To try again, with the same processor, is announced on stdout, where the results go.
        return onnxruntime.InferenceSession(
            network, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as reason:  # onnxruntime's own exceptions have no common base
        line = str(reason).strip().split("\n")[0][:200]
        raise error(f"{path}: not an ONNX model that can be run ({line})") from reason


def write_fused(network: bytes, path: Path) -> None:
    """Write a network as the runtime sees it on any processor: constants folded, offsets inside of convolutions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
