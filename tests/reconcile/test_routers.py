"""The routers of a fleet: whose their number is, what they are told, and that at rest nothing is written."""

import json
from typing import Any

from reconcile.operator import Operator
from reconcile.site import Site

AUTOSCALED = {"instances": {"min": 2, "max": 6}, "resources": {"requests": {"cpu": "10m"}}}
AUTOSCALERS = "autoscaling/v2"


def replicas(site: Site) -> int:
    count: int = site.get("deployments", "chat-router")["spec"]["replicas"]
    return count


def autoscalers(site: Site) -> list[str]:
    found = site.cluster.api.items(site.path("horizontalpodautoscalers", group=AUTOSCALERS))
    return [item["metadata"]["name"] for item in found]


def scale(site: Site, count: int) -> None:
    """As an autoscaler does it."""
    path = f"{site.path('deployments', 'chat-router')}/scale"
    site.cluster.api.merge(path, {"spec": {"replicas": count}})


def arrivals(site: Site) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(site.get("configmaps", "chat-router")["data"]["plan.json"])["arrivals"]
    return told


def test_a_number_that_an_autoscaler_set_stays_through_edits_until_none_is_asked_for(ready, operator: Operator):
    site: Site = ready(router=AUTOSCALED)
    assert (autoscalers(site), replicas(site)) == (["chat-router"], 2)
    scale(site, 4)
    site.eventually(lambda: "4 of 4 routers" in site.condition("RouterReady")[2])
    operator.settle()
    operator.writes()
    operator.look()
    operator.settle()
    assert (replicas(site), operator.writes()) == (4, [])
    site.edit(router={"image": "router:2"})
    site.eventually(lambda: _image(site) == "router:2")
    assert replicas(site) == 4
    site.edit(router={"instances": {"max": None}})
    site.eventually(lambda: (autoscalers(site), replicas(site)) == ([], 2))


def _image(site: Site) -> str:
    image: str = site.get("deployments", "chat-router")["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def test_turning_the_autoscaler_on_takes_no_router_away(ready, operator: Operator):
    site: Site = ready(router={"instances": {"min": 3}, "resources": AUTOSCALED["resources"]})
    site.edit(router={"instances": {"max": 6}, "image": "router:2"})
    site.eventually(lambda: autoscalers(site) == ["chat-router"] and _image(site) == "router:2")
    operator.settle()
    assert replicas(site) == 3


def test_what_boots_is_announced_once_with_its_time_and_taken_back_when_it_serves(ready, operator: Operator):
    site: Site = ready()
    assert arrivals(site) == []
    pod = site.small_pods()[0]["metadata"]["name"]
    site.mark(pod, ready="false")
    site.eventually(lambda: [(a["tier"], a["instances"]) for a in arrivals(site)] == [("small", 1)])
    told = arrivals(site)
    operator.settle()
    operator.writes()
    for _ in range(3):
        operator.advance(120)
        operator.settle()
    assert (arrivals(site), [kind for _, kind in operator.writes() if kind == "ConfigMap"]) == (told, [])
    site.mark(pod, ready=None)
    site.eventually(lambda: arrivals(site) == [])


def test_policy_reaches_routers_without_a_roll(ready, operator: Operator):
    site: Site = ready()
    before = site.get("deployments", "chat-router")["spec"]["template"]
    site.edit(router={"queue": {"maxRequests": 7}})
    site.eventually(lambda: _policy(site) == {"queue": {"maxRequests": 7}})
    operator.settle()
    assert site.get("deployments", "chat-router")["spec"]["template"] == before
    assert site.condition("RouterConfigured")[:2] == ("True", "Configured")


def _policy(site: Site) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(site.get("configmaps", "chat-router")["data"]["config.json"])
    return config.get("policy", {})
