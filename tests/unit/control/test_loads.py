"""What is known of a load, and what is told where nothing is known."""

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.control.loads import MEAN_REQUEST_TOKENS, Load
from heterofleet.control.standing import Standing
from heterofleet.metrics.samples import Loss, Lost
from unit.control.plannings import Planning, fleet, standing

WINDOWS = {Tier.LARGE: 300.0, Tier.SMALL: 120.0}


async def load_of(planning: Planning, seen: Standing) -> Load:
    return await planning.loads.of(seen, WINDOWS, 0.975)


async def test_what_waits_in_every_router_counts_in_work_tokens():
    planning, seen = Planning(), standing(fleet(), routers=2)
    planning.queues.waiting = {Tier.SMALL: 7.0}
    planning.planner.note(seen)
    await planning.loads.look()
    told = await load_of(planning, seen)
    assert told.loads[RequestClass.ACT].waiting == 2 * 7 * MEAN_REQUEST_TOKENS
    assert told.loads[RequestClass.PLAN].waiting == 0


async def test_without_any_prometheus_there_is_no_load_to_forecast_and_the_condition_says_so():
    planning, seen = Planning(), standing(fleet())
    planning.planner.note(seen)
    await planning.loads.look()
    told = await load_of(planning, seen)
    assert told.metrics.reason is Reason.METRICS_NOT_CONFIGURED
    assert told.loads[RequestClass.ACT].offered == 0


async def test_a_prometheus_that_is_silent_makes_nothing_known_and_never_zero():
    planning, seen = Planning(), standing(fleet())
    planning.prometheus.tell(plan=10.0, act=20.0)
    planning.planner.note(seen)
    await planning.loads.look()
    assert (await load_of(planning, seen)).loads[RequestClass.ACT].offered == 20.0
    planning.prometheus.lose("it is silent")
    planning.pass_(60)
    await planning.loads.look()
    told = await load_of(planning, seen)
    assert (told.metrics.reason, told.metrics.message) == (Reason.METRICS_LOST, "it is silent")
    assert [(load.forecast, load.offered) for load in told.loads.values()] == [(None, None), (None, None)]


async def test_a_new_fleet_is_forecast_from_its_history_at_once():
    planning, seen = Planning(), standing(fleet())
    planning.prometheus.tell(plan=10.0, act=20.0)
    planning.planner.note(seen)
    await planning.loads.look()
    made = (await load_of(planning, seen)).loads[RequestClass.ACT].forecast
    assert made is not None
    assert made.points > 1440
    assert round(made.expected) == 20


async def test_an_address_that_is_not_allowed_is_a_reason_of_its_own():
    planning, seen = Planning(), standing(fleet())
    planning.prometheus.offered = Lost(Loss.NOT_ALLOWED, "not one of those")
    planning.planner.note(seen)
    await planning.loads.look()
    assert (await load_of(planning, seen)).metrics.reason is Reason.METRICS_ADDRESS_REFUSED


async def test_a_router_that_does_not_answer_has_nothing_waiting_that_anybody_knows_of():
    planning, seen = Planning(), standing(fleet())
    planning.queues.waiting = None
    planning.planner.note(seen)
    await planning.loads.look()
    assert (await load_of(planning, seen)).loads[RequestClass.ACT].waiting == 0
