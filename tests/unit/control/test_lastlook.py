"""A group that comes up while a reconcile runs is not taken without a drain."""

from typing import Any

import pytest

from heterofleet.cluster.objects import Ref
from unit.cluster import builders
from unit.control.desk import Desk

CHANGED = {"engine": {"maxModelLen": 4096}}


async def starting_group() -> Desk:
    """A fleet whose one group is not ready yet, and whose spec has just changed."""
    desk = Desk()
    desk.want()
    await desk.reconcile()
    (group,) = desk.found("StatefulSet")
    desk.pods(group, 2)
    await desk.reconcile()
    desk.want(large=CHANGED)
    return desk


async def test_a_group_that_serves_nobody_goes_at_once() -> None:
    desk = await starting_group()
    await desk.reconcile()
    assert desk.names("StatefulSet") == []


async def test_a_group_that_came_up_since_the_look_stays_whole_and_is_replaced_as_one_that_serves() -> None:
    desk = await starting_group()
    (group,) = desk.found("StatefulSet")
    before = [desk.names(kind) for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service")]

    def come_up(verb: str, ref: Ref) -> None:
        if (verb, ref.kind) == ("apply", "ControllerRevision"):
            desk.pods(group, 2, ready=True)

    desk.meanwhile = come_up
    await desk.reconcile()
    assert desk.names("StatefulSet") == ["chat-large-0"]
    assert [desk.names(kind) for kind in ("PodDisruptionBudget", "NetworkPolicy", "Service")] == before
    await desk.reconcile()
    assert desk.names("StatefulSet") == ["chat-large-0", "chat-large-1"], "its successor comes first"
    assert "InstanceDeleted" not in desk.told.reasons


@pytest.mark.parametrize("came_up", [False, True])
async def test_a_group_restarts_as_one_unless_it_came_up_since_it_was_asked(came_up: bool) -> None:
    desk = Desk()
    desk.want()
    await desk.reconcile()
    (group,) = desk.found("StatefulSet")
    ended: dict[str, Any] = {"exitCode": 1, "finishedAt": builders.CREATED}
    exited: dict[str, Any] = {
        "containerStatuses": [{"name": "engine", "restartCount": 1, "lastState": {"terminated": ended}}]
    }
    before = desk.pods(group, 2, **exited)

    desk.engines.agreed = False

    def come_up() -> None:
        desk.pods(group, 2, ready=True, **exited)

    if came_up:
        desk.engines.while_asked = come_up
    await desk.reconcile()
    assert len(desk.found("Pod")) == (len(before) if came_up else 0)
