"""What boots is announced with its time, of facts alone, so that a plan changes only when an instance does."""

from datetime import UTC, datetime, timedelta

from heterofleet.api.labels import Tier
from heterofleet.api.routing import Arrival
from heterofleet.control import arrivals
from heterofleet.planning import startup, topology
from unit.control import test_observe as seen
from unit.desired import fleets

CATALOGUE = fleets.PLATFORM.catalogue
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def minute_after(tier: Tier, created: datetime = CREATED) -> datetime:
    """When an instance of a tier is expected, by the prior of its model's start."""
    spec = seen.FLEET.spec.tier(tier)
    layout = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node)
    assert isinstance(layout, topology.Layout)
    seconds = startup.seconds_prior(CATALOGUE.facts(spec.model), layout)
    assert seconds is not None
    at = created + timedelta(seconds=seconds)
    whole = at.replace(second=0, microsecond=0)
    return whole if whole == at else whole + timedelta(minutes=1)


def expected(*pods: seen.PodRecord) -> tuple[Arrival, ...]:
    return arrivals.expected(seen.FLEET, seen.view(pods=pods), CATALOGUE, {})


def test_a_group_is_expected_when_its_last_rank_has_had_the_time_of_a_start() -> None:
    late = CREATED + timedelta(minutes=10)
    pods = (seen.pod("chat-large-0-0"), seen.pod("chat-large-0-1", created=late))
    at = minute_after(Tier.LARGE, late)
    assert expected(*pods) == (Arrival(tier=Tier.LARGE, instances=1, at=at),)
    assert (at.second, at - timedelta(minutes=1) < at) == (0, True)


def test_small_pods_of_one_minute_are_counted_together() -> None:
    pods = (
        seen.pod("a", "small"),
        seen.pod("b", "small"),
        seen.pod("c", "small", created=CREATED + timedelta(minutes=5)),
    )
    assert expected(*pods) == (
        Arrival(tier=Tier.SMALL, instances=2, at=minute_after(Tier.SMALL)),
        Arrival(tier=Tier.SMALL, instances=1, at=minute_after(Tier.SMALL, CREATED + timedelta(minutes=5))),
    )


def test_a_group_whose_ranks_are_not_all_ready_still_boots() -> None:
    pods = (seen.pod("chat-large-0-0", ready=True), seen.pod("chat-large-0-1"))
    assert [arrival.tier for arrival in expected(*pods)] == [Tier.LARGE]


def test_what_is_ready_waits_for_a_place_drains_or_goes_is_not_expected() -> None:
    draining = {**seen.pod("e", "small").labels, "heterofleet.io/state": "draining"}
    pods = (
        seen.pod("chat-large-0-0", ready=True),
        seen.pod("chat-large-1-0", index="1"),
        seen.pod("chat-large-1-1", index="1", node="", scheduled=False),
        seen.pod("a", "small", ready=True),
        seen.pod("b", "small", scheduled=False),
        seen.pod("c", "small", deleting_since=CREATED),
        seen.pod("d", "small", phase="Failed"),
        seen.pod("e", "small", labels=draining),
    )
    assert expected(*pods) == ()


def test_a_model_of_unknown_size_has_no_time() -> None:
    fleet = fleets.fleet(small={"model": {"source": "hf://a/b"}})
    assert arrivals.expected(fleet, seen.view(pods=(seen.pod("a", "small"),)), CATALOGUE, {}) == ()
