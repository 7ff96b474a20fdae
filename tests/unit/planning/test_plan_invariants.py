"""What holds of every plan, and of every sequence of plans (scaling.md, "Plan")."""

from dataclasses import replace
from datetime import timedelta, timezone
from math import inf, isfinite, nan

from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.api.labels import Tier
from heterofleet.planning import plan
from heterofleet.planning.situation import ClassLoad, Forecast, Situation
from unit.planning import situations
from unit.planning.fleetplay import Loads, play
from unit.planning.situations import LOST, counts, load, situation, spec

works = st.floats(0, 3000)
margins = st.floats(0, 500)
class_loads = st.builds(load, works, margins, waiting=st.sampled_from([0.0, 0.0, 500.0, 20_000.0])) | st.just(LOST)
load_series = st.lists(st.tuples(class_loads, class_loads), min_size=1, max_size=25)

scalings = st.fixed_dictionaries(
    {},
    optional={
        "gpuBudget": st.integers(0, 60),
        "spillOver": st.booleans(),
        "stabilizationSeconds": st.sampled_from([0, 120, 300]),
        "cooldownSeconds": st.sampled_from([0, 180]),
        "priority": st.sampled_from(["PlanFirst", "ActFirst"]),
        "ratio": st.sampled_from([{"min": 1}, {"max": 4}, {"min": 1, "max": 3}]),
        "large": st.just({"maxStep": 2}),
    },
)


@st.composite
def all_situations(draw: st.DrawFn) -> Situation:
    least = draw(st.integers(0, 2))
    fleet = spec(draw(scalings), large={"min": least}, small={"min": least, "warm": draw(st.integers(0, 2))})
    return situation(
        fleet,
        large=situations.large(
            draw(st.integers(0, 6)),
            ready=draw(st.integers(0, 6)),
            booting=tuple(draw(st.lists(st.floats(0, 300), max_size=2))),
            draining=draw(st.integers(0, 2)),
            failed=draw(st.integers(0, 1)),
            placeable=draw(st.none() | st.integers(0, 3)),
            held=draw(st.booleans()),
        ),
        small=situations.small(
            draw(st.integers(0, 20)), ready=draw(st.integers(0, 20)), placeable=draw(st.none() | st.integers(0, 9))
        ),
        plan=draw(class_loads),
        act=draw(class_loads),
        escalation_rate=draw(st.sampled_from([0.0, 0.1])),
    )


@given(all_situations())
def test_the_same_situation_with_the_memory_of_its_plan_gives_the_same_plan(seen: Situation):
    first = plan.plan(seen)
    assert plan.plan(replace(seen, memory=first.memory)) == first


@settings(deadline=None)
@given(scalings, load_series, st.sampled_from([30.0, 150.0, 600.0]), st.integers(0, 1), st.integers(0, 1))
def test_no_step_of_a_sequence_of_plans_holds_more_gpus_than_the_budget(
    scaling: dict[str, object], loads: list[Loads], drain: float, large: int, small: int
):
    budget = 24
    fleet = spec({**scaling, "gpuBudget": budget}, large={"min": large}, small={"min": small})
    for moment in play(fleet, (situations.large(1), situations.small(4)), loads, drain_seconds=drain):
        assert moment.gpus <= budget


@settings(deadline=None)
@given(scalings, load_series)
def test_no_plan_goes_below_min_or_above_max_where_the_budget_has_room_for_the_minimum(
    scaling: dict[str, object], loads: list[Loads]
):
    fleet = spec({**scaling, "gpuBudget": None}, large={"min": 1, "max": 5}, small={"min": 2, "max": 12})
    for moment in play(fleet, (situations.large(2), situations.small(4)), loads):
        large, small = counts(moment.plan)
        assert 1 <= large <= 5
        assert 2 <= small <= 12


@settings(deadline=None)
@given(scalings, class_loads, class_loads)
def test_counts_settle_under_a_constant_load(scaling: dict[str, object], plan_load: ClassLoad, act_load: ClassLoad):
    quiet = (replace(plan_load, waiting=0.0), replace(act_load, waiting=0.0))
    tiers = (situations.large(1), situations.small(4))
    seen = [counts(moment.plan) for moment in play(spec(scaling), tiers, [quiet] * 60)]
    assert len(set(seen[-15:])) == 1


@given(st.tuples(works, margins), st.tuples(works, margins), st.floats(0, 2000), st.floats(0, 0.5), st.integers(0, 20))
def test_more_demand_never_gets_fewer_instances(
    plan_load: tuple[float, float], act_load: tuple[float, float], more: float, rate: float, running: int
):
    def planned(plan_extra: float, act_extra: float) -> tuple[int, int]:
        return counts(
            plan.plan(
                situation(
                    spec(),
                    large=situations.large(running),
                    small=situations.small(running),
                    plan=load(plan_load[0] + plan_extra, plan_load[1]),
                    act=load(act_load[0] + act_extra, act_load[1]),
                    escalation_rate=rate,
                )
            )
        )

    before = planned(0, 0)
    for after in (planned(more, 0), planned(0, more), planned(more, more)):
        assert after[0] >= before[0]
        assert after[1] >= before[1]


@given(works, works, margins, margins, st.integers(0, 30), st.integers(0, 30))
def test_with_spill_over_both_tiers_together_carry_what_both_classes_are_expected_to_ask_for(
    plan_work: float, act_work: float, plan_margin: float, act_margin: float, large: int, small: int
):
    made = plan.plan(
        situation(
            spec(spillOver=True),
            large=situations.large(large),
            small=situations.small(small),
            plan=load(plan_work, plan_margin),
            act=load(act_work, act_margin),
        )
    )
    found_large, found_small = counts(made)
    assert found_large * 100 >= min(10_000, plan_work + plan_margin) - 1e-6
    # Only large instances that are ready relieve the small tier, and of a quarter of its work at most.
    relief = min(min(found_large, large) * 100 - plan_work, act_work / 4)
    assert found_small * 100 >= act_work - max(0, relief) - 1e-6


@settings(deadline=None)
@given(works, works, st.floats(0, 2000), st.integers(8, 60))
def test_more_plan_work_never_gets_fewer_large_instances_under_a_budget(
    plan_work: float, act_work: float, more: float, budget: int
):
    def planned(work: float) -> int:
        fleet = spec(gpuBudget=budget)
        tiers = {"large": situations.large(0), "small": situations.small(0)}
        return counts(plan.plan(situation(fleet, **tiers, plan=load(work), act=load(act_work))))[0]  # type: ignore[arg-type]  # tiers by name

    assert planned(plan_work + more) >= planned(plan_work)


absurd = st.sampled_from([nan, inf, -inf, -1.0, 1e300, 0.0, 1e-300])


@given(absurd, absurd, absurd, absurd, absurd, absurd, absurd)
def test_a_plan_from_absurd_numbers_is_finite_and_within_bounds(
    expected: float, upper: float, offered: float, waiting: float, capacity: float, rate: float, startup: float
):
    absurd_load = ClassLoad(Forecast(expected, upper, 300, "ewma", 1.0, 0), offered, waiting)
    made = plan.plan(
        situation(
            spec(large={"min": 1, "max": 5}, small={"min": 1, "max": 9}, spillOver=True, budget={"usdPerDay": 1000}),
            large=situations.large(2, capacity=capacity, startup_seconds=startup, usd_per_gpu_hour=rate),
            small=situations.small(3, booting=(startup,)),
            plan=absurd_load,
            act=absurd_load,
            escalation_rate=rate,
            spent_usd=offered,
            spill_over_share=rate,
        )
    )
    assert 1 <= counts(made)[0] <= 5
    assert 1 <= counts(made)[1] <= 9
    assert -1 <= made.bias <= 1
    assert made.usd_per_hour is None or isfinite(made.usd_per_hour)
    assert not any(word in found.sentence for found in made.tiers.values() for word in ("nan", "inf ", "inf:"))


@given(st.integers(-2, 26), all_situations())
def test_the_zone_in_which_the_time_is_written_changes_nothing(hours: int, seen: Situation):
    zone = timezone(timedelta(hours=hours - 12))
    moved = plan.plan(replace(seen, now=seen.now.astimezone(zone)))
    assert {tier: moved.tiers[tier] for tier in Tier} == {tier: plan.plan(seen).tiers[tier] for tier in Tier}


def in_units(seen: Situation, factor: float) -> Situation:
    """The same situation with work counted in other units."""

    def of(found: ClassLoad) -> ClassLoad:
        made = found.forecast
        return ClassLoad(
            made and replace(made, expected=made.expected * factor, upper=made.upper * factor),
            None if found.offered is None else found.offered * factor,
            found.waiting * factor,
        )

    return replace(
        seen,
        tiers={tier: replace(now, capacity=now.capacity * factor) for tier, now in seen.tiers.items()},
        loads={request_class: of(found) for request_class, found in seen.loads.items()},
    )


@given(all_situations(), st.sampled_from([1 / 64, 0.5, 2.0, 1024.0]))
def test_the_unit_of_work_changes_no_count(seen: Situation, factor: float):
    # Powers of two, which floating point multiplies exactly.
    made, again = plan.plan(seen), plan.plan(in_units(seen, factor))
    assert (counts(again), again.bias, again.degrade) == (counts(made), made.bias, made.degrade)
