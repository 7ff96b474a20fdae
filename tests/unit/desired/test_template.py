"""Stored templates: what is kept comes back whole, and what differs is named."""

from dataclasses import replace

import pytest

from heterofleet.api.labels import Manifest, Tier
from heterofleet.desired import fleet as desired
from heterofleet.desired import template
from heterofleet.desired.revision import Role
from heterofleet.desired.template import MalformedTemplate
from unit.desired import fleets

GANG = replace(fleets.PLATFORM, pod_groups=True)


@pytest.mark.parametrize("role", Role)
def test_a_stored_template_comes_back_whole(role: Role) -> None:
    spec = {"large": {"placement": {"topologyKey": "rack"}}}
    for platform in (fleets.PLATFORM, GANG):
        rendered = desired.render(fleets.fleet(**spec), role, platform)
        assert template.parse(template.to_manifest(rendered, fleets.fleet(**spec))) == rendered


def test_a_stateful_sets_own_revision_is_not_taken_for_a_template() -> None:
    foreign = {
        "metadata": {"name": "chat-large-0-7d9f", "labels": {"heterofleet.io/tier": "large"}},
        "data": {"spec": {"template": {}}},
    }
    with pytest.raises(MalformedTemplate):
        template.parse(foreign)


def test_nothing_of_an_instance_is_in_a_template() -> None:
    rendered = desired.render(fleets.fleet(), Role.LARGE, GANG)
    assert "heterofleet.io/instance" not in rendered.body["metadata"]["labels"]
    assert "schedulingGroup" not in rendered.body["spec"]
    assert rendered.pod_group == {"schedulingPolicy": {"gang": {"minCount": 2}}, "disruptionMode": {"all": {}}}


def test_the_same_template_does_not_differ() -> None:
    rendered = desired.render(fleets.fleet(), Role.LARGE, fleets.PLATFORM)
    assert template.differs(rendered, desired.render(fleets.fleet(), Role.LARGE, fleets.PLATFORM)) == ()


def test_what_an_upgrade_would_change_is_named_by_path() -> None:
    newer = replace(fleets.PLATFORM, engine_image="engine:2", supervisor={"supervisor.py": "new"}, pod_groups=True)
    drain = {"large": {"lifecycle": {"drainTimeoutSeconds": 60}}}
    stored = desired.render(fleets.fleet(), Role.LARGE, fleets.PLATFORM)
    fresh = desired.render(fleets.fleet(**drain), Role.LARGE, newer)
    assert stored.hash == fresh.hash
    assert template.differs(stored, fresh) == (
        "spec.containers[engine].env[HETEROFLEET_DRAIN_SECONDS].value",
        "spec.containers[engine].image",
        "spec.terminationGracePeriodSeconds",
        "spec.volumes[supervisor].configMap.name",
        "supervisor",
        "podGroup",
    )


def test_the_startup_budget_is_the_users_or_that_of_the_models_size() -> None:
    asked = desired.render(fleets.fleet(small={"lifecycle": {"startupTimeoutSeconds": 902}}), Role.SMALL, GANG)
    unknown = desired.render(fleets.fleet(small={"model": {"source": "s3://models/x"}}), Role.SMALL, GANG)
    probes = [t.body["spec"]["containers"][0]["startupProbe"] for t in (asked, unknown)]
    assert [(t.startup_seconds, p["failureThreshold"]) for t, p in zip((asked, unknown), probes, strict=True)] == [
        (902, 181),
        (3600, 720),
    ]


def test_another_scheduler_does_the_gang_instead_of_pod_groups() -> None:
    placement = {"schedulerName": "volcano", "topologyKey": "rack"}
    rendered = desired.render(fleets.fleet(large={"placement": placement}), Role.LARGE, GANG)
    assert (rendered.pod_group, rendered.topology_key) == (None, "rack")


@pytest.mark.parametrize(
    ("keeps_constraints", "constraints", "affinity"),
    [(True, {"topology": [{"key": "rack"}]}, None), (False, None, "rack")],
)
def test_a_topology_key_is_the_pod_groups_constraint_only_where_the_server_keeps_it(
    keeps_constraints: bool, constraints: Manifest | None, affinity: str | None
) -> None:
    spec = {"large": {"placement": {"topologyKey": "rack"}}}
    platform = replace(GANG, pod_group_topology=keeps_constraints)
    rendered = desired.render(fleets.fleet(**spec), Role.LARGE, platform)
    assert rendered.pod_group is not None
    assert (rendered.pod_group.get("schedulingConstraints"), rendered.topology_key) == (constraints, affinity)


def test_older_supervisors_stay_as_long_as_a_template_names_them() -> None:
    fleet = fleets.fleet()
    newer = replace(fleets.PLATFORM, supervisor={"supervisor.py": "new"})
    old = desired.render(fleet, Role.LARGE, fleets.PLATFORM)
    new = desired.render(fleet, Role.SMALL, newer)
    router = desired.render(fleet, Role.ROUTER, newer)
    templates = {(t.role, t.revision): t for t in (old, new, router)}
    assert desired.kept(fleet, templates, newer) == {old.supervisor}
    counts = desired.Counts((), (), {Tier.LARGE: 0, Tier.SMALL: 0})
    rendered = desired.manifests(fleet, counts, templates, newer)
    immutable = [item["metadata"]["name"] for item in rendered if item.get("immutable")]
    assert immutable == [new.supervisor]
