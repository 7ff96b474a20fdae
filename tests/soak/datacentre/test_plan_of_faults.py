"""The plan of a soak's faults: the same for the same seed, and the gate's has every kind."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from soak.datacentre import faults
from soak.datacentre.faults import MACHINES, SERVICES, Kind
from soak.datacentre.test_datacentre import SECONDS, SEED


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_same_seed_draws_the_same_faults_and_another_one_others(seed: int) -> None:
    assert faults.draw(seed, 300) == faults.draw(seed, 300)
    assert faults.draw(seed, 300) != faults.draw(seed + 1, 300)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(30, 1200))
def test_a_lane_has_one_trouble_at_a_time_and_all_are_over_in_time(seed: int, seconds: float) -> None:
    plan = faults.draw(seed, seconds)
    for lane, kinds in ((plan.machines, MACHINES), (plan.services, SERVICES)):
        assert {fault.kind for fault in lane} <= set(kinds)
        assert all(fault.at + fault.seconds < seconds + 0.01 for fault in lane)
        assert all(before.at + before.seconds < after.at for before, after in itertools.pairwise(lane))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_a_longer_soak_begins_as_a_shorter_one_of_its_seed(seed: int) -> None:
    short, long = faults.draw(seed, 60), faults.draw(seed, 600)
    assert long.machines[: len(short.machines)] == short.machines
    assert long.services[: len(short.services)] == short.services


def test_the_seed_of_the_gate_has_every_kind_of_fault() -> None:
    plan = faults.draw(SEED, SECONDS)
    assert {fault.kind for fault in (*plan.machines, *plan.services)} == set(Kind)
