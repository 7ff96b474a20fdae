"""How fast a count may follow its need."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.scaling import Scaling
from heterofleet.planning import stabilisation
from heterofleet.planning.situation import Memory
from heterofleet.planning.stabilisation import Moved, Needs
from unit.planning.situations import NOW


def scaling(**fields: object) -> Scaling:
    return Scaling.model_validate({"stabilizationSeconds": 300} | fields)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def remembered(*needs: int, rules: Scaling | None = None, count: int = 0) -> Needs:
    """The memory after these needs, a minute apart, the last one now."""
    memory: Needs = ()
    for index, need in enumerate(needs):
        at = later(60.0 * (index + 1 - len(needs)))
        memory = stabilisation.remember(
            Memory({Tier.LARGE: memory} if memory else {}), Tier.LARGE, need, count, rules or scaling(), at
        )
    return memory


def moved(
    load: float, count: int, needs: Needs, *, lowered_at: datetime | None = None, rules: Scaling | None = None
) -> Moved:
    memory = Memory(lowered_at={} if lowered_at is None else {Tier.LARGE: lowered_at})
    return stabilisation.step(
        Tier.LARGE,
        load=load,
        extra=0,
        count=count,
        needs=needs,
        memory=memory,
        scaling=rules or scaling(),
        now=NOW,
    )


@pytest.mark.parametrize(("load", "need"), [(0, 0), (1e-12, 0), (0.01, 1), (3, 3), (3 + 1e-12, 3), (3.01, 4)])
def test_a_load_needs_whole_instances(load: float, need: int):
    assert stabilisation.instances(load) == need


def test_a_count_rises_at_once():
    assert moved(7.5, 2, remembered(2, 2, 8)) == Moved(8)


def test_a_count_falls_to_the_highest_need_of_the_window():
    assert moved(1.5, 8, remembered(8, 5, 3, 4, 2)) == Moved(
        8, Bound.STABILIZATION, "8 were needed within the last 300 s"
    )
    assert moved(1.5, 8, remembered(8, 5, 3, 4, 2, 2)).count == 5
    assert moved(1.5, 5, remembered(8, 5, 3, 4, 2, 2, 2)).count == 4


def test_only_needs_that_can_still_hold_a_count_are_remembered():
    assert [size for _, size in remembered(8, 5, 3, 4, 2)] == [8, 5, 4, 2]
    assert [size for _, size in remembered(8, 5, 9)] == [9]


def test_a_restarted_operator_takes_nothing_away_for_a_window():
    assert moved(1.5, 6, remembered(2, count=6)).count == 6
    assert moved(1.5, 6, remembered(2, 2, 2, 2, 2, 2, count=6)).count == 2


def test_a_memory_that_is_too_old_counts_as_a_restart():
    old: Needs = ((later(-4000), 2),)
    found = stabilisation.remember(Memory({Tier.LARGE: old}), Tier.LARGE, 2, 6, scaling(), NOW)
    assert found == ((NOW, 6), (NOW, 2))


def test_a_clock_that_was_ahead_holds_a_count_no_longer_than_the_window():
    ahead: Needs = ((later(86_400), 9),)
    found = stabilisation.remember(Memory({Tier.LARGE: ahead}), Tier.LARGE, 2, 9, scaling(), NOW)
    assert found == ((NOW, 9), (NOW, 2))


def test_a_load_at_the_edge_of_a_lower_count_lowers_nothing():
    assert moved(3.95, 5, remembered(4)) == Moved(
        5, Bound.HYSTERESIS, "4 would have less than a tenth of an instance to spare"
    )
    assert moved(3.85, 5, remembered(4)) == Moved(4)
    assert moved(0, 1, remembered(0)) == Moved(0)


def test_a_count_that_was_lowered_lately_is_held():
    rules = scaling(cooldownSeconds=600)
    assert moved(1, 5, remembered(1), lowered_at=later(-400), rules=rules) == Moved(
        5, Bound.COOLDOWN, "it was lowered lately, and may be again in 200 s"
    )
    assert moved(1, 5, remembered(1), lowered_at=later(-600), rules=rules).count == 2
    assert moved(7, 5, remembered(7), lowered_at=later(-1), rules=rules).count == 7


def test_a_decision_changes_a_count_by_no_more_than_the_largest_step():
    rules = scaling(large={"maxStep": 2})
    assert moved(9, 2, remembered(9), rules=rules) == Moved(4, Bound.MAX_STEP, "maxStep lets it rise by 2 at a time")
    assert moved(1, 9, remembered(1), rules=rules) == Moved(7, Bound.MAX_STEP, "maxStep lets it fall by 2 at a time")


def test_what_will_still_hold_in_a_while_is_known_today():
    needs = remembered(8, 5, 3, 4, 2)
    assert [stabilisation.peak(needs, scaling(), later(seconds)) for seconds in (0, 60, 120, 240, 3000)] == [
        8,
        5,
        4,
        2,
        2,
    ]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=200))
def test_the_memory_is_bounded_and_never_forgets_the_highest_need_of_the_window(needs: list[int]):
    rules = scaling(stabilizationSeconds=86_400)
    found = remembered(*needs, rules=rules)
    assert len(found) <= 33
    assert stabilisation.peak(found, rules, NOW) == max(needs)
    assert [size for _, size in found] == sorted({size for _, size in found}, reverse=True)
