"""FER+ votes: shares to train on, and the majority to score against."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.ferplus import majority, vote_agreement, vote_shares
from mien.labels import FERPLUS_LABELS, LABELS

NEUTRAL, HAPPY, CONTEMPT, UNKNOWN, NO_FACE = 0, 1, 7, 8, 9


def votes(**counts: int) -> np.ndarray:
    """One row, (1, 10) uint8."""
    row = np.zeros((1, 10), np.uint8)
    for name, count in counts.items():
        place = (*FERPLUS_LABELS, "unknown", "no_face").index(name)
        row[0, place] = count
    return row


class TestVoteShares:
    def test_worked_by_hand(self) -> None:
        shares = vote_shares(votes(neutral=5, happy=3, contempt=2))
        np.testing.assert_allclose(shares, [[0.5, 0.3, 0, 0, 0, 0, 0, 0.2]])
        assert shares.dtype == np.float32

    def test_votes_for_unknown_and_no_face_are_left_out(self) -> None:
        shares = vote_shares(votes(neutral=3, happy=3, unknown=3, no_face=1))
        np.testing.assert_allclose(shares, [[0.5, 0.5, 0, 0, 0, 0, 0, 0]])

    def test_zeros_where_more_saw_no_face_than_any_one_expression(self) -> None:
        assert not vote_shares(votes(happy=4, no_face=6)).any()
        assert not vote_shares(votes(neutral=3, happy=3, no_face=4)).any()

    def test_as_many_for_an_expression_as_for_no_face_still_count(self) -> None:
        np.testing.assert_allclose(vote_shares(votes(happy=5, no_face=5))[0, HAPPY], 1)

    def test_zeros_where_nobody_named_an_expression(self) -> None:
        assert not vote_shares(votes(unknown=10)).any()
        assert not vote_shares(votes()).any()

    def test_rows_sum_to_one_or_zero_and_do_not_depend_on_each_other(self) -> None:
        table = np.random.default_rng(0).integers(0, 11, (200, 10)).astype(np.uint8)
        table[::7] = 0
        shares = vote_shares(table)
        sums = shares.sum(axis=1)
        assert np.all(np.isclose(sums, 1, atol=1e-6) | (sums == 0))
        assert (sums == 0).any()
        assert (sums > 0).any()
        np.testing.assert_array_equal(np.concatenate([vote_shares(row[None]) for row in table]), shares)

    def test_the_votes_stay_as_they_were(self) -> None:
        table = votes(happy=4, no_face=6)
        before = table.copy()
        vote_shares(table)
        np.testing.assert_array_equal(table, before)

    def test_large_counts_do_not_overflow(self) -> None:
        np.testing.assert_allclose(vote_shares(votes(neutral=255, happy=255))[0, :2], [0.5, 0.5])


class TestMajority:
    def test_the_most_votes_win(self) -> None:
        assert majority(votes(neutral=3, happy=6, unknown=1)) == [HAPPY]
        assert majority(votes(contempt=4, happy=3)) == [CONTEMPT]

    def test_the_first_of_equals(self) -> None:
        assert majority(votes(neutral=5, happy=5)) == [NEUTRAL]
        assert majority(votes(happy=5, no_face=5)) == [HAPPY]

    def test_none_where_unknown_or_no_face_won_or_nobody_voted(self) -> None:
        table = np.concatenate([votes(happy=4, unknown=6), votes(happy=4, no_face=6), votes()])
        np.testing.assert_array_equal(majority(table), [-1, -1, -1])

    def test_counts_that_sum_to_256_are_votes(self) -> None:
        assert majority(votes(happy=200, sad=56)) == [HAPPY]

    def test_no_rows(self) -> None:
        assert majority(np.zeros((0, 10), np.uint8)).shape == (0,)
        assert vote_shares(np.zeros((0, 10), np.uint8)).shape == (0, 8)


class TestVoteAgreement:
    LABELS = ("happy", "sad")
    VOTES = np.concatenate(
        [
            votes(happy=8, sad=2),
            votes(sad=6, contempt=4),
            votes(happy=5, sad=4, unknown=1),
            votes(contempt=9, sad=1),  # its majority is none of the labels
            votes(unknown=9, sad=1),
            votes(),
        ]
    )
    # Right, wrong, wrong; then three that do not count.
    SAID = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [1, 0], [1, 0], [1, 0]])
    TRUE = ("happy", "happy", "happy", "sad", "sad", "sad")

    def test_by_hand(self) -> None:
        agreement = vote_agreement(self.SAID, self.VOTES, self.LABELS, self.TRUE)
        assert agreement is not None
        assert agreement.n == 3
        assert agreement.majority == pytest.approx(1 / 3)
        assert agreement.interval[0] <= 1 / 3 <= agreement.interval[1]
        assert agreement.labels == pytest.approx(2 / 3)
        assert agreement.vote_share == pytest.approx((8 / 10 + 0 + 4 / 9) / 3)
        assert agreement.highest_vote_share == pytest.approx((8 / 10 + 6 / 10 + 5 / 9) / 3)

    def test_correlation_is_pearsons_over_all_labels(self) -> None:
        agreement = vote_agreement(self.SAID, self.VOTES, self.LABELS, self.TRUE)
        said = np.array([0.9, 0.1, 0.7, 0.3, 0.4, 0.6])
        seen = np.array([0.8, 0.2, 0, 0.6, 5 / 9, 4 / 9])
        covariance = ((said - said.mean()) * (seen - seen.mean())).mean()
        assert agreement is not None
        assert agreement.correlation == pytest.approx(covariance / said.std() / seen.std())

    def test_the_shares_themselves_agree_wholly(self) -> None:
        counts = np.random.default_rng(0).integers(0, 9, (50, 10), np.uint8)
        counts[:, 8:] = 0
        names = [FERPLUS_LABELS[k] for k in counts.argmax(axis=1)]
        agreement = vote_agreement(vote_shares(counts), counts, FERPLUS_LABELS, names)
        assert agreement is not None
        assert (agreement.n, agreement.majority, agreement.labels) == (50, 1, 1)
        assert agreement.vote_share == agreement.highest_vote_share
        assert agreement.correlation == pytest.approx(1)

    def test_equal_probabilities_have_no_correlation(self) -> None:
        agreement = vote_agreement(np.full((6, 2), 0.5), self.VOTES, self.LABELS, self.TRUE)
        assert agreement is not None
        assert agreement.correlation == 0

    def test_labels_that_nobody_voted_on(self) -> None:
        assert vote_agreement(self.SAID, self.VOTES, ("happy", "bored"), self.TRUE) is None

    def test_no_majority_at_all(self) -> None:
        said = np.full((2, 7), 1 / 7)
        assert vote_agreement(said, np.zeros((2, 10), np.uint8), LABELS, ("sad", "sad")) is None


class TestAmbiguity:
    def test_doubt_where_people_disagree(self) -> None:
        votes = np.zeros((3, 10), np.uint8)
        votes[0, 1] = 10  # all say happy
        votes[1, 1], votes[1, 0] = 7, 3
        votes[2, 1], votes[2, 0] = 6, 4
        sure, unsure, doubting = [0.9, 0.1], [0.7, 0.3], [0.6, 0.4]

        def ambiguity(rows: list[list[float]]) -> float:
            found = vote_agreement(np.array(rows), votes, ("happy", "neutral"), ["happy"] * 3)
            assert found is not None
            return found.ambiguity

        assert ambiguity([sure, unsure, doubting]) == pytest.approx(1)
        assert ambiguity([doubting, unsure, sure]) == pytest.approx(-1)
        assert ambiguity([sure, doubting, unsure]) == pytest.approx(0.5)
        assert ambiguity([sure, sure, sure]) == 0
