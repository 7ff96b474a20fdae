"""A fleet's objects and pods sorted, lost and unwanted nodes, and the GPUs that are held."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.tier import Lifecycle
from heterofleet.cluster.objects import Observed, Ref
from heterofleet.cluster.records import NodeRecord, PodRecord, Taint
from heterofleet.control import holdings, observe
from heterofleet.control.observe import FleetView
from heterofleet.desired import fleet as desired
from heterofleet.desired import names, template
from heterofleet.desired.revision import Role
from heterofleet.planning.placing import Demand, Toleration
from unit.cluster import builders
from unit.desired import fleets

OWNER = "u-1"
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)
LIMITS = Lifecycle()
FLEET = fleets.fleet()
LARGE, SMALL = (desired.render(FLEET, role, fleets.PLATFORM) for role in (Role.LARGE, Role.SMALL))


def observed(manifest: Manifest, owner: str | None = OWNER) -> Observed:
    return Observed.of(builders.stored(manifest, owner=owner))


def group(index: int, owner: str | None = OWNER, **more: str) -> Observed:
    made = builders.child("StatefulSet", f"chat-large-{index}", api_version="apps/v1", spec={"replicas": 2})
    own = {labels.TIER: "large", labels.INSTANCE: str(index), labels.REVISION: LARGE.revision, **more}
    made["metadata"]["labels"] |= own
    return observed(made, owner)


def pod(name: str, tier: str = "large", *, gpus: int = 8, node: str = "n", **more: Any) -> PodRecord:
    manifest = builders.pod(name, node=node, gpus=gpus, phase=more.pop("phase", "Running"))
    revision = LARGE.revision if tier == "large" else SMALL.revision
    own = {labels.TIER: tier, labels.COMPONENT: "engine", labels.REVISION: revision}
    if tier == "large":
        own |= {labels.INSTANCE: more.pop("index", "0"), labels.POD_INDEX: name[-1]}
    manifest["metadata"]["labels"] |= own
    return replace(PodRecord.of(builders.stored(manifest, uid=name)), **more)


def view(*children: Observed, pods: tuple[PodRecord, ...] = ()) -> FleetView:
    kept = [observed({**template.to_manifest(t, FLEET), "kind": "ControllerRevision"}) for t in (LARGE, SMALL)]
    return observe.sort_out({c.ref: c for c in (*children, *kept)}, pods, OWNER)


def machine(**facts: Any) -> dict[str, NodeRecord]:
    record = NodeRecord.of(builders.stored(builders.node("n"), owner=None))
    return {"n": replace(record, **facts)}


def test_what_another_owner_controls_is_not_the_fleet_s():
    found = view(group(0), group(1, owner="somebody-else"))
    assert list(found.groups) == [0]
    assert Ref("apps/v1", "StatefulSet", "ns", "chat-large-1") in found.children


def test_pods_are_sorted_by_instance_and_by_revision():
    found = view(pods=(pod("b-1"), pod("a-0"), pod("s", "small"), pod("c-0", index="7")))
    assert {index: [p.name for p in pods] for index, pods in found.large_pods.items()} == {
        0: ["a-0", "b-1"],
        7: ["c-0"],
    }
    assert list(found.small_pods) == [SMALL.revision]


def test_a_template_that_cannot_be_read_is_told_and_keeps_the_others():
    broken = builders.child("ControllerRevision", "chat-large-x", api_version="apps/v1", data={"no": "template"})
    found = view(observed(broken))
    assert found.broken_templates == (Ref("apps/v1", "ControllerRevision", "ns", "chat-large-x"),)
    assert set(found.templates) == {(Role.LARGE, LARGE.revision), (Role.SMALL, SMALL.revision)}


def test_a_group_drains_when_its_object_or_any_of_its_pods_says_so():
    marked = replace(pod("a-0"), labels={**pod("a-0").labels, labels.STATE: "draining"})
    assert not observe.is_draining(0, view(group(0), pods=(pod("a-0"),)))
    assert observe.is_draining(0, view(group(0), pods=(marked, pod("a-1"))))
    assert observe.is_draining(0, view(group(0, **{labels.STATE: "draining"})))


@pytest.mark.parametrize(
    ("nodes", "lost"),
    [
        (machine(), False),
        (machine(ready=False, ready_since=NOW - timedelta(seconds=59)), False),
        (machine(ready=False, ready_since=NOW - timedelta(seconds=60)), True),
        (
            machine(ready=False, ready_since=NOW, taints=(Taint(labels.OUT_OF_SERVICE_TAINT, "x", "NoExecute", None),)),
            True,
        ),
        ({"other": machine()["n"]}, True),
        ({}, False),
    ],
)
def test_a_pod_is_lost_when_its_node_is_gone_or_silent_for_long_enough(nodes: dict[str, NodeRecord], lost: bool):
    assert observe.is_lost(pod("a-0"), nodes, LIMITS, NOW) is lost


@pytest.mark.parametrize(
    ("facts", "moves"),
    [
        ({}, False),
        ({"unschedulable": True}, True),
        ({"taints": (Taint("maintenance", "", "NoSchedule", None),)}, True),
        ({"taints": (Taint("maintenance", "", "PreferNoSchedule", None),)}, False),
        ({"taints": (Taint("mine", "", "NoSchedule", None),)}, False),
        ({"taints": (Taint("node.kubernetes.io/memory-pressure", "", "NoSchedule", None),)}, False),
        ({"taints": (Taint("node.kubernetes.io/unreachable", "", "NoExecute", None),)}, False),
        ({"taints": (Taint(labels.OUT_OF_SERVICE_TAINT, "", "NoExecute", None),)}, True),
    ],
)
def test_a_pod_must_move_off_a_node_that_somebody_wants_empty(facts: dict[str, Any], moves: bool):
    demand = Demand("nvidia.com/gpu", tolerations=(Toleration("mine", "Exists"),))
    assert observe.must_move(pod("a-0"), machine(**facts), demand) is moves


def held(found: FleetView, ceiling: int = 0) -> tuple[int, int, int]:
    counted = holdings.count(FLEET, found, {SMALL.revision: ceiling})
    return counted.held[Tier.LARGE], counted.held[Tier.SMALL], counted.total


def test_every_pod_that_is_not_finished_holds_its_gpus_and_so_does_what_is_asked_for():
    stopping = pod("a-0", deleting_since=NOW)
    pending = pod("a-1", node="")
    assert held(view(group(0), pods=(stopping, pending))) == (16, 0, 16)
    assert held(view(group(0), pods=(pod("a-0"),))) == (8, 0, 16), "the second pod is asked for"
    assert held(view(pods=(pod("a-0", phase="Failed"),))) == (0, 0, 0)


def test_a_deployment_claims_the_pods_that_it_is_to_make_for_those_that_stop():
    made = builders.child(
        "Deployment", names.small_deployment("chat", SMALL.revision), api_version="apps/v1", spec={"replicas": 2}
    )
    made["metadata"]["labels"] |= {labels.TIER: "small", labels.REVISION: SMALL.revision}
    pods = (pod("s-1", "small", gpus=1), pod("s-2", "small", gpus=1, deleting_since=NOW))
    assert held(view(observed(made), pods=pods)) == (0, 2, 3)
    assert held(view(observed(made), pods=pods), ceiling=4) == (0, 2, 5), "two more may come, asked for or not"
    assert held(view(observed(made), pods=(*pods, pod("s-3", "small", gpus=1))), ceiling=3) == (0, 3, 4)


def test_a_group_without_its_template_is_as_large_as_it_is_asked_to_be():
    bereft = group(0, **{labels.REVISION: "gone"})
    found = observe.group(0, view(bereft, pods=(pod("a-0"),)), machine(), LIMITS, NOW)
    assert (found.size, len(found.ranks)) == (2, 1)
