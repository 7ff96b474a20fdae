"""Routers are asked until all agree, ever more rarely while they do not."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import FleetKey
from heterofleet.control.routers import RouterCheck
from heterofleet.metrics.scrape import RouterAnswer, SupervisorAnswer
from heterofleet.status import Finding
from unit.control.test_progress import pod

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
