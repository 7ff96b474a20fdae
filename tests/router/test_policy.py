"""The ladder: single steps as whole values, and whole requests played out against engines that end in any way."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.labels import Tier
from heterofleet.api.ladder import Adjustment, Escalation, Fallback, Retry
from heterofleet.api.ladder import Review as ReviewPolicy
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.routing import RequestClass
from heterofleet.router import policy
from heterofleet.router.answer import Flaw
from heterofleet.router.policy import (
    Action,
    Adjust,
    Attempt,
    Cached,
    Done,
    Escalate,
    Fail,
    Outcome,
    Review,
    Step,
    Traits,
)

ACT = Traits(RequestClass.ACT, deadline=600.0, cached=False)
PLAN = Traits(RequestClass.PLAN, deadline=600.0, cached=False)
PLAIN = RouterPolicy()
ADJUSTING = RouterPolicy(adjustment=Adjustment(enabled=True))
IMPATIENT = RouterPolicy(retry=Retry(attempts=0))
EMPTY = Attempt(Tier.SMALL, Outcome.BAD, "s1", Flaw.EMPTY)
LARGE_EMPTY = Attempt(Tier.LARGE, Outcome.BAD, "l1", Flaw.EMPTY)


class Half:
    """A chance that always falls in the middle: what jitter is on average."""

    def random(self) -> float:
        return 0.5


def decide(
    *attempts: Attempt, under: RouterPolicy = PLAIN, of: Traits = ACT, now: float = 0.0, sent: bool = False
) -> Action:
    return policy.decide(under, of, attempts, now, Half(), first_byte_sent=sent)


def small(outcome: Outcome, endpoint: str = "s1") -> Attempt:
    return Attempt(Tier.SMALL, outcome, endpoint)


def large(outcome: Outcome, endpoint: str = "l1") -> Attempt:
    return Attempt(Tier.LARGE, outcome, endpoint)


FAILURES = [
    Outcome.CONNECT_FAILED, Outcome.ENGINE_ERROR, Outcome.ENGINE_BUSY, Outcome.TIMEOUT, Outcome.STALLED,
    Outcome.CLOSED_EARLY, Outcome.MALFORMED,
]  # fmt: skip


def test_a_good_answer_is_given():
    assert decide(small(Outcome.TIMEOUT), small(Outcome.GOOD, "s2")) == Done(1)


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_is_retried_elsewhere_after_a_pause_that_doubles(outcome: Outcome):
    first, second, third = (small(outcome, f"s{n}") for n in (1, 2, 3))
    assert [decide(first), decide(first, second), decide(first, second, third)] == [
        policy.Retry(0.05, frozenset({"s1"})),
        policy.Retry(0.1, frozenset({"s1", "s2"})),
        policy.Retry(0.2, frozenset({"s1", "s2", "s3"})),
    ]


def test_the_other_tier_answers_when_all_retries_failed():
    failed = [small(Outcome.CONNECT_FAILED, f"s{n}") for n in range(4)]
    assert decide(*failed) == policy.Fallback(Tier.LARGE, degraded=False)


def test_a_tier_with_nobody_to_ask_is_not_asked_again():
    assert decide(Attempt(Tier.SMALL, Outcome.UNAVAILABLE)) == policy.Fallback(Tier.LARGE, degraded=False)


def test_a_plan_request_that_the_small_tier_answers_is_degraded():
    assert decide(Attempt(Tier.LARGE, Outcome.UNAVAILABLE), of=PLAN) == policy.Fallback(Tier.SMALL, degraded=True)


def test_each_tier_is_fallen_back_to_once_then_a_cached_answer_is_looked_for():
    gone = [Attempt(Tier.LARGE, Outcome.UNAVAILABLE), Attempt(Tier.SMALL, Outcome.UNAVAILABLE)]
    asking = Traits(RequestClass.PLAN, deadline=600.0)
    assert decide(*gone, of=asking) == Cached()
    assert decide(*gone, of=PLAN) == Fail(
        503, "no engine of this fleet could take the request, as none works: send it again in a moment"
    )


@pytest.mark.parametrize(
    ("under", "of", "attempt"),
    [
        (RouterPolicy(retry=Retry(attempts=0), fallback=Fallback(large_for_small=False)), ACT, small(Outcome.TIMEOUT)),
        (RouterPolicy(retry=Retry(attempts=0), fallback=Fallback(small_for_large=False)), PLAN, large(Outcome.TIMEOUT)),
        (IMPATIENT, Traits(RequestClass.ACT, 600.0, pinned=True, cached=False), small(Outcome.TIMEOUT)),
        (RouterPolicy(retry=Retry(max_attempts=1)), ACT, small(Outcome.TIMEOUT)),
    ],
)
def test_no_other_tier_answers_where_that_is_not_allowed(under: RouterPolicy, of: Traits, attempt: Attempt):
    action = decide(attempt, under=under, of=of)
    assert (action.step, isinstance(action, Fail) and action.status) == (Step.FAIL, 504)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.UNAVAILABLE, 503),
        (Outcome.CONNECT_FAILED, 503),
        (Outcome.ENGINE_BUSY, 503),
        (Outcome.TIMEOUT, 504),
        (Outcome.STALLED, 504),
        (Outcome.ENGINE_ERROR, 502),
        (Outcome.CLOSED_EARLY, 502),
        (Outcome.MALFORMED, 502),
    ],
)
def test_a_failure_has_an_honest_status(outcome: Outcome, status: int):
    over = RouterPolicy(retry=Retry(max_attempts=1))
    action = decide(small(outcome), under=over)
    assert isinstance(action, Fail)
    tries = "as none works" if outcome is Outcome.UNAVAILABLE else "at the only attempt"
    assert (action.status, tries in action.sentence) == (status, True)


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.ENGINE_ERROR, 502), (Outcome.TIMEOUT, 504), (Outcome.ENGINE_BUSY, 503)]
)
def test_what_engines_have_answered_counts_for_more_than_a_tier_with_nobody_to_ask(outcome: Outcome, status: int):
    failed = [small(outcome, f"s{n}") for n in range(4)]
    action = decide(*failed, Attempt(Tier.LARGE, Outcome.UNAVAILABLE))
    assert isinstance(action, Fail)
    assert (action.status, "after 4 attempts" in action.sentence) == (status, True)


def test_only_the_other_tier_may_stand_in_and_only_where_policy_and_client_let_it():
    pinned = ACT._replace(pinned=True)
    alone = RouterPolicy(fallback=Fallback(large_for_small=False, small_for_large=False))
    found = [
        policy.stands_in(under, of, tier)
        for under, of in ((PLAIN, ACT), (PLAIN, pinned), (alone, ACT))
        for tier in (Tier.SMALL, Tier.LARGE, policy.EMBED)
    ]
    assert found == [Tier.LARGE, Tier.SMALL, *[None] * 7]


def test_past_its_deadline_a_request_fails_by_time_whatever_the_last_attempt_was():
    action = decide(small(Outcome.ENGINE_ERROR), now=600.0)
    assert (action.step, isinstance(action, Fail) and action.status) == (Step.FAIL, 504)


def test_a_pause_beyond_the_deadline_is_not_waited_for():
    assert decide(small(Outcome.ENGINE_ERROR), now=599.99) == policy.Fallback(Tier.LARGE, degraded=False)


@pytest.mark.parametrize("outcome", FAILURES)
def test_after_the_first_byte_nothing_is_tried_again(outcome: Outcome):
    assert decide(small(outcome), sent=True).step is Step.FAIL


def test_what_has_been_given_stays_given():
    assert [decide(EMPTY, sent=True), decide(small(Outcome.GOOD), sent=True)] == [Done(0), Done(0)]


def test_an_engine_that_refuses_the_request_is_passed_through():
    assert decide(small(Outcome.TIMEOUT), small(Outcome.CLIENT_ERROR)) == Done(1)


def test_an_engine_that_refuses_a_further_attempt_does_not_undo_an_answer():
    assert decide(EMPTY, large(Outcome.CLIENT_ERROR)) == Done(0)


def test_a_client_that_left_ends_everything():
    assert decide(EMPTY, small(Outcome.CLIENT_GONE)) == Fail(499, "the client left before its answer was there")


def test_a_bad_answer_is_escalated_then_the_best_is_given():
    assert [decide(EMPTY), decide(EMPTY, LARGE_EMPTY), decide(LARGE_EMPTY, of=PLAN)] == [
        Escalate(Tier.LARGE),
        Done(1),
        Done(0),
    ]


def test_a_bad_answer_is_adjusted_once_before_it_is_escalated():
    failed = small(Outcome.ENGINE_ERROR, "s2")
    assert [decide(*tries, under=ADJUSTING) for tries in ([EMPTY], [EMPTY, EMPTY], [EMPTY, failed, EMPTY])] == [
        Adjust(temperature=0.2),
        Escalate(Tier.LARGE),
        Escalate(Tier.LARGE),
    ]
    assert decide(failed, EMPTY, under=ADJUSTING) == Adjust(temperature=0.2)
    assert decide(EMPTY, EMPTY, LARGE_EMPTY, under=ADJUSTING) == Done(2)


def test_an_answer_that_was_cut_off_is_asked_for_at_greater_length():
    cut = Attempt(Tier.SMALL, Outcome.BAD, "s1", Flaw.TRUNCATED, truncated=True)
    asked = Traits(RequestClass.ACT, 600.0, max_tokens=100)
    assert decide(cut, under=ADJUSTING, of=asked) == Adjust(max_tokens=200)
    assert decide(cut, under=ADJUSTING, of=ACT) == Escalate(Tier.LARGE)


def test_an_adjustment_that_changes_nothing_is_not_tried():
    same = RouterPolicy(adjustment=Adjustment(enabled=True, temperature=None))
    assert decide(EMPTY, under=same) == Escalate(Tier.LARGE)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({}, {"temperature": 0.2, "max_tokens": 9}),
        ({"max_completion_tokens": 3}, {"temperature": 0.2, "max_completion_tokens": 9}),
        ({"max_output_tokens": 3}, {"temperature": 0.2, "max_output_tokens": 9}),
    ],
)
def test_parameters_change_under_the_names_that_the_client_used(fields: dict[str, object], changes: dict[str, object]):
    assert Adjust(temperature=0.2, max_tokens=9).changes(fields) == changes


@pytest.mark.parametrize(
    ("under", "of"),
    [
        (RouterPolicy(escalation=Escalation(enabled=False)), ACT),
        (PLAIN, Traits(RequestClass.ACT, 600.0, pinned=True)),
        (RouterPolicy(retry=Retry(max_attempts=1)), ACT),
        (PLAIN, Traits(RequestClass.ACT, 0.0)),
    ],
)
def test_without_a_next_tier_a_bad_answer_is_given(under: RouterPolicy, of: Traits):
    assert decide(EMPTY, under=under, of=of) == Done(0)


REVIEWING = RouterPolicy.model_construct(
    retry=Retry(),
    review=ReviewPolicy(enabled=True),
    adjustment=Adjustment(),
    escalation=Escalation(),
    fallback=Fallback(),
)


def test_the_best_of_bad_answers_is_held_for_review_once():
    settled = Traits(RequestClass.ACT, 600.0, reviewed=True)
    assert decide(EMPTY, LARGE_EMPTY, under=REVIEWING) == Review(1)
    assert decide(EMPTY, LARGE_EMPTY, under=REVIEWING, of=settled) == Done(1)


def test_an_answer_though_bad_is_better_than_an_error():
    gone = Attempt(Tier.LARGE, Outcome.UNAVAILABLE)
    assert [decide(EMPTY, gone), decide(EMPTY, gone, under=REVIEWING)] == [Done(0), Review(0)]


def test_the_best_answer_has_the_least_flaw_then_the_larger_tier_then_the_later_try():
    by = {flaw: Attempt(Tier.SMALL, Outcome.BAD, "s1", flaw) for flaw in Flaw}
    assert decide(by[Flaw.REFUSAL], by[Flaw.IMPROBABLE], by[Flaw.EMPTY], LARGE_EMPTY) == Done(1)
    assert decide(LARGE_EMPTY, by[Flaw.EMPTY]) == Done(0)
    assert decide(LARGE_EMPTY, by[Flaw.NOT_JSON], by[Flaw.NOT_JSON]) == Done(2)


@given(st.integers(1, 60), st.floats(0, 60), st.floats(1, 5), st.floats(0, 1, exclude_max=True))
def test_pauses_are_jittered_fully_and_never_beyond_the_longest(failures: int, mean: float, times: float, luck: float):
    class Luck:
        def random(self) -> float:
            return luck

    longest = mean * times
    retrying = RouterPolicy(retry=Retry(backoff_seconds=mean, max_backoff_seconds=longest))
    pause = policy.backoff_seconds(retrying, failures, Luck())
    assert pause == pytest.approx(luck * min(longest, 2 * mean * 2.0 ** (failures - 1)))


def test_only_what_speaks_against_an_endpoint_is_a_fault():
    assert {outcome for outcome in Outcome if outcome.fault} == set(FAILURES) - {Outcome.ENGINE_BUSY}


def test_a_sentence_is_there_for_every_way_to_fail():
    for outcome in set(Outcome) - {Outcome.GOOD, Outcome.BAD, Outcome.CLIENT_ERROR}:
        assert decide(small(outcome), sent=True).step is Step.FAIL


POLICIES = st.builds(
    RouterPolicy,
    retry=st.builds(
        Retry, attempts=st.integers(0, 10), max_attempts=st.integers(1, 32), backoff_seconds=st.floats(0, 2)
    ),
    adjustment=st.builds(Adjustment, enabled=st.booleans()),
    escalation=st.builds(Escalation, enabled=st.booleans()),
    fallback=st.builds(Fallback, large_for_small=st.booleans(), small_for_large=st.booleans(), cached=st.booleans()),
).flatmap(
    lambda made: st.sampled_from([made, made.model_copy(update={"review": ReviewPolicy(enabled=True)})])
)  # The copy leaves out what a review needs beside the ladder.


@given(POLICIES, st.data(), st.sampled_from(RequestClass), st.integers(0, 2**32), st.floats(0.1, 600))
def test_every_request_ends_within_its_budgets_and_with_an_answer(
    under: RouterPolicy, data: st.DataObject, of: RequestClass, seed: int, deadline: float
):
    """Plays a request against engines that end in any way, and holds every step to the rules."""
    traits = Traits(of, deadline, max_tokens=data.draw(st.none() | st.integers(1, 10)), pinned=data.draw(st.booleans()))
    tier, adjusted, now, random = (Tier.SMALL if of is RequestClass.ACT else Tier.LARGE), False, 0.0, Random(seed)
    attempts: list[Attempt] = []
    tiers = [tier]
    while True:
        outcome = data.draw(st.sampled_from(Outcome))
        flaw = data.draw(st.sampled_from(Flaw)) if outcome is Outcome.BAD else None
        attempts.append(Attempt(tier, outcome, f"e{len(attempts)}", flaw, data.draw(st.booleans())))
        now += data.draw(st.floats(0, 100))
        sent = outcome is not Outcome.UNAVAILABLE and data.draw(st.integers(0, 9)) == 0
        action = policy.decide(under, traits, attempts, now, random, first_byte_sent=sent)
        assert len(attempts) <= under.retry.max_attempts
        assert outcome is not Outcome.GOOD or action == Done(len(attempts) - 1)
        if isinstance(action, Cached):
            traits = traits._replace(cached=False)
            action = policy.decide(under, traits, attempts, now, random)
            assert isinstance(action, Fail)
        if action.step in (Step.DONE, Step.FAIL, Step.REVIEW):
            break
        assert not sent
        assert now < deadline
        if isinstance(action, policy.Retry):
            assert now + action.after_seconds < deadline
            now += action.after_seconds
        elif isinstance(action, Escalate | policy.Fallback):
            assert not traits.pinned
            assert action.tier is not tier
            tier = action.tier
            tiers.append(tier)
        else:
            assert isinstance(action, Adjust)
            assert not adjusted
        adjusted = adjusted or isinstance(action, Adjust)
    assert len(tiers) == len(set(tiers))
    gone = attempts[-1].outcome is Outcome.CLIENT_GONE
    if not gone and not sent and any(attempt.outcome is Outcome.BAD for attempt in attempts):
        assert action.step in (Step.DONE, Step.REVIEW)
