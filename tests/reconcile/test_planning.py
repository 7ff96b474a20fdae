"""The plan follows the load: it sets the counts, says why, holds when nothing is known, and gives way to others."""

import json
from datetime import timedelta

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site
from reconcile.test_counts import drains, ready_count, tier
from testbed.controlplane import Manifest

MANY = {"small": {"instances": {"min": 1, "max": 6}, "model": {"source": "hf://Qwen/Qwen3-4B-Instruct-2507"}}}


def plan(site: Site) -> Manifest:
    found: Manifest = site.status()["plan"]
    return found


def capacity(site: Site, name: str = "small") -> float:
    told: float = site.status()[name]["capacityTokensPerSecond"]
    return told


def routers_told(site: Site) -> Manifest:
    told: Manifest = json.loads(site.get("configmaps", "chat-router")["data"]["plan.json"])
    return told


def loaded(site: Site, operator: Operator, instances: float, known: float | None = None) -> None:
    """Act work for so many small instances."""
    operator.prometheus.tell(plan=10.0, act=(known or capacity(site)) * instances)


def first_plan(ready, operator: Operator, **spec: object) -> Site:
    """A fleet that was ready and has its first plan, of hardly any load."""
    site: Site = ready(**{**MANY, **spec})
    operator.prometheus.tell(plan=10.0, act=10.0)
    operator.plan()
    site.eventually(lambda: "plan" in site.status())
    return site


def test_the_count_follows_the_forecast_and_the_decision_says_why(ready, operator: Operator):
    site = first_plan(ready, operator)
    assert site.condition("MetricsAvailable")[:2] == ("True", "MetricsFresh")
    loaded(site, operator, 3)
    operator.plan()
    site.eventually(lambda: tier(site)["spec"]["instances"] >= 3)
    wanted = tier(site)["spec"]["instances"]
    site.eventually(lambda: ready_count(site) == f"{wanted}/{wanted}")
    decision = site.status()["decisions"][0]
    assert (decision["tier"], decision["before"], decision["after"]) == ("small", 1, wanted)
    assert decision["enforced"] is True
    assert decision["message"]
    assert any(f"small tier from 1 to {wanted} instances" in told for told in site.events("Scaled"))
    assert plan(site)["small"]["instances"] == wanted


def test_a_count_falls_only_after_the_hold_and_after_a_drain(ready, operator: Operator):
    site = first_plan(ready, operator, scaling={"stabilizationSeconds": 300, "spillOver": False})
    loaded(site, operator, 2)
    operator.plan()
    site.eventually(lambda: tier(site)["spec"]["instances"] >= 2)
    high = tier(site)["spec"]["instances"]
    operator.prometheus.tell(plan=10.0, act=10.0)
    operator.advance(60)
    operator.plan()
    operator.settle()
    assert tier(site)["spec"]["instances"] == high
    for _ in range(30):
        operator.advance(60)
        operator.plan()
    site.eventually(lambda: tier(site)["spec"]["instances"] < high)
    drains(site, operator)
    site.eventually(lambda: site.status().get("lastDrain"), message="what goes has drained")


def test_a_tick_at_constant_load_writes_nothing(ready, operator: Operator):
    site = first_plan(ready, operator)
    loaded(site, operator, 2.4)  # On no edge: there a real load's last digit would decide.
    for _ in range(30):
        operator.clock.ahead += timedelta(seconds=60)
        operator.plan()
    site.wait_ready()
    # What is ready now moves the routers' bias, and the learned figures by their last bit.
    for _ in range(5):
        operator.clock.ahead += timedelta(seconds=60)
        operator.plan()
    operator.settle()
    operator.writes()
    for _ in range(5):
        operator.clock.ahead += timedelta(seconds=60)
        operator.plan()
    operator.settle()
    assert operator.writes() == []


def test_without_an_answer_the_plan_holds_says_so_and_goes_on_by_itself(ready, operator: Operator):
    site = first_plan(ready, operator)
    loaded(site, operator, 3)
    operator.plan()
    site.eventually(lambda: tier(site)["spec"]["instances"] >= 3)
    high = tier(site)["spec"]["instances"]
    operator.prometheus.lose()
    for _ in range(20):
        operator.advance(60)
        operator.plan()
    site.eventually(lambda: site.condition("MetricsAvailable")[:2] == ("False", "MetricsLost"))
    assert "did not answer within 10 s" in site.condition("MetricsAvailable")[2]
    assert tier(site)["spec"]["instances"] == high, "no data is never zero"
    assert plan(site)["small"]["bound"] == "MetricsLost"
    loaded(site, operator, 3)
    operator.plan()
    site.eventually(lambda: site.condition("MetricsAvailable")[:2] == ("True", "MetricsFresh"))


def test_queues_raise_the_count_while_prometheus_is_silent(ready, operator: Operator):
    site = first_plan(ready, operator)
    operator.prometheus.lose()
    operator.engines.queues = {labels.Tier.SMALL: 4_000.0}
    operator.plan()
    site.eventually(lambda: tier(site)["spec"]["instances"] > 1)
    site.eventually(lambda: site.status().get("decisions"), message="the status follows the tier")
    assert site.status()["decisions"][0]["bound"] in ("Queue", "Maximum")
    assert site.status()["decisions"][0]["waitingTokens"] > 0


def test_an_advisory_fleet_is_told_and_left_alone(ready, operator: Operator):
    site = first_plan(ready, operator, mode="Advisory")
    site.scale("small", 2)
    site.eventually(lambda: ready_count(site) == "2/2")
    loaded(site, operator, 3)
    operator.plan()
    site.eventually(lambda: site.status().get("decisions"))
    advice = site.status()["decisions"][0]
    assert (advice["enforced"], advice["after"] >= 3) == (False, True)
    operator.settle()
    assert (tier(site)["spec"]["instances"], ready_count(site)) == (2, "2/2")
    assert routers_told(site)["bias"] == 0
    assert site.events("ScaleAdvised")


def test_an_override_and_an_external_writer_are_facts_that_the_plan_works_around(ready, operator: Operator):
    site = first_plan(ready, operator, scaling={"small": {"writer": "External"}})
    loaded(site, operator, 3)
    operator.plan()
    operator.settle()
    assert tier(site)["spec"]["instances"] == 1
    assert plan(site)["small"]["bound"] == "External"
    assert site.status().get("decisions", []) == []


def test_a_restarted_operator_takes_nothing_away_and_forgets_no_plan(ready, operator: Operator):
    site = first_plan(ready, operator)
    loaded(site, operator, 3)
    operator.plan()
    site.eventually(lambda: tier(site)["spec"]["instances"] >= 3)
    high = tier(site)["spec"]["instances"]
    operator.settle()
    operator.restart()
    operator.settle()
    assert tier(site)["spec"]["instances"] == high, "before the first plan of the new process"
    operator.prometheus.tell(plan=10.0, act=10.0)
    operator.plan()
    operator.settle()
    assert tier(site)["spec"]["instances"] == high, "what runs is taken for needed"


def test_a_gpu_budget_that_binds_is_a_condition_with_the_sentence(ready, operator: Operator):
    site = first_plan(ready, operator, scaling={"gpuBudget": 18})
    loaded(site, operator, 4)
    operator.plan()
    site.eventually(lambda: site.condition("ScalingLimited")[:2] == ("True", "GpuBudget"))
    assert "gpuBudget 18" in site.condition("ScalingLimited")[2]
    operator.settle()
    assert site.gpus() <= 18


def test_two_fleets_that_want_the_same_gpus_never_hold_more_than_there_are(ready, operator: Operator):
    site: Site = ready(nodes=3, **MANY)
    second = {**MANY, "large": {"instances": {"min": 0, "max": 0}}}
    site.create("other", **second)
    site.wait_ready("other")
    operator.prometheus.tell(plan=10.0, act=10.0)
    operator.plan()
    site.eventually(lambda: "plan" in site.status() and "plan" in site.status("other"))
    operator.prometheus.tell(plan=10.0, act=capacity(site) * 5)
    for _ in range(3):
        operator.advance(60)
        operator.plan()
        operator.settle()
    held = [(pod["metadata"]["name"], pod["spec"].get("nodeName", "no node")) for pod in site.pods(labels.FLEET)]
    assert site.gpus() <= 24, held
