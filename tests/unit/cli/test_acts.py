"""`roll`, `retry` and `release`: which annotation is written, and what a person is told."""

import argparse

import pytest

from heterofleet.api.labels import Manifest
from heterofleet.cli import acts
from heterofleet.cli.errors import CliError
from unit.cli import stored
from unit.cli.stored import StoredApi

FLEETS = "/apis/heterofleet.io/v1alpha1/namespaces/prod/heterogeneousdeployments"
TIERS = "/apis/heterofleet.io/v1alpha1/namespaces/prod/heterogeneoustiers"
AT = "2026-05-04T12:00:00Z"


def api(*fleets: Manifest) -> StoredApi:
    objects: dict[str, Manifest] = {f"{FLEETS}/{fleet['metadata']['name']}": fleet for fleet in fleets}
    objects[FLEETS] = {"items": list(fleets)}
    objects[f"{TIERS}/search-large"] = {}
    objects["/apis/coordination.k8s.io/v1/leases"] = {"items": [stored.lease(stored.ago(seconds=1))]}
    return StoredApi(objects)


async def act(cluster: StoredApi, command: str, fleet: str, tier: str | None = None) -> list[str]:
    return await acts.perform(cluster, "prod", argparse.Namespace(command=command, fleet=fleet, tier=tier), stored.NOW)


def annotation(path: str, name: str) -> tuple[str, Manifest]:
    return path, {"metadata": {"annotations": {f"heterofleet.io/{name}": AT}}}


async def test_a_roll_is_an_annotation_of_the_fleet() -> None:
    cluster = api(stored.READY)
    assert await act(cluster, "roll", "chat") == [
        "chat: its pods are replaced one instance after the other.",
        "Follow it with: heterofleet status chat -n prod --watch",
    ]
    assert cluster.merged == [annotation(f"{FLEETS}/chat", "roll")]


async def test_what_stands_in_the_way_is_said() -> None:
    assert (await act(api(stored.TROUBLED), "roll", "search"))[-1] == (
        "It is suspended: this waits until spec.suspend is false."
    )


async def test_a_retry_names_the_instances_that_failed() -> None:
    cluster = api(stored.TROUBLED)
    assert (await act(cluster, "retry", "search"))[0] == "search: instance 3 will be tried again."
    assert cluster.merged == [annotation(f"{FLEETS}/search", "retry")]


async def test_without_a_failed_instance_nothing_is_retried() -> None:
    cluster = api(stored.READY)
    assert await act(cluster, "retry", "chat") == ["chat: no instance has failed, so there is nothing to retry."]
    assert cluster.merged == []


@pytest.mark.parametrize("tier", [None, "large"])
async def test_a_release_ends_the_counts_that_are_held(tier: str | None) -> None:
    cluster = api(stored.TROUBLED)
    assert (await act(cluster, "release", "search", tier))[0] == (
        "search: the plan sets the count of the large tier again, which kubectl-scale had set to 3."
    )
    assert cluster.merged == [annotation(f"{TIERS}/search-large", "release")]


async def test_a_count_that_nobody_holds_is_not_released() -> None:
    cluster = api(stored.READY, stored.TROUBLED)
    assert await act(cluster, "release", "chat") == [
        "chat: the plan sets the count of the large tier, so there is nothing to release.",
        "chat: the plan sets the count of the small tier, so there is nothing to release.",
    ]
    assert (await act(cluster, "release", "search", "small"))[0] == (
        "search: the count of the small tier is left to others (scaling.small.writer: External)."
    )
    assert cluster.merged == []


async def test_a_fleet_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(CliError, match=r"there is no fleet chta in namespace prod; did you mean chat\?"):
        await act(api(stored.READY), "roll", "chta")
    with pytest.raises(CliError, match="there is no fleet zzz in namespace prod; there are chat"):
        await act(api(stored.READY), "roll", "zzz")
