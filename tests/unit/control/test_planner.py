"""Plans are made beside the reconciles: what they learn, whom they wake, and what they tell."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from heterofleet.api.conditions import FleetStatus, Reason, TierStatus
from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.planned import Bound
from heterofleet.api.routing import RequestClass
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.control.loads import Load
from heterofleet.control.standing import Start
from heterofleet.metrics.signals import Signals, TierSignals, Tokens
from heterofleet.planning import capacity, telling
from heterofleet.planning.capacity import Shape
from heterofleet.planning.situation import ClassLoad
from heterofleet.status import Finding
from unit.control.plannings import BEGIN, Planning, Queues, fleet, standing
from unit.desired import fleets

A100 = {"placement": {"gpuProduct": "NVIDIA-A100-SXM4-80GB"}}


async def settled(planning: Planning, count: int = 1) -> None:
    """A fleet of some load, planned until nothing changes any more."""
    for _ in range(40):
        await planning.plan(standing(fleet(), count=count))
        planning.pass_(60)


async def test_a_first_plan_wakes_its_fleet_and_the_same_again_wakes_nobody():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    assert await planning.plan(standing(fleet()))
    await settled(planning)
    assert not await planning.plan(standing(fleet()))


def told(planning: Planning, of: HeterogeneousDeployment) -> HeterogeneousDeployment:
    """The fleet with the status that its last plan told."""
    current = planning.planner.current(of.key)
    assert current is not None
    learned = {
        tier: TierStatus(
            startup_seconds=current.told.startup_seconds[tier], capacity_tokens_per_second=current.told.capacity[tier]
        )
        for tier in Tier
    }
    status = FleetStatus(
        plan=current.told.plan,
        forecast=current.told.forecast,
        learned=current.told.learned,
        large=learned[Tier.LARGE],
        small=learned[Tier.SMALL],
    )
    return of.model_copy(update={"status": status})


async def test_a_count_that_somebody_holds_is_given_back_to_what_the_plan_would_have():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    seen = standing(fleet(), count=3)
    seen = replace(seen, tiers={tier: replace(one, held=True) for tier, one in seen.tiers.items()})
    for _ in range(3):
        await planning.plan(seen)
        planning.pass_(60)
    assert dict(planning.planner.counts(seen.fleet)) == {Tier.LARGE: 1, Tier.SMALL: 1}
    known, again = told(planning, fleet()), planning.restarted()
    assert known.status.plan is not None
    assert (known.status.plan.small.instances, known.status.plan.small.bound) == (3, Bound.OVERRIDE)
    assert dict(again.planner.counts(known)) == {Tier.LARGE: 1, Tier.SMALL: 1}


async def test_a_new_process_tells_nothing_before_it_has_asked_prometheus():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    await settled(planning)
    known, again = told(planning, fleet()), planning.restarted()
    assert known.status.plan is not None
    biased = known.status.model_copy(update={"plan": known.status.plan.model_copy(update={"bias": 0.3})})
    seen = standing(known.model_copy(update={"status": biased}))
    again.planner.note(seen)
    assert not await again.planner.tick(seen.fleet.key)
    assert again.planner.current(seen.fleet.key) is None
    assert again.planner.for_routers(seen.fleet).bias == 0.3
    await again.loads.look()
    assert await again.planner.tick(seen.fleet.key)


async def test_a_queue_raises_a_count_before_prometheus_was_asked():
    planning, seen = Planning(), standing(fleet())
    planning.queues.waiting = {Tier.SMALL: 100_000.0}
    planning.planner.note(seen)
    assert await planning.planner.tick(seen.fleet.key)
    assert planning.planner.counts(seen.fleet)[Tier.SMALL] > 1


async def test_a_new_process_says_what_the_former_one_said_of_a_load_that_stayed():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    await settled(planning)
    known, again = told(planning, fleet()), planning.restarted()
    await again.plan(standing(known))
    before, after = planning.planner.current(known.key), again.planner.current(known.key)
    assert before is not None
    assert after is not None
    assert telling.settled(before.told, after.told) is before.told


async def test_a_count_at_its_minimum_is_the_minimums_doing_from_the_first_plan_on():
    planning, small = Planning(), {"instances": {"min": 4, "max": 8}}
    planning.prometheus.tell(plan=1.0, act=1.0)
    for _ in range(12):
        await planning.plan(standing(fleet(small=small, large=small), count=4))
        current = planning.planner.current(fleet().key)
        assert current is not None
        assert [count.bound for count in current.plan.tiers.values()] == [Bound.MINIMUM, Bound.MINIMUM]
        planning.pass_(60)


async def test_a_decision_is_told_once_and_kept_with_its_figures():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    await planning.plan(standing(fleet()))
    key = fleet().key
    current = planning.planner.current(key)
    assert current is not None
    planning.prometheus.tell(plan=1.0, act=current.situation.tiers[Tier.SMALL].capacity * 3)
    planning.pass_(60)
    assert await planning.plan(standing(fleet()))
    (news,) = planning.planner.take_news(key)
    assert (news.tier, news.before, news.after, news.enforced) == (Tier.SMALL, 1, 3, True)
    assert planning.planner.take_news(key) == ()
    assert planning.planner.counts(fleet())[Tier.SMALL] == 3


async def test_a_bound_that_the_user_lowers_holds_before_the_next_plan():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    await planning.plan(standing(fleet()))
    assert planning.planner.counts(fleet(small={"instances": {"min": 4}}))[Tier.SMALL] == 4
    assert planning.planner.counts(fleet(large={"instances": {"min": 0, "max": 0}}))[Tier.LARGE] == 0


async def test_a_start_that_was_seen_to_begin_teaches_how_long_starts_take():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    began = BEGIN + timedelta(seconds=5)
    await planning.plan(standing(fleet(), booting=(("p", began),)))
    before = planning.lore.windows(standing(fleet()))
    start = Start("p", began, began + timedelta(seconds=30))
    await planning.plan(standing(fleet(), starts=(start,)))
    after = planning.lore.windows(standing(fleet()))
    assert after[Tier.SMALL] < before[Tier.SMALL]
    await planning.plan(standing(fleet(), starts=(start,)))
    assert planning.lore.windows(standing(fleet())) == after, "one start counts once"


async def test_the_weight_of_prompts_is_learned_from_the_shape_of_requests_and_the_engines_batch():
    planning, seen = Planning(), standing(fleet(large=A100, small=A100))
    planning.planner.note(seen)
    signals = Signals(
        age_seconds=1.0,
        routers=1,
        requests={RequestClass.ACT: 2.0},
        offered={RequestClass.ACT: Tokens(prompt=4000.0, completion=200.0)},
        tiers={Tier.SMALL: TierSignals(engines=1.0, running_requests=64.0)},
    )
    loads = dict.fromkeys(RequestClass, ClassLoad(None, None))
    fresh = Finding(Reason.METRICS_FRESH, "")
    before = planning.lore.told(seen.fleet.key).prompt_weight
    for _ in range(50):
        planning.lore.heed(seen, Load(loads, fresh, signals))
    after = planning.lore.told(seen.fleet.key).prompt_weight
    engine = capacity.rates(seen.fleet.spec.small, fleets.PLATFORM.catalogue)
    assert engine is not None
    assert before is None
    assert after == pytest.approx(capacity.prompt_weight(engine, Shape(2000.0, 100.0), 64.0), rel=0.05)


async def test_an_instance_that_ran_before_the_operator_came_teaches_nothing():
    planning = Planning()
    planning.prometheus.tell(plan=1.0, act=1.0)
    await planning.plan(standing(fleet()))
    before = planning.lore.windows(standing(fleet()))
    old = Start("p", BEGIN - timedelta(days=9), BEGIN)
    await planning.plan(standing(fleet(), starts=(old,)))
    assert planning.lore.windows(standing(fleet())) == before


async def test_another_model_begins_anew_and_another_bound_does_not():
    planning = Planning()
    began = BEGIN + timedelta(seconds=5)
    await planning.plan(standing(fleet(), booting=(("p", began),)))
    start = Start("p", began, began + timedelta(seconds=30))
    await planning.plan(standing(fleet(), starts=(start,)))
    learned = planning.lore.windows(standing(fleet()))
    await planning.plan(standing(fleet(small={"instances": {"max": 7}})))
    assert planning.lore.windows(standing(fleet())) == learned
    await planning.plan(standing(fleet(small={"model": {"source": "hf://Qwen/Qwen3-8B"}})))
    assert planning.lore.windows(standing(fleet())) != learned


class Broken(Queues):
    """A defect that meets the fleet of one router alone."""

    async def router_queue(self, router: str) -> Mapping[Tier, float] | None:
        if router == "10.0.0.9":
            raise ArithmeticError("a defect")
        return await super().router_queue(router)


async def test_a_fleet_whose_plan_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture):
    planning = Planning(queues=Broken())
    bad = replace(standing(fleet()), routers=("10.0.0.9",))
    named = fleet().model_copy(update={"metadata": fleet().metadata.model_copy(update={"name": "other"})})
    planning.planner.note(bad)
    planning.planner.note(standing(named))
    woken: asyncio.Queue[FleetKey] = asyncio.Queue()
    running = asyncio.create_task(planning.planner.run(woken.put_nowait))
    assert await woken.get() == named.key
    running.cancel()
    await asyncio.wait([running])
    assert woken.empty()
    assert "No plan could be made" in caplog.text
