"""When a request that nobody could take is told to come again."""

from datetime import UTC, datetime

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.routing import Arrival
from heterofleet.router import comeback
from heterofleet.router.endpoints import Address, Registry, Sighting

WALL = 1_700_000_000.0


def registry(*reopen: float | None) -> Registry:
    """The small tier's engines, each with the time at which its breaker lets a trial through, or none that is open."""
    made = Registry(lambda: 0.0)
    made.replace([Sighting(Address("127.0.0.1", 1000 + number), Tier.SMALL) for number in range(len(reopen))])
    for endpoint, at in zip(made.groups[Tier.SMALL].serving, reopen, strict=True):
        for _ in range(5 if at is not None else 0):
            endpoint.breaker.failed((at or 0.0) - 60.0)
    return made


def arrival(seconds: float) -> Arrival:
    return Arrival(tier=Tier.SMALL, instances=1, at=datetime.fromtimestamp(WALL + seconds, UTC))


@pytest.mark.parametrize(
    ("reopen", "arrivals", "expected"),
    [
        ((), [], 60.0),
        ((None,), [], 1.0),
        ((40.0, 25.0), [], 15.0),
        ((10.2,), [], 1.0),
        ((55.0,), [arrival(20.0)], 20.0),
        ((), [arrival(-5.0)], 60.0),
        ((), [arrival(600.0)], 60.0),
    ],
)
def test_a_request_may_come_again_when_the_first_engine_may_be_asked(
    reopen: tuple[float | None, ...], arrivals: list[Arrival], expected: float
):
    breakers = [endpoint.breaker for endpoint in registry(*reopen).all()]
    assert comeback.seconds(breakers, arrivals, 10.0, WALL) == expected


def test_an_engine_on_trial_is_shut_for_as_long_as_the_trial_may_take():
    made = registry(10.0)
    (endpoint,) = made.all()
    endpoint.breaker.sent(12.0)
    assert [endpoint.breaker.seconds_shut(now) for now in (9.0, 12.0, 72.0)] == [63.0, 60.0, 0.0]
