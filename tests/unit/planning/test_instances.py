"""The large tier's instances: single rules as whole values, and whole rollouts played out step by step."""

from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.planning import instances
from heterofleet.planning.instances import Hold, Instance, ObservedInstance, Policy, Room, Verdict

NEW = "b" * 8
OLD = "a" * 8
PLENTY = Room(100)
FULL = Room(0)


def serving(index: int, revision: str = NEW, **facts: object) -> ObservedInstance:
    return replace(ObservedInstance(index, revision, serving=True), **facts)  # type: ignore[arg-type]  # facts by name


def verdicts(plan: instances.TierPlan) -> dict[int, Verdict]:
    return {instance.index: instance.verdict for instance in plan.instances}


def test_a_new_tier_creates_what_is_wanted():
    plan = instances.plan(2, [], PLENTY, Policy(NEW))
    assert plan == instances.TierPlan((Instance(0, NEW, Verdict.CREATE), Instance(1, NEW, Verdict.CREATE)))


def test_creation_stops_where_gpus_end_and_says_so():
    plan = instances.plan(3, [], Room(1), Policy(NEW))
    assert plan == instances.TierPlan((Instance(0, NEW, Verdict.CREATE),), frozenset({Hold.GPUS}))


def test_an_index_is_not_reused_while_anything_of_it_exists():
    going = ObservedInstance(0, OLD, going=True)
    plan = instances.plan(1, [going], PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.DELETE, 1: Verdict.CREATE}


def test_the_instance_with_the_least_work_leaves_and_drains_first():
    observed = [serving(0, in_flight=5), serving(1, in_flight=2), serving(2, in_flight=9)]
    plan = instances.plan(2, observed, PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.KEEP, 1: Verdict.DRAIN, 2: Verdict.KEEP}


def test_unreadable_work_counts_as_busy():
    observed = [serving(0, in_flight=None), serving(1, in_flight=40)]
    assert verdicts(instances.plan(1, observed, PLENTY, Policy(NEW))) == {0: Verdict.KEEP, 1: Verdict.DRAIN}


def test_a_drain_off_a_cordoned_node_keeps_the_next_one_waiting():
    observed = [serving(0, draining=True, leaving_node=True), serving(1, leaving_node=True), serving(2)]
    plan = instances.plan(2, observed, PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.DRAIN, 1: Verdict.KEEP, 2: Verdict.KEEP}


def test_an_instance_that_found_no_place_counts_until_it_is_due_and_comes_back_under_its_index():
    parked = ObservedInstance(1, NEW, parked=True)
    resting = instances.plan(2, [serving(0), parked], PLENTY, Policy(NEW))
    assert verdicts(resting) == {0: Verdict.KEEP, 1: Verdict.KEEP}
    due = instances.plan(2, [serving(0), replace(parked, due=True)], PLENTY, Policy(NEW))
    assert verdicts(due) == {0: Verdict.KEEP, 1: Verdict.CREATE}
    assert instances.plan(2, [serving(0), replace(parked, due=True)], FULL, Policy(NEW)).holds == {Hold.GPUS}


def test_an_instance_that_found_no_place_is_the_first_to_be_given_up():
    parked = ObservedInstance(1, NEW, parked=True, due=True)
    assert verdicts(instances.plan(1, [serving(0), parked], PLENTY, Policy(NEW))) == {
        0: Verdict.KEEP,
        1: Verdict.DELETE,
    }


def test_a_roll_whose_successor_does_not_serve_in_its_time_stops_and_says_so():
    successor = ObservedInstance(1, NEW, late=True)
    plan = instances.plan(1, [serving(0, OLD), successor], PLENTY, Policy(NEW))
    assert (verdicts(plan), plan.holds) == ({0: Verdict.KEEP, 1: Verdict.KEEP}, frozenset({Hold.STUCK}))


def test_what_does_not_serve_leaves_before_what_serves_and_without_a_drain():
    observed = [serving(0), ObservedInstance(1, NEW), serving(2)]
    assert verdicts(instances.plan(2, observed, PLENTY, Policy(NEW)))[1] is Verdict.DELETE


def test_a_drain_ends_only_with_its_proof():
    draining = serving(1, draining=True)
    assert verdicts(instances.plan(1, [serving(0), draining], FULL, Policy(NEW)))[1] is Verdict.DRAIN
    drained = replace(draining, drained=True)
    assert verdicts(instances.plan(1, [serving(0), drained], FULL, Policy(NEW)))[1] is Verdict.DELETE


def test_a_failed_instance_counts_and_gets_no_substitute():
    failed = ObservedInstance(1, NEW, failed=True)
    plan = instances.plan(2, [serving(0), failed], PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.KEEP, 1: Verdict.KEEP}


def test_a_spec_change_takes_a_failed_instance_away():
    failed = ObservedInstance(1, OLD, failed=True)
    plan = instances.plan(2, [serving(0), failed], PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.KEEP, 1: Verdict.DELETE, 2: Verdict.CREATE}


def test_a_lost_instance_is_abandoned_and_replaced_under_a_new_index():
    plan = instances.plan(1, [ObservedInstance(0, NEW, lost=True)], PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.DELETE, 1: Verdict.CREATE}


def test_a_roll_with_spare_gpus_makes_the_successor_first():
    plan = instances.plan(1, [serving(0, OLD)], PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.KEEP, 1: Verdict.CREATE}


def test_a_roll_waits_for_the_successor_before_it_drains():
    starting = ObservedInstance(1, NEW)
    assert verdicts(instances.plan(1, [serving(0, OLD), starting], PLENTY, Policy(NEW))) == {
        0: Verdict.KEEP,
        1: Verdict.KEEP,
    }
    assert verdicts(instances.plan(1, [serving(0, OLD), serving(1)], PLENTY, Policy(NEW)))[0] is Verdict.DRAIN


def test_a_roll_without_spare_gpus_never_takes_the_last_serving_instance():
    plan = instances.plan(1, [serving(0, OLD)], FULL, Policy(NEW))
    assert plan == instances.TierPlan((Instance(0, OLD, Verdict.KEEP),), frozenset({Hold.OUTAGE}))
    allowed = instances.plan(1, [serving(0, OLD)], FULL, Policy(NEW, allow_outage=True))
    assert verdicts(allowed) == {0: Verdict.DRAIN}


def test_a_stuck_roll_stops_and_says_so():
    observed = [serving(0, OLD), serving(1, OLD), ObservedInstance(2, NEW, failed=True)]
    plan = instances.plan(2, observed, PLENTY, Policy(NEW))
    assert set(verdicts(plan).values()) == {Verdict.KEEP}
    assert plan.holds == {Hold.STUCK}


def test_a_mended_spec_replaces_what_never_served_at_once():
    observed = [ObservedInstance(0, OLD), ObservedInstance(1, OLD)]
    plan = instances.plan(2, observed, FULL, Policy(NEW))
    assert set(verdicts(plan).values()) == {Verdict.DELETE}


def test_two_groups_on_cordoned_nodes_never_leave_together():
    observed = [serving(0, leaving_node=True), serving(1, leaving_node=True)]
    plan = instances.plan(2, observed, PLENTY, Policy(NEW))
    assert verdicts(plan) == {0: Verdict.KEEP, 1: Verdict.KEEP, 2: Verdict.CREATE}
    moved = instances.plan(2, [*observed, serving(2)], PLENTY, Policy(NEW))
    assert sorted(verdicts(moved).values()) == [Verdict.DRAIN, Verdict.KEEP, Verdict.KEEP]


def test_an_evacuation_without_a_place_waits_until_it_is_overdue():
    plan = instances.plan(1, [serving(0, leaving_node=True)], FULL, Policy(NEW))
    assert plan.holds == {Hold.EVACUATION}
    overdue = instances.plan(1, [serving(0, leaving_node=True, overdue=True)], FULL, Policy(NEW))
    assert verdicts(overdue) == {0: Verdict.DRAIN}


@dataclass
class Yard:
    """A tier played out: verdicts are carried out, then chance moves things on."""

    capacity: int
    random: Random
    standing: dict[int, ObservedInstance] = field(default_factory=dict)

    def room(self) -> Room:
        holding = sum(not instance.failed for instance in self.standing.values())
        return Room(max(0, self.capacity - holding))

    def step(self, wanted: int, policy: Policy) -> instances.TierPlan:
        plan = instances.plan(wanted, list(self.standing.values()), self.room(), policy)
        for instance in plan.instances:
            self._carry_out(instance)
        for index, standing in list(self.standing.items()):
            self._move_on(index, standing)
        return plan

    def _carry_out(self, instance: Instance) -> None:
        if instance.verdict is Verdict.CREATE:
            assert instance.index not in self.standing
            self.standing[instance.index] = ObservedInstance(instance.index, instance.revision)
        elif instance.verdict is Verdict.DELETE:
            old = self.standing[instance.index]
            if old.failed:
                del self.standing[instance.index]
            else:
                self.standing[instance.index] = replace(old, going=True, serving=False, draining=False)
        elif instance.verdict is Verdict.DRAIN:
            self.standing[instance.index] = replace(self.standing[instance.index], draining=True)

    def _move_on(self, index: int, instance: ObservedInstance) -> None:
        if self.random.random() < 0.5:
            return
        if instance.going:
            del self.standing[index]
        elif instance.draining:
            self.standing[index] = replace(instance, drained=True)
        elif not instance.serving:
            self.standing[index] = replace(instance, serving=True)

    def count_serving(self) -> int:
        return sum(i.serving and not i.draining and not i.going for i in self.standing.values())


@settings(max_examples=200, deadline=None)
@given(
    capacity=st.integers(1, 6),
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    outage=st.booleans(),
)
def test_every_rollout_ends_at_the_wanted_count_within_the_budget_and_without_an_outage(
    capacity: int, counts: list[int], seed: int, outage: bool
):
    yard = Yard(capacity, Random(seed))
    for number, count in enumerate(counts):
        wanted = min(count, capacity)
        policy = Policy(f"{number:08d}", allow_outage=outage)
        was_up = yard.count_serving() > 0
        for _ in range(200):
            yard.step(wanted, policy)
            assert len(yard.standing) <= capacity
            if was_up and not outage:
                assert yard.count_serving() > 0
            was_up = was_up or yard.count_serving() > 0
        blocked = instances.plan(wanted, list(yard.standing.values()), yard.room(), policy).holds
        if blocked:
            assert blocked == {Hold.OUTAGE}
            assert capacity == wanted == 1
        else:
            assert [i.revision for i in yard.standing.values()] == [policy.revision] * wanted
            assert yard.count_serving() == wanted


@given(wanted=st.integers(0, 5), revisions=st.lists(st.booleans(), max_size=6), creatable=st.integers(0, 3))
def test_a_settled_tier_is_left_alone_and_a_decision_repeats_itself(wanted: int, revisions: list[bool], creatable: int):
    observed = [serving(i, NEW if new else OLD) for i, new in enumerate(revisions)]
    first = instances.plan(wanted, observed, Room(creatable), Policy(NEW))
    assert first == instances.plan(wanted, observed, Room(creatable), Policy(NEW))
    if len(observed) == wanted and all(revisions):
        assert set(verdicts(first).values()) <= {Verdict.KEEP}
        assert not first.holds
