"""The small tier's counts: single rules, and whole rollouts played out against a Deployment controller of chance."""

from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.planning import replicas
from heterofleet.planning.instances import Hold, Policy, Room
from heterofleet.planning.replicas import Pool, PoolsPlan, SmallPod

NEW = "b" * 8
OLD = "a" * 8


def pods(revision: str, count: int, **facts: object) -> tuple[SmallPod, ...]:
    facts = {"ready": True} | facts
    return tuple(
        SmallPod(f"{revision}-{i}", f"{revision}-{i}", revision, created=float(i), **facts)  # type: ignore[arg-type]  # facts by name
        for i in range(count)
    )


def test_a_rise_is_bounded_by_the_gpus_there_are():
    plan = replicas.plan(4, [Pool(NEW, 1, pods(NEW, 1))], Room(2), Policy(NEW))
    assert plan == PoolsPlan({NEW: 3}, holds=frozenset({Hold.GPUS}))


def test_a_fall_marks_pods_and_lowers_the_count_only_when_they_have_drained():
    marked = replicas.plan(1, [Pool(NEW, 2, pods(NEW, 2))], Room(0), Policy(NEW))
    assert marked == PoolsPlan({NEW: 2}, drain=(f"{NEW}-1",))
    first, second = pods(NEW, 2)
    waiting = replicas.plan(1, [Pool(NEW, 2, (first, replace(second, draining=True)))], Room(0), Policy(NEW))
    assert waiting == PoolsPlan({NEW: 2})
    done = replace(second, draining=True, drained=True)
    assert replicas.plan(1, [Pool(NEW, 2, (first, done))], Room(0), Policy(NEW)) == PoolsPlan({NEW: 1})


def test_pods_that_answer_nobody_go_at_once():
    first, second = pods(NEW, 2)
    plan = replicas.plan(1, [Pool(NEW, 2, (first, replace(second, ready=False)))], Room(0), Policy(NEW))
    assert plan == PoolsPlan({NEW: 1})


def test_a_drain_is_called_off_when_the_count_rises_again():
    first, second = pods(NEW, 2)
    plan = replicas.plan(2, [Pool(NEW, 2, (first, replace(second, draining=True)))], Room(0), Policy(NEW))
    assert plan == PoolsPlan({NEW: 2}, keep_after_all=(f"{NEW}-1",))


def test_a_roll_goes_ahead_by_one_pod_where_gpus_are_spare():
    plan = replicas.plan(3, [Pool(OLD, 3, pods(OLD, 3))], Room(5), Policy(NEW))
    assert plan == PoolsPlan({OLD: 3, NEW: 1})


def test_a_roll_without_spare_gpus_drains_one_old_pod_first():
    plan = replicas.plan(3, [Pool(OLD, 3, pods(OLD, 3))], Room(0), Policy(NEW))
    assert plan == PoolsPlan({OLD: 3, NEW: 0}, drain=(f"{OLD}-2",))


def test_a_terminating_old_pod_keeps_its_place_until_it_is_gone():
    old = pods(OLD, 3)
    leaving = (*old[:2], replace(old[2], deleting=True))
    plan = replicas.plan(3, [Pool(OLD, 2, leaving)], Room(0), Policy(NEW))
    assert plan.replicas[NEW] == 0


def test_a_roll_never_takes_the_last_serving_pod():
    plan = replicas.plan(1, [Pool(OLD, 1, pods(OLD, 1))], Room(0), Policy(NEW))
    assert plan == PoolsPlan({OLD: 1, NEW: 0}, holds=frozenset({Hold.OUTAGE}))


def test_an_old_revision_without_pods_has_no_deployment_any_more():
    assert replicas.plan(1, [Pool(NEW, 1, pods(NEW, 1)), Pool(OLD, 0)], Room(0), Policy(NEW)) == PoolsPlan({NEW: 1})


def test_a_deployment_goes_only_when_its_count_is_0_and_nobody_makes_pods_for_it_any_more():
    current = Pool(NEW, 1, pods(NEW, 1))
    assert replicas.plan(1, [current, Pool(OLD, 2, ceiling=2)], Room(0), Policy(NEW)).replicas == {NEW: 1, OLD: 0}
    assert replicas.plan(1, [current, Pool(OLD, 0, ceiling=2)], Room(0), Policy(NEW)).replicas == {NEW: 1, OLD: 0}


def test_a_count_is_not_lowered_twice_for_one_pod_that_its_controller_has_not_taken_yet():
    first, second, third = pods(NEW, 3)
    taken = replace(third, draining=True, drained=True)
    assert replicas.plan(2, [Pool(NEW, 2, (first, second, taken))], Room(0), Policy(NEW)) == PoolsPlan({NEW: 2})
    old, gone = pods(OLD, 2)
    rolling = Pool(OLD, 1, (old, replace(gone, draining=True, drained=True)))
    assert replicas.plan(2, [rolling, Pool(NEW, 0)], Room(0), Policy(NEW)).replicas == {OLD: 1, NEW: 0}


def test_a_count_is_not_lowered_twice_for_one_pod_that_answers_nobody():
    first, second, third = pods(NEW, 3)
    pool = Pool(NEW, 2, (first, second, replace(third, ready=False)))
    assert replicas.plan(1, [pool], Room(0), Policy(NEW)) == PoolsPlan({NEW: 2}, drain=(f"{NEW}-1",))


def test_the_pod_that_was_marked_serves_again_when_another_one_went_in_its_place():
    first, second, third = pods(NEW, 3)
    drained = replace(second, draining=True, drained=True)
    pool = Pool(NEW, 2, (first, drained, replace(third, deleting=True)))
    assert replicas.plan(2, [pool], Room(0), Policy(NEW)) == PoolsPlan({NEW: 2}, keep_after_all=(f"{NEW}-1",))


def test_pods_that_were_not_made_yet_are_given_up_before_any_that_serves():
    assert replicas.plan(1, [Pool(NEW, 4, pods(NEW, 2))], Room(0), Policy(NEW)) == PoolsPlan(
        {NEW: 2}, drain=(f"{NEW}-1",)
    )


def test_a_pod_on_a_lost_node_is_replaced_where_gpus_are_spare():
    first, second = pods(NEW, 2)
    pool = Pool(NEW, 2, (first, replace(second, ready=False, lost=True)))
    assert replicas.plan(2, [pool], Room(1), Policy(NEW)) == PoolsPlan({NEW: 2}, abandon=(f"{NEW}-1",))
    assert replicas.plan(2, [pool], Room(0), Policy(NEW)) == PoolsPlan({NEW: 2}, holds=frozenset({Hold.GPUS}))


def test_a_roll_whose_new_pod_is_not_ready_in_its_time_stops_and_says_so():
    late = pods(NEW, 1, ready=False, late=True)
    plan = replicas.plan(2, [Pool(OLD, 2, pods(OLD, 2)), Pool(NEW, 1, late)], Room(5), Policy(NEW))
    assert plan == PoolsPlan({OLD: 2, NEW: 1}, holds=frozenset({Hold.STUCK}))


def test_a_roll_back_puts_pods_that_were_to_leave_back_into_service():
    leaving = pods(OLD, 1, draining=True)
    plan = replicas.plan(1, [Pool(OLD, 1, leaving), Pool(NEW, 1, pods(NEW, 1, ready=False))], Room(0), Policy(OLD))
    assert plan == PoolsPlan({OLD: 1, NEW: 0}, keep_after_all=(f"{OLD}-0",))


@dataclass
class Yard:
    capacity: int
    random: Random
    counts: dict[str, int] = field(default_factory=dict)
    ceilings: dict[str, int] = field(default_factory=dict)
    pods: dict[str, SmallPod] = field(default_factory=dict)
    born: int = 0

    def pools(self) -> list[Pool]:
        revisions = set(self.counts) | {pod.revision for pod in self.pods.values()}
        return [
            Pool(
                r,
                self.counts.get(r, 0),
                tuple(p for p in self.pods.values() if p.revision == r),
                self.ceilings.get(r, 0),
            )
            for r in sorted(revisions)
        ]

    def step(self, wanted: int, policy: Policy) -> PoolsPlan:
        unborn = sum(
            max(0, ceiling - sum(p.live and p.revision == r for p in self.pods.values()))
            for r, ceiling in self.ceilings.items()
        )
        room = Room(max(0, self.capacity - len(self.pods) - unborn))
        plan = replicas.plan(wanted, self.pools(), room, policy)
        for uid in plan.drain:
            self.pods[uid] = replace(self.pods[uid], draining=True)
        for uid in plan.keep_after_all:
            self.pods[uid] = replace(self.pods[uid], draining=False, drained=False)
        self.counts = plan.replicas
        for revision, count in self.counts.items():
            self.ceilings[revision] = max(count, self.ceilings.get(revision, 0))
        if self.random.random() < 0.2:  # It has not seen the new counts, and makes pods by those that it has in hand.
            self._make(self.ceilings)
        if self.random.random() < 0.6:  # The controller has its own time: the next look may come before it acted.
            self._control()
        for uid, pod in list(self.pods.items()):
            if self.random.random() < 0.5:
                self._move_on(uid, pod)
        return plan

    def _control(self) -> None:
        """What the ReplicaSet controller does: not ready before ready, then by deletion cost."""
        for revision in {p.revision for p in self.pods.values()} | set(self.counts):
            live = [p for p in self.pods.values() if p.live and p.revision == revision]
            count = self.counts.get(revision, 0)
            for pod in sorted(live, key=lambda p: (p.ready, not p.drained, not p.draining))[
                : max(0, len(live) - count)
            ]:
                assert not pod.ready or pod.drained, "a pod that serves was taken"
                self.pods[pod.uid] = replace(pod, deleting=True, ready=False)
        self._make(self.counts)
        self.ceilings = dict(self.counts)

    def _make(self, counts: dict[str, int]) -> None:
        for revision, count in counts.items():
            live = sum(p.live and p.revision == revision for p in self.pods.values())
            for _ in range(count - live):
                self.born += 1
                uid = f"p{self.born}"
                self.pods[uid] = SmallPod(uid, uid, revision, created=float(self.born))

    def _move_on(self, uid: str, pod: SmallPod) -> None:
        if pod.deleting:
            del self.pods[uid]
        elif pod.draining:
            self.pods[uid] = replace(pod, drained=True)
        elif not pod.ready and self.ceilings.get(pod.revision) == self.counts.get(pod.revision):
            # A model takes longer to load than a controller to see a count.
            self.pods[uid] = replace(pod, ready=True)

    def count_serving(self) -> int:
        return sum(pod.live and pod.ready and not pod.draining for pod in self.pods.values())


@settings(max_examples=300, deadline=None)
@given(
    capacity=st.integers(1, 6),
    wishes=st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.sampled_from((1, 2, 150))), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    outage=st.booleans(),
)
def test_every_rollout_ends_at_the_wanted_count_within_capacity_and_without_an_outage(
    capacity: int, wishes: list[tuple[int, bool, int]], seed: int, outage: bool
):
    yard = Yard(capacity, Random(seed))
    revision = 0
    for count, rolls, patience in wishes:
        wanted = min(count, capacity)
        revision += rolls
        policy = Policy(f"{revision:08d}", allow_outage=outage)
        was_up = yard.count_serving() > 0
        plan = PoolsPlan({})
        for _ in range(patience):
            plan = yard.step(wanted, policy)
            assert len(yard.pods) <= capacity
            if was_up and not outage:
                assert yard.count_serving() > 0
            was_up = was_up or yard.count_serving() > 0
        if patience > 2:
            assert_settled(yard, plan, wanted, policy)


def assert_settled(yard: Yard, plan: PoolsPlan, wanted: int, policy: Policy) -> None:
    if plan.holds:
        assert plan.holds == {Hold.OUTAGE}
        assert yard.capacity == wanted == 1
    else:
        assert yard.counts == {policy.revision: wanted}
        assert [pod.revision for pod in yard.pods.values()] == [policy.revision] * wanted
        assert yard.count_serving() == wanted
