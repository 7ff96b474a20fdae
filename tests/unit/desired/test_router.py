"""The routers' pods and what stands around them, as far as the spec asks for more than the golden files' fleets do."""

from typing import Any

from heterofleet.api.labels import Manifest, Tier
from heterofleet.desired import fleet as desired
from heterofleet.desired import mounts
from heterofleet.desired.fleet import Counts
from heterofleet.desired.revision import Role
from unit.desired import fleets

AUTOSCALED: dict[str, Any] = {"instances": {"min": 2, "max": 6}, "resources": {"requests": {"cpu": "1"}}}


def rendered(router: Manifest, **counts: Any) -> dict[str, Manifest]:
    """The router's objects by kind."""
    fleet = fleets.fleet(router=router)
    template = desired.render(fleet, Role.ROUTER, fleets.PLATFORM)
    given = Counts(large=(), small=(), tiers={Tier.LARGE: 1, Tier.SMALL: 1}, **counts)
    found = desired.manifests(fleet, given, {(Role.ROUTER, template.revision): template}, fleets.PLATFORM)
    return {item["kind"]: item for item in found if item["metadata"]["name"] == "chat-router"}


def test_an_autoscaler_is_made_where_the_most_is_above_the_fewest() -> None:
    spec = rendered(AUTOSCALED)["HorizontalPodAutoscaler"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat-router"}
    assert spec["metrics"][0]["containerResource"] == {
        "name": "cpu",
        "container": "router",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    for instances in ({"min": 2}, {"min": 2, "max": 2}, {"min": 0, "max": 6}):
        assert "HorizontalPodAutoscaler" not in rendered({**AUTOSCALED, "instances": instances})


def test_the_number_that_stands_is_said_where_an_autoscaler_sets_it() -> None:
    assert rendered(AUTOSCALED)["Deployment"]["spec"]["replicas"] == 2
    assert rendered(AUTOSCALED, routers=5)["Deployment"]["spec"]["replicas"] == 5


def test_routers_with_a_file_replace_each_other_one_by_one_and_may_write_it() -> None:
    found = rendered({"instances": {"min": 1}, "store": {"file": {"persistentVolumeClaim": "spend"}}})
    spec = found["Deployment"]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    pod = spec["template"]["spec"]
    assert pod["securityContext"]["fsGroup"] == 65_532
    assert pod["volumes"][1:] == [{"name": "store", "persistentVolumeClaim": {"claimName": "spend"}}]
    assert pod["containers"][0]["volumeMounts"][1:] == [{"name": "store", "mountPath": "/var/lib/heterofleet"}]


def test_routers_without_a_file_come_one_ahead() -> None:
    strategy = rendered({})["Deployment"]["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_the_secrets_that_a_router_waits_for_are_those_that_it_mounts() -> None:
    one = {"address": "redis:6379", "passwordSecret": {"name": "keys", "key": "password"}}
    router = {"auth": {"keysSecret": "keys"}, "store": {"redis": one}}
    mounted = tuple(mounts.of_router(fleets.fleet(router=router, engineKeys={"secret": "ring"}).spec))
    places = ["/etc/heterofleet/engine-keys", "/etc/heterofleet/keys", "/etc/heterofleet/store"]
    assert [mount.path for mount in mounted] == places
    assert mounts.secrets(mounted) == ("ring", "keys")
    assert tuple(mounts.of_router(fleets.fleet().spec)) == ()
