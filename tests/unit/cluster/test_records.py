"""Which facts are read from pods and nodes."""

from datetime import UTC, datetime

import pytest

from heterofleet.api import labels
from heterofleet.cluster.records import Ended, NodeRecord, PodRecord, Taint
from unit.cluster.builders import CREATED, child, node, pod, stored

AT = datetime.fromisoformat(CREATED)


def test_a_running_group_member() -> None:
    manifest = child(
        "Pod",
        "chat-large-0-0",
        spec={
            "nodeName": "a100-0",
            "containers": [
                {"name": "sidecar", "resources": {}},
                {"name": "engine", "resources": {"limits": {"nvidia.com/gpu": "8", "memory": "1Gi"}}},
            ],
        },
        status={
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True", "lastTransitionTime": CREATED},
            ],
            "containerStatuses": [
                {"name": "sidecar", "restartCount": 9},
                {
                    "name": "engine",
                    "started": True,
                    "restartCount": 1,
                    "state": {"running": {"startedAt": CREATED}},
                    "lastState": {
                        "terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "boom", "finishedAt": CREATED}
                    },
                },
            ],
        },
    )
    manifest["metadata"]["labels"] |= {labels.COMPONENT: "engine", labels.POD_INDEX: "0", "app": "x"}
    manifest["metadata"]["annotations"] = {labels.DRAIN_DEADLINE: "z", "theirs": "y"}
    owner = {"kind": "StatefulSet", "name": "chat-large-0", "uid": "s", "controller": True}
    assert PodRecord.of(stored(manifest, version=3, ownerReferences=[owner])) == PodRecord(
        namespace="ns",
        name="chat-large-0-0",
        uid="uid-1",
        resource_version=3,
        labels={labels.FLEET: "chat", labels.COMPONENT: "engine", labels.POD_INDEX: "0"},
        annotations={labels.DRAIN_DEADLINE: "z"},
        owner_kind="StatefulSet",
        owner_name="chat-large-0",
        owner_uid="s",
        created=AT,
        deleting_since=None,
        node="a100-0",
        ip="10.0.0.1",
        phase="Running",
        reason="",
        message="",
        scheduled=True,
        unschedulable="",
        ready=True,
        ready_since=AT,
        started=True,
        started_at=AT,
        waiting_reason="",
        waiting_message="",
        mounted=True,
        ended=None,
        last_ended=Ended(137, "OOMKilled", "boom", AT),
        restart_count=1,
        devices={"nvidia.com/gpu": 8},
    )


def test_a_pod_that_nobody_has_looked_at_yet() -> None:
    record = PodRecord.of(stored(pod("p", gpus=0) | {"status": {}}))
    assert (record.node, record.phase, record.ready, record.started, record.devices) == ("", "", False, False, {})
    assert not record.terminating
    assert not record.finished


def test_an_unschedulable_pod_tells_why() -> None:
    manifest = stored(pod("p"))
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4 nodes"}
    manifest["status"]["conditions"] = [condition]
    assert PodRecord.of(manifest).unschedulable == "0/4 nodes"


def test_only_a_wait_that_does_not_pass_by_itself_is_told() -> None:
    manifest = stored(pod("p"))
    manifest["status"]["initContainerStatuses"] = [{"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}]
    secret = {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}
    manifest["status"]["containerStatuses"] = [{"name": "engine", "state": {"waiting": secret}}]
    record = PodRecord.of(manifest)
    assert (record.waiting_reason, record.waiting_message) == tuple(secret.values())


def test_a_deletion_counts_from_when_it_was_asked_for() -> None:
    manifest = stored(pod("p"), deletionTimestamp="2026-01-02T03:05:05Z", deletionGracePeriodSeconds=60)
    assert PodRecord.of(manifest).deleting_since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_finished_container_tells_its_exit() -> None:
    manifest = stored(pod("p", phase="Failed"))
    manifest["status"]["containerStatuses"] = [
        {"name": "engine", "state": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": None}}}
    ]
    record = PodRecord.of(manifest)
    assert (record.ended, record.finished) == (Ended(1, "Error", "", None), True)


@pytest.mark.parametrize(("conditions", "mounted"), [([], True), (["True"], True), (["False"], False)])
def test_a_pod_says_whether_its_volumes_are_there(conditions: list[str], mounted: bool) -> None:
    manifest = stored(pod("a"))
    told = [{"type": "PodReadyToStartContainers", "status": status} for status in conditions]
    manifest["status"]["conditions"] = told
    assert PodRecord.of(manifest).mounted is mounted


def test_a_node() -> None:
    manifest = stored(node("a100-0"), version=5)
    manifest["spec"] = {
        "unschedulable": True,
        "taints": [{"key": "k", "effect": "NoExecute", "timeAdded": CREATED}],
    }
    assert NodeRecord.of(manifest) == NodeRecord(
        name="a100-0",
        uid="uid-1",
        resource_version=5,
        labels={labels.GPU_PRODUCT: "A100"},
        devices={"nvidia.com/gpu": 8},
        ready=True,
        ready_since=AT,
        unschedulable=True,
        taints=(Taint("k", "", "NoExecute", AT),),
    )
