"""The detour past the small tier: when it begins, that it ends, and the window by which it is decided."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.ladder import Escalation
from heterofleet.router import successes
from heterofleet.router.successes import Detour, Standing, Successes

POLICY = Escalation(threshold=0.7, window_seconds=300, min_samples=20)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=80),
    st.floats(0, 200),
    st.sampled_from([(10.0, 5), (60.0, 60), (1.0, 1)]),
)
def test_the_window_holds_what_a_list_of_all_answers_would(
    answers: list[tuple[bool, float]], wait: float, ring: tuple[float, int]
):
    window, buckets = ring
    subject, now, told = Successes(window, buckets), 1000.0, []
    for good, pause in answers:
        now += pause
        subject.record(good, now)
        told.append((good, int(now / (window / buckets))))
    oldest = int((now + wait) / (window / buckets)) - buckets
    kept = [good for good, bucket in told if bucket > oldest]
    assert subject.share(now + wait) == Standing(sum(kept) / len(kept) if kept else 1.0, len(kept))


def test_a_clock_that_steps_back_loses_nothing():
    subject = Successes(60)
    subject.record(True, 100)
    subject.record(False, 10)
    assert subject.share(50) == Standing(0.5, 2)


@pytest.mark.parametrize(
    ("share", "samples", "policy", "expected"),
    [
        (0.69, 20, POLICY, True),
        (0.70, 20, POLICY, False),
        (0.0, 19, POLICY, False),
        (0.0, 20, Escalation(enabled=False), False),
    ],
)
def test_a_detour_begins_with_enough_answers_of_which_too_few_are_good(
    share: float, samples: int, policy: Escalation, expected: bool
):
    assert successes.escalates_at_once(share, samples, policy) is expected


def detoured() -> Detour:
    detour = Detour(POLICY)
    for _ in range(POLICY.min_samples):
        detour.record(False, 0.0)
    return detour


def test_one_request_in_twenty_still_tries_the_small_tier():
    detour = detoured()
    assert [detour.large_at_once(0.1) for _ in range(40)] == [*[True] * 19, False] * 2


def test_with_little_traffic_each_request_is_a_trial_so_that_a_window_is_enough():
    detour = detoured()
    assert [detour.large_at_once(16.0 * n) for n in range(1, 21)] == [False] * 20
    assert [detour.large_at_once(321.0), detour.large_at_once(335.0)] == [True, False]


def test_before_a_detour_all_act_requests_go_to_the_small_tier():
    detour = Detour(POLICY)
    detour.record(False, 0.0)
    assert (detour.active, [detour.large_at_once(0.0) for _ in range(100)]) == (False, [False] * 100)


def test_a_detour_ends_when_enough_trials_are_good_and_what_was_before_is_forgotten():
    detour = detoured()
    for _ in range(POLICY.min_samples - 1):
        detour.record(True, 1.0)
    assert detour.active
    detour.record(True, 1.0)
    assert (detour.active, detour.standing(1.0)) == (False, Standing(1.0, 0))
    detour.record(False, 1.0)
    assert not detour.active


def test_trials_just_at_the_threshold_do_not_end_a_detour():
    detour = detoured()
    for n in range(100):
        detour.record(n % 20 < 15, 1.0)  # 0.75 is above the threshold, 0.775 would end it
    assert detour.active


@given(st.integers(0, 1000), st.floats(0.0, 0.3), st.floats(0.5, 20.0))
def test_a_small_tier_that_is_good_again_gets_its_requests_back(seed: int, quality: float, pause: float):
    random, detour, now = Random(seed), Detour(POLICY), 0.0
    for _ in range(500):
        now += pause / 10
        if not detour.large_at_once(now):
            detour.record(random.random() < quality, now)
    assert detour.active
    for _ in range(successes.TRIAL_EVERY * 2 * POLICY.min_samples):
        now += pause
        if not detour.large_at_once(now):
            detour.record(True, now)
    assert not detour.active


def test_however_many_answers_begin_a_detour_fifty_trials_may_end_it():
    policy = Escalation(min_samples=1000)
    detour = Detour(policy)
    for _ in range(1000):
        detour.record(False, 0.0)
    trials = 0
    while detour.active:
        detour.record(True, 1.0)
        trials += 1
    assert trials == successes.MOST_TRIALS
