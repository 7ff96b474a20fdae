"""What kopf's events do: into the cache and nothing else."""

import asyncio
from typing import Any

import kopf
import pytest

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.control import handlers
from unit.cluster.builders import KEY, fleet, stored


@pytest.fixture
def told() -> list[FleetKey]:
    return []


@pytest.fixture
def cache(told: list[FleetKey]) -> Cache:
    return Cache(Listeners(told.append, lambda _: None, lambda: None, lambda: None))


@pytest.mark.parametrize("change", [None, "ADDED", "MODIFIED"])
def test_an_event_enters_the_cache_and_queues_the_fleet_once(
    cache: Cache, told: list[FleetKey], change: str | None
) -> None:
    body = stored(fleet(), owner=None)
    handlers.take(change, body, cache)
    handlers.take(change, body, cache)
    assert (cache.fleet(KEY), told) == (body, [KEY])


def test_a_deletion_queues_the_fleet_for_a_last_time(cache: Cache, told: list[FleetKey]) -> None:
    handlers.take("ADDED", stored(fleet(), owner=None), cache)
    handlers.take("DELETED", stored(fleet(), owner=None, version=2), cache)
    assert (cache.fleet(KEY), told) == (None, [KEY, KEY])


@pytest.mark.parametrize("odd", [{"spec": None}, {"spec": "text"}, {"status": []}, {"spec": {"unknown": [1]}}])
def test_an_odd_body_is_handed_on(cache: Cache, odd: dict[str, Any]) -> None:
    body = stored(fleet(), owner=None) | odd
    handlers.take("ADDED", body, cache)
    assert cache.fleet(KEY) == body


async def test_an_event_crosses_from_kopfs_thread_to_our_loop(cache: Cache) -> None:
    forwarder = handlers.Forwarder(asyncio.get_running_loop(), cache)
    event: Any = {"type": "ADDED", "object": stored(fleet(), owner=None)}
    await asyncio.to_thread(forwarder.forward, event)
    await asyncio.sleep(0)
    assert cache.fleets() == (KEY,)


def test_kopf_is_told_to_read_two_kinds_with_bounds_and_to_write_nothing(cache: Cache) -> None:
    settings = handlers.configuration()
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert list(settings.watching.label_selectors.values()) == [labels.FLEET]
    timeouts = (
        settings.watching.server_timeout,
        settings.watching.client_timeout,
        settings.watching.connect_timeout,
        settings.networking.request_timeout,
        settings.networking.connect_timeout,
    )
    assert all(isinstance(seconds, int | float) and seconds <= 300 for seconds in timeouts)


async def test_no_handler_makes_kopf_write_to_an_object(cache: Cache) -> None:
    registry = handlers.registry(handlers.Forwarder(asyncio.get_running_loop(), cache))
    assert isinstance(registry, kopf.OperatorRegistry)
    assert len(registry._watching.get_all_handlers()) == 2
    for writing in (registry._changing, registry._spawning, registry._webhooks, registry._indexing):
        assert list(writing.get_all_handlers()) == []
