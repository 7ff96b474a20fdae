"""Nodes that somebody wants empty: groups move one at a time, so that `kubectl drain` goes through."""

import subprocess
from collections.abc import Mapping
from typing import Any

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site, is_ready, state_of, uids_of
from reconcile.watching import PodWatch
from testbed import nodes


def step(operator: Operator, seconds: float = 1.5) -> None:
    operator.advance(seconds)
    operator.settle()


def serving_groups(pods: Mapping[str, dict[str, Any]]) -> int:
    """Groups of which both pods are ready and take requests."""
    whole: dict[str, int] = {}
    for pod in pods.values():
        metadata = pod["metadata"]
        well = is_ready(pod) and state_of(pod) == "serving" and "deletionTimestamp" not in metadata
        if metadata["labels"].get(labels.TIER) == "large" and well:
            index = metadata["labels"][labels.INSTANCE]
            whole[index] = whole.get(index, 0) + 1
    return sum(count == 2 for count in whole.values())


def machine_of(site: Site, index: int, rank: int = 0) -> str:
    name: str = site.get("pods", f"chat-large-{index}-{rank}")["spec"]["nodeName"]
    return name


def drain(site: Site, *machines: str) -> list[subprocess.Popen[str]]:
    """`kubectl drain` of each, at the same time, as an upgrade of nodes does it."""
    command = [site.cluster.binary("kubectl"), "--kubeconfig", str(site.cluster.kubeconfig), "drain"]
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"]
    return [
        subprocess.Popen([*command, machine, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for machine in machines
    ]


def test_kubectl_drain_of_nodes_of_two_groups_never_takes_both_down(ready, operator: Operator):
    site: Site = ready(nodes=9, large={"instances": {"min": 2}})
    machines = [machine_of(site, 0), machine_of(site, 1)]
    before = uids_of(site.large_pods())
    seen: list[int] = []

    def least(pods: Mapping[str, dict[str, Any]]) -> int:
        seen.append(serving_groups(pods))
        return len(seen)

    with PodWatch(site, least):
        drains = drain(site, *machines)
        told = [process.communicate(timeout=120)[0] for process in drains]
        assert [process.returncode for process in drains] == [0, 0], told
        site.wait_ready()
    assert min(seen) >= 1, "one group served at every moment"
    assert {pod["spec"]["nodeName"] for pod in site.large_pods()}.isdisjoint(machines)
    assert not before & uids_of(site.large_pods())
    operator.settle()
    for machine in machines:
        nodes.cordon(site.cluster.api, machine, on=False)


def test_only_so_many_groups_evacuate_at_a_time(ready, operator: Operator):
    site: Site = ready(nodes=9, large={"instances": {"min": 2}})
    operator.engines.in_flight |= {"chat-large-0-0": 3, "chat-large-1-0": 3}
    for index in (0, 1):
        nodes.cordon(site.cluster.api, machine_of(site, index))
    site.eventually(lambda: site.instances().get(2) == "Ready" and site.status()["large"]["draining"] == 1)
    for _ in range(3):
        step(operator)
    assert len(site.groups()) == 3
    assert site.status()["large"]["draining"] == 1
    assert sorted(site.instances().values()) == ["Draining", "Ready", "Ready"]


def test_a_node_with_a_taint_that_the_pods_do_not_tolerate_is_evacuated(ready, operator: Operator):
    site: Site = ready(nodes=5)
    machine = machine_of(site, 0)
    taint = {"key": "maintenance", "value": "soon", "effect": "NoSchedule"}
    site.cluster.api.merge(f"/api/v1/nodes/{machine}", {"spec": {"taints": [taint]}})
    site.eventually(lambda: site.groups() == ["chat-large-0", "chat-large-1"])
    for _ in range(5):
        step(operator)
    site.eventually(lambda: site.groups() == ["chat-large-1"])
    site.wait_ready()


def test_without_a_place_elsewhere_a_group_waits_and_says_so_and_is_drained_when_it_is_overdue(ready, operator):
    site: Site = ready(nodes=3, large={"lifecycle": {"evacuateAfterSeconds": 600}})
    machine = machine_of(site, 0)
    before = uids_of(site.large_pods())
    nodes.cordon(site.cluster.api, machine)
    assert "waits for GPUs elsewhere" in site.wait("Stalled", "True", "EvacuationWaits")
    operator.advance(500)
    operator.settle()
    operator.restart()
    operator.settle()
    assert uids_of(site.large_pods()) == before
    operator.advance(101)
    site.eventually(lambda: any("no place elsewhere" in message for message in site.events("DrainStarted")))
    for _ in range(4):
        step(operator)
    site.eventually(lambda: site.large_pods() == [])
    nodes.cordon(site.cluster.api, machine, on=False)
    site.wait_ready()


def test_a_group_that_still_starts_on_a_cordoned_node_stays_until_there_is_another_place(site, operator: Operator):
    site.add_nodes(3)
    slow = {"metadata": {"annotations": {"testbed.heterofleet.io/ready": "false"}}}
    site.create(large={"podTemplate": slow})
    site.eventually(lambda: len(site.large_pods()) == 2 and all(p["spec"].get("nodeName") for p in site.large_pods()))
    before = uids_of(site.large_pods())
    nodes.cordon(site.cluster.api, machine_of(site, 0))
    for _ in range(2):
        step(operator, 5)
    assert uids_of(site.large_pods()) == before
    site.add_nodes(2)
    site.eventually(lambda: len(site.large_pods()) == 2 and not before & uids_of(site.large_pods()))
