"""How many routers there are, and that they are asked until all agree, ever more rarely while they do not."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from heterofleet.api import routing
from heterofleet.api.conditions import Reason
from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster.records import PodRecord
from heterofleet.control import observe, routers
from heterofleet.control.observe import FleetView
from heterofleet.control.routers import RouterCheck
from heterofleet.metrics.scrape import RouterAnswer, SupervisorAnswer
from heterofleet.status import Finding, RouterFacts
from unit.cluster import builders
from unit.control import test_observe
from unit.control.test_progress import pod
from unit.desired import fleets

KEY = FleetKey("ns", "chat")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "d" * 64


@dataclass
class Routers:
    answers: dict[str, RouterAnswer | None] = field(default_factory=dict)
    asked: int = 0

    async def router_config(self, router: str) -> RouterAnswer | None:
        self.asked += 1
        return self.answers.get(router)

    async def engine_in_flight(self, address: str) -> int | None:
        raise AssertionError(address)

    async def router_in_flight(self, router: str, endpoint: str) -> int | None:
        raise AssertionError(router)

    async def supervisor(self, address: str) -> SupervisorAnswer | None:
        raise AssertionError(address)

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None:
        raise AssertionError(addresses)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_silent_routers_are_asked_ever_more_rarely():
    routers = Routers()
    check = RouterCheck(routers)
    pods = [pod("r-1", ready=True)]
    times = []
    for second in range(200):
        before = routers.asked
        finding = await check.check(KEY, DIGEST, pods, at(second))
        assert finding == Finding(Reason.CONFIG_PENDING, f"not yet on config {DIGEST[:12]}: r-1")
        if routers.asked > before:
            times.append(second)
    assert times == [0, 2, 6, 14, 30, 62, 122, 182]


async def test_routers_that_agree_are_not_asked_again_until_the_config_or_a_router_is_new():
    routers = Routers({"r-1": RouterAnswer(digest=DIGEST), "r-2": RouterAnswer(digest=DIGEST)})
    check = RouterCheck(routers)
    assert await check.check(KEY, DIGEST, [pod("r-1", ready=True)], at(0)) is None
    assert await check.check(KEY, DIGEST, [pod("r-1", ready=True)], at(9)) is None
    assert (routers.asked, check.wake_at(KEY)) == (1, None)
    assert await check.check(KEY, DIGEST, [pod("r-1", ready=True), pod("r-2", ready=True)], at(9)) is None
    assert routers.asked == 3
    other = "e" * 64
    late = await check.check(KEY, other, [pod("r-1", ready=True)], at(9))
    assert late == Finding(Reason.CONFIG_PENDING, f"not yet on config {other[:12]}: r-1")
    assert check.wake_at(KEY) == at(11)


async def test_a_router_that_refuses_is_named_with_its_sentence():
    routers = Routers({"r-1": RouterAnswer(digest="old", rejected=DIGEST, error="unknown apiVersion")})
    finding = await RouterCheck(routers).check(KEY, DIGEST, [pod("r-1", ready=True)], at(0))
    assert finding == Finding(Reason.CONFIG_REJECTED, "router r-1 keeps its former config: unknown apiVersion")


def view(replicas: int | None = None, *pods: PodRecord, owner: str = "u-1") -> FleetView:
    """A fleet of which nothing is there but routers."""
    if replicas is None:
        return observe.sort_out({}, pods, "u-1")
    held: Manifest = builders.child("Deployment", "chat-router", api_version="apps/v1", spec={"replicas": replicas})
    held["metadata"]["namespace"] = "ai"
    found = test_observe.observed(held, owner)
    return observe.sort_out({found.ref: found}, pods, "u-1")


AUTOSCALED = fleets.fleet(router={"instances": {"min": 2, "max": 6}, "resources": {"requests": {"cpu": "1"}}})


@pytest.mark.parametrize(("standing", "wanted"), [(None, 2), (2, 2), (5, 5), (9, 6), (1, 2), (0, 2)])
def test_an_autoscaler_sets_the_number_within_the_bounds(standing: int | None, wanted: int) -> None:
    assert routers.count(AUTOSCALED, view(standing)) == wanted


def test_without_an_autoscaler_the_spec_sets_the_number() -> None:
    assert routers.count(fleets.fleet(router={"instances": {"min": 3}}), view(5)) == 3
    assert routers.count(AUTOSCALED, view(5, owner="another")) == 2


@pytest.mark.parametrize(
    ("read", "newest"),
    [
        ([], "v3"),
        ([["v3", "v2"], ["v3"]], "v3"),
        ([["v3", "v2"], ["v2", "v1"]], "v2"),
        ([["v3"], ["v1"]], None),
    ],
)
def test_the_newest_version_that_all_routers_read_is_chosen(read: list[list[str]], newest: str | None) -> None:
    assert routers.newest_read_by_all(("v3", "v2", "v1"), read) == newest


def router_pod(name: str, **status: object) -> PodRecord:
    found = pod(name, **status)
    return replace(found, labels={**found.labels, "heterofleet.io/component": "router"})


@pytest.mark.parametrize(
    ("versions", "updates"),
    [
        ((), ()),  # One that does not say is not known to lack anything.
        ((routing.API_VERSION, "router.heterofleet.io/v0"), ()),
        (("router.heterofleet.io/v0",), (f"router config {routing.API_VERSION}",)),
    ],
)
async def test_a_version_that_some_router_does_not_read_waits_for_another_image(versions, updates):
    answers = Routers({"r-1": RouterAnswer(digest=DIGEST, versions=versions)})
    seen = view(2, router_pod("r-1", ready=True), router_pod("r-2"))
    facts = await RouterCheck(answers).look(fleets.fleet(), seen, DIGEST, at(0))
    assert facts == RouterFacts(desired=2, ready=1, configured=None, digest=DIGEST, updates=updates)


async def test_a_router_without_its_volumes_is_looked_at_again_when_it_has_waited_too_long():
    check = RouterCheck(Routers())
    fleet = fleets.fleet()
    stuck = replace(router_pod("r-1"), scheduled=True, mounted=False)
    await check.look(fleet, view(2, stuck), DIGEST, at(0))
    assert check.wake_at(fleet.key) == at(30)
    await check.look(fleet, view(2, stuck), DIGEST, at(30))
    assert check.wake_at(fleet.key) is None


@pytest.mark.parametrize(("keys", "again"), [({}, None), ({"engineKeys": {"secret": "ring"}}, at(30))])
async def test_an_engine_without_its_ring_is_looked_at_again_when_it_has_waited_too_long(keys, again):
    check = RouterCheck(Routers())
    fleet = fleets.fleet(**keys)
    stuck = replace(router_pod("e-1"), scheduled=True, mounted=False)
    await check.look(fleet, replace(view(2), small_pods={"r": (stuck,)}), DIGEST, at(0))
    assert check.wake_at(fleet.key) == again
