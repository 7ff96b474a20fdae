"""Measures: their formulas, by hand and against counting by brute force."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.training import measures
from heterofleet.training.measures import Cut, Measures
from heterofleet.training.traffic import Traffic


def traffic(small: list[list[float]], large: list[list[float]]) -> Traffic:
    return Traffic((), (), np.array(small), np.array(large))


def test_all_measures_of_four_requests() -> None:
    # Two small models of which the second fails always; the large one is right always.
    labelled = traffic([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], [[1.0]] * 4)
    found = measures.of(np.array([0.1, 0.6, 0.4, 0.9]), labelled)
    by_hand = Measures(
        accuracy=(1 + 0 + 0 + 1 + 1 + 0 + 1 + 0) / 8,
        auc=0.75,
        # First model: requests go in the order 0, 2, 1, 3 and gain 1, 0, 1, 0 of 2. Second: each gains a quarter.
        apgr=((0.25 + 0.5 + 0.75 + 1) / 4 + 0.5) / 2,
        ece=(0.1 + 0.6 + 0.1 + 0.4) / 4,
        brier=(2 * 0.01 + 2 * 0.36 + 0.36 + 0.16 + 0.01 + 0.81) / 8,
    )
    assert tuple(found) == pytest.approx(tuple(by_hand))


def test_a_threshold_sends_what_lies_below_it_to_the_large_model() -> None:
    # Of the second large model none is better than the first small one, so that two pairs of three count.
    labelled = traffic([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], [[1.0, 0.5]] * 4)
    found = measures.cut(0.5, np.array([0.1, 0.5, 0.4, 0.9]), labelled)
    assert found == Cut(0.5, plan=0.5, accuracy=(1 + 0 + 0 + 1 + 1 + 0 + 1 + 0) / 8, pgr=0.5)


def test_no_gap_is_recovered_by_a_threshold_where_no_large_model_is_better() -> None:
    assert measures.cut(0.5, np.array([0.2, 0.8]), traffic([[0.0], [1.0]], [[0.0], [1.0]])) == Cut(0.5, 0.5, 1.0, None)


_SCORED: Any = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=2, max_size=30)


@given(_SCORED.filter(lambda rows: len({label for _, label in rows}) == 2))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    good = [score for score, label in rows if label]
    bad = [score for score, label in rows if not label]
    pairs = [1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad]
    scores, labels = np.array([score for score, _ in rows]), np.array([float(label) for _, label in rows])
    assert measures.auc(scores, labels) == pytest.approx(sum(pairs) / len(pairs))


@given(_SCORED.filter(lambda rows: any(not label for _, label in rows)))
def test_an_order_and_its_reverse_recover_the_whole_gap_together(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows])
    small, large = np.array([float(label) for _, label in rows]), np.ones(len(rows))
    total = measures.apgr(scores, small, large) + measures.apgr(-scores, small, large)
    assert total == pytest.approx(1.0)


def test_scores_that_tell_nothing_recover_half_the_gap() -> None:
    small = np.array([0.0, 0.3, 1.0, 0.2])
    assert measures.apgr(np.full(4, 0.5), small, np.ones(4)) == pytest.approx(0.5)


def test_the_best_order_sends_the_failures_first() -> None:
    small, large = np.array([1.0] * 8 + [0.0] * 2), np.ones(10)
    assert measures.apgr(small, small, large) == pytest.approx(0.9)


def test_no_gap_is_recovered_where_no_large_model_is_better() -> None:
    assert measures.of(np.array([0.2, 0.8]), traffic([[0.0], [1.0]], [[0.0], [1.0]])).apgr is None


def test_a_score_that_is_right_on_average_in_its_bin_is_calibrated() -> None:
    scores = np.array([0.25, 0.25, 0.25, 0.25, 1.0])
    assert measures.calibration_error(scores, np.array([0.0, 0.0, 0.0, 1.0, 1.0])) == 0.0
