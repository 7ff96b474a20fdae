"""What Kubernetes' controllers have not seen yet may still make pods, and its GPUs are not given to anybody else."""

from typing import Any

from heterofleet.api import labels
from unit.control.desk import Desk
from unit.desired import fleets


def deployments(desk: Desk) -> dict[str, int]:
    """The counts of the small tier's Deployments, in the order in which they were made."""
    found = [item for item in desk.found("Deployment") if labels.TIER in item["metadata"]["labels"]]
    found.sort(key=lambda item: int(item["metadata"]["uid"].removeprefix("uid-")))
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in found}


def counts(large: int, small: int) -> dict[str, Any]:
    return {"large": {"instances": {"min": large}}, "small": {"instances": {"min": small}}}


async def test_a_group_is_not_created_beside_small_pods_that_may_still_come() -> None:
    desk = Desk()
    budget = {"scaling": {"gpuBudget": 17}}
    desk.want(**budget, **counts(large=0, small=2))
    await desk.reconcile()
    desk.want(**budget, **counts(large=1, small=1))
    await desk.reconcile()
    ((name, replicas),) = deployments(desk).items()
    assert replicas == 1
    wake = await desk.reconcile()
    assert desk.names("StatefulSet") == []
    assert wake is not None
    assert wake <= 1
    desk.settle(name)
    await desk.reconcile()
    assert desk.names("StatefulSet") == ["chat-large-0"]


async def test_a_deployment_of_a_former_revision_goes_when_nobody_makes_pods_for_it() -> None:
    desk = Desk()
    desk.want(**counts(large=0, small=2))
    await desk.reconcile()
    desk.want(**fleets.merged(counts(large=0, small=2), {"small": {"engine": {"maxNumSeqs": 32}}}))
    for _ in range(3):
        await desk.reconcile()
    assert list(deployments(desk).values()) == [0, 2]
    former, present = deployments(desk)
    desk.settle(former)
    await desk.reconcile()
    assert deployments(desk) == {present: 2}


async def test_a_group_is_not_deleted_before_its_controller_has_seen_it() -> None:
    desk = Desk()
    desk.want(**counts(large=1, small=1))
    await desk.reconcile()
    (group,) = desk.found("StatefulSet")
    around = [desk.names(kind) for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service")]
    desk.want(**counts(large=0, small=1))
    await desk.reconcile()
    assert desk.names("StatefulSet") == ["chat-large-0"]
    assert [desk.names(kind) for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service")] == around
    desk.see(group)
    await desk.reconcile()
    assert desk.names("StatefulSet") == []
