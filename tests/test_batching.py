"""Faces of concurrent threads in one call of the model: the answers stay what they are one by one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from photographs import photographs

pytest.importorskip("fastapi")

from mien.models.classifier import EmotionClassifier
from mien.server.batching import BatchingClassifier


@pytest.fixture
def seen() -> list[int]:
    return []


@pytest.fixture
def together(seen: list[int]) -> BatchingClassifier:
    """One that waits as long as it must for four threads, on a machine of any kind."""
    classifier = BatchingClassifier("mien-s", seconds=30, coming=lambda: 4, seen=seen.append)
    classifier.faster_together = True
    return classifier


def ask(classifier: EmotionClassifier, groups: list) -> list[np.ndarray]:
    """The answers to each group, all asked at once."""
    start = threading.Barrier(len(groups))

    def one(group: np.ndarray) -> np.ndarray:
        start.wait()
        return classifier.predict_proba(group)

    with ThreadPoolExecutor(len(groups)) as pool:
        return list(pool.map(one, groups))


def test_faces_meet_in_one_call_and_each_caller_gets_its_own(together: BatchingClassifier, seen: list[int]):
    faces = photographs(10)
    groups = [faces[:1], faces[1:4], faces[4:5], faces[5:]]
    answers = ask(together, groups)
    assert seen == [10]
    alone = EmotionClassifier("mien-s")
    for group, answer in zip(groups, answers, strict=True):
        np.testing.assert_allclose(answer, alone.predict_proba(group), atol=1e-5)


def test_a_full_call_waits_for_nobody(together: BatchingClassifier, seen: list[int]):
    assert together.predict_proba(photographs(64)).shape == (64, 7)
    assert seen == [64]


def test_a_call_that_is_alone_does_not_wait(seen: list[int]):
    classifier = BatchingClassifier("mien-s", seconds=1e6, coming=lambda: 1, seen=seen.append)
    classifier.faster_together = True
    for _ in range(3):
        classifier.predict_proba(photographs(2))
    assert seen == [2, 2, 2]


def test_nobody_is_mixed_up_under_load(seen: list[int]):
    classifier = BatchingClassifier("mien-s", seconds=0.001, coming=lambda: 8, seen=seen.append)
    classifier.faster_together = True
    groups = [photographs(1 + n % 3, seed=n) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(classifier.predict_proba, groups))
    alone = EmotionClassifier("mien-s")
    for group, answer in zip(groups, answers, strict=True):
        np.testing.assert_allclose(answer, alone.predict_proba(group), atol=1e-5)
    assert sum(seen) == sum(map(len, groups))


def test_an_error_reaches_all_who_wait(together: BatchingClassifier):
    faces = photographs(4)
    wrong = faces[:1].astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(together.predict_proba, group) for group in (wrong, faces[1:2], faces[2:3], faces[3:])
        ]
        errors = [type(future.exception(30)) for future in asked]
    assert errors == [TypeError] * 4


def test_where_it_is_no_faster_every_call_goes_by_itself(together: BatchingClassifier, seen: list[int]):
    together.faster_together = False
    ask(together, [photographs(1)] * 4)
    assert seen == [1, 1, 1, 1]


def test_other_heads_and_no_crops_are_the_classifiers_own(together: BatchingClassifier, seen: list[int]):
    assert together.predict_proba([]).shape == (0, 7)
    assert together.predict_proba(photographs(1), head="ferplus").shape == (1, 8)
    assert seen == []


def test_a_call_that_fails_leaves_nobody_waiting() -> None:
    """Not even where what fails is not the model: the leading thread ends, and those that it leads hear of it."""
    failing = [True]

    def seen(_: int) -> None:
        if failing.pop() if failing else False:
            raise RuntimeError("no counter")

    classifier = BatchingClassifier("mien-s", seconds=30, coming=lambda: 4, seen=seen)
    classifier.faster_together = True
    faces = photographs(4)

    def one(number: int) -> str:
        try:
            classifier.predict_proba(faces[number : number + 1])
        except RuntimeError as error:
            return str(error)
        return "answered"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == ["no counter"] * 4
        assert list(pool.map(one, range(4))) == ["answered"] * 4
