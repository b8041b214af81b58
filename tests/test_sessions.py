"""Threads of onnxruntime: all for a call that is alone in the process, one for calls beside others."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import mien.models.onnx_runtime as onnx_runtime
from mien.errors import ModelError
from mien.faces.onnx_detector import MODEL_FILE, SHIPPED
from mien.models.onnx_runtime import Session, Sessions, open_session

PICTURE = np.random.default_rng(0).integers(0, 256, (1, 320, 320, 3)).astype(np.uint8)


class Opened:
    """Opens the shipped detector, and remembers with how many threads."""

    def __init__(self) -> None:
        self.threads: list[int | None] = []

    def __call__(self, threads: int | None) -> Session:
        self.threads.append(threads)
        path = SHIPPED / MODEL_FILE
        return open_session(path.read_bytes(), Path(path), ModelError, threads=threads)


def answers(sessions: Sessions) -> NDArray[np.float32]:
    return sessions.run(None, {sessions.alone.get_inputs()[0].name: PICTURE})[0]


@pytest.fixture(autouse=True)
def several_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "CORES", 4)


def test_calls_one_after_the_other_have_all_threads() -> None:
    opened = Opened()
    sessions = Sessions(opened, None)
    assert (answers(sessions) == answers(sessions)).all()
    assert opened.threads == [None]


def test_a_call_beside_one_of_another_network_has_one_thread_and_the_same_answers() -> None:
    opened = Opened()
    sessions = Sessions(opened, None)
    alone = answers(sessions)
    with onnx_runtime._CALLS().one():
        assert (answers(sessions) == alone).all()
        assert opened.threads == [None, 1]
        answers(sessions)
    answers(sessions)
    assert opened.threads == [None, 1]


def test_a_call_that_failed_is_over() -> None:
    opened = Opened()
    sessions = Sessions(opened, None)
    with pytest.raises(Exception, match="name"):
        sessions.run(None, {"name": PICTURE})
    answers(sessions)
    assert opened.threads == [None]


def test_threads_that_are_asked_for_are_those_of_every_call() -> None:
    opened = Opened()
    sessions = Sessions(opened, 2)
    with onnx_runtime._CALLS().one():
        answers(sessions)
    assert opened.threads == [2]


def test_many_threads_open_no_more_than_two_sessions() -> None:
    opened = Opened()
    sessions = Sessions(opened, None)
    alone, found = answers(sessions), []
    threads = [threading.Thread(target=lambda: found.append(answers(sessions))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all((one == alone).all() for one in found)
    assert opened.threads in ([None], [None, 1])
