"""When a breaker lets requests through: single rules, and a random walk over everything that can happen to it."""

import math

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from heterofleet.router.breaker import Breaker, State

OPEN_SECONDS = 60.0


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(5, OPEN_SECONDS)
    for _ in range(5):
        breaker.failed(at)
    return breaker


def on_trial(at: float = 60.0) -> Breaker:
    breaker = opened()
    breaker.sent(at)
    return breaker


def test_so_many_failures_in_a_row_open_it_for_its_time():
    breaker = Breaker(5, OPEN_SECONDS)
    for _ in range(4):
        breaker.failed(10.0)
    assert (breaker.state(10.0), breaker.allows(10.0), breaker.reopen_at) == (State.CLOSED, True, None)
    breaker.failed(11.0)
    assert (breaker.state(11.0), breaker.allows(11.0), breaker.reopen_at) == (State.OPEN, False, 71.0)
    assert (breaker.state(70.9), breaker.allows(70.9)) == (State.OPEN, False)
    assert (breaker.state(71.0), breaker.allows(71.0)) == (State.HALF_OPEN, True)


def test_a_success_begins_the_row_anew():
    breaker = Breaker(5, OPEN_SECONDS)
    for _ in range(10):
        for _ in range(4):
            breaker.failed(1.0)
        breaker.succeeded(1.0)
    assert breaker.state(1.0) is State.CLOSED


def test_asking_takes_no_trial():
    breaker = opened()
    assert [breaker.allows(60.0) for _ in range(3)] == [True, True, True]


def test_half_open_lets_one_request_through():
    breaker = opened()
    breaker.sent(60.0)
    assert [breaker.allows(now) for now in (60.0, 61.0, 119.9)] == [False, False, False]


def test_a_trial_that_succeeds_closes_it():
    breaker = on_trial()
    breaker.succeeded(61.0, 60.0)
    assert (breaker.state(61.0), breaker.allows(61.0), breaker.reopen_at) == (State.CLOSED, True, None)


def test_a_trial_that_fails_opens_it_again_for_its_whole_time():
    breaker = on_trial()
    breaker.failed(62.0, 60.0)
    assert (breaker.state(62.0), breaker.reopen_at) == (State.OPEN, 122.0)


def test_once_closed_it_takes_the_whole_row_again_to_open_it():
    breaker = on_trial()
    breaker.succeeded(61.0)
    for _ in range(4):
        breaker.failed(62.0, 62.0)
    assert breaker.state(62.0) is State.CLOSED


def test_a_trial_whose_client_leaves_makes_way_for_another():
    breaker = on_trial()
    breaker.abandoned(61.0, 60.0)
    assert (breaker.state(61.0), breaker.allows(61.0)) == (State.HALF_OPEN, True)


def test_a_trial_that_never_ends_makes_way_after_the_time_of_opening():
    breaker = on_trial(at=70.0)
    assert [breaker.allows(now) for now in (129.9, 130.0)] == [False, True]


def test_a_trial_that_was_given_up_does_not_free_its_successor():
    breaker = on_trial()
    breaker.sent(120.0)
    breaker.abandoned(121.0, 60.0)
    assert not breaker.allows(121.0)


def test_clients_that_leave_are_no_faults():
    breaker = Breaker(1, OPEN_SECONDS)
    for _ in range(100):
        breaker.abandoned(1.0, 0.0)
    assert breaker.state(1.0) is State.CLOSED


def test_requests_from_before_it_opened_say_nothing_of_now():
    breaker = opened(at=5.0)
    for now in (6.0, 66.0):
        breaker.failed(now, 4.0)
        breaker.succeeded(now, 4.0)
    assert (breaker.state(66.0), breaker.reopen_at) == (State.HALF_OPEN, 65.0)
    breaker.sent(66.0)
    breaker.succeeded(67.0, 66.0)
    for _ in range(100):
        breaker.failed(68.0, 4.0)
    assert breaker.state(68.0) is State.CLOSED


class Walk(RuleBasedStateMachine):
    """Requests come, are sent where the breaker allows it, and end in any order, while the time goes on."""

    in_flight = Bundle("in_flight")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(3, OPEN_SECONDS)
        self.now = 0.0
        self.opened_at = -math.inf
        self.row = 0
        self.trials: list[float] = []

    @rule(seconds=st.sampled_from([0.1, 1.0, 29.0, 60.0, 200.0]))
    def time_goes_on(self, seconds):
        self.now += seconds

    @rule(target=in_flight)
    def a_request_comes(self):
        if not self.breaker.allows(self.now):
            return -1.0
        assert self.now >= self.opened_at + OPEN_SECONDS, "sent while open"
        if self.breaker.state(self.now) is State.HALF_OPEN:
            assert all(self.now >= sent + OPEN_SECONDS for sent in self.trials), "two trials at once"
            self.trials.append(self.now)
        self.breaker.sent(self.now)
        return self.now

    @rule(sent_at=consumes(in_flight))
    def one_succeeds(self, sent_at):
        if sent_at < 0:
            return
        self.breaker.succeeded(self.now, sent_at)
        if sent_at > self.opened_at:
            self.row = 0
            self.trials.clear()
            assert self.breaker.state(self.now) is State.CLOSED

    @rule(sent_at=consumes(in_flight))
    def one_fails(self, sent_at):
        if sent_at < 0:
            return
        trial = self.breaker.state(self.now) is State.HALF_OPEN
        self.breaker.failed(self.now, sent_at)
        if sent_at <= self.opened_at:
            return
        self.row += 1
        if trial or self.row == 3:
            assert self.breaker.state(self.now) is State.OPEN
            self.opened_at, self.row = self.now, 0
            self.trials.clear()

    @rule(sent_at=consumes(in_flight))
    def a_client_leaves(self, sent_at):
        if sent_at < 0:
            return
        before = self.breaker.state(self.now)
        self.breaker.abandoned(self.now, sent_at)
        assert self.breaker.state(self.now) is before
        if self.trials and sent_at >= self.trials[-1]:
            self.trials.clear()

    @invariant()
    def it_half_opens_in_the_end(self):
        assert self.breaker.allows(max(self.now, self.opened_at) + 2 * OPEN_SECONDS)

    @invariant()
    def it_is_open_for_its_time_and_never_without_a_row_of_failures(self):
        assert (self.breaker.state(self.now) is State.OPEN) == (self.now < self.opened_at + OPEN_SECONDS)


TestWalk = Walk.TestCase
