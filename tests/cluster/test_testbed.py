"""The test bed itself: what the other suites take for granted about nodes, pods, crashes and the API server."""

import itertools
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from testbed import nodes, stages
from testbed.audit import AuditLog
from testbed.controlplane import Cluster
from testbed.eventually import eventually

Manifest = dict[str, Any]


def stateful_set(name: str, replicas: int, marks: dict[str, str] | None = None, **pod: Any) -> Manifest:
    container = {"name": "engine", "image": "example.org/engine:1", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": marks or {}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 30} | pod,
    }
    spec = {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": name}},
        "template": template,
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


def pods(cluster: Cluster, namespace: str) -> list[Manifest]:
    return cluster.api.items(f"/api/v1/namespaces/{namespace}/pods")


def condition(pod: Manifest, kind: str) -> Manifest:
    return next((entry for entry in pod["status"].get("conditions", []) if entry["type"] == kind), {})


def is_ready(pod: Manifest) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def ready_pods(cluster: Cluster, namespace: str, count: int) -> list[Manifest]:
    def all_ready() -> list[Manifest]:
        found = [pod for pod in pods(cluster, namespace) if is_ready(pod)]
        return found if len(found) == count else []

    return eventually(all_ready, 30, f"{count} pods are Ready")


def mark(cluster: Cluster, namespace: str, pod: str, **annotations: str | None) -> None:
    body = {"metadata": {"annotations": annotations}}
    cluster.api.merge(f"/api/v1/namespaces/{namespace}/pods/{pod}", body)


def test_pods_take_the_gpus_of_the_nodes_and_no_more(cluster: Cluster, namespace: str) -> None:
    total = len(cluster.api.items("/api/v1/nodes"))
    cluster.apply(stateful_set("all", total + 1), namespace=namespace)
    ready = ready_pods(cluster, namespace, total)
    assert len({pod["spec"]["nodeName"] for pod in ready}) == total
    left_over = eventually(
        lambda: [condition(pod, "PodScheduled").get("reason") for pod in pods(cluster, namespace) if pod not in ready]
    )
    assert left_over == ["Unschedulable"]


def test_a_started_pod_has_address_start_time_and_a_container_that_never_restarted(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(stateful_set("plain", 1), namespace=namespace)
    status = ready_pods(cluster, namespace, 1)[0]["status"]
    container = status["containerStatuses"][0]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.")
    assert status["startTime"] == container["state"]["running"]["startedAt"]
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)


def test_a_model_that_loads_is_running_but_not_ready_until_its_delay_is_over(cluster: Cluster, namespace: str) -> None:
    cluster.apply(stateful_set("slow", 2, {stages.START_UP: "2s"}), namespace=namespace)
    loading = eventually(lambda: [pod for pod in pods(cluster, namespace) if pod["status"]["phase"] == "Running"])
    assert [is_ready(pod) for pod in loading] == [False] * len(loading)
    # Something that touches the pod meanwhile does not begin its start-up anew.
    mark(cluster, namespace, "slow-0", touched="yes")
    promised = condition(loading[0], "Ready")["message"].removeprefix("starting, ready at ")
    ready = ready_pods(cluster, namespace, 2)
    became = condition(next(pod for pod in ready if pod["metadata"]["name"] == loading[0]["metadata"]["name"]), "Ready")
    assert became["lastTransitionTime"][:19] >= promised[:19]


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [("137", 137, "Error"), ("oom", 137, "OOMKilled"), ("exit-2", 2, "Error"), ("0", 0, "Completed")],
)
def test_a_crash_is_in_the_last_state_and_the_container_starts_again_in_place(
    cluster: Cluster, namespace: str, how: str, code: int, reason: str
) -> None:
    cluster.apply(stateful_set("fragile", 1), namespace=namespace)
    before = ready_pods(cluster, namespace, 1)[0]
    mark(cluster, namespace, "fragile-0", **{stages.CRASH: how, stages.CRASH_MESSAGE: "CUDA error"})

    def restarted() -> Manifest | None:
        pod = pods(cluster, namespace)[0]
        return pod if pod["status"]["containerStatuses"][0]["restartCount"] and is_ready(pod) else None

    after = eventually(restarted)
    last = after["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], last["message"]) == (code, reason, "CUDA error")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert stages.CRASH not in after["metadata"]["annotations"]


def test_a_crash_loop_counts_up_with_back_off_until_its_mark_is_taken_away(cluster: Cluster, namespace: str) -> None:
    marks = {stages.CRASH_LOOP: "exit-1", f"{stages.MARK}crash-back-off": "200ms"}
    cluster.apply(stateful_set("loop", 1, marks), namespace=namespace)

    def backing_off() -> bool:
        found = pods(cluster, namespace)
        status = found[0]["status"].get("containerStatuses", [{}])[0] if found else {}
        waiting: str | None = status.get("state", {}).get("waiting", {}).get("reason")
        return waiting == "CrashLoopBackOff" and bool(status["restartCount"] >= 2)

    eventually(backing_off)
    mark(cluster, namespace, "loop-0", **{stages.CRASH_LOOP: None})
    healed = ready_pods(cluster, namespace, 1)[0]["status"]["containerStatuses"][0]
    assert healed["lastState"]["terminated"]["exitCode"] == 1


def test_a_loop_that_lasts_a_while_is_ready_between_its_crashes(cluster: Cluster, namespace: str) -> None:
    marks = {stages.CRASH_LOOP: "oom", f"{stages.MARK}crash-loop-after": "300ms"}
    cluster.apply(stateful_set("now-and-then", 1, marks), namespace=namespace)
    first = ready_pods(cluster, namespace, 1)[0]["status"]["containerStatuses"][0]

    def ready_again() -> Manifest | None:
        status = pods(cluster, namespace)[0]["status"]["containerStatuses"][0]
        return status if status["ready"] and status["restartCount"] > first["restartCount"] else None

    assert eventually(ready_again)["lastState"]["terminated"]["reason"] == "OOMKilled"


def test_jitter_is_an_upper_bound_of_the_start_up_time(cluster: Cluster, namespace: str) -> None:
    marks = {stages.START_UP: "600s", "pod-ready.stage.kwok.x-k8s.io/jitter-delay": "900s"}
    cluster.apply(stateful_set("jitter", 4, marks), namespace=namespace)

    def promised() -> list[float]:
        conditions = [condition(pod, "Ready") for pod in pods(cluster, namespace)]
        found = [entry for entry in conditions if "ready at" in entry.get("message", "")]
        return [_seconds_until_ready(entry) for entry in found] if len(found) == 4 else []

    waits = eventually(promised)
    assert all(599 <= wait <= 901 for wait in waits)
    assert len(set(waits)) > 1


def _seconds_until_ready(ready: Manifest) -> float:
    at = datetime.fromisoformat(ready["message"].removeprefix("starting, ready at "))
    return (at - datetime.fromisoformat(ready["lastTransitionTime"])).total_seconds()


@pytest.mark.parametrize(
    ("marks", "phase", "code"), [({}, "Succeeded", 0), ({stages.CRASH_LOOP: "exit-3"}, "Failed", 3)]
)
def test_a_pod_that_is_meant_to_end_does(
    cluster: Cluster, namespace: str, marks: dict[str, str], phase: str, code: int
) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    container = {"name": "check", "image": "example.org/check:1"}
    metadata = {"name": "check", "annotations": marks}
    cluster.api.create(path, {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [container]}})
    ended = eventually(lambda: next((pod for pod in pods(cluster, namespace) if pod["status"]["phase"] == phase), None))
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_a_container_waits_for_what_is_missing_until_it_is_there(cluster: Cluster, namespace: str) -> None:
    marks = {stages.WAITING: "CreateContainerConfigError", f"{stages.MARK}waiting-message": 'secret "keys" not found'}
    cluster.apply(stateful_set("secret", 1, marks), namespace=namespace)

    def waiting() -> Manifest | None:
        found = pods(cluster, namespace)
        statuses = found[0]["status"].get("containerStatuses") if found else None
        state: Manifest | None = statuses[0]["state"].get("waiting") if statuses else None
        return state

    assert eventually(waiting) == {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    mark(cluster, namespace, "secret-0", **{stages.WAITING: None})
    assert ready_pods(cluster, namespace, 1)[0]["status"]["containerStatuses"][0]["restartCount"] == 0


def test_init_containers_run_before_the_engine(cluster: Cluster, namespace: str) -> None:
    download = [{"name": "download", "image": "example.org/download:1"}]
    manifest = stateful_set("init", 1, {stages.INIT_DELAY: "1s"}, initContainers=download)
    cluster.apply(manifest, namespace=namespace)

    def downloading() -> Manifest | None:
        found = pods(cluster, namespace)
        statuses = found[0]["status"].get("initContainerStatuses") if found else None
        return found[0] if statuses and "running" in statuses[0]["state"] else None

    assert eventually(downloading)["status"]["phase"] == "Pending"
    done = ready_pods(cluster, namespace, 1)[0]["status"]["initContainerStatuses"][0]
    assert done["state"]["terminated"]["exitCode"] == 0


def test_readiness_follows_its_mark(cluster: Cluster, namespace: str) -> None:
    cluster.apply(stateful_set("probe", 1), namespace=namespace)
    ready_pods(cluster, namespace, 1)
    mark(cluster, namespace, "probe-0", **{stages.READY: "false"})
    eventually(lambda: not is_ready(pods(cluster, namespace)[0]))
    mark(cluster, namespace, "probe-0", **{stages.READY: None})
    ready_pods(cluster, namespace, 1)


def test_a_deleted_pod_stays_terminating_for_its_delay(cluster: Cluster, namespace: str) -> None:
    cluster.apply(stateful_set("drain", 1, {stages.TERMINATION_DELAY: "2s"}), namespace=namespace)
    uid = ready_pods(cluster, namespace, 1)[0]["metadata"]["uid"]
    path = f"/api/v1/namespaces/{namespace}/pods/drain-0"
    cluster.api.delete(path)
    terminating = cluster.api.get(path)
    assert (terminating["metadata"]["uid"], is_ready(terminating)) == (uid, True)
    assert "deletionTimestamp" in terminating["metadata"]
    eventually(lambda: (cluster.api.find(path) or {}).get("metadata", {}).get("uid") not in (uid, None))


def test_a_lost_node_takes_the_readiness_of_its_pods_and_holds_them_until_it_returns(
    cluster: Cluster, namespace: str
) -> None:
    [lost] = nodes.add_gpu_nodes(cluster.api, 1, prefix="doomed", labels={"doomed": "yes"})
    try:
        manifest = stateful_set("here", 1, nodeSelector={"doomed": "yes"})
        cluster.apply(manifest, namespace=namespace)
        ready_pods(cluster, namespace, 1)
        nodes.lose(cluster.api, lost)
        path = f"/api/v1/nodes/{lost}"
        eventually(lambda: "node.kubernetes.io/unreachable" in _taints(cluster.api.get(path)), 10)
        assert condition(cluster.api.get(path), "Ready")["status"] == "Unknown"
        assert not is_ready(pods(cluster, namespace)[0])
        pod = f"/api/v1/namespaces/{namespace}/pods/here-0"
        cluster.api.delete(pod, gracePeriodSeconds="1")
        terminating = cluster.api.get(pod)
        nodes.recover(cluster.api, lost)
        eventually(lambda: (cluster.api.find(pod) or terminating)["metadata"]["uid"] != terminating["metadata"]["uid"])
        ready_pods(cluster, namespace, 1)
    finally:
        nodes.remove(cluster.api, lost)


def _taints(node: Manifest) -> set[str]:
    return {taint["key"] for taint in node["spec"].get("taints", [])}


def test_rights_are_checked_for_a_service_account(cluster: Cluster, namespace: str) -> None:
    token = cluster.kubectl("create", "token", "default", "--namespace", namespace).strip()
    visitor = cluster.api.as_bearer(token)
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    verbs = ("list", "delete")
    asked = [
        {"spec": {"resourceAttributes": {"namespace": namespace, "verb": verb, "resource": "pods"}}} for verb in verbs
    ]
    before = [visitor.create(reviews, body)["status"]["allowed"] for body in asked]
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=pods", "--namespace", namespace)
    account = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", account, "--namespace", namespace)
    eventually(lambda: visitor.create(reviews, asked[0])["status"]["allowed"])
    assert (before, visitor.create(reviews, asked[1])["status"]["allowed"]) == ([False, False], False)


def test_the_audit_log_names_who_wrote(cluster: Cluster, namespace: str) -> None:
    writes = AuditLog(cluster.audit_log)
    writes.skip()
    body = {"metadata": {"name": "noted"}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", body)
    cluster.api.get(f"/api/v1/namespaces/{namespace}/configmaps/noted")
    mine = [write for write in writes.new() if write.namespace == namespace and write.resource == "configmaps"]
    assert [(write.user, write.verb, write.name, write.code) for write in mine] == [
        ("kwok-admin", "create", "noted", 201)
    ]


def test_the_api_server_comes_back_with_everything_it_had(namespace: str, cluster: Cluster) -> None:
    cluster.apply(stateful_set("kept", 1), namespace=namespace)
    before = ready_pods(cluster, namespace, 1)[0]["metadata"]["uid"]
    with cluster.without("kube-apiserver"):
        assert cluster.components.process("kube-apiserver") is None
        with pytest.raises(OSError, match="refused"):
            cluster.api.get("/readyz")
    assert [pod["metadata"]["uid"] for pod in pods(cluster, namespace)] == [before]
    # The other components found it again: a new pod is placed and played.
    cluster.api.merge(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/kept", {"spec": {"replicas": 2}})
    ready_pods(cluster, namespace, 2)


def test_pods_get_addresses_a_process_can_listen_on(loopback_cluster: Cluster, loopback_namespace: str) -> None:
    loopback_cluster.apply(stateful_set("loop", 3), namespace=loopback_namespace)
    addresses = {pod["status"]["podIP"] for pod in ready_pods(loopback_cluster, loopback_namespace, 3)}
    assert len(addresses) == 3
    for address in addresses:
        with socket.create_server((address, 8000)), socket.create_connection((address, 8000), timeout=5):
            assert address.startswith("127.")


@pytest.fixture
def gang() -> Iterator[Cluster]:
    with Cluster.start(nodes=6, gang=True) as started:
        yield started


def test_a_gang_is_placed_whole_or_not_at_all(gang: Cluster) -> None:
    for name in ("first", "second"):
        group = {
            "apiVersion": "scheduling.k8s.io/v1beta1",
            "kind": "PodGroup",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": 4}}},
        }
        manifest = stateful_set(name, 4, schedulingGroup={"podGroupName": name})
        eventually(lambda: gang.api.find("/api/v1/namespaces/default/serviceaccounts/default"))
        gang.apply(group, manifest, namespace="default")
        if name == "first":
            ready_pods(gang, "default", 4)
    path = "/apis/scheduling.k8s.io/v1beta1/namespaces/default/podgroups/second"
    conditions = eventually(lambda: gang.api.get(path).get("status", {}).get("conditions"))
    assert "minCount (4) cannot be satisfied" in conditions[0]["message"]
    placed = itertools.groupby(
        sorted((pod["metadata"]["labels"]["app"], "nodeName" in pod["spec"]) for pod in pods(gang, "default"))
    )
    assert {key: len(list(group)) for key, group in placed} == {("first", True): 4, ("second", False): 4}
