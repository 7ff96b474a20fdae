"""What the soak's schedule promises, for any seed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from soak import schedule
from soak.history import Trouble
from soak.schedule import ConfigChange, Drain, Ending, Schedule

SEEDS = st.integers(0, 10**6)


def draw(seed: int, seconds: float = 600.0) -> Schedule:
    return schedule.draw(seed, seconds, engines=7, routers=2, variations=5)


@given(SEEDS)
def test_a_seed_always_gives_the_same_faults(seed: int) -> None:
    assert draw(seed) == draw(seed)
    assert draw(seed) != draw(seed + 1)


@given(SEEDS)
def test_every_kind_of_fault_comes_in_ten_minutes_at_much_the_same_rate(seed: int) -> None:
    drawn = draw(seed)
    kinds = Counter(fault.kind for fault in drawn.engines)
    assert set(kinds) == {*Trouble, Drain.DRAIN}
    assert max(kinds.values()) - min(kinds.values()) <= 4
    assert {fault.kind for fault in drawn.routers} == set(Ending)
    assert {change.variation for change in drawn.configs} == {None, *range(5)}


@given(SEEDS)
def test_half_a_minute_is_enough_for_most_kinds(seed: int) -> None:
    assert len({fault.kind for fault in draw(seed, 30.0).engines}) >= len(Trouble) // 2


@given(SEEDS)
def test_an_engine_has_one_trouble_at_a_time_and_is_at_peace_before_the_end(seed: int) -> None:
    for engine in range(7):
        own = [fault for fault in draw(seed).engines if fault.engine == engine]
        ends = [fault.at + fault.seconds for fault in own]
        assert all(end < after.at for end, after in zip(ends, own[1:], strict=False))
        assert all(end <= 600.0 for end in ends)


@given(SEEDS)
def test_routers_end_in_the_first_half_alone(seed: int) -> None:
    assert all(fault.at < 300.0 for fault in draw(seed).routers)


def test_a_configuration_changes_every_few_seconds() -> None:
    changes = draw(1).configs
    assert all(isinstance(change, ConfigChange) for change in changes)
    assert len(changes) >= 600 / 8 - 1
