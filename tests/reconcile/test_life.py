"""A group lives as one: failures counted once, healed in place or as a whole, given up in the end; lost nodes."""

from typing import Any

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site, names_of, uids_of
from testbed import nodes, stages

CRASHES = {"metadata": {"annotations": {stages.CRASH_LOOP: "exit-3", stages.CRASH_MESSAGE: "CUDA out of memory"}}}


def crash(site: Site, pod: str, code: str = "137", message: str = "") -> None:
    """One container exits and starts again in place, as the kubelet does it; or its group is taken down for it."""
    count = restarts(site, pod)
    assert count is not None
    site.mark(pod, crash=code, **({"crash_message": message} if message else {}))
    site.eventually(lambda: restarts(site, pod) in (count + 1, None))


def restarts(site: Site, pod: str) -> int | None:
    """Restarts of a pod's container; None when the pod is gone."""
    found = site.find("pods", pod)
    if found is None:
        return None
    statuses: list[dict[str, Any]] = found["status"]["containerStatuses"]
    return int(statuses[0]["restartCount"])


def told(site: Site, index: int = 0) -> tuple[str, int]:
    seen = site.instance(index)
    return seen["state"], seen["restarts"]


def test_a_group_that_heals_in_place_is_counted_once_and_left_alone(ready, operator: Operator):
    site: Site = ready()
    before = uids_of(site.large_pods())
    # The supervisors' way: the worker dies, the leader notices and leaves with it.
    crash(site, "chat-large-0-1", "137", "CUDA out of memory")
    crash(site, "chat-large-0-0", "exit-90", "a rank of the group restarted")
    site.eventually(lambda: told(site) == ("Ready", 1))
    operator.settle()
    operator.advance(61)
    operator.settle()
    operator.restart()
    operator.settle()
    assert (told(site), uids_of(site.large_pods())) == (("Ready", 1), before)
    cause = site.instance(0)["lastExit"]
    assert (cause["pod"], cause["exitCode"], cause["message"]) == ("chat-large-0-1", 137, "CUDA out of memory")
    operator.advance(3700)
    site.eventually(lambda: told(site) == ("Ready", 0))


def test_a_group_whose_ranks_do_not_find_together_is_restarted_whole_after_a_minute(ready, operator: Operator):
    site: Site = ready()
    before = uids_of(site.large_pods())
    operator.engines.agreed = False
    site.mark("chat-large-0-0", ready="false")
    crash(site, "chat-large-0-1", "137")
    operator.settle()
    operator.advance(50)
    operator.settle()
    assert uids_of(site.large_pods()) == before
    operator.advance(15)
    site.eventually(lambda: len(site.large_pods()) == 2 and not before & uids_of(site.large_pods()))
    site.eventually(lambda: told(site) == ("Ready", 1))
    assert site.events("GroupRestarted") == ["large instance 0 restarts as one: its ranks did not agree after an exit"]
    after = uids_of(site.large_pods())
    operator.advance(120)
    operator.settle()
    assert uids_of(site.large_pods()) == after


def test_silent_supervisors_do_not_take_a_group_down_that_came_up_together(ready, operator: Operator):
    site: Site = ready()
    operator.engines.agreed = None
    site.mark("chat-large-0-0", ready="false")
    crash(site, "chat-large-0-1", "137")
    crash(site, "chat-large-0-0", "exit-90")
    before = uids_of(site.large_pods())
    for _ in range(3):
        operator.advance(61)
        operator.settle()
    assert uids_of(site.large_pods()) == before


def test_a_group_that_fails_too_often_is_given_up_with_its_cause_and_its_gpus_are_freed(ready, operator: Operator):
    site: Site = ready(nodes=5, large={"instances": {"min": 2}, "lifecycle": {"maxGroupRestarts": 1}})
    other = uids_of(site.large_pods(index=1))
    for _ in range(2):
        crash(site, "chat-large-0-0", "exit-3", "CUDA out of memory")
    site.eventually(lambda: told(site) == ("Failed", 2))
    site.eventually(lambda: site.large_pods(index=0) == [])
    operator.settle()
    assert site.groups() == ["chat-large-1"], "no substitute is made"
    assert site.find("services", "chat-large-0") is None
    assert uids_of(site.large_pods(index=1)) == other, "other instances go on"
    assert site.gpus() == 17
    reason, message = site.condition("Degraded")[1:]
    assert reason == "InstanceFailed"
    assert "exit code 3" in message
    assert "CUDA out of memory" in message
    operator.restart()
    operator.settle()
    assert (told(site), site.groups()) == (("Failed", 2), ["chat-large-1"])
    site.annotate(retry=operator.now().isoformat(timespec="seconds"))
    operator.advance(2)
    site.annotate(retry=operator.now().isoformat(timespec="seconds"))
    site.eventually(lambda: site.groups() == ["chat-large-0", "chat-large-1"])
    site.eventually(lambda: site.instances() == {0: "Ready", 1: "Ready"})
    assert told(site) == ("Ready", 0)


def test_a_changed_spec_ends_failed_and_what_never_served_is_replaced_at_once(site: Site, operator: Operator):
    site.add_nodes(3)
    site.create(large={"lifecycle": {"maxGroupRestarts": 0}, "podTemplate": CRASHES})
    site.eventually(lambda: site.instances().get(0) == "Failed" and site.large_pods() == [])
    assert site.instance(0)["lastExit"]["exitCode"] == 3
    assert site.condition("Ready")[:2] == ("False", "InstanceFailed")
    site.edit(large={"podTemplate": None})
    site.wait_ready()
    assert told(site, next(iter(site.instances()))) == ("Ready", 0)


def test_an_operator_that_dies_while_it_gives_a_group_up_loses_nothing_of_its_cause(ready, operator: Operator):
    site: Site = ready(large={"lifecycle": {"maxGroupRestarts": 0}})
    operator.dies_after(1)
    crash(site, "chat-large-0-0", "exit-3", "CUDA out of memory")
    site.eventually(lambda: operator.is_dead)
    operator.restart()
    site.eventually(lambda: told(site) == ("Failed", 1) and site.groups() == [])
    cause = site.instance(0)["lastExit"]
    assert (cause["exitCode"], cause["message"]) == (3, "CUDA out of memory")


def test_an_instance_on_a_lost_node_is_replaced_under_a_new_index_and_counted_until_it_is_gone(ready, operator):
    site: Site = ready(nodes=5)
    lost = next(p["spec"]["nodeName"] for p in site.large_pods() if p["metadata"]["name"] == "chat-large-0-1")
    nodes.lose(site.cluster.api, lost)
    operator.settle()
    operator.advance(50)
    operator.settle()
    assert site.groups() == ["chat-large-0"]
    operator.advance(15)
    site.eventually(lambda: site.groups() == ["chat-large-1"])
    site.eventually(lambda: site.instances().get(1) == "Ready")
    operator.settle()
    left = site.large_pods(index=0)
    assert names_of(left) == ["chat-large-0-1"], "the pod on the node that is silent cannot go"
    assert left[0]["metadata"]["deletionGracePeriodSeconds"] > 0, "nobody forces it"
    assert site.status()["large"]["gpus"] == 24, "its GPUs count until node or pod is gone"
    assert site.instances() == {0: "Lost", 1: "Ready"}
    assert site.condition("Degraded")[1] == "NodeLost"
    # Kubernetes' pod collector does so when the node is deleted, in its own time.
    site.cluster.api.delete(site.path("pods", "chat-large-0-1"), gracePeriodSeconds="0")
    site.eventually(lambda: site.instances() == {1: "Ready"})
    site.eventually(lambda: site.condition("Degraded")[0] == "False")


def test_a_node_that_is_said_to_be_out_of_service_needs_no_minute(ready, operator: Operator):
    site: Site = ready(nodes=5)
    lost = site.large_pods()[0]["spec"]["nodeName"]
    taint = {"key": labels.OUT_OF_SERVICE_TAINT, "value": "nodeshutdown", "effect": "NoExecute"}
    nodes.lose(site.cluster.api, lost)
    taints = site.cluster.api.get(f"/api/v1/nodes/{lost}")["spec"].get("taints", [])
    site.cluster.api.merge(f"/api/v1/nodes/{lost}", {"spec": {"taints": [*taints, taint]}})
    site.eventually(lambda: site.groups() == ["chat-large-1"])
    site.eventually(lambda: site.instances().get(1) == "Ready")


def test_a_node_that_comes_back_in_time_costs_nothing(ready, operator: Operator):
    site: Site = ready()
    before = uids_of(site.large_pods())
    lost = site.large_pods()[0]["spec"]["nodeName"]
    nodes.lose(site.cluster.api, lost)
    site.eventually(lambda: site.condition("LargeTierReady")[0] == "False")
    operator.advance(40)
    nodes.recover(site.cluster.api, lost)
    site.wait_ready()
    operator.advance(60)
    operator.settle()
    assert uids_of(site.large_pods()) == before


def test_a_small_pod_on_a_lost_node_is_replaced_where_gpus_are_spare(ready, operator: Operator):
    site: Site = ready(nodes=4, small={"instances": {"min": 2}})
    victim = site.small_pods()[0]
    lost = victim["spec"]["nodeName"]
    nodes.lose(site.cluster.api, lost)
    operator.settle()
    on_it = {p["metadata"]["uid"] for p in site.small_pods() if p["spec"]["nodeName"] == lost}
    operator.advance(65)

    def replaced() -> bool:
        pods = site.small_pods()
        gone = {p["metadata"]["uid"] for p in pods if "deletionTimestamp" in p["metadata"]}
        return gone == on_it and len(pods) == 2 + len(on_it)

    site.eventually(replaced)
    site.eventually(lambda: site.condition("SmallTierReady")[0] == "True")


def test_a_small_pod_that_keeps_exiting_is_told_with_its_cause(site: Site, operator: Operator):
    site.add_nodes(1)
    site.create(large={"instances": {"min": 0}}, small={"podTemplate": CRASHES})
    message = site.wait("SmallTierReady", "False", "GroupRestarting")
    assert "exit code 3" in message
    assert "CUDA out of memory" in message


def test_a_leader_that_is_deleted_by_hand_counts_as_one_failure(ready, operator: Operator):
    site: Site = ready()
    before = site.get("pods", "chat-large-0-0")["metadata"]["uid"]
    site.cluster.api.delete(site.path("pods", "chat-large-0-0"), gracePeriodSeconds="0")
    site.eventually(lambda: (found := site.find("pods", "chat-large-0-0")) and found["metadata"]["uid"] != before)
    site.eventually(lambda: told(site) == ("Ready", 1))
