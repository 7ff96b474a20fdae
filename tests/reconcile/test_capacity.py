"""GPUs: never more than the budget, none promised twice, groups created only where they fit, or waited for."""

from collections.abc import Mapping
from typing import Any

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site, gpus_of, is_ready, state_of, uids_of
from reconcile.watching import PodWatch
from testbed import nodes, stages


def step(operator: Operator, seconds: float = 1.5) -> None:
    operator.advance(seconds)
    operator.settle()


def held(pods: Mapping[str, dict[str, Any]]) -> int:
    return sum(map(gpus_of, pods.values()))


def test_the_gpu_budget_is_never_exceeded_at_any_moment_and_what_goes_is_released_first(ready, operator: Operator):
    site: Site = ready(
        nodes=6, small={"instances": {"min": 2, "max": 6}}, scaling={"gpuBudget": 20}, rollout={"allowOutage": True}
    )
    slow = {"metadata": {"annotations": {stages.TERMINATION_DELAY: "2s"}}}
    with PodWatch(site, held) as watch:
        site.edit(small={"podTemplate": slow})
        site.scale("small", 6)
        site.wait("ScalingLimited", "True", "GpuBudget")
        for _ in range(4):
            step(operator)
        site.edit(large={"engine": {"maxModelLen": 4096}, "podTemplate": slow})
        for _ in range(12):
            step(operator)
        site.edit(small={"engine": {"maxModelLen": 8192}})
        for _ in range(12):
            step(operator)
        site.eventually(lambda: serving_revisions(site, operator) == (1, 1) and site.gpus() == 20)
    assert watch.changes > 20
    assert watch.most <= 20
    assert site.status()["small"]["desired"] == 4


def test_gpus_of_small_pods_are_free_when_kubernetes_has_seen_that_they_are_not_wanted(ready, operator: Operator):
    site: Site = ready(nodes=4, large={"instances": {"min": 0}}, scaling={"gpuBudget": 17})
    with PodWatch(site, held) as watch:
        with site.cluster.without("kube-controller-manager"):
            site.edit(small={"instances": {"min": 3}})
            site.eventually(lambda: small_counts(site) == [3])
            site.edit(large={"instances": {"min": 1}}, small={"instances": {"min": 1}})
            site.eventually(lambda: small_counts(site) == [1])
            for _ in range(3):
                step(operator)
            assert site.groups() == []
        site.wait_ready()
    assert site.groups() == ["chat-large-0"]
    assert watch.most <= 17


def small_counts(site: Site) -> list[int]:
    """What is asked of each of the small tier's Deployments."""
    return [found["spec"]["replicas"] for found in site.items("deployments", f"{labels.TIER}=small")]


def serving_revisions(site: Site, operator: Operator) -> tuple[int, int]:
    """Revisions that pods of each tier have."""
    step(operator)
    found = (site.large_pods(), site.small_pods())
    large, small = (len({pod["metadata"]["labels"][labels.REVISION] for pod in pods}) for pods in found)
    return large, small


def test_a_group_that_does_not_fit_whole_waits_with_the_count_and_goes_on_when_nodes_come(site, operator: Operator):
    site.add_nodes(1)
    site.create()
    message = site.wait("LargeTierReady", "False", "WaitingForGpus")
    assert "2 pods of 8" in message
    assert "capacity: Elastic" in message
    site.eventually(lambda: " 7 such GPUs are free" in site.condition("LargeTierReady")[2])
    assert site.groups() == [], "not one pod of it takes a GPU"
    site.wait("SmallTierReady")
    site.add_nodes(2)
    site.wait_ready()


def test_gpus_of_other_people_s_pods_are_counted_and_their_end_is_noticed(site, operator: Operator):
    machines = site.add_nodes(3)
    for machine in machines[:2]:
        container = {"name": "c", "image": "theirs", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
        pod = {"metadata": {"name": f"theirs-{machine}"}, "spec": {"nodeName": machine, "containers": [container]}}
        site.cluster.api.create(site.path("pods"), pod)
    site.create()
    message = site.wait("LargeTierReady", "False", "WaitingForGpus")
    assert "free on ready nodes" in message
    assert site.groups() == []
    for machine in machines[:2]:
        site.cluster.api.delete(site.path("pods", f"theirs-{machine}"), gracePeriodSeconds="0")
    operator.advance(35)
    site.wait_ready()


def test_two_fleets_are_never_promised_the_same_gpus(site, operator: Operator):
    site.add_nodes(2)
    names = ["one", "two", "three"]
    for name in names:
        site.create(name, small={"instances": {"min": 0}})

    def is_shared_out() -> bool:
        states = [site.condition("LargeTierReady", name)[:2] for name in names]
        return sorted(states) == [("False", "WaitingForGpus"), ("False", "WaitingForGpus"), ("True", "AllReady")]

    site.eventually(is_shared_out)
    for _ in range(3):
        step(operator, 30)
    assert is_shared_out()
    pods = site.pods(f"{labels.TIER}=large")
    assert len(pods) == 2
    assert all(map(is_ready, pods)), "no pod was made that has no place"


def test_gpus_that_a_fleet_gives_back_go_to_the_one_that_waits(site, operator: Operator):
    site.add_nodes(2)
    site.create("one", small={"instances": {"min": 0}})
    site.wait_ready("one")
    site.create("two", small={"instances": {"min": 0}})
    site.wait("LargeTierReady", "False", "WaitingForGpus", name="two")
    site.cluster.api.delete(site.path(labels.FLEET_PLURAL, "one"))
    site.wait_ready("two")


def test_an_elastic_group_is_created_pending_for_a_node_autoscaler_to_see(site, operator: Operator):
    site.add_nodes(1)
    site.create(large={"placement": {"capacity": "Elastic"}})
    site.eventually(lambda: len(site.large_pods()) == 2)
    site.eventually(lambda: site.instances() == {0: "WaitingForGpus"})
    assert "wait for nodes" in site.wait("LargeTierReady", "False", "WaitingForGpus")
    site.add_nodes(2)
    site.wait_ready()
    assert site.instances() == {0: "Ready"}


def test_an_elastic_group_without_places_is_removed_whole_and_retried_with_backoff(site, operator: Operator):
    site.add_nodes(1)
    site.create(large={"placement": {"capacity": "Elastic", "gangTimeoutSeconds": 100}})
    site.eventually(lambda: site.instances() == {0: "WaitingForGpus"})
    delays = []
    for attempt in range(1, 3):
        operator.advance(101)
        site.eventually(lambda: site.groups() == [] and site.large_pods() == [])
        operator.settle()
        seen = site.instance(0)
        assert (seen["state"], seen["unplaced"]) == ("WaitingForGpus", attempt)
        delays.append(seen["retryAt"])
        operator.restart()
        operator.settle()
        assert site.groups() == [], "a restart does not shorten the wait"
        operator.advance(10 * 2 ** (attempt - 1) + 1)
        site.eventually(lambda: site.groups() == ["chat-large-0"])
        site.eventually(lambda: len(site.large_pods()) == 2)
        operator.settle()
    assert delays == sorted(set(delays))
    site.add_nodes(2)
    site.wait_ready()
    operator.settle()
    assert site.instance(0)["unplaced"] == 0


def test_a_fixed_fleet_whose_overlay_tolerates_a_taint_finds_the_tainted_nodes(site, operator: Operator):
    taint = {"key": "reserved", "value": "llm", "effect": "NoSchedule"}
    site.add_nodes(3, taints=[taint])
    site.create()
    site.wait("LargeTierReady", "False", "WaitingForGpus")
    tolerant = {"spec": {"tolerations": [{"key": "reserved", "operator": "Exists"}]}}
    site.edit(large={"podTemplate": tolerant}, small={"podTemplate": tolerant})
    site.wait_ready()


def test_a_lost_node_s_gpus_are_not_offered(site, operator: Operator):
    machines = site.add_nodes(2)
    nodes.lose(site.cluster.api, machines[0])
    site.create(small={"instances": {"min": 0}})
    site.eventually(lambda: " 8 such GPUs are free" in site.condition("LargeTierReady")[2])
    nodes.recover(site.cluster.api, machines[0])
    site.wait_ready()
    assert {state_of(pod) for pod in site.large_pods()} == {"serving"}
    assert len(uids_of(site.large_pods())) == 2
