"""The plan as a whole: what both tiers get, and why."""

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.routing import Degrade
from heterofleet.api.scaling import Mode
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning import plan
from heterofleet.planning.situation import ClassLoad, ScalePlan, TierNow
from unit.planning import situations
from unit.planning.fleetplay import play
from unit.planning.situations import LOST, NOW, counts, load, situation, spec

IDLE = load(0)


def planned(
    fleet: FleetSpec,
    large: int | TierNow,
    small: int | TierNow,
    plan_load: ClassLoad = IDLE,
    act_load: ClassLoad = IDLE,
    **facts: Any,
) -> ScalePlan:
    return plan.plan(
        situation(
            fleet,
            large=situations.large(large) if isinstance(large, int) else large,
            small=situations.small(small) if isinstance(small, int) else small,
            plan=plan_load,
            act=act_load,
            **facts,
        )
    )


def bounds(made: ScalePlan) -> tuple[Bound, Bound]:
    return made.tiers[Tier.LARGE].bound, made.tiers[Tier.SMALL].bound


def sentence(made: ScalePlan, tier: Tier = Tier.LARGE) -> str:
    return made.tiers[tier].sentence


def test_each_tier_gets_the_instances_that_carry_its_upper_forecast():
    made = planned(spec(), 3, 5, load(350, 40), load(800, 100))
    assert (counts(made), bounds(made)) == ((4, 9), (Bound.FORECAST, Bound.FORECAST))
    assert sentence(made) == "at most 390 work tokens/s are forecast within 300 s: 4 at 100 each"
    assert (made.usd_per_hour_before, made.usd_per_hour) == (2 * (24 + 5), 2 * (32 + 9))


def test_escalations_are_work_of_the_large_tier():
    assert counts(planned(spec(), 3, 5, load(250), load(800), escalation_rate=0.1)) == (4, 8)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="needs a zone"):
        planned(spec(), 1, 1, now=datetime(2026, 3, 2))  # noqa: DTZ001  what the plan must refuse


def test_a_count_that_was_held_when_plans_began_goes_to_its_need_once_it_is_released():
    fleet = spec(stabilizationSeconds=300)
    held = planned(fleet, 0, situations.small(8, held=True), IDLE, load(380))
    released = planned(fleet, 0, 8, IDLE, load(380), memory=held.memory, now=NOW + timedelta(seconds=10))
    assert (counts(held)[1], counts(released)[1]) == (8, 4)


class TestWhatWaits:
    def test_it_raises_a_count_above_the_forecast(self):
        made = planned(spec(), 1, 5, IDLE, load(400, waiting=12_000, offered=500))
        assert (counts(made)[1], made.tiers[Tier.SMALL].bound) == (9, Bound.QUEUE)
        assert sentence(made, Tier.SMALL) == "500 work tokens/s come and what waits asks for 400 more: 9 at 100 each"

    def test_it_raises_nothing_where_those_who_run_are_done_before_another_would_serve(self):
        # 5 instances have 120 work tokens a second to spare, and a start takes 60 s.
        assert counts(planned(spec(), 0, 5, IDLE, load(380, waiting=7200)))[1] == 4
        assert counts(planned(spec(), 0, 5, IDLE, load(380, waiting=12_000)))[1] == 6

    def test_instances_that_boot_count_from_when_they_serve(self):
        booting = situations.small(5, ready=4, booting=(20.0,))
        # It serves for 40 s of the 60 that another start would take, and so works off 4,000 of what waits.
        assert counts(planned(spec(), 0, booting, IDLE, load(380, waiting=5200)))[1] == 4
        assert counts(planned(spec(), 0, situations.small(4), IDLE, load(380, waiting=5200)))[1] == 6

    def test_a_tier_scaled_to_zero_comes_back_at_once(self):
        assert counts(planned(spec(), 0, 0)) == (0, 0)
        assert counts(planned(spec(), 0, 0, load(0, waiting=50), load(0, waiting=50))) == (1, 1)


class TestWithoutData:
    def test_counts_are_held_and_the_reason_is_told(self):
        made = planned(spec(), 3, 5, LOST, LOST)
        assert (counts(made), bounds(made)) == ((3, 5), (Bound.METRICS_LOST, Bound.METRICS_LOST))
        assert sentence(made) == "the forecast of class plan is not known: 3 are held"

    def test_queues_still_raise_counts(self):
        made = planned(spec(), 3, 5, ClassLoad(None, None, 6000), ClassLoad(None, None, 3000))
        assert (counts(made), bounds(made)) == ((5, 6), (Bound.QUEUE, Bound.QUEUE))

    def test_a_queue_brings_back_a_tier_of_which_nothing_is_known(self):
        dark = situations.large(0, capacity=float("nan"))
        made = planned(spec(), dark, 0, ClassLoad(None, None, 1), IDLE)
        assert counts(made)[0] == 1
        assert sentence(made) == "the forecast of class plan is not known: 1, since work waits"

    def test_a_lost_act_class_holds_the_large_tier_only_through_escalations(self):
        assert counts(planned(spec(), 3, 5, load(80), LOST)) == (1, 5)
        assert counts(planned(spec(), 3, 5, load(80), LOST, escalation_rate=0.1)) == (3, 5)

    def test_nobody_is_needed_for_the_recovery(self):
        fleet = spec(stabilizationSeconds=120)
        quiet, lost = (load(100), load(100)), (LOST, LOST)
        seen = [
            counts(moment.plan)
            for moment in play(fleet, (situations.large(3), situations.small(3)), [quiet, lost, lost, *[quiet] * 3])
        ]
        assert seen == [(3, 3), (3, 3), (3, 3), (3, 3), (2, 2), (2, 2)]


class TestGpuBudget:
    def test_plan_comes_before_act_unless_said_otherwise(self):
        assert counts(planned(spec(gpuBudget=25), 0, 0, load(300), load(2000))) == (3, 1)
        assert counts(planned(spec(gpuBudget=25, priority="ActFirst"), 0, 0, load(300), load(2000))) == (1, 17)

    def test_no_class_goes_without_any_instance(self):
        assert counts(planned(spec(gpuBudget=24), 0, 0, load(300), load(2000))) == (2, 8)

    def test_a_mostly_idle_large_group_is_traded_for_its_gpus_worth_of_small_ones_and_back(self):
        fleet = spec(gpuBudget=32)
        down = planned(fleet, 3, 8, load(205, 20), load(1600))
        assert (counts(down), bounds(down)) == ((2, 8), (Bound.TRADE, Bound.GPU_BUDGET))
        moments = list(play(fleet, (situations.large(3), situations.small(8)), [(load(205, 20), load(1600))] * 8))
        assert counts(moments[-1].plan) == (2, 16)
        back = list(play(fleet, (situations.large(2), situations.small(16)), [(load(290, 20), load(1600))] * 12))
        assert counts(back[-1].plan) == (3, 8)
        assert max(moment.gpus for moment in [*moments, *back]) <= 32

    def test_a_group_in_force_is_given_up_later_than_one_is_taken(self):
        assert counts(planned(spec(gpuBudget=32), 0, 0, load(240), load(1600)))[0] == 2
        assert counts(planned(spec(gpuBudget=32), 3, 8, load(240), load(1600)))[0] == 3

    def test_a_rise_waits_until_the_other_tiers_gpus_are_released(self):
        fleet = spec(gpuBudget=24)
        made = planned(fleet, 1, 16, load(200), load(1600))
        assert counts(made) == (1, 8)
        assert sentence(made).endswith("; 1 until GPUs that still drain are released")
        draining = situations.small(8, draining=8)
        assert counts(planned(fleet, 1, draining, load(200), load(1600))) == (1, 8)
        assert counts(planned(fleet, 1, 8, load(200), load(1600))) == (2, 8)

    def test_a_budget_below_the_minimum_is_kept_and_says_so(self):
        made = planned(spec(large={"min": 2}, small={"min": 2}, gpuBudget=10), 0, 0, load(200), load(200))
        assert (counts(made), made.tiers[Tier.LARGE].bound) == ((1, 2), Bound.GPU_BUDGET)
        assert sentence(made).endswith("below instances.min: raise gpuBudget or lower min")

    def test_warm_instances_count_and_give_way_to_planned_ones(self):
        warm = spec(small={"min": 0, "warm": 2, "max": 100}, gpuBudget=8)
        assert counts(planned(warm, 0, 0, IDLE, load(800))) == (0, 6)
        assert counts(planned(spec(small={"min": 8, "warm": 2}, gpuBudget=8), 0, 8, IDLE, IDLE)) == (0, 8)

    def test_a_count_that_somebody_else_set_is_a_fact(self):
        held = situations.small(16, held=True)
        made = planned(spec(gpuBudget=24), 0, held, load(300), IDLE)
        assert (counts(made), bounds(made)) == ((1, 16), (Bound.GPU_BUDGET, Bound.OVERRIDE))

    def test_an_advised_rise_waits_for_no_release(self):
        fleet = spec(gpuBudget=24).model_copy(update={"mode": Mode.ADVISORY})
        assert counts(planned(fleet, 1, 16, load(200), load(1600))) == (2, 8)


class TestMoney:
    def test_the_price_of_an_hour_stays_below_what_is_left_of_the_day(self):
        # 72 of 1,000 USD are left: 36 GPUs for an hour; without those that run a rise gets four fifths of that.
        made = planned(spec(budget={"usdPerDay": 1000}), 2, 20, load(300), load(2000), spent_usd=928.0)
        assert (counts(made), made.usd_per_hour) == ((3, 12), 72.0)
        assert made.tiers[Tier.SMALL].bound is Bound.MONEY_BUDGET

    def test_the_minimum_stands_when_the_money_is_spent_and_requests_are_refused(self):
        fleet = spec(large={"min": 1}, small={"min": 1}, budget={"usdPerDay": 100})
        made = planned(fleet, 3, 9, load(300), load(900), spent_usd=120.0)
        assert (counts(made), made.degrade) == ((1, 1), Degrade.THROTTLE)
        assert bounds(made) == (Bound.MONEY_BUDGET, Bound.MONEY_BUDGET)
        assert sentence(made).endswith(
            "instances.min stands and costs 18.00 USD an hour, of which the money budget leaves 0.00"
        )

    @pytest.mark.parametrize(
        ("budget", "spent", "level"),
        [
            ({}, 79.0, Degrade.NONE),
            ({}, 80.0, Degrade.PREFER_SMALL),
            ({"whenSoft": "Alert"}, 90.0, Degrade.NONE),
            ({}, 100.0, Degrade.THROTTLE),
            ({"whenHard": "Alert"}, 100.0, Degrade.PREFER_SMALL),
            ({}, None, Degrade.NONE),
        ],
    )
    def test_the_level_follows_the_marks_of_the_budget(
        self, budget: dict[str, str], spent: float | None, level: Degrade
    ):
        assert planned(spec(budget={"usdPerDay": 100} | budget), 1, 1, spent_usd=spent).degrade is level

    def test_a_budget_that_only_alerts_bounds_no_count(self):
        fleet = spec(budget={"usdPerDay": 100, "whenHard": "Alert"})
        assert counts(planned(fleet, 1, 1, load(300), load(900), spent_usd=500.0)) == (3, 9)

    def test_spending_follows_the_bound_through_a_day_without_passing_it(self):
        spent: deque[float] = deque([0.0], maxlen=24 * 60)

        def last_day(at: datetime) -> float:
            del at
            return sum(spent)

        fleet = spec(budget={"usdPerDay": 600}, stabilizationSeconds=300)
        loads = [(load(400), load(1500))] * (36 * 60)
        for moment in play(fleet, (situations.large(0), situations.small(0)), loads, spent=last_day):
            spent.append(moment.gpus * 2 / 60)
            assert sum(spent) <= 600


class TestBounds:
    def test_minimum_and_maximum_hold(self):
        made = planned(spec(large={"min": 2}, small={"max": 4}), 2, 4, load(80), load(900))
        assert (counts(made), bounds(made)) == ((2, 4), (Bound.MINIMUM, Bound.MAXIMUM))
        assert (made.tiers[Tier.LARGE].need, made.tiers[Tier.SMALL].need) == (1, 9)

    def test_a_schedule_holds_at_its_time_of_day(self):
        night = {"name": "day", "start": "08:00", "end": "18:00", "small": {"min": 7}}
        made = planned(spec(schedules=[night]), 0, 0)
        assert (counts(made), made.tiers[Tier.SMALL].bound) == ((0, 7), Bound.SCHEDULE)
        assert counts(planned(spec(schedules=[night]), 0, 0, now=NOW + timedelta(hours=8))) == (0, 0)

    def test_the_ratio_bounds_the_small_tier_while_there_is_a_large_one(self):
        few = planned(spec(ratio={"min": 2}), 2, 2, load(200), load(100))
        many = planned(spec(ratio={"max": 3}), 2, 2, load(200), load(900))
        assert (counts(few), few.tiers[Tier.SMALL].bound) == ((2, 4), Bound.RATIO)
        assert (counts(many), many.tiers[Tier.SMALL].bound) == ((2, 6), Bound.RATIO)
        assert counts(planned(spec(ratio={"max": 3}), 0, 2, IDLE, load(900))) == (0, 9)

    def test_a_rise_goes_as_far_as_there_are_places(self):
        made = planned(spec(), situations.large(2, placeable=1), 0, load(500))
        assert (counts(made)[0], made.tiers[Tier.LARGE].bound) == (3, Bound.NO_PLACE)

    def test_a_count_in_force_is_not_lowered_for_lack_of_places(self):
        lost_node = situations.large(4, ready=2, placeable=0)
        assert counts(planned(spec(), lost_node, 0, load(400)))[0] == 4

    def test_places_that_the_other_tier_would_free_are_asked_for_once_in_a_while(self):
        fleet = spec(gpuBudget=24)
        crowded, small = situations.large(1, placeable=0), situations.small(16, placeable=0)
        asked = planned(fleet, crowded, small, load(200), load(1600))
        assert counts(asked) == (1, 8)
        scattered = planned(fleet, crowded, situations.small(8, placeable=8), load(200), load(1600))
        assert counts(scattered) == (1, 16)
        assert counts(planned(fleet, crowded, small, load(200), load(1600), memory=scattered.memory)) == (1, 16)

    def test_a_failed_instance_is_replaced_where_others_work(self):
        assert counts(planned(spec(), situations.large(3, ready=2, failed=1), 0, load(300)))[0] == 4
        assert counts(planned(spec(), situations.large(3, ready=0, failed=3), 0, load(300)))[0] == 3

    def test_an_objective_out_of_reach_is_said_and_the_best_effort_chosen(self):
        made = planned(spec(), situations.large(1, within_objective=False), 0, load(300))
        assert (counts(made)[0], made.tiers[Tier.LARGE].bound) == (3, Bound.OBJECTIVE)
        assert "which no number of instances serves within the objective" in sentence(made)

    def test_an_external_writers_count_stands_beside_what_would_be_planned(self):
        fleet = spec({"large": {"writer": "External"}})
        made = planned(fleet, situations.large(2, held=True), 0, load(500))
        assert (counts(made)[0], made.tiers[Tier.LARGE].need, bounds(made)[0]) == (2, 5, Bound.EXTERNAL)


class TestSharedSlack:
    def test_idle_large_instances_take_act_work_that_small_ones_need_not_carry(self):
        made = planned(spec(spillOver=True), 4, 10, load(290, 100), load(890))
        assert (counts(made), made.tiers[Tier.SMALL].bound) == ((4, 9), Bound.FORECAST)
        made = planned(spec(spillOver=True), 4, 10, load(290, 20), load(880))
        assert (counts(made), made.tiers[Tier.SMALL].bound) == ((4, 8), Bound.SPILL_OVER)

    def test_no_more_than_was_measured_safe(self):
        fleet = spec(large={"min": 4}, spillOver=True)
        assert counts(planned(fleet, 4, 10, load(90), load(980), spill_over_share=0.1)) == (4, 9)
        assert counts(planned(fleet, 4, 10, load(90), load(980), spill_over_share=0.25)) == (4, 8)

    def test_large_instances_that_are_not_there_yet_take_nothing(self):
        booting = situations.large(4, ready=3, booting=(200.0,))
        assert counts(planned(spec(spillOver=True), booting, 10, load(290, 100), load(1000))) == (4, 10)

    def test_margins_of_independent_forecasts_are_not_added_up(self):
        # Both margins are 300 and 400, together 500: what both must carry is 2,780, of which 1,000 fits the large tier.
        alone = planned(spec(), 10, 20, load(700, 300), load(1580, 400))
        shared = planned(spec(spillOver=True), 10, 20, load(700, 300), load(1580, 400))
        assert (counts(alone), counts(shared)) == ((10, 20), (10, 18))


class TestRelief:
    def test_act_work_goes_up_while_small_instances_are_short_and_large_ones_idle(self):
        made = planned(spec(spillOver=True), 4, situations.small(10, ready=8), load(200), load(1000))
        assert made.bias == 0.2
        assert planned(spec(), 4, situations.small(10, ready=8), load(200), load(1000)).bias == 0

    def test_plan_work_goes_down_only_where_it_may_degrade(self):
        short = situations.large(4, ready=2)
        degrades = spec(router={"queue": {"whenPlanOverflows": "Degrade"}})
        assert planned(degrades, short, 10, load(400), load(500)).bias == -0.5
        assert planned(spec(), short, 10, load(400), load(500)).bias == 0

    def test_without_any_large_instance_small_ones_are_preferred_where_plan_work_may_degrade(self):
        degrades = spec(router={"queue": {"whenPlanOverflows": "Degrade"}})
        assert planned(degrades, situations.large(1, ready=0), 3, load(50), load(50)).degrade is Degrade.PREFER_SMALL
        assert planned(spec(), situations.large(1, ready=0), 3, load(50), load(50)).degrade is Degrade.NONE

    def test_nobody_is_moved_on_the_ground_of_lost_data(self):
        assert planned(spec(spillOver=True), 4, situations.small(10, ready=0), LOST, LOST).bias == 0


def test_the_memory_lets_a_later_plan_know_when_a_count_was_lowered():
    made = planned(spec(), 3, 5, load(100), load(500))
    assert made.memory.lowered_at == {Tier.LARGE: NOW}
    assert replace(made.memory, lowered_at={}).unplaced_at == {}
