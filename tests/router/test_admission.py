"""Who goes next, who may wait, and that every request that waits ends exactly once."""

import gc
import tracemalloc
import weakref
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heterofleet.api.routing import RequestClass
from heterofleet.router.admission import Admission, Refusal, Ticket

PLAN, ACT = RequestClass.PLAN, RequestClass.ACT


def offer(
    admission: Admission[Any],
    item: Any,
    request_class: RequestClass = ACT,
    tenant: str = "blue",
    *,
    weight: float = 1.0,
    work: float = 100.0,
    deadline: float = 1e9,
    now: float = 0.0,
) -> Ticket[Any] | Refusal:
    return admission.offer(
        item, request_class=request_class, tenant=tenant, weight=weight, work=work, deadline=deadline, now=now
    )


def ticket(admission: Admission[Any], item: Any, *args: Any, **kwargs: Any) -> Ticket[Any]:
    offered = offer(admission, item, *args, **kwargs)
    assert isinstance(offered, Ticket)
    return offered


def drained(admission: Admission[Any], now: float = 0.0) -> list[Any]:
    return [admission.take(now) for _ in range(len(admission))]


def filled(items: Iterable[tuple[Any, RequestClass, str]], most: int = 1000) -> Admission[Any]:
    admission: Admission[Any] = Admission(most)
    for item, request_class, tenant in items:
        ticket(admission, item, request_class, tenant)
    return admission


def test_plan_goes_before_act_and_each_tenant_in_its_order():
    admission = filled([("a1", ACT, "blue"), ("p1", PLAN, "blue"), ("a2", ACT, "blue"), ("p2", PLAN, "blue")])
    assert drained(admission) == ["p1", "p2", "a1", "a2"]
    assert admission.take(0.0) is None


def test_tenants_take_turns_however_many_requests_one_has():
    admission = filled([(f"b{n}", ACT, "blue") for n in range(6)] + [(f"r{n}", ACT, "red") for n in range(2)])
    assert drained(admission) == ["b0", "r0", "b1", "r1", "b2", "b3", "b4", "b5"]


def test_a_tenant_of_twice_the_weight_gets_twice_the_work():
    admission: Admission[str] = Admission(1000)
    for _ in range(90):
        ticket(admission, "heavy", tenant="heavy", weight=2.0)
        ticket(admission, "light", tenant="light", weight=1.0)
    taken = [admission.take(0.0) for _ in range(90)]
    assert (taken.count("heavy"), taken.count("light")) == (60, 30)


def test_who_came_back_at_once_has_not_gained_a_turn():
    admission = filled([(f"b{n}", ACT, "blue") for n in range(50)] + [("r", ACT, "red")])
    taken = []
    for _ in range(40):
        taken.append(admission.take(0.0))
        if taken[-1] == "r":
            ticket(admission, "r", tenant="red")  # the next request of a client that sends one at a time
    assert taken.count("r") == 20


def test_time_without_requests_saves_up_no_turns():
    admission = filled([(f"b{n}", ACT, "blue") for n in range(50)])
    for _ in range(30):
        admission.take(0.0)
    for n in range(6):
        ticket(admission, f"r{n}", tenant="red")
    assert drained(admission)[:7] == ["r0", "b30", "r1", "b31", "r2", "b32", "r3"]


def test_what_was_withdrawn_is_not_paid_for():
    admission = filled([("b0", ACT, "blue"), ("b1", ACT, "blue")])
    gone = [ticket(admission, "never", tenant="red", work=1e6) for _ in range(5)]
    for each in gone:
        admission.withdraw(each)
    ticket(admission, "r0", tenant="red")
    ticket(admission, "r1", tenant="red")
    assert drained(admission) == ["b0", "r0", "b1", "r1"]


works = st.lists(st.floats(1, 1000), min_size=2, max_size=40)


@given(works, works, st.integers(1, 30))
def test_two_tenants_that_always_wait_are_never_apart_by_more_than_one_request(blue, red, rounds):
    admission: Admission[tuple[str, float]] = Admission(1000)
    queues = {"blue": blue * 40, "red": red * 40}
    for tenant, queue in queues.items():
        for work in queue[:3]:
            ticket(admission, (tenant, work), tenant=tenant, work=work)
    done = {"blue": 0.0, "red": 0.0}
    at = {"blue": 3, "red": 3}
    for _ in range(rounds):
        taken = admission.take(0.0)
        assert taken is not None
        tenant, work = taken
        done[tenant] += work
        work = queues[tenant][at[tenant]]
        ticket(admission, (tenant, work), tenant=tenant, work=work)
        at[tenant] += 1
        assert abs(done["blue"] - done["red"]) <= max(blue + red) * (1 + 1e-9)


def test_a_full_queue_refuses_and_says_when_to_come_again():
    admission = filled([(n, PLAN, "blue") for n in range(10)], most=10)
    assert offer(admission, "late", PLAN) == Refusal("10 requests wait already for an instance, and no more may", 60.0)
    assert len(admission) == 10


def test_no_request_waits_where_none_may():
    assert isinstance(offer(Admission(0), "a", PLAN), Refusal)


def test_a_lowered_bound_keeps_what_waits_and_admits_nothing():
    admission = filled([(n, ACT, "blue") for n in range(5)])
    admission.max_requests = 3
    assert isinstance(offer(admission, "late"), Refusal)
    assert drained(admission) == [0, 1, 2, 3, 4]


def test_a_plan_request_displaces_the_youngest_act_request_of_who_has_most():
    admission = filled([("b0", ACT, "blue"), ("r0", ACT, "red"), ("r1", ACT, "red"), ("b1", ACT, "blue"),
                        ("r2", ACT, "red")], most=5)  # fmt: skip
    assert ticket(admission, "plan", PLAN, "red").displaced == "r2"
    assert drained(admission) == ["plan", "b0", "r0", "b1", "r1"]


def test_an_act_request_never_displaces_a_plan_request():
    admission = filled([(n, PLAN, "blue") for n in range(3)], most=3)
    assert isinstance(offer(admission, "act", ACT, "red"), Refusal)


def test_who_has_less_waiting_displaces_who_floods_the_queue_until_they_are_even():
    admission = filled([(f"b{n}", ACT, "blue") for n in range(6)], most=6)
    offered = [offer(admission, f"r{n}", tenant="red") for n in range(5)]
    assert [each.displaced if isinstance(each, Ticket) else None for each in offered] == ["b5", "b4", "b3", None, None]
    assert isinstance(offer(admission, "b", tenant="blue"), Refusal)


def test_nobody_displaces_only_to_be_displaced_in_turn():
    admission = filled([("b0", ACT, "blue"), ("b1", ACT, "blue"), ("r0", ACT, "red")], most=3)
    assert isinstance(offer(admission, "r1", tenant="red"), Refusal)
    assert isinstance(offer(admission, "b2", tenant="blue"), Refusal)


def test_weight_counts_when_the_queue_is_full():
    admission = filled([(f"b{n}", ACT, "blue") for n in range(6)], most=6)
    displaced = [offer(admission, "r", tenant="red", weight=2.0) for _ in range(6)]
    assert sum(isinstance(each, Ticket) for each in displaced) == 4


def test_what_waits_past_its_deadline_is_given_back_in_that_order():
    admission: Admission[str] = Admission(10)
    for item, deadline in (("late", 30.0), ("early", 10.0), ("middle", 20.0)):
        ticket(admission, item, deadline=deadline)
    assert admission.expired(9.9) == []
    assert admission.expired(20.0) == ["early", "middle"]
    assert drained(admission) == ["late"]
    assert admission.expired(99.0) == []


def test_a_ticket_can_be_withdrawn_at_any_time():
    admission: Admission[str] = Admission(10)
    kept, left = ticket(admission, "kept"), ticket(admission, "left")
    for _ in range(2):
        admission.withdraw(left)
    assert admission.take(0.0) == "kept"
    admission.withdraw(kept)
    assert (len(admission), admission.take(0.0), admission.expired(1e10)) == (0, None, [])


def test_the_oldest_age_is_that_of_what_waits_longest():
    admission: Admission[str] = Admission(10)
    assert admission.oldest_age(5.0) == 0.0
    ticket(admission, "act", ACT, now=1.0)
    ticket(admission, "plan", PLAN, now=3.0)
    assert admission.oldest_age(5.0) == 4.0
    assert (admission.count(PLAN), admission.count(ACT)) == (1, 1)


def test_who_is_refused_is_told_when_what_waits_will_be_gone():
    admission = filled([(n, ACT, "blue") for n in range(100)])
    for step in range(60):
        admission.take(step * 0.5)  # two a second
    assert admission.retry_after(30.0) == pytest.approx(40 / 2, rel=0.05)
    assert admission.retry_after(30.0, PLAN) == 1.0


def test_the_drain_is_known_from_the_first_seconds_on():
    admission = filled([(n, ACT, "blue") for n in range(100)])
    for step in range(1, 11):
        admission.take(step * 0.2)
    assert admission.retry_after(2.0) == pytest.approx(90 / 5, rel=0.05)


def test_time_in_which_nothing_waits_does_not_count_as_slow():
    admission = filled([(n, ACT, "blue") for n in range(20)])
    for step in range(1, 21):
        admission.take(step * 0.1)
    for n in range(30):
        ticket(admission, n, now=3600.0)
    assert admission.retry_after(3600.0) == pytest.approx(3.0, rel=0.05)


def test_the_wait_that_is_told_is_between_a_second_and_a_minute():
    admission = filled([(n, ACT, "blue") for n in range(1000)])
    assert admission.retry_after(0.0) == 60.0
    admission.take(0.5)
    assert 1.0 <= admission.retry_after(0.5) <= 60.0
    assert admission.retry_after(1e6) == 60.0
    drained(admission, now=1e6)
    assert admission.retry_after(1e6) == 1.0


def test_tenants_that_come_and_go_take_no_memory():
    admission = filled([("stays", PLAN, "green"), ("stays", ACT, "green")])

    def come_and_go(count: int) -> None:
        for number in range(count):
            admission.withdraw(ticket(admission, "gone", tenant=f"tenant-{number}", deadline=1e6))

    come_and_go(500)
    tracemalloc.start()
    come_and_go(20_000)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 200_000
    assert drained(admission) == ["stays", "stays"]


def test_nothing_is_kept_of_requests_that_have_ended():
    class Item:
        pass

    admission: Admission[Item] = Admission(10)
    taken, withdrawn, expired = Item(), Item(), Item()
    references = [weakref.ref(item) for item in (taken, withdrawn, expired)]
    ticket(admission, expired, deadline=5.0)
    assert admission.expired(6.0) == [expired]
    ticket(admission, taken)
    admission.withdraw(ticket(admission, withdrawn))
    assert admission.take(7.0) is taken
    del taken, withdrawn, expired
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


class Walk(RuleBasedStateMachine):
    """Requests come, are taken, withdrawn, displaced and expire; every one that may wait ends exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.admission: Admission[int] = Admission(6)
        self.now = 0.0
        self.number = 0
        self.waiting: dict[int, tuple[Ticket[int], RequestClass, str, float]] = {}
        self.ended: list[Ticket[int]] = []

    def ends(self, number: int) -> tuple[Ticket[int], RequestClass, str, float]:
        assert number in self.waiting, "ended twice, or never came"
        entry = self.waiting.pop(number)
        self.ended.append(entry[0])
        return entry

    @rule(
        request_class=st.sampled_from(RequestClass),
        tenant=st.sampled_from("abc"),
        weight=st.sampled_from([1.0, 3.0]),
        work=st.floats(1, 500),
        patience=st.floats(0.1, 30),
    )
    def a_request_comes(self, request_class, tenant, weight, work, patience):
        full = len(self.admission) >= self.admission.max_requests
        deadline = self.now + patience
        offered = offer(
            self.admission,
            self.number,
            request_class,
            tenant,
            weight=weight,
            work=work,
            deadline=deadline,
            now=self.now,
        )
        if isinstance(offered, Refusal):
            assert full
            assert 1.0 <= offered.retry_after_seconds <= 60.0
            assert request_class is ACT or all(entry[1] is PLAN for entry in self.waiting.values())
            return
        assert (offered.displaced is not None) == full
        if offered.displaced is not None:
            assert self.ends(offered.displaced)[1] in {ACT, request_class}
        self.waiting[self.number] = (offered, request_class, tenant, deadline)
        self.number += 1

    @rule()
    def one_is_taken(self):
        taken = self.admission.take(self.now)
        if taken is None:
            assert not self.waiting
            return
        _, request_class, tenant, _ = self.ends(taken)
        rest = [(number, entry) for number, entry in self.waiting.items() if entry[1:3] == (request_class, tenant)]
        assert all(number > taken for number, _ in rest), "not in the order of its arrival"
        assert request_class is PLAN or all(entry[1] is ACT for entry in self.waiting.values())

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def a_client_leaves(self, data):
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        self.admission.withdraw(self.ends(number)[0])

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def one_that_has_ended_is_withdrawn(self, data):
        self.admission.withdraw(data.draw(st.sampled_from(self.ended)))

    @rule(seconds=st.floats(0, 20))
    def time_goes_on(self, seconds):
        self.now += seconds
        late = {number for number, entry in self.waiting.items() if entry[3] <= self.now}
        expired = self.admission.expired(self.now)
        assert set(expired) == late
        for number in expired:
            self.ends(number)

    @rule(most=st.integers(0, 8))
    def the_bound_changes(self, most):
        self.admission.max_requests = most

    @invariant()
    def what_waits_is_what_came_and_has_not_ended(self):
        assert len(self.admission) == len(self.waiting)
        assert self.admission.count(PLAN) == sum(entry[1] is PLAN for entry in self.waiting.values())

    def teardown(self):
        for number in drained(self.admission, self.now):
            self.ends(number)
        assert not self.waiting
        assert (len(self.admission), self.admission.oldest_age(self.now)) == (0, 0.0)
        assert self.admission.expired(1e12) == []


TestWalk = Walk.TestCase
