"""When pods that are not there are taken for refused, and in whose words."""

from datetime import UTC, datetime, timedelta

import pytest

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus, Reason
from heterofleet.cluster.objects import Observed
from heterofleet.control import observe, unmade
from heterofleet.control.observe import FleetView
from heterofleet.status import Finding
from unit.cluster import builders

OWNER = "u-1"
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)
LATE = NOW + timedelta(seconds=unmade.MAKING_SECONDS)
WORDS = 'pods "x" is forbidden: exceeded quota'


def maker(
    kind: str, name: str, *, seen: int = 1, failure: str = "False", own: dict[str, str] | None = None
) -> Observed:
    condition = {"type": "ReplicaFailure", "status": failure, "message": WORDS}
    status = {"observedGeneration": seen, "conditions": [condition, {"type": "Available", "status": "True"}]}
    made = builders.child(kind, name, api_version="apps/v1", spec={}, status=status)
    made["metadata"] |= {"generation": 1, "labels": {**made["metadata"]["labels"], **(own or {})}}
    return Observed.of(builders.stored(made, owner=OWNER))


def view(group: Observed) -> FleetView:
    return observe.sort_out({group.ref: group}, (), OWNER)


def instance(state: InstanceState = InstanceState.CREATING) -> InstanceStatus:
    return InstanceStatus(index=0, state=state, ranks=2, since=NOW)


def group(seen: int = 1) -> FleetView:
    return view(maker("StatefulSet", "chat-large-0", seen=seen, own={labels.INSTANCE: "0"}))


def test_a_group_without_its_pods_is_told_when_its_controller_has_had_its_time():
    told = unmade.of_groups(group(), [instance()], LATE)
    assert told == [
        Finding(
            Reason.PODS_REFUSED,
            "chat-large-0 has 0 of 2 pods, Kubernetes refuses to make the others:"
            " `kubectl describe statefulset chat-large-0 -n ns` says why",
        )
    ]
    assert unmade.of_groups(group(), [instance()], LATE - timedelta(seconds=1)) == []


def test_a_controller_that_has_not_looked_refuses_nothing():
    assert unmade.of_groups(group(seen=0), [instance()], LATE) == []


@pytest.mark.parametrize("state", set(InstanceState) - {"Creating", "Starting", "Restarting"})
def test_a_group_that_is_not_coming_lacks_no_pods(state: InstanceState):
    assert unmade.due_at(instance(state), 0) is None


def test_a_group_with_all_its_pods_is_due_nothing():
    assert (unmade.due_at(instance(), 1), unmade.due_at(instance(), 2)) == (LATE, None)


def test_a_deployment_says_it_in_the_server_s_words():
    refused, made = (maker("Deployment", name, failure=failure) for name, failure in (("a", "True"), ("b", "False")))
    assert unmade.of_deployments([refused, made]) == [Finding(Reason.PODS_REFUSED, f"a: {WORDS}")]


def test_of_all_children_only_the_routers_deployment_speaks_for_the_routers():
    router, small = (
        maker("Deployment", f"chat-{component}", failure="True", own={labels.COMPONENT: component})
        for component in ("router", "engine")
    )
    assert unmade.of_routers([router, small]) == [Finding(Reason.PODS_REFUSED, f"router: chat-router: {WORDS}")]
