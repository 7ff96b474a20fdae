"""Whole fleets: what runs is fixed by what is stored, drains show, and no object is without an owner."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import fleet as desired
from heterofleet.desired.fleet import Counts, LargeInstance, SmallRevision
from heterofleet.desired.platform import Platform
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from unit.desired import fleets

EVERYTHING = replace(fleets.PLATFORM, pod_monitors=True, prometheus_rules=True, pod_groups=True)


def rendered(fleet: HeterogeneousDeployment, platform: Platform = fleets.PLATFORM) -> dict[Role, Template]:
    return {role: desired.render(fleet, role, platform) for role in Role}


def applied(
    fleet: HeterogeneousDeployment,
    *templates: Template,
    platform: Platform = fleets.PLATFORM,
    **counts: Any,
) -> dict[tuple[str, str], Manifest]:
    """Manifests by kind and name; the router's template of `fleet` is always among the stored ones."""
    router = desired.render(fleet, Role.ROUTER, platform)
    stored = {(t.role, t.revision): t for t in (*templates, router)}
    given = {"large": (), "small": (), "tiers": {Tier.LARGE: 1, Tier.SMALL: 1}} | counts
    found = desired.manifests(fleet, Counts(**given), stored, platform)
    by_name = {(item["kind"], item["metadata"]["name"]): item for item in found}
    assert len(by_name) == len(found)
    return by_name


def test_a_changed_spec_edits_no_running_instance() -> None:
    before, after = fleets.fleet(), fleets.fleet(large={"parallelism": {"pipeline": 4}})
    old, new = rendered(before)[Role.LARGE], rendered(after)[Role.LARGE]
    one = (LargeInstance(0, old.revision),)
    unchanged = applied(before, old, large=one)["StatefulSet", "chat-large-0"]
    both = applied(after, old, new, large=(*one, LargeInstance(1, new.revision)))
    assert both["StatefulSet", "chat-large-0"] == unchanged
    replicas = [both["StatefulSet", f"chat-large-{index}"]["spec"]["replicas"] for index in (0, 1)]
    assert replicas == [2, 4]


def test_a_detected_api_enters_no_template_that_is_stored() -> None:
    fleet = fleets.fleet()
    old = rendered(fleet)[Role.LARGE]
    counts: dict[str, Any] = {"large": (LargeInstance(0, old.revision),)}
    without = applied(fleet, old, **counts)
    with_groups = applied(fleet, old, platform=replace(fleets.PLATFORM, pod_groups=True), **counts)
    assert with_groups == without


def test_an_instance_created_where_pod_groups_are_served_is_one() -> None:
    fleet = fleets.fleet()
    large = rendered(fleet, EVERYTHING)[Role.LARGE]
    found = applied(fleet, large, platform=EVERYTHING, large=(LargeInstance(3, large.revision),))
    assert found["PodGroup", "chat-large-3"]["spec"] == large.pod_group
    pod = found["StatefulSet", "chat-large-3"]["spec"]["template"]["spec"]
    assert pod["schedulingGroup"] == {"podGroupName": "chat-large-3"}


def test_a_drain_shows_on_the_object_and_leaves_the_pods_template() -> None:
    fleet = fleets.fleet()
    large = rendered(fleet)[Role.LARGE]
    until = datetime(2026, 1, 5, 10, 30, 0, 999, tzinfo=UTC)
    serving, draining = (
        applied(fleet, large, large=(LargeInstance(0, large.revision, deadline),))["StatefulSet", "chat-large-0"]
        for deadline in (None, until)
    )
    assert draining["metadata"]["labels"]["heterofleet.io/state"] == "draining"
    assert draining["metadata"]["annotations"] == {
        "heterofleet.io/spec-hash": large.hash,
        "heterofleet.io/drain-deadline": "2026-01-05T10:30:00Z",
    }
    assert draining["spec"] == serving["spec"]


def test_two_revisions_of_the_small_tier_stand_side_by_side_behind_one_service() -> None:
    before, after = fleets.fleet(), fleets.fleet(small={"engine": {"maxNumSeqs": 8}})
    old, new = rendered(before)[Role.SMALL], rendered(after)[Role.SMALL]
    found = applied(after, old, new, small=(SmallRevision(old.revision, 3), SmallRevision(new.revision, 1)))
    deployments = {name: item for (kind, name), item in found.items() if kind == "Deployment" and "small" in name}
    assert {name: item["spec"]["replicas"] for name, item in deployments.items()} == {
        f"chat-small-default-{old.revision}": 3,
        f"chat-small-default-{new.revision}": 1,
    }
    selector = found["Service", "chat-small"]["spec"]["selector"]
    for item in deployments.values():
        assert selector.items() <= item["spec"]["template"]["metadata"]["labels"].items()
    revisions = {item["spec"]["selector"]["matchLabels"]["heterofleet.io/revision"] for item in deployments.values()}
    assert revisions == {old.revision, new.revision}


def test_services_that_carry_requests_select_serving_pods_and_a_groups_own_never_looks_at_the_state() -> None:
    fleet = fleets.fleet()
    large = rendered(fleet)[Role.LARGE]
    found = applied(fleet, large, large=(LargeInstance(0, large.revision),))
    states = {
        name: item["spec"]["selector"].get("heterofleet.io/state")
        for (kind, name), item in found.items()
        if kind == "Service"
    }
    assert states == {"chat-small": "serving", "chat-router": "serving", "chat-large-0": None}


def test_selectors_match_the_templates_they_are_for() -> None:
    fleet = fleets.fleet()
    templates = rendered(fleet)
    found = applied(
        fleet,
        *templates.values(),
        large=(LargeInstance(7, templates[Role.LARGE].revision),),
        small=(SmallRevision(templates[Role.SMALL].revision, 1),),
    )
    workloads = [item["spec"] for (kind, _), item in found.items() if kind in ("StatefulSet", "Deployment")]
    assert len(workloads) == 3
    for spec in workloads:
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_a_count_that_is_somebody_elses_is_left_out() -> None:
    found = applied(fleets.fleet(), tiers={Tier.LARGE: 0, Tier.SMALL: None})
    assert found["HeterogeneousTier", "chat-large"]["spec"] == {"tier": "large", "instances": 0}
    assert found["HeterogeneousTier", "chat-small"]["spec"] == {"tier": "small"}


def test_every_object_is_controlled_by_its_fleet_and_carries_its_label() -> None:
    fleet = fleets.fleet()
    templates = rendered(fleet, EVERYTHING)
    found = applied(
        fleet,
        *templates.values(),
        platform=EVERYTHING,
        large=(LargeInstance(0, templates[Role.LARGE].revision),),
        small=(SmallRevision(templates[Role.SMALL].revision, 1),),
    )
    owner = {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "name": "chat",
        "uid": "u-1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert {kind for kind, _ in found} >= {"PodGroup", "PodMonitor", "PrometheusRule", "NetworkPolicy", "Role"}
    for item in found.values():
        assert item["metadata"]["ownerReferences"] == [owner]
        assert item["metadata"]["labels"]["heterofleet.io/fleet"] == "chat"


def test_labels_and_annotations_of_the_fleet_are_not_copied() -> None:
    body = fleets.body()
    body["metadata"] |= {"labels": {"argocd": "x"}, "annotations": {"tracking": "y"}}
    assert applied(HeterogeneousDeployment.parse(body)) == applied(fleets.fleet())


def test_no_field_says_nothing() -> None:
    fleet = fleets.fleet()
    templates = rendered(fleet, EVERYTHING)
    found = applied(
        fleet,
        *templates.values(),
        platform=EVERYTHING,
        large=(LargeInstance(0, templates[Role.LARGE].revision),),
        small=(SmallRevision(templates[Role.SMALL].revision, 1),),
    )
    # An empty emptyDir, disruption mode or namespace selector says something: its presence is the choice.
    meant = {"emptyDir", "all", "namespaceSelector"}
    assert [path for item in found.values() for path in empty_paths(item) if path[-1] not in meant] == []


def empty_paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, item in items for found in empty_paths(item, (*path, str(key)))]
    # The core API group is written as an empty text.
    return [path] if value in (None, {}, [], "") and "apiGroups" not in path else []
